//! `metav1.Status`: the answer of the API for everything that is not an object. Knows texts, not HTTP.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};

use crate::field::{FieldError, aggregate};
use crate::resource::Resource;

/// One cause in a status' details.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// Machine-readable cause, as in `FieldValueInvalid`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The cause in words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The field that caused it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

/// What a status is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Details {
    /// Name of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// API group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The plural resource name; for [`Status::invalid`] the kind.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// UID of the object, on the success of a deletion.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Single faults.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// Seconds after which the client should try again.
    #[serde(rename = "retryAfterSeconds", skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u32>,
}

/// An answer of the API server; as an error, the HTTP code and body of the refusal (§1.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// HTTP code.
    pub code: u16,
    /// Machine-readable reason, as in `NotFound`.
    pub reason: Cow<'static, str>,
    /// The reason in words.
    pub message: String,
    /// What it is about.
    pub details: Option<Details>,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

fn about(resource: &Resource, name: &str) -> Details {
    Details {
        name: name.to_owned(),
        group: resource.stored_group().to_owned(),
        kind: resource.plural.to_owned(),
        ..Details::default()
    }
}

fn quoted(resource: &Resource, name: &str) -> String {
    let group = resource.stored_group();
    let dot = if group.is_empty() { "" } else { "." };
    format!("{}{dot}{group} {}", resource.plural, Value::from(name))
}

impl Status {
    fn plain(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
            message: message.into(),
            details: None,
        }
    }

    /// The object as JSON.
    pub fn to_value(&self) -> Value {
        let outcome = if self.code < 400 {
            "Success"
        } else {
            "Failure"
        };
        let mut value =
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": outcome});
        if !self.message.is_empty() {
            value["message"] = self.message.as_str().into();
        }
        if !self.reason.is_empty() {
            value["reason"] = (*self.reason).into();
        }
        if let Some(details) = &self.details {
            // Serialising strings and lists into a Value cannot fail.
            value["details"] = serde_json::to_value(details).unwrap_or_default();
        }
        // The answer to a deletion is the one success without its code.
        if self.code != 200 {
            value["code"] = self.code.into();
        }
        value
    }

    /// 200: an object was removed at once (A-9b).
    pub fn deleted(resource: &Resource, name: &str, uid: &str) -> Self {
        let details = Details {
            uid: uid.to_owned(),
            ..about(resource, name)
        };
        Self {
            code: 200,
            reason: "".into(),
            message: String::new(),
            details: Some(details),
        }
    }

    /// 404: no such object.
    pub fn not_found(resource: &Resource, name: &str) -> Self {
        if let Some(called) = resource.strategy.name_when_missing() {
            let details = Details {
                kind: called.to_owned(),
                ..about(resource, name)
            };
            return Self {
                details: Some(details),
                ..Self::plain(404, "NotFound", format!("{called} {name:?} not found"))
            };
        }
        Self {
            details: Some(about(resource, name)),
            ..Self::plain(
                404,
                "NotFound",
                format!("{} not found", quoted(resource, name)),
            )
        }
    }

    /// 404: an object of a subresource that does not exist, as in `statefulsets/scale.apps "web" not found` (A-43).
    pub fn subresource_not_found(resource: &Resource, subresource: &str, name: &str) -> Self {
        let kind = format!("{}/{subresource}", resource.plural);
        let dotted = if resource.group.is_empty() {
            kind.clone()
        } else {
            format!("{kind}.{}", resource.group)
        };
        Self {
            details: Some(Details {
                kind,
                ..about(resource, name)
            }),
            ..Self::plain(
                404,
                "NotFound",
                format!("{dotted} {} not found", Value::from(name)),
            )
        }
    }

    /// 404: no such path.
    pub fn no_such_path() -> Self {
        Self {
            details: Some(Details::default()),
            ..Self::plain(
                404,
                "NotFound",
                "the server could not find the requested resource",
            )
        }
    }

    /// 409: an object of this name exists.
    pub fn already_exists(resource: &Resource, name: &str) -> Self {
        Self {
            details: Some(about(resource, name)),
            ..Self::plain(
                409,
                "AlreadyExists",
                format!("{} already exists", quoted(resource, name)),
            )
        }
    }

    /// 409 with a reason in words.
    pub fn conflict(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {}: {why}",
            quoted(resource, name)
        );
        Self {
            details: Some(about(resource, name)),
            ..Self::plain(409, "Conflict", message)
        }
    }

    /// 409 about a kind rather than a resource.
    pub fn kind_conflict(group: &str, kind: &str, name: &str, why: &str) -> Self {
        let dotted = if group.is_empty() {
            kind.to_owned()
        } else {
            format!("{kind}.{group}")
        };
        let message = format!(
            "Operation cannot be fulfilled on {dotted} {}: {why}",
            Value::from(name)
        );
        Self {
            details: Some(Details {
                name: name.to_owned(),
                kind: kind.to_owned(),
                group: group.to_owned(),
                ..Details::default()
            }),
            ..Self::plain(409, "Conflict", message)
        }
    }

    /// 409: the object changed since the resourceVersion the client sent.
    pub fn modified(resource: &Resource, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    /// 422: validation found faults.
    pub fn invalid(resource: &Resource, name: &str, errors: &[FieldError]) -> Self {
        Self::invalid_kind(resource.stored_group(), resource.kind, name, errors)
    }

    /// 422 about a kind that is no resource, such as `CreateOptions.meta.k8s.io`.
    pub fn invalid_kind(group: &str, kind: &str, name: &str, errors: &[FieldError]) -> Self {
        let dotted = if group.is_empty() {
            kind.to_owned()
        } else {
            format!("{kind}.{group}")
        };
        let causes = errors
            .iter()
            .map(|e| Cause {
                reason: e.kind.reason().to_owned(),
                message: e.body(),
                field: e.field.clone(),
            })
            .collect();
        let mut message = format!("{dotted} {} is invalid", Value::from(name));
        if !errors.is_empty() {
            message.push_str(": ");
            message.push_str(&aggregate(errors));
        }
        Self {
            details: Some(Details {
                name: name.to_owned(),
                group: group.to_owned(),
                kind: kind.to_owned(),
                causes,
                ..Details::default()
            }),
            ..Self::plain(422, "Invalid", message)
        }
    }

    /// 422 without a kind: a patch that does not fit the object.
    pub fn unprocessable(message: impl Into<String>) -> Self {
        Self::plain(422, "Invalid", message)
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::plain(400, "BadRequest", message)
    }

    /// 401: no valid identity.
    pub fn unauthorized() -> Self {
        Self::plain(401, "Unauthorized", "Unauthorized")
    }

    /// 403 about an object (or, with an empty name, about a kind).
    pub fn forbidden(resource: &Resource, name: &str, why: &str) -> Self {
        Self::forbidden_resource(resource.group, resource.plural, name, why)
    }

    /// 403 about a resource that need not be one of ours.
    pub fn forbidden_resource(group: &str, plural: &str, name: &str, why: &str) -> Self {
        let dotted = if group.is_empty() {
            plural.to_owned()
        } else {
            format!("{plural}.{group}")
        };
        let subject = if name.is_empty() {
            dotted
        } else {
            format!("{dotted} {}", Value::from(name))
        };
        Self {
            details: Some(Details {
                name: name.to_owned(),
                group: group.to_owned(),
                kind: plural.to_owned(),
                ..Details::default()
            }),
            ..Self::plain(403, "Forbidden", format!("{subject} is forbidden: {why}"))
        }
    }

    /// 403 about a path.
    pub fn forbidden_path(path: &str, user: &str, verb: &str) -> Self {
        let message = format!(
            "forbidden: User {} cannot {verb} path {}",
            Value::from(user),
            Value::from(path)
        );
        Self {
            details: Some(Details::default()),
            ..Self::plain(403, "Forbidden", message)
        }
    }

    /// 403: the namespace is being deleted and takes no new objects.
    pub fn namespace_terminating(resource: &Resource, name: &str, namespace: &str) -> Self {
        let why = format!(
            "unable to create new content in namespace {namespace} because it is being terminated"
        );
        let mut status = Self::forbidden(resource, name, &why);
        if let Some(details) = &mut status.details {
            details.causes.push(Cause {
                reason: "NamespaceTerminating".to_owned(),
                message: format!("namespace {namespace} is being terminated"),
                field: "metadata.namespace".to_owned(),
            });
        }
        status
    }

    /// 405.
    pub fn method_not_allowed() -> Self {
        Self {
            details: Some(Details::default()),
            ..Self::plain(
                405,
                "MethodNotAllowed",
                "the server does not allow this method on the requested resource",
            )
        }
    }

    /// 406: none of the accepted media types can be written.
    pub fn not_acceptable(offered: &[&str]) -> Self {
        let message = format!(
            "only the following media types are accepted: {}",
            offered.join(", ")
        );
        Self::plain(406, "NotAcceptable", message)
    }

    /// 410: a resourceVersion or continue token older than the history kept.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::plain(410, "Expired", message)
    }

    /// 413.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::plain(413, "RequestEntityTooLarge", message)
    }

    /// 415: the body's media type cannot be read.
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::plain(415, "UnsupportedMediaType", message)
    }

    /// 429 with the seconds to wait.
    pub fn too_many_requests(message: impl Into<String>, retry_after: u32) -> Self {
        Self {
            details: Some(Details {
                retry_after_seconds: Some(retry_after),
                ..Details::default()
            }),
            ..Self::plain(429, "TooManyRequests", message)
        }
    }

    /// 500.
    pub fn internal(why: impl fmt::Display) -> Self {
        let cause = Cause {
            reason: String::new(),
            message: why.to_string(),
            field: String::new(),
        };
        Self {
            details: Some(Details {
                causes: vec![cause],
                ..Details::default()
            }),
            ..Self::plain(
                500,
                "InternalError",
                format!("Internal error occurred: {why}"),
            )
        }
    }

    /// 503.
    pub fn service_unavailable(message: impl Into<String>) -> Self {
        Self::plain(503, "ServiceUnavailable", message)
    }

    /// 504 after the given seconds.
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::plain(504, "Timeout", message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Path;
    use crate::find;

    fn sets() -> &'static Resource {
        find("apps", "v1", "statefulsets").unwrap()
    }

    fn pods() -> &'static Resource {
        find("", "v1", "pods").unwrap()
    }

    #[test]
    fn messages_name_the_object() {
        // §1.6
        for (status, code, reason, message) in [
            (
                Status::not_found(sets(), "web"),
                404,
                "NotFound",
                r#"statefulsets.apps "web" not found"#,
            ),
            (
                Status::not_found(pods(), "x"),
                404,
                "NotFound",
                r#"pods "x" not found"#,
            ),
            (
                Status::subresource_not_found(sets(), "scale", "web"),
                404,
                "NotFound",
                r#"statefulsets/scale.apps "web" not found"#,
            ),
            (
                Status::already_exists(sets(), "web"),
                409,
                "AlreadyExists",
                r#"statefulsets.apps "web" already exists"#,
            ),
            (
                Status::modified(sets(), "web"),
                409,
                "Conflict",
                "Operation cannot be fulfilled on statefulsets.apps \"web\": the object has been modified; \
                 please apply your changes to the latest version and try again",
            ),
            (
                Status::forbidden(pods(), "x", "no"),
                403,
                "Forbidden",
                r#"pods "x" is forbidden: no"#,
            ),
            (
                Status::forbidden(pods(), "", "no"),
                403,
                "Forbidden",
                "pods is forbidden: no",
            ),
            (
                Status::forbidden_path("/metrics", "joe", "get"),
                403,
                "Forbidden",
                r#"forbidden: User "joe" cannot get path "/metrics""#,
            ),
            (
                Status::internal("x"),
                500,
                "InternalError",
                "Internal error occurred: x",
            ),
            (Status::unauthorized(), 401, "Unauthorized", "Unauthorized"),
        ] {
            assert_eq!(
                (status.code, &*status.reason, status.message.as_str()),
                (code, reason, message)
            );
        }
    }

    #[test]
    fn validation_lists_its_causes() {
        // A-30
        let errors = [
            FieldError::required(&Path::new("spec.selector"), ""),
            FieldError::invalid(
                &Path::new("spec.replicas"),
                -1,
                "must be greater than or equal to 0",
            ),
        ];
        assert_eq!(
            Status::invalid(sets(), "web", &errors).to_value(),
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 422, "reason": "Invalid",
                "message": "StatefulSet.apps \"web\" is invalid: [spec.selector: Required value, spec.replicas: Invalid value: -1: must be greater than or equal to 0]",
                "details": {"name": "web", "group": "apps", "kind": "StatefulSet", "causes": [
                    {"reason": "FieldValueRequired", "message": "Required value", "field": "spec.selector"},
                    {"reason": "FieldValueInvalid", "message": "Invalid value: -1: must be greater than or equal to 0", "field": "spec.replicas"}]}})
        );
    }

    #[test]
    fn a_deletion_succeeds_with_details() {
        // A-9b
        assert_eq!(
            Status::deleted(sets(), "web", "u").to_value(),
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
                "details": {"name": "web", "group": "apps", "kind": "statefulsets", "uid": "u"}})
        );
    }
}
