//! Validation of what steers scheduling: affinity, tolerations, spreading, gates.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::resources::checks::{each, label_selector, node_selector, node_selector_term, one_of};
use crate::resources::object::{given, int, list, text};
use crate::{meta, names};

/// The effects of taints.
pub(crate) const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// `spec.affinity`.
pub(super) fn validate_affinity(affinity: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (node, at) = (&affinity["nodeAffinity"], path.child("nodeAffinity"));
    if given(node, REQUIRED) {
        errors.extend(node_selector(&node[REQUIRED], &at.child(REQUIRED)));
    }
    for (index, term) in list(node, PREFERRED).iter().enumerate() {
        let at = at.child(PREFERRED).index(index);
        errors.extend(weight(term, &at));
        errors.extend(node_selector_term(
            &term["preference"],
            &at.child("preference"),
        ));
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let (affinity, at) = (&affinity[kind], path.child(kind));
        for (index, term) in list(affinity, REQUIRED).iter().enumerate() {
            errors.extend(pod_term(term, &at.child(REQUIRED).index(index)));
        }
        for (index, term) in list(affinity, PREFERRED).iter().enumerate() {
            let at = at.child(PREFERRED).index(index);
            errors.extend(weight(term, &at));
            errors.extend(pod_term(
                &term["podAffinityTerm"],
                &at.child("podAffinityTerm"),
            ));
        }
    }
    errors
}

fn weight(term: &Value, path: &Path) -> Option<FieldError> {
    let weight = int(term, "weight").unwrap_or(0);
    let detail = "must be in the range 1-100";
    (!(1..=100).contains(&weight))
        .then(|| FieldError::invalid(&path.child("weight"), weight, detail))
}

fn pod_term(term: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for selector in ["labelSelector", "namespaceSelector"] {
        if given(term, selector) {
            errors.extend(label_selector(&term[selector], &path.child(selector)));
        }
    }
    for namespace in list(term, "namespaces").iter().filter_map(Value::as_str) {
        errors.extend(each(
            names::dns1123_label(namespace, false),
            &path.child("namespace"),
            namespace,
        ));
    }
    let (key, at) = (text(term, "topologyKey"), path.child("topologyKey"));
    if key.is_empty() {
        errors.push(FieldError::required(&at, "can not be empty"));
    }
    errors.extend(each(names::qualified_name(key), &at, key));
    errors
}

/// `spec.tolerations`.
pub(crate) fn validate_tolerations(spec: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, toleration) in list(spec, "tolerations").iter().enumerate() {
        let at = path.child("tolerations").index(index);
        let (key, operator, value) = (
            text(toleration, "key"),
            text(toleration, "operator"),
            text(toleration, "value"),
        );
        let operator_at = at.child("operator");
        if !key.is_empty() {
            errors.extend(each(names::qualified_name(key), &at.child("key"), key));
        } else if operator != "Exists" {
            let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.push(FieldError::invalid(&operator_at, operator, detail));
        }
        if given(toleration, "tolerationSeconds") && text(toleration, "effect") != "NoExecute" {
            let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.push(FieldError::invalid(
                &at.child("effect"),
                text(toleration, "effect"),
                detail,
            ));
        }
        match operator {
            "" | "Equal" => {
                let faults = names::label_value(value);
                if !faults.is_empty() {
                    errors.push(FieldError::invalid(&operator_at, value, faults.join(";")));
                }
            }
            "Exists" if !value.is_empty() => {
                let detail = "value must be empty when `operator` is 'Exists'";
                errors.push(FieldError::invalid(&operator_at, value, detail));
            }
            "Exists" => {}
            other => errors.push(FieldError::not_supported(
                &operator_at,
                other,
                &["Equal", "Exists"],
            )),
        }
        errors.extend(one_of(toleration, "effect", &at, &EFFECTS, true));
    }
    errors
}

/// Gates, readiness gates and spreading.
pub(super) fn validate_rest(spec: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, gate) in list(spec, "readinessGates").iter().enumerate() {
        let (kind, at) = (
            text(gate, "conditionType"),
            path.child("readinessGates").index(index),
        );
        errors.extend(each(
            names::qualified_name(kind),
            &at.child("conditionType"),
            kind,
        ));
    }
    let mut seen = std::collections::HashSet::new();
    for (index, gate) in list(spec, "schedulingGates").iter().enumerate() {
        let (name, at) = (
            text(gate, "name"),
            path.child("schedulingGates").index(index),
        );
        errors.extend(each(names::qualified_name(name), &at.child("name"), name));
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&at.child("name"), name));
        }
    }
    let mut spread = std::collections::HashSet::new();
    for (index, constraint) in list(spec, "topologySpreadConstraints").iter().enumerate() {
        let at = path.child("topologySpreadConstraints").index(index);
        let skew = int(constraint, "maxSkew").unwrap_or(0);
        if skew <= 0 {
            errors.push(FieldError::invalid(
                &at.child("maxSkew"),
                skew,
                "must be greater than zero",
            ));
        }
        if text(constraint, "topologyKey").is_empty() {
            errors.push(FieldError::required(
                &at.child("topologyKey"),
                "can not be empty",
            ));
        }
        let actions = ["DoNotSchedule", "ScheduleAnyway"];
        let action = text(constraint, "whenUnsatisfiable");
        if !actions.contains(&action) {
            errors.push(FieldError::not_supported(
                &at.child("whenUnsatisfiable"),
                action,
                &actions,
            ));
        }
        if let Some(domains) = int(constraint, "minDomains") {
            let at = at.child("minDomains");
            if domains <= 0 {
                errors.push(FieldError::invalid(
                    &at,
                    domains,
                    "must be greater than zero",
                ));
            }
            if action != "DoNotSchedule" {
                let detail = format!(
                    "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
                );
                errors.push(FieldError::invalid(&at, domains, detail));
            }
        }
        let pair = format!("{{{}, {action}}}", text(constraint, "topologyKey"));
        if !spread.insert(pair.clone()) {
            let at = at.child("{topologyKey, whenUnsatisfiable}");
            errors.push(FieldError::duplicate(&at, pair));
        }
        for policy in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            errors.extend(one_of(constraint, policy, &at, &["Honor", "Ignore"], true));
        }
        if given(constraint, "labelSelector") {
            errors.extend(label_selector(
                &constraint["labelSelector"],
                &at.child("labelSelector"),
            ));
        }
    }
    errors
}

/// `spec.nodeSelector`.
pub(super) fn validate_node_selector(spec: &Value, path: &Path) -> Vec<FieldError> {
    meta::labels(&spec["nodeSelector"], &path.child("nodeSelector"))
}
