//! Checks of references to what is elsewhere: objects of any kind, drivers, programs. Knows no kinds.

use serde_json::Value;

use super::checks::each;
use super::object::{list, text};
use crate::field::{FieldError, Path};
use crate::names;

/// A driver's name may have this many characters.
const DRIVER_MAX: usize = 63;

/// A reference to an object by group, kind and name, in the same namespace or without one.
pub(crate) fn typed_reference(reference: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(group) = reference["apiGroup"].as_str() {
        let faults = names::dns1123_subdomain(group, false);
        errors.extend(each(faults, &path.child("apiGroup"), group));
    }
    for field in ["kind", "name"] {
        let (value, at) = (text(reference, field), path.child(field));
        if value.is_empty() {
            errors.push(FieldError::required(&at, ""));
        } else {
            errors.extend(each(names::path_segment(value, false), &at, value));
        }
    }
    errors
}

/// The name of a program, as in `acme.io/foo`.
pub(crate) fn domain_prefixed_path(value: &str, at: &Path) -> Vec<FieldError> {
    if value.is_empty() {
        return vec![FieldError::required(at, "")];
    }
    let Some((host, path)) = value
        .split_once('/')
        .filter(|(host, path)| !host.is_empty() && !path.is_empty())
    else {
        let detail = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        return vec![FieldError::invalid(at, value, detail)];
    };
    let mut errors = each(names::dns1123_subdomain(host, false), at, host);
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&byte);
    if !path.bytes().all(fine) {
        let detail =
            "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')";
        errors.push(FieldError::invalid(at, path, detail));
    }
    errors
}

/// The name of a storage driver: a domain name of at most a label's length.
pub(crate) fn driver_name(name: &str, at: &Path) -> Vec<FieldError> {
    if name.is_empty() {
        return vec![FieldError::required(at, "")];
    }
    let mut errors = Vec::new();
    if name.len() > DRIVER_MAX {
        errors.push(FieldError::too_long(at, DRIVER_MAX));
    }
    let faults = names::dns1123_subdomain(&name.to_lowercase(), false);
    errors.extend(each(faults, at, name));
    errors
}

/// Texts of a list that must be there and of a set, with `*` standing alone.
pub(crate) fn wildcard_alone(
    object: &Value,
    field: &str,
    path: &Path,
    what: &str,
) -> Vec<FieldError> {
    let values = list(object, field);
    if values.len() > 1 && values.iter().any(|value| value == "*") {
        let detail = format!("if '*' is present, must not specify other {what}");
        return vec![FieldError::invalid(
            &path.child(field),
            values.to_vec(),
            detail,
        )];
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::texts;

    #[test]
    fn programs_are_named_by_domain_and_path() {
        let faults = |value: &str| texts(&domain_prefixed_path(value, &Path::new("c")));
        assert!(faults("example.com/ingress").is_empty());
        assert_eq!(
            faults("/x"),
            [r#"c: Invalid value: "/x": must be a domain-prefixed path (such as "acme.io/foo")"#]
        );
    }
}
