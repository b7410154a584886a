//! Which container a log request means, by the pod's status. Pure.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use plinth_runtime::ContainerId;

use crate::status::CONTAINER_SCHEME;

/// The container whose log is asked for; the error is upstream's text for the user.
pub(super) fn container(pod: &Pod, name: &str, previous: bool) -> Result<ContainerId, String> {
    let pod_name = pod.metadata.name.as_deref().unwrap_or_default();
    let status = pod.status.as_ref();
    let statuses = status.into_iter().flat_map(|s| {
        s.init_container_statuses
            .iter()
            .chain(&s.container_statuses)
            .flatten()
    });
    let found = statuses.into_iter().find(|s| s.name == name);
    let waiting = |reason: &str| {
        format!("container \"{name}\" in pod \"{pod_name}\" is waiting to start: {reason}")
    };
    let Some(found) = found else {
        let exists = pod.spec.as_ref().is_some_and(|s| {
            s.init_containers
                .iter()
                .flatten()
                .chain(&s.containers)
                .any(|c| c.name == name)
        });
        return Err(if exists {
            waiting("ContainerCreating")
        } else {
            format!("container \"{name}\" in pod \"{pod_name}\" is not available")
        });
    };
    let id = if previous {
        let last = found
            .last_state
            .as_ref()
            .and_then(|s| s.terminated.as_ref())
            .and_then(|t| t.container_id.clone());
        last.ok_or_else(|| {
            format!("previous terminated container \"{name}\" in pod \"{pod_name}\" not found")
        })?
    } else {
        current(found).ok_or_else(|| {
            let reason = found
                .state
                .as_ref()
                .and_then(|s| s.waiting.as_ref())
                .and_then(|w| w.reason.clone());
            let reason = reason.unwrap_or_else(|| "ContainerCreating".into());
            if matches!(
                reason.as_str(),
                "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "InvalidImageName"
            ) {
                format!(
                    "container \"{name}\" in pod \"{pod_name}\" is waiting to start: {}",
                    image_trouble(&reason)
                )
            } else {
                waiting(&reason)
            }
        })?
    };
    let bare = id.strip_prefix(CONTAINER_SCHEME).unwrap_or(&id);
    Ok(ContainerId(bare.to_owned()))
}

fn image_trouble(reason: &str) -> &'static str {
    match reason {
        "ErrImagePull" => "image can't be pulled",
        "InvalidImageName" => "image name is invalid",
        "ErrImageNeverPull" => "image is not present and may not be pulled",
        _ => "trying and failing to pull image",
    }
}

fn current(status: &ContainerStatus) -> Option<String> {
    let state = status.state.as_ref()?;
    if state.running.is_some() {
        return status.container_id.clone();
    }
    let ended = state.terminated.as_ref().or(status
        .last_state
        .as_ref()
        .and_then(|s| s.terminated.as_ref()));
    ended.and_then(|t| t.container_id.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn find(status: &Value, previous: bool) -> Result<String, String> {
        let pod: Pod = serde_json::from_value(
            json!({"metadata": {"name": "web-0"}, "spec": {"containers": [{"name": "c"}]},
            "status": {"containerStatuses": [status]}}),
        )
        .expect("pod");
        container(&pod, "c", previous).map(|id| id.0)
    }

    #[test]
    fn the_running_one_else_the_last_that_ended_else_a_reason() {
        let base = json!({"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 1, "containerID": "plinth://new"});
        let with = |state: Value, last: Value| {
            let mut status = base.clone();
            status["state"] = state;
            status["lastState"] = last;
            status
        };
        let last = json!({"terminated": {"exitCode": 1, "containerID": "plinth://old"}});
        let running = with(json!({"running": {}}), last.clone());
        assert_eq!(find(&running, false).as_deref(), Ok("new"));
        assert_eq!(find(&running, true).as_deref(), Ok("old"));
        let crashing = with(json!({"waiting": {"reason": "CrashLoopBackOff"}}), last);
        assert_eq!(find(&crashing, false).as_deref(), Ok("old"));
        let creating = with(
            json!({"waiting": {"reason": "ContainerCreating"}}),
            json!({}),
        );
        assert_eq!(
            find(&creating, false),
            Err("container \"c\" in pod \"web-0\" is waiting to start: ContainerCreating".into())
        );
        assert_eq!(
            find(&creating, true),
            Err("previous terminated container \"c\" in pod \"web-0\" not found".into())
        );
    }
}
