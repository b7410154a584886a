//! Decides when a pod must leave a node with NoExecute taints. Pure. (L-41, L-45)

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Node, Pod, PodCondition, Taint, Toleration},
    apimachinery::pkg::apis::meta::v1::Time,
};

use crate::{endpoints::member::is_over, writes::is_terminating};

/// What becomes of a pod.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// Nothing drives it away.
    Stay,
    /// It tolerates the node for that much longer.
    StayFor(Duration),
    /// It must go now; the pod as it is to be shown before its deletion.
    Leave(Box<Pod>),
}

/// The taints of a node that drive pods away.
pub(crate) fn driving_taints(node: &Node) -> Vec<Taint> {
    let taints = node
        .spec
        .iter()
        .flat_map(|spec| spec.taints.iter().flatten());
    taints
        .filter(|taint| taint.effect == "NoExecute")
        .cloned()
        .collect()
}

/// The verdict on a pod of a node with these NoExecute taints.
pub(crate) fn plan(pod: &Pod, taints: &[Taint], now: Timestamp) -> Verdict {
    if taints.is_empty() || is_terminating(pod) || is_over(pod) {
        return Verdict::Stay;
    }
    let tolerations = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.tolerations.as_deref())
        .unwrap_or_default();
    let left = taints
        .iter()
        .map(|taint| time_left(tolerations, taint, now))
        .min()
        .unwrap_or(FOR_EVER);
    if left.is_zero() {
        Verdict::Leave(Box::new(disrupted(pod, now)))
    } else if left == FOR_EVER {
        Verdict::Stay
    } else {
        Verdict::StayFor(left)
    }
}

/// Until when a taint is tolerated that nothing limits.
const FOR_EVER: Duration = Duration::MAX;

/// How much longer the taint is tolerated. Of several tolerations that fit, the least patient counts.
fn time_left(tolerations: &[Toleration], taint: &Taint, now: Timestamp) -> Duration {
    let patience = tolerations
        .iter()
        .filter(|toleration| tolerates(toleration, taint))
        .map(|toleration| match toleration.toleration_seconds {
            None => FOR_EVER,
            Some(seconds) => Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
        })
        .min()
        .unwrap_or(Duration::ZERO);
    if patience == FOR_EVER {
        return FOR_EVER;
    }
    let since = taint.time_added.as_ref().map_or(now, |at| at.0);
    let passed = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    patience.saturating_sub(passed)
}

/// Whether the toleration speaks of the taint.
pub(crate) fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let effect = text(&toleration.effect);
    let key = text(&toleration.key);
    if !(effect.is_empty() || effect == taint.effect) || !(key.is_empty() || key == taint.key) {
        return false;
    }
    match toleration.operator.as_deref() {
        Some("Exists") => true,
        None | Some("" | "Equal") => {
            !key.is_empty() && text(&toleration.value) == text(&taint.value)
        }
        Some(_) => false,
    }
}

fn disrupted(pod: &Pod, now: Timestamp) -> Pod {
    let mut pod = pod.clone();
    let conditions = pod
        .status
        .get_or_insert_default()
        .conditions
        .get_or_insert_default();
    conditions.retain(|condition| condition.type_ != "DisruptionTarget");
    conditions.push(PodCondition {
        type_: "DisruptionTarget".to_owned(),
        status: "True".to_owned(),
        reason: Some("DeletionByTaintManager".to_owned()),
        message: Some("Taint manager: deleting due to NoExecute taint".to_owned()),
        last_transition_time: Some(Time(now)),
        ..PodCondition::default()
    });
    pod
}
