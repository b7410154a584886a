//! Ephemeral containers: added to a pod that exists, to look into it; never changed, never removed.

use std::collections::HashSet;

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::resources::difference::unified;
use crate::resources::object::{ensure, given, list, put, text};
use crate::resources::pod_template::{internal, validate_container};
use crate::schema::{semantically_equal, type_named};

/// What an ephemeral container may not have: it is no service and asks for nothing.
const FORBIDDEN: [&str; 9] = [
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
];
/// Marks pods that a node runs from a file.
const MIRROR: &str = "kubernetes.io/config.mirror";
const DENIED: &str = "cannot be set for an Ephemeral Container";

/// Keeps everything of the stored pod but its ephemeral containers.
pub(super) fn prepare(new: &mut Value, old: &Value) {
    let containers = new["spec"]["ephemeralContainers"].clone();
    super::keep_pod(new, old);
    put(ensure(new, "spec"), "ephemeralContainers", containers);
}

/// Faults of an update.
pub(super) fn changes(new: &Value, old: &Value) -> Vec<FieldError> {
    let (spec, path) = (&new["spec"], Path::new("spec").child("ephemeralContainers"));
    let mut errors = faults(spec, &path);
    if given(&old["metadata"]["annotations"], MIRROR) {
        let detail = "static pods do not support ephemeral containers";
        errors.push(FieldError::forbidden(&Path::default(), detail));
    }
    let after = list(spec, "ephemeralContainers");
    for before in list(&old["spec"], "ephemeralContainers") {
        let name = text(before, "name");
        let detail = match after
            .iter()
            .find(|container| text(container, "name") == name)
        {
            None => format!("existing ephemeral containers {name:?} may not be removed\n"),
            Some(now) if equal(now, before) => continue,
            Some(now) => {
                let [from, to] = [before, now].map(|of| internal::ephemeral_container(of).lines());
                let changed = unified(&from, &to);
                format!("existing ephemeral containers {name:?} may not be changed\n{changed}")
            }
        };
        errors.push(FieldError::forbidden(&path, detail));
    }
    errors
}

fn equal(now: &Value, before: &Value) -> bool {
    type_named("io.k8s.api.core.v1.EphemeralContainer")
        .is_some_and(|schema| semantically_equal(schema, now, before))
}

/// Faults of the containers themselves.
fn faults(spec: &Value, path: &Path) -> Vec<FieldError> {
    let mut names: HashSet<_> = ["containers", "initContainers"]
        .into_iter()
        .flat_map(|field| list(spec, field))
        .map(|container| text(container, "name"))
        .collect();
    let targets = names.clone();
    let mut errors = Vec::new();
    for (index, container) in list(spec, "ephemeralContainers").iter().enumerate() {
        let at = path.index(index);
        errors.extend(validate_container(container, spec, &at));
        let (name, target) = (
            text(container, "name"),
            text(container, "targetContainerName"),
        );
        if !names.insert(name) {
            errors.push(FieldError::duplicate(&at.child("name"), name));
        }
        if !target.is_empty() && !targets.contains(target) {
            errors.push(FieldError::not_found(
                &at.child("targetContainerName"),
                target,
            ));
        }
        let has = |field: &&str| {
            let value = &container[*field];
            let empty = value.as_object().is_some_and(serde_json::Map::is_empty);
            !value.is_null() && !empty
        };
        for field in FORBIDDEN.iter().filter(|field| has(field)) {
            errors.push(FieldError::forbidden(&at.child(field), DENIED));
        }
        for (index, mount) in list(container, "volumeMounts").iter().enumerate() {
            for field in ["subPath", "subPathExpr"] {
                if !text(mount, field).is_empty() {
                    let at = at.child("volumeMounts").index(index).child(field);
                    errors.push(FieldError::forbidden(&at, DENIED));
                }
            }
        }
    }
    errors
}
