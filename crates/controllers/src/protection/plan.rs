//! Decides whether a claim, volume or class in deletion may go. Pure. (V-22, V-23)

use std::sync::Arc;

use k8s_openapi::api::{
    core::v1::{PersistentVolume, PersistentVolumeClaim, Pod},
    storage::v1::VolumeAttributesClass,
};
use kube::{Resource, ResourceExt};

use crate::{
    endpoints::member::{is_over, node_name},
    volume_binder::{claims_of, volume_phase},
    writes::{has_finalizer, is_terminating},
};

/// Keeps a claim while a pod uses it.
pub(crate) const CLAIM_FINALIZER: &str = "kubernetes.io/pvc-protection";
/// Keeps a volume while it is bound.
pub(crate) const VOLUME_FINALIZER: &str = "kubernetes.io/pv-protection";

/// Keeps a class of volume attributes while claims or volumes have it.
const CLASS_FINALIZER: &str = "kubernetes.io/vac-protection";

/// The object as it should be; `None` when it is.
pub(crate) fn plan_claim(
    claim: &PersistentVolumeClaim,
    pods: &[Arc<Pod>],
) -> Option<PersistentVolumeClaim> {
    plan(claim, CLAIM_FINALIZER, || {
        pods.iter().any(|pod| uses(pod, claim))
    })
}

/// The object as it should be; `None` when it is.
pub(crate) fn plan_volume(volume: &PersistentVolume) -> Option<PersistentVolume> {
    plan(volume, VOLUME_FINALIZER, || volume_phase(volume) == "Bound")
}

/// The object as it should be; `None` when it is.
pub(crate) fn plan_class(
    class: &VolumeAttributesClass,
    claims: &[Arc<PersistentVolumeClaim>],
    volumes: &[Arc<PersistentVolume>],
) -> Option<VolumeAttributesClass> {
    let name = class.name_any();
    let is = |named: &Option<String>| named.as_ref() == Some(&name);
    plan(class, CLASS_FINALIZER, || {
        claims.iter().any(|claim| {
            let (spec, status) = (claim.spec.as_ref(), claim.status.as_ref());
            spec.is_some_and(|spec| is(&spec.volume_attributes_class_name))
                || status.is_some_and(|status| is(&status.current_volume_attributes_class_name))
        }) || volumes.iter().any(|volume| {
            let spec = volume.spec.as_ref();
            spec.is_some_and(|spec| is(&spec.volume_attributes_class_name))
        })
    })
}

fn plan<K: Resource + Clone>(
    object: &K,
    finalizer: &str,
    in_use: impl FnOnce() -> bool,
) -> Option<K> {
    match (is_terminating(object), has_finalizer(object, finalizer)) {
        (false, false) => {
            let mut protected = object.clone();
            protected.finalizers_mut().push(finalizer.to_owned());
            Some(protected)
        }
        (true, true) if !in_use() => {
            let mut free = object.clone();
            free.finalizers_mut().retain(|held| held != finalizer);
            Some(free)
        }
        _ => None,
    }
}

/// Whether a pod holds the claim. One that is on no node yet, or has ended, does not.
fn uses(pod: &Pod, claim: &PersistentVolumeClaim) -> bool {
    node_name(pod).is_some()
        && !is_over(pod)
        && pod.namespace() == claim.namespace()
        && claims_of(pod).any(|name| name == claim.name_any())
}
