//! Decides where a pod goes. Pure: no clock, no I/O, no memory.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::{
    claims::{self, Storage},
    cluster::NodeState,
    demand::Demand,
    filter::{self, Refusal},
    pods::{Placed, PodRules, has_rules},
    score::{Score, score},
    volumes::{self, Binding},
};

/// What to do with a pod.
#[derive(Debug, Clone)]
pub(crate) enum Decision {
    /// Bind it to the node, after these are written and their claims bound.
    Place {
        node: String,
        bindings: Vec<Binding>,
    },
    /// It can go nowhere now; the text says why (§4.5).
    Nowhere(String),
}

/// Makes the decision on a snapshot of the nodes.
pub(crate) fn plan(pod: &Pod, nodes: &[&NodeState], storage: &dyn Storage) -> Decision {
    if nodes.is_empty() {
        return Decision::Nowhere("no nodes available to schedule pods".to_owned());
    }
    let claims = match claims::read(pod, storage) {
        Ok(claims) => claims,
        Err(unready) => return Decision::Nowhere(before_any_node(nodes.len(), &unready)),
    };
    let free = if claims.delayed.is_empty() {
        Vec::new()
    } else {
        storage.free_volumes()
    };
    let demand = Demand::of(pod);
    let placed = nodes.iter().flat_map(|state| {
        // A pod without rules of its own can only be refused by one that has some.
        let all = has_rules(pod);
        state
            .placed()
            .filter(move |other| all || has_rules(other))
            .map(|other| Placed {
                pod: other,
                node: &state.node,
            })
    });
    let rules = PodRules::new(pod, placed);
    let mut refusals = Vec::new();
    let mut best: Option<(Score, &NodeState, Vec<Binding>)> = None;
    for state in nodes {
        let fit = filter::check(pod, &demand, &rules, state)
            .and_then(|()| volumes::on_node(&claims, &free, &state.node).map_err(Refusal::from));
        match fit {
            Ok(bindings) => {
                let score = score(pod, &demand, state, &bindings);
                if best.as_ref().is_none_or(|(top, ..)| score > *top) {
                    best = Some((score, state, bindings));
                }
            }
            Err(refusal) => refusals.push(refusal),
        }
    }
    match best {
        Some((_, state, bindings)) => Decision::Place {
            node: state.node.name_any(),
            bindings,
        },
        None => Decision::Nowhere(on_no_node(&refusals)),
    }
}

fn before_any_node(nodes: usize, why: &claims::Unready) -> String {
    format!(
        "0/{nodes} nodes are available: {why}. {}",
        preemption(nodes, &[])
    )
}

/// Counts the reasons over the nodes.
fn on_no_node(refusals: &[Refusal]) -> String {
    let reasons = tally(refusals.iter().flat_map(|refusal| &refusal.reasons));
    let nodes = refusals.len();
    format!(
        "0/{nodes} nodes are available: {reasons}. {}",
        preemption(nodes, refusals)
    )
}

/// Upstream says what came of preemption; this scheduler never evicts a pod for another.
fn preemption(nodes: usize, refusals: &[Refusal]) -> String {
    let helpful = refusals.iter().filter(|r| r.preemption_might_help).count();
    let useless = nodes - helpful;
    let texts = std::iter::repeat_n("No preemption victims found for incoming pod", helpful).chain(
        std::iter::repeat_n("Preemption is not helpful for scheduling", useless),
    );
    let reasons = tally(texts);
    format!("no new claims to deallocate, preemption: 0/{nodes} nodes are available: {reasons}.")
}

/// `<count> <reason>` for each reason, in text order.
fn tally<T: Into<String> + Clone + ToString>(reasons: impl Iterator<Item = T>) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for reason in reasons {
        *counts.entry(reason.to_string()).or_default() += 1;
    }
    let mut texts: Vec<String> = counts
        .iter()
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    texts.sort();
    texts.join(", ")
}
