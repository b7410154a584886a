//! What a Deployment's status says (D-9, D-10). Pure.

use std::time::Duration;

use k8s_openapi::api::apps::v1::{DeploymentCondition, DeploymentStatus};

use super::{
    conditions::{
        AVAILABLE, COMPLETE, FAILURE, PROGRESSING, TIMED_OUT, condition, find, is_for, remove,
        renew, set,
    },
    rollout::Rollout,
    sets::{Set, Sets},
};

/// Counts the pods. `known` is the status so far, with the conditions this plan has found.
pub(crate) fn count(
    rollout: &Rollout<'_>,
    sets: &Sets,
    known: &DeploymentStatus,
) -> DeploymentStatus {
    // Upstream leaves zero out of all but one of these.
    let some = |count: i32| (count != 0).then_some(count);
    let available = sets.sum(Set::available);
    let mut status = DeploymentStatus {
        observed_generation: rollout.object.metadata.generation,
        replicas: some(sets.sum(Set::actual)),
        updated_replicas: some(sets.new.as_ref().map_or(0, Set::actual)),
        ready_replicas: some(sets.sum(Set::ready)),
        available_replicas: some(available),
        unavailable_replicas: some((sets.sum(Set::replicas) - available).max(0)),
        terminating_replicas: sets.all().map(Set::terminating).sum(),
        collision_count: known.collision_count,
        conditions: known.conditions.clone(),
    };
    let (holds, reason, text) = if available >= rollout.min_available() {
        ("True", "MinimumReplicasAvailable", "has")
    } else {
        ("False", "MinimumReplicasUnavailable", "does not have")
    };
    let message = format!("Deployment {text} minimum availability.");
    set(
        &mut status,
        condition(rollout, AVAILABLE, holds, reason, message),
    );
    status
}

/// The status of a Deployment that is rolling out or has, with its progress judged.
pub(crate) fn progress(
    rollout: &Rollout<'_>,
    sets: &Sets,
    known: &DeploymentStatus,
) -> DeploymentStatus {
    let mut status = count(rollout, sets, known);
    if rollout.deadline.is_none() {
        remove(&mut status, PROGRESSING);
    }
    // A rollout that has ended is not judged again when a pod is lost or the number changes.
    let ended = status.replicas == status.updated_replicas && is_for(known, PROGRESSING, COMPLETE);
    if rollout.deadline.is_some() && !ended {
        let what = match &sets.new {
            Some(set) => format!("ReplicaSet \"{}\"", set.name()),
            None => format!("Deployment \"{}\"", rollout.name()),
        };
        let told = |holds, reason, text: &str| {
            condition(
                rollout,
                PROGRESSING,
                holds,
                reason,
                format!("{what} {text}"),
            )
        };
        if is_complete(rollout, &status) {
            let complete = told("True", COMPLETE, "has successfully progressed.");
            set(&mut status, complete);
        } else if has_progressed(known, &status) {
            // Also with the same reason: the deadline counts from the last progress.
            let moving = told("True", "ReplicaSetUpdated", "is progressing.");
            renew(&mut status, moving);
        } else if deadline_in(rollout, &status).is_some_and(|left| left.is_zero()) {
            let late = told("False", TIMED_OUT, "has timed out progressing.");
            set(&mut status, late);
        }
    }
    match failure(sets) {
        Some(failure) => set(&mut status, failure),
        None => remove(&mut status, FAILURE),
    }
    status
}

/// Whether every pod wanted is there, up to date and available.
pub(crate) fn is_complete(rollout: &Rollout<'_>, status: &DeploymentStatus) -> bool {
    let all = |count: Option<i32>| count.unwrap_or(0) == rollout.replicas;
    all(status.updated_replicas)
        && all(status.replicas)
        && all(status.available_replicas)
        && status.observed_generation >= rollout.object.metadata.generation
}

fn has_progressed(old: &DeploymentStatus, new: &DeploymentStatus) -> bool {
    let number = |count: Option<i32>| count.unwrap_or(0);
    let outdated = |s: &DeploymentStatus| number(s.replicas) - number(s.updated_replicas);
    number(new.updated_replicas) > number(old.updated_replicas)
        || outdated(new) < outdated(old)
        || number(new.ready_replicas) > number(old.ready_replicas)
        || number(new.available_replicas) > number(old.available_replicas)
}

/// The time left for progress; `None` where none is awaited.
pub(crate) fn deadline_in(rollout: &Rollout<'_>, status: &DeploymentStatus) -> Option<Duration> {
    let progressing = find(status, PROGRESSING)?;
    if matches!(progressing.reason.as_deref(), Some(COMPLETE | TIMED_OUT)) {
        return None;
    }
    let until = progressing.last_update_time.as_ref()?.0 + rollout.deadline?;
    let left = until.as_millisecond() - rollout.now.as_millisecond();
    Some(Duration::from_millis(u64::try_from(left).unwrap_or(0)))
}

/// The failure of one of the sets, the new one's first.
fn failure(sets: &Sets) -> Option<DeploymentCondition> {
    let all = sets.new.iter().chain(&sets.old);
    let statuses = all.filter_map(|set| set.object.status.as_ref());
    let mut conditions = statuses.flat_map(|status| status.conditions.iter().flatten());
    let failure = conditions.find(|condition| condition.type_ == FAILURE)?;
    Some(DeploymentCondition {
        type_: failure.type_.clone(),
        status: failure.status.clone(),
        reason: failure.reason.clone(),
        message: failure.message.clone(),
        last_update_time: failure.last_transition_time.clone(),
        last_transition_time: failure.last_transition_time.clone(),
    })
}
