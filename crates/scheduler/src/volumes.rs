//! Where a pod's volumes are or can be had (§4.2, §4.4). Pure.

use std::{cmp::Ordering, sync::Arc};

use k8s_openapi::{
    api::{
        core::v1::{Node, PersistentVolume, PersistentVolumeClaim},
        storage::v1::StorageClass,
    },
    apimachinery::pkg::api::resource::Quantity as Amount,
};
use kube::{
    ResourceExt,
    core::{Selector, SelectorExt},
};
use plinth_api::Quantity;

use crate::{
    affinity,
    claims::{PodClaims, SELECTED_NODE},
};

const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

/// What must be written about a claim before the pod can be bound to the node.
#[derive(Debug, Clone)]
pub(crate) enum Binding {
    /// Promise this volume to the claim; the volume binder completes it.
    Promise {
        volume: Arc<PersistentVolume>,
        claim: Arc<PersistentVolumeClaim>,
    },
    /// Ask the class's provisioner to make one for the node.
    Provision { claim: Arc<PersistentVolumeClaim> },
    /// All is written; the claim is only not bound yet.
    Await { claim: Arc<PersistentVolumeClaim> },
}

impl Binding {
    /// The claim it is about.
    pub(crate) fn claim(&self) -> &Arc<PersistentVolumeClaim> {
        let (Self::Promise { claim, .. } | Self::Provision { claim } | Self::Await { claim }) =
            self;
        claim
    }
}

/// Why a node cannot have the pod's volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreachable {
    Lost,
    BoundElsewhere,
    NoneToBind,
}

/// Finds what has to be done for the pod's claims on that node.
pub(crate) fn on_node(
    claims: &PodClaims,
    free: &[Arc<PersistentVolume>],
    node: &Node,
) -> Result<Vec<Binding>, Unreachable> {
    for volume in &claims.bound {
        let volume = volume.as_ref().ok_or(Unreachable::Lost)?;
        if !reaches(volume, node) {
            return Err(Unreachable::BoundElsewhere);
        }
    }
    let mut bindings = Vec::new();
    let mut taken: Vec<String> = Vec::new();
    // Smallest request first keeps the large volumes for those that need them.
    let mut delayed: Vec<_> = claims.delayed.iter().collect();
    delayed.sort_by(|a, b| compare(requested(&a.0), requested(&b.0)));
    for (claim, class) in delayed {
        bindings.push(bind(claim, class, free, node, &mut taken)?);
    }
    Ok(bindings)
}

fn bind(
    claim: &Arc<PersistentVolumeClaim>,
    class: &StorageClass,
    free: &[Arc<PersistentVolume>],
    node: &Node,
    taken: &mut Vec<String>,
) -> Result<Binding, Unreachable> {
    let claim = Arc::clone(claim);
    if let Some(selected) = claim.annotations().get(SELECTED_NODE) {
        return if *selected == node.name_any() {
            Ok(Binding::Await { claim })
        } else {
            Err(Unreachable::NoneToBind)
        };
    }
    let suits = |volume: &&Arc<PersistentVolume>| {
        !taken.contains(&volume.name_any()) && fits(volume, &claim) && reaches(volume, node)
    };
    let (promised, open): (Vec<_>, Vec<_>) = free
        .iter()
        .filter(suits)
        .partition(|volume| claim_ref(volume).is_some());
    if let Some(volume) = promised.first() {
        taken.push(volume.name_any());
        return Ok(Binding::Await { claim });
    }
    let smallest = open.into_iter().min_by(|a, b| {
        let modes = |v: &PersistentVolume| access_modes(v).len();
        modes(a)
            .cmp(&modes(b))
            .then_with(|| compare(capacity(a), capacity(b)))
            .then_with(|| a.name_any().cmp(&b.name_any()))
    });
    if let Some(volume) = smallest {
        taken.push(volume.name_any());
        let volume = Arc::clone(volume);
        return Ok(Binding::Promise { volume, claim });
    }
    if class.provisioner != NO_PROVISIONER && topology_allows(class, node) {
        return Ok(Binding::Provision { claim });
    }
    Err(Unreachable::NoneToBind)
}

/// Whether the volume can be used on the node.
fn reaches(volume: &PersistentVolume, node: &Node) -> bool {
    let affinity = volume
        .spec
        .as_ref()
        .and_then(|spec| spec.node_affinity.as_ref());
    affinity
        .and_then(|affinity| affinity.required.as_ref())
        .is_none_or(|selector| affinity::selects(selector, node))
}

/// V-1, and V-2 for a volume that is promised to the claim by name.
fn fits(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let (Some(spec), Some(wanted)) = (&volume.spec, &claim.spec) else {
        return false;
    };
    let promised = match claim_ref(volume) {
        Some((namespace, name, uid)) => {
            let this = Some(namespace) == claim.metadata.namespace.as_deref()
                && Some(name) == claim.metadata.name.as_deref()
                && (uid.is_empty() || Some(uid) == claim.metadata.uid.as_deref());
            if !this {
                return false;
            }
            true
        }
        None => false,
    };
    let available = volume
        .status
        .as_ref()
        .is_some_and(|status| status.phase.as_deref() == Some("Available"));
    let mode = |mode: &Option<String>| mode.clone().unwrap_or_else(|| "Filesystem".to_owned());
    let offered = access_modes(volume);
    let modes = wanted.access_modes.as_deref().unwrap_or_default();
    let selected = match wanted.selector.clone().map(Selector::try_from) {
        Some(Ok(selector)) => selector.matches(volume.labels()),
        Some(Err(_)) => false,
        None => true,
    };
    volume.metadata.deletion_timestamp.is_none()
        && (promised || available)
        && spec.storage_class_name.as_deref().unwrap_or_default()
            == wanted.storage_class_name.as_deref().unwrap_or_default()
        && mode(&spec.volume_mode) == mode(&wanted.volume_mode)
        && modes.iter().all(|mode| offered.contains(mode))
        && compare(capacity(volume), requested(claim)) != Ordering::Less
        && spec.volume_attributes_class_name == wanted.volume_attributes_class_name
        && selected
}

/// Namespace, name and UID of the claim that a volume is promised to.
fn claim_ref(volume: &PersistentVolume) -> Option<(&str, &str, &str)> {
    let reference = volume.spec.as_ref()?.claim_ref.as_ref()?;
    Some((
        reference.namespace.as_deref().unwrap_or_default(),
        reference.name.as_deref().unwrap_or_default(),
        reference.uid.as_deref().unwrap_or_default(),
    ))
}

fn access_modes(volume: &PersistentVolume) -> &[String] {
    let spec = volume.spec.as_ref();
    spec.and_then(|spec| spec.access_modes.as_deref())
        .unwrap_or_default()
}

fn capacity(volume: &PersistentVolume) -> Option<Quantity> {
    parse(volume.spec.as_ref()?.capacity.as_ref()?.get("storage")?)
}

fn requested(claim: &PersistentVolumeClaim) -> Option<Quantity> {
    let resources = claim.spec.as_ref()?.resources.as_ref()?;
    parse(resources.requests.as_ref()?.get("storage")?)
}

fn parse(amount: &Amount) -> Option<Quantity> {
    // The API admits nothing else.
    amount.0.parse().ok()
}

fn compare(a: Option<Quantity>, b: Option<Quantity>) -> Ordering {
    a.unwrap_or_else(Quantity::zero)
        .cmp(&b.unwrap_or_else(Quantity::zero))
}

fn topology_allows(class: &StorageClass, node: &Node) -> bool {
    let terms = class.allowed_topologies.as_deref().unwrap_or_default();
    terms.is_empty()
        || terms.iter().any(|term| {
            let expressions = term.match_label_expressions.as_deref().unwrap_or_default();
            expressions.iter().all(|expression| {
                let value = node.labels().get(&expression.key);
                value.is_some_and(|value| expression.values.contains(value))
            })
        })
}
