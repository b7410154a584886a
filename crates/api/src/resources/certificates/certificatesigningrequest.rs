//! CertificateSigningRequest (certificates.k8s.io/v1): somebody asks a signer for a certificate, somebody else approves.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::field::{FieldError, Path};
use crate::names::{self, Rule};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy, Subresource};
use crate::resources::columns::{AGE, NAME, cell};
use crate::resources::object::{ensure, int, list, put, text};
use crate::{meta, table};

/// The shortest validity that may be asked for.
const SHORTEST: i64 = 600;
/// What a certificate may be used for.
pub(crate) const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "certificates.k8s.io",
        version: "v1",
        kind: "CertificateSigningRequest",
        list_kind: "CertificateSigningRequestList",
        plural: "certificatesigningrequests",
        singular: "certificatesigningrequest",
        short_names: &["csr"],
        categories: &[],
        scope: Scope::Cluster,
        verbs: ALL_VERBS,
        subresources: &[Subresource::Approval, Subresource::Status],
        columns: COLUMNS,
        strategy: &Rules,
    }
}

struct Rules;

impl Strategy for Rules {
    fn default(&self, object: &mut Value) {
        ensure(object, "status");
    }

    fn prepare_create(&self, object: &mut Value) {
        put(object, "status", json!({}));
    }

    /// What was asked for stays, and the status has places of its own.
    fn prepare_update(&self, new: &mut Value, old: &Value) {
        for field in ["spec", "status"] {
            if let (Some(new), Some(old)) = (new.as_object_mut(), old.get(field)) {
                new.insert(field.to_owned(), old.clone());
            }
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let mut errors = Vec::new();
        let request = text(spec, "request");
        let at = path.child("request");
        let pem = STANDARD.decode(request).unwrap_or_default();
        if !String::from_utf8_lossy(&pem).contains("-----BEGIN CERTIFICATE REQUEST-----") {
            let detail = "PEM block type must be CERTIFICATE REQUEST";
            errors.push(FieldError::invalid(&at, request, detail));
        }
        let at = path.child("usages");
        let usages = list(spec, "usages");
        if usages.is_empty() {
            errors.push(FieldError::required(&at, ""));
        }
        for (index, usage) in usages.iter().enumerate() {
            let name = usage.as_str().unwrap_or_default();
            if !USAGES.contains(&name) {
                errors.push(FieldError::not_supported(&at.index(index), name, USAGES));
            }
            if usages[..index].contains(usage) {
                errors.push(FieldError::duplicate(&at.index(index), name));
            }
        }
        errors.extend(faults_of_signer(
            text(spec, "signerName"),
            &path.child("signerName"),
        ));
        if let Some(seconds) = int(spec, "expirationSeconds")
            && seconds < SHORTEST
        {
            let detail = format!("may not specify a duration less than {SHORTEST} seconds");
            errors.push(FieldError::invalid(
                &path.child("expirationSeconds"),
                seconds,
                detail,
            ));
        }
        errors
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let path = Path::new("status").child("conditions");
        let (now, before) = (
            list(&new["status"], "conditions"),
            list(&old["status"], "conditions"),
        );
        let mut errors = Vec::new();
        for (index, condition) in now.iter().enumerate() {
            let (at, kind) = (path.index(index), text(condition, "type"));
            if kind.is_empty() {
                errors.push(FieldError::required(&at.child("type"), ""));
            }
            if text(condition, "status").is_empty() {
                errors.push(FieldError::required(&at.child("status"), ""));
            }
            let status = text(condition, "status");
            if matches!(kind, "Approved" | "Denied" | "Failed") && !matches!(status, "" | "True") {
                errors.push(FieldError::not_supported(
                    &at.child("status"),
                    status,
                    &["True"],
                ));
            }
            if now[..index].iter().any(|other| text(other, "type") == kind) {
                errors.push(FieldError::duplicate(&at.child("type"), kind));
            }
        }
        let has = |conditions: &[Value], kind: &str| {
            conditions
                .iter()
                .any(|condition| text(condition, "type") == kind)
        };
        if has(now, "Approved") && has(now, "Denied") {
            let detail = "Approved and Denied conditions are mutually exclusive";
            errors.push(FieldError::invalid(&path, now.to_vec(), detail));
        }
        for kind in ["Approved", "Denied", "Failed"] {
            if has(before, kind) && !has(now, kind) {
                let detail = format!("updates may not remove a condition of type {kind:?}");
                errors.push(FieldError::forbidden(&path, detail));
            }
        }
        errors
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let spec = &object["spec"];
        let duration = int(spec, "expirationSeconds")
            .map_or_else(|| "<none>".to_owned(), table::human_duration);
        vec![
            meta::name(object).into(),
            table::age(object, now),
            match text(spec, "signerName") {
                "" => "<none>".into(),
                signer => signer.into(),
            },
            text(spec, "username").into(),
            duration.into(),
            state(object).into(),
        ]
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        vec![(
            "spec.signerName",
            text(&object["spec"], "signerName").to_owned(),
        )]
    }

    /// Any name goes that can stand in a path.
    fn name_rule(&self) -> Rule {
        names::path_segment
    }
}

/// Where a request is on its way.
fn state(object: &Value) -> String {
    let mut states: Vec<&str> = Vec::new();
    for condition in list(&object["status"], "conditions") {
        states.push(text(condition, "type"));
    }
    let decided = |kind: &&str| states.contains(kind);
    let mut shown = vec![
        ["Denied", "Approved"]
            .into_iter()
            .find(decided)
            .unwrap_or("Pending"),
    ];
    shown.extend(["Failed"].into_iter().find(decided));
    if !text(&object["status"], "certificate").is_empty() {
        shown.push("Issued");
    }
    shown.join(",")
}

/// `<domain>/<path>`, as in `kubernetes.io/kube-apiserver-client`.
fn faults_of_signer(signer: &str, path: &Path) -> Vec<FieldError> {
    if signer.is_empty() {
        return vec![FieldError::required(path, "")];
    }
    if signer == "kubernetes.io/legacy-unknown" {
        let detail = "the legacy signerName is not allowed via this API version";
        return vec![FieldError::invalid(path, signer, detail)];
    }
    let Some((domain, rest)) = signer.split_once('/') else {
        let detail =
            "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        return vec![FieldError::invalid(path, signer, detail)];
    };
    let mut errors: Vec<FieldError> = names::dns1123_subdomain(domain, false)
        .into_iter()
        .map(|fault| {
            FieldError::invalid(
                path,
                domain,
                format!("validating label {domain:?}: {fault}"),
            )
        })
        .collect();
    if !domain.contains('.') {
        let detail = "should be a domain with at least two segments separated by dots";
        errors.push(FieldError::invalid(path, domain, detail));
    }
    if rest.is_empty() {
        errors.push(FieldError::required(
            path,
            "validating label \"\": may not be empty",
        ));
    }
    errors
}

const COLUMNS: &[Column] = &[
    NAME,
    AGE,
    cell("SignerName", "Who is asked for the certificate"),
    cell("Requestor", "The name of the user that asks"),
    cell(
        "RequestedDuration",
        "How long the certificate is to be valid",
    ),
    cell("Condition", "Where the request is on its way"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::texts;

    #[test]
    fn a_request_names_a_signer_and_what_it_is_for() {
        let asked = json!({"spec": {"request": "", "signerName": "nodomain", "usages": []}});
        assert_eq!(
            texts(&Rules.validate(&asked)),
            [
                r#"spec.request: Invalid value: "": PEM block type must be CERTIFICATE REQUEST"#,
                "spec.usages: Required value",
                r#"spec.signerName: Invalid value: "nodomain": must be a fully qualified domain and path of the form 'example.com/signer-name'"#,
            ]
        );
    }

    #[test]
    fn a_decision_stays_and_is_one() {
        let of = |kinds: &[&str]| {
            let conditions: Vec<Value> = kinds
                .iter()
                .map(|kind| json!({"type": kind, "status": "True"}))
                .collect();
            json!({"status": {"conditions": conditions}})
        };
        let check =
            |new: &[&str], old: &[&str]| texts(&Rules.validate_status_update(&of(new), &of(old)));
        assert!(check(&["Approved"], &[]).is_empty());
        assert_eq!(
            check(&[], &["Denied"]),
            [
                r#"status.conditions: Forbidden: updates may not remove a condition of type "Denied""#
            ]
        );
        assert_eq!(check(&["Approved", "Denied"], &[]).len(), 1);
        assert_eq!(state(&of(&["Approved"])), "Approved");
        assert_eq!(state(&of(&[])), "Pending");
    }
}
