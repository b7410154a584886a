//! Decides the next step for one claim. Pure: no clock, no I/O. (V-2..V-14)

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::{
    core::v1::{PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimStatus, Pod},
    storage::v1::StorageClass,
};
use kube::ResourceExt;
use plinth_client::EventKind::{self, Normal, Warning};

use super::{
    action::{Action, Notice, next_binding_step, reference},
    matching::{
        best_match, check, check_shape, claim_ref, default_class, is_promised_to, requested_class,
    },
    names::{
        BETA_STORAGE_PROVISIONER, BIND_COMPLETED, BOUND_BY_CONTROLLER, NO_PROVISIONER,
        SELECTED_NODE, STORAGE_PROVISIONER,
    },
};
use crate::{
    endpoints::member::{is_over, node_name},
    writes::{annotation, is_terminating},
};

/// What is known of one claim.
pub(crate) struct World<'a> {
    /// The claim.
    pub(crate) claim: &'a Arc<PersistentVolumeClaim>,
    /// The volume its spec names, if it exists.
    pub(crate) volume: Option<&'a Arc<PersistentVolume>>,
    /// Volumes that are free or promised to it; only read while it has none.
    pub(crate) candidates: &'a [Arc<PersistentVolume>],
    /// All storage classes.
    pub(crate) classes: &'a [Arc<StorageClass>],
    /// The pods that use it.
    pub(crate) consumers: &'a [Arc<Pod>],
}

/// The steps to take now. After each write the claim is looked at again, so a plan holds at most one
/// write.
pub(crate) fn plan(world: &World<'_>, now: Timestamp) -> Vec<Action> {
    let spec = world.claim.spec.as_ref();
    let requested = spec
        .and_then(|spec| spec.volume_name.as_deref())
        .unwrap_or_default();
    if annotation(&**world.claim, BIND_COMPLETED).is_some() {
        bound(world, requested, now)
    } else if is_terminating(&**world.claim) {
        // Nothing new is bound or made for a claim on its way out.
        Vec::new()
    } else if requested.is_empty() {
        unbound(world, now)
    } else {
        bound_by_name(world, requested, now)
    }
}

/// A finished binding is kept true, or lost with its volume (V-6).
fn bound(world: &World<'_>, requested: &str, now: Timestamp) -> Vec<Action> {
    let claim = world.claim;
    let lost = |reason, message: &str| match with_phase(claim, "Lost") {
        Some(lost) => vec![Action::LoseClaim(
            lost,
            notice(claim, Warning, reason, message.to_owned()),
        )],
        None => Vec::new(),
    };
    if requested.is_empty() {
        return lost(
            "ClaimLost",
            "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!",
        );
    }
    let Some(volume) = world.volume else {
        return lost(
            "ClaimLost",
            "Bound claim has lost its PersistentVolume. Data on the volume is lost!",
        );
    };
    if claim_ref(volume).is_some() && !is_promised_to(volume, claim) {
        return lost(
            "ClaimMisbound",
            "Two claims are bound to the same volume, this one is bound incorrectly",
        );
    }
    next_binding_step(volume, claim, now).into_iter().collect()
}

/// The user wants one volume and no other (V-4).
fn bound_by_name(world: &World<'_>, requested: &str, now: Timestamp) -> Vec<Action> {
    let claim = world.claim;
    let Some(volume) = world.volume else {
        return pending(claim, None);
    };
    let verdict = match claim_ref(volume) {
        Some(_) if !is_promised_to(volume, claim) => {
            let message = format!("volume \"{requested}\" already bound to a different claim.");
            return pending(
                claim,
                Some(notice(claim, Warning, "FailedBinding", message)),
            );
        }
        Some(_) => check_shape(volume, claim),
        None => check(volume, claim),
    };
    match verdict {
        Ok(()) => next_binding_step(volume, claim, now).into_iter().collect(),
        Err(mismatch) => {
            let message = format!("Cannot bind to requested volume \"{requested}\": {mismatch}");
            pending(
                claim,
                Some(notice(claim, Warning, "VolumeMismatch", message)),
            )
        }
    }
}

/// The binder looks for a volume, or for somebody who makes one.
fn unbound(world: &World<'_>, now: Timestamp) -> Vec<Action> {
    let claim = world.claim;
    if requested_class(claim).is_none()
        && let Some(class) = default_class(world.classes)
    {
        let mut claim = (**claim).clone();
        claim.spec.get_or_insert_default().storage_class_name = Some(class.name_any());
        return vec![Action::UpdateClaim(claim)];
    }
    let name = requested_class(claim).unwrap_or_default();
    let class = world.classes.iter().find(|class| class.name_any() == name);
    let delayed = class
        .is_some_and(|class| class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"));
    if let Some(volume) = best_match(claim, world.candidates, delayed) {
        return next_binding_step(volume, claim, now).into_iter().collect();
    }
    if delayed && annotation(&**claim, SELECTED_NODE).is_none() {
        return await_consumer(world);
    }
    match class {
        Some(class) => provision(claim, class),
        None if name.is_empty() => {
            let message =
                "no persistent volumes available for this claim and no storage class is set";
            pending(
                claim,
                Some(notice(claim, Normal, "FailedBinding", message.to_owned())),
            )
        }
        None => {
            let message = format!("storageclass.storage.k8s.io \"{name}\" not found");
            pending(
                claim,
                Some(notice(claim, Warning, "ProvisioningFailed", message)),
            )
        }
    }
}

/// Binding waits for a pod (V-11), or is decided by one that was put on a node without the scheduler
/// (V-15).
fn await_consumer(world: &World<'_>) -> Vec<Action> {
    let claim = world.claim;
    let live = || {
        world
            .consumers
            .iter()
            .filter(|pod| !is_over(pod) && !is_terminating(&***pod))
    };
    if let Some(node) = live().find_map(|pod| node_name(pod)) {
        let mut claim = (**claim).clone();
        claim
            .annotations_mut()
            .insert(SELECTED_NODE.to_owned(), node.to_owned());
        return vec![Action::UpdateClaim(claim)];
    }
    let mut pods: Vec<String> = live().map(|pod| pod.name_any()).collect();
    pods.sort();
    let (reason, message) = match &pods[..] {
        [] => (
            "WaitForFirstConsumer",
            "waiting for first consumer to be created before binding".to_owned(),
        ),
        [pod] => (
            "WaitForPodScheduled",
            format!("waiting for pod {pod} to be scheduled"),
        ),
        several => (
            "WaitForPodScheduled",
            format!("waiting for pods {} to be scheduled", several.join(",")),
        ),
    };
    pending(claim, Some(notice(claim, Normal, reason, message)))
}

/// Asks the class's provisioner for a volume (V-12).
fn provision(claim: &Arc<PersistentVolumeClaim>, class: &StorageClass) -> Vec<Action> {
    let provisioner = &class.provisioner;
    if provisioner == NO_PROVISIONER {
        let message = format!("no volume plugin matched name: {provisioner}");
        return pending(
            claim,
            Some(notice(claim, Warning, "ProvisioningFailed", message)),
        );
    }
    let asked = [STORAGE_PROVISIONER, BETA_STORAGE_PROVISIONER];
    if asked
        .iter()
        .any(|key| annotation(&**claim, key) != Some(provisioner))
    {
        let mut claim = (**claim).clone();
        for key in asked {
            claim
                .annotations_mut()
                .insert(key.to_owned(), provisioner.clone());
        }
        return vec![Action::UpdateClaim(claim)];
    }
    let message = format!(
        "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by \
         the system administrator. If volume creation is delayed, please verify that the provisioner is running \
         and correctly registered."
    );
    pending(
        claim,
        Some(notice(claim, Normal, "ExternalProvisioning", message)),
    )
}

/// The claim stays Pending, for the reason told.
fn pending(claim: &PersistentVolumeClaim, why: Option<Notice>) -> Vec<Action> {
    let shown = with_phase(claim, "Pending").map(Action::UpdateClaimStatus);
    why.map(Action::Tell).into_iter().chain(shown).collect()
}

fn with_phase(claim: &PersistentVolumeClaim, phase: &str) -> Option<PersistentVolumeClaim> {
    let current = claim
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    if current == Some(phase) {
        return None;
    }
    let mut claim = claim.clone();
    let status = claim.status.take().unwrap_or_default();
    claim.status = Some(PersistentVolumeClaimStatus {
        phase: Some(phase.to_owned()),
        access_modes: None,
        capacity: None,
        ..status
    });
    Some(claim)
}

fn notice(
    claim: &PersistentVolumeClaim,
    kind: EventKind,
    reason: &'static str,
    message: String,
) -> Notice {
    Notice {
        regarding: reference(claim),
        kind,
        reason,
        message,
    }
}

/// Whether a claim was bound to its volume by this controller, not by its user.
pub(crate) fn was_chosen<K: kube::Resource>(object: &K) -> bool {
    annotation(object, BOUND_BY_CONTROLLER).is_some()
}
