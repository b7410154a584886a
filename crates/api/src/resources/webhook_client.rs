//! How the server reaches a webhook: a URL or a Service. Shared by the kinds that have webhooks.

use serde_json::Value;

use super::object::{int, text};
use crate::field::{FieldError, Path};
use crate::names;

/// The faults of a `WebhookClientConfig`.
pub(crate) fn faults(client: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let (url, service) = (&client["url"], &client["service"]);
    if url.is_string() == service.is_object() {
        let why = "exactly one of url or service is required";
        errors.push(FieldError::required(path, why));
    } else if let Some(url) = url.as_str() {
        of_url(url, &path.child("url"), errors);
    } else {
        of_service(service, &path.child("service"), errors);
    }
}

fn of_url(url: &str, path: &Path, errors: &mut Vec<FieldError>) {
    const FORM: &str = "; desired format: https://host[/path]";
    let mut say = |shown: &str, why: &str| {
        errors.push(FieldError::invalid(path, shown, format!("{why}{FORM}")));
    };
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    if scheme != "https" {
        let why = "'https' is the only allowed URL scheme";
        return say(scheme, why);
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, tail) = rest.split_at(end);
    if host.is_empty() {
        return say(host, "host must be specified");
    }
    if host.contains('@') {
        return say(host, "user information is not permitted in the URL");
    }
    if let Some((_, fragment)) = tail.split_once('#') {
        return say(fragment, "fragments are not permitted in the URL");
    }
    if let Some((_, query)) = tail.split_once('?') {
        say(query, "query parameters are not permitted in the URL");
    }
}

fn of_service(service: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for (field, why) in [
        ("name", "service name is required"),
        ("namespace", "service namespace is required"),
    ] {
        if text(service, field).is_empty() {
            errors.push(FieldError::required(&path.child(field), why));
        }
    }
    if let Some(port) = int(service, "port")
        && let Some(why) = names::port_number(port)
    {
        let why = format!("port is not valid: {why}");
        errors.push(FieldError::invalid(&path.child("port"), port, why));
    }
    let Some(given) = service["path"].as_str() else {
        return;
    };
    let place = path.child("path");
    if !given.starts_with('/') {
        let why = "must start with a '/'";
        errors.push(FieldError::invalid(&place, given, why));
    } else if given != "/" && given.trim_end_matches('/').contains("//") {
        let why = "segment[1] may not be empty";
        errors.push(FieldError::invalid(&place, given, why));
    }
}
