//! Remembers what one round has written until the informers show it: reading one's own writes (C-4).
//! Knows nothing of why it was written.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use k8s_openapi::api::{
    apps::v1::{ControllerRevision, StatefulSet},
    core::v1::{PersistentVolumeClaim, Pod},
};
use kube::{Resource, ResourceExt};
use plinth_client::Informer;

/// The informers of everything a StatefulSet is made of.
#[derive(Clone)]
pub(crate) struct Views {
    pub(crate) sets: Informer<StatefulSet>,
    pub(crate) pods: Informer<Pod>,
    pub(crate) claims: Informer<PersistentVolumeClaim>,
    pub(crate) revisions: Informer<ControllerRevision>,
}

impl Views {
    pub(crate) async fn synced(&self) {
        self.sets.synced().await;
        self.pods.synced().await;
        self.claims.synced().await;
        self.revisions.synced().await;
    }
}

/// The newest write of each kind, and the deletions.
#[derive(Default)]
pub(crate) struct Written {
    set: AtomicU64,
    pod: AtomicU64,
    claim: AtomicU64,
    revision: AtomicU64,
    /// Namespace, name and UID.
    deleted_pods: Mutex<Vec<(String, String, String)>>,
}

fn note<K: Resource>(newest: &AtomicU64, object: &K) {
    let version = object.resource_version();
    let revision = version.and_then(|text| text.parse().ok()).unwrap_or(0);
    newest.fetch_max(revision, Ordering::Relaxed);
}

impl Written {
    pub(crate) fn set(&self, object: &StatefulSet) {
        note(&self.set, object);
    }

    pub(crate) fn pod(&self, object: &Pod) {
        note(&self.pod, object);
    }

    pub(crate) fn claim(&self, object: &PersistentVolumeClaim) {
        note(&self.claim, object);
    }

    pub(crate) fn revision(&self, object: &ControllerRevision) {
        note(&self.revision, object);
    }

    /// A deletion's answer does not always carry the revision of the deletion, so its effect is
    /// awaited instead.
    pub(crate) fn deleted_pod(&self, namespace: &str, name: &str, uid: &str) {
        self.deleted_pods
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((namespace.to_owned(), name.to_owned(), uid.to_owned()));
    }

    /// Waits until all of it is visible.
    pub(crate) async fn visible(self, views: &Views) {
        views.sets.seen(self.set.into_inner()).await;
        views.pods.seen(self.pod.into_inner()).await;
        views.claims.seen(self.claim.into_inner()).await;
        views.revisions.seen(self.revision.into_inner()).await;
        let deleted = self.deleted_pods.into_inner();
        for (namespace, name, uid) in deleted.unwrap_or_else(PoisonError::into_inner) {
            let gone = |pod: Option<&Pod>| {
                pod.is_none_or(|pod| {
                    pod.metadata.uid.as_ref() != Some(&uid)
                        || pod.metadata.deletion_timestamp.is_some()
                })
            };
            views.pods.until(Some(&namespace), &name, gone).await;
        }
    }
}
