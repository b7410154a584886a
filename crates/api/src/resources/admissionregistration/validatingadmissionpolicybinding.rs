//! ValidatingAdmissionPolicyBinding (admissionregistration.k8s.io/v1): where a validating policy applies, and what comes of breaking it.

use std::collections::HashSet;

use jiff::Timestamp;
use serde_json::Value;

use super::{GROUP, matching, policy};
use crate::field::{FieldError, Path};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy};
use crate::resources::columns::{AGE, NAME, cell};
use crate::resources::object::{ensure, list, text};
use crate::resources::{first_generation, next_generation};
use crate::{meta, table};

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: GROUP,
        version: "v1",
        kind: "ValidatingAdmissionPolicyBinding",
        list_kind: "ValidatingAdmissionPolicyBindingList",
        plural: "validatingadmissionpolicybindings",
        singular: "validatingadmissionpolicybinding",
        short_names: &[],
        categories: &["api-extensions"],
        scope: Scope::Cluster,
        verbs: ALL_VERBS,
        subresources: &[],
        columns: COLUMNS,
        strategy: &Rules,
    }
}

struct Rules;

const ACTIONS: [&str; 3] = ["Audit", "Deny", "Warn"];

impl Strategy for Rules {
    fn default(&self, object: &mut Value) {
        matching::default_resources(ensure(object, "spec"), "matchResources");
    }

    fn prepare_create(&self, object: &mut Value) {
        first_generation(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        next_generation(GROUP, "v1", "ValidatingAdmissionPolicyBinding", new, old);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let mut errors = policy::binding(spec, &path);
        errors.extend(actions(spec, &path.child("validationActions")));
        errors
    }

    fn validate_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        self.validate(new)
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![
            meta::name(object).into(),
            text(&object["spec"], "policyName").into(),
            policy::shown_param_ref(object).into(),
            table::age(object, now),
        ]
    }
}

fn actions(spec: &Value, path: &Path) -> Vec<FieldError> {
    let given = list(spec, "validationActions");
    let (mut errors, mut seen) = (Vec::new(), HashSet::new());
    for (index, action) in given.iter().enumerate() {
        let (action, at) = (action.as_str().unwrap_or_default(), path.index(index));
        if !ACTIONS.contains(&action) {
            errors.push(FieldError::not_supported(&at, action, &ACTIONS));
        }
        if !seen.insert(action) {
            errors.push(FieldError::duplicate(&at, action));
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        let detail = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)";
        errors.push(FieldError::invalid(path, given.to_vec(), detail));
    }
    if seen.is_empty() {
        let detail = "at least one validation action is required";
        errors.push(FieldError::required(path, detail));
    }
    errors
}

const COLUMNS: &[Column] = &[
    NAME,
    cell(
        "PolicyName",
        "PolicyName indicates the policy definition which the policy binding binded to",
    ),
    cell(
        "ParamRef",
        "ParamRef indicates the param resource which sets the configuration param",
    ),
    AGE,
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::testing::texts;

    #[test]
    fn something_comes_of_breaking_a_policy() {
        let faults = |actions: &[&str]| {
            texts(
                &Rules
                    .validate(&json!({"spec": {"policyName": "p", "validationActions": actions}})),
            )
        };
        assert!(faults(&["Deny", "Audit"]).is_empty());
        assert_eq!(
            faults(&[]),
            ["spec.validationActions: Required value: at least one validation action is required"]
        );
        assert_eq!(
            faults(&["Deny", "Deny"]),
            [r#"spec.validationActions[1]: Duplicate value: "Deny""#]
        );
    }
}
