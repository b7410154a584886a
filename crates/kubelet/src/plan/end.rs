//! How a pod ends: its containers first, then its sandbox and network, then its directories, then the API.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use plinth_runtime::ContainerStatus;

use super::{Action, Observed, Plan, StopReason};
use crate::spec::{self, Role};

/// The pod is deleted, or was forced out of the API.
pub(super) fn delete(pod: &Pod, seen: &Observed, now: Timestamp, plan: &mut Plan) {
    let deadline = match spec::deletion_deadline(pod, now) {
        Some(deadline) if !seen.removed => deadline,
        // Forced out: nobody waits for it any more, but its name may be wanted by another.
        _ => now + spec::MINIMUM_GRACE,
    };
    let sidecars = pod.spec.as_ref().map(sidecar_names).unwrap_or_default();
    if stop_all(seen, &sidecars, deadline, plan) {
        dispose(seen, plan);
    }
}

/// The pod object is unknown: what is left of it dies.
pub(super) fn remains(seen: &Observed, now: Timestamp, plan: &mut Plan) {
    if stop_all(seen, &[], now + spec::MINIMUM_GRACE, plan) {
        dispose(seen, plan);
    }
}

/// The pod has succeeded or failed: nothing of it runs on, but its containers' records and logs stay.
pub(super) fn wind_down(spec: &PodSpec, seen: &Observed, now: Timestamp, plan: &mut Plan) {
    if stop_all(
        seen,
        &sidecar_names(spec),
        now + spec::spec_grace(spec),
        plan,
    ) {
        stop_sandboxes(seen, plan);
    }
}

/// Stops one container by `deadline`, unless that is under way already.
pub(super) fn stop(
    seen: &Observed,
    container: &ContainerStatus,
    deadline: Timestamp,
    why: StopReason,
    plan: &mut Plan,
) {
    // A second deletion may shorten the grace, never lengthen it (L-31).
    if seen
        .stopping
        .get(&container.id)
        .is_none_or(|under_way| deadline < *under_way)
    {
        plan.actions.push(Action::Stop {
            id: container.id.clone(),
            container: container.name.clone(),
            deadline,
            why,
        });
    }
}

fn sidecar_names(spec: &PodSpec) -> Vec<&str> {
    let sidecars = spec::containers(spec).filter(|(role, _)| *role == Role::Sidecar);
    sidecars.map(|(_, c)| c.name.as_str()).collect()
}

/// Stops every living container, sidecars after all others and in reverse order (L-13); true when none lives.
fn stop_all(seen: &Observed, sidecars: &[&str], deadline: Timestamp, plan: &mut Plan) -> bool {
    let is_sidecar = |c: &ContainerStatus| sidecars.contains(&c.name.as_str());
    let mains: Vec<_> = seen.alive().filter(|c| !is_sidecar(c)).collect();
    for container in &mains {
        stop_once(seen, container, deadline, plan);
    }
    if !mains.is_empty() {
        return false;
    }
    let last = sidecars
        .iter()
        .rev()
        .find_map(|name| seen.alive().find(|c| c.name == **name));
    if let Some(container) = last {
        stop_once(seen, container, deadline, plan);
    }
    last.is_none()
}

/// Within a pod's end the deadline is fixed by the API, but for a pod without one it is counted from each look:
/// only a deadline that is earlier by more than the time between two looks is a shorter grace.
fn stop_once(seen: &Observed, container: &ContainerStatus, deadline: Timestamp, plan: &mut Plan) {
    let slack = std::time::Duration::from_secs(1);
    let shorter = seen
        .stopping
        .get(&container.id)
        .is_none_or(|under_way| deadline + slack < *under_way);
    if shorter {
        stop(seen, container, deadline, StopReason::PodEnds, plan);
    }
}

fn stop_sandboxes(seen: &Observed, plan: &mut Plan) -> bool {
    let left = seen
        .sandboxes
        .iter()
        .filter(|s| !seen.stopped.contains(&s.id));
    plan.actions
        .extend(left.map(|s| Action::StopSandbox(s.id.clone())));
    plan.actions.is_empty()
}

/// Everything after the last container: one round each, so that no step runs before the one it rests on succeeded.
fn dispose(seen: &Observed, plan: &mut Plan) {
    plan.ended = true;
    if !stop_sandboxes(seen, plan) {
        return;
    }
    if !seen.cleaned {
        plan.actions.push(Action::CleanUp);
        return;
    }
    if !seen.finished {
        plan.actions.push(Action::Finish);
    }
    // Records go last: the final status is read from them.
    plan.actions.extend(
        seen.sandboxes
            .iter()
            .map(|s| Action::RemoveSandbox(s.id.clone())),
    );
}
