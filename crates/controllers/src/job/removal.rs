//! Which active pods a Job lets go first. Pure.

use std::{cmp::Reverse, collections::HashSet, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::{
    member,
    work::{Index, Work},
};
use crate::{
    endpoints::member::node_name,
    pods::{is_ready, ready_since},
};

/// The pods to remove: at least that many, and for an indexed Job all that have no valid index or one that
/// another pod works on already.
pub(crate) fn victims<'a>(
    work: &Work<'_>,
    active: &[&'a Arc<Pod>],
    at_least: usize,
) -> Vec<&'a Arc<Pod>> {
    let mut candidates = active.to_vec();
    candidates.sort_by_key(|pod| dearness(pod));
    let mut victims = Vec::new();
    let mut rest = Vec::new();
    let mut held: HashSet<Index> = HashSet::new();
    // The dearest pod of an index keeps it.
    for pod in candidates.into_iter().rev() {
        match work.indexes() {
            None => rest.push(pod),
            Some(count) => match member::valid_index(pod, count) {
                Some(index) if held.insert(index) => rest.push(pod),
                _ => victims.push(pod),
            },
        }
    }
    while victims.len() < at_least
        && let Some(cheapest) = rest.pop()
    {
        victims.push(cheapest);
    }
    victims
}

type Dearness = (
    bool,
    u8,
    bool,
    Reverse<Option<Timestamp>>,
    Reverse<i64>,
    Reverse<Option<Timestamp>>,
);

/// The less a pod has got to, the cheaper it is: no node, not running, not ready, ready for a short time,
/// often restarted, young.
fn dearness(pod: &Pod) -> Dearness {
    let phase = match member::phase(pod) {
        "Pending" => 0,
        "Running" => 2,
        _ => 1,
    };
    (
        node_name(pod).is_some(),
        phase,
        is_ready(pod),
        Reverse(ready_since(pod)),
        Reverse(member::restarts(pod)),
        Reverse(pod.creation_timestamp().map(|at| at.0)),
    )
}
