//! Gathers what the node knows of a pod.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use plinth_runtime::{ContainerState, ContainerStatus};

use super::{Desired, Worker, message};
use crate::plan::{HASH_ANNOTATION, Observed, Step};
use crate::spec;
use crate::status::Addresses;

impl Worker {
    pub(super) async fn observe(&mut self, pod: Option<&Pod>, desired: &Desired) -> Observed {
        let mut sandboxes = self.node.runtime.pod_sandboxes().await;
        sandboxes.retain(|s| s.config.uid == self.uid.as_str());
        sandboxes.sort_by_key(|s| (s.config.attempt, s.created_at));
        let mut containers = if sandboxes.is_empty() {
            Vec::new()
        } else {
            self.node.runtime.containers().await
        };
        containers.retain(|c| sandboxes.iter().any(|s| s.id == c.sandbox));
        for container in &mut containers {
            self.complete(pod, container);
        }
        self.memory.stopping.retain(|id, _| {
            containers
                .iter()
                .any(|c| c.id == *id && c.state == ContainerState::Running)
        });
        let host_network = pod
            .and_then(|p| p.spec.as_ref())
            .is_some_and(spec::is_host_network);
        let attached = sandboxes
            .last()
            .is_some_and(|s| self.node.network.address(s.id.as_str()).is_some());
        let network = if host_network || attached {
            Step::Done
        } else {
            self.memory.network.clone()
        };
        let seen = Observed {
            blocked_by: desired.blocked_by.clone(),
            removed: desired.removed,
            sandboxes,
            containers,
            stopping: self.memory.stopping.clone(),
            volumes: self.memory.volumes.clone(),
            sandbox: self.memory.sandbox.clone(),
            network,
            starts: self.memory.starts.clone(),
            backoff: self.memory.backoff.clone(),
            health: self.probes.health(),
            stopped: self.memory.stopped.clone(),
            cleaned: self.memory.cleaned,
            finished: self.memory.finished,
            known_restarts: pod.map(known_restarts).unwrap_or_default(),
        };
        self.adopt(&seen);
        Observed {
            backoff: self.memory.backoff.clone(),
            ..seen
        }
    }

    /// Takes over the restart delays of containers that an earlier daemon started.
    fn adopt(&mut self, seen: &Observed) {
        if std::mem::replace(&mut self.memory.adopted, true) {
            return;
        }
        for container in &seen.containers {
            let is_newest = seen
                .newest(&container.name)
                .is_some_and(|n| n.id == container.id);
            if let (true, Some(hash)) = (is_newest, container.annotations.get(HASH_ANNOTATION)) {
                let began = container.started_at.unwrap_or(container.created_at);
                self.memory
                    .backoff
                    .adopt(&container.name, hash, container.attempt, began);
            }
        }
    }

    /// Adds an ended container's last words (L-16).
    fn complete(&mut self, pod: Option<&Pod>, container: &mut ContainerStatus) {
        if container.state != ContainerState::Exited || !container.message.is_empty() {
            return;
        }
        let Some(spec) = pod.and_then(|p| p.spec.as_ref()) else {
            return;
        };
        let Some((_, asked)) = spec::containers(spec).find(|(_, c)| c.name == container.name)
        else {
            return;
        };
        let path = self
            .dir
            .termination_message(&container.name, container.attempt);
        let words = self.memory.messages.entry(container.id.clone());
        container.message = words
            .or_insert_with(|| message::last_words(asked, container, &path))
            .clone();
    }

    pub(super) fn addresses(&self, pod: &Pod, seen: &Observed) -> Addresses {
        let host = self.node.ip.to_string();
        let host_network = pod.spec.as_ref().is_some_and(spec::is_host_network);
        let ready = seen.current_sandbox().filter(|s| s.ready);
        let own = ready
            .and_then(|s| self.node.network.address(s.id.as_str()))
            .map(|ip| ip.to_string());
        let pod = if host_network {
            ready.map(|_| host.clone())
        } else {
            own
        };
        Addresses { host, pod }
    }
}

/// How often each container that ever ran has been restarted, as far as the API remembers.
fn known_restarts(pod: &Pod) -> BTreeMap<String, u32> {
    let status = pod.status.clone().unwrap_or_default();
    let all = status
        .init_container_statuses
        .into_iter()
        .chain(status.container_statuses)
        .flatten();
    all.filter(|s| s.container_id.is_some())
        .map(|s| (s.name, u32::try_from(s.restart_count).unwrap_or(0)))
        .collect()
}
