//! Warnings about pods and pod templates that are accepted but rarely meant.

use std::collections::HashMap;

use serde_json::Value;

use crate::field::Path;
use crate::resources::object::{amount_of, given, int, list, text};

/// Node labels that moved, with the release of the move and the new name.
const MOVED_LABELS: [(&str, &str, &str); 5] = [
    ("beta.kubernetes.io/arch", "v1.14", "kubernetes.io/arch"),
    ("beta.kubernetes.io/os", "v1.14", "kubernetes.io/os"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "v1.17",
        "topology.kubernetes.io/region",
    ),
    (
        "failure-domain.beta.kubernetes.io/zone",
        "v1.17",
        "topology.kubernetes.io/zone",
    ),
    (
        "beta.kubernetes.io/instance-type",
        "v1.17",
        "node.kubernetes.io/instance-type",
    ),
];
const OLD_VOLUMES: [(&str, &str); 6] = [
    (
        "gitRepo",
        "deprecated in v1.11, and disabled by default in v1.33+",
    ),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
];

/// Warnings about a PodTemplateSpec.
pub(crate) fn warn_template(template: &Value, path: &Path) -> Vec<String> {
    warn_spec(&template["spec"], &template["metadata"], path)
}

/// Warnings about the spec and metadata found below `path` (empty for a pod itself).
pub(crate) fn warn_spec(spec: &Value, metadata: &Value, path: &Path) -> Vec<String> {
    let (at, metadata_at) = (path.child("spec"), path.child("metadata"));
    let mut warnings = Vec::new();
    for key in spec["nodeSelector"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| key)
    {
        if let Some((_, since, new)) = MOVED_LABELS.iter().find(|(old, ..)| old == key) {
            warnings.push(format!(
                "{}: deprecated since {since}; use {new:?} instead",
                at.child("nodeSelector").key(key)
            ));
        }
    }
    let critical = "scheduler.alpha.kubernetes.io/critical-pod";
    if given(&metadata["annotations"], critical) {
        let at = metadata_at.child("annotations").key(critical);
        warnings.push(format!(
            "{at}: non-functional in v1.16+; use the \"priorityClassName\" field instead"
        ));
    }
    for (index, secret) in list(spec, "imagePullSecrets").iter().enumerate() {
        if text(secret, "name").is_empty() {
            let at = at.child("imagePullSecrets").index(index).child("name");
            warnings.push(format!("{at}: invalid empty name \"\""));
        }
    }
    for (index, volume) in list(spec, "volumes").iter().enumerate() {
        for (kind, fate) in OLD_VOLUMES.iter().filter(|(kind, _)| given(volume, kind)) {
            warnings.push(format!(
                "{}: {fate}",
                at.child("volumes").index(index).child(kind)
            ));
        }
    }
    if int(spec, "terminationGracePeriodSeconds").is_some_and(|s| s < 0) {
        let at = at.child("terminationGracePeriodSeconds");
        warnings.push(format!(
            "{at}: must be >= 0; negative values are invalid and will be treated as 1"
        ));
    }
    for field in ["initContainers", "containers"] {
        for (index, container) in list(spec, field).iter().enumerate() {
            warn_container(container, &at.child(field).index(index), &mut warnings);
        }
    }
    warnings
}

fn warn_container(container: &Value, path: &Path, warnings: &mut Vec<String>) {
    for amounts in ["limits", "requests"] {
        for name in ["memory", "ephemeral-storage"] {
            let value = &container["resources"][amounts][name];
            if let Some(amount) = amount_of(value).filter(|amount| !amount.is_whole()) {
                let at = path.child("resources").child(amounts).key(name);
                let amount = amount.to_string();
                warnings.push(format!(
                    "{at}: fractional byte value {amount:?} is invalid, must be an integer"
                ));
            }
        }
    }
    let mut defined = HashMap::new();
    for (index, variable) in list(container, "env").iter().enumerate() {
        let name = text(variable, "name");
        // A later variable may be built from the earlier one of the same name.
        let extends = text(variable, "value").contains(&format!("$({name})"));
        if defined.insert(name, index).is_some() && !extends {
            let at = path.child("env").index(index);
            warnings.push(format!(
                "{at}: hides previous definition of {name:?}, which may be dropped when using apply"
            ));
        }
    }
    let mut ports: HashMap<_, usize> = HashMap::new();
    for (index, port) in list(container, "ports").iter().enumerate() {
        let key = (
            int(port, "containerPort"),
            text(port, "protocol"),
            text(port, "hostIP"),
            int(port, "hostPort").unwrap_or(0),
        );
        match ports.get(&key) {
            Some(first) => {
                let (at, first) = (
                    path.child("ports").index(index),
                    path.child("ports").index(*first),
                );
                warnings.push(format!("{at}: duplicate port definition with {first}"));
            }
            None => {
                ports.insert(key, index);
            }
        }
    }
}
