//! What validating and mutating policies share: variables, and bindings to parameters. Expressions are text here.

use serde_json::Value;

use super::matching;
use crate::admission::{Offers, Variables, scope};
use crate::field::{FieldError, Path};
use crate::names;
use crate::resources::checks::{each, label_selector};
use crate::resources::object::{given, list, text};

const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Faults of what both sorts of policies have, up to their variables.
pub(super) fn common(spec: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = matching::failure_policy(spec, path).into_iter().collect();
    errors.extend(matching::param_kind(spec, path));
    let (constraints, at) = (&spec["matchConstraints"], path.child("matchConstraints"));
    if constraints.is_object() {
        errors.extend(matching::resources(constraints, &at));
        if list(constraints, "resourceRules").is_empty() {
            errors.push(FieldError::required(&at.child("resourceRules"), ""));
        }
    } else {
        errors.push(FieldError::required(&at, ""));
    }
    let offers = Offers::of_policy(spec);
    let at = path.child("matchConditions");
    errors.extend(matching::conditions(spec, &at, offers));
    let variables = Variables::read(spec, &mut scope(offers));
    let variables = list(spec, "variables").iter().zip(variables.expressions());
    for (index, (variable, expression)) in variables.enumerate() {
        let at = path.child("variables").index(index);
        let name = text(variable, "name");
        if name.trim().is_empty() {
            let detail = "name is not specified";
            errors.push(FieldError::required(&at.child("name"), detail));
        } else if !identifier(name) {
            let detail = "name is not a valid CEL identifier";
            errors.push(FieldError::invalid(&at.child("name"), name, detail));
        }
        if text(variable, "expression").trim().is_empty() {
            let detail = "expression is not specified";
            errors.push(FieldError::required(&at.child("expression"), detail));
        } else {
            errors.extend(matching::unusable(expression, &at.child("expression")));
        }
    }
    errors
}

fn identifier(name: &str) -> bool {
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let goes_on = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    begins && goes_on && !RESERVED.contains(&name)
}

/// Faults of what both sorts of bindings have.
pub(super) fn binding(spec: &Value, path: &Path) -> Vec<FieldError> {
    let (policy, at) = (text(spec, "policyName"), path.child("policyName"));
    let mut errors = if policy.is_empty() {
        vec![FieldError::required(&at, "")]
    } else {
        each(names::dns1123_subdomain(policy, false), &at, policy)
    };
    if given(spec, "paramRef") {
        errors.extend(param_ref(&spec["paramRef"], &path.child("paramRef")));
    }
    if given(spec, "matchResources") {
        // The field's name is misspelt upstream.
        let at = path.child("matchResouces");
        errors.extend(matching::resources(&spec["matchResources"], &at));
    }
    errors
}

fn param_ref(reference: &Value, path: &Path) -> Vec<FieldError> {
    let (name, selects) = (text(reference, "name"), given(reference, "selector"));
    let both = "name and selector are mutually exclusive";
    let mut errors = Vec::new();
    if !name.is_empty() {
        let at = path.child("name");
        errors.extend(each(names::path_segment(name, false), &at, name));
        if selects {
            errors.push(FieldError::forbidden(&at, both));
        }
    }
    if selects {
        let at = path.child("selector");
        errors.extend(label_selector(&reference["selector"], &at));
        if !name.is_empty() {
            errors.push(FieldError::forbidden(&at, both));
        }
    }
    if name.is_empty() && !selects {
        let detail = "one of name or selector must be specified";
        errors.push(FieldError::required(path, detail));
    }
    let (action, set) = (
        text(reference, "parameterNotFoundAction"),
        &["Deny", "Allow"],
    );
    let at = path.child("parameterNotFoundAction");
    if action.is_empty() {
        errors.push(FieldError::required(&at, ""));
    } else if !set.contains(&action) {
        errors.push(FieldError::not_supported(&at, action, set));
    }
    errors
}

/// The kind of a policy's parameters, as a row shows it.
pub(super) fn shown_param_kind(object: &Value) -> String {
    let kind = &object["spec"]["paramKind"];
    if kind.is_object() {
        format!("{}/{}", text(kind, "apiVersion"), text(kind, "kind"))
    } else {
        "<unset>".to_owned()
    }
}

/// A binding's parameters, as a row shows them.
pub(super) fn shown_param_ref(object: &Value) -> String {
    let reference = &object["spec"]["paramRef"];
    if !reference.is_object() {
        return "<unset>".to_owned();
    }
    let what = match text(reference, "name") {
        "" => "*",
        name => name,
    };
    match text(reference, "namespace") {
        "" => what.to_owned(),
        namespace => format!("{namespace}/{what}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::testing::texts;

    #[test]
    fn variables_are_identifiers() {
        for (name, fine) in [
            ("n", true),
            ("_a1", true),
            ("1a", false),
            ("if", false),
            ("a-b", false),
        ] {
            assert_eq!(identifier(name), fine, "{name}");
        }
    }

    #[test]
    fn parameters_are_named_or_selected() {
        let spec = |reference: Value| json!({"policyName": "p", "paramRef": reference});
        let faults = |reference: Value| texts(&binding(&spec(reference), &Path::new("spec")));
        assert!(faults(json!({"name": "a", "parameterNotFoundAction": "Deny"})).is_empty());
        assert_eq!(
            faults(json!({})),
            [
                "spec.paramRef: Required value: one of name or selector must be specified",
                "spec.paramRef.parameterNotFoundAction: Required value",
            ]
        );
    }
}
