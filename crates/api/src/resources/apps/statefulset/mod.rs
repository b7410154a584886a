//! StatefulSet (apps/v1): pods with a stable identity, and a claim for each.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::field::FieldError;
use crate::names::{self, Rule};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy, Subresource};
use crate::resources::columns::{AGE, NAME, cell, wide};
use crate::resources::core::persistentvolumeclaim as claim;
use crate::resources::object::{
    ensure, fill, given, inside, int, items, joined, list, put, remove, text,
};
use crate::resources::pod_template::{default_template, warn_template};
use crate::resources::{first_generation, keep, next_generation};
use crate::{Path, meta, table};

mod validation;

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "apps",
        version: "v1",
        kind: "StatefulSet",
        list_kind: "StatefulSetList",
        plural: "statefulsets",
        singular: "statefulset",
        short_names: &["sts"],
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
        let spec = ensure(object, "spec");
        fill(spec, "podManagementPolicy", "OrderedReady");
        fill(spec, "serviceName", "");
        fill(spec, "replicas", 1);
        fill(spec, "revisionHistoryLimit", 10);
        let update = ensure(spec, "updateStrategy");
        // a type given without its block stays without it.
        if text(update, "type").is_empty() {
            put(update, "type", "RollingUpdate".into());
            ensure(update, "rollingUpdate");
        }
        if let Some(rolling) = inside(update, "rollingUpdate") {
            fill(rolling, "partition", 0);
        }
        let retention = ensure(spec, "persistentVolumeClaimRetentionPolicy");
        fill(retention, "whenDeleted", "Retain");
        fill(retention, "whenScaled", "Retain");
        default_template(ensure(spec, "template"));
        for template in items(spec, "volumeClaimTemplates") {
            put(template, "apiVersion", "v1".into());
            put(template, "kind", "PersistentVolumeClaim".into());
            ensure(template, "metadata");
            claim::default_spec(ensure(template, "spec"));
            fill(ensure(template, "status"), "phase", "Pending");
        }
        let status = ensure(object, "status");
        fill(status, "replicas", 0);
        fill(status, "availableReplicas", 0);
    }

    fn prepare_create(&self, object: &mut Value) {
        //
        put(
            object,
            "status",
            json!({"replicas": 0, "availableReplicas": 0}),
        );
        first_generation(object);
        drop_max_unavailable(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        keep(new, old, "status");
        if !given(
            &old["spec"]["updateStrategy"]["rollingUpdate"],
            "maxUnavailable",
        ) {
            drop_max_unavailable(new);
        }
        next_generation("apps", "v1", "StatefulSet", new, old);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        validation::create(object)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        validation::update(new, old)
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        validation::status(new, old)
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let (spec, path) = (&new["spec"], Path::new("spec"));
        let mut warnings = Vec::new();
        if old.is_none_or(|old| old["spec"]["template"] != spec["template"]) {
            warnings.extend(warn_template(&spec["template"], &path.child("template")));
        }
        for (index, template) in list(spec, "volumeClaimTemplates").iter().enumerate() {
            let at = path
                .child("volumeClaimTemplates")
                .index(index)
                .child("Spec");
            warnings.extend(claim::warn_spec(&template["spec"], &at));
        }
        //
        if int(spec, "revisionHistoryLimit").is_some_and(|limit| limit < 0) {
            let why =
                "a negative value retains all historical revisions; a value >= 0 is recommended";
            warnings.push(format!("spec.revisionHistoryLimit: {why}"));
        }
        warnings
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let (spec, status) = (&object["spec"], &object["status"]);
        let ready = int(status, "readyReplicas").unwrap_or(0);
        let containers = list(&spec["template"]["spec"], "containers");
        vec![
            meta::name(object).into(),
            format!("{ready}/{}", int(spec, "replicas").unwrap_or(0)).into(),
            table::age(object, now),
            joined(containers, "name").into(),
            joined(containers, "image").into(),
        ]
    }

    fn name_rule(&self) -> Rule {
        names::dns1123_label
    }
}

/// While its feature is off by default, the field is dropped unless it was stored before (§1.2).
fn drop_max_unavailable(object: &mut Value) {
    let update = ensure(ensure(object, "spec"), "updateStrategy");
    if let Some(rolling) = inside(update, "rollingUpdate") {
        remove(rolling, "maxUnavailable");
    }
}

const COLUMNS: &[Column] = &[
    NAME,
    cell("Ready", "Number of the pod with ready state"),
    AGE,
    wide("Containers", "Names of each container in the template."),
    wide(
        "Images",
        "Images referenced by each container in the template.",
    ),
];

#[cfg(test)]
mod tests;
