//! Which volume suits a claim. Pure. (V-1..V-4)

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

use k8s_openapi::{
    api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim},
    api::storage::v1::StorageClass,
    apimachinery::pkg::api::resource::Quantity as Amount,
};
use kube::ResourceExt;
use plinth_api::{Quantity, Selector};

use super::names::{BETA_STORAGE_CLASS, DEFAULT_CLASS};
use crate::writes::{annotation, is_terminating};

/// Why a volume cannot serve a claim that names it (V-4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Mismatch {
    #[error("requested PV is too small")]
    Size,
    #[error("storageClassName does not match")]
    Class,
    #[error("incompatible volumeMode")]
    Mode,
    #[error("incompatible accessMode")]
    Access,
}

/// The class a claim asks for: `None` leaves it to the default class, `Some("")` wants none at all.
pub(crate) fn requested_class(claim: &PersistentVolumeClaim) -> Option<&str> {
    annotation(claim, BETA_STORAGE_CLASS)
        .or_else(|| claim.spec.as_ref()?.storage_class_name.as_deref())
}

fn class_of(volume: &PersistentVolume) -> &str {
    annotation(volume, BETA_STORAGE_CLASS)
        .or_else(|| volume.spec.as_ref()?.storage_class_name.as_deref())
        .unwrap_or_default()
}

/// The class for claims that name none: the newest of those marked default, then the first by name (V-3).
pub(crate) fn default_class(classes: &[Arc<StorageClass>]) -> Option<&StorageClass> {
    classes
        .iter()
        .map(Arc::as_ref)
        .filter(|class| annotation(*class, DEFAULT_CLASS) == Some("true"))
        .max_by(|a, b| {
            let age = |class: &StorageClass| {
                class
                    .metadata
                    .creation_timestamp
                    .as_ref()
                    .map(|time| time.0)
            };
            age(a)
                .cmp(&age(b))
                .then_with(|| b.name_any().cmp(&a.name_any()))
        })
}

/// Whether the volume is promised to this very claim: by name, and by UID once it carries one.
pub(crate) fn is_promised_to(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    claim_ref(volume).is_some_and(|promise| {
        promise.namespace == claim.metadata.namespace
            && promise.name == claim.metadata.name
            && (uid(promise).is_empty() || promise.uid == claim.metadata.uid)
    })
}

/// The claim a volume is promised to.
pub(crate) fn claim_ref(volume: &PersistentVolume) -> Option<&ObjectReference> {
    volume.spec.as_ref()?.claim_ref.as_ref()
}

/// A reference's UID, empty when it has none.
pub(crate) fn uid(reference: &ObjectReference) -> &str {
    reference.uid.as_deref().unwrap_or_default()
}

/// Whether a claim may take a volume it was not promised.
pub(crate) fn check(
    volume: &PersistentVolume,
    claim: &PersistentVolumeClaim,
) -> Result<(), Mismatch> {
    check_shape(volume, claim)?;
    if class_of(volume) != requested_class(claim).unwrap_or_default() {
        return Err(Mismatch::Class);
    }
    Ok(())
}

/// What must hold even for a volume that was promised to the claim by hand.
pub(crate) fn check_shape(
    volume: &PersistentVolume,
    claim: &PersistentVolumeClaim,
) -> Result<(), Mismatch> {
    if capacity(volume).partial_cmp(&Some(requested(claim))) == Some(Ordering::Less) {
        return Err(Mismatch::Size);
    }
    let mode = |mode: Option<&str>| mode.unwrap_or("Filesystem").to_owned();
    let of_volume = volume
        .spec
        .as_ref()
        .and_then(|spec| spec.volume_mode.as_deref());
    let of_claim = claim
        .spec
        .as_ref()
        .and_then(|spec| spec.volume_mode.as_deref());
    if mode(of_volume) != mode(of_claim) {
        return Err(Mismatch::Mode);
    }
    let offered = access_modes(volume);
    let wanted = claim
        .spec
        .as_ref()
        .and_then(|spec| spec.access_modes.as_deref())
        .unwrap_or_default();
    if !wanted.iter().all(|mode| offered.contains(mode)) {
        return Err(Mismatch::Access);
    }
    Ok(())
}

/// The volume to bind: one promised to the claim, else the smallest of those with the fewest access
/// modes (V-2). While binding is delayed only promises count (V-11).
pub(crate) fn best_match<'a>(
    claim: &PersistentVolumeClaim,
    candidates: &'a [Arc<PersistentVolume>],
    delayed: bool,
) -> Option<&'a Arc<PersistentVolume>> {
    let promised = candidates
        .iter()
        .filter(|volume| is_promised_to(volume, claim) && !is_terminating(&***volume))
        .filter(|volume| check_shape(volume, claim).is_ok())
        .min_by_key(|volume| {
            (
                claim_ref(volume).is_some_and(|promise| uid(promise).is_empty()),
                volume.name_any(),
            )
        });
    if promised.is_some() || delayed {
        return promised;
    }
    candidates
        .iter()
        .filter(|volume| is_free(volume) && check(volume, claim).is_ok())
        .filter(|volume| attributes_class(volume) == wanted_attributes_class(claim))
        .filter(|volume| is_selected(claim, volume.labels()))
        .min_by(|a, b| {
            let modes = access_modes(a).len().cmp(&access_modes(b).len());
            let size = capacity(a)
                .partial_cmp(&capacity(b))
                .unwrap_or(Ordering::Equal);
            modes
                .then(size)
                .then_with(|| a.name_any().cmp(&b.name_any()))
        })
}

fn is_free(volume: &PersistentVolume) -> bool {
    let phase = volume
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    phase == Some("Available") && claim_ref(volume).is_none() && !is_terminating(volume)
}

/// A selector that cannot be read selects nothing; validation keeps it from being stored.
fn is_selected(claim: &PersistentVolumeClaim, labels: &BTreeMap<String, String>) -> bool {
    let Some(selector) = claim.spec.as_ref().and_then(|spec| spec.selector.as_ref()) else {
        return true;
    };
    serde_json::to_value(selector)
        .ok()
        .and_then(|selector| Selector::from_object(&selector).ok())
        .zip(serde_json::to_value(labels).ok())
        .is_some_and(|(selector, labels)| selector.matches(&labels))
}

fn attributes_class(volume: &PersistentVolume) -> &str {
    let spec = volume.spec.as_ref();
    spec.and_then(|spec| spec.volume_attributes_class_name.as_deref())
        .unwrap_or_default()
}

fn wanted_attributes_class(claim: &PersistentVolumeClaim) -> &str {
    let spec = claim.spec.as_ref();
    spec.and_then(|spec| spec.volume_attributes_class_name.as_deref())
        .unwrap_or_default()
}

fn access_modes(volume: &PersistentVolume) -> &[String] {
    let spec = volume.spec.as_ref();
    spec.and_then(|spec| spec.access_modes.as_deref())
        .unwrap_or_default()
}

fn capacity(volume: &PersistentVolume) -> Option<Quantity> {
    storage(volume.spec.as_ref()?.capacity.as_ref())
}

fn requested(claim: &PersistentVolumeClaim) -> Quantity {
    let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    resources
        .and_then(|resources| storage(resources.requests.as_ref()))
        .unwrap_or_else(Quantity::zero)
}

fn storage(amounts: Option<&BTreeMap<String, Amount>>) -> Option<Quantity> {
    amounts?.get("storage")?.0.parse().ok()
}
