//! Validation of probes and lifecycle hooks.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::resources::checks::{each, not_negative, one_of};
use crate::resources::object::{given, int, list, text};

/// The lifecycle hooks and probes of a container that runs on its own.
pub(super) fn validate_handlers(container: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for hook in ["postStart", "preStop"] {
        if given(&container["lifecycle"], hook) {
            let at = path.child("lifecycle").child(hook);
            errors.extend(handler(&container["lifecycle"][hook], &at, true));
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if given(container, name) {
            errors.extend(probe(&container[name], &path.child(name), name));
        }
    }
    errors
}

fn probe(probe: &Value, path: &Path, name: &str) -> Vec<FieldError> {
    let mut errors = handler(probe, path, false);
    for field in [
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ] {
        errors.extend(not_negative(probe, field, path));
    }
    let at = path.child("terminationGracePeriodSeconds");
    if let Some(grace) = int(probe, "terminationGracePeriodSeconds") {
        if grace <= 0 {
            errors.push(FieldError::invalid(&at, grace, "must be greater than 0"));
        }
        if name == "readinessProbe" {
            errors.push(FieldError::invalid(
                &at,
                grace,
                "must not be set for readinessProbes",
            ));
        }
    }
    let successes = int(probe, "successThreshold").unwrap_or(1);
    if name != "readinessProbe" && successes != 1 {
        errors.push(FieldError::invalid(
            &path.child("successThreshold"),
            successes,
            "must be 1",
        ));
    }
    errors
}

fn handler(handler: &Value, path: &Path, hook: bool) -> Vec<FieldError> {
    let (mut errors, mut handlers) = (Vec::new(), 0);
    for kind in ["exec", "httpGet", "tcpSocket", "grpc", "sleep"] {
        if !given(handler, kind) {
            continue;
        }
        let at = path.child(kind);
        if handlers > 0 {
            errors.push(FieldError::forbidden(
                &at,
                "may not specify more than 1 handler type",
            ));
            continue;
        }
        handlers += 1;
        let action = &handler[kind];
        match kind {
            "exec" if list(action, "command").is_empty() => {
                errors.push(FieldError::required(&at.child("command"), ""));
            }
            "httpGet" => {
                if text(action, "path").is_empty() {
                    errors.push(FieldError::required(&at.child("path"), ""));
                }
                errors.extend(port(&action["port"], &at.child("port")));
                errors.extend(one_of(action, "scheme", &at, &["HTTP", "HTTPS"], false));
            }
            "tcpSocket" | "grpc" => errors.extend(port(&action["port"], &at.child("port"))),
            "sleep" if hook && int(action, "seconds").unwrap_or(0) < 0 => {
                let detail = "must be greater than or equal to 0";
                errors.push(FieldError::invalid(
                    &at.child("seconds"),
                    action["seconds"].clone(),
                    detail,
                ));
            }
            _ => {}
        }
    }
    if handlers == 0 {
        errors.push(FieldError::required(path, "must specify a handler type"));
    }
    errors
}

/// A port given by number or by the name of a container's port.
pub(crate) fn port(port: &Value, path: &Path) -> Vec<FieldError> {
    match port {
        Value::String(name) => each(names::port_name(name), path, name),
        number => {
            let number = number.as_i64().unwrap_or(0);
            names::port_number(number)
                .map(|fault| FieldError::invalid(path, number, fault))
                .into_iter()
                .collect()
        }
    }
}
