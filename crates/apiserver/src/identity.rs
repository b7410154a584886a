//! Who calls, by client certificate, and what they may do. Knows no kinds.

use plinth_api::Status;
use serde_json::Value;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::route::{ResourcePath, Target};

/// Members of this group may do everything.
const MASTERS: &str = "system:masters";

/// An authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserInfo {
    /// The user's name: the common name of the certificate.
    pub name: String,
    /// The user's groups: the organizations of the certificate.
    pub groups: Vec<String>,
}

impl UserInfo {
    /// An identity of a part of this process, which may do everything.
    pub fn internal(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            groups: vec![MASTERS.to_owned()],
        }
    }

    /// The product that a part of this process would be upstream, by the name its user has there.
    pub(crate) fn agent(&self) -> &str {
        match self.name.strip_prefix("system:") {
            Some(name) if name.starts_with("node:") => "kubelet",
            Some(name) => name,
            None => &self.name,
        }
    }

    /// The identity in a client certificate, or `None` when it has no common name.
    pub(crate) fn from_certificate(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let subject = certificate.subject();
        let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
        let groups = subject
            .iter_organization()
            .filter_map(|o| o.as_str().ok().map(ToOwned::to_owned))
            .collect();
        Some(Self { name, groups })
    }

    fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == MASTERS)
    }
}

/// Says no when the caller may not do this. Health and version are open to everybody, as upstream leaves them.
pub(crate) fn authorize(
    user: Option<&UserInfo>,
    verb: &str,
    path: &str,
    target: &Target,
) -> Result<(), Status> {
    if matches!(target, Target::Health { .. } | Target::Version) {
        return Ok(());
    }
    let user = user.ok_or_else(Status::unauthorized)?;
    if user.is_master() {
        return Ok(());
    }
    match target {
        Target::Resource(resource) => Err(refuse(user, verb, resource)),
        _ => Err(Status::forbidden_path(path, &user.name, verb)),
    }
}

fn refuse(user: &UserInfo, verb: &str, path: &ResourcePath) -> Status {
    let resource = path.kind.resource;
    let plural = match path.subresource {
        Some(subresource) => format!("{}/{}", resource.plural, subresource.name()),
        None => resource.plural.to_owned(),
    };
    let place = match &path.namespace {
        Some(namespace) => format!("in the namespace {}", Value::from(namespace.as_str())),
        None => "at the cluster scope".to_owned(),
    };
    let why = format!(
        "User {} cannot {verb} resource {} in API group {} {place}",
        Value::from(user.name.as_str()),
        Value::from(plural),
        Value::from(resource.group),
    );
    Status::forbidden(resource, path.name.as_deref().unwrap_or_default(), &why)
}
