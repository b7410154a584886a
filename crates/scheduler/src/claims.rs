//! The claims of a pod and how far each has come. Pure.

use std::sync::Arc;

use k8s_openapi::api::{
    core::v1::{PersistentVolume, PersistentVolumeClaim, Pod},
    storage::v1::StorageClass,
};
use kube::ResourceExt;

const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
pub(crate) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// What the scheduler may look up about storage.
pub(crate) trait Storage {
    fn claim(&self, namespace: &str, name: &str) -> Option<Arc<PersistentVolumeClaim>>;
    fn volume(&self, name: &str) -> Option<Arc<PersistentVolume>>;
    fn class(&self, name: &str) -> Option<Arc<StorageClass>>;
    /// Volumes that a claim may still take, without those that were just promised.
    fn free_volumes(&self) -> Vec<Arc<PersistentVolume>>;
}

/// The pod's claims by what the scheduler has to do about them.
#[derive(Default)]
pub(crate) struct PodClaims {
    /// Bound: the pod must go where the volume can be reached. `None` for a volume that is lost.
    pub(crate) bound: Vec<Option<Arc<PersistentVolume>>>,
    /// Waiting for the scheduler's choice (V-11).
    pub(crate) delayed: Vec<(Arc<PersistentVolumeClaim>, Arc<StorageClass>)>,
}

/// Why a pod can go nowhere at all yet (§4.5).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unready {
    #[error("persistentvolumeclaim {0:?} not found")]
    Missing(String),
    #[error("waiting for ephemeral volume controller to create the persistentvolumeclaim {0:?}")]
    EphemeralMissing(String),
    #[error("persistentvolumeclaim {0:?} is being deleted")]
    Terminating(String),
    #[error("pod has unbound immediate PersistentVolumeClaims")]
    Unbound,
}

/// Sorts the pod's claims.
pub(crate) fn read(pod: &Pod, storage: &dyn Storage) -> Result<PodClaims, Unready> {
    let namespace = pod.namespace().unwrap_or_default();
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref());
    let mut claims = PodClaims::default();
    for volume in volumes.unwrap_or_default() {
        let ephemeral = volume.ephemeral.is_some();
        let name = match (&volume.persistent_volume_claim, ephemeral) {
            (Some(source), _) => source.claim_name.clone(),
            (None, true) => format!("{}-{}", pod.name_any(), volume.name),
            (None, false) => continue,
        };
        let claim = match storage.claim(&namespace, &name) {
            Some(claim) => claim,
            None if ephemeral => return Err(Unready::EphemeralMissing(name)),
            None => return Err(Unready::Missing(name)),
        };
        if claim.metadata.deletion_timestamp.is_some() {
            return Err(Unready::Terminating(name));
        }
        let spec = claim.spec.as_ref();
        let volume_name = spec
            .and_then(|spec| spec.volume_name.as_deref())
            .filter(|name| !name.is_empty());
        match volume_name {
            Some(volume) if claim.annotations().contains_key(BIND_COMPLETED) => {
                claims.bound.push(storage.volume(volume));
            }
            Some(_) => return Err(Unready::Unbound),
            None => {
                let class = spec.and_then(|spec| spec.storage_class_name.as_deref());
                let class = class.and_then(|name| storage.class(name));
                match class.filter(|class| waits_for_consumer(class)) {
                    Some(class) => claims.delayed.push((claim, class)),
                    None => return Err(Unready::Unbound),
                }
            }
        }
    }
    Ok(claims)
}

fn waits_for_consumer(class: &StorageClass) -> bool {
    class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer")
}
