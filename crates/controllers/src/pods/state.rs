//! What a pod's state means (C-11). Pure; time is passed in.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition};

use crate::writes::is_terminating;

pub(crate) fn phase(pod: &Pod) -> &str {
    pod.status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default()
}

/// Ended for good.
pub(crate) fn is_finished(pod: &Pod) -> bool {
    matches!(phase(pod), "Failed" | "Succeeded")
}

pub(crate) fn is_pending(pod: &Pod) -> bool {
    phase(pod) == "Pending"
}

/// Neither ended nor on its way out: it counts as one of the wanted.
pub(crate) fn is_active(pod: &Pod) -> bool {
    !is_finished(pod) && !is_terminating(pod)
}

/// The Ready condition, where it is true.
fn readiness(pod: &Pod) -> Option<&PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_deref()?;
    conditions
        .iter()
        .find(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Ready by its condition, whatever its phase; a terminating pod may be ready.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    readiness(pod).is_some()
}

/// Since when a pod is ready; `None` if it is not or nobody knows.
pub(crate) fn ready_since(pod: &Pod) -> Option<Timestamp> {
    Some(readiness(pod)?.last_transition_time.as_ref()?.0)
}

/// Ready for at least `min_ready_seconds`.
pub(crate) fn is_available(pod: &Pod, min_ready_seconds: i64, now: Timestamp) -> bool {
    is_ready(pod)
        && (min_ready_seconds == 0 || available_in(pod, min_ready_seconds, now) == Some(0))
}

/// Milliseconds until a ready pod becomes available if nothing happens to it; `None` if it is not
/// ready or nobody knows since when.
pub(crate) fn available_in(pod: &Pod, min_ready_seconds: i64, now: Timestamp) -> Option<u64> {
    let since = ready_since(pod)?;
    let left = since.as_millisecond() + min_ready_seconds * 1000 - now.as_millisecond();
    Some(u64::try_from(left).unwrap_or(0))
}
