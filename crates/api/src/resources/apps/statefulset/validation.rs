//! What a StatefulSet must be (§1.5) and may become.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::field::{FieldError, Path};
use crate::names;
use crate::resources::checks::{named, not_negative, one_of};
use crate::resources::core::persistentvolumeclaim;
use crate::resources::object::{given, int, list, put, remove, text};
use crate::resources::pod_template::validate_template;
use crate::resources::same;
use crate::resources::workload::{
    lasting, not_above_all, positive_share, selector, share_number, template_selected,
};

/// What may change after creation.
const MUTABLE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

/// Faults of a new set.
pub(super) fn create(object: &Value) -> Vec<FieldError> {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    let mut errors = common(spec, &path, true);
    errors.extend(named(spec, "serviceName", &path, names::dns1123_label));
    for (index, template) in list(spec, "volumeClaimTemplates").iter().enumerate() {
        let at = path
            .child("volumeClaimTemplates")
            .index(index)
            .child("spec");
        errors.extend(persistentvolumeclaim::validate_spec(&template["spec"], &at));
    }
    errors
}

/// Faults of an update.
pub(super) fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let path = Path::new("spec");
    // a template that was let in once does not block later changes.
    let sound = template(&old["spec"], &path).is_empty();
    let mut errors = common(&new["spec"], &path, sound);
    let mut comparable = new.clone();
    for field in MUTABLE {
        let before = old["spec"].get(field).cloned().unwrap_or_default();
        put(&mut comparable["spec"], field, before);
    }
    if !same("apps", "v1", "StatefulSet", "spec", &comparable, old) {
        errors.push(FieldError::forbidden(
            &path,
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
             'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
        ));
    }
    errors
}

fn common(spec: &Value, path: &Path, with_template: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (policy, at) = (
        text(spec, "podManagementPolicy"),
        path.child("podManagementPolicy"),
    );
    match policy {
        "" => errors.push(FieldError::required(&at, "")),
        "OrderedReady" | "Parallel" => {}
        other => errors.push(FieldError::invalid(
            &at,
            other,
            "must be 'OrderedReady' or 'Parallel'",
        )),
    }
    errors.extend(update_strategy(
        &spec["updateStrategy"],
        &path.child("updateStrategy"),
    ));
    let (retention, at) = (
        &spec["persistentVolumeClaimRetentionPolicy"],
        path.child("persistentVolumeClaimRetentionPolicy"),
    );
    for when in ["whenDeleted", "whenScaled"] {
        errors.extend(one_of(retention, when, &at, &["Retain", "Delete"], true));
    }
    errors.extend(not_negative(spec, "replicas", path));
    errors.extend(not_negative(spec, "minReadySeconds", path));
    errors.extend(not_negative(
        &spec["ordinals"],
        "start",
        &path.child("ordinals"),
    ));
    errors.extend(selector(spec, path, "statefulset"));
    if with_template {
        errors.extend(template(spec, path));
    }
    let at = path.child("template").child("spec");
    errors.extend(lasting(&spec["template"]["spec"], &at, "StatefulSet"));
    errors
}

fn update_strategy(strategy: &Value, path: &Path) -> Vec<FieldError> {
    let rolling = &strategy["rollingUpdate"];
    match text(strategy, "type") {
        "" => vec![FieldError::required(path, "")],
        "OnDelete" if !rolling.is_null() => {
            let at = path.child("rollingUpdate");
            let detail = "only allowed for updateStrategy 'RollingUpdate'";
            vec![FieldError::invalid(&at, Value::Null, detail).showing(rolling_text(rolling))]
        }
        "OnDelete" => Vec::new(),
        "RollingUpdate" => {
            let at = path.child("rollingUpdate");
            let mut errors: Vec<_> = not_negative(rolling, "partition", &at)
                .into_iter()
                .collect();
            if given(rolling, "maxUnavailable") {
                errors.extend(max_unavailable(
                    &rolling["maxUnavailable"],
                    &at.child("maxUnavailable"),
                ));
            }
            errors
        }
        other => {
            let shown = format!(
                "{{\"Type\":{},\"RollingUpdate\":{}}}",
                json!(other),
                rolling_text(rolling)
            );
            let detail = "must be 'RollingUpdate' or 'OnDelete'";
            vec![FieldError::invalid(path, Value::Null, detail).showing(shown)]
        }
    }
}

/// The block under the names upstream prints.
fn rolling_text(rolling: &Value) -> String {
    if rolling.is_null() {
        return "null".to_owned();
    }
    let mut shown = format!(
        "{{\"Partition\":{},\"MaxUnavailable\":",
        int(rolling, "partition").unwrap_or(0)
    );
    // Writing to a String cannot fail.
    let _ = write!(
        shown,
        "{}}}",
        rolling.get("maxUnavailable").unwrap_or(&Value::Null)
    );
    shown
}

///
fn max_unavailable(value: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors: Vec<_> = positive_share(value, path).into_iter().collect();
    if share_number(value) == 0 {
        errors.push(FieldError::invalid(path, value.clone(), "cannot be 0"));
    }
    errors.extend(not_above_all(value, path));
    errors
}

/// The template with its labels; names of claims count as volumes, and the controller sets the host name.
fn template(spec: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors: Vec<_> = template_selected(spec, path).into_iter().collect();
    let mut template = spec["template"].clone();
    let pod = &mut template["spec"];
    remove(pod, "hostname");
    remove(pod, "subdomain");
    let claims = list(spec, "volumeClaimTemplates")
        .iter()
        .map(|claim| text(&claim["metadata"], "name"));
    let claims: Vec<&str> = claims.collect();
    let mut volumes = list(pod, "volumes").to_vec();
    volumes.retain(|volume| !claims.contains(&text(volume, "name")));
    volumes.extend(
        claims
            .iter()
            .map(|name| json!({"name": name, "persistentVolumeClaim": {"claimName": name}})),
    );
    put(pod, "volumes", volumes.into());
    errors.extend(validate_template(&template, &path.child("template")));
    errors
}

/// Faults of a status.
pub(super) fn status(new: &Value, old: &Value) -> Vec<FieldError> {
    let (status, path) = (&new["status"], Path::new("status"));
    let count = |field: &str| int(status, field).unwrap_or(0);
    let mut errors = Vec::new();
    let counts = [
        "replicas",
        "readyReplicas",
        "currentReplicas",
        "updatedReplicas",
        "availableReplicas",
        "observedGeneration",
    ];
    for field in counts.into_iter().chain(["collisionCount"]) {
        errors.extend(not_negative(status, field, &path));
    }
    for field in [
        "readyReplicas",
        "currentReplicas",
        "updatedReplicas",
        "availableReplicas",
    ] {
        if count(field) > count("replicas") {
            let detail = "cannot be greater than status.replicas";
            errors.push(FieldError::invalid(
                &path.child(field),
                count(field),
                detail,
            ));
        }
    }
    if count("availableReplicas") > count("readyReplicas") {
        let detail = "cannot be greater than status.readyReplicas";
        errors.push(FieldError::invalid(
            &path.child("availableReplicas"),
            count("availableReplicas"),
            detail,
        ));
    }
    let before = int(&old["status"], "collisionCount");
    if before.is_some_and(|before| int(status, "collisionCount").is_none_or(|now| now < before)) {
        let at = path.child("collisionCount");
        errors.push(FieldError::invalid(
            &at,
            status["collisionCount"].clone(),
            "cannot be decremented",
        ));
    }
    errors
}
