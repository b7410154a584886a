//! Decides which pods a DaemonSet should make and delete next. Pure: no clock, no I/O, no memory but what
//! is passed in.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{ControllerRevision, DaemonSet},
    core::v1::{Node, Pod, PodSpec},
};
use kube::{Resource, ResourceExt, core::SelectorExt};

use super::{
    backoff::Failures,
    placement::{Place, place, target, tolerant},
    revision::{self, Reading, superfluous},
    rollout,
    set::{Set, SetError, Strategy},
    template,
};
use crate::{
    endpoints::member::node_name, ownership::controller, pods::is_ready, writes::is_terminating,
};

/// Pods made or deleted in one round, at most; the next round goes on.
pub(crate) const MOST: usize = 250;

/// Everything a decision may look at.
pub(crate) struct World<'a> {
    pub(crate) set: &'a DaemonSet,
    pub(crate) nodes: &'a [Arc<Node>],
    /// The pods of the namespace that the set controls or that nobody does; others do no harm.
    pub(crate) pods: &'a [Arc<Pod>],
    /// The same of revisions.
    pub(crate) revisions: &'a [Arc<ControllerRevision>],
    /// Any revision of the namespace.
    pub(crate) revision_named: &'a dyn Fn(&str) -> Option<Arc<ControllerRevision>>,
    pub(crate) failures: &'a Failures,
}

/// An object that a write is for, and no successor of its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Which {
    pub(crate) name: String,
    pub(crate) uid: String,
}

impl Which {
    pub(crate) fn of<K: Resource>(object: &K) -> Self {
        Self {
            name: object.name_any(),
            uid: object.uid().unwrap_or_default(),
        }
    }
}

/// One write.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// Make the set the controller; only after a fresh look at the set (C-7).
    AdoptPod(Which),
    ReleasePod(Which),
    AdoptRevision(Which),
    CreateRevision(Box<ControllerRevision>),
    /// A rollback gives an old revision the newest number.
    RenumberRevision(Which, i64),
    DeleteRevision(Which),
    CreatePod(Box<Pod>),
    DeletePod(Which),
    /// Delete a pod that has ended, telling the user where that was.
    DeleteEnded {
        pod: Which,
        node: String,
        failed: bool,
    },
}

/// The next writes.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Plan {
    /// Membership and history: plan again when these are visible.
    pub(crate) prepare: Vec<Action>,
    pub(crate) pods: Vec<Action>,
    /// Revisions to delete when all went well.
    pub(crate) prune: Vec<Action>,
    /// When the mere passing of time makes a difference.
    pub(crate) again_in: Option<Duration>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanError {
    #[error(transparent)]
    Set(#[from] SetError),
    #[error("the template does not serialize: {0}")]
    Template(#[from] serde_json::Error),
}

/// A node as one set sees it.
pub(crate) struct Spot<'a> {
    pub(crate) node: &'a str,
    pub(crate) place: Place,
    /// The set's pods here, scheduled ones first, oldest first. Terminating ones too, unless they have
    /// ended.
    pub(crate) pods: Vec<&'a Arc<Pod>>,
}

/// Decides.
pub(crate) fn plan(world: &World<'_>, now: Timestamp) -> Result<Plan, PlanError> {
    let set = Set::parse(world.set)?;
    let mut plan = Plan::default();
    // Its history may be gone before its pods are: nothing can be told from it any more.
    if world.set.metadata.deletion_timestamp.is_some() {
        return Ok(plan);
    }
    plan.prepare = claims(&set, world.pods);
    if !plan.prepare.is_empty() {
        return Ok(plan);
    }
    let history = match revision::read(&set, world.revisions, world.revision_named)? {
        Reading::Prepare(action) => {
            plan.prepare.push(action);
            return Ok(plan);
        }
        Reading::History(history) => history,
    };
    let members = members(&set, world.pods);
    let (spots, strays) = survey(&set, world.nodes, &members);
    let mut creations = Vec::new();
    for spot in &spots {
        manage(&set, spot, &history.hash, world.failures, now, &mut plan);
        if spot.place == Place::Wanted && spot.pods.is_empty() {
            creations.push(spot.node);
        }
    }
    // Pods that wait for a node which does not exist: nobody else would ever delete them.
    let waiting = strays.iter().filter(|pod| node_name(pod).is_none());
    let waiting = waiting.filter(|pod| !is_terminating(&****pod));
    plan.pods
        .extend(waiting.map(|pod| Action::DeletePod(Which::of(&***pod))));
    if plan.pods.is_empty() && creations.is_empty() && set.strategy != Strategy::OnDelete {
        let next = rollout::next(&set, &spots, &history.hash, now);
        let deletions = next.delete.iter();
        plan.pods = deletions
            .map(|pod| Action::DeletePod(Which::of(&***pod)))
            .collect();
        creations = next.create;
    }
    plan.pods.truncate(MOST);
    let creations = creations.into_iter().take(MOST);
    plan.pods.extend(creations.map(|node| {
        let pod = template::pod(&set, node, &history.hash);
        Action::CreatePod(Box::new(pod))
    }));
    plan.prune = superfluous(&set, &history, &members);
    let waits = members
        .iter()
        .filter_map(|pod| set.available_in(pod, now))
        .map(Duration::from_millis);
    plan.again_in = plan.again_in.into_iter().chain(waits).min();
    Ok(plan)
}

/// The pods that are the set's.
pub(crate) fn members(set: &Set<'_>, pods: &[Arc<Pod>]) -> Vec<Arc<Pod>> {
    let ours = pods.iter().filter(|pod| {
        controller(&***pod).is_some_and(|owner| owner.uid == set.uid)
            && set.selector.matches(pod.labels())
    });
    ours.cloned().collect()
}

/// C-7: what is selected and nobody's is taken in, what is ours and no longer selected let go.
fn claims(set: &Set<'_>, pods: &[Arc<Pod>]) -> Vec<Action> {
    let claim = |pod: &Arc<Pod>| {
        let selected = set.selector.matches(pod.labels());
        match controller(&**pod) {
            Some(owner) if owner.uid == set.uid => {
                (!selected).then(|| Action::ReleasePod(Which::of(&**pod)))
            }
            None if selected && !is_terminating(&**pod) => {
                Some(Action::AdoptPod(Which::of(&**pod)))
            }
            _ => None,
        }
    };
    pods.iter().filter_map(claim).collect()
}

/// Every node with the set's pods on it, and the pods that are meant for no node there is.
pub(crate) fn survey<'a>(
    set: &Set<'_>,
    nodes: &'a [Arc<Node>],
    members: &'a [Arc<Pod>],
) -> (Vec<Spot<'a>>, Vec<&'a Arc<Pod>>) {
    let spec: PodSpec = tolerant(set.template.spec.clone().unwrap_or_default());
    let mut pods: BTreeMap<&str, Vec<&Arc<Pod>>> = BTreeMap::new();
    for pod in members {
        let ended = pod
            .status
            .as_ref()
            .is_some_and(|status| matches!(status.phase.as_deref(), Some("Failed" | "Succeeded")));
        if ended && is_terminating(&**pod) {
            continue;
        }
        pods.entry(target(pod).unwrap_or_default())
            .or_default()
            .push(pod);
    }
    let spots = nodes
        .iter()
        .map(|node| {
            let name = node.metadata.name.as_deref().unwrap_or_default();
            let mut pods = pods.remove(name).unwrap_or_default();
            pods.sort_by_key(|pod| {
                let made = pod.creation_timestamp().map(|at| at.0);
                (node_name(pod).is_none(), made, pod.name_any())
            });
            Spot {
                node: name,
                place: place(&spec, node),
                pods,
            }
        })
        .collect();
    (spots, pods.into_values().flatten().collect())
}

/// Deletes what should not be on a node.
fn manage(
    set: &Set<'_>,
    spot: &Spot<'_>,
    hash: &str,
    failures: &Failures,
    now: Timestamp,
    plan: &mut Plan,
) {
    let live = spot.pods.iter().filter(|pod| !is_terminating(&****pod));
    let delete = |pod: &Arc<Pod>| Action::DeletePod(Which::of(&**pod));
    if spot.place == Place::Unwanted {
        plan.pods.extend(live.map(|pod| delete(pod)));
        return;
    }
    let mut running = Vec::new();
    for pod in live {
        let phase = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        let failed = match phase {
            Some("Failed") => true,
            Some("Succeeded") => false,
            _ => {
                running.push(*pod);
                continue;
            }
        };
        // A kubelet that rejects every pod must not be fed new ones without a pause.
        let wait = failures.wait(spot.node, now);
        if failed && !wait.is_zero() {
            plan.again_in = Some(plan.again_in.map_or(wait, |held| held.min(wait)));
            continue;
        }
        plan.pods.push(Action::DeleteEnded {
            pod: Which::of(&***pod),
            node: spot.node.to_owned(),
            failed,
        });
    }
    let (_, surge) = set.leeway(100);
    if surge == 0 {
        plan.pods
            .extend(running.iter().skip(1).map(|pod| delete(pod)));
        return;
    }
    if running.len() < 2 {
        return;
    }
    // One of the present template and one older: the older goes as soon as it is of no use.
    let (new, old): (Vec<_>, Vec<_>) = running.into_iter().partition(|pod| {
        pod.labels().get(super::set::HASH_LABEL).map(String::as_str) == Some(hash)
    });
    let surplus = new.iter().skip(1).chain(old.iter().skip(1));
    plan.pods.extend(surplus.map(|pod| delete(pod)));
    if let (Some(new), Some(old)) = (new.first(), old.first())
        && (!is_ready(old) || set.is_available(new, now))
    {
        plan.pods.push(delete(old));
    }
}
