//! How the server reaches a webhook: a URL or a Service. Shared by the kinds that have webhooks.

use serde_json::Value;

use super::object::{given, int, text};
use crate::field::{FieldError, Path};
use crate::names;

/// Where a webhook is called: a URL or a Service.
pub(crate) fn faults(client: &Value, path: &Path) -> Vec<FieldError> {
    match (client["url"].as_str(), given(client, "service")) {
        (Some(url), false) => url_faults(url, &path.child("url")),
        (None, true) => service_faults(&client["service"], &path.child("service")),
        _ => {
            let detail = "exactly one of url or service is required";
            vec![FieldError::required(path, detail)]
        }
    }
}

/// The URL of a webhook: a host and a path, nothing else.
fn url_faults(url: &str, at: &Path) -> Vec<FieldError> {
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

fn service_faults(service: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (field, detail) in [
        ("name", "service name is required"),
        ("namespace", "service namespace is required"),
    ] {
        if text(service, field).is_empty() {
            errors.push(FieldError::required(&path.child(field), detail));
        }
    }
    if let Some(port) = int(service, "port")
        && let Some(detail) = names::port_number(port)
    {
        let detail = format!("port is not valid: {detail}");
        errors.push(FieldError::invalid(&path.child("port"), port, detail));
    }
    errors.extend(path_faults(text(service, "path"), &path.child("path")));
    errors
}

fn path_faults(value: &str, at: &Path) -> Vec<FieldError> {
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
            let told = faults(&json!({"url": url}), &Path::new("c"));
            assert_eq!(texts(&told), expected, "{url}");
        }
    }

    #[test]
    fn services_of_webhooks_have_a_path_of_names() {
        let service = |path: &str| {
            let client =
                json!({"service": {"name": "s", "namespace": "n", "port": 443, "path": path}});
            texts(&faults(&client, &Path::new("c")))
        };
        assert!(service("/p/q/").is_empty());
        assert_eq!(
            service("/p//q"),
            [r#"c.service.path: Invalid value: "/p//q": segment[1] may not be empty"#]
        );
        assert_eq!(
            texts(&faults(&json!({}), &Path::new("c"))),
            ["c: Required value: exactly one of url or service is required"]
        );
    }
}
