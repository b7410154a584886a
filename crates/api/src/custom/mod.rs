//! Makes a CustomResourceDefinition's versions into kinds like the built-in ones: the same descriptor, the same
//! schema table, a strategy that reads the compiled schema.
//!
//! What is made lives as long as the process, and is made once for each distinct content: memory is bounded by the
//! number of different versions ever served, not by how often definitions change back and forth.

mod columns;
mod shape;
mod strategy;

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::resource::{Resource, Scope, Subresource};
use crate::schema::TypeSchema;
use crate::structural::Structural;

/// The verbs of custom resources, in the order discovery lists them.
const VERBS: &[&str] = &[
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "create",
    "update",
    "watch",
];

/// One version of a definition as a kind.
#[derive(Clone, Copy)]
pub struct Custom {
    /// The descriptor.
    pub resource: &'static Resource,
    /// The schema, which carries the compiled structural one.
    pub schema: &'static TypeSchema,
    /// Whether clients may use this version.
    pub served: bool,
    /// Whether objects are stored in this version.
    pub storage: bool,
}

/// The kinds a definition describes, one for each of its versions. The definition must be valid; names are taken from
/// the accepted ones.
pub fn compile(definition: &Value) -> Vec<Custom> {
    let spec = &definition["spec"];
    let names = &definition["status"]["acceptedNames"];
    let versions = spec["versions"].as_array().into_iter().flatten();
    versions
        .map(|version| {
            let content = json!([spec["group"], spec["scope"], names, version]);
            let (resource, schema, _) = interned(&content);
            let flag = |name: &str| version[name].as_bool().unwrap_or(false);
            Custom {
                resource,
                schema,
                served: flag("served"),
                storage: flag("storage"),
            }
        })
        .collect()
}

/// A kind's descriptor, its schema, and that of its lists.
type Made = (&'static Resource, &'static TypeSchema, &'static TypeSchema);

static MADE: LazyLock<Mutex<HashMap<[u8; 32], Made>>> = LazyLock::new(Mutex::default);

/// The schemas of a custom kind and of its lists; `None` for built-in kinds.
pub(crate) fn schemas(
    resource: &'static Resource,
) -> Option<(&'static TypeSchema, &'static TypeSchema)> {
    let made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let found = made
        .values()
        .find(|(known, ..)| std::ptr::eq(*known, resource));
    found.map(|(_, schema, list)| (*schema, *list))
}

fn interned(content: &Value) -> Made {
    let key: [u8; 32] = Sha256::digest(content.to_string()).into();
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    *made.entry(key).or_insert_with(|| make(content))
}

fn make(content: &Value) -> Made {
    let (group, scope, names, version) = (&content[0], &content[1], &content[2], &content[3]);
    let declared = &version["schema"]["openAPIV3Schema"];
    let structural: &'static Structural = leak(Structural::compile(declared));
    let subresources = &version["subresources"];
    let mut served = Vec::new();
    if subresources["status"].is_object() {
        served.push(Subresource::Status);
    }
    if subresources["scale"].is_object() {
        served.push(Subresource::Scale);
    }
    let columns = columns::read(&version["additionalPrinterColumns"]);
    let (shown, cells): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let (group, version_name, kind) = (text(group), text(&version["name"]), text(&names["kind"]));
    let strategy = strategy::Rules::new(structural, group, kind, version, cells);
    let resource: &'static Resource = leak(Resource {
        group,
        version: version_name,
        kind,
        list_kind: text(&names["listKind"]),
        plural: text(&names["plural"]),
        singular: text(&names["singular"]),
        short_names: texts(&names["shortNames"]),
        categories: texts(&names["categories"]),
        scope: if scope == "Namespaced" {
            Scope::Namespaced
        } else {
            Scope::Cluster
        },
        verbs: VERBS,
        subresources: leak(served),
        columns: leak(shown),
        strategy: leak(strategy),
    });
    let schema = shape::of_kind(structural, resource, declared);
    (resource, schema, shape::of_list(schema, resource))
}

/// A value for the life of the process.
fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

fn text(value: &Value) -> &'static str {
    static TEXTS: LazyLock<Mutex<HashMap<String, &'static str>>> = LazyLock::new(Mutex::default);
    let text = value.as_str().unwrap_or_default();
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = texts.get(text) {
        return known;
    }
    let made: &'static str = Box::leak(text.to_owned().into_boxed_str());
    texts.insert(text.to_owned(), made);
    made
}

fn texts(values: &Value) -> &'static [&'static str] {
    let texts: Vec<&'static str> = values.as_array().into_iter().flatten().map(text).collect();
    Box::leak(texts.into_boxed_slice())
}

#[cfg(test)]
mod tests;
