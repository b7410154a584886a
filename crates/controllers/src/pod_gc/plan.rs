//! Decides which pods no node will ever confirm as gone. Pure. (L-43, L-44)

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{Node, Pod, PodCondition},
    apimachinery::pkg::apis::meta::v1::Time,
};

use crate::{endpoints::member::is_over, writes::is_terminating};

/// How long a node must be missing before its pods are given up: it may be about to register again.
pub(crate) const QUARANTINE: Duration = Duration::from_secs(40);

/// An operator's word that a node is down for good.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// The node a pod is bound to.
pub(crate) enum Home<'a> {
    /// The pod is on none.
    None,
    /// It exists.
    Here(&'a Node),
    /// It does not exist, and has been seen missing for that long.
    Missing(Duration),
}

/// What to do with a pod.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// Nothing; its node sees to it.
    Leave,
    /// Look again after that time.
    LookAgain(Duration),
    /// Show it as Failed where a state is given, then remove it without waiting for its node.
    Remove {
        failed: Option<Box<Pod>>,
        /// Whether the node must be confirmed missing first.
        if_node_missing: bool,
    },
}

/// What becomes of the pod.
pub(crate) fn plan(pod: &Pod, home: &Home<'_>, now: Timestamp) -> Action {
    let remove = |condition: Option<PodCondition>, if_node_missing| Action::Remove {
        failed: (!is_over(pod)).then(|| Box::new(failed(pod, condition))),
        if_node_missing,
    };
    match home {
        Home::None if is_terminating(pod) => remove(None, false),
        Home::Missing(since) => match QUARANTINE
            .checked_sub(*since)
            .filter(|left| !left.is_zero())
        {
            Some(left) => Action::LookAgain(left),
            None => remove(Some(node_is_gone(now)), true),
        },
        Home::Here(node) if is_terminating(pod) && is_out_of_service(node) => remove(None, false),
        Home::None | Home::Here(_) => Action::Leave,
    }
}

/// Both the operator's word and the node's silence are needed.
fn is_out_of_service(node: &Node) -> bool {
    let tainted = node
        .spec
        .iter()
        .flat_map(|spec| spec.taints.iter().flatten())
        .any(|taint| taint.key == OUT_OF_SERVICE);
    let conditions = node
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let ready = conditions
        .into_iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    tainted && !ready
}

fn failed(pod: &Pod, condition: Option<PodCondition>) -> Pod {
    let mut pod = pod.clone();
    let status = pod.status.get_or_insert_default();
    status.phase = Some("Failed".to_owned());
    if let Some(condition) = condition {
        let conditions = status.conditions.get_or_insert_default();
        conditions.retain(|known| known.type_ != condition.type_);
        conditions.push(condition);
    }
    pod
}

fn node_is_gone(now: Timestamp) -> PodCondition {
    PodCondition {
        type_: "DisruptionTarget".to_owned(),
        status: "True".to_owned(),
        reason: Some("DeletionByPodGC".to_owned()),
        message: Some("PodGC: node no longer exists".to_owned()),
        last_transition_time: Some(Time(now)),
        ..PodCondition::default()
    }
}
