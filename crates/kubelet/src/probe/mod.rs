//! Asks containers how they are (L-20..L-24). Knows probes and addresses; what a failure costs is the plan's matter.

mod check;
mod exec;
mod http;
mod tally;
mod watch;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::{Container, Pod, Probe};
use plinth_runtime::{ContainerId, ContainerState};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::context::Node;
use crate::plan::{Health, Observed};
use crate::spec;
use crate::status::CONTAINER_SCHEME;

pub(crate) use check::http_get;
pub(crate) use exec::{Failed, run as run_command};

/// The kind of probe that a container asks for and this node cannot run.
pub(crate) fn unsupported(container: &Container) -> Option<&'static str> {
    let probes = [
        &container.startup_probe,
        &container.readiness_probe,
        &container.liveness_probe,
    ];
    let mut probes = probes.into_iter().flatten();
    let grpc = probes.any(|p: &Probe| p.grpc.is_some());
    grpc.then_some("grpc")
}

/// What the probes have found, by container name.
#[derive(Clone, Default)]
pub(crate) struct Findings(Arc<Mutex<BTreeMap<String, Health>>>);

impl Findings {
    fn update(&self, container: &str, id: &ContainerId, change: impl FnOnce(&mut Health)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(health) = all
            .get_mut(container)
            .filter(|h| h.container.as_ref() == Some(id))
        {
            change(health);
        }
    }
}

/// The probes of one pod's containers.
pub(crate) struct Probes {
    wake: Arc<Notify>,
    node: Arc<Node>,
    findings: Findings,
    watching: HashMap<String, (ContainerId, AbortHandle)>,
}

impl Probes {
    pub(crate) fn new(wake: Arc<Notify>, node: Arc<Node>) -> Self {
        Self {
            wake,
            node,
            findings: Findings::default(),
            watching: HashMap::new(),
        }
    }

    /// What they have found so far.
    pub(crate) fn health(&self) -> BTreeMap<String, Health> {
        self.findings
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Probes exactly the running containers that ask for it.
    pub(crate) fn follow(&mut self, pod: &Arc<Pod>, seen: &Observed, ip: Option<&str>) {
        let spec = spec::spec_of(pod);
        let ip: Option<IpAddr> = ip.and_then(|ip| ip.parse().ok());
        for (role, container) in spec::containers(&spec) {
            let asks = container.startup_probe.is_some()
                || container.readiness_probe.is_some()
                || container.liveness_probe.is_some();
            let running = seen
                .current(&container.name)
                .filter(|c| c.state == ContainerState::Running);
            let running = running.filter(|_| asks && role != spec::Role::Init);
            let name = &container.name;
            if self
                .watching
                .get(name)
                .is_some_and(|(id, _)| running.is_none_or(|r| r.id != *id))
            {
                self.forget(name);
            }
            let (Some(running), Some(ip), false) = (running, ip, self.watching.contains_key(name))
            else {
                continue;
            };
            let health = known_health(pod, &running.id);
            self.findings
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(name.clone(), health.clone());
            let task = watch::watch(watch::Subject {
                pod: Arc::clone(pod),
                container: container.clone(),
                id: running.id.clone(),
                known: health,
                started_at: running.started_at,
                ip,
                findings: self.findings.clone(),
                wake: Arc::clone(&self.wake),
                node: Arc::clone(&self.node),
            });
            self.watching.insert(
                name.clone(),
                (running.id.clone(), tokio::spawn(task).abort_handle()),
            );
        }
    }

    fn forget(&mut self, name: &str) {
        if let Some((_, task)) = self.watching.remove(name) {
            task.abort();
        }
        self.findings
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
    }
}

/// What the API knows of a container that an earlier daemon probed: it stays ready until a probe says otherwise.
fn known_health(pod: &Pod, id: &ContainerId) -> Health {
    let named = format!("{CONTAINER_SCHEME}{id}");
    let status = pod.status.as_ref();
    let mut all = status.into_iter().flat_map(|s| {
        let init = s.init_container_statuses.iter().flatten();
        init.chain(s.container_statuses.iter().flatten())
    });
    let known = all.find(|s| s.container_id.as_ref() == Some(&named));
    Health {
        container: Some(id.clone()),
        started: known.is_some_and(|s| s.started == Some(true)),
        ready: known.is_some_and(|s| s.ready),
        failed: None,
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        for (_, task) in self.watching.values() {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_restarted_daemon_takes_a_ready_container_for_ready_until_a_probe_says_otherwise() {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {"containers": []},
            "status": {"containerStatuses": [{"name": "c", "image": "", "imageID": "", "restartCount": 0,
                "containerID": "plinth://one", "ready": true, "started": true}]}}))
        .expect("pod");
        let health = |id: &str| known_health(&pod, &ContainerId(id.into()));
        assert!(health("one").ready && health("one").started);
        assert!(!health("another").ready && !health("another").started);
    }
}
