//! The OpenAPI documents of all groups, printed from the catalogue, the schema table and the definitions of custom
//! kinds on demand.
//! It refuses to keep them in memory.

mod connect;
mod descriptions;
mod gnostic;
mod operation;
mod operations;
mod parameters;
mod schemas;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::custom::schemas as custom_schemas;
use crate::resource::{Resource, catalogue};
use crate::schema::{TypeSchema, schema_of, type_named};
use descriptions::Descriptions;

/// The two forms of an OpenAPI document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// OpenAPI 2.0, "swagger".
    V2,
    /// OpenAPI 3.0.
    V3,
}

/// The document of `/openapi/v3` with the custom kinds that are served: where each document is, with a hash by which clients keep it.
pub fn v3_index(custom: &[&'static Resource]) -> Value {
    let own = custom_hashes(custom);
    let paths: Map<String, Value> = hashes()
        .iter()
        .chain(&own)
        .map(|(path, hash)| {
            (
                path.clone(),
                json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}")}),
            )
        })
        .collect();
    json!({ "paths": paths })
}

/// The hash that [`v3_index`] shows for a path, for `ETag`s and `Expires`; `None` when there is no such document.
pub fn v3_hash(path: &str, custom: &[&'static Resource]) -> Option<String> {
    let built_in = hashes().get(path).cloned();
    built_in.or_else(|| custom_hashes(custom).remove(path))
}

/// The hashes of the documents that only custom kinds are in. Their content follows from the definitions, so those are
/// hashed.
fn custom_hashes(custom: &[&'static Resource]) -> BTreeMap<String, String> {
    let mut digests: BTreeMap<String, Sha256> = BTreeMap::new();
    for resource in custom {
        let group = format!("apis/{}", resource.group);
        digests.entry(group).or_default().update(resource.version);
        let digest = digests
            .entry(operations::root(resource.group, resource.version))
            .or_default();
        digest.update(format!(
            "{} {:?} {:?}",
            resource.plural, resource.scope, resource.subresources
        ));
        let declared = types_of(resource).0.and_then(|schema| schema.custom);
        digest.update(declared.map_or_else(String::new, |declared| declared.schema.to_string()));
    }
    let print = |(path, digest): (String, Sha256)| (path, format!("{:X}", digest.finalize()));
    digests.into_iter().map(print).collect()
}

/// The schemas of a kind and of its lists.
pub(crate) fn types_of(
    resource: &'static Resource,
) -> (Option<&'static TypeSchema>, Option<&'static TypeSchema>) {
    if let Some((schema, list)) = custom_schemas(resource) {
        return (Some(schema), Some(list));
    }
    let of = |kind| schema_of(resource.group, resource.version, kind);
    (of(resource.kind), of(resource.list_kind))
}

/// The OpenAPI v3 document of a path below `/openapi/v3/` (`api/v1`, `apis/apps/v1`, but also `apis` and `version`)
/// as JSON, or `None` when there is no such document.
///
/// The document is made anew by each call, in the order of ten milliseconds; callers should not make it when the
/// client already has the one with this hash.
pub fn v3(path: &str, custom: &[&'static Resource]) -> Option<Vec<u8>> {
    let part = parts(custom).into_iter().find(|part| part.path == path)?;
    let mut document = json!({"openapi": "3.0.0"});
    fill(&mut document, &[part], &Descriptions::load(), Dialect::V3);
    Some(document.to_string().into_bytes())
}

/// The OpenAPI v2 document of all groups as JSON.
pub fn v2(custom: &[&'static Resource]) -> Vec<u8> {
    v2_document(custom).to_string().into_bytes()
}

/// The same document in the protobuf form that kubectl asks for.
pub fn v2_protobuf(custom: &[&'static Resource]) -> Vec<u8> {
    gnostic::document(&v2_document(custom))
}

fn v2_document(custom: &[&'static Resource]) -> Value {
    let mut document = json!({"swagger": "2.0"});
    fill(
        &mut document,
        &parts(custom),
        &Descriptions::load(),
        Dialect::V2,
    );
    document
}

/// Hashes by path. Only they are kept; the documents are made once for them.
fn hashes() -> &'static BTreeMap<String, String> {
    static HASHES: OnceLock<BTreeMap<String, String>> = OnceLock::new();
    HASHES.get_or_init(|| {
        let descriptions = Descriptions::load();
        parts(&[])
            .into_iter()
            .map(|part| {
                let path = part.path.clone();
                let mut document = json!({});
                fill(&mut document, &[part], &descriptions, Dialect::V3);
                let digest = Sha256::digest(document.to_string());
                (path, format!("{digest:X}"))
            })
            .collect()
    })
}

/// What one v3 document is about.
struct Part {
    /// Below `/openapi/v3/`, and with a slash at either end the path of the discovery document.
    path: String,
    /// What the discovery document of the path is called and which type it has.
    discovery: (String, &'static str, &'static str),
    tag: String,
    /// The kinds of the group-version; none for documents that are only about discovery.
    resources: Vec<&'static Resource>,
}

fn parts(custom: &[&'static Resource]) -> Vec<Part> {
    let discovery = |path: &str, tag: &str, operation: String, what, answer| Part {
        path: path.to_owned(),
        discovery: (operation, what, answer),
        tag: tag.to_owned(),
        resources: Vec::new(),
    };
    let versions = "get available API versions";
    let mut parts = vec![
        discovery(
            "api",
            "core",
            "getCoreAPIVersions".to_owned(),
            versions,
            "meta.v1.APIVersions",
        ),
        discovery(
            "apis",
            "apis",
            "getAPIVersions".to_owned(),
            versions,
            "meta.v1.APIGroupList",
        ),
        discovery(
            "version",
            "version",
            "getCodeVersion".to_owned(),
            "get the version information",
            "version.Info",
        ),
    ];
    let all = || catalogue().iter().chain(custom.iter().copied());
    let groups: BTreeSet<&str> = all()
        .map(|resource| resource.group)
        .filter(|group| !group.is_empty())
        .collect();
    parts.extend(groups.into_iter().map(|group| {
        let (tag, name) = (operations::tag(group, ""), operations::camel(group, ""));
        discovery(
            &format!("apis/{group}"),
            &tag,
            format!("get{name}APIGroup"),
            "get information of a group",
            "meta.v1.APIGroup",
        )
    }));
    let mut versions: BTreeMap<(&str, &str), Vec<&'static Resource>> = BTreeMap::new();
    for resource in all() {
        versions
            .entry((resource.group, resource.version))
            .or_default()
            .push(resource);
    }
    parts.extend(
        versions
            .into_iter()
            .map(|((group, version), resources)| Part {
                path: operations::root(group, version),
                discovery: (
                    format!("get{}APIResources", operations::camel(group, version)),
                    "get available resources",
                    "meta.v1.APIResourceList",
                ),
                tag: operations::tag(group, version),
                resources,
            }),
    );
    parts
}

/// Writes paths and definitions into a document.
fn fill(document: &mut Value, parts: &[Part], descriptions: &Descriptions, dialect: Dialect) {
    let mut paths = Map::new();
    let mut types: Vec<&'static TypeSchema> = Vec::new();
    for part in parts {
        let (operation, what, answer) = &part.discovery;
        let answer = type_named(&format!("io.k8s.apimachinery.pkg.apis.{answer}"))
            .or_else(|| type_named(&format!("io.k8s.apimachinery.pkg.{answer}")));
        types.extend(answer);
        paths.insert(
            format!("/{}/", part.path),
            operations::discovery(operation, what, answer, &part.tag, dialect),
        );
        for resource in &part.resources {
            let (kind, list) = types_of(resource);
            types.extend(kind.into_iter().chain(list));
            operations::add(&mut paths, &mut types, resource, &part.tag, dialect);
        }
    }
    let definitions = schemas::definitions(types, descriptions, dialect);
    document["info"] = json!({"title": "Kubernetes", "version": "v1.36.2"});
    document["paths"] = Value::Object(paths);
    match dialect {
        Dialect::V2 => document["definitions"] = definitions,
        Dialect::V3 => document["components"] = json!({ "schemas": definitions }),
    }
}

#[cfg(test)]
mod tests;
