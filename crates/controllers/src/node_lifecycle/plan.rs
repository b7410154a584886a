//! Decides what a node's silence and conditions mean for the node and its pods. Pure. (L-40, L-45)

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Node, NodeCondition, Pod, Taint},
    apimachinery::pkg::apis::meta::v1::Time,
};

/// How long a node may be silent before it is taken for lost.
pub(crate) const GRACE: Duration = Duration::from_secs(50);

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// The conditions every node reports.
const CONDITIONS: [&str; 4] = ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"];

/// The first thing that is to be done; the node is looked at again after each.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// The node is silent: its conditions become Unknown.
    UpdateStatus(Box<Node>),
    /// The taints follow the conditions.
    UpdateTaints(Box<Node>),
}

/// What the node needs, having been silent for that long.
pub(crate) fn plan(node: &Node, silent: Duration, now: Timestamp) -> Option<Action> {
    if silent >= GRACE
        && let Some(lost) = with_unknown_conditions(node, now)
    {
        return Some(Action::UpdateStatus(Box::new(lost)));
    }
    with_taints(node, now).map(|node| Action::UpdateTaints(Box::new(node)))
}

/// The node's Ready condition, empty before its first.
pub(crate) fn ready(node: &Node) -> &str {
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref());
    let ready = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition.type_ == "Ready");
    ready.map_or("", |condition| &condition.status)
}

/// When the node last reported its conditions; its own clock, so only a change means anything.
pub(crate) fn heartbeat(node: &Node) -> Option<Timestamp> {
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref());
    conditions
        .into_iter()
        .flatten()
        .filter_map(|condition| condition.last_heartbeat_time.as_ref())
        .map(|at| at.0)
        .max()
}

/// The pod no longer counted as ready; `None` when it is not counted so already.
pub(crate) fn not_ready(pod: &Pod, now: Timestamp) -> Option<Pod> {
    let mut pod = pod.clone();
    let conditions = pod.status.as_mut()?.conditions.as_mut()?;
    let ready = conditions
        .iter_mut()
        .find(|condition| condition.type_ == "Ready")?;
    if ready.status == "False" {
        return None;
    }
    "False".clone_into(&mut ready.status);
    ready.last_transition_time = Some(Time(now));
    Some(pod)
}

fn with_unknown_conditions(node: &Node, now: Timestamp) -> Option<Node> {
    let mut lost = node.clone();
    let conditions = lost
        .status
        .get_or_insert_default()
        .conditions
        .get_or_insert_default();
    let mut changed = false;
    for kind in CONDITIONS {
        let unknown = |reason: &str, message: &str| NodeCondition {
            type_: kind.to_owned(),
            status: "Unknown".to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_transition_time: Some(Time(now)),
            last_heartbeat_time: None,
        };
        match conditions
            .iter_mut()
            .find(|condition| condition.type_ == kind)
        {
            Some(known) if known.status == "Unknown" => continue,
            Some(known) => {
                let heard = known.last_heartbeat_time.clone();
                *known = unknown("NodeStatusUnknown", "Kubelet stopped posting node status.");
                known.last_heartbeat_time = heard;
            }
            None => conditions.push(unknown(
                "NodeStatusNeverUpdated",
                "Kubelet never posted node status.",
            )),
        }
        changed = true;
    }
    changed.then_some(lost)
}

/// The taints this controller keeps, by key and effect, as they should be now.
fn wanted_taints(node: &Node) -> Vec<(&'static str, &'static str)> {
    let mut wanted = match ready(node) {
        "True" => Vec::new(),
        "Unknown" => vec![(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")],
        "False" => vec![(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")],
        // A node that has said nothing yet takes no pods, and has none to lose.
        _ => vec![(NOT_READY, "NoSchedule")],
    };
    if node
        .spec
        .as_ref()
        .and_then(|spec| spec.unschedulable)
        .unwrap_or(false)
    {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    wanted
}

fn with_taints(node: &Node, now: Timestamp) -> Option<Node> {
    let wanted = wanted_taints(node);
    let current: Vec<Taint> = node
        .spec
        .as_ref()
        .and_then(|spec| spec.taints.clone())
        .unwrap_or_default();
    let is_ours =
        |taint: &Taint| [NOT_READY, UNREACHABLE, UNSCHEDULABLE].contains(&taint.key.as_str());
    let is_wanted = |taint: &Taint| wanted.contains(&(taint.key.as_str(), taint.effect.as_str()));
    let mut taints: Vec<Taint> = current
        .iter()
        .filter(|taint| !is_ours(taint) || is_wanted(taint))
        .cloned()
        .collect();
    for (key, effect) in wanted {
        if !taints
            .iter()
            .any(|taint| taint.key == key && taint.effect == effect)
        {
            taints.push(Taint {
                key: key.to_owned(),
                effect: effect.to_owned(),
                value: None,
                time_added: Some(Time(now)),
            });
        }
    }
    (taints != current).then(|| {
        let mut node = node.clone();
        node.spec.get_or_insert_default().taints = (!taints.is_empty()).then_some(taints);
        node
    })
}
