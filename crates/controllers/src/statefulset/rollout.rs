//! The pass that replaces members of another revision, highest ordinal first (C-34..C-39). Pure.

use std::sync::Arc;

use k8s_openapi::{
    api::{apps::v1::StatefulSetStatus, core::v1::Pod},
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::ResourceExt;

use super::{
    action::{Action, Stage, Task},
    health, identity,
    plan::Round,
    replicas,
    set::Strategy,
};

/// Plans the pass and takes what it deletes out of the counts.
pub(crate) fn pass(round: &Round<'_>, stages: &mut Vec<Stage>, counts: &mut StatefulSetStatus) {
    let Strategy::RollingUpdate {
        partition,
        max_unavailable,
    } = &round.set.strategy
    else {
        return;
    };
    let lowest = partition.unwrap_or(0) as usize;
    let deleted: Vec<&Arc<Pod>> = match max_unavailable {
        None => one_by_one(round, lowest, stages).into_iter().collect(),
        Some(limit) => up_to(round, lowest, budget(limit, round.slots.len()), stages),
    };
    let current = round.history.current.name_any();
    for pod in &deleted {
        // A terminating pod no longer counts as current (C-35).
        if identity::revision(pod) == current {
            counts.current_replicas = counts.current_replicas.map(|count| count - 1);
        }
    }
    stages.push(Stage {
        concurrent: !round.set.ordered,
        tasks: deleted
            .into_iter()
            .map(|pod| replicas::delete(pod))
            .collect(),
    });
}

fn is_stale(round: &Round<'_>, pod: &Pod) -> bool {
    identity::revision(pod) != round.history.update.name_any()
}

/// The highest stale member, unless one above it is still on its way (C-35).
fn one_by_one<'a>(round: &Round<'a>, lowest: usize, stages: &[Stage]) -> Option<&'a Arc<Pod>> {
    for slot in round.slots.iter().skip(lowest).rev() {
        let pod = slot.as_ref()?;
        let going = health::is_terminating(pod) || already_deleted(stages, pod);
        if is_stale(round, pod) && !going {
            return Some(pod);
        }
        if going || round.is_unavailable(pod) {
            return None;
        }
    }
    None
}

/// Stale members as long as no more than `budget` are unavailable (C-38). Stale members that are
/// broken already go first and cost nothing, or a bad rollout could never be replaced (P-4).
fn up_to<'a>(
    round: &Round<'a>,
    lowest: usize,
    budget: usize,
    stages: &[Stage],
) -> Vec<&'a Arc<Pod>> {
    let mut free = Vec::new();
    let mut costly = Vec::new();
    let mut unavailable = 0;
    for (index, slot) in round.slots.iter().enumerate() {
        let Some(pod) = slot else {
            unavailable += 1;
            continue;
        };
        let down = round.is_unavailable(pod);
        unavailable += usize::from(down);
        let going = health::is_terminating(pod) || already_deleted(stages, pod);
        if index < lowest || going || !is_stale(round, pod) {
            continue;
        }
        if down {
            free.push(pod);
        } else {
            costly.push(pod);
        }
    }
    let room = budget.saturating_sub(unavailable);
    free.into_iter()
        .rev()
        .chain(costly.into_iter().rev().take(room))
        .collect()
}

/// maxUnavailable in members: percentages round down, and one may always go.
fn budget(limit: &IntOrString, replicas: usize) -> usize {
    let members = match limit {
        IntOrString::Int(count) => usize::try_from(*count).unwrap_or(0),
        IntOrString::String(percent) => percent
            .strip_suffix('%')
            .and_then(|number| number.parse::<usize>().ok())
            .map_or(0, |percent| percent * replicas / 100),
    };
    members.max(1)
}

/// A finished pod of a Parallel set is deleted by the pass before this one.
fn already_deleted(stages: &[Stage], pod: &Pod) -> bool {
    let deletes = |action: &Action| matches!(action, Action::DeletePod { uid, .. } if Some(uid) == pod.metadata.uid.as_ref());
    let mut tasks = stages.iter().flat_map(|stage: &Stage| stage.tasks.iter());
    tasks.any(|task: &Task| task.actions.iter().any(deletes))
}
