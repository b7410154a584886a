//! Decides what this node does next for one pod. Pure: no I/O, no clock; the same observation gives the same plan.
//!
//! The worker executes the actions in order and asks again; a plan without actions means that the pod is as it
//! should be until something changes or `wake_at` comes.

mod backoff;
mod decide;
mod end;
mod start;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Container;
use plinth_runtime::{ContainerId, ContainerState, ContainerStatus, PodSandbox, SandboxId};

use crate::identity::PodUid;
use crate::spec;

pub(crate) use backoff::{BackOff, Schedule};
pub(crate) use decide::plan;

/// The container annotation that keeps the fingerprint of the specification it was made from.
pub(crate) const HASH_ANNOTATION: &str = "plinth/spec-hash";

/// What the node knows of one pod's pieces at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observed {
    /// The earlier pod of the same name whose containers are not confirmed gone (P-26).
    pub blocked_by: Option<PodUid>,
    /// The pod is no longer in the API: someone forced it out (L-33).
    pub removed: bool,
    /// Every sandbox of this UID, oldest first.
    pub sandboxes: Vec<PodSandbox>,
    /// Every container of this UID.
    pub containers: Vec<ContainerStatus>,
    /// Containers told to stop, with the moment by which they will be dead.
    pub stopping: BTreeMap<ContainerId, Timestamp>,
    /// Where the volumes are.
    pub volumes: Step,
    /// Where the sandbox is, between attempts.
    pub sandbox: Step,
    /// Where the network is. `Done` for pods in the host's network.
    pub network: Step,
    /// The last attempt to start each container, while it has not succeeded.
    pub starts: BTreeMap<String, Start>,
    /// How long each container must wait before it is restarted.
    pub backoff: BackOff,
    /// What the probes say, by container name.
    pub health: BTreeMap<String, Health>,
    /// Sandboxes whose processes and network are confirmed gone.
    pub stopped: BTreeSet<SandboxId>,
    /// The pod's directories are gone.
    pub cleaned: bool,
    /// The API has been told of the end.
    pub finished: bool,
    /// Restart counts of containers that the runtime knows nothing of any more, from the API.
    pub known_restarts: BTreeMap<String, u32>,
}

/// One step of a pod's preparation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Step {
    /// Not tried yet.
    #[default]
    Due,
    /// Done.
    Done,
    /// Failed; not to be tried again before `retry_at`.
    Failed {
        /// When.
        retry_at: Timestamp,
    },
}

/// A container's start that has not succeeded yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Its image is on its way.
    Pulling,
    /// It failed.
    Failed {
        /// The waiting reason for the API (L-6).
        reason: String,
        /// The waiting message.
        message: String,
        /// When it failed.
        at: Timestamp,
        /// When it is tried again.
        retry_at: Timestamp,
    },
}

/// What the probes say about a running container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Health {
    /// The container this is about; one with another id has not been probed.
    pub container: Option<ContainerId>,
    /// The startup probe has passed.
    pub started: bool,
    /// The readiness probe passes.
    pub ready: bool,
    /// The liveness or startup probe has failed; the container must be restarted.
    pub failed: Option<Failure>,
}

/// A probe that costs a container its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// `liveness` or `startup`.
    pub probe: &'static str,
    /// `probe.terminationGracePeriodSeconds` (L-24).
    pub grace: Option<Duration>,
}

/// What is to be done, and how things stand until then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// In this order; an action's failure ends the round.
    pub actions: Vec<Action>,
    /// Containers that cannot run now, and why.
    pub waiting: BTreeMap<String, Waiting>,
    /// When to plan again if nothing happens before.
    pub wake_at: Option<Timestamp>,
    /// All containers have ended for good: the pod's phase is final.
    pub ended: bool,
}

/// A waiting state of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// CamelCase, for the API.
    pub reason: String,
    /// For a person.
    pub message: String,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Make the pod's directories and fill its volumes.
    SetUpVolumes,
    /// Make a sandbox.
    StartSandbox {
        /// How many the pod has had before.
        attempt: u32,
        /// The pod had one and lost it (L-15).
        replaces: bool,
    },
    /// Give the sandbox its address.
    AttachNetwork(SandboxId),
    /// Create and start a container.
    Start {
        /// Its name.
        container: String,
        /// How many of this name the pod has had before: its restart count.
        attempt: u32,
        /// The ended one it follows, whose end counts for the back-off.
        after: Option<ContainerId>,
    },
    /// Send the stop signal, and SIGKILL at the deadline.
    Stop {
        /// Which.
        id: ContainerId,
        /// Its name.
        container: String,
        /// By when it must be dead.
        deadline: Timestamp,
        /// For the `Killing` event.
        why: StopReason,
    },
    /// Forget a container that has ended, its writable layer included.
    Remove(ContainerId),
    /// Confirm that nothing of a sandbox lives, and take its network away.
    StopSandbox(SandboxId),
    /// Forget a stopped sandbox and all its containers.
    RemoveSandbox(SandboxId),
    /// Remove the pod's volumes, files and logs from this node.
    CleanUp,
    /// Tell the API that the node is done with the pod: final status, then the removal.
    Finish,
}

/// Why a container is stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// The pod ends.
    PodEnds,
    /// Its specification changed (L-12).
    SpecChanged,
    /// A probe failed.
    Unhealthy(&'static str),
    /// Its sandbox is gone.
    SandboxGone,
}

impl Observed {
    /// The sandbox that counts: the newest.
    pub(crate) fn current_sandbox(&self) -> Option<&PodSandbox> {
        self.sandboxes.last()
    }

    /// The newest container of this name, in whatever sandbox.
    pub(crate) fn newest(&self, name: &str) -> Option<&ContainerStatus> {
        self.containers
            .iter()
            .filter(|c| c.name == name)
            .max_by_key(|c| (c.attempt, c.created_at))
    }

    /// The newest container of this name in the current sandbox.
    pub(crate) fn current(&self, name: &str) -> Option<&ContainerStatus> {
        let sandbox = &self.current_sandbox()?.id;
        self.containers
            .iter()
            .filter(|c| c.name == name && c.sandbox == *sandbox)
            .max_by_key(|c| (c.attempt, c.created_at))
    }

    /// Containers with a living process, or that may yet get one.
    pub(crate) fn alive(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.containers
            .iter()
            .filter(|c| c.state == ContainerState::Running)
    }

    /// What the probes say of this very container.
    pub(crate) fn health_of(&self, container: &ContainerStatus) -> Option<&Health> {
        self.health
            .get(&container.name)
            .filter(|h| h.container.as_ref() == Some(&container.id))
    }
}

/// The exit code of an ended container; 137 where it is not known (L-6).
pub(crate) fn exit_code(container: &ContainerStatus) -> i32 {
    container.exit_code.unwrap_or(137)
}

/// Whether the container has ended, as far as anyone can know.
pub(crate) fn has_ended(container: &ContainerStatus) -> bool {
    matches!(
        container.state,
        ContainerState::Exited | ContainerState::Unknown
    )
}

/// Whether the container was made from another specification than `asked` (L-12).
pub(crate) fn is_outdated(container: &ContainerStatus, asked: &Container) -> bool {
    container
        .annotations
        .get(HASH_ANNOTATION)
        .is_some_and(|hash| *hash != spec::container_hash(asked))
}

impl Plan {
    /// Asks to be planned again at `at`, if not sooner.
    pub(crate) fn wake(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |w| w.min(at)));
    }
}

#[cfg(test)]
mod tests;
