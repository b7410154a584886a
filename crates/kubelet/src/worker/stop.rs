//! Stops containers without keeping the worker from hearing of a shorter grace.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Lifecycle, Pod};
use plinth_client::EventKind::{Normal, Warning};
use plinth_runtime::{ContainerId, Runtime, RuntimeError};

use super::{TaskEnd, Worker, hook, left};
use crate::plan::{Schedule, StopReason};
use crate::spec;

/// What a container gets after a preStop hook that took all its grace (L-32).
const AFTER_HOOK: Duration = Duration::from_secs(2);

impl Worker {
    pub(super) fn stop(
        &mut self,
        pod: Option<&Pod>,
        id: ContainerId,
        container: &str,
        deadline: Timestamp,
        why: &StopReason,
    ) {
        let again = self.memory.stopping.insert(id.clone(), deadline).is_some();
        if let (Some(pod), false) = (pod, again) {
            let message = match why {
                StopReason::PodEnds | StopReason::SandboxGone => {
                    format!("Stopping container {container}")
                }
                StopReason::SpecChanged => {
                    format!("Container {container} definition changed, will be restarted")
                }
                StopReason::Unhealthy(probe) => {
                    format!("Container {container} failed {probe} probe, will be restarted")
                }
            };
            self.node
                .event(pod, Some(container), Normal, "Killing", &message);
        }
        let spec = pod.map(spec::spec_of).unwrap_or_default();
        let asked = spec::containers(&spec)
            .map(|(_, c)| c)
            .find(|c| c.name == container)
            .cloned();
        // A second, shorter stop overtakes the hook of the first; of a lost sandbox there is nobody to ask.
        let asked = asked.filter(|_| !again && *why != StopReason::SandboxGone);
        let ip = pod.and_then(|p| p.status.as_ref()?.pod_ip.as_deref()?.parse().ok());
        let (node, pod) = (self.node.clone(), pod.cloned());
        self.tasks.spawn(async move {
            if let (Some(asked), Some(pod)) = (&asked, &pod)
                && let Err(error) = pre_stop(
                    &node.runtime,
                    &id,
                    asked,
                    ip,
                    left(deadline, Timestamp::now()),
                )
                .await
            {
                let message = format!("PreStopHook failed: {error}");
                node.event(
                    pod,
                    Some(&asked.name),
                    Warning,
                    "FailedPreStopHook",
                    &message,
                );
            }
            let hooked = asked
                .as_ref()
                .and_then(|c| c.lifecycle.as_ref())
                .is_some_and(|l| l.pre_stop.is_some());
            let least = if hooked { AFTER_HOOK } else { Duration::ZERO };
            let grace = left(deadline, Timestamp::now()).max(least);
            let result = match node.runtime.stop_container(&id, grace).await {
                Ok(()) | Err(RuntimeError::ContainerNotFound(_)) => Ok(()),
                Err(e) => Err(e.to_string()),
            };
            TaskEnd::Stopped {
                container: id,
                result,
            }
        });
    }

    /// A failed stop is planned again, since the container is still seen running.
    pub(super) fn stopped(&mut self, container: &ContainerId, result: Result<(), String>) {
        let Err(error) = result else {
            self.memory.stopping.remove(container);
            return;
        };
        tracing::warn!(%container, %error, "container could not be stopped");
        let pod = self.desired.borrow().pod.clone();
        if let Some(pod) = pod {
            self.node.event(
                &pod,
                None,
                Warning,
                "FailedKillPod",
                &format!("error killing pod: {error}"),
            );
        }
        // It counts as being stopped until then, so that the retry waits.
        self.memory.failures += 1;
        let delay = Schedule::STEP.delay(self.memory.failures);
        let id = container.clone();
        self.tasks.spawn(async move {
            tokio::time::sleep(delay).await;
            TaskEnd::Stopped {
                container: id,
                result: Ok(()),
            }
        });
    }
}

/// Runs the hook within `limit`. Its failure never keeps the container from being stopped (L-14).
async fn pre_stop(
    runtime: &Runtime,
    id: &ContainerId,
    container: &Container,
    ip: Option<IpAddr>,
    limit: Duration,
) -> Result<(), String> {
    let Some(Lifecycle {
        pre_stop: Some(hook),
        ..
    }) = &container.lifecycle
    else {
        return Ok(());
    };
    hook::run(hook, runtime, id, container, ip, limit).await
}
