//! The smallest patch from one status to another: what has not changed is not written (architecture §4.6).

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use serde_json::{Map, Value, json};

/// A JSON merge patch that turns the pod's status into `status`, or `None` if it is that already.
///
/// It carries the resourceVersion it was made from: lists are replaced whole, so a condition written by someone
/// else in the meantime must make the patch fail rather than vanish.
pub(crate) fn status_patch(pod: &Pod, status: &PodStatus) -> Option<Value> {
    let value = |s: &PodStatus| serde_json::to_value(s).unwrap_or_default();
    let old = value(&pod.status.clone().unwrap_or_default());
    let diff = difference(&old, &value(status))?;
    Some(json!({
        "metadata": {"uid": pod.metadata.uid, "resourceVersion": pod.metadata.resource_version},
        "status": diff,
    }))
}

fn difference(old: &Value, new: &Value) -> Option<Value> {
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        return (old != new).then(|| new.clone());
    };
    let mut patch = Map::new();
    for key in old.keys().filter(|k| !new.contains_key(*k)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in new {
        let change = match old.get(key) {
            Some(before) => difference(before, value),
            None => Some(value.clone()),
        };
        if let Some(change) = change {
            patch.insert(key.clone(), change);
        }
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unchanged_status_is_not_written_and_a_removed_field_is_nulled() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "uid": "u", "resourceVersion": "7"},
            "status": {"phase": "Pending", "message": "m"},
        }))
        .expect("pod");
        let mut status = pod.status.clone().expect("status");
        assert_eq!(status_patch(&pod, &status), None);
        status.message = None;
        status.phase = Some("Running".into());
        assert_eq!(
            status_patch(&pod, &status),
            Some(
                json!({"metadata": {"uid": "u", "resourceVersion": "7"}, "status": {"phase": "Running", "message": null}})
            )
        );
    }
}
