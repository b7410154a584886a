//! Executes plans against the API, with preconditions, and tells the events of §2.12. Decides nothing.

use futures::future::join_all;
use k8s_openapi::api::{
    apps::v1::{ControllerRevision, StatefulSet, StatefulSetStatus},
    core::v1::{ObjectReference, PersistentVolumeClaim, Pod},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};
use plinth_client::{ApiError, EventKind, Recorder};
use serde_json::{Value, json};
use tracing::warn;

use super::{
    action::{Action, Stage, Task, Verb},
    plan::Sync,
    written::Written,
};

/// The largest number of tasks that run side by side (C-23).
const WIDEST_BATCH: usize = 500;

/// Attempts to write a status over somebody else's changes (C-63).
const STATUS_ATTEMPTS: usize = 5;

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

    async fn execute(&self, action: &Action, pod: &str) -> Result<(), ActError> {
        match action {
            Action::AdoptPod { name, uid } => self.adopt_pod(name, uid).await,
            Action::ReleasePod { name, uid } => self.release_pod(name, uid).await,
            Action::AdoptRevision { name, uid } => {
                let patch = json!({"metadata": {"uid": uid, "ownerReferences": [self.owner()]}});
                self.patch_revision("adopt", name, Patch::Strategic(patch))
                    .await
            }
            Action::RenumberRevision {
                name,
                uid,
                revision,
            } => {
                let patch = json!({"metadata": {"uid": uid}, "revision": revision});
                self.patch_revision("renumber", name, Patch::Merge(patch))
                    .await
            }
            Action::CreateRevision(revision) => {
                let created = self.api().create(&PostParams::default(), &**revision).await;
                let created = step(created, || {
                    format!("create ControllerRevision {}", revision.name_any())
                })?;
                self.written.revision(&created);
                Ok(())
            }
            Action::DeleteRevision { name, uid } => {
                let api: Api<ControllerRevision> = self.api();
                let deleted = api.delete(name, &only(uid)).await.map(|_| ());
                step(gone_is_good(deleted), || {
                    format!("delete ControllerRevision {name}")
                })
            }
            Action::CreatePod(pod) => {
                let created = self.api().create(&PostParams::default(), &**pod).await;
                let created = step(created, || format!("create Pod {}", pod.name_any()))?;
                self.written.pod(&created);
                Ok(())
            }
            Action::RepairPod {
                name,
                uid,
                labels,
                volumes,
            } => {
                let mut patch = json!({"metadata": {"uid": uid, "labels": labels}});
                if let Some(volumes) = volumes {
                    patch["spec"] = json!({ "volumes": volumes });
                }
                self.patch_pod("repair", name, Patch::Merge(patch)).await
            }
            Action::DeletePod { name, uid } => {
                let api: Api<Pod> = self.api();
                let deleted = api.delete(name, &only(uid)).await.map(|_| ());
                step(gone_is_good(deleted), || format!("delete Pod {name}"))?;
                self.written.deleted_pod(&self.namespace(), name, uid);
                Ok(())
            }
            Action::CreateClaim(claim) => self.create_claim(claim, pod).await,
            Action::OwnClaim {
                name,
                version,
                owners,
            } => {
                let mut patch = json!({"metadata": {"ownerReferences": owners}});
                if let Some(version) = version {
                    patch["metadata"]["resourceVersion"] = json!(version);
                }
                let api: Api<PersistentVolumeClaim> = self.api();
                let patched = api
                    .patch(name, &PatchParams::default(), &Patch::Merge(patch))
                    .await;
                let patched = step(patched, || {
                    format!("set the owners of PersistentVolumeClaim {name}")
                })?;
                self.written.claim(&patched);
                Ok(())
            }
            Action::TellConflict { claim } => {
                // The wording, slip included, is what users of Kubernetes search for.
                let message = format!(
                    "PersistentVolumeClaim {claim} has a conflicting OwnerReference that acts as a \
                     manging controller, the retention policy is ignored for this claim"
                );
                self.tell(EventKind::Warning, "ConflictingController", &message);
                Ok(())
            }
            Action::Refuse(why) => Err(ActError::Refused(why.clone())),
        }
    }

    /// C-7, A-41: only a set that lives, by a fresh look, takes anything in.
    async fn confirm_set(&self) -> Result<(), ActError> {
        let name = self.set.name_any();
        let api: Api<StatefulSet> = self.api();
        let live = step(api.get_opt(&name).await, || format!("get {}", self.text()))?;
        match live {
            Some(live) if live.uid() == self.set.uid() => {
                if live.metadata.deletion_timestamp.is_none() {
                    return Ok(());
                }
                Err(ActError::NotOurs(self.text()))
            }
            _ => Err(ActError::NotOurs(self.text())),
        }
    }

    async fn adopt_pod(&self, name: &str, uid: &str) -> Result<(), ActError> {
        let patch = json!({"metadata": {"uid": uid, "ownerReferences": [self.owner()]}});
        self.patch_pod("adopt", name, Patch::Strategic(patch)).await
    }

    async fn release_pod(&self, name: &str, uid: &str) -> Result<(), ActError> {
        let ours = json!({"$patch": "delete", "uid": self.set.uid()});
        let patch = json!({"metadata": {"uid": uid, "ownerReferences": [ours]}});
        self.patch_pod("release", name, Patch::Strategic(patch))
            .await
    }

    async fn patch_pod(&self, verb: &str, name: &str, patch: Patch<Value>) -> Result<(), ActError> {
        let api: Api<Pod> = self.api();
        let patched = api.patch(name, &PatchParams::default(), &patch).await;
        let patched = step(patched, || format!("{verb} Pod {name}"))?;
        self.written.pod(&patched);
        Ok(())
    }

    async fn patch_revision(
        &self,
        verb: &str,
        name: &str,
        patch: Patch<Value>,
    ) -> Result<(), ActError> {
        let api: Api<ControllerRevision> = self.api();
        let patched = api.patch(name, &PatchParams::default(), &patch).await;
        let patched = step(patched, || format!("{verb} ControllerRevision {name}"))?;
        self.written.revision(&patched);
        Ok(())
    }

    async fn create_claim(&self, claim: &PersistentVolumeClaim, pod: &str) -> Result<(), ActError> {
        let name = claim.name_any();
        let created = self.api().create(&PostParams::default(), claim).await;
        let created = step(created, || format!("create PersistentVolumeClaim {name}"))?;
        self.written.claim(&created);
        let set = self.set.name_any();
        let message = format!("Create Claim {name} Pod {pod} in StatefulSet {set} success");
        self.tell(EventKind::Normal, "SuccessfulCreate", &message);
        Ok(())
    }

    /// Writes the status over whatever else has changed in the object meanwhile, as long as it is
    /// the same object (C-63).
    async fn write_status(&self, status: &StatefulSetStatus) -> Result<(), ActError> {
        let name = self.set.name_any();
        let api: Api<StatefulSet> = self.api();
        let mut object = self.set.clone();
        for attempt in 1.. {
            object.status = Some(status.clone());
            let answer = api
                .replace_status(&name, &PostParams::default(), &object)
                .await;
            match answer {
                Ok(written) => {
                    self.written.set(&written);
                    return Ok(());
                }
                Err(error) if error.is_conflict() && attempt < STATUS_ATTEMPTS => {
                    let live = step(api.get_opt(&name).await, || format!("get {}", self.text()))?;
                    match live {
                        Some(live) if live.uid() == self.set.uid() => object = live,
                        // It is gone, and its status with it.
                        _ => return Ok(()),
                    }
                }
                Err(error) if error.is_not_found() => return Ok(()),
                Err(source) => {
                    let step = format!("write the status of {}", self.text());
                    return Err(ActError::Api { step, source });
                }
            }
        }
        Ok(())
    }

    fn tell(&self, kind: EventKind, reason: &str, message: &str) {
        let regarding: ObjectReference = self.set.object_ref(&());
        self.recorder.event(&regarding, kind, reason, message);
    }

    fn owner(&self) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "name": self.set.name_any(), "uid": self.set.uid(),
            "controller": true, "blockOwnerDeletion": true,
        })
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace())
    }

    fn namespace(&self) -> String {
        self.set.namespace().unwrap_or_default()
    }

    fn text(&self) -> String {
        format!("StatefulSet {}/{}", self.namespace(), self.set.name_any())
    }
}

/// A background deletion that hits only the object with that UID.
fn only(uid: &str) -> DeleteParams {
    DeleteParams::background().preconditions(Preconditions {
        uid: Some(uid.to_owned()),
        resource_version: None,
    })
}

/// An object that is gone, or replaced by another of its name, needs no deletion.
fn gone_is_good(answer: Result<(), kube::Error>) -> Result<(), kube::Error> {
    match answer {
        Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
        other => other,
    }
}

fn step<T>(answer: Result<T, kube::Error>, step: impl FnOnce() -> String) -> Result<T, ActError> {
    answer.map_err(|source| ActError::Api {
        step: step(),
        source,
    })
}
