//! The single writes of a plan, each with its preconditions. Decides nothing and tells no events but that
//! of a made claim.

use k8s_openapi::api::{
    apps::v1::{ControllerRevision, StatefulSet, StatefulSetStatus},
    core::v1::{PersistentVolumeClaim, Pod},
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};
use plinth_client::{ApiError, EventKind};
use serde_json::{Value, json};

use super::{
    act::{ActError, Actor},
    action::Action,
};

/// Attempts to write a status over somebody else's changes (C-63).
const STATUS_ATTEMPTS: usize = 5;

impl Actor<'_> {
    /// Does one action; `pod` is the member it is for.
    pub(super) async fn execute(&self, action: &Action, pod: &str) -> Result<(), ActError> {
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
                self.written.revisions.note(&created);
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
                self.written.pods.note(&created);
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
                self.written.pods.deleted(&self.namespace(), name, uid);
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
                self.written.claims.note(&patched);
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
    pub(super) async fn confirm_set(&self) -> Result<(), ActError> {
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
        self.written.pods.note(&patched);
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
        self.written.revisions.note(&patched);
        Ok(())
    }

    async fn create_claim(&self, claim: &PersistentVolumeClaim, pod: &str) -> Result<(), ActError> {
        let name = claim.name_any();
        let created = self.api().create(&PostParams::default(), claim).await;
        let created = step(created, || format!("create PersistentVolumeClaim {name}"))?;
        self.written.claims.note(&created);
        let set = self.set.name_any();
        let message = format!("Create Claim {name} Pod {pod} in StatefulSet {set} success");
        self.tell(EventKind::Normal, "SuccessfulCreate", &message);
        Ok(())
    }

    /// Writes the status over whatever else has changed in the object meanwhile, as long as it is
    /// the same object (C-63).
    pub(super) async fn write_status(&self, status: &StatefulSetStatus) -> Result<(), ActError> {
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
                    self.written.sets.note(&written);
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
