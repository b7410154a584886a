//! Requests for certificates say who made them; only those who may `approve` or `sign` for a signer decide and issue; and
//! nobody becomes a master by certificate.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use plinth_api::Status;
use serde_json::Value;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use crate::authentication::{MASTERS, UserInfo};
use crate::authorization::{Attributes, Subject};
use crate::kind::Kind;
use crate::server::Core;
use crate::write::{meta_text, timestamp};

const GROUP: &str = "certificates.k8s.io";
const CLIENT: &str = "kubernetes.io/kube-apiserver-client";

fn is_request(kind: &Kind) -> bool {
    kind.resource.group == GROUP && kind.resource.plural == "certificatesigningrequests"
}

/// A new request is its author's, whatever it says.
pub(super) fn admit(user: &UserInfo, kind: &Kind, object: &mut Value) -> Result<(), Status> {
    if !is_request(kind) {
        return Ok(());
    }
    let name = meta_text(object, "name").to_owned();
    let spec = &mut object["spec"];
    let author = user.to_value();
    for field in ["username", "uid", "groups", "extra"] {
        match author.get(field) {
            Some(value) => spec[field] = value.clone(),
            None => {
                if let Some(spec) = spec.as_object_mut() {
                    spec.remove(field);
                }
            }
        }
    }
    if spec["signerName"] == CLIENT && organizations(spec).iter().any(|o| o == MASTERS) {
        let why = format!("use of {CLIENT} signer with {MASTERS} group is not allowed");
        return Err(Status::forbidden(kind.resource, &name, &why));
    }
    Ok(())
}

/// The groups a request asks to be certified.
fn organizations(spec: &Value) -> Vec<String> {
    let pem = STANDARD
        .decode(spec["request"].as_str().unwrap_or_default())
        .unwrap_or_default();
    let Ok((_, pem)) = x509_parser::pem::parse_x509_pem(&pem) else {
        return Vec::new();
    };
    let Ok((_, request)) = X509CertificationRequest::from_der(&pem.contents) else {
        return Vec::new();
    };
    let subject = &request.certification_request_info.subject;
    subject
        .iter_organization()
        .filter_map(|organization| organization.as_str().ok().map(ToOwned::to_owned))
        .collect()
}

/// Approving and denying need the verb `approve` on the signer.
pub(super) fn admit_approval(
    core: &Core,
    user: &UserInfo,
    kind: &Kind,
    new: &mut Value,
    old: &Value,
) -> Result<(), Status> {
    if new["status"]["conditions"] == old["status"]["conditions"] {
        return Ok(());
    }
    may(core, user, kind, old, "approve")?;
    let now = timestamp(Timestamp::now());
    let before = old["status"]["conditions"].as_array();
    for condition in new["status"]["conditions"]
        .as_array_mut()
        .into_iter()
        .flatten()
    {
        let known = before
            .into_iter()
            .flatten()
            .any(|old| old["type"] == condition["type"] && old["status"] == condition["status"]);
        if condition["lastUpdateTime"].is_null() {
            condition["lastUpdateTime"] = now.as_str().into();
        }
        if condition["lastTransitionTime"].is_null() || !known {
            condition["lastTransitionTime"] = now.as_str().into();
        }
    }
    Ok(())
}

/// Issuing, and saying that it failed, need the verb `sign`.
pub(super) fn admit_status(
    core: &Core,
    user: &UserInfo,
    kind: &Kind,
    new: &Value,
    old: &Value,
) -> Result<(), Status> {
    let failed = |object: &Value| {
        let conditions = object["status"]["conditions"].as_array();
        conditions
            .into_iter()
            .flatten()
            .any(|condition| condition["type"] == "Failed")
    };
    let issued = new["status"]["certificate"] != old["status"]["certificate"];
    if !is_request(kind) || !(issued || failed(new) != failed(old)) {
        return Ok(());
    }
    may(core, user, kind, old, "sign")
}

/// Whether somebody may decide for the signer of a request, or for all signers of its domain.
fn may(
    core: &Core,
    user: &UserInfo,
    kind: &Kind,
    request: &Value,
    verb: &str,
) -> Result<(), Status> {
    let signer = request["spec"]["signerName"].as_str().unwrap_or_default();
    let domain = signer.split('/').next().unwrap_or_default();
    let allowed = [signer, &format!("{domain}/*")].into_iter().any(|name| {
        core.decide(&Attributes {
            user,
            verb,
            subject: Subject::Resource {
                group: GROUP,
                resource: "signers",
                subresource: "",
                namespace: "",
                name,
            },
            selectors: None,
        })
        .allowed
    });
    if allowed {
        return Ok(());
    }
    let why = format!("user not permitted to {verb} requests with signerName {signer:?}");
    Err(Status::forbidden(
        kind.resource,
        meta_text(request, "name"),
        &why,
    ))
}
