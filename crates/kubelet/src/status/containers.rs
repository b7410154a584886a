//! The status of each container (L-6).

use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated,
    ContainerStateWaiting, ContainerStatus, PodSpec, PodStatus,
};
use plinth_runtime::{ContainerState as RuntimeState, ContainerStatus as Seen};

use super::time;
use crate::plan::{Observed, Plan, exit_code};
use crate::probe;
use crate::spec::{self, Role};

/// Precedes a container's id in `containerID`.
pub(crate) const CONTAINER_SCHEME: &str = "plinth://";

/// The statuses of a pod's containers, each list in the order of the specification.
#[derive(Clone, Debug, Default)]
pub(crate) struct Statuses {
    /// Init containers and sidecars.
    pub init: Vec<ContainerStatus>,
    /// Main containers.
    pub main: Vec<ContainerStatus>,
}

/// The status of every container. `gone`: the pod is being deleted and nothing of it lives.
pub(crate) fn container_statuses(
    spec: &PodSpec,
    old: &PodStatus,
    seen: &Observed,
    plan: &Plan,
    gone: bool,
) -> Statuses {
    let has_init = spec::containers(spec).any(|(role, _)| role == Role::Init);
    let mut statuses = Statuses::default();
    for (role, container) in spec::containers(spec) {
        let (list, before) = match role {
            Role::Main => (&mut statuses.main, &old.container_statuses),
            Role::Init | Role::Sidecar => (&mut statuses.init, &old.init_container_statuses),
        };
        let before = before.iter().flatten().find(|s| s.name == container.name);
        let one = One {
            role,
            container,
            before,
            seen,
            plan,
            has_init,
            gone,
        };
        list.push(one.status());
    }
    statuses
}

struct One<'a> {
    role: Role,
    container: &'a Container,
    before: Option<&'a ContainerStatus>,
    seen: &'a Observed,
    plan: &'a Plan,
    has_init: bool,
    gone: bool,
}

impl One<'_> {
    fn status(&self) -> ContainerStatus {
        let name = &self.container.name;
        let newest = self.seen.newest(name);
        let Some(newest) = newest else {
            return self.unknown_to_the_runtime();
        };
        let state = self.state_of(newest);
        let previous = self
            .seen
            .containers
            .iter()
            .filter(|c| c.name == *name && c.attempt < newest.attempt && crate::plan::has_ended(c))
            .max_by_key(|c| (c.attempt, c.created_at));
        // A container that waits to run again shows how it ended as its last state.
        let last_state = if state.waiting.is_some() && crate::plan::has_ended(newest) {
            Some(terminated(newest))
        } else {
            previous
                .map(terminated)
                .or_else(|| self.before.and_then(|b| b.last_state.clone()))
        };
        let running = state.running.is_some();
        let (started, ready) = self.health(newest, running);
        ContainerStatus {
            name: name.clone(),
            image: newest.image.clone(),
            image_id: newest.image_id.clone(),
            container_id: Some(container_id(newest)),
            restart_count: i32::try_from(newest.attempt).unwrap_or(i32::MAX),
            started: Some(started),
            ready,
            state: Some(state),
            last_state,
            ..Default::default()
        }
    }

    fn health(&self, newest: &Seen, running: bool) -> (bool, bool) {
        let succeeded = newest.state == RuntimeState::Exited && exit_code(newest) == 0;
        if self.role == Role::Init {
            return (running, succeeded);
        }
        let health = self.seen.health_of(newest);
        // A probe that cannot be run has not passed.
        let running = running && probe::unsupported(self.container).is_none();
        let started = running
            && (self.container.startup_probe.is_none() || health.is_some_and(|h| h.started));
        let ready = started
            && (self.container.readiness_probe.is_none() || health.is_some_and(|h| h.ready));
        (started, ready)
    }

    fn state_of(&self, newest: &Seen) -> ContainerState {
        match newest.state {
            RuntimeState::Running => ContainerState {
                running: Some(ContainerStateRunning {
                    started_at: newest.started_at.map(time),
                }),
                ..Default::default()
            },
            RuntimeState::Created => self.waiting(),
            RuntimeState::Exited | RuntimeState::Unknown => {
                match self.plan.waiting.get(&newest.name) {
                    Some(_) => self.waiting(),
                    None => terminated(newest),
                }
            }
        }
    }

    fn waiting(&self) -> ContainerState {
        let planned = self.plan.waiting.get(&self.container.name);
        let default = if self.has_init {
            "PodInitializing"
        } else {
            "ContainerCreating"
        };
        let waiting = ContainerStateWaiting {
            reason: Some(planned.map_or_else(|| default.to_owned(), |w| w.reason.clone())),
            message: planned.map(|w| w.message.clone()).filter(|m| !m.is_empty()),
        };
        ContainerState {
            waiting: Some(waiting),
            ..Default::default()
        }
    }

    /// No container of this name exists: it has yet to be made, or the node lost all trace of it.
    fn unknown_to_the_runtime(&self) -> ContainerStatus {
        let lost = self.before.filter(|b| b.container_id.is_some());
        let mut status = ContainerStatus {
            name: self.container.name.clone(),
            image: self.container.image.clone().unwrap_or_default(),
            started: Some(false),
            state: Some(self.waiting()),
            ..Default::default()
        };
        if let Some(before) = lost {
            let ended = before
                .state
                .as_ref()
                .is_some_and(|s| s.terminated.is_some());
            status.restart_count = before.restart_count;
            status.last_state = if ended {
                before.state.clone()
            } else {
                Some(vanished("deleted", before))
            };
            if before.state.as_ref().is_some_and(|s| s.waiting.is_some()) {
                status.last_state.clone_from(&before.last_state);
            }
            if ended && self.plan.ended {
                return before.clone();
            }
        }
        if self.gone {
            status.state = Some(vanished("terminated", &status));
        }
        status
    }
}

/// The state of a container whose end nobody saw.
fn vanished(when: &str, status: &ContainerStatus) -> ContainerState {
    let terminated = ContainerStateTerminated {
        exit_code: 137,
        reason: Some("ContainerStatusUnknown".into()),
        message: Some(format!(
            "The container could not be located when the pod was {when}"
        )),
        container_id: status.container_id.clone(),
        ..Default::default()
    };
    ContainerState {
        terminated: Some(terminated),
        ..Default::default()
    }
}

fn terminated(container: &Seen) -> ContainerState {
    let terminated = ContainerStateTerminated {
        exit_code: exit_code(container),
        signal: container.signal.filter(|s| *s != 0),
        reason: Some(if container.reason.is_empty() {
            "ContainerStatusUnknown".into()
        } else {
            container.reason.clone()
        }),
        message: Some(container.message.clone()).filter(|m| !m.is_empty()),
        started_at: container.started_at.map(time),
        finished_at: container.finished_at.map(time),
        container_id: Some(container_id(container)),
    };
    ContainerState {
        terminated: Some(terminated),
        ..Default::default()
    }
}

/// The id as the API writes it.
fn container_id(container: &Seen) -> String {
    format!("{CONTAINER_SCHEME}{}", container.id)
}
