//! The `meta.k8s.io/v1` Table form of objects: what `kubectl get` prints.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::resource::Resource;

/// The text of a duration the way ages are printed (K-4).
pub fn human_duration(_seconds: i64) -> String {
    String::new()
}

/// The age cell of an object.
pub fn age(object: &Value, now: Timestamp) -> Value {
    match object["metadata"]["creationTimestamp"].as_str().and_then(|t| t.parse::<Timestamp>().ok()) {
        Some(created) => human_duration(now.as_second() - created.as_second()).into(),
        None => "<unknown>".into(),
    }
}

/// `columnDefinitions` of a kind's Table.
pub fn columns(resource: &Resource) -> Value {
    resource
        .columns
        .iter()
        .map(|c| json!({"name": c.name, "type": c.kind, "format": c.format, "description": c.description, "priority": c.priority}))
        .collect()
}

/// How much of an object a row carries (`includeObject`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// Its metadata, as PartialObjectMetadata.
    #[default]
    Metadata,
    /// All of it.
    Object,
}

/// One row of a kind's Table.
pub fn row(resource: &Resource, object: &Value, include: IncludeObject, now: Timestamp) -> Value {
    let cells = resource.strategy.row(object, now);
    let carried = match include {
        IncludeObject::None => Value::Null,
        IncludeObject::Object => object.clone(),
        IncludeObject::Metadata => partial_metadata(object),
    };
    if carried.is_null() { json!({"cells": cells}) } else { json!({"cells": cells, "object": carried}) }
}

/// An object cut down to its metadata.
pub fn partial_metadata(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

/// A whole Table; `list_metadata` is the list's (`resourceVersion`, `continue`, `remainingItemCount`).
pub fn table(resource: &Resource, rows: Vec<Value>, list_metadata: Value) -> Value {
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": list_metadata,
           "columnDefinitions": columns(resource), "rows": rows})
}
