//! Whether a node is one that a selector means: for pods and for volumes. Pure.

use k8s_openapi::api::core::v1::{
    Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod,
};
use kube::ResourceExt;

/// Whether the pod's nodeSelector and required node affinity allow the node.
pub(crate) fn allows(pod: &Pod, node: &Node) -> bool {
    let Some(spec) = &pod.spec else { return true };
    let labels = node.labels();
    let selected = spec
        .node_selector
        .iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value));
    let required = spec
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref())
        .and_then(|node| {
            node.required_during_scheduling_ignored_during_execution
                .as_ref()
        });
    selected && required.is_none_or(|selector| selects(selector, node))
}

/// The weight of the pod's preferences that the node meets.
pub(crate) fn preference(pod: &Pod, node: &Node) -> i64 {
    pod.spec
        .as_ref()
        .and_then(|spec| spec.affinity.as_ref())
        .and_then(|affinity| affinity.node_affinity.as_ref())
        .and_then(|node| {
            node.preferred_during_scheduling_ignored_during_execution
                .as_ref()
        })
        .into_iter()
        .flatten()
        .filter(|term| meets(&term.preference, node))
        .map(|term| i64::from(term.weight))
        .sum()
}

/// Any term is enough.
pub(crate) fn selects(selector: &NodeSelector, node: &Node) -> bool {
    selector
        .node_selector_terms
        .iter()
        .any(|term| meets(term, node))
}

/// Every requirement must hold; a term without any means no node.
fn meets(term: &NodeSelectorTerm, node: &Node) -> bool {
    let labels = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let name = node.name_any();
    let label = |key: &str| node.labels().get(key).map(String::as_str);
    // metadata.name is the only field the API admits here.
    let field = |key: &str| (key == "metadata.name").then_some(name.as_str());
    !(labels.is_empty() && fields.is_empty())
        && labels.iter().all(|r| holds(r, label(&r.key)))
        && fields.iter().all(|r| holds(r, field(&r.key)))
}

fn holds(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = || value.is_some_and(|value| values.iter().any(|v| v == value));
    let compare = |holds: fn(i64, i64) -> bool| {
        let number = value.and_then(|value| value.parse().ok());
        let limit = values.first().and_then(|limit| limit.parse().ok());
        number
            .zip(limit)
            .is_some_and(|(number, limit)| holds(number, limit))
    };
    match requirement.operator.as_str() {
        "In" => listed(),
        "NotIn" => !listed(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compare(|number, limit| number > limit),
        "Lt" => compare(|number, limit| number < limit),
        _ => false,
    }
}
