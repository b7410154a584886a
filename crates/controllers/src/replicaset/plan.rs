//! Decides what a set needs next. Pure: no client, no clock.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        apps::v1::{ReplicaSet, ReplicaSetStatus},
        core::v1::Pod,
    },
    apimachinery::pkg::apis::meta::v1::OwnerReference,
};
use kube::core::Selector;
use tracing::error;

use super::{status, victims};
use crate::{
    ownership::{self, Claims},
    pods::{self, BURST, is_active},
    writes::is_terminating,
};

/// What a plan is made from.
pub(crate) struct World<'a> {
    pub(crate) set: &'a ReplicaSet,
    /// The reference by which pods are its own.
    pub(crate) owner: &'a OwnerReference,
    /// The pods of its namespace that are its own or nobody's.
    pub(crate) pods: &'a [Arc<Pod>],
    /// The pods of all sets with the same controller; asked for only when somebody has to go.
    pub(crate) related: &'a (dyn Fn() -> Vec<Arc<Pod>> + Sync),
}

/// What is to be done. What a plan brings about wakes the set again.
#[derive(Debug)]
pub(crate) enum Plan {
    /// Settle who belongs to the set.
    Claim(Claims<Pod>),
    /// Make that many such pods.
    Create(usize, Box<Pod>),
    /// Delete these.
    Delete(Vec<Arc<Pod>>),
    /// Report, if there is something new, and look again when a pod becomes available by waiting.
    Report(Option<ReplicaSetStatus>, Option<Duration>),
}

impl Plan {
    pub(crate) fn again_in(&self) -> Option<Duration> {
        match self {
            Self::Report(_, again_in) => *again_in,
            _ => None,
        }
    }
}

/// Decides; `None` when the set cannot be worked on before somebody edits it.
pub(crate) fn plan(world: &World<'_>, now: Timestamp) -> Option<Plan> {
    let set = world.set;
    let spec = set.spec.as_ref()?;
    let claims = claims(world)?;
    if !claims.are_settled() {
        return Some(Plan::Claim(claims));
    }
    let owned = claims.owned;
    let active: Vec<_> = owned.iter().filter(|pod| is_active(pod)).cloned().collect();
    let wanted = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0);
    if !is_terminating(set) {
        if let Some(missing @ 1..) = wanted.checked_sub(active.len())
            && let Some(template) = &spec.template
        {
            let namespace = set.metadata.namespace.as_deref().unwrap_or_default();
            let pod = pods::from_template(template, namespace, world.owner.clone());
            return Some(Plan::Create(missing.min(BURST), Box::new(pod)));
        }
        if active.len() > wanted {
            let surplus = (active.len() - wanted).min(BURST);
            let victims = victims::choose(active, &(world.related)(), surplus, now);
            return Some(Plan::Delete(victims));
        }
    }
    let min_ready = i64::from(spec.min_ready_seconds.unwrap_or(0));
    let again_in = active
        .iter()
        .filter_map(|pod| pods::available_in(pod, min_ready, now))
        .filter(|milliseconds| *milliseconds > 0)
        .min()
        .map(Duration::from_millis);
    Some(Plan::Report(status::report(set, &owned, now), again_in))
}

/// What the status says when the pods of a plan could not be made or deleted.
pub(crate) fn failure(
    world: &World<'_>,
    reason: &str,
    message: String,
    now: Timestamp,
) -> Option<ReplicaSetStatus> {
    let owned = claims(world)?.owned;
    status::failed(world.set, &owned, reason, message, now)
}

/// Who belongs to the set. Pods that have ended or are about to are neither taken in nor let go.
fn claims(world: &World<'_>) -> Option<Claims<Pod>> {
    let spec = world.set.spec.as_ref()?;
    let selector = Selector::try_from(spec.selector.clone())
        // Validation keeps it out; only an edit could help.
        .inspect_err(|error| error!(set = ?world.set.metadata.name, %error, "invalid selector"))
        .ok()?;
    let mut claims = ownership::sort(world.set, &selector, world.pods);
    claims.adopt.retain(|pod| is_active(pod));
    claims.release.retain(|pod| is_active(pod));
    Some(claims)
}
