//! What this server serves, told to clients: one list at a time, or everything at once (K-20).

use std::cmp::Reverse;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use plinth_api::{Resource, Subresource, prefer_version};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::groups::priority;
use crate::kind::{Kind, Kinds};

fn groups(kinds: &Kinds) -> Vec<&'static str> {
    let mut groups: Vec<&'static str> = Vec::new();
    for kind in kinds.iter() {
        if !groups.contains(&kind.resource.group) {
            groups.push(kind.resource.group);
        }
    }
    groups.sort_by_key(|group| (Reverse(priority(group)), *group));
    groups
}

/// The versions of a group, the preferred one first.
fn versions(kinds: &Kinds, group: &str) -> Vec<&'static str> {
    let mut versions: Vec<&'static str> = Vec::new();
    for kind in kinds.iter().filter(|kind| kind.resource.group == group) {
        if !versions.contains(&kind.resource.version) {
            versions.push(kind.resource.version);
        }
    }
    versions.sort_by(|a, b| prefer_version(a, b));
    versions
}

fn of_version(kinds: &Kinds, group: &str, version: &str) -> Vec<Arc<Kind>> {
    let served = kinds
        .iter()
        .filter(|kind| kind.resource.group == group && kind.resource.version == version);
    let mut served: Vec<_> = served.collect();
    served.sort_by_key(|kind| kind.resource.plural);
    served
}

fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    }
}

/// The kind a subresource reads and writes: group, version, kind. Empty group and version are the resource's own.
fn response_kind(
    resource: &Resource,
    subresource: Subresource,
) -> (&'static str, &'static str, &'static str) {
    match subresource {
        Subresource::Scale => ("autoscaling", "v1", "Scale"),
        Subresource::Binding => ("", "", "Binding"),
        Subresource::Eviction => ("policy", "v1", "Eviction"),
        Subresource::Token => ("authentication.k8s.io", "v1", "TokenRequest"),
        part => ("", "", part.options_kind(resource).unwrap_or(resource.kind)),
    }
}

/// Built-in kinds list them by name, custom ones in a fixed order.
fn sorted_subresources(kind: &Kind) -> Vec<Subresource> {
    let mut subresources = kind.resource.subresources.to_vec();
    if !kind.schema.is_custom() {
        subresources.sort_by_key(|subresource| subresource.name());
    }
    subresources
}

/// `/api`.
pub(crate) fn core_versions(address: &str) -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"],
           "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]})
}

/// `/apis`.
pub(crate) fn group_list(kinds: &Kinds) -> Value {
    let groups: Vec<Value> = groups(kinds)
        .into_iter()
        .filter(|group| !group.is_empty())
        .map(|group| group_entry(kinds, group))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/<group>`.
pub(crate) fn group(kinds: &Kinds, name: &str) -> Value {
    let mut entry = group_entry(kinds, name);
    entry["kind"] = "APIGroup".into();
    entry["apiVersion"] = "v1".into();
    entry
}

fn group_entry(kinds: &Kinds, group: &str) -> Value {
    let versions: Vec<Value> = versions(kinds, group)
        .into_iter()
        .map(|version| json!({"groupVersion": api_version(group, version), "version": version}))
        .collect();
    json!({"name": group, "versions": versions, "preferredVersion": versions.first()})
}

/// `/api/v1` and `/apis/<group>/<version>`.
pub(crate) fn resource_list(kinds: &Kinds, group: &str, version: &str) -> Value {
    let mut entries = Vec::new();
    for kind in of_version(kinds, group, version) {
        let resource = kind.resource;
        let mut entry = json!({
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced(),
            "kind": resource.kind,
            "verbs": resource.verbs,
        });
        if resource.strategy.stored() && resource.verbs.contains(&"create") {
            entry["storageVersionHash"] = storage_hash(kind.stored().resource).into();
        }
        if !resource.short_names.is_empty() {
            entry["shortNames"] = json!(resource.short_names);
        }
        if !resource.categories.is_empty() {
            entry["categories"] = json!(resource.categories);
        }
        entries.push(entry);
        for subresource in sorted_subresources(&kind) {
            let (group, version, kind) = response_kind(resource, subresource);
            let mut entry = json!({
                "name": format!("{}/{}", resource.plural, subresource.name()),
                "singularName": "",
                "namespaced": resource.namespaced(),
                "kind": kind,
                "verbs": subresource.verbs(),
            });
            if !group.is_empty() {
                entry["group"] = group.into();
                entry["version"] = version.into();
            }
            entries.push(entry);
        }
    }
    let mut list = json!({"kind": "APIResourceList", "groupVersion": api_version(group, version), "resources": entries});
    if !group.is_empty() {
        list["apiVersion"] = "v1".into();
    }
    list
}

/// Tells clients when a kind is stored in another form; they compare it, nobody takes it apart.
fn storage_hash(resource: &Resource) -> String {
    // Upstream keeps definitions in the form of an older version that it does not serve any more.
    let version = match resource.group {
        "apiextensions.k8s.io" => "v1beta1",
        _ => resource.version,
    };
    let text = format!("{}/{version}/{}", resource.group, resource.kind);
    STANDARD.encode(&Sha256::digest(text)[..8])
}

/// Everything at once: the core group for `/api`, all others for `/apis`.
pub(crate) fn aggregated(kinds: &Kinds, core: bool, version: &str) -> Value {
    let items: Vec<Value> = groups(kinds)
        .into_iter()
        .filter(|group| group.is_empty() == core)
        .map(|group| {
            let versions: Vec<Value> = versions(kinds, group)
                .into_iter()
                .map(|version| {
                    let resources: Vec<Value> = of_version(kinds, group, version)
                        .into_iter()
                        .map(|kind| aggregated_resource(&kind))
                        .collect();
                    json!({"version": version, "freshness": "Current", "resources": resources})
                })
                .collect();
            let metadata = if core {
                json!({})
            } else {
                json!({"name": group})
            };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"),
           "metadata": {}, "items": items})
}

fn aggregated_resource(served: &Kind) -> Value {
    let resource = served.resource;
    let kind = |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    let mut entry = json!({
        "resource": resource.plural,
        "responseKind": kind("", "", resource.kind),
        "scope": if resource.namespaced() { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": resource.verbs,
    });
    if !resource.short_names.is_empty() {
        entry["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        entry["categories"] = json!(resource.categories);
    }
    let subresources: Vec<Value> = sorted_subresources(served)
        .into_iter()
        .map(|subresource| {
            let (group, version, name) = response_kind(resource, subresource);
            json!({"subresource": subresource.name(), "responseKind": kind(group, version, name),
                   "verbs": subresource.verbs()})
        })
        .collect();
    if !subresources.is_empty() {
        entry["subresources"] = subresources.into();
    }
    entry
}
