//! What may change of a pod after its creation.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::resources::checks::each;
use crate::resources::difference;
use crate::resources::object::{given, int, items, list, put, text};
use crate::resources::pod_template::internal;
use crate::resources::same;

const MUTABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
    `spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set \
    to 1 if it was previously negative)";
const DEADLINE_MAX: i64 = i32::MAX as i64;

/// Faults of the difference between two states of a pod's spec.
pub(super) fn changes(new: &Value, old: &Value) -> Vec<FieldError> {
    let (after, before, path) = (&new["spec"], &old["spec"], Path::new("spec"));
    let mut errors = Vec::new();
    for field in ["containers", "initContainers"] {
        if list(after, field).len() != list(before, field).len() {
            let detail = "pod updates may not add or remove containers";
            errors.push(FieldError::forbidden(&path.child(field), detail));
            return errors;
        }
    }
    match deadline(after, before, &path.child("activeDeadlineSeconds")) {
        Ok(error) => errors.extend(error),
        Err(error) => {
            errors.push(error);
            return errors;
        }
    }
    errors.extend(tolerations(after, before, &path.child("tolerations")));
    errors.extend(gates(after, before, &path.child("schedulingGates")));
    let mut comparable = new.clone();
    let allowed = &mut comparable["spec"];
    for field in ["containers", "initContainers"] {
        for (container, old) in items(allowed, field).zip(list(before, field)) {
            put(
                container,
                "image",
                old.get("image").cloned().unwrap_or_default(),
            );
        }
    }
    for field in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
        put(
            allowed,
            field,
            before.get(field).cloned().unwrap_or_default(),
        );
    }
    if int(before, "terminationGracePeriodSeconds").is_some_and(|seconds| seconds < 0)
        && int(allowed, "terminationGracePeriodSeconds") == Some(1)
    {
        put(
            allowed,
            "terminationGracePeriodSeconds",
            before["terminationGracePeriodSeconds"].clone(),
        );
    }
    if !list(before, "schedulingGates").is_empty() {
        errors.extend(node_selector(allowed, before, &path.child("nodeSelector")));
    }
    if !same("", "v1", "Pod", "spec", &comparable, old) {
        let changed = difference::unified(
            &internal::pod_spec(before).lines(),
            &internal::pod_spec(&comparable["spec"]).lines(),
        );
        let detail = format!("pod updates may not change fields other than {MUTABLE}\n{changed}");
        errors.push(FieldError::forbidden(&path, detail));
    }
    errors
}

/// A deadline may be set once and then only come closer. An error in `Err` ends the check.
fn deadline(after: &Value, before: &Value, path: &Path) -> Result<Option<FieldError>, FieldError> {
    let (new, old) = (
        int(after, "activeDeadlineSeconds"),
        int(before, "activeDeadlineSeconds"),
    );
    match (new, old) {
        (Some(new), _) if !(0..=DEADLINE_MAX).contains(&new) => Err(FieldError::invalid(
            path,
            new,
            "must be between 0 and 2147483647, inclusive",
        )),
        (Some(new), Some(old)) if old < new => Err(FieldError::invalid(
            path,
            new,
            "must be less than or equal to previous value",
        )),
        (None, Some(_)) => {
            let detail = "must not update from a positive integer to nil value";
            Ok(Some(FieldError::invalid(path, Value::Null, detail)))
        }
        _ => Ok(None),
    }
}

/// Tolerations may be added; of a given one only the seconds may change.
fn tolerations(after: &Value, before: &Value, path: &Path) -> Vec<FieldError> {
    let timeless = |toleration: &Value| {
        let mut toleration = toleration.clone();
        put(&mut toleration, "tolerationSeconds", Value::Null);
        toleration
    };
    let kept: Vec<_> = list(after, "tolerations").iter().map(timeless).collect();
    let lost = list(before, "tolerations")
        .iter()
        .any(|old| !kept.contains(&timeless(old)));
    let detail = "existing toleration can not be modified except its tolerationSeconds";
    lost.then(|| FieldError::forbidden(path, detail))
        .into_iter()
        .collect()
}

/// Gates may only go.
fn gates(after: &Value, before: &Value, path: &Path) -> Vec<FieldError> {
    let known: Vec<_> = list(before, "schedulingGates")
        .iter()
        .map(|gate| text(gate, "name"))
        .collect();
    let mut errors = Vec::new();
    for (index, gate) in list(after, "schedulingGates").iter().enumerate() {
        let name = text(gate, "name");
        if !known.contains(&name) {
            let detail =
                format!("only deletion is allowed, but found new scheduling gate '{name}'");
            errors.push(FieldError::forbidden(
                &path.index(index).child("name"),
                detail,
            ));
        }
    }
    errors
}

/// While gated, a pod's node selector may be narrowed.
fn node_selector(allowed: &mut Value, before: &Value, path: &Path) -> Option<FieldError> {
    let empty = serde_json::Map::new();
    let (old, new) = (
        before["nodeSelector"].as_object(),
        allowed["nodeSelector"].as_object(),
    );
    let narrowed = old
        .unwrap_or(&empty)
        .iter()
        .all(|(key, value)| new.is_some_and(|new| new.get(key) == Some(value)));
    let shown = allowed.get("nodeSelector").cloned().unwrap_or_default();
    put(
        allowed,
        "nodeSelector",
        before.get("nodeSelector").cloned().unwrap_or_default(),
    );
    let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
    (!narrowed).then(|| FieldError::invalid(path, shown, detail))
}

/// Faults of an update of the status.
pub(super) fn status_changes(new: &Value, old: &Value) -> Vec<FieldError> {
    let (status, path) = (&new["status"], Path::new("status"));
    let mut errors = Vec::new();
    if text(&new["spec"], "nodeName") != text(&old["spec"], "nodeName") {
        let detail = "may not be changed directly";
        errors.push(FieldError::forbidden(&path.child("nodeName"), detail));
    }
    let nominated = text(status, "nominatedNodeName");
    if !nominated.is_empty() {
        errors.extend(each(
            names::dns1123_subdomain(nominated, false),
            &path.child("nominatedNodeName"),
            nominated,
        ));
    }
    for field in ["podIPs", "hostIPs"] {
        for (index, address) in list(status, field).iter().enumerate() {
            let ip = text(address, "ip");
            errors.extend(each(names::ip(ip), &path.child(field).index(index), ip));
        }
    }
    for (index, condition) in list(status, "conditions").iter().enumerate() {
        let kind = text(condition, "type");
        let own = ["PodScheduled", "Ready", "Initialized", "ContainersReady"].contains(&kind);
        if !own {
            let at = path.child("conditions").index(index).child("Type");
            errors.extend(each(names::qualified_name(kind), &at, kind));
        }
    }
    let policy = text(&new["spec"], "restartPolicy");
    for field in ["containerStatuses", "initContainerStatuses"] {
        errors.extend(revived(
            status,
            &old["status"],
            policy,
            &new["spec"],
            field,
            &path,
        ));
    }
    errors
}

/// A container that ended for good cannot be running again.
fn revived(
    new: &Value,
    old: &Value,
    policy: &str,
    spec: &Value,
    field: &str,
    path: &Path,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if policy == "Always" {
        return errors;
    }
    for before in list(old, field) {
        let Some(terminated) = before["state"].get("terminated").filter(|t| !t.is_null()) else {
            continue;
        };
        let name = text(before, "name");
        let sidecar = field == "initContainerStatuses"
            && list(spec, "initContainers")
                .iter()
                .any(|c| text(c, "name") == name && c["restartPolicy"] == "Always");
        let may_restart = policy == "OnFailure" && int(terminated, "exitCode").unwrap_or(0) != 0;
        if sidecar || may_restart {
            continue;
        }
        let found = list(new, field)
            .iter()
            .enumerate()
            .find(|(_, after)| text(after, "name") == name);
        if let Some((index, after)) = found
            && !given(&after["state"], "terminated")
        {
            let at = path.child(field).index(index).child("state");
            errors.push(FieldError::forbidden(
                &at,
                "may not be transitioned to non-terminated state",
            ));
        }
    }
    errors
}
