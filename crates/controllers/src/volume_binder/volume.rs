//! Decides the next step for one volume. Pure: no clock, no I/O. (V-1, V-5, V-20, V-21)

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::ResourceExt;
use plinth_client::EventKind::Warning;

use super::{
    action::{Action, Notice, volume_phase, volume_reference, with_phase},
    claim::was_chosen,
    matching::{claim_ref, uid},
    names::{BOUND_BY_CONTROLLER, PROVISIONED_BY},
};
use crate::writes::annotation;

/// What is known of one volume.
pub(crate) struct World<'a> {
    /// The volume.
    pub(crate) volume: &'a Arc<PersistentVolume>,
    /// The claim its claimRef names, if it exists, under whatever UID.
    pub(crate) claim: Option<&'a Arc<PersistentVolumeClaim>>,
}

/// The steps to take now.
pub(crate) fn plan(world: &World<'_>, now: Timestamp) -> Vec<Action> {
    let volume = world.volume;
    let phase = |phase| {
        with_phase(volume, phase, None, now)
            .map(Action::UpdateVolumeStatus)
            .into_iter()
            .collect()
    };
    let Some(promise) = claim_ref(volume) else {
        return phase("Available");
    };
    if uid(promise).is_empty() {
        // Promised by name: the claim's own plan binds it once the claim exists.
        return phase("Available");
    }
    let Some(claim) = world
        .claim
        .filter(|claim| claim.uid().as_deref() == Some(uid(promise)))
    else {
        return released(volume, now);
    };
    match claim
        .spec
        .as_ref()
        .and_then(|spec| spec.volume_name.as_deref())
        .unwrap_or_default()
    {
        // The claim's own plan goes on from here.
        "" => Vec::new(),
        name if name == volume.name_any() => phase("Bound"),
        _ => superfluous(volume, now),
    }
}

/// The claim is gone: Released, then reclaimed by policy. A volume that a provisioner made is deleted by
/// it; of others the binder can only say that nobody can delete them (V-20).
fn released(volume: &Arc<PersistentVolume>, now: Timestamp) -> Vec<Action> {
    match volume_phase(volume) {
        "Released" => {}
        "Failed" => return Vec::new(),
        _ => {
            return with_phase(volume, "Released", None, now)
                .map(Action::ReleaseVolume)
                .into_iter()
                .collect();
        }
    }
    let deletes = volume
        .spec
        .as_ref()
        .and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref())
        == Some("Delete");
    if !deletes || annotation(&**volume, PROVISIONED_BY).is_some() {
        return Vec::new();
    }
    let message = format!(
        "error getting deleter volume plugin for volume \"{}\": no deletable volume plugin matched",
        volume.name_any()
    );
    let tell = Action::Tell(Notice {
        regarding: volume_reference(volume),
        kind: Warning,
        reason: "VolumeFailedDelete",
        message: message.clone(),
    });
    let failed = with_phase(volume, "Failed", Some(message), now).map(Action::UpdateVolumeStatus);
    [tell].into_iter().chain(failed).collect()
}

/// The claim took another volume. One that was made for the claim goes; one that was chosen for it is
/// free again; one that its owner promised to the claim keeps the promise by name.
fn superfluous(volume: &Arc<PersistentVolume>, now: Timestamp) -> Vec<Action> {
    if annotation(&**volume, PROVISIONED_BY).is_some() {
        return with_phase(volume, "Released", None, now)
            .map(Action::UpdateVolumeStatus)
            .into_iter()
            .collect();
    }
    let mut freed = (**volume).clone();
    let chosen = was_chosen(&freed);
    let spec = freed.spec.get_or_insert_default();
    if chosen {
        spec.claim_ref = None;
    } else if let Some(promise) = &mut spec.claim_ref {
        promise.uid = None;
        promise.resource_version = None;
    }
    freed.annotations_mut().remove(BOUND_BY_CONTROLLER);
    vec![Action::UpdateVolume(freed)]
}
