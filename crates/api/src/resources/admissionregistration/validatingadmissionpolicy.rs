//! ValidatingAdmissionPolicy (admissionregistration.k8s.io/v1): what must be true of objects that are kept.

use std::collections::HashSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{GROUP, matching, policy};
use crate::admission::{Expression, Offers, Returns, Variables, scope};
use crate::cel::Scope as Names;
use crate::field::{FieldError, Path};
use crate::names;
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy, Subresource};
use crate::resources::checks::each;
use crate::resources::columns::{AGE, NAME, cell, integer};
use crate::resources::object::{ensure, fill, list, text};
use crate::resources::{first_generation, keep, next_generation};
use crate::{meta, table};

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: GROUP,
        version: "v1",
        kind: "ValidatingAdmissionPolicy",
        list_kind: "ValidatingAdmissionPolicyList",
        plural: "validatingadmissionpolicies",
        singular: "validatingadmissionpolicy",
        short_names: &[],
        categories: &["api-extensions"],
        scope: Scope::Cluster,
        verbs: ALL_VERBS,
        subresources: &[Subresource::Status],
        columns: COLUMNS,
        strategy: &Rules,
    }
}

struct Rules;

const ANNOTATIONS_MAX: usize = 20;
const ANNOTATION_MAX: usize = 5 * 1024;
const REASONS: [&str; 3] = ["Forbidden", "Invalid", "RequestEntityTooLarge"];

impl Strategy for Rules {
    fn default(&self, object: &mut Value) {
        let spec = ensure(object, "spec");
        fill(spec, "failurePolicy", "Fail");
        matching::default_resources(spec, "matchConstraints");
        ensure(object, "status");
    }

    fn prepare_create(&self, object: &mut Value) {
        object["status"] = json!({});
        first_generation(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        keep(new, old, "status");
        next_generation(GROUP, "v1", "ValidatingAdmissionPolicy", new, old);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let mut errors = policy::common(spec, &path);
        let (validations, annotations) =
            (list(spec, "validations"), list(spec, "auditAnnotations"));
        if validations.is_empty() && annotations.is_empty() {
            let detail = "validations or auditAnnotations must contain at least one item";
            for field in ["validations", "auditAnnotations"] {
                errors.push(FieldError::required(&path.child(field), detail));
            }
            return errors;
        }
        let mut names = scope(Offers::of_policy(spec));
        Variables::read(spec, &mut names);
        for (index, entry) in validations.iter().enumerate() {
            let at = path.child("validations").index(index);
            errors.extend(validation(entry, &at, &names));
        }
        let at = path.child("auditAnnotations");
        let policy = meta::name(object);
        errors.extend(audit_annotations(policy, annotations, &at, &names));
        errors
    }

    fn validate_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        self.validate(new)
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        let path = Path::new("status.typeChecking.expressionWarnings");
        let mut errors = Vec::new();
        let warnings = list(&new["status"]["typeChecking"], "expressionWarnings");
        for (index, warning) in warnings.iter().enumerate() {
            for field in ["warning", "fieldRef"] {
                if text(warning, field).trim().is_empty() {
                    let at = path.index(index).child(field);
                    errors.push(FieldError::required(&at, ""));
                }
            }
        }
        errors
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![
            meta::name(object).into(),
            list(&object["spec"], "validations").len().into(),
            policy::shown_param_kind(object).into(),
            table::age(object, now),
        ]
    }
}

fn validation(validation: &Value, path: &Path, names: &Names) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if text(validation, "expression").trim().is_empty() {
        let detail = "expression is not specified";
        errors.push(FieldError::required(&path.child("expression"), detail));
    } else {
        let expression = Expression::new(text(validation, "expression"), names, Returns::Bool);
        errors.extend(matching::unusable(&expression, &path.child("expression")));
    }
    let blank = |field: &str| {
        let value = text(validation, field);
        !value.is_empty() && value.trim().is_empty()
    };
    if blank("messageExpression") {
        let (at, value) = (
            path.child("messageExpression"),
            text(validation, "messageExpression"),
        );
        errors.push(FieldError::invalid(
            &at,
            value,
            "must be non-empty if specified",
        ));
    } else if !text(validation, "messageExpression").is_empty() {
        // Messages are made without asking who may do what.
        let mut names = names.clone();
        names.retain(|name, _| !name.starts_with("authorizer"));
        let message = text(validation, "messageExpression");
        let expression = Expression::new(message, &names, Returns::Text);
        errors.extend(matching::unusable(
            &expression,
            &path.child("messageExpression"),
        ));
    }
    let (message, at) = (text(validation, "message"), path.child("message"));
    if blank("message") {
        let detail = "message must be non-empty if specified";
        errors.push(FieldError::invalid(&at, message, detail));
    } else if message.trim().contains(['\n', '\r']) {
        let detail = "message must not contain line breaks";
        errors.push(FieldError::invalid(&at, message, detail));
    }
    if let Some(reason) = validation["reason"]
        .as_str()
        .filter(|r| !REASONS.contains(r))
    {
        let at = path.child("reason");
        errors.push(FieldError::not_supported(&at, reason, &REASONS));
    }
    errors
}

fn audit_annotations(
    policy: &str,
    annotations: &[Value],
    path: &Path,
    names: &Names,
) -> Vec<FieldError> {
    let (mut errors, mut seen) = (Vec::new(), HashSet::new());
    if annotations.len() > ANNOTATIONS_MAX {
        let detail = format!("must not have more than {ANNOTATIONS_MAX} auditAnnotations");
        errors.push(FieldError::invalid(path, annotations.to_vec(), detail));
    }
    for (index, annotation) in annotations.iter().enumerate() {
        let (key, at) = (text(annotation, "key"), path.index(index));
        let full = format!("{policy}/{key}");
        errors.extend(each(names::qualified_name(&full), &at.child("key"), &full));
        let expression = text(annotation, "valueExpression").trim();
        let value = at.child("valueExpression");
        if expression.is_empty() {
            let detail = "valueExpression is not specified";
            errors.push(FieldError::required(&value, detail));
        } else if expression.len() > ANNOTATION_MAX {
            let detail = format!("must not exceed {ANNOTATION_MAX} bytes in length");
            errors.push(FieldError::required(&value, detail));
        } else {
            let expression = Expression::new(expression, names, Returns::TextOrNull);
            errors.extend(matching::unusable(&expression, &value));
        }
        if !seen.insert(key) {
            errors.push(FieldError::duplicate(&at.child("key"), key));
        }
    }
    errors
}

const COLUMNS: &[Column] = &[
    NAME,
    integer(
        "Validations",
        "Validations indicates the number of validation rules defined in this configuration",
    ),
    cell(
        "ParamKind",
        "ParamKind specifies the kind of resources used to parameterize this policy",
    ),
    AGE,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::texts;

    fn faults(spec: &Value) -> Vec<String> {
        let mut object = json!({"metadata": {"name": "p"}, "spec": spec});
        object["spec"]["matchConstraints"] = json!({"resourceRules": [
            {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]});
        Rules.default(&mut object);
        texts(&Rules.validate(&object))
    }

    #[test]
    fn a_policy_validates_something() {
        assert!(faults(&json!({"validations": [{"expression": "true"}]})).is_empty());
        assert_eq!(
            faults(
                &json!({"validations": [{"expression": "1 + 1", "messageExpression": "object"}]})
            ),
            [
                r#"spec.validations[0].expression: Invalid value: "1 + 1": must evaluate to bool but got int"#,
                r#"spec.validations[0].messageExpression: Invalid value: "object": must evaluate to string but got dyn"#,
            ]
        );
        assert_eq!(
            faults(&json!({})),
            [
                "spec.validations: Required value: validations or auditAnnotations must contain at least one item",
                "spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item",
            ]
        );
        assert_eq!(
            faults(&json!({"validations": [{"message": "a\nb", "reason": "Why"}]})),
            [
                "spec.validations[0].expression: Required value: expression is not specified",
                r#"spec.validations[0].message: Invalid value: "a\nb": message must not contain line breaks"#,
                r#"spec.validations[0].reason: Unsupported value: "Why": supported values: "Forbidden", "Invalid", "RequestEntityTooLarge""#,
            ]
        );
    }

    #[test]
    fn annotations_are_keys_below_the_policys_name() {
        let twice =
            json!([{"key": "a", "valueExpression": "'x'"}, {"key": "a", "valueExpression": " "}]);
        assert_eq!(
            faults(&json!({"auditAnnotations": twice})),
            [
                "spec.auditAnnotations[1].valueExpression: Required value: valueExpression is not specified",
                r#"spec.auditAnnotations[1].key: Duplicate value: "a""#,
            ]
        );
    }
}
