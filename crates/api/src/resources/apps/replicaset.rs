//! ReplicaSet (apps/v1): pods that are all alike.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::field::{FieldError, Path};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy, Subresource};
use crate::resources::checks::{immutable, not_negative};
use crate::resources::columns::{AGE, CONTAINERS, IMAGES, NAME, integer, wide};
use crate::resources::object::{ensure, fill, int, put};
use crate::resources::pod_template::default_template;
use crate::resources::workload::{
    container_cells, counts, lasting_template, parts, selector, selector_cell, template_selected,
    warn_changed_template, warn_name,
};
use crate::resources::{first_generation, keep, next_generation};
use crate::{meta, table};

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "apps",
        version: "v1",
        kind: "ReplicaSet",
        list_kind: "ReplicaSetList",
        plural: "replicasets",
        singular: "replicaset",
        short_names: &["rs"],
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
    fn status_order(&self) -> &'static [&'static str] {
        &[
            "replicas",
            "fullyLabeledReplicas",
            "readyReplicas",
            "availableReplicas",
            "terminatingReplicas",
            "observedGeneration",
            "conditions",
        ]
    }

    fn default(&self, object: &mut Value) {
        let spec = ensure(object, "spec");
        fill(spec, "replicas", 1);
        default_template(ensure(spec, "template"));
        fill(ensure(object, "status"), "replicas", 0);
    }

    fn prepare_create(&self, object: &mut Value) {
        put(object, "status", json!({"replicas": 0}));
        first_generation(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        keep(new, old, "status");
        next_generation("apps", "v1", "ReplicaSet", new, old);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let mut errors: Vec<_> = not_negative(spec, "replicas", &path).into_iter().collect();
        errors.extend(not_negative(spec, "minReadySeconds", &path));
        // Upstream's word, also here.
        errors.extend(selector(spec, &path, "deployment"));
        errors.extend(template_selected(spec, &path));
        errors.extend(lasting_template(spec, &path, "ReplicaSet"));
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = self.validate(new);
        let path = Path::new("spec");
        errors.extend(immutable(&new["spec"], &old["spec"], "selector", &path));
        errors
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
        cells(object, selector_cell(&object["spec"]["selector"]), now)
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        vec![selectable_replicas(object)]
    }
}

/// Faults of the status of a set of replicas.
pub(crate) fn status_faults(status: &Value) -> Vec<FieldError> {
    let path = Path::new("status");
    let of_all = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
    let mut errors = counts(status, &path, &["replicas"]);
    errors.extend(counts(status, &path, &of_all));
    errors.extend(counts(status, &path, &["observedGeneration"]));
    errors.extend(parts(status, &path, &of_all));
    errors
}

/// The row of a set of replicas.
pub(crate) fn cells(object: &Value, selector: Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let [containers, images] = container_cells(&spec["template"]);
    vec![
        meta::name(object).into(),
        int(spec, "replicas").unwrap_or(0).into(),
        int(status, "replicas").unwrap_or(0).into(),
        int(status, "readyReplicas").unwrap_or(0).into(),
        table::age(object, now),
        containers,
        images,
        selector,
    ]
}

/// The field by which sets of replicas are selected.
pub(crate) fn selectable_replicas(object: &Value) -> (&'static str, String) {
    let replicas = int(&object["status"], "replicas").unwrap_or(0);
    ("status.replicas", replicas.to_string())
}

const COLUMNS: &[Column] = &[
    NAME,
    integer(
        "Desired",
        "Replicas is the number of desired pods. This is a pointer to distinguish between explicit zero and unspecified. Defaults to 1. More info: https://kubernetes.io/docs/concepts/workloads/controllers/replicaset",
    ),
    integer(
        "Current",
        "Replicas is the most recently observed number of non-terminating pods. More info: https://kubernetes.io/docs/concepts/workloads/controllers/replicaset",
    ),
    integer(
        "Ready",
        "The number of non-terminating pods targeted by this ReplicaSet with a Ready Condition.",
    ),
    AGE,
    CONTAINERS,
    IMAGES,
    wide(
        "Selector",
        "Selector is a label query over pods that should match the replica count. Label keys and values that must match in order to be controlled by this replica set. It must match the pod template's labels. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::{merged, texts};

    fn set(change: Value) -> Value {
        let mut set = merged(
            json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "r"}, "spec": {
                "selector": {"matchLabels": {"app": "a"}},
                "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}),
            change,
        );
        Rules.default(&mut set);
        set
    }

    #[test]
    fn a_minimal_set_has_one_replica_to_make() {
        let mut minimal = set(json!({"status": {"replicas": 7}}));
        Rules.prepare_create(&mut minimal);
        assert_eq!(minimal["spec"]["replicas"], 1);
        assert_eq!(minimal["status"], json!({"replicas": 0}));
        assert!(Rules.validate(&minimal).is_empty());
        assert_eq!(
            Value::from(Rules.row(&minimal, Timestamp::UNIX_EPOCH)),
            json!(["r", 1, 0, 0, "<unknown>", "c", "i", "app=a"])
        );
    }

    #[test]
    fn the_selector_stays_and_the_status_adds_up() {
        let old = set(json!({}));
        let new = set(
            json!({"spec": {"selector": {"matchLabels": {"b": "c"}}, "template": {"metadata": {"labels": {"b": "c"}}}}}),
        );
        assert_eq!(
            texts(&Rules.validate_update(&new, &old)),
            [
                "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"a\",\"b\":\"c\"}}: field is immutable"
            ]
        );
        assert_eq!(
            texts(&status_faults(&json!({"replicas": 1, "readyReplicas": 2}))),
            ["status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas"]
        );
    }
}
