//! Which nodes a DaemonSet's pods belong on, and which node a pod is meant for. Pure.

use k8s_openapi::api::core::v1::{
    Affinity, Node, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod,
    PodSpec, Taint, Toleration,
};
use kube::ResourceExt;

use crate::{endpoints::member::node_name, taint_eviction::tolerates};

const NAME: &str = "metadata.name";

/// What a node has to expect of a DaemonSet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A pod runs here.
    Wanted,
    /// None is made here, but one that runs may stay.
    Tolerated,
    /// None runs here.
    Unwanted,
}

/// The pod's spec with the tolerations every DaemonSet's pods have: they are to run even where the node
/// is in trouble.
pub(crate) fn tolerant(mut spec: PodSpec) -> PodSpec {
    let mut own = vec![
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    ];
    if spec.host_network == Some(true) {
        own.push(("network-unavailable", "NoSchedule"));
    }
    let tolerations = spec.tolerations.get_or_insert_default();
    for (key, effect) in own {
        let toleration = Toleration {
            key: Some(format!("node.kubernetes.io/{key}")),
            operator: Some("Exists".to_owned()),
            effect: Some(effect.to_owned()),
            ..Toleration::default()
        };
        let same = |held: &&mut Toleration| {
            held.key == toleration.key
                && held.effect == toleration.effect
                && held.operator == toleration.operator
                && held.value == toleration.value
        };
        match tolerations.iter_mut().find(same) {
            Some(held) => *held = toleration,
            None => tolerations.push(toleration),
        }
    }
    spec
}

/// Binds the spec to a node by its name. Other required terms are dropped: they led to this node.
pub(crate) fn pinned(mut spec: PodSpec, node: &str) -> PodSpec {
    let term = NodeSelectorTerm {
        match_fields: Some(vec![NodeSelectorRequirement {
            key: NAME.to_owned(),
            operator: "In".to_owned(),
            values: Some(vec![node.to_owned()]),
        }]),
        match_expressions: None,
    };
    let affinity: &mut Affinity = spec.affinity.get_or_insert_default();
    let nodes: &mut NodeAffinity = affinity.node_affinity.get_or_insert_default();
    nodes.required_during_scheduling_ignored_during_execution = Some(NodeSelector {
        node_selector_terms: vec![term],
    });
    spec
}

/// The node a pod is on, or is to go to.
pub(crate) fn target(pod: &Pod) -> Option<&str> {
    node_name(pod).or_else(|| {
        let affinity = pod.spec.as_ref()?.affinity.as_ref()?;
        let required = affinity
            .node_affinity
            .as_ref()?
            .required_during_scheduling_ignored_during_execution
            .as_ref()?;
        let terms = required.node_selector_terms.iter();
        let mut fields = terms.flat_map(|term| term.match_fields.iter().flatten());
        let named = fields.find(|field| field.key == NAME && field.operator == "In")?;
        match named.values.as_deref()? {
            [only] => Some(only),
            _ => None,
        }
    })
}

/// What the node has to expect of pods with this spec, which has its tolerations already.
pub(crate) fn place(spec: &PodSpec, node: &Node) -> Place {
    let named = spec.node_name.as_deref().unwrap_or_default();
    if !(named.is_empty() || named == node.name_any()) || !allows(spec, node) {
        return Place::Unwanted;
    }
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref());
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    let untolerated = |effect: &str| {
        let mut taints = taints.unwrap_or_default().iter();
        taints.any(|taint: &Taint| {
            taint.effect == effect && !tolerations.iter().any(|held| tolerates(held, taint))
        })
    };
    if untolerated("NoExecute") {
        Place::Unwanted
    } else if untolerated("NoSchedule") {
        Place::Tolerated
    } else {
        Place::Wanted
    }
}

fn allows(spec: &PodSpec, node: &Node) -> bool {
    let mut selected = spec.node_selector.iter().flatten();
    let required = spec
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref())
        .and_then(|nodes| {
            nodes
                .required_during_scheduling_ignored_during_execution
                .as_ref()
        });
    selected.all(|(key, value)| node.labels().get(key) == Some(value))
        && required.is_none_or(|required| {
            let mut terms = required.node_selector_terms.iter();
            terms.any(|term| meets(term, node))
        })
}

/// Every requirement must hold; a term without any means no node.
fn meets(term: &NodeSelectorTerm, node: &Node) -> bool {
    let labels = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let name = node.name_any();
    let label = |key: &str| node.labels().get(key).map(String::as_str);
    let field = |key: &str| (key == NAME).then_some(name.as_str());
    !(labels.is_empty() && fields.is_empty())
        && labels
            .iter()
            .all(|needed| holds(needed, label(&needed.key)))
        && fields
            .iter()
            .all(|needed| holds(needed, field(&needed.key)))
}

fn holds(requirement: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = value.is_some_and(|value| values.iter().any(|listed| listed == value));
    let numbers = || {
        let limit: i64 = values.first()?.parse().ok()?;
        Some((value?.parse::<i64>().ok()?, limit))
    };
    match requirement.operator.as_str() {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => numbers().is_some_and(|(number, limit)| number > limit),
        "Lt" => numbers().is_some_and(|(number, limit)| number < limit),
        _ => false,
    }
}
