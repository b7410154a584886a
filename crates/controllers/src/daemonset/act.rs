//! Executes what was planned for a DaemonSet, and tells of it. Decides nothing.

use futures::future::join_all;
use k8s_openapi::api::{
    apps::v1::{ControllerRevision, DaemonSet, DaemonSetStatus},
    core::v1::Pod,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use plinth_client::{EventKind, Informer, Recorder};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::plan::{Action, Which};
use crate::{
    ownership::controlled_by,
    pods::{Control, slow_start},
    writes::{delete_only, revision, unless_outrun},
    written::Written,
};

/// Acts for one set. Each of its steps returns when what it wrote can be seen: the next look must not miss
/// it (C-4).
pub(crate) struct Actor<'a> {
    pub(crate) client: &'a Client,
    pub(crate) recorder: &'a Recorder,
    pub(crate) sets: &'a Informer<DaemonSet>,
    pub(crate) pods: &'a Informer<Pod>,
    pub(crate) revisions: &'a Informer<ControllerRevision>,
    pub(crate) set: &'a DaemonSet,
}

/// What a step has written.
#[derive(Default)]
struct Wrote {
    pods: Written<Pod>,
    revisions: Written<ControllerRevision>,
}

impl Actor<'_> {
    /// Settles membership and history. A set that is gone, or going, takes nothing in.
    pub(crate) async fn prepare(&self, actions: &[Action]) -> Result<(), kube::Error> {
        let adopts = |a: &Action| matches!(a, Action::AdoptPod(_) | Action::AdoptRevision(_));
        let may_adopt = !actions.iter().any(adopts) || self.lives().await?;
        let actions = actions.iter();
        self.all(actions.filter(|action| may_adopt || !adopts(action)))
            .await
    }

    /// Makes and deletes pods.
    pub(crate) async fn manage(&self, actions: &[Action]) -> Result<(), kube::Error> {
        let mut new = Vec::new();
        let mut others = Vec::new();
        for action in actions {
            match action {
                Action::CreatePod(pod) => new.push(pod),
                other => others.push(other),
            }
        }
        let wrote = Wrote::default();
        let control = self.control(&wrote.pods);
        let made = slow_start(new.len(), |at| control.create(new[at])).await;
        wrote.visible(self).await;
        made.and(self.all(others.into_iter()).await)
    }

    /// Deletes revisions.
    pub(crate) async fn prune(&self, actions: &[Action]) -> Result<(), kube::Error> {
        self.all(actions.iter()).await
    }

    /// Writes the status; whatever was faster brings the set back here.
    pub(crate) async fn write_status(&self, status: DaemonSetStatus) -> Result<(), kube::Error> {
        let mut set = self.set.clone();
        set.status = Some(status);
        let api: Api<DaemonSet> = self.api();
        let answer = api
            .replace_status(&set.name_any(), &PostParams::default(), &set)
            .await;
        if let Some(written) = unless_outrun(answer)? {
            self.sets.seen(revision(&written)).await;
        }
        Ok(())
    }

    /// Side by side, all of them, even if some fail.
    async fn all<'p>(&self, actions: impl Iterator<Item = &'p Action>) -> Result<(), kube::Error> {
        let wrote = Wrote::default();
        let outcomes = join_all(actions.map(|action| self.execute(action, &wrote))).await;
        wrote.visible(self).await;
        outcomes.into_iter().collect()
    }

    async fn execute(&self, action: &Action, wrote: &Wrote) -> Result<(), kube::Error> {
        let adopted = || json!({"ownerReferences": [controlled_by(self.set)]});
        match action {
            Action::AdoptPod(pod) => self.patch(pod, adopted(), None, &wrote.pods).await,
            Action::ReleasePod(pod) => {
                let ours = json!({"$patch": "delete", "uid": self.set.uid()});
                let released = json!({"ownerReferences": [ours]});
                self.patch(pod, released, None, &wrote.pods).await
            }
            Action::AdoptRevision(which) => {
                self.patch(which, adopted(), None, &wrote.revisions).await
            }
            Action::RenumberRevision(which, number) => {
                let number = Some(*number);
                self.patch(which, json!({}), number, &wrote.revisions).await
            }
            Action::CreateRevision(new) => {
                let made = self.api().create(&PostParams::default(), &**new).await;
                if let Some(made) = unless_outrun(made)? {
                    wrote.revisions.note(&made);
                }
                Ok(())
            }
            Action::DeleteRevision(which) => {
                let api: Api<ControllerRevision> = self.api();
                let answer = api.delete(&which.name, &delete_only(&which.uid)).await;
                unless_outrun(answer.map(|_| ()))?;
                Ok(())
            }
            Action::CreatePod(pod) => self.control(&wrote.pods).create(pod).await,
            Action::DeletePod(pod) => {
                let control = self.control(&wrote.pods);
                control.delete_only(&pod.name, &pod.uid).await
            }
            Action::DeleteEnded { pod, node, failed } => {
                self.tell_ended(&pod.name, node, *failed);
                let control = self.control(&wrote.pods);
                control.delete_only(&pod.name, &pod.uid).await
            }
        }
    }

    fn tell_ended(&self, pod: &str, node: &str, failed: bool) {
        let namespace = self.set.namespace().unwrap_or_default();
        let (kind, reason, how, what) = if failed {
            (EventKind::Warning, "FailedDaemonPod", "failed", "kill")
        } else {
            (
                EventKind::Normal,
                "SucceededDaemonPod",
                "succeeded",
                "delete",
            )
        };
        let message = format!(
            "Found {how} daemon pod {namespace}/{pod} on node {node}, will try to {what} it"
        );
        let reference = self.set.object_ref(&());
        self.recorder.event(&reference, kind, reason, &message);
    }

    async fn patch<K>(
        &self,
        which: &Which,
        mut metadata: Value,
        number: Option<i64>,
        written: &Written<K>,
    ) -> Result<(), kube::Error>
    where
        K: plinth_client::Object
            + Clone
            + Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        metadata["uid"] = json!(which.uid);
        let mut patch = json!({ "metadata": metadata });
        if let Some(number) = number {
            patch["revision"] = json!(number);
        }
        let api: Api<K> = self.api();
        let answer = api
            .patch(
                &which.name,
                &PatchParams::default(),
                &Patch::Strategic(patch),
            )
            .await;
        if let Some(patched) = unless_outrun(answer)? {
            written.note(&patched);
        }
        Ok(())
    }

    async fn lives(&self) -> Result<bool, kube::Error> {
        let api: Api<DaemonSet> = self.api();
        let live = api.get_opt(&self.set.name_any()).await?;
        Ok(live.is_some_and(|live| {
            live.uid() == self.set.uid() && live.metadata.deletion_timestamp.is_none()
        }))
    }

    fn control<'b>(&'b self, written: &'b Written<Pod>) -> Control<'b> {
        Control {
            client: self.client,
            recorder: self.recorder,
            workload: self.set.object_ref(&()),
            written,
        }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: DeserializeOwned
            + Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        let namespace = self.set.namespace().unwrap_or_default();
        Api::namespaced(self.client.clone(), &namespace)
    }
}

impl Wrote {
    async fn visible(self, actor: &Actor<'_>) {
        self.pods.visible(actor.pods).await;
        self.revisions.visible(actor.revisions).await;
    }
}
