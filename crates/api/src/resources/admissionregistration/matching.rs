//! Which requests a webhook or policy is about: rules, selectors and conditions. Knows neither.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::admission::{Expression, Offers, Returns, scope};
use crate::field::{FieldError, Path};
use crate::names;
use crate::resources::checks::{each, label_selector};
use crate::resources::object::{ensure, fill, given, inside, items, list, text};
use crate::resources::references::wildcard_alone;

/// At most this many conditions.
const CONDITIONS_MAX: usize = 64;
/// Sorted, as messages list them.
const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const SCOPES: [&str; 3] = ["*", "Cluster", "Namespaced"];
pub(super) const FAILURE_POLICIES: [&str; 2] = ["Fail", "Ignore"];
const MATCH_POLICIES: [&str; 2] = ["Equivalent", "Exact"];

/// Rules are about every scope unless they say so.
pub(super) fn default_rules(object: &mut Value, field: &str) {
    for rule in items(object, field) {
        fill(rule, "scope", "*");
    }
}

/// Defaults of `MatchResources`.
pub(super) fn default_resources(object: &mut Value, field: &str) {
    let Some(resources) = inside(object, field) else {
        return;
    };
    fill(resources, "matchPolicy", "Equivalent");
    ensure(resources, "namespaceSelector");
    ensure(resources, "objectSelector");
    default_rules(resources, "resourceRules");
    default_rules(resources, "excludeResourceRules");
}

/// Faults of `MatchResources`.
pub(super) fn resources(resources: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = match_policy(resources, path).into_iter().collect();
    errors.extend(selectors(resources, path));
    for field in ["resourceRules", "excludeResourceRules"] {
        for (index, entry) in list(resources, field).iter().enumerate() {
            let at = path.child(field).index(index);
            errors.extend(resource_names(entry, &at.child("resourceNames")));
            errors.extend(rule(entry, &at));
        }
    }
    errors
}

/// A match policy that is none.
pub(super) fn match_policy(object: &Value, path: &Path) -> Option<FieldError> {
    let policy = object["matchPolicy"].as_str()?;
    let at = path.child("matchPolicy");
    (!MATCH_POLICIES.contains(&policy))
        .then(|| FieldError::not_supported(&at, policy, &MATCH_POLICIES))
}

/// A failure policy that is none.
pub(super) fn failure_policy(object: &Value, path: &Path) -> Option<FieldError> {
    let policy = object["failurePolicy"].as_str()?;
    let at = path.child("failurePolicy");
    (!FAILURE_POLICIES.contains(&policy))
        .then(|| FieldError::not_supported(&at, policy, &FAILURE_POLICIES))
}

/// Selectors of namespaces and objects.
pub(super) fn selectors(object: &Value, path: &Path) -> Vec<FieldError> {
    ["namespaceSelector", "objectSelector"]
        .into_iter()
        .filter(|field| given(object, field))
        .flat_map(|field| label_selector(&object[field], &path.child(field)))
        .collect()
}

fn resource_names(rule: &Value, path: &Path) -> Vec<FieldError> {
    let (mut errors, mut seen) = (Vec::new(), HashSet::new());
    for (index, name) in list(rule, "resourceNames").iter().enumerate() {
        let (name, at) = (name.as_str().unwrap_or_default(), path.index(index));
        errors.extend(each(names::path_segment(name, false), &at, name));
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&at, name));
        }
    }
    errors
}

/// One rule with its operations.
pub(super) fn rule(rule: &Value, path: &Path) -> Vec<FieldError> {
    let required = |field: &str| {
        list(rule, field)
            .is_empty()
            .then(|| FieldError::required(&path.child(field), ""))
    };
    let mut errors: Vec<FieldError> = required("operations").into_iter().collect();
    errors.extend(wildcard_alone(rule, "operations", path, "operations"));
    for (index, operation) in list(rule, "operations").iter().enumerate() {
        if !operation.as_str().is_some_and(|o| OPERATIONS.contains(&o)) {
            let at = path.child("operations").index(index);
            errors.push(FieldError::not_supported(
                &at,
                operation.clone(),
                &OPERATIONS,
            ));
        }
    }
    errors.extend(required("apiGroups"));
    errors.extend(wildcard_alone(rule, "apiGroups", path, "API groups"));
    errors.extend(required("apiVersions"));
    errors.extend(wildcard_alone(rule, "apiVersions", path, "API versions"));
    for (index, version) in list(rule, "apiVersions").iter().enumerate() {
        if version == "" {
            let at = path.child("apiVersions").index(index);
            errors.push(FieldError::required(&at, ""));
        }
    }
    errors.extend(required("resources"));
    errors.extend(subresources(rule, &path.child("resources")));
    if let Some(scope) = rule["scope"].as_str().filter(|s| !SCOPES.contains(s)) {
        let at = path.child("scope");
        errors.push(FieldError::not_supported(&at, scope, &SCOPES));
    }
    errors
}

/// Resources with their subresources: what a wildcard covers is not named again.
fn subresources(rule: &Value, path: &Path) -> Vec<FieldError> {
    let resources = list(rule, "resources");
    let (mut errors, mut whole, mut everywhere) = (Vec::new(), HashSet::new(), HashSet::new());
    let mut plain = false;
    for (index, entry) in resources.iter().enumerate() {
        let (entry, at) = (entry.as_str().unwrap_or_default(), path.index(index));
        if entry.is_empty() {
            errors.push(FieldError::required(&at, ""));
            continue;
        }
        let Some((resource, sub)) = entry.split_once('/') else {
            // As upstream, which remembers the last one only.
            plain = entry != "*";
            continue;
        };
        if whole.contains(resource) {
            let detail = format!("if '{resource}/*' is present, must not specify {entry}");
            errors.push(FieldError::invalid(&at, entry, detail));
        }
        if everywhere.contains(sub) {
            let detail = format!("if '*/{sub}' is present, must not specify {entry}");
            errors.push(FieldError::invalid(&at, entry, detail));
        }
        if sub == "*" {
            whole.insert(resource);
        }
        if resource == "*" {
            everywhere.insert(sub);
        }
    }
    let has = |wanted: &str| resources.iter().any(|entry| entry == wanted);
    if resources.len() > 1 && has("*/*") {
        let detail = "if '*/*' is present, must not specify other resources";
        errors.push(FieldError::invalid(path, resources.to_vec(), detail));
    }
    if has("*") && plain {
        let detail = "if '*' is present, must not specify other resources without subresources";
        errors.push(FieldError::invalid(path, resources.to_vec(), detail));
    }
    errors
}

/// Conditions a request must meet.
pub(super) fn conditions(object: &Value, path: &Path, offers: Offers) -> Vec<FieldError> {
    let names = scope(offers);
    let conditions = list(object, "matchConditions");
    let (mut errors, mut seen) = (Vec::new(), HashSet::new());
    if conditions.len() > CONDITIONS_MAX {
        errors.push(FieldError::too_many(path, conditions.len(), CONDITIONS_MAX));
    }
    for (index, condition) in conditions.iter().enumerate() {
        let at = path.index(index);
        let (expression, place) = (text(condition, "expression"), at.child("expression"));
        if expression.trim().is_empty() {
            errors.push(FieldError::required(&place, ""));
        } else {
            let expression = Expression::new(expression, &names, Returns::Bool);
            errors.extend(unusable(&expression, &place));
        }
        let (name, at) = (text(condition, "name"), at.child("name"));
        if name.is_empty() {
            errors.push(FieldError::required(&at, ""));
            continue;
        }
        errors.extend(each(names::qualified_name(name), &at, name));
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(&at, name));
        }
    }
    errors
}

/// What is wrong with an expression.
pub(super) fn unusable(expression: &Expression, path: &Path) -> Option<FieldError> {
    let fault = expression.fault()?;
    Some(FieldError::invalid(path, expression.text(), fault))
}

/// The kind of object that parameters come from.
pub(super) fn param_kind(spec: &Value, path: &Path) -> Vec<FieldError> {
    let (kind, path) = (&spec["paramKind"], path.child("paramKind"));
    if !kind.is_object() {
        return Vec::new();
    }
    let (version, at) = (text(kind, "apiVersion"), path.child("apiVersion"));
    let mut errors = Vec::new();
    match version.split('/').collect::<Vec<_>>()[..] {
        [""] => errors.push(FieldError::required(&at, "")),
        [version] => errors.extend(joined(&names::dns1035_label(version, false), &at, version)),
        [group, version] => {
            if !group.is_empty() {
                errors.extend(joined(&names::dns1123_subdomain(group, false), &at, group));
            }
            if version.is_empty() {
                let shown = json!(format!("{group}/"));
                errors.push(FieldError::invalid(&at, shown, "version must be specified"));
            } else {
                errors.extend(joined(&names::dns1035_label(version, false), &at, version));
            }
        }
        _ => {
            let detail = format!("unexpected GroupVersion string: {version}");
            errors.push(FieldError::invalid(&at, version, detail));
        }
    }
    let (name, at) = (text(kind, "kind"), path.child("kind"));
    if name.is_empty() {
        errors.push(FieldError::required(&at, ""));
        return errors;
    }
    let faults = names::dns1035_label(&name.to_lowercase(), false);
    if !faults.is_empty() {
        let detail = format!(
            "may have mixed case, but should otherwise match: {}",
            faults.join(",")
        );
        errors.push(FieldError::invalid(&at, name, detail));
    }
    errors
}

fn joined(faults: &[String], at: &Path, value: &str) -> Option<FieldError> {
    (!faults.is_empty()).then(|| FieldError::invalid(at, value, faults.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::texts;

    fn faults(resources: &[&str]) -> Vec<String> {
        let entry = json!({"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": resources});
        texts(&rule(&entry, &Path::new("r")))
    }

    #[test]
    fn what_a_wildcard_covers_is_not_named_again() {
        assert!(faults(&["pods", "pods/status", "*/scale"]).is_empty());
        assert_eq!(
            faults(&["pods/*", "pods/log"]),
            [
                r#"r.resources[1]: Invalid value: "pods/log": if 'pods/*' is present, must not specify pods/log"#
            ]
        );
        assert_eq!(
            faults(&["*/*", "pods"]),
            [
                r#"r.resources: Invalid value: ["*/*","pods"]: if '*/*' is present, must not specify other resources"#
            ]
        );
        assert_eq!(faults(&[]), ["r.resources: Required value"]);
    }

    #[test]
    fn parameters_have_a_version_and_a_kind() {
        let kind = |version: &str, kind: &str| {
            let spec = json!({"paramKind": {"apiVersion": version, "kind": kind}});
            texts(&param_kind(&spec, &Path::new("s")))
        };
        assert!(kind("rules.example.com/v1", "Limit").is_empty());
        assert_eq!(
            kind("a/b/c", ""),
            [
                r#"s.paramKind.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c"#,
                "s.paramKind.kind: Required value",
            ]
        );
    }
}
