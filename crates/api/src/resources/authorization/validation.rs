//! What a question about permissions must say. Pure.

use serde_json::{Value, json};

use super::given;
use crate::field::{FieldError, Path};
use crate::meta;
use crate::resources::object::{list, text};

/// The faults of a SubjectAccessReview and its relatives.
pub fn faults(kind: &str, review: &Value) -> Vec<FieldError> {
    let (spec, path) = (&review["spec"], Path::new("spec"));
    let mut errors = Vec::new();
    let (resource, other) = (
        path.child("resourceAttributes"),
        path.child("nonResourceAttributes"),
    );
    match (
        given(spec, "resourceAttributes"),
        given(spec, "nonResourceAttributes"),
    ) {
        (true, true) => {
            let asked = &spec["nonResourceAttributes"];
            let shown = json!({"Path": text(asked, "path"), "Verb": text(asked, "verb")});
            let detail = "cannot be specified in combination with resourceAttributes";
            errors.push(FieldError::invalid(&other, shown, detail));
        }
        (false, false) => {
            let detail =
                "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            errors.push(FieldError::invalid(&resource, Value::Null, detail));
        }
        _ => {}
    }
    if kind != "SelfSubjectAccessReview"
        && text(spec, "user").is_empty()
        && list(spec, "groups").is_empty()
    {
        let detail = "at least one of user or group must be specified";
        errors.push(FieldError::invalid(&path.child("user"), "", detail));
    }
    for field in ["fieldSelector", "labelSelector"] {
        let selector = &spec["resourceAttributes"][field];
        if !selector.is_null() {
            errors.extend(faults_of_selector(selector, &resource.child(field)));
        }
    }
    if kind == "LocalSubjectAccessReview" && given(spec, "resourceAttributes") {
        let asked = text(&spec["resourceAttributes"], "namespace");
        if asked != meta::namespace(review) {
            let at = resource.child("namespace");
            errors.push(FieldError::invalid(
                &at,
                asked,
                "must match metadata.namespace",
            ));
        }
    } else if kind == "LocalSubjectAccessReview" && given(spec, "nonResourceAttributes") {
        let detail = "disallowed on this kind of request";
        errors.push(FieldError::invalid(&other, Value::Null, detail));
    }
    errors
}

/// A selector is given as text or as requirements, not as both.
fn faults_of_selector(selector: &Value, path: &Path) -> Vec<FieldError> {
    let raw = text(selector, "rawSelector");
    let requirements = list(selector, "requirements");
    let mut errors = Vec::new();
    if !raw.is_empty() && !requirements.is_empty() {
        let detail = "may not specified at the same time as requirements";
        errors.push(FieldError::invalid(&path.child("rawSelector"), raw, detail));
    }
    if raw.is_empty() && requirements.is_empty() {
        let detail = format!("when {path} is specified, requirements or rawSelector is required");
        errors.push(FieldError::required(&path.child("requirements"), detail));
    }
    for (index, requirement) in requirements.iter().enumerate() {
        let at = path.child("requirements").index(index);
        if text(requirement, "key").is_empty() {
            errors.push(FieldError::required(&at.child("key"), "must be specified"));
        }
        let (operator, values) = (text(requirement, "operator"), list(requirement, "values"));
        match operator {
            "In" | "NotIn" if values.is_empty() => errors.push(FieldError::required(
                &at.child("values"),
                "must be specified when `operator` is 'In' or 'NotIn'",
            )),
            "Exists" | "DoesNotExist" if !values.is_empty() => errors.push(FieldError::forbidden(
                &at.child("values"),
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            )),
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.push(FieldError::invalid(
                &at.child("operator"),
                other,
                "not a valid selector operator",
            )),
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::texts;

    #[test]
    fn a_question_is_about_somebody_and_one_thing() {
        let spec = |spec: Value| json!({"metadata": {"namespace": "a"}, "spec": spec});
        for (kind, asked, want) in [
            (
                "SubjectAccessReview",
                json!({"user": "x"}),
                "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified",
            ),
            (
                "SubjectAccessReview",
                json!({"resourceAttributes": {}}),
                r#"spec.user: Invalid value: "": at least one of user or group must be specified"#,
            ),
            (
                "SelfSubjectAccessReview",
                json!({"resourceAttributes": {}, "nonResourceAttributes": {"path": "/", "verb": "get"}}),
                r#"spec.nonResourceAttributes: Invalid value: {"Path":"/","Verb":"get"}: cannot be specified in combination with resourceAttributes"#,
            ),
            (
                "LocalSubjectAccessReview",
                json!({"user": "x", "resourceAttributes": {"namespace": "b"}}),
                r#"spec.resourceAttributes.namespace: Invalid value: "b": must match metadata.namespace"#,
            ),
        ] {
            assert_eq!(texts(&faults(kind, &spec(asked))), [want], "{kind}");
        }
    }
}
