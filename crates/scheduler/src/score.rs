//! Which of the possible nodes is best. Pure.

use std::cmp::Reverse;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::{
    affinity,
    cluster::{NodeState, controller},
    demand::{Demand, allocatable},
    taints,
    volumes::Binding,
};

/// Compares greater for the better node; the fields come in the order of their weight. What is asked for
/// comes before what is merely good, and the name decides the rest, so that equal worlds give equal
/// answers.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Score {
    preferences: i64,
    reluctance: Reverse<usize>,
    /// Existing volumes are used before new ones are made.
    provisioned: Reverse<usize>,
    /// Members of one set stay apart.
    siblings: Reverse<usize>,
    load: Reverse<i64>,
    name: Reverse<String>,
}

/// Scores a node that can take the pod.
pub(crate) fn score(pod: &Pod, demand: &Demand, state: &NodeState, bindings: &[Binding]) -> Score {
    let provisioned = bindings
        .iter()
        .filter(|binding| matches!(binding, Binding::Provision { .. }))
        .count();
    let siblings = controller(pod).map_or(0, |owner| state.pods_of(&owner));
    Score {
        preferences: affinity::preference(pod, &state.node),
        reluctance: Reverse(taints::reluctance(pod, &state.node)),
        provisioned: Reverse(provisioned),
        siblings: Reverse(siblings),
        load: Reverse(load(demand, state)),
        name: Reverse(state.node.name_any()),
    }
}

/// How full the node would be, in thousandths: the mean of cpu and memory.
fn load(demand: &Demand, state: &NodeState) -> i64 {
    let has = allocatable(&state.node);
    let share = |name: &str| {
        let has = has.get(name).copied().unwrap_or(0).max(1);
        let wanted = demand.amounts.get(name).copied().unwrap_or(0);
        (state.used(name).saturating_add(wanted)).saturating_mul(1000) / has
    };
    i64::midpoint(share("cpu"), share("memory"))
}
