//! Deployment (apps/v1): ReplicaSets that replace one another.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::field::{FieldError, Path};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy, Subresource};
use crate::resources::checks::{immutable, not_negative};
use crate::resources::columns::{AGE, CONTAINERS, IMAGES, NAME, cell, wide};
use crate::resources::object::{ensure, fill, given, int, put, text};
use crate::resources::pod_template::default_template;
use crate::resources::workload::{
    collisions, container_cells, counts, lasting_template, not_above_all, parts, positive_share,
    selector, share_number, shown_strategy, template_selected, warn_changed_template, warn_name,
};
use crate::resources::{first_generation, keep, keep_all_but_status, same, set_generation};
use crate::selector::Selector;
use crate::{meta, table};

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "apps",
        version: "v1",
        kind: "Deployment",
        list_kind: "DeploymentList",
        plural: "deployments",
        singular: "deployment",
        short_names: &["deploy"],
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
            "observedGeneration",
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
            "unavailableReplicas",
            "terminatingReplicas",
            "conditions",
            "collisionCount",
        ]
    }

    fn default(&self, object: &mut Value) {
        let spec = ensure(object, "spec");
        fill(spec, "replicas", 1);
        fill(spec, "revisionHistoryLimit", 10);
        fill(spec, "progressDeadlineSeconds", 600);
        let strategy = ensure(spec, "strategy");
        fill(strategy, "type", "RollingUpdate");
        if text(strategy, "type") == "RollingUpdate" {
            let rolling = ensure(strategy, "rollingUpdate");
            fill(rolling, "maxUnavailable", "25%");
            fill(rolling, "maxSurge", "25%");
        }
        default_template(ensure(spec, "template"));
        ensure(object, "status");
    }

    fn prepare_create(&self, object: &mut Value) {
        put(object, "status", json!({}));
        first_generation(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        keep(new, old, "status");
        // Annotations of a Deployment end up on its ReplicaSets, so the controller must look at them, too.
        let annotated = new["metadata"]["annotations"] != old["metadata"]["annotations"];
        let changed = !same("apps", "v1", "Deployment", "spec", new, old);
        set_generation(new, old, i64::from(annotated || changed));
    }

    fn reset_fields(&self, subresource: &str) -> &'static [&'static str] {
        match subresource {
            "" => &["status"],
            "status" => &["spec", "metadata.labels"],
            _ => &[],
        }
    }

    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        keep_all_but_status(new, old);
        keep(ensure(new, "metadata"), &old["metadata"], "labels");
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let mut errors: Vec<_> = not_negative(spec, "replicas", &path).into_iter().collect();
        errors.extend(selector(spec, &path, "deployment"));
        errors.extend(template_selected(spec, &path));
        errors.extend(lasting_template(spec, &path, "ReplicaSet"));
        errors.extend(update_strategy(&spec["strategy"], &path.child("strategy")));
        errors.extend(not_negative(spec, "minReadySeconds", &path));
        errors.extend(not_negative(spec, "revisionHistoryLimit", &path));
        errors.extend(not_negative(spec, "progressDeadlineSeconds", &path));
        if let Some(deadline) = int(spec, "progressDeadlineSeconds")
            && deadline <= int(spec, "minReadySeconds").unwrap_or(0)
        {
            let at = path.child("progressDeadlineSeconds");
            let detail = "must be greater than minReadySeconds";
            errors.push(FieldError::invalid(&at, deadline, detail));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = self.validate(new);
        let path = Path::new("spec");
        errors.extend(immutable(&new["spec"], &old["spec"], "selector", &path));
        errors
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let (status, path) = (&new["status"], Path::new("status"));
        let all = [
            "observedGeneration",
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
            "unavailableReplicas",
            "terminatingReplicas",
            "collisionCount",
        ];
        let mut errors = counts(status, &path, &all);
        let of_all = ["updatedReplicas", "readyReplicas", "availableReplicas"];
        errors.extend(parts(status, &path, &of_all));
        errors.extend(collisions(status, &old["status"], &path));
        errors
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
        let (spec, status) = (&object["spec"], &object["status"]);
        let count = |field: &str| int(status, field).unwrap_or(0);
        let wanted = int(spec, "replicas").unwrap_or(0);
        let selector = Selector::from_object(&spec["selector"])
            .map_or_else(|_| "<invalid>".to_owned(), |selector| selector.to_string());
        let [containers, images] = container_cells(&spec["template"]);
        vec![
            meta::name(object).into(),
            format!("{}/{wanted}", count("readyReplicas")).into(),
            count("updatedReplicas").into(),
            count("availableReplicas").into(),
            table::age(object, now),
            containers,
            images,
            selector.into(),
        ]
    }
}

fn update_strategy(strategy: &Value, path: &Path) -> Vec<FieldError> {
    let (rolling, at) = (&strategy["rollingUpdate"], path.child("rollingUpdate"));
    match text(strategy, "type") {
        "Recreate" if given(strategy, "rollingUpdate") => {
            let detail = "may not be specified when strategy `type` is 'Recreate'";
            vec![FieldError::forbidden(&at, detail)]
        }
        "Recreate" => Vec::new(),
        "RollingUpdate" => {
            let (unavailable, surge) = (&rolling["maxUnavailable"], &rolling["maxSurge"]);
            let unavailable_at = at.child("maxUnavailable");
            let mut errors: Vec<_> = positive_share(unavailable, &unavailable_at)
                .into_iter()
                .collect();
            errors.extend(positive_share(surge, &at.child("maxSurge")));
            if share_number(unavailable) == 0 && share_number(surge) == 0 {
                let detail = "may not be 0 when `maxSurge` is 0";
                let fault = FieldError::invalid(&unavailable_at, unavailable.clone(), detail);
                errors.push(fault);
            }
            errors.extend(not_above_all(unavailable, &unavailable_at));
            errors
        }
        _ => {
            let supported = &["Recreate", "RollingUpdate"];
            let fault = FieldError::not_supported(path, Value::Null, supported);
            vec![fault.showing(shown_strategy(strategy))]
        }
    }
}

const COLUMNS: &[Column] = &[
    NAME,
    cell("Ready", "Number of the pod with ready state"),
    cell(
        "Up-to-date",
        "Total number of non-terminating pods targeted by this deployment that have the desired template spec.",
    ),
    cell(
        "Available",
        "Total number of available non-terminating pods (ready for at least minReadySeconds) targeted by this deployment.",
    ),
    AGE,
    CONTAINERS,
    IMAGES,
    wide(
        "Selector",
        "Label selector for pods. Existing ReplicaSets whose pods are selected by this will be the ones affected by this deployment. It must match the pod template's labels.",
    ),
];

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::resources::testing::{merged, of_spec, texts};

    fn deployment(spec: Value) -> Value {
        let mut deployment = merged(
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {
                "selector": {"matchLabels": {"app": "a"}},
                "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}),
            of_spec(spec),
        );
        Rules.default(&mut deployment);
        deployment
    }

    #[test]
    fn a_minimal_deployment_rolls() {
        // D-3
        let mut minimal = deployment(json!({}));
        Rules.prepare_create(&mut minimal);
        let spec = &minimal["spec"];
        assert_eq!(
            spec["strategy"],
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}})
        );
        assert_eq!(
            (
                &spec["replicas"],
                &spec["revisionHistoryLimit"],
                &spec["progressDeadlineSeconds"]
            ),
            (&json!(1), &json!(10), &json!(600))
        );
        assert_eq!(
            (&minimal["status"], &minimal["metadata"]["generation"]),
            (&json!({}), &json!(1))
        );
        assert!(Rules.validate(&minimal).is_empty());
        let recreated = deployment(json!({"strategy": {"type": "Recreate"}}));
        assert_eq!(recreated["spec"]["strategy"], json!({"type": "Recreate"}));
    }

    #[rstest]
    #[case(json!({"replicas": -1}), "spec.replicas: Invalid value: -1: must be greater than or equal to 0")]
    #[case(json!({"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}}),
        "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"0%\": may not be 0 when `maxSurge` is 0")]
    #[case(json!({"strategy": {"rollingUpdate": {"maxUnavailable": "120%"}}}),
        "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"120%\": must not be greater than 100%")]
    #[case(json!({"strategy": {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}}),
        "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'")]
    #[case(json!({"strategy": {"type": "Odd"}}),
        "spec.strategy: Unsupported value: {\"Type\":\"Odd\",\"RollingUpdate\":null}: supported values: \"Recreate\", \"RollingUpdate\"")]
    #[case(json!({"minReadySeconds": 10, "progressDeadlineSeconds": 10}),
        "spec.progressDeadlineSeconds: Invalid value: 10: must be greater than minReadySeconds")]
    #[case(json!({"selector": {"matchLabels": {"app": "b"}}}),
        "spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` does not match template `labels`")]
    #[case(json!({"selector": {"matchLabels": null}}),
        "spec.selector: Invalid value: {}: empty selector is invalid for deployment")]
    #[case(json!({"template": {"spec": {"restartPolicy": "OnFailure"}}}),
        "spec.template.spec.restartPolicy: Unsupported value: \"OnFailure\": supported values: \"Always\"")]
    #[case(json!({"template": {"spec": {"activeDeadlineSeconds": 5}}}),
        "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported")]
    fn specs_are_checked(#[case] spec: Value, #[case] want: &str) {
        assert_eq!(texts(&Rules.validate(&deployment(spec))), [want]);
    }

    #[test]
    fn spec_and_annotations_count_generations_and_the_selector_stays() {
        let mut old = deployment(json!({}));
        Rules.prepare_create(&mut old);
        let generation = |change: Value| {
            let mut new = merged(old.clone(), change);
            Rules.prepare_update(&mut new, &old);
            new["metadata"]["generation"].clone()
        };
        assert_eq!(generation(json!({"metadata": {"labels": {"a": "b"}}})), 1);
        assert_eq!(
            generation(json!({"metadata": {"annotations": {"a": "b"}}})),
            2
        );
        assert_eq!(generation(json!({"spec": {"paused": true}})), 2);
        let both = json!({"x": "y"});
        let moved = deployment(
            json!({"selector": {"matchLabels": both}, "template": {"metadata": {"labels": both}}}),
        );
        assert_eq!(
            texts(&Rules.validate_update(&moved, &old)),
            [
                "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"a\",\"x\":\"y\"}}: field is immutable"
            ]
        );
    }

    #[test]
    fn parts_of_a_status_fit_the_whole() {
        let old = deployment(json!({}));
        let mut new = old.clone();
        new["status"] = json!({"replicas": 1, "updatedReplicas": 2, "availableReplicas": 1});
        assert_eq!(
            texts(&Rules.validate_status_update(&new, &old)),
            [
                "status.updatedReplicas: Invalid value: 2: cannot be greater than status.replicas",
                "status.availableReplicas: Invalid value: 1: cannot be greater than readyReplicas"
            ]
        );
    }
}
