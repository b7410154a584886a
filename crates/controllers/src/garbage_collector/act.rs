//! Carries out what the plan decided, each write conditional on the UID and version that was seen (G-4).

use k8s_openapi::{
    api::core::v1::ObjectReference,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use plinth_client::EventKind;
use serde_json::{Value, json};

use super::{
    Collector,
    graph::{Key, owners},
    plan::{Action, FOREGROUND, ORPHAN, Policy},
};
use crate::{kinds::Kind, writes::unless_outrun};

impl Collector {
    pub(super) async fn act(
        &self,
        key: &Key,
        kind: &Kind,
        meta: &ObjectMeta,
        action: Action,
    ) -> Result<(), kube::Error> {
        let done = match action {
            Action::Verify(owner) => return self.verify(key, kind, meta, &owner).await,
            Action::Delete(policy) => self.delete(kind, meta, policy).await?,
            Action::KeepOwners(kept) => {
                self.patch(kind, meta, json!({ "ownerReferences": kept }))
                    .await?
            }
            Action::FinishForeground => {
                self.patch(kind, meta, without_finalizer(meta, FOREGROUND))
                    .await?
            }
            Action::OrphanDependents => {
                self.orphan(meta).await?
                    && self
                        .patch(kind, meta, without_finalizer(meta, ORPHAN))
                        .await?
            }
        };
        if !done {
            // What won the race may be a change that does not matter here and so does not bring the
            // object back.
            self.queue.retry(key.clone());
        }
        Ok(())
    }

    /// Asks the API whether an owner exists, then has the object looked at again.
    async fn verify(
        &self,
        key: &Key,
        of: &Kind,
        meta: &ObjectMeta,
        owner: &OwnerReference,
    ) -> Result<(), kube::Error> {
        let Some((_, kind)) = self.kinds.of_owner(owner) else {
            return Ok(());
        };
        let api = kind.api(&self.client, meta.namespace.as_deref().unwrap_or_default());
        let found = api.get_metadata_opt(&owner.name).await?;
        if found.is_some_and(|found| found.metadata.uid.as_deref() == Some(&owner.uid)) {
            // It exists; the informer is about to show it.
            self.queue.retry(key.clone());
            return Ok(());
        }
        if kind.is_namespaced {
            self.tell_if_elsewhere(of, meta, owner, &kind);
        }
        self.graph().mark_absent(self.sought(owner, meta));
        self.queue.add(key.clone());
        Ok(())
    }

    /// An owner in another namespace counts as absent (G-1), which surprises people.
    fn tell_if_elsewhere(&self, of: &Kind, meta: &ObjectMeta, owner: &OwnerReference, kind: &Kind) {
        let elsewhere = kind
            .informer
            .list()
            .into_iter()
            .any(|found| found.metadata.uid.as_deref() == Some(&owner.uid));
        if !elsewhere {
            return;
        }
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        let of = &of.resource;
        let regarding = ObjectReference {
            api_version: Some(of.api_version.clone()),
            kind: Some(of.kind.clone()),
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
            ..ObjectReference::default()
        };
        let message = format!(
            "ownerRef [{}/{}, namespace: {namespace}, name: {}, uid: {}] does not exist in namespace \"{namespace}\"",
            owner.api_version, owner.kind, owner.name, owner.uid
        );
        self.recorder.event(
            &regarding,
            EventKind::Warning,
            "OwnerRefInvalidNamespace",
            &message,
        );
    }

    /// Tells whether the deletion was accepted.
    async fn delete(
        &self,
        kind: &Kind,
        meta: &ObjectMeta,
        policy: Policy,
    ) -> Result<bool, kube::Error> {
        let params = DeleteParams {
            propagation_policy: Some(match policy {
                Policy::Background => PropagationPolicy::Background,
                Policy::Foreground => PropagationPolicy::Foreground,
                Policy::Orphan => PropagationPolicy::Orphan,
            }),
            preconditions: Some(Preconditions {
                uid: meta.uid.clone(),
                resource_version: meta.resource_version.clone(),
            }),
            ..DeleteParams::default()
        };
        let api = kind.api(&self.client, meta.namespace.as_deref().unwrap_or_default());
        let name = meta.name.as_deref().unwrap_or_default();
        Ok(unless_outrun(api.delete(name, &params).await)?.is_some())
    }

    /// Tells whether the patch was applied to that very version.
    async fn patch(
        &self,
        kind: &Kind,
        meta: &ObjectMeta,
        mut change: Value,
    ) -> Result<bool, kube::Error> {
        change["uid"] = json!(meta.uid);
        change["resourceVersion"] = json!(meta.resource_version);
        let api = kind.api(&self.client, meta.namespace.as_deref().unwrap_or_default());
        let name = meta.name.as_deref().unwrap_or_default();
        let patch = Patch::Merge(json!({ "metadata": change }));
        Ok(unless_outrun(api.patch(name, &PatchParams::default(), &patch).await)?.is_some())
    }

    /// Takes an owner out of all its dependents. They are listed anew: one that is missed here would be
    /// deleted later, against the user's word. Tells whether all of them are done.
    async fn orphan(&self, owner: &ObjectMeta) -> Result<bool, kube::Error> {
        let mut complete = true;
        for (_, kind) in self.kinds.list() {
            let api = match &owner.namespace {
                Some(namespace) if kind.is_namespaced => kind.api(&self.client, namespace),
                Some(_) => continue,
                None => kube::Api::all_with(self.client.clone(), &kind.resource),
            };
            for dependent in api.list_metadata(&ListParams::default()).await?.items {
                let meta = dependent.metadata;
                let kept: Vec<_> = owners(&meta)
                    .iter()
                    .filter(|named| Some(&named.uid) != owner.uid.as_ref())
                    .collect();
                if kept.len() < owners(&meta).len() {
                    complete &= self
                        .patch(&kind, &meta, json!({ "ownerReferences": kept }))
                        .await?;
                }
            }
        }
        Ok(complete)
    }
}

fn without_finalizer(meta: &ObjectMeta, finalizer: &str) -> Value {
    let kept: Vec<&String> = meta
        .finalizers
        .iter()
        .flatten()
        .filter(|held| *held != finalizer)
        .collect();
    json!({ "finalizers": kept })
}
