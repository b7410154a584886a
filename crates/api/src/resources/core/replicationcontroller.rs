//! ReplicationController (core/v1): the ReplicaSet's older sibling, with a plain map as selector.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::field::{FieldError, Path};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy, Subresource};
use crate::resources::apps::replicaset::{cells, selectable_replicas, status_faults};
use crate::resources::checks::not_negative;
use crate::resources::columns::{AGE, CONTAINERS, IMAGES, NAME, integer, wide};
use crate::resources::object::{ensure, fill, given, inside, put};
use crate::resources::pod_template::default_template;
use crate::resources::workload::{
    labels_cell, lasting_template, mismatch, warn_changed_template, warn_name,
};
use crate::resources::{first_generation, keep, next_generation};

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "",
        version: "v1",
        kind: "ReplicationController",
        list_kind: "ReplicationControllerList",
        plural: "replicationcontrollers",
        singular: "replicationcontroller",
        short_names: &["rc"],
        categories: &["all"],
        scope: Scope::Namespaced,
        verbs: ALL_VERBS,
        subresources: &[Subresource::Scale, Subresource::Status],
        columns: COLUMNS,
        strategy: &Rules,
    }
}

struct Rules;

impl Strategy for Rules {
    fn default(&self, object: &mut Value) {
        ensure(object, "spec");
        let labels = object["spec"]["template"]["metadata"]["labels"].clone();
        if is_filled(&labels) {
            let spec = ensure(object, "spec");
            if !is_filled(&spec["selector"]) {
                put(spec, "selector", labels.clone());
            }
            let metadata = ensure(object, "metadata");
            if !is_filled(&metadata["labels"]) {
                put(metadata, "labels", labels);
            }
        }
        let spec = ensure(object, "spec");
        fill(spec, "replicas", 1);
        if let Some(template) = inside(spec, "template") {
            default_template(template);
        }
        fill(ensure(object, "status"), "replicas", 0);
    }

    fn prepare_create(&self, object: &mut Value) {
        put(object, "status", json!({"replicas": 0}));
        first_generation(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        keep(new, old, "status");
        next_generation("", "v1", "ReplicationController", new, old);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let mut errors = Vec::new();
        errors.extend(not_negative(spec, "minReadySeconds", &path));
        if !is_filled(&spec["selector"]) {
            errors.push(FieldError::required(&path.child("selector"), ""));
        }
        errors.extend(not_negative(spec, "replicas", &path));
        if !given(spec, "template") {
            errors.push(FieldError::required(&path.child("template"), ""));
            return errors;
        }
        let labels = &spec["template"]["metadata"]["labels"];
        let selected = spec["selector"]
            .as_object()
            .into_iter()
            .flatten()
            .all(|(key, value)| labels.get(key) == Some(value));
        if !selected {
            errors.push(mismatch(labels, &path));
        }
        errors.extend(lasting_template(spec, &path, "ReplicationController"));
        errors
    }

    fn validate_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        self.validate(new)
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        status_faults(&new["status"])
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let mut warnings: Vec<_> = old
            .map_or_else(|| warn_name(new), |_| None)
            .into_iter()
            .collect();
        let before = old.map(|old| &old["spec"]["template"]);
        let path = Path::new("spec.template");
        warnings.extend(warn_changed_template(
            &new["spec"]["template"],
            before,
            &path,
        ));
        warnings
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        cells(object, labels_cell(&object["spec"]["selector"]), now)
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        vec![selectable_replicas(object)]
    }

    fn orphans_by_default(&self) -> bool {
        true
    }
}

fn is_filled(map: &Value) -> bool {
    map.as_object()
        .is_some_and(|map: &Map<_, _>| !map.is_empty())
}

const COLUMNS: &[Column] = &[
    NAME,
    integer(
        "Desired",
        "Replicas is the number of desired replicas. This is a pointer to distinguish between explicit zero and unspecified. Defaults to 1. More info: https://kubernetes.io/docs/concepts/workloads/controllers/replicationcontroller#what-is-a-replicationcontroller",
    ),
    integer(
        "Current",
        "Replicas is the most recently observed number of replicas. More info: https://kubernetes.io/docs/concepts/workloads/controllers/replicationcontroller#what-is-a-replicationcontroller",
    ),
    integer(
        "Ready",
        "The number of ready replicas for this replication controller.",
    ),
    AGE,
    CONTAINERS,
    IMAGES,
    wide(
        "Selector",
        "Selector is a label query over pods that should match the Replicas count. If Selector is empty, it is defaulted to the labels present on the Pod template. Label keys and values that must match in order to be controlled by this replication controller, if empty defaulted to labels on Pod template. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::{merged, of_spec, texts};

    fn controller(spec: Value) -> Value {
        let mut controller = merged(
            json!({"metadata": {"name": "r"}, "spec": {"template": {"metadata": {"labels": {"app": "a"}},
                "spec": {"containers": [{"name": "c", "image": "i"}]}}}}),
            of_spec(spec),
        );
        Rules.default(&mut controller);
        controller
    }

    #[test]
    fn selector_and_labels_come_from_the_template() {
        let minimal = controller(json!({}));
        assert_eq!(minimal["spec"]["selector"], json!({"app": "a"}));
        assert_eq!(minimal["metadata"]["labels"], json!({"app": "a"}));
        assert_eq!(minimal["spec"]["replicas"], 1);
        assert!(Rules.validate(&minimal).is_empty());
    }

    #[test]
    fn specs_are_checked() {
        for (spec, want) in [
            (
                json!({"template": null, "selector": {"a": "b"}}),
                "spec.template: Required value",
            ),
            (
                json!({"selector": {"b": "c"}}),
                "spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` does not match template `labels`",
            ),
            (
                json!({"template": {"metadata": null}}),
                "spec.selector: Required value",
            ),
            (
                json!({"template": {"spec": {"activeDeadlineSeconds": 3}}}),
                "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicationController is not Supported",
            ),
        ] {
            assert_eq!(texts(&Rules.validate(&controller(spec))), [want]);
        }
    }
}
