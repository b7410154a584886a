//! Executes what was planned for a Job, and tells of it. Decides nothing.

use futures::future::join_all;
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use plinth_client::{ApiError, Informer, Recorder};
use serde_json::{Value, json};

use super::{
    plan::{Action, Plan, Which},
    track::Track,
    work::TRACKING,
};
use crate::{
    ownership::controlled_by,
    pods::{Control, slow_start},
    writes::revision,
    written::Written,
};

/// Acts for one Job. Each of its steps returns when what it wrote can be seen: the next look must not miss
/// it (C-4).
pub(crate) struct Actor<'a> {
    pub(crate) client: &'a Client,
    pub(crate) recorder: &'a Recorder,
    pub(crate) jobs: &'a Informer<Job>,
    pub(crate) pods: &'a Informer<Pod>,
    pub(crate) job: &'a Job,
}

impl Actor<'_> {
    /// Takes pods in and lets others go. A Job that is gone, or going, takes nothing in.
    pub(crate) async fn claim(&self, plan: &Plan) -> Result<(), kube::Error> {
        let adopts = |action: &Action| matches!(action, Action::Adopt(_));
        let may_adopt = !plan.claims.iter().any(adopts) || self.lives().await?;
        let claims = plan.claims.iter();
        let claims = claims.filter(|action| may_adopt || !adopts(action));
        self.all(claims).await
    }

    /// Makes pods or deletes them.
    pub(crate) async fn manage(&self, plan: &Plan) -> Result<(), kube::Error> {
        let mut new = Vec::new();
        let mut others = Vec::new();
        for action in &plan.pods {
            match action {
                Action::Create(pod) => new.push(pod),
                other => others.push(other),
            }
        }
        self.all(others.into_iter()).await?;
        let written = Written::default();
        let control = self.control(&written);
        let made = slow_start(new.len(), |at| control.create(new[at])).await;
        written.visible(self.pods).await;
        made
    }

    /// Writes the status, and only then lets go of the pods that it counts.
    pub(crate) async fn track(&self, track: &Track) -> Result<(), kube::Error> {
        if let Some(status) = &track.status {
            let mut job = self.job.clone();
            job.status = Some((**status).clone());
            let api: Api<Job> = Api::namespaced(self.client.clone(), &self.namespace());
            let name = self.job.name_any();
            let answer = api
                .replace_status(&name, &PostParams::default(), &job)
                .await;
            match answer {
                Ok(written) => self.jobs.seen(revision(&written)).await,
                // Whatever changed it brings it back here.
                Err(error) if error.is_conflict() || error.is_not_found() => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        let reference = self.job.object_ref(&());
        for told in &track.events {
            self.recorder
                .event(&reference, told.kind, &told.reason, &told.message);
        }
        let written = Written::default();
        let pods = track.untrack.iter();
        let untracked = join_all(pods.map(|pod| self.untrack(pod, &written))).await;
        written.visible(self.pods).await;
        untracked.into_iter().collect()
    }

    async fn untrack(&self, pod: &Which, written: &Written<Pod>) -> Result<(), kube::Error> {
        untrack(self.client, &self.namespace(), pod, written).await
    }

    /// Side by side, all of them, even if some fail.
    async fn all<'p>(&self, actions: impl Iterator<Item = &'p Action>) -> Result<(), kube::Error> {
        let written = Written::default();
        let outcomes = join_all(actions.map(|action| self.execute(action, &written))).await;
        written.visible(self.pods).await;
        outcomes.into_iter().collect()
    }

    async fn execute(&self, action: &Action, written: &Written<Pod>) -> Result<(), kube::Error> {
        let control = self.control(written);
        match action {
            Action::Adopt(pod) => {
                let owner = controlled_by(self.job);
                let ours = json!({"ownerReferences": [owner], "finalizers": [TRACKING]});
                self.patch(pod, ours, written).await
            }
            Action::Release(pod) => {
                let owner = json!({"$patch": "delete", "uid": self.job.uid()});
                let off = json!({
                    "ownerReferences": [owner],
                    "$deleteFromPrimitiveList/finalizers": [TRACKING],
                });
                self.patch(pod, off, written).await
            }
            Action::Dismiss(pod) => {
                self.untrack(pod, written).await?;
                control.delete_only(&pod.name, &pod.uid).await
            }
            Action::Delete(pod) => control.delete_only(&pod.name, &pod.uid).await,
            Action::Create(pod) => control.create(pod).await,
        }
    }

    async fn patch(
        &self,
        pod: &Which,
        metadata: Value,
        written: &Written<Pod>,
    ) -> Result<(), kube::Error> {
        patch(self.client, &self.namespace(), pod, metadata, written).await
    }

    async fn lives(&self) -> Result<bool, kube::Error> {
        let api: Api<Job> = Api::namespaced(self.client.clone(), &self.namespace());
        let live = api.get_opt(&self.job.name_any()).await?;
        Ok(live.is_some_and(|live| {
            live.uid() == self.job.uid() && live.metadata.deletion_timestamp.is_none()
        }))
    }

    fn control<'b>(&'b self, written: &'b Written<Pod>) -> Control<'b> {
        Control {
            client: self.client,
            recorder: self.recorder,
            workload: self.job.object_ref(&()),
            written,
        }
    }

    fn namespace(&self) -> String {
        self.job.namespace().unwrap_or_default()
    }
}

/// Takes the finalizer off a pod, so that it may go.
pub(crate) async fn untrack(
    client: &Client,
    namespace: &str,
    pod: &Which,
    written: &Written<Pod>,
) -> Result<(), kube::Error> {
    let off = json!({"$deleteFromPrimitiveList/finalizers": [TRACKING]});
    patch(client, namespace, pod, off, written).await
}

async fn patch(
    client: &Client,
    namespace: &str,
    pod: &Which,
    mut metadata: Value,
    written: &Written<Pod>,
) -> Result<(), kube::Error> {
    metadata["uid"] = json!(pod.uid);
    let patch = Patch::Strategic(json!({ "metadata": metadata }));
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    match api.patch(&pod.name, &PatchParams::default(), &patch).await {
        Ok(patched) => written.note(&patched),
        Err(error) if error.is_not_found() => written.deleted(namespace, &pod.name, &pod.uid),
        Err(error) => return Err(error),
    }
    Ok(())
}
