//! MutatingAdmissionPolicy (admissionregistration.k8s.io/v1): how objects are altered before they are kept.

use jiff::Timestamp;
use serde_json::Value;

use super::{GROUP, matching, policy};
use crate::admission::{Expression, Offers, Returns, Variables, scope};
use crate::cel::Scope as Names;
use crate::field::{FieldError, Path};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy};
use crate::resources::columns::{AGE, NAME, cell, integer};
use crate::resources::object::{ensure, fill, list, text};
use crate::resources::{first_generation, next_generation};
use crate::{meta, table};

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: GROUP,
        version: "v1",
        kind: "MutatingAdmissionPolicy",
        list_kind: "MutatingAdmissionPolicyList",
        plural: "mutatingadmissionpolicies",
        singular: "mutatingadmissionpolicy",
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

const PATCHES: [&str; 2] = ["ApplyConfiguration", "JSONPatch"];

impl Strategy for Rules {
    fn default(&self, object: &mut Value) {
        let spec = ensure(object, "spec");
        fill(spec, "failurePolicy", "Fail");
        matching::default_resources(spec, "matchConstraints");
    }

    fn prepare_create(&self, object: &mut Value) {
        first_generation(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        next_generation(GROUP, "v1", "MutatingAdmissionPolicy", new, old);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let mut errors = policy::common(spec, &path);
        let at = path.child("mutations");
        if list(spec, "mutations").is_empty() {
            let detail = "mutations must contain at least one item";
            errors.push(FieldError::required(&at, detail));
        }
        let mut names = scope(Offers::of_policy(spec));
        Variables::read(spec, &mut names);
        for (index, entry) in list(spec, "mutations").iter().enumerate() {
            errors.extend(mutation(entry, &at.index(index), &names));
        }
        let (again, set) = (text(spec, "reinvocationPolicy"), &["IfNeeded", "Never"]);
        let at = path.child("reinvocationPolicy");
        if again.is_empty() {
            errors.push(FieldError::required(&at, ""));
        } else if !set.contains(&again) {
            errors.push(FieldError::not_supported(&at, again, set));
        }
        errors
    }

    fn validate_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        self.validate(new)
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![
            meta::name(object).into(),
            list(&object["spec"], "mutations").len().into(),
            policy::shown_param_kind(object).into(),
            table::age(object, now),
        ]
    }
}

fn mutation(mutation: &Value, path: &Path, names: &Names) -> Vec<FieldError> {
    let (kind, at) = (text(mutation, "patchType"), path.child("patchType"));
    let (field, other, returns) = match kind {
        "" => return vec![FieldError::required(&at, "")],
        "ApplyConfiguration" => ("applyConfiguration", "jsonPatch", Returns::Object),
        "JSONPatch" => ("jsonPatch", "applyConfiguration", Returns::Patches),
        kind => return vec![FieldError::not_supported(&at, kind, &PATCHES)],
    };
    let mut errors = Vec::new();
    let at = path.child(field);
    if !mutation[field].is_object() {
        let detail = format!("must be specified when patchType is {kind}");
        errors.push(FieldError::required(&at, detail));
    } else if text(&mutation[field], "expression").trim().is_empty() {
        let detail = "expression is not specified";
        errors.push(FieldError::required(&at.child("expression"), detail));
    } else {
        let expression = Expression::new(text(&mutation[field], "expression"), names, returns);
        errors.extend(matching::unusable(&expression, &at.child("expression")));
    }
    if mutation[other].is_object() {
        let detail = format!("must not be specified when patchType is {kind}");
        errors.push(FieldError::forbidden(&path.child(other), detail));
    }
    errors
}

const COLUMNS: &[Column] = &[
    NAME,
    integer(
        "Mutations",
        "Mutation indicates the number of mutations rules defined in this configuration",
    ),
    cell(
        "ParamKind",
        "ParamKind specifies the kind of resources used to parameterize this policy",
    ),
    AGE,
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::testing::texts;

    #[test]
    fn a_policy_without_rules_is_none() {
        let mut object =
            json!({"spec": {"matchConstraints": {}, "mutations": [{"patchType": "Odd"}]}});
        Rules.default(&mut object);
        assert_eq!(object["spec"]["failurePolicy"], "Fail");
        assert_eq!(
            texts(&Rules.validate(&object)),
            [
                "spec.matchConstraints.resourceRules: Required value",
                r#"spec.mutations[0].patchType: Unsupported value: "Odd": supported values: "ApplyConfiguration", "JSONPatch""#,
                "spec.reinvocationPolicy: Required value",
            ]
        );
    }
}
