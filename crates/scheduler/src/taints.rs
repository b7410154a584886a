//! Which taints keep a pod off a node. Pure.

use k8s_openapi::api::core::v1::{Node, Pod, Taint, Toleration};

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Whether the node is cordoned and the pod does not say it may go there all the same.
pub(crate) fn is_cordoned(pod: &Pod, node: &Node) -> bool {
    let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true);
    cordoned && !is_tolerated(pod, &taint(UNSCHEDULABLE))
}

/// Whether any taint keeps the pod off the node.
///
/// A node that does not report itself ready is taken for tainted so, even before the taint is written:
/// a pod bound in between would wait on a node that cannot run it.
pub(crate) fn is_kept_off(pod: &Pod, node: &Node) -> bool {
    let hard = |taint: &&Taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute");
    let tainted = of(node).iter().filter(hard).any(|t| !is_tolerated(pod, t));
    let told = of(node)
        .iter()
        .any(|taint| taint.key == NOT_READY || taint.key == UNREACHABLE);
    tainted || (!told && !is_ready(node) && !is_tolerated(pod, &taint(NOT_READY)))
}

/// How many taints would rather not have the pod.
pub(crate) fn reluctance(pod: &Pod, node: &Node) -> usize {
    of(node)
        .iter()
        .filter(|taint| taint.effect == "PreferNoSchedule" && !is_tolerated(pod, taint))
        .count()
}

fn of(node: &Node) -> &[Taint] {
    let spec = node.spec.as_ref();
    spec.and_then(|spec| spec.taints.as_deref())
        .unwrap_or_default()
}

fn taint(key: &str) -> Taint {
    Taint {
        key: key.to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    }
}

/// A node without a Ready condition has not said anything yet; its taints speak for it.
fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|s| s.conditions.as_deref());
    conditions
        .unwrap_or_default()
        .iter()
        .find(|condition| condition.type_ == "Ready")
        .is_none_or(|condition| condition.status == "True")
}

fn is_tolerated(pod: &Pod, taint: &Taint) -> bool {
    pod.spec
        .as_ref()
        .and_then(|spec| spec.tolerations.as_deref())
        .unwrap_or_default()
        .iter()
        .any(|toleration| tolerates(toleration, taint))
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let effect = text(&toleration.effect);
    let key = text(&toleration.key);
    if !effect.is_empty() && effect != taint.effect {
        return false;
    }
    if !key.is_empty() && key != taint.key {
        return false;
    }
    match toleration.operator.as_deref() {
        Some("Exists") => true,
        // An empty key is only meaningful with Exists.
        None | Some("" | "Equal") => {
            !key.is_empty() && text(&toleration.value) == text(&taint.value)
        }
        Some(_) => false,
    }
}
