//! DaemonSet (apps/v1): a pod on every node.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::field::{FieldError, Path};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy, Subresource};
use crate::resources::checks::{immutable, label_selector, not_negative};
use crate::resources::columns::{AGE, CONTAINERS, IMAGES, NAME, cell, integer, wide};
use crate::resources::object::{ensure, fill, given, inside, int, put, remove, text};
use crate::resources::pod_template::default_template;
use crate::resources::workload::{
    collisions, container_cells, counts, empty_selector, labels_cell, lasting_template,
    not_above_all, positive_share, selector_cell, share_number, shown_strategy, template_selected,
    warn_changed_template,
};
use crate::resources::{first_generation, keep, next_generation, same};
use crate::{meta, table};

/// Where upstream keeps the count of template changes that was once part of the spec.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// Counts the status always shows.
const SHOWN: [&str; 4] = [
    "currentNumberScheduled",
    "numberMisscheduled",
    "desiredNumberScheduled",
    "numberReady",
];

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "apps",
        version: "v1",
        kind: "DaemonSet",
        list_kind: "DaemonSetList",
        plural: "daemonsets",
        singular: "daemonset",
        short_names: &["ds"],
        categories: &["all"],
        scope: Scope::Namespaced,
        verbs: ALL_VERBS,
        subresources: &[Subresource::Status],
        columns: COLUMNS,
        strategy: &Rules,
    }
}

struct Rules;

impl Strategy for Rules {
    fn status_order(&self) -> &'static [&'static str] {
        &[
            "currentNumberScheduled",
            "numberMisscheduled",
            "desiredNumberScheduled",
            "numberReady",
            "observedGeneration",
            "updatedNumberScheduled",
            "numberAvailable",
            "numberUnavailable",
            "collisionCount",
            "conditions",
        ]
    }

    fn default(&self, object: &mut Value) {
        let spec = ensure(object, "spec");
        fill(spec, "revisionHistoryLimit", 10);
        let update = ensure(spec, "updateStrategy");
        fill(update, "type", "RollingUpdate");
        if text(update, "type") == "RollingUpdate" {
            let rolling = ensure(update, "rollingUpdate");
            fill(rolling, "maxUnavailable", 1);
            fill(rolling, "maxSurge", 0);
        }
        default_template(ensure(spec, "template"));
        show_counts(object);
        // Always there, so whoever makes the object manages it.
        set_template_generation(object, template_generation(object));
    }

    fn prepare_create(&self, object: &mut Value) {
        put(object, "status", json!({}));
        show_counts(object);
        first_generation(object);
        set_template_generation(object, template_generation(object).max(1));
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        keep(new, old, "status");
        let changed = !same(
            "apps",
            "v1",
            "DaemonSet",
            "spec",
            &only_template(new),
            &only_template(old),
        );
        let count = template_generation(old) + i64::from(changed);
        set_template_generation(new, count);
        next_generation("apps", "v1", "DaemonSet", new, old);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let mut errors = Vec::new();
        let at = path.child("selector");
        if given(spec, "selector") {
            errors.extend(label_selector(&spec["selector"], &at));
        }
        errors.extend(template_selected(spec, &path));
        if given(spec, "selector") {
            errors.extend(empty_selector(&spec["selector"], &at, "daemonset"));
        }
        errors.extend(lasting_template(spec, &path, "DaemonSet"));
        errors.extend(not_negative(spec, "minReadySeconds", &path));
        errors.extend(update_strategy(
            &spec["updateStrategy"],
            &path.child("updateStrategy"),
        ));
        errors.extend(not_negative(spec, "revisionHistoryLimit", &path));
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let (new_spec, old_spec) = (&new["spec"], &old["spec"]);
        let mut errors = Vec::new();
        errors.extend(immutable(
            new_spec,
            old_spec,
            "selector",
            &Path::new("spec"),
        ));
        errors.extend(self.validate(new));
        errors
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let (status, path) = (&new["status"], Path::new("status"));
        let mut errors = counts(status, &path, &SHOWN);
        let others = [
            "observedGeneration",
            "updatedNumberScheduled",
            "numberAvailable",
            "numberUnavailable",
            "collisionCount",
        ];
        errors.extend(counts(status, &path, &others));
        errors.extend(collisions(status, &old["status"], &path));
        errors
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let before = old.map(|old| &old["spec"]["template"]);
        let path = Path::new("spec.template");
        warn_changed_template(&new["spec"]["template"], before, &path)
    }

    /// Upstream makes rows of its internal form, where the count of template changes is no annotation.
    fn row_metadata(&self, object: &Value) -> Value {
        let mut metadata = object["metadata"].clone();
        if let Some(annotations) = inside(&mut metadata, "annotations") {
            remove(annotations, TEMPLATE_GENERATION);
            if annotations
                .as_object()
                .is_some_and(serde_json::Map::is_empty)
            {
                remove(&mut metadata, "annotations");
            }
        }
        metadata
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let (spec, status) = (&object["spec"], &object["status"]);
        let mut cells = vec![meta::name(object).into()];
        for count in [
            "desiredNumberScheduled",
            "currentNumberScheduled",
            "numberReady",
            "updatedNumberScheduled",
            "numberAvailable",
        ] {
            cells.push(int(status, count).unwrap_or(0).into());
        }
        cells.push(labels_cell(&spec["template"]["spec"]["nodeSelector"]));
        cells.push(table::age(object, now));
        cells.extend(container_cells(&spec["template"]));
        cells.push(selector_cell(&spec["selector"]));
        cells
    }
}

fn show_counts(object: &mut Value) {
    let status = ensure(object, "status");
    for field in SHOWN {
        fill(status, field, 0);
    }
}

/// An object whose spec is its template alone.
fn only_template(object: &Value) -> Value {
    json!({"spec": {"template": object["spec"]["template"]}})
}

fn template_generation(object: &Value) -> i64 {
    text(&object["metadata"]["annotations"], TEMPLATE_GENERATION)
        .parse()
        .unwrap_or(0)
}

fn set_template_generation(object: &mut Value, count: i64) {
    let annotations = ensure(ensure(object, "metadata"), "annotations");
    put(annotations, TEMPLATE_GENERATION, count.to_string().into());
}

fn update_strategy(strategy: &Value, path: &Path) -> Vec<FieldError> {
    let (rolling, at) = (&strategy["rollingUpdate"], path.child("rollingUpdate"));
    match text(strategy, "type") {
        "OnDelete" => Vec::new(),
        "RollingUpdate" => {
            let (unavailable, surge) = (&rolling["maxUnavailable"], &rolling["maxSurge"]);
            let (unavailable_at, surge_at) = (at.child("maxUnavailable"), at.child("maxSurge"));
            let mut errors = Vec::new();
            errors.extend(positive_share(unavailable, &unavailable_at));
            errors.extend(positive_share(surge, &surge_at));
            errors.extend(not_above_all(unavailable, &unavailable_at));
            errors.extend(not_above_all(surge, &surge_at));
            match (share_number(unavailable) != 0, share_number(surge) != 0) {
                (true, true) => {
                    let detail = "may not be set when maxUnavailable is non-zero";
                    errors.push(FieldError::invalid(&surge_at, surge.clone(), detail));
                }
                (false, false) => {
                    let detail = "cannot be 0 when maxSurge is 0";
                    errors.push(FieldError::required(&unavailable_at, detail));
                }
                _ => {}
            }
            errors
        }
        _ => {
            let supported = &["RollingUpdate", "OnDelete"];
            let fault = FieldError::not_supported(path, Value::Null, supported);
            vec![fault.showing(shown_strategy(strategy))]
        }
    }
}

const COLUMNS: &[Column] = &[
    NAME,
    integer(
        "Desired",
        "The total number of nodes that should be running the daemon pod (including nodes correctly running the daemon pod). More info: https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/",
    ),
    integer(
        "Current",
        "The number of nodes that are running at least 1 daemon pod and are supposed to run the daemon pod. More info: https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/",
    ),
    integer(
        "Ready",
        "numberReady is the number of nodes that should be running the daemon pod and have one or more of the daemon pod running with a Ready Condition.",
    ),
    integer(
        "Up-to-date",
        "The total number of nodes that are running updated daemon pod",
    ),
    integer(
        "Available",
        "The number of nodes that should be running the daemon pod and have one or more of the daemon pod running and available (ready for at least spec.minReadySeconds)",
    ),
    cell(
        "Node Selector",
        "NodeSelector is a selector which must be true for the pod to fit on a node. Selector which must match a node's labels for the pod to be scheduled on that node. More info: https://kubernetes.io/docs/concepts/configuration/assign-pod-node/",
    ),
    AGE,
    CONTAINERS,
    IMAGES,
    wide(
        "Selector",
        "A label query over pods that are managed by the daemon set. Must match in order to be controlled. It must match the pod template's labels. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors",
    ),
];

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::resources::testing::{merged, of_spec, texts};

    fn set(spec: Value) -> Value {
        let mut set = merged(
            json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "d"}, "spec": {
                "selector": {"matchLabels": {"app": "a"}},
                "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}),
            of_spec(spec),
        );
        Rules.default(&mut set);
        set
    }

    #[test]
    fn template_changes_are_counted_on_the_object() {
        let mut old = set(json!({}));
        Rules.prepare_create(&mut old);
        assert_eq!(old["metadata"]["annotations"][TEMPLATE_GENERATION], "1");
        assert!(Rules.row_metadata(&old).get("annotations").is_none());
        assert_eq!(
            old["spec"]["updateStrategy"],
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}})
        );
        let counted = |change: Value| {
            let mut new = merged(old.clone(), change);
            Rules.prepare_update(&mut new, &old);
            let metadata = &new["metadata"];
            (
                metadata["generation"].clone(),
                metadata["annotations"][TEMPLATE_GENERATION].clone(),
            )
        };
        assert_eq!(
            counted(json!({"spec": {"minReadySeconds": 3}})),
            (json!(2), json!("1"))
        );
        let change = json!({"spec": {"template": {"spec": {"hostNetwork": true}}}, "metadata": {"annotations": null}});
        assert_eq!(counted(change), (json!(2), json!("2")));
    }

    #[rstest]
    #[case(json!({"updateStrategy": {"rollingUpdate": {"maxUnavailable": 0}}}),
        "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0")]
    #[case(json!({"updateStrategy": {"rollingUpdate": {"maxSurge": 1}}}),
        "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero")]
    #[case(json!({"updateStrategy": {"type": "Odd"}}),
        "spec.updateStrategy: Unsupported value: {\"Type\":\"Odd\",\"RollingUpdate\":null}: supported values: \"RollingUpdate\", \"OnDelete\"")]
    #[case(json!({"selector": null}),
        "spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` does not match template `labels`")]
    #[case(json!({"template": {"spec": {"activeDeadlineSeconds": 1}}}),
        "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in DaemonSet is not Supported")]
    fn specs_are_checked(#[case] spec: Value, #[case] want: &str) {
        assert_eq!(texts(&Rules.validate(&set(spec))), [want]);
    }
}
