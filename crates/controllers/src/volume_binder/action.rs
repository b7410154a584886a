//! What the binder can do, and the steps that join a volume and a claim. Pure. (§4.3)

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{
        ObjectReference, PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimStatus,
        PersistentVolumeStatus,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::ResourceExt;
use plinth_client::EventKind;

use super::{
    matching::{claim_ref, is_promised_to, uid},
    names::{BIND_COMPLETED, BOUND_BY_CONTROLLER},
};
use crate::writes::annotation;

/// One step. Objects are complete and carry the observed resourceVersion, so a step that was planned
/// on an old view changes nothing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// Metadata and spec of a volume.
    UpdateVolume(PersistentVolume),
    /// Status of a volume.
    UpdateVolumeStatus(PersistentVolume),
    /// Like `UpdateVolumeStatus`, if the API confirms that the claim of its claimRef is gone.
    ReleaseVolume(PersistentVolume),
    /// Metadata and spec of a claim.
    UpdateClaim(PersistentVolumeClaim),
    /// Status of a claim.
    UpdateClaimStatus(PersistentVolumeClaim),
    /// Like `UpdateClaimStatus`, with the event, if the API confirms that the claim's volume is gone or
    /// another's.
    LoseClaim(PersistentVolumeClaim, Notice),
    /// Tells the user.
    Tell(Notice),
}

/// An event about a claim or a volume.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Notice {
    pub(crate) regarding: ObjectReference,
    pub(crate) kind: EventKind,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// A reference to a claim, as volumes and events carry it.
pub(crate) fn reference(claim: &PersistentVolumeClaim) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("PersistentVolumeClaim".to_owned()),
        namespace: claim.namespace(),
        name: claim.metadata.name.clone(),
        uid: claim.uid(),
        resource_version: claim.resource_version(),
        field_path: None,
    }
}

/// A reference to a volume, as events carry it.
pub(crate) fn volume_reference(volume: &PersistentVolume) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("PersistentVolume".to_owned()),
        name: volume.metadata.name.clone(),
        uid: volume.uid(),
        resource_version: volume.resource_version(),
        ..ObjectReference::default()
    }
}

/// The next step towards a complete binding; `None` when it is complete. Each step is recognised as
/// done by its result, so a crash between any two resumes here (V-5).
pub(crate) fn next_binding_step(
    volume: &Arc<PersistentVolume>,
    claim: &Arc<PersistentVolumeClaim>,
    now: Timestamp,
) -> Option<Action> {
    promise(volume, claim)
        .or_else(|| with_phase(volume, "Bound", None, now).map(Action::UpdateVolumeStatus))
        .or_else(|| complete(volume, claim))
        .or_else(|| show_bound(volume, claim))
}

/// Step 1: the volume names the claim.
fn promise(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<Action> {
    if is_promised_to(volume, claim)
        && claim_ref(volume).is_some_and(|promise| !uid(promise).is_empty())
    {
        return None;
    }
    let mut volume = volume.clone();
    if claim_ref(&volume).is_none() {
        annotate(volume.annotations_mut(), BOUND_BY_CONTROLLER);
    }
    volume.spec.get_or_insert_default().claim_ref = Some(reference(claim));
    Some(Action::UpdateVolume(volume))
}

/// Step 3: the claim names the volume and the binding counts as made.
fn complete(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<Action> {
    let named = claim
        .spec
        .as_ref()
        .and_then(|spec| spec.volume_name.as_deref());
    if named == Some(&volume.name_any()) && annotation(claim, BIND_COMPLETED).is_some() {
        return None;
    }
    let mut claim = claim.clone();
    if named.is_none_or(str::is_empty) {
        annotate(claim.annotations_mut(), BOUND_BY_CONTROLLER);
    }
    annotate(claim.annotations_mut(), BIND_COMPLETED);
    claim
        .spec
        .get_or_insert_default()
        .volume_name
        .clone_from(&volume.metadata.name);
    Some(Action::UpdateClaim(claim))
}

/// Step 4: the claim shows what it got. The size is taken over only when the claim becomes Bound;
/// later growth is the resizer's to report.
fn show_bound(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Option<Action> {
    let spec = volume.spec.as_ref()?;
    let current = claim.status.clone().unwrap_or_default();
    let mut wanted = PersistentVolumeClaimStatus {
        phase: Some("Bound".to_owned()),
        access_modes: spec.access_modes.clone(),
        ..current.clone()
    };
    if current.phase.as_deref() != Some("Bound") {
        wanted.capacity.clone_from(&spec.capacity);
    }
    (wanted != current).then(|| {
        let mut claim = claim.clone();
        claim.status = Some(wanted);
        Action::UpdateClaimStatus(claim)
    })
}

fn annotate(annotations: &mut std::collections::BTreeMap<String, String>, key: &str) {
    annotations.insert(key.to_owned(), "yes".to_owned());
}

/// The volume in another phase; `None` when it is in that phase already.
pub(crate) fn with_phase(
    volume: &PersistentVolume,
    phase: &str,
    message: Option<String>,
    now: Timestamp,
) -> Option<PersistentVolume> {
    if volume_phase(volume) == phase {
        return None;
    }
    let mut volume = volume.clone();
    volume.status = Some(PersistentVolumeStatus {
        phase: Some(phase.to_owned()),
        message,
        reason: None,
        last_phase_transition_time: Some(Time(now)),
    });
    Some(volume)
}

/// A volume's phase, empty before its first.
pub(crate) fn volume_phase(volume: &PersistentVolume) -> &str {
    let status = volume.status.as_ref();
    status
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default()
}
