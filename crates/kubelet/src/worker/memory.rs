//! What a worker remembers between two looks at its pod. All of it can be lost: a new daemon finds it out again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use plinth_runtime::{ContainerId, SandboxId};
use tracing::warn;

use super::Desired;
use crate::plan::{BackOff, Schedule, Start, Step};
use crate::volumes::{ReadyVolume, Tokens};

/// See the module.
#[derive(Default)]
#[allow(clippy::struct_excessive_bools)] // each is a fact of its own; no two make one state
pub(super) struct Memory {
    pub(super) volumes: Step,
    pub(super) ready_volumes: BTreeMap<String, ReadyVolume>,
    /// The ServiceAccount's tokens in the volumes.
    pub(super) tokens: Tokens,
    pub(super) sandbox: Step,
    pub(super) network: Step,
    /// Failures of preparation in a row, by step.
    pub(super) step_failures: BTreeMap<&'static str, u32>,
    pub(super) starts: BTreeMap<String, Start>,
    /// Failures to start in a row, by container.
    pub(super) start_failures: BTreeMap<String, u32>,
    /// Containers whose image was pulled for the next start.
    pub(super) pulled: BTreeSet<String>,
    pub(super) backoff: BackOff,
    pub(super) stopping: BTreeMap<ContainerId, Timestamp>,
    pub(super) stopped: BTreeSet<SandboxId>,
    pub(super) cleaned: bool,
    /// The API has been told that the node is done with the pod.
    pub(super) finished: bool,
    /// The API has been told that the node has the pod.
    pub(super) reported: bool,
    /// When the status is written again after a failure to.
    pub(super) retry_report: Option<Timestamp>,
    /// Failed actions in a row.
    pub(super) failures: u32,
    /// Containers seen before, whose back-off has been taken over.
    pub(super) adopted: bool,
    /// Last words of ended containers.
    pub(super) messages: BTreeMap<ContainerId, String>,
    /// What events have been told of, so that they are told once.
    pub(super) announced: BTreeMap<String, String>,
    /// The pod as this worker last wrote it.
    written: Option<Arc<Pod>>,
    content: u64,
    generation: Option<i64>,
}

/// An action that failed, for the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum ActError {
    #[error("stop sandbox: {0}")]
    StopSandbox(String),
    #[error("remove sandbox: {0}")]
    RemoveSandbox(String),
    #[error("remove container: {0}")]
    RemoveContainer(String),
    #[error("clean up {path}: {source}")]
    CleanUp {
        path: String,
        source: std::io::Error,
    },
    #[error("remove the pod from the API: {0}")]
    Delete(String),
    /// The step keeps its own time of retry and has told of its failure.
    #[error("{0}")]
    Told(&'static str),
}

impl Memory {
    /// The newer of what the registry has and what this worker wrote.
    pub(super) fn newest(&self, known: Option<&Arc<Pod>>) -> Option<Arc<Pod>> {
        match (known, &self.written) {
            (Some(known), Some(written)) if revision(written) > revision(known) => {
                Some(written.clone())
            }
            (known, _) => known.cloned(),
        }
    }

    pub(super) fn wrote(&mut self, pod: Pod) {
        self.written = Some(Arc::new(pod));
    }

    /// Takes note of what a user changed: of ConfigMaps and the like, so that volumes are looked at again; of those or
    /// the pod itself, so that failed starts are tried at once.
    pub(super) fn notice(&mut self, desired: &Desired) {
        let generation = desired.pod.as_ref().and_then(|p| p.metadata.generation);
        if self.content != desired.content {
            self.volumes = Step::Due;
        }
        if self.content != desired.content || self.generation != generation {
            (self.content, self.generation) = (desired.content, generation);
            self.starts.retain(|_, start| *start == Start::Pulling);
            self.start_failures.clear();
        }
    }

    /// Takes note of the time: volumes are looked at again when a token in them is to be renewed.
    pub(super) fn renew_tokens(&mut self, now: Timestamp) {
        if self.volumes == Step::Done && self.tokens.renew_at().is_some_and(|at| at <= now) {
            self.volumes = Step::Due;
        }
    }

    /// Notes that a step failed; the next attempt waits longer.
    pub(super) fn step_failed(&mut self, step: &'static str) -> Step {
        let failures = self.step_failures.entry(step).or_default();
        *failures += 1;
        Step::Failed {
            retry_at: Timestamp::now() + Schedule::STEP.delay(*failures),
        }
    }

    /// Notes that an action failed, and says when to go on; `None` if its step knows that itself.
    pub(super) fn failed(&mut self, failure: &ActError) -> Option<Timestamp> {
        if let ActError::Told(_) = failure {
            return None;
        }
        self.failures += 1;
        let delay = Schedule::STEP.delay(self.failures);
        warn!(%failure, retry_in = ?delay, "failed");
        Some(Timestamp::now() + delay)
    }

    /// A task died without a word: what it was doing is to be done again.
    pub(super) fn forget_tasks(&mut self, retry_at: Timestamp) {
        self.starts.retain(|_, start| *start != Start::Pulling);
        self.stopping.clear();
        self.retry_report = Some(retry_at);
    }
}

fn revision(pod: &Pod) -> u64 {
    pod.metadata
        .resource_version
        .as_deref()
        .and_then(|r| r.parse().ok())
        .unwrap_or(0)
}
