//! Whether a node can take a pod, and in which words not (§4.5). Pure.

use k8s_openapi::api::core::v1::Pod;

use crate::{
    affinity,
    cluster::NodeState,
    demand::{Demand, allocatable, clash},
    pods::{PodRules, Unfit},
    taints,
    volumes::Unreachable,
};

/// Why a node is out, in the API's words, and whether moving other pods away could help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reasons: Vec<String>,
    pub(crate) preemption_might_help: bool,
}

impl Refusal {
    fn for_good(reason: &str) -> Self {
        Self {
            reasons: vec![reason.to_owned()],
            preemption_might_help: false,
        }
    }

    fn for_now(reasons: Vec<String>) -> Self {
        Self {
            reasons,
            preemption_might_help: true,
        }
    }
}

impl From<Unreachable> for Refusal {
    fn from(unreachable: Unreachable) -> Self {
        Self::for_good(match unreachable {
            Unreachable::Lost => {
                "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
            }
            Unreachable::BoundElsewhere => "node(s) didn't match PersistentVolume's node affinity",
            Unreachable::NoneToBind => "node(s) didn't find available persistent volumes to bind",
        })
    }
}

/// Asks everything but volumes, in upstream's order: the first that refuses names the reasons.
pub(crate) fn check(
    pod: &Pod,
    demand: &Demand,
    rules: &PodRules,
    state: &NodeState,
) -> Result<(), Refusal> {
    let node = &state.node;
    if taints::is_cordoned(pod, node) {
        return Err(Refusal::for_good("node(s) were unschedulable"));
    }
    if taints::is_kept_off(pod, node) {
        return Err(Refusal::for_good("node(s) had untolerated taint(s)"));
    }
    if !affinity::allows(pod, node) {
        let reason = "node(s) didn't match Pod's node affinity/selector";
        return Err(Refusal::for_good(reason));
    }
    let taken = |port| state.ports().any(|held| clash(held, port));
    if demand.ports.iter().any(taken) {
        let reason = "node(s) didn't have free ports for the requested pod ports";
        return Err(Refusal::for_now(vec![reason.to_owned()]));
    }
    resources(demand, state).and_then(|()| rules.check(node).map_err(between_pods))
}

fn resources(demand: &Demand, state: &NodeState) -> Result<(), Refusal> {
    let has = allocatable(&state.node);
    let mut reasons = Vec::new();
    let mut might_help = true;
    let room = has.get("pods").copied().unwrap_or(0);
    let placed = i64::try_from(state.pods()).unwrap_or(i64::MAX);
    if placed >= room {
        reasons.push("Too many pods".to_owned());
        might_help = room > 0;
    }
    let mut names: Vec<&String> = demand.amounts.keys().collect();
    // cpu and memory come first in upstream's words.
    names.sort_by_key(|name| match name.as_str() {
        "cpu" => (0, *name),
        "memory" => (1, *name),
        "ephemeral-storage" => (2, *name),
        _ => (3, *name),
    });
    for name in names {
        let wanted = demand.amounts[name];
        let has = has.get(name).copied().unwrap_or(0);
        if wanted > has - state.used(name) {
            reasons.push(format!("Insufficient {name}"));
            might_help &= wanted <= has;
        }
    }
    if reasons.is_empty() {
        return Ok(());
    }
    Err(Refusal {
        reasons,
        preemption_might_help: might_help,
    })
}

fn between_pods(unfit: Unfit) -> Refusal {
    match unfit {
        Unfit::Affinity => Refusal::for_good("node(s) didn't match pod affinity rules"),
        Unfit::AntiAffinity => Refusal::for_now(vec![
            "node(s) didn't match pod anti-affinity rules".to_owned(),
        ]),
        Unfit::ExistingAntiAffinity => Refusal::for_now(vec![
            "node(s) didn't satisfy existing pods anti-affinity rules".to_owned(),
        ]),
    }
}
