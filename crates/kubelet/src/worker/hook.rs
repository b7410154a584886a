//! A container's hooks: after its start and before its stop (L-14).

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod};
use plinth_client::EventKind::{Normal, Warning};
use plinth_runtime::{ContainerId, Runtime};

use super::Worker;
use crate::probe;
use crate::spec;

/// A hook after the start has no limit of its own but the pod's end; this one only keeps arithmetic finite.
const NO_LIMIT: Duration = Duration::from_hours(24 * 365);

/// Runs a hook within `limit`.
pub(super) async fn run(
    hook: &LifecycleHandler,
    runtime: &Runtime,
    id: &ContainerId,
    container: &Container,
    ip: Option<IpAddr>,
    limit: Duration,
) -> Result<(), String> {
    if let Some(sleep) = &hook.sleep {
        let asked = Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0));
        tokio::time::sleep(asked.min(limit)).await;
        return Ok(());
    }
    if let Some(action) = &hook.exec {
        let ran = probe::run_command(runtime, id, action, limit).await;
        return ran.map_err(|failed| match failed {
            probe::Failed::Exit(why) | probe::Failed::NotRun(why) => why,
        });
    }
    let (Some(get), Some(ip)) = (&hook.http_get, ip) else {
        return Err("the pod has no address".to_owned());
    };
    match tokio::time::timeout(limit, probe::http_get(get, container, ip)).await {
        Ok(answer) => answer.map(drop),
        Err(_) => Err("timed out".to_owned()),
    }
}

impl Worker {
    /// Runs the hook of a container that has just started; until it returns, the container does not count as started.
    /// A container whose hook fails is killed.
    pub(super) async fn post_start(
        &mut self,
        pod: &Pod,
        container: &Container,
        id: &ContainerId,
    ) -> Result<(), String> {
        let lifecycle = container.lifecycle.as_ref();
        let Some(hook) = lifecycle.and_then(|l| l.post_start.as_ref()) else {
            return Ok(());
        };
        let ip = self.current_addresses(pod).await.pod;
        let ip = ip.and_then(|ip| ip.parse().ok());
        let runtime = self.node.runtime.clone();
        let mut desired = self.desired.clone();
        let ends = desired.wait_for(|desired| {
            let pod = desired.pod.as_deref();
            desired.removed || pod.is_none_or(spec::is_deleting)
        });
        let ran = tokio::select! {
            ran = run(hook, &runtime, id, container, ip, NO_LIMIT) => ran,
            // The pod's end stops the container with the rest.
            _ = ends => return Ok(()),
        };
        let Err(error) = ran else { return Ok(()) };
        let name = Some(container.name.as_str());
        let message = format!("PostStartHook failed: {error}");
        self.node
            .event(pod, name, Warning, "FailedPostStartHook", &message);
        self.node
            .event(pod, name, Normal, "Killing", "FailedPostStartHook");
        let grace = spec::spec_grace(&spec::spec_of(pod));
        if let Err(error) = runtime.stop_container(id, grace).await {
            tracing::warn!(%id, %error, "a container whose hook failed could not be stopped");
        }
        Err(message)
    }
}
