//! Who may do what: masters everything, nodes what their pods need, everybody else what roles say; the rest is refused.
//! Knows users and requests, not credentials and not what is done.

mod bootstrap;
pub(crate) mod escalation;
mod node;
mod rbac;
mod request;

use plinth_api::Status;
use serde_json::Value;

pub(crate) use bootstrap::run as bootstrap;
pub(crate) use rbac::{Rbac, Rule};
pub(crate) use request::Request;

use crate::authentication::UserInfo;
use crate::server::Core;

/// A question: may this user do that?
#[derive(Clone, Debug)]
pub(crate) struct Attributes<'a> {
    pub(crate) user: &'a UserInfo,
    pub(crate) verb: &'a str,
    pub(crate) subject: Subject<'a>,
    /// What of a list, a watch or a deletion of many is asked for.
    pub(crate) selectors: Option<&'a Selectors>,
}

/// To what something is to be done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject<'a> {
    /// Objects of the API; what is not said is empty.
    Resource {
        group: &'a str,
        resource: &'a str,
        subresource: &'a str,
        namespace: &'a str,
        name: &'a str,
    },
    /// A path that is none of an object.
    Path(&'a str),
}

/// The selectors of a request, as far as authorization understands them: fields that must have a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selectors {
    pub(crate) fields: Vec<(String, String)>,
}

impl Selectors {
    fn requires(&self, field: &str, value: &str) -> bool {
        self.fields
            .iter()
            .any(|(name, wanted)| name == field && wanted == value)
    }
}

/// An answer, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) allowed: bool,
    /// May be empty.
    pub(crate) reason: String,
}

impl Attributes<'_> {
    /// 403 in upstream's words.
    pub(crate) fn refusal(&self, reason: &str) -> Status {
        let (user, verb) = (Value::from(self.user.name.as_str()), self.verb);
        let because = if reason.is_empty() {
            String::new()
        } else {
            format!(": {reason}")
        };
        match self.subject {
            Subject::Path(path) => {
                let mut status = Status::forbidden_path(path, &self.user.name, verb);
                status.message.push_str(&because);
                status
            }
            Subject::Resource {
                group,
                resource,
                subresource,
                namespace,
                name,
            } => {
                let what = if subresource.is_empty() {
                    resource.to_owned()
                } else {
                    format!("{resource}/{subresource}")
                };
                let place = if namespace.is_empty() {
                    "at the cluster scope".to_owned()
                } else {
                    format!("in the namespace {}", Value::from(namespace))
                };
                let why = format!(
                    "User {user} cannot {verb} resource {} in API group {} {place}{because}",
                    Value::from(what),
                    Value::from(group)
                );
                Status::forbidden_resource(group, resource, name, &why)
            }
        }
    }
}

impl Core {
    /// Whether this may be done, and why.
    pub(crate) fn decide(&self, attributes: &Attributes<'_>) -> Decision {
        if attributes.user.is_master() {
            return Decision {
                allowed: true,
                reason: String::new(),
            };
        }
        if let Some(node) = attributes.user.node()
            && node::allows(self, node, attributes)
        {
            return Decision {
                allowed: true,
                reason: String::new(),
            };
        }
        self.rbac.decide(attributes)
    }

    /// 403 when this may not be done.
    pub(crate) fn authorize(&self, attributes: &Attributes<'_>) -> Result<(), Status> {
        let decision = self.decide(attributes);
        if decision.allowed {
            Ok(())
        } else {
            Err(attributes.refusal(&decision.reason))
        }
    }
}
