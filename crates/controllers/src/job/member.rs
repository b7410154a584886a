//! What one pod's state means to its Job. Pure; knows no other pod.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;

use super::work::{Index, TRACKING, Work};
pub(crate) use crate::pods::{is_active, phase};
use crate::{
    pods::is_finished,
    writes::{annotation, has_finalizer, is_terminating},
};

/// The index a pod works on, as annotation and label.
pub(crate) const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// How many pods of the index failed before this one.
pub(crate) const INDEX_FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
/// How many failures of the index did not count.
pub(crate) const INDEX_IGNORED: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

pub(crate) fn has_succeeded(pod: &Pod) -> bool {
    phase(pod) == "Succeeded"
}

/// On its way out, but not ended yet.
pub(crate) fn is_leaving(pod: &Pod) -> bool {
    !is_finished(pod) && is_terminating(pod)
}

/// A pod that is being deleted counts as failed, too: it may never get so far as to say so. Unless the
/// user wants to know how it really ended.
pub(crate) fn has_failed(pod: &Pod, work: &Work<'_>) -> bool {
    phase(pod) == "Failed" || (!work.only_ended_count && is_terminating(pod) && !has_succeeded(pod))
}

/// Whether the pod's end is still to be counted.
pub(crate) fn is_tracked(pod: &Pod) -> bool {
    has_finalizer(pod, TRACKING)
}

/// The pod's index, in range or not.
pub(crate) fn index(pod: &Pod) -> Option<Index> {
    let text = annotation(pod, INDEX)?;
    text.parse()
        .ok()
        .filter(|index| i32::try_from(*index).is_ok())
}

/// The pod's index, if the Job has it.
pub(crate) fn valid_index(pod: &Pod, count: Index) -> Option<Index> {
    index(pod).filter(|index| *index < count)
}

/// The failures of its index that the pod inherited: those that count, and those that do not.
pub(crate) fn index_failures(pod: &Pod) -> (i32, i32) {
    let count = |key| {
        let text = annotation(pod, key).unwrap_or_default();
        text.parse().ok().filter(|count| *count >= 0).unwrap_or(0)
    };
    (count(INDEX_FAILURES), count(INDEX_IGNORED))
}

/// All its containers' restarts.
pub(crate) fn restarts(pod: &Pod) -> i64 {
    let Some(status) = &pod.status else {
        return 0;
    };
    let lists = [&status.init_container_statuses, &status.container_statuses];
    let all = lists.into_iter().flatten().flatten();
    all.map(|container| i64::from(container.restart_count))
        .sum()
}

/// When the pod came to its end: by its containers, else by its readiness, else by its deletion.
pub(crate) fn ended_at(pod: &Pod) -> Timestamp {
    containers_ended_at(pod)
        .or_else(|| unready_since(pod))
        .or_else(|| deleted_at(pod))
        .or_else(|| pod.creation_timestamp().map(|at| at.0))
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

fn containers_ended_at(pod: &Pod) -> Option<Timestamp> {
    let containers = pod.status.as_ref()?.container_statuses.as_deref()?;
    let ended = |container: &ContainerStatus| {
        let terminated = container.state.as_ref()?.terminated.as_ref()?;
        Some(terminated.finished_at.as_ref()?.0)
    };
    let ends: Option<Vec<Timestamp>> = containers.iter().map(ended).collect();
    ends?.into_iter().max()
}

fn unready_since(pod: &Pod) -> Option<Timestamp> {
    let conditions = pod.status.as_ref()?.conditions.as_deref()?;
    let mut unready = conditions
        .iter()
        .filter(|condition| condition.type_ == "Ready" && condition.status == "False");
    Some(unready.next()?.last_transition_time.as_ref()?.0)
}

/// The deletion timestamp lies a grace period ahead of the request.
fn deleted_at(pod: &Pod) -> Option<Timestamp> {
    let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
    let at = pod.metadata.deletion_timestamp.as_ref()?.0;
    at.checked_sub(SignedDuration::from_secs(grace)).ok()
}
