//! Which claims a member has and who owns them (C-50..C-58). Pure.

use k8s_openapi::{
    api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod, Volume},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::ResourceExt;

use super::{
    identity::pod_name,
    set::{Ordinal, Set},
};

/// The name of a member's claim from the template of that name (C-50).
pub(crate) fn claim_name(set: &Set<'_>, template: &str, ordinal: Ordinal) -> String {
    format!("{template}-{}-{}", set.name, ordinal.0)
}

/// The names of all claims of a member, in the order of the templates.
pub(crate) fn claim_names(set: &Set<'_>, ordinal: Ordinal) -> impl Iterator<Item = String> {
    set.claim_templates
        .iter()
        .map(move |template| claim_name(set, &template.name_any(), ordinal))
}

/// A member's claims, as they are to be created (C-51).
pub(crate) fn new_claims(
    set: &Set<'_>,
    ordinal: Ordinal,
) -> impl Iterator<Item = PersistentVolumeClaim> {
    set.claim_templates.iter().map(move |template| {
        let mut claim = template.clone();
        claim.metadata.name = Some(claim_name(set, &template.name_any(), ordinal));
        claim.metadata.namespace = Some(set.namespace.to_owned());
        let selected = set.label_selector.match_labels.iter().flatten();
        claim
            .labels_mut()
            .extend(selected.map(|(key, value)| (key.clone(), value.clone())));
        claim.status = None;
        claim
    })
}

/// The volumes of a member: one for each claim, then those of the template with other names.
pub(crate) fn volumes(set: &Set<'_>, ordinal: Ordinal, of_template: &[Volume]) -> Vec<Volume> {
    let mut volumes: Vec<Volume> = set
        .claim_templates
        .iter()
        .map(|template| Volume {
            name: template.name_any(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claim_name(set, &template.name_any(), ordinal),
                read_only: None,
            }),
            ..Volume::default()
        })
        .collect();
    let others = of_template.iter().filter(|volume| {
        !set.claim_templates
            .iter()
            .any(|t| t.name_any() == volume.name)
    });
    volumes.extend(others.cloned());
    volumes
}

/// Whether the pod mounts its own claims (C-41).
pub(crate) fn storage_is_right(set: &Set<'_>, ordinal: Ordinal, pod: &Pod) -> bool {
    let volumes = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.volumes.as_deref())
        .unwrap_or_default();
    set.claim_templates.iter().all(|template| {
        let name = template.name_any();
        volumes.iter().any(|volume| {
            volume.name == name
                && volume
                    .persistent_volume_claim
                    .as_ref()
                    .is_some_and(|source| source.claim_name == claim_name(set, &name, ordinal))
        })
    })
}

/// Whether the claim waits for the collector because it belonged to an earlier pod of that name
/// (C-16). `uid` is that of the present pod, if there is one.
pub(crate) fn belongs_to_former_pod(
    claim: &PersistentVolumeClaim,
    pod: &str,
    uid: Option<&str>,
) -> bool {
    claim.owner_references().iter().any(|owner| {
        is_kind(owner, "v1", "Pod") && owner.name == pod && Some(owner.uid.as_str()) != uid
    })
}

/// What the retention policy asks of a claim.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ownership {
    /// Nothing to do.
    Settled,
    /// These are to be the claim's owners.
    Change(Vec<OwnerReference>),
    /// Somebody else controls it: the policy is ignored, and ours among the owners, if any, go
    /// (C-56b).
    Conflicting(Option<Vec<OwnerReference>>),
}

/// Decides a claim's owners (C-54, C-56). `pod_uid` is `None` for a pod that is about to be created,
/// which is always in range.
pub(crate) fn ownership(
    set: &Set<'_>,
    ordinal: Ordinal,
    pod_uid: Option<&str>,
    claim: &PersistentVolumeClaim,
) -> Ownership {
    let owners = claim.owner_references();
    let pod = pod_name(set, ordinal);
    let names_set = |o: &OwnerReference| is_kind(o, "apps/v1", "StatefulSet") && o.name == set.name;
    let names_pod = |o: &OwnerReference| is_kind(o, "v1", "Pod") && o.name == pod;
    let is_set = |o: &OwnerReference| names_set(o) && o.uid == set.uid;
    let is_pod = |o: &OwnerReference| names_pod(o) && Some(o.uid.as_str()) == pod_uid;

    // C-56a: the collector takes the claim with its former owner.
    if owners
        .iter()
        .any(|o| (names_set(o) && !is_set(o)) || (names_pod(o) && !is_pod(o)))
    {
        return Ownership::Settled;
    }
    let foreign: Vec<OwnerReference> = owners
        .iter()
        .filter(|o| !is_set(o) && !is_pod(o))
        .cloned()
        .collect();
    if foreign.iter().any(|owner| owner.controller == Some(true)) {
        let ours_present = foreign.len() != owners.len();
        return Ownership::Conflicting(ours_present.then_some(foreign));
    }

    let condemned = !set.in_range(ordinal);
    let wants_pod = set.retention.delete_when_scaled && condemned;
    let wants_set = set.retention.delete_with_set && !wants_pod;
    let mut wanted = foreign;
    if wants_set {
        wanted.push(set.owner_reference());
    }
    if wants_pod && let Some(uid) = pod_uid {
        wanted.push(OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            name: pod,
            uid: uid.to_owned(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        });
    }
    // blockOwnerDeletion of an existing reference is not worth a write, and neither is their order.
    let settled = wanted.len() == owners.len()
        && wanted.iter().all(|want| {
            let same = |o: &&OwnerReference| o.uid == want.uid && o.controller == want.controller;
            owners.iter().any(|o| same(&o))
        });
    if settled {
        Ownership::Settled
    } else {
        Ownership::Change(wanted)
    }
}

fn is_kind(owner: &OwnerReference, api_version: &str, kind: &str) -> bool {
    owner.api_version == api_version && owner.kind == kind
}
