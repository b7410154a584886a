//! What a pod's state means to its set (C-11): unlike other workloads, it counts only running pods as
//! ready. Pure; time is passed in.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

pub(crate) use crate::pods::{available_in, is_finished, is_pending};
use crate::{
    pods::{self, phase},
    writes,
};

pub(crate) fn is_terminating(pod: &Pod) -> bool {
    writes::is_terminating(pod)
}

fn is_running(pod: &Pod) -> bool {
    phase(pod) == "Running"
}

/// Running and ready; a terminating pod may be both.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    is_running(pod) && pods::is_ready(pod)
}

/// Ready for at least `min_ready_seconds`.
pub(crate) fn is_available(pod: &Pod, min_ready_seconds: i64, now: Timestamp) -> bool {
    is_running(pod) && pods::is_available(pod, min_ready_seconds, now)
}

/// Not available, or on its way out.
pub(crate) fn is_unavailable(pod: &Pod, min_ready_seconds: i64, now: Timestamp) -> bool {
    is_terminating(pod) || !is_available(pod, min_ready_seconds, now)
}
