//! The one word for where a pod is (L-1, L-2).

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, PodSpec};

use super::containers::Statuses;
use crate::spec::{self, RestartPolicy, Role};

/// A pod's phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Something of it has yet to run for the first time.
    Pending,
    /// Its containers run, or are about to run again.
    Running,
    /// All ended with 0, for good.
    Succeeded,
    /// All ended, one at least badly, for good.
    Failed,
}

impl Phase {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }

    pub(crate) fn parse(text: Option<&str>) -> Self {
        match text {
            Some("Running") => Self::Running,
            Some("Succeeded") => Self::Succeeded,
            Some("Failed") => Self::Failed,
            _ => Self::Pending,
        }
    }

    /// Succeeded and Failed are never left.
    pub(crate) fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// What one container's state says about the pod.
enum Stage {
    /// Has not run yet.
    Fresh,
    Running,
    /// Has run and ended; what comes next is up to the restart policy.
    Ended(i32),
}

fn stage(status: &ContainerStatus) -> Stage {
    let terminated = |state: &Option<ContainerState>| {
        state
            .as_ref()
            .and_then(|s| s.terminated.as_ref())
            .map(|t| t.exit_code)
    };
    if status.state.as_ref().is_some_and(|s| s.running.is_some()) {
        Stage::Running
    } else if let Some(code) = terminated(&status.state).or_else(|| terminated(&status.last_state))
    {
        Stage::Ended(code)
    } else {
        Stage::Fresh
    }
}

/// The phase that follows from the containers' states. `ended`: nothing of the pod will run any more.
pub(crate) fn phase(spec: &PodSpec, statuses: &Statuses, old: Phase, ended: bool) -> Phase {
    if old.is_terminal() {
        return old;
    }
    let policy = RestartPolicy::of(spec);
    let roles = spec::containers(spec)
        .map(|(role, _)| role)
        .filter(|role| *role != Role::Main);
    let mut initializing = false;
    for (role, status) in roles.zip(&statuses.init) {
        match (role, stage(status)) {
            (Role::Init, Stage::Ended(0)) => {}
            (Role::Init, Stage::Ended(_)) if policy == RestartPolicy::Never => {
                return Phase::Failed;
            }
            (Role::Init, _) | (_, Stage::Fresh) => initializing = true,
            _ => {}
        }
    }
    let (mut fresh, mut running, mut succeeded, mut failed) = (0, 0, 0, 0);
    for status in &statuses.main {
        match stage(status) {
            Stage::Fresh => fresh += 1,
            Stage::Running => running += 1,
            Stage::Ended(0) => succeeded += 1,
            Stage::Ended(_) => failed += 1,
        }
    }
    if ended && fresh == 0 && running == 0 && succeeded + failed > 0 {
        return if failed == 0 {
            Phase::Succeeded
        } else {
            Phase::Failed
        };
    }
    if initializing || fresh > 0 {
        return Phase::Pending;
    }
    if running > 0 {
        return Phase::Running;
    }
    match policy {
        _ if succeeded + failed == 0 => Phase::Pending,
        RestartPolicy::Always => Phase::Running,
        _ if failed == 0 => Phase::Succeeded,
        RestartPolicy::Never => Phase::Failed,
        RestartPolicy::OnFailure => Phase::Running,
    }
}
