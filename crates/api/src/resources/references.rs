//! Checks of references to what is elsewhere: objects of any kind, drivers, programs, webhooks. Knows no kinds.

use serde_json::Value;

use super::checks::each;
use super::object::{given, int, list, text};
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

/// Where a webhook is called: a URL or a Service.
pub(crate) fn webhook_client(client: &Value, path: &Path) -> Vec<FieldError> {
    match (client["url"].as_str(), given(client, "service")) {
        (Some(url), false) => webhook_url(url, &path.child("url")),
        (None, true) => webhook_service(&client["service"], &path.child("service")),
        _ => {
            let detail = "exactly one of url or service is required";
            vec![FieldError::required(path, detail)]
        }
    }
}

/// The URL of a webhook: a host and a path, nothing else.
pub(crate) fn webhook_url(url: &str, at: &Path) -> Vec<FieldError> {
    const FORM: &str = "; desired format: https://host[/path]";
    let mut errors = Vec::new();
    let mut refuse =
        |value: &str, detail: String| errors.push(FieldError::invalid(at, value, detail));
    let (url, fragment) = url.split_once('#').unwrap_or((url, ""));
    let (url, query) = url.split_once('?').unwrap_or((url, ""));
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = if scheme.is_empty() {
        ""
    } else {
        rest.split('/').next().unwrap_or_default()
    };
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if scheme != "https" {
        refuse(
            scheme,
            format!("'https' is the only allowed URL scheme{FORM}"),
        );
    }
    if host.is_empty() {
        refuse(host, format!("host must be specified{FORM}"));
    }
    if !user.is_empty() {
        refuse(
            user,
            "user information is not permitted in the URL".to_owned(),
        );
    }
    if !fragment.is_empty() {
        refuse(
            fragment,
            "fragments are not permitted in the URL".to_owned(),
        );
    }
    if !query.is_empty() {
        refuse(
            query,
            "query parameters are not permitted in the URL".to_owned(),
        );
    }
    errors
}

fn webhook_service(service: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (field, detail) in [
        ("name", "service name is required"),
        ("namespace", "service namespace is required"),
    ] {
        if text(service, field).is_empty() {
            errors.push(FieldError::required(&path.child(field), detail));
        }
    }
    let port = int(service, "port").unwrap_or(0);
    if let Some(detail) = names::port_number(port) {
        let detail = format!("port is not valid: {detail}");
        errors.push(FieldError::invalid(&path.child("port"), port, detail));
    }
    errors.extend(webhook_path(text(service, "path"), &path.child("path")));
    errors
}

fn webhook_path(value: &str, at: &Path) -> Vec<FieldError> {
    let refuse = |detail: String| FieldError::invalid(at, value, detail);
    match value {
        "" | "/" => return Vec::new(),
        "//" => return vec![refuse("segment[0] may not be empty".to_owned())],
        _ => {}
    }
    let mut errors = Vec::new();
    if !value.starts_with('/') {
        errors.push(refuse("must start with a '/'".to_owned()));
    }
    let inner = value.get(1..).unwrap_or_default();
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    for (index, step) in inner.split('/').enumerate() {
        if step.is_empty() {
            errors.push(refuse(format!("segment[{index}] may not be empty")));
            continue;
        }
        let faults = names::dns1123_subdomain(step, false);
        errors.extend(
            faults
                .into_iter()
                .map(|fault| refuse(format!("segment[{index}]: {fault}"))),
        );
    }
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
    use serde_json::json;

    use super::*;
    use crate::resources::testing::texts;

    #[test]
    fn webhooks_are_called_by_https_without_extras() {
        let cases: [(&str, &[&str]); 4] = [
            ("https://hooks.example.com/mutate", &[]),
            (
                "http://x.example.com/a?b",
                &[
                    r#"c.url: Invalid value: "http": 'https' is the only allowed URL scheme; desired format: https://host[/path]"#,
                    r#"c.url: Invalid value: "b": query parameters are not permitted in the URL"#,
                ],
            ),
            (
                "https://u@h/#f",
                &[
                    r#"c.url: Invalid value: "u": user information is not permitted in the URL"#,
                    r#"c.url: Invalid value: "f": fragments are not permitted in the URL"#,
                ],
            ),
            (
                "https:///p",
                &[
                    r#"c.url: Invalid value: "": host must be specified; desired format: https://host[/path]"#,
                ],
            ),
        ];
        for (url, expected) in cases {
            let faults = webhook_client(&json!({"url": url}), &Path::new("c"));
            assert_eq!(texts(&faults), expected, "{url}");
        }
    }

    #[test]
    fn services_of_webhooks_have_a_path_of_names() {
        let service = |path: &str| {
            let client =
                json!({"service": {"name": "s", "namespace": "n", "port": 443, "path": path}});
            texts(&webhook_client(&client, &Path::new("c")))
        };
        assert!(service("/p/q/").is_empty());
        assert_eq!(
            service("/p//q"),
            [r#"c.service.path: Invalid value: "/p//q": segment[1] may not be empty"#]
        );
        assert_eq!(
            texts(&webhook_client(&json!({}), &Path::new("c"))),
            ["c: Required value: exactly one of url or service is required"]
        );
    }

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
