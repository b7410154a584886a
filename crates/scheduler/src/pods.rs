//! Which nodes a pod's required pod affinity and anti-affinity leave it, given the pods that are placed
//! already. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, Pod, PodAffinityTerm};
use kube::{
    ResourceExt,
    core::{Selector, SelectorExt},
};

/// A pod with its node's labels.
pub(crate) struct Placed<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) node: &'a Node,
}

/// One required term, ready to be asked.
struct Term {
    selector: Selector,
    /// `None` means every namespace.
    namespaces: Option<Vec<String>>,
    topology: String,
}

/// The rules between the pod and those that are placed, worked out once for all nodes.
#[derive(Default)]
pub(crate) struct PodRules {
    /// Topology values the pod must share, by key; one entry per affinity term.
    near: Vec<(String, Vec<String>, bool)>,
    /// Topology values the pod must not share.
    far: BTreeMap<String, Vec<String>>,
    /// Topology values where a placed pod does not want this one.
    unwanted: BTreeMap<String, Vec<String>>,
}

/// Why a node is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    Affinity,
    AntiAffinity,
    ExistingAntiAffinity,
}

impl PodRules {
    /// `placed` is looked through once.
    pub(crate) fn new<'a>(pod: &Pod, placed: impl Iterator<Item = Placed<'a>> + Clone) -> Self {
        let mut rules = Self::default();
        for term in terms(pod, true) {
            let mut values = Vec::new();
            for other in placed.clone().filter(|other| term.matches(other.pod)) {
                values.extend(other.node.labels().get(&term.topology).cloned());
            }
            // The first pod of a group that wants to be with its own kind may go anywhere.
            let first_of_its_kind = values.is_empty() && term.matches(pod);
            rules.near.push((term.topology, values, first_of_its_kind));
        }
        for term in terms(pod, false) {
            for other in placed.clone().filter(|other| term.matches(other.pod)) {
                let value = other.node.labels().get(&term.topology).cloned();
                let values = rules.far.entry(term.topology.clone()).or_default();
                values.extend(value);
            }
        }
        for other in placed {
            for term in terms(other.pod, false) {
                if term.matches(pod)
                    && let Some(value) = other.node.labels().get(&term.topology)
                {
                    let values = rules.unwanted.entry(term.topology).or_default();
                    values.push(value.clone());
                }
            }
        }
        rules
    }

    /// Whether the node obeys all of them.
    pub(crate) fn check(&self, node: &Node) -> Result<(), Unfit> {
        let in_any = |rules: &BTreeMap<String, Vec<String>>| {
            rules.iter().any(|(key, values)| {
                node.labels()
                    .get(key)
                    .is_some_and(|value| values.contains(value))
            })
        };
        for (key, values, anywhere) in &self.near {
            let here = node.labels().get(key);
            if !here.is_some_and(|value| *anywhere || values.contains(value)) {
                return Err(Unfit::Affinity);
            }
        }
        if in_any(&self.far) {
            return Err(Unfit::AntiAffinity);
        }
        if in_any(&self.unwanted) {
            return Err(Unfit::ExistingAntiAffinity);
        }
        Ok(())
    }
}

/// Whether the pod has rules that placed pods without any must be looked through for.
pub(crate) fn has_rules(pod: &Pod) -> bool {
    let affinity = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref());
    affinity.is_some_and(|a| a.pod_affinity.is_some() || a.pod_anti_affinity.is_some())
}

/// Whether a new neighbour can open a node to the pod.
pub(crate) fn wants_neighbours(pod: &Pod) -> bool {
    let affinity = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref());
    affinity.is_some_and(|affinity| affinity.pod_affinity.is_some())
}

impl Term {
    fn matches(&self, pod: &Pod) -> bool {
        let namespace = pod.namespace().unwrap_or_default();
        let here = self
            .namespaces
            .as_ref()
            .is_none_or(|n| n.contains(&namespace));
        here && self.selector.matches(pod.labels())
    }
}

fn terms(pod: &Pod, near: bool) -> Vec<Term> {
    let affinity = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref());
    let required = if near {
        affinity
            .and_then(|a| a.pod_affinity.as_ref())
            .and_then(|a| {
                a.required_during_scheduling_ignored_during_execution
                    .as_ref()
            })
    } else {
        affinity
            .and_then(|a| a.pod_anti_affinity.as_ref())
            .and_then(|a| {
                a.required_during_scheduling_ignored_during_execution
                    .as_ref()
            })
    };
    required
        .into_iter()
        .flatten()
        .filter_map(|term| parse(pod, term))
        .collect()
}

/// A term without a selector means no pod, and one the API should not have admitted means none either.
fn parse(pod: &Pod, term: &PodAffinityTerm) -> Option<Term> {
    let selector = Selector::try_from(term.label_selector.clone()?).ok()?;
    let listed = term.namespaces.clone().unwrap_or_default();
    let namespaces = match &term.namespace_selector {
        // An empty selector means every namespace. Selecting some by their labels is not supported
        // yet: such a term is taken for the strictest reading, every namespace.
        Some(_) => None,
        None if listed.is_empty() => Some(vec![pod.namespace().unwrap_or_default()]),
        None => Some(listed),
    };
    Some(Term {
        selector,
        namespaces,
        topology: term.topology_key.clone(),
    })
}
