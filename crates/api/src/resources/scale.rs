//! Scale (autoscaling/v1): the `/scale` subresource as a view of an object, and back. Stored nowhere.

use std::sync::LazyLock;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::field::{FieldError, Path};
use crate::resource::{Column, Resource, Scope, Strategy};
use crate::resources::checks::not_negative;
use crate::resources::columns::{AGE, cell};
use crate::resources::object::{ensure, int, put};
use crate::selector::Selector;
use crate::{meta, table};

static SCALE: LazyLock<Resource> = LazyLock::new(|| Resource {
    group: "autoscaling",
    version: "v1",
    kind: "Scale",
    list_kind: "",
    plural: "scales",
    singular: "scale",
    short_names: &[],
    categories: &[],
    scope: Scope::Namespaced,
    verbs: &[],
    subresources: &[],
    columns: COLUMNS,
    strategy: &Rules,
});

/// The kind of a Scale, for its faults and its Table; no path serves it on its own.
pub fn resource() -> &'static Resource {
    &SCALE
}

struct Rules;

impl Strategy for Rules {
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        not_negative(&object["spec"], "replicas", &Path::new("spec"))
            .into_iter()
            .collect()
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let count = |part: &str| int(&object[part], "replicas").unwrap_or(0);
        vec![
            meta::name(object).into(),
            count("spec").into(),
            count("status").into(),
            table::age(object, now),
        ]
    }
}

/// The Scale of an object.
pub fn of(object: &Value) -> Value {
    let mut metadata = json!({});
    for field in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
    ] {
        put(
            &mut metadata,
            field,
            object["metadata"].get(field).cloned().unwrap_or_default(),
        );
    }
    // Zero replicas are left out of the spec, not of the status.
    let mut spec = json!({});
    if let Some(replicas) = int(&object["spec"], "replicas").filter(|replicas| *replicas != 0) {
        spec["replicas"] = replicas.into();
    }
    let mut status = json!({"replicas": int(&object["status"], "replicas").unwrap_or(0)});
    let selector = &object["spec"]["selector"];
    let selector = match selector.as_object() {
        // The oldest kind that scales has labels alone for a selector.
        Some(labels) if object["kind"] == "ReplicationController" => Selector::from_map(labels),
        _ => Selector::from_object(selector),
    };
    let selector = selector.map(|s| s.to_string()).unwrap_or_default();
    if !selector.is_empty() {
        status["selector"] = selector.into();
    }
    json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status})
}

/// Writes the replicas a Scale asks for into its object.
///
/// Name, resourceVersion and uid are the caller's to compare. An error leaves the object as it was.
pub fn apply(scale: &Value, object: &mut Value) -> Result<(), Vec<FieldError>> {
    let errors = Rules.validate(scale);
    if !errors.is_empty() {
        return Err(errors);
    }
    put(
        ensure(object, "spec"),
        "replicas",
        int(&scale["spec"], "replicas").unwrap_or(0).into(),
    );
    Ok(())
}

const COLUMNS: &[Column] = &[
    cell(
        "Name",
        "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names",
    ),
    Column {
        name: "Desired",
        kind: "integer",
        format: "",
        description: "replicas is the desired number of instances for the scaled object.",
        priority: 0,
    },
    Column {
        name: "Available",
        kind: "integer",
        format: "",
        description: "replicas is the actual number of observed instances of the scaled object.",
        priority: 0,
    },
    AGE,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::texts;

    #[test]
    fn a_scale_shows_replicas_and_selector() {
        //
        let set = json!({"metadata": {"name": "web", "namespace": "n", "uid": "u", "resourceVersion": "7", "labels": {"l": "1"}},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "a"}}}, "status": {"replicas": 1}});
        assert_eq!(
            of(&set),
            json!({"kind": "Scale", "apiVersion": "autoscaling/v1",
                "metadata": {"name": "web", "namespace": "n", "uid": "u", "resourceVersion": "7"},
                "spec": {"replicas": 2}, "status": {"replicas": 1, "selector": "app=a"}})
        );
        assert_eq!(of(&json!({"spec": {"replicas": 0}}))["spec"], json!({}));
        let controller = json!({"kind": "ReplicationController", "spec": {"selector": {"a": "b"}}});
        assert_eq!(of(&controller)["status"]["selector"], "a=b");
        let expressions = json!({"spec": {"selector": {"matchExpressions": [{"key": "baz", "operator": "In", "values": ["b", "a"]}],
            "matchLabels": {"foo": "bar"}}}});
        assert_eq!(
            of(&expressions)["status"]["selector"],
            "baz in (a,b),foo=bar"
        );
    }

    #[test]
    fn a_scale_changes_only_replicas() {
        //
        let mut set = json!({"spec": {"replicas": 2, "serviceName": "s"}});
        apply(&json!({"spec": {"replicas": 5}}), &mut set).unwrap();
        assert_eq!(set, json!({"spec": {"replicas": 5, "serviceName": "s"}}));
        apply(&json!({"spec": {}}), &mut set).unwrap();
        assert_eq!(set["spec"]["replicas"], 0);
        let refused = apply(&json!({"spec": {"replicas": -1}}), &mut set).unwrap_err();
        assert_eq!(
            texts(&refused),
            ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]
        );
    }
}
