//! What the scheduler sees of the API. Decides nothing.

use std::{collections::HashSet, sync::Arc};

use k8s_openapi::api::{
    core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod},
    storage::v1::StorageClass,
};
use kube::ResourceExt;
use plinth_client::{Informer, Informers};

use crate::claims::Storage;

/// The informers of everything that decides where a pod goes.
pub(crate) struct Views {
    pub(crate) pods: Informer<Pod>,
    pub(crate) nodes: Informer<Node>,
    pub(crate) claims: Informer<PersistentVolumeClaim>,
    pub(crate) volumes: Informer<PersistentVolume>,
    pub(crate) classes: Informer<StorageClass>,
}

impl Views {
    pub(crate) fn new(informers: &Informers) -> Self {
        Self {
            pods: informers.of(),
            nodes: informers.of(),
            claims: informers.of(),
            volumes: informers.of(),
            classes: informers.of(),
        }
    }

    pub(crate) async fn synced(&self) {
        self.nodes.synced().await;
        self.pods.synced().await;
        self.claims.synced().await;
        self.volumes.synced().await;
        self.classes.synced().await;
    }
}

/// The informers as the plan asks them.
pub(crate) struct View<'a> {
    pub(crate) views: &'a Views,
    /// Volumes that are not free any more, although the informer does not show it yet.
    pub(crate) promised: &'a HashSet<String>,
}

impl Storage for View<'_> {
    fn claim(&self, namespace: &str, name: &str) -> Option<Arc<PersistentVolumeClaim>> {
        self.views.claims.get(Some(namespace), name)
    }

    fn volume(&self, name: &str) -> Option<Arc<PersistentVolume>> {
        self.views.volumes.get(None, name)
    }

    fn class(&self, name: &str) -> Option<Arc<StorageClass>> {
        self.views.classes.get(None, name)
    }

    fn free_volumes(&self) -> Vec<Arc<PersistentVolume>> {
        let mut volumes = self.views.volumes.list();
        volumes.retain(|volume| {
            let phase = volume.status.as_ref().and_then(|s| s.phase.as_deref());
            phase != Some("Released") && !self.promised.contains(&volume.name_any())
        });
        volumes
    }
}
