//! The order of a pod's life on a node: volumes, sandbox, network, init containers, containers, end.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use plinth_runtime::{ContainerState, PodSandbox};

use super::{Action, Observed, Plan, Step, StopReason, end, start};
use crate::spec::{self, Role};

/// What to do next for `pod` (`None`: only its remains are known here).
pub(crate) fn plan(pod: Option<&Pod>, seen: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some((pod, spec)) = pod.and_then(|p| Some((p, p.spec.as_ref()?))) else {
        end::remains(seen, now, &mut plan);
        return plan;
    };
    if seen.removed || spec::is_deleting(pod) {
        end::delete(pod, seen, now, &mut plan);
    } else if spec::is_terminal(pod) || has_finished(spec, seen) {
        plan.ended = true;
        end::wind_down(spec, seen, now, &mut plan);
    } else if seen.blocked_by.is_none() && prepare(spec, seen, now, &mut plan) {
        start::containers(pod, spec, seen, now, &mut plan);
    }
    plan
}

/// Whether every container has ended and none is to run again.
fn has_finished(spec: &PodSpec, seen: &Observed) -> bool {
    let policy = spec::RestartPolicy::of(spec);
    let mains_ended = !spec.containers.is_empty()
        && spec.containers.iter().all(|asked| {
            seen.newest(&asked.name).is_some_and(|c| {
                super::has_ended(c)
                    && !super::is_outdated(c, asked)
                    && !policy.restarts(super::exit_code(c))
            })
        });
    let init_failed = policy == spec::RestartPolicy::Never
        && spec::containers(spec)
            .filter(|(role, _)| *role == Role::Init)
            .any(|(_, c)| {
                seen.newest(&c.name)
                    .is_some_and(|c| super::has_ended(c) && super::exit_code(c) != 0)
            });
    mains_ended || init_failed
}

/// Plans the next step before the first container; true when there is none left.
fn prepare(spec: &PodSpec, seen: &Observed, now: Timestamp, plan: &mut Plan) -> bool {
    if let Some(sandbox) = seen.current_sandbox().filter(|s| s.ready) {
        // An adopted pod's volumes are looked at again too: its directories are where content is refreshed.
        return step(&seen.volumes, now, plan, || Action::SetUpVolumes)
            && retire(seen, Some(sandbox), now, plan)
            && (spec::is_host_network(spec)
                || step(&seen.network, now, plan, || {
                    Action::AttachNetwork(sandbox.id.clone())
                }));
    }
    if !retire(seen, None, now, plan) {
        return false;
    }
    let attempt = seen
        .sandboxes
        .iter()
        .map(|s| s.config.attempt + 1)
        .max()
        .unwrap_or(0);
    step(&seen.volumes, now, plan, || Action::SetUpVolumes)
        && step(&seen.sandbox, now, plan, || Action::StartSandbox {
            attempt,
            replaces: attempt > 0,
        })
}

/// Plans one step of preparation unless it is done; true when it is.
fn step(step: &Step, now: Timestamp, plan: &mut Plan, action: impl FnOnce() -> Action) -> bool {
    match step {
        Step::Done => return true,
        Step::Failed { retry_at } if *retry_at > now => plan.wake(*retry_at),
        Step::Due | Step::Failed { .. } => plan.actions.push(action()),
    }
    false
}

/// Sees to it that nothing lives in any sandbox but `keep`; true when that is so.
fn retire(seen: &Observed, keep: Option<&PodSandbox>, now: Timestamp, plan: &mut Plan) -> bool {
    let mut done = true;
    for sandbox in seen
        .sandboxes
        .iter()
        .filter(|s| keep.is_none_or(|k| k.id != s.id))
    {
        if seen.stopped.contains(&sandbox.id) {
            continue;
        }
        done = false;
        let alive: Vec<_> = seen
            .containers
            .iter()
            .filter(|c| c.sandbox == sandbox.id && c.state == ContainerState::Running)
            .collect();
        if alive.is_empty() {
            plan.actions.push(Action::StopSandbox(sandbox.id.clone()));
        }
        for container in alive {
            let deadline = now + spec::MINIMUM_GRACE;
            end::stop(seen, container, deadline, StopReason::SandboxGone, plan);
        }
    }
    done
}
