//! Revisions of a pod template: their bytes, names and order (A-32..A-41). Pure; knows no particular
//! workload.

mod hash;
mod json;

use std::cmp::Ordering;

use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::ResourceExt;
use serde_json::{Value, json};

pub(crate) use hash::name_hash;
pub(crate) use json::canonical;

/// The label that carries a revision's hash.
pub(crate) const HASH_LABEL: &str = "controller.kubernetes.io/hash";

/// Room for the workload's name in a revision's name: the hash and its dash fit in 253 bytes.
const NAME_LIMIT: usize = 223;

/// What a revision keeps of a workload: a strategic-merge patch that restores its template.
pub(crate) fn data(mut template: Value) -> Value {
    if let Some(fields) = template.as_object_mut() {
        fields.insert("$patch".to_owned(), json!("replace"));
    }
    json!({ "spec": { "template": template } })
}

/// The template that a revision's data restores.
pub(crate) fn template(data: &Value) -> Option<Value> {
    let mut template = data.pointer("/spec/template")?.clone();
    template.as_object_mut()?.remove("$patch");
    Some(template)
}

/// The name of a revision of `owner` with that hash.
pub(crate) fn revision_name(owner: &str, hash: &str) -> String {
    // Object names are ASCII, so any byte is a boundary.
    let owner = owner.get(..NAME_LIMIT).unwrap_or(owner);
    format!("{owner}-{hash}")
}

/// A revision's data in the one form that is compared.
pub(crate) fn canonical_data(revision: &ControllerRevision) -> String {
    revision
        .data
        .as_ref()
        .map(|data| canonical(&data.0))
        .unwrap_or_default()
}

/// Oldest first: by number, then age, then name.
pub(crate) fn by_age(a: &ControllerRevision, b: &ControllerRevision) -> Ordering {
    a.revision
        .cmp(&b.revision)
        .then_with(|| a.creation_timestamp().cmp(&b.creation_timestamp()))
        .then_with(|| a.name_any().cmp(&b.name_any()))
}
