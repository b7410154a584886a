//! Executes plans, task by task, and tells the events of §2.12. Decides nothing.

use futures::future::join_all;
use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::ObjectReference};
use kube::{Client, Resource, ResourceExt};
use plinth_client::{ApiError, EventKind, Recorder};
use tracing::warn;

use super::{
    action::{Action, Stage, Task, Verb},
    plan::Sync,
    written::Written,
};

/// The largest number of tasks that run side by side (C-23).
const WIDEST_BATCH: usize = 500;

/// Which write failed and why.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ActError {
    #[error("{step}: {}", .source.text())]
    Api { step: String, source: kube::Error },
    #[error("{0}")]
    Refused(String),
    #[error("StatefulSet {0} was deleted or replaced; nothing is adopted")]
    NotOurs(String),
}

impl ActError {
    /// What an event says about it: the server's own words.
    fn text(&self) -> String {
        match self {
            Self::Api { source, .. } => source.text(),
            other => other.to_string(),
        }
    }

    fn is_already_exists(&self) -> bool {
        matches!(self, Self::Api { source, .. } if source.is_already_exists())
    }

    /// Nothing can be made in the set's namespace any more; the set itself is about to go.
    pub(crate) fn is_namespace_terminating(&self) -> bool {
        matches!(self, Self::Api { source, .. } if source.is_namespace_terminating())
    }

    fn is_conflict(&self) -> bool {
        matches!(self, Self::Api { source, .. } if source.is_conflict())
    }
}

/// Acts for one set in one round.
pub(crate) struct Actor<'a> {
    pub(crate) client: &'a Client,
    pub(crate) recorder: &'a Recorder,
    pub(crate) set: &'a StatefulSet,
    pub(crate) written: &'a Written,
}

impl Actor<'_> {
    /// Settles membership and history.
    pub(crate) async fn prepare(&self, actions: &[Action]) -> Result<(), ActError> {
        let adopts =
            |a: &Action| matches!(a, Action::AdoptPod { .. } | Action::AdoptRevision { .. });
        if actions.iter().any(adopts) {
            self.confirm_set().await?;
        }
        for action in actions {
            self.execute(action, "").await?;
        }
        Ok(())
    }

    /// Runs a round. The status is written whatever becomes of the stages.
    pub(crate) async fn sync(&self, sync: &Sync) -> Result<(), ActError> {
        let mut outcome = self.stages(&sync.stages).await;
        if let Some(status) = &sync.status {
            let written = self.write_status(status).await;
            outcome = outcome.and(written);
        }
        outcome?;
        for action in &sync.prune {
            self.execute(action, "").await?;
        }
        Ok(())
    }

    async fn stages(&self, stages: &[Stage]) -> Result<(), ActError> {
        for stage in stages {
            let mut rest = stage.tasks.as_slice();
            let mut width = 1;
            // Slow start: when the first pods are refused, hundreds more are not tried (C-23).
            while !rest.is_empty() {
                let (batch, later) = rest.split_at(width.min(rest.len()));
                let outcomes = join_all(batch.iter().map(|task| self.task(task))).await;
                let mut failed = None;
                for error in outcomes.into_iter().filter_map(Result::err) {
                    if let Some(earlier) = failed.replace(error) {
                        warn!(set = %self.text(), error = %earlier, "a member's task failed");
                    }
                }
                if let Some(error) = failed {
                    return Err(error);
                }
                rest = later;
                if stage.concurrent {
                    width = (width * 2).min(WIDEST_BATCH);
                }
            }
        }
        Ok(())
    }

    async fn task(&self, task: &Task) -> Result<(), ActError> {
        for action in &task.actions {
            if let Err(error) = self.execute(action, &task.pod).await {
                self.tell_failure(task, action, &error);
                return Err(error);
            }
        }
        let (reason, verb) = match task.verb {
            Verb::Create => ("SuccessfulCreate", "Create"),
            Verb::Update => ("SuccessfulUpdate", "Update"),
            Verb::Delete => ("SuccessfulDelete", "Delete"),
            Verb::Tend => return Ok(()),
        };
        let set = self.set.name_any();
        let message = format!("{verb} Pod {} in StatefulSet {set} successful", task.pod);
        self.tell(EventKind::Normal, reason, &message);
        Ok(())
    }

    /// A taken name and a lost race are no news to the user: they are retried (C-8, §12.8).
    fn tell_failure(&self, task: &Task, action: &Action, error: &ActError) {
        if error.is_already_exists() || error.is_conflict() || error.is_namespace_terminating() {
            return;
        }
        let (set, pod, text) = (self.set.name_any(), &task.pod, error.text());
        let mut text = text;
        if let Action::CreateClaim(claim) = action {
            let claim = claim.name_any();
            let message = format!(
                "Create Claim {claim} for Pod {pod} in StatefulSet {set} failed error: {text}"
            );
            self.tell(EventKind::Warning, "FailedCreate", &message);
            text = format!("failed to create PVC {claim}: {text}");
        }
        let (reason, verb) = match (task.verb, action) {
            (Verb::Create, Action::OwnClaim { .. }) | (Verb::Update, _) => {
                ("FailedUpdate", "Update")
            }
            (Verb::Create, _) => ("FailedCreate", "Create"),
            (Verb::Delete, _) => ("FailedDelete", "Delete"),
            (Verb::Tend, _) => return,
        };
        let message = format!("{verb} Pod {pod} in StatefulSet {set} failed error: {text}");
        self.tell(EventKind::Warning, reason, &message);
    }

    pub(super) fn tell(&self, kind: EventKind, reason: &str, message: &str) {
        let regarding: ObjectReference = self.set.object_ref(&());
        self.recorder.event(&regarding, kind, reason, message);
    }

    pub(super) fn namespace(&self) -> String {
        self.set.namespace().unwrap_or_default()
    }

    pub(super) fn text(&self) -> String {
        format!("StatefulSet {}/{}", self.namespace(), self.set.name_any())
    }
}
