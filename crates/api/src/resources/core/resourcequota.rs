//! ResourceQuota (core/v1): how much a namespace may hold in sum.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::field::{FieldError, Path};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy, Subresource};
use crate::resources::checks::amount;
use crate::resources::columns::{AGE, NAME, cell};
use crate::resources::keep;
use crate::resources::object::{amount_of, canonical_amounts, ensure, given, list, put, text};
use crate::resources::resource_names;
use crate::{meta, table};

const SCOPES: [&str; 7] = [
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
];
const OPPOSITES: [[&str; 2]; 2] = [
    ["BestEffort", "NotBestEffort"],
    ["Terminating", "NotTerminating"],
];
const OF_PODS: [&str; 7] = [
    "pods",
    "cpu",
    "memory",
    "limits.cpu",
    "limits.memory",
    "requests.cpu",
    "requests.memory",
];

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "",
        version: "v1",
        kind: "ResourceQuota",
        list_kind: "ResourceQuotaList",
        plural: "resourcequotas",
        singular: "resourcequota",
        short_names: &["quota"],
        categories: &[],
        scope: Scope::Namespaced,
        verbs: ALL_VERBS,
        subresources: &[Subresource::Status],
        columns: COLUMNS,
        strategy: &Rules,
    }
}

struct Rules;

impl Strategy for Rules {
    fn default(&self, object: &mut Value) {
        canonical_amounts(ensure(object, "spec"), "hard");
        let status = ensure(object, "status");
        canonical_amounts(status, "hard");
        canonical_amounts(status, "used");
    }

    fn prepare_create(&self, object: &mut Value) {
        put(object, "status", json!({}));
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        keep(new, old, "status");
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let mut errors = amounts(spec, "hard", &path);
        errors.extend(scopes(spec, &path));
        if given(spec, "scopeSelector") {
            errors.extend(scope_selector(spec, &path.child("scopeSelector")));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = self.validate(new);
        let of = |object: &Value| -> BTreeSet<String> {
            let scopes = list(&object["spec"], "scopes").iter();
            scopes
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect()
        };
        if of(new) != of(old) {
            let scopes = new["spec"]["scopes"].clone();
            let at = Path::new("spec.scopes");
            errors.push(FieldError::invalid(&at, scopes, "field is immutable"));
        }
        errors
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        let (status, path) = (&new["status"], Path::new("status"));
        let mut errors = amounts(status, "hard", &path);
        errors.extend(amounts(status, "used", &path));
        errors
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let status = &object["status"];
        let (mut requests, mut limits) = (Vec::new(), Vec::new());
        for (name, hard) in status["hard"].as_object().into_iter().flatten() {
            let used = status["used"][name].as_str().unwrap_or("0");
            let column = if name.starts_with("limits.") {
                &mut limits
            } else {
                &mut requests
            };
            column.push(format!("{name}: {used}/{}", hard.as_str().unwrap_or("0")));
        }
        vec![
            meta::name(object).into(),
            requests.join(", ").into(),
            limits.join(", ").into(),
            table::age(object, now),
        ]
    }

    fn shown_when_deleted(&self) -> bool {
        true
    }
}

fn amounts(part: &Value, field: &str, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (name, value) in part[field].as_object().into_iter().flatten() {
        let at = path.child(field).key(name);
        errors.extend(resource_names::of_quota(name, &at));
        errors.extend(amount(value, &at, false));
        if let Some(broken) = amount_of(value).filter(|amount| !amount.is_whole())
            && resource_names::whole(name)
        {
            let fault = FieldError::invalid(&at, broken.to_string(), "must be an integer");
            errors.push(fault);
        }
    }
    errors
}

/// Whether a scope narrows what the name limits.
fn narrows(scope: &str, name: &str) -> bool {
    match scope {
        "BestEffort" => name == "pods",
        "CrossNamespacePodAffinity"
        | "NotBestEffort"
        | "NotTerminating"
        | "PriorityClass"
        | "Terminating" => OF_PODS.contains(&name),
        "VolumeAttributesClass" => matches!(name, "persistentvolumeclaims" | "requests.storage"),
        _ => true,
    }
}

/// The names of hard limits that the scope has nothing to do with.
fn unrelated(spec: &Value, scope: &str) -> usize {
    spec["hard"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| resource_names::standard_for_quota(name) && !narrows(scope, name))
        .count()
}

fn scopes(spec: &Value, path: &Path) -> Vec<FieldError> {
    let at = path.child("scopes");
    let fault = |detail: &str| FieldError::invalid(&at, spec["scopes"].clone(), detail);
    let names: Vec<_> = list(spec, "scopes")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let mut errors = Vec::new();
    for scope in &names {
        if !SCOPES.contains(scope) {
            errors.push(fault("unsupported scope"));
        }
        for _ in 0..unrelated(spec, scope) {
            errors.push(fault("unsupported scope applied to resource"));
        }
    }
    errors.extend(conflicts(&names).map(|()| fault("conflicting scopes")));
    errors
}

/// One for each pair of scopes that exclude each other.
fn conflicts<'a>(names: &'a [&str]) -> impl Iterator<Item = ()> + 'a {
    OPPOSITES
        .iter()
        .filter(|pair| pair.iter().all(|scope| names.contains(scope)))
        .map(|_| ())
}

fn scope_selector(spec: &Value, path: &Path) -> Vec<FieldError> {
    let at = path.child("matchExpressions");
    let mut errors = Vec::new();
    let expressions = list(&spec["scopeSelector"], "matchExpressions");
    for expression in expressions {
        let (scope, operator) = (text(expression, "scopeName"), text(expression, "operator"));
        let (operator_at, values_at) = (at.child("operator"), at.child("values"));
        let values = list(expression, "values");
        if !SCOPES.contains(&scope) {
            let fault = FieldError::invalid(&at.child("scopeName"), scope, "unsupported scope");
            errors.push(fault);
        }
        for _ in 0..unrelated(spec, scope) {
            let detail = "unsupported scope applied to resource";
            errors.push(FieldError::invalid(
                &at,
                spec["scopeSelector"].clone(),
                detail,
            ));
        }
        let valueless = !matches!(scope, "PriorityClass" | "VolumeAttributesClass");
        if SCOPES.contains(&scope) && valueless && operator != "Exists" {
            let detail = "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, \
                ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or \
                ResourceQuotaScopeCrossNamespacePodAffinity";
            errors.push(FieldError::invalid(&operator_at, operator, detail));
        }
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                let detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                errors.push(FieldError::required(&values_at, detail));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail = "must be no value when `operator` is 'Exists' or 'DoesNotExist' for scope selector";
                errors.push(FieldError::invalid(&values_at, values.to_vec(), detail));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => {
                let detail = "not a valid selector operator";
                errors.push(FieldError::invalid(&operator_at, other, detail));
            }
        }
    }
    let names: Vec<_> = expressions.iter().map(|e| text(e, "scopeName")).collect();
    errors.extend(
        conflicts(&names)
            .map(|()| FieldError::invalid(&at, spec["scopes"].clone(), "conflicting scopes")),
    );
    errors
}

const COLUMNS: &[Column] = &[
    NAME,
    cell(
        "Request",
        "Request represents a minimum amount of cpu/memory that a container may consume.",
    ),
    cell(
        "Limit",
        "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the node.",
    ),
    AGE,
];

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::resources::testing::texts;

    #[rstest]
    #[case(json!({"hard": {"pods": "-1"}}), &["spec.hard[pods]: Invalid value: \"-1\": must be greater than or equal to 0"])]
    #[case(json!({"hard": {"pods": "1500m"}}), &["spec.hard[pods]: Invalid value: \"1500m\": must be an integer"])]
    #[case(json!({"hard": {"cpu": "1"}, "scopes": ["Wrong", "BestEffort", "NotBestEffort"]}), &[
        "spec.scopes: Invalid value: [\"Wrong\",\"BestEffort\",\"NotBestEffort\"]: unsupported scope",
        "spec.scopes: Invalid value: [\"Wrong\",\"BestEffort\",\"NotBestEffort\"]: unsupported scope applied to resource",
        "spec.scopes: Invalid value: [\"Wrong\",\"BestEffort\",\"NotBestEffort\"]: conflicting scopes"])]
    #[case(json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In"}]}}), &[
        "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"])]
    #[case(json!({"hard": {"pods": "5"}, "scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}}), &[])]
    fn specs_are_checked(#[case] spec: Value, #[case] want: &[&str]) {
        assert_eq!(texts(&Rules.validate(&json!({"spec": spec}))), want);
    }

    #[test]
    fn scopes_stay() {
        let quota = |scopes: &[&str]| json!({"spec": {"scopes": scopes}});
        assert_eq!(
            texts(&Rules.validate_update(&quota(&["BestEffort"]), &quota(&["Terminating"]))),
            ["spec.scopes: Invalid value: [\"BestEffort\"]: field is immutable"]
        );
    }

    #[test]
    fn the_row_shows_what_is_used_of_what_there_is() {
        let quota = json!({"metadata": {"name": "q"}, "status": {"hard": {"limits.memory": "1Gi", "pods": "2", "cpu": "1"},
            "used": {"pods": "1"}}});
        assert_eq!(
            Value::from(Rules.row(&quota, Timestamp::UNIX_EPOCH)),
            json!([
                "q",
                "cpu: 0/1, pods: 1/2",
                "limits.memory: 0/1Gi",
                "<unknown>"
            ])
        );
    }
}
