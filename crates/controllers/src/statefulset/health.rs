//! What a pod's state means to its set (C-11). Pure; time is passed in.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition};

fn phase(pod: &Pod) -> &str {
    pod.status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default()
}

/// Ended for good: it must make room for a new one (C-15).
pub(crate) fn is_finished(pod: &Pod) -> bool {
    matches!(phase(pod), "Failed" | "Succeeded")
}

pub(crate) fn is_pending(pod: &Pod) -> bool {
    phase(pod) == "Pending"
}

pub(crate) fn is_terminating(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

fn ready_condition(pod: &Pod) -> Option<&PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_deref()?;
    conditions
        .iter()
        .find(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Running and ready; a terminating pod may be both.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    phase(pod) == "Running" && ready_condition(pod).is_some()
}

/// Ready for at least `min_ready_seconds`.
pub(crate) fn is_available(pod: &Pod, min_ready_seconds: i64, now: Timestamp) -> bool {
    is_ready(pod)
        && (min_ready_seconds == 0 || available_in(pod, min_ready_seconds, now) == Some(0))
}

/// Not available, or on its way out.
pub(crate) fn is_unavailable(pod: &Pod, min_ready_seconds: i64, now: Timestamp) -> bool {
    is_terminating(pod) || !is_available(pod, min_ready_seconds, now)
}

/// Milliseconds until a ready pod becomes available if nothing happens to it; `None` if it is not
/// ready or nobody knows since when.
pub(crate) fn available_in(pod: &Pod, min_ready_seconds: i64, now: Timestamp) -> Option<u64> {
    if phase(pod) != "Running" {
        return None;
    }
    let since = ready_condition(pod)?.last_transition_time.as_ref()?.0;
    let left = since.as_millisecond() + min_ready_seconds * 1000 - now.as_millisecond();
    Some(u64::try_from(left).unwrap_or(0))
}
