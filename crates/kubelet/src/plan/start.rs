//! Which containers of a prepared pod are to be started, restarted or left alone.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use plinth_runtime::{ContainerState, ContainerStatus};

use super::{
    Action, Observed, Plan, Start, StopReason, Waiting, exit_code, has_ended, is_outdated,
};
use crate::identity::{PodName, uid_of};
use crate::spec::{self, Role};

/// Plans for every container, in starting order.
pub(super) fn containers(
    pod: &Pod,
    spec: &PodSpec,
    seen: &Observed,
    now: Timestamp,
    plan: &mut Plan,
) {
    let mut cx = Context {
        pod,
        spec,
        seen,
        now,
        plan,
    };
    // Once a main container has run in this sandbox, initialization is over for it; only sidecars are kept alive.
    let initialized = spec.containers.iter().any(|c| {
        seen.current(&c.name)
            .is_some_and(|c| c.state != ContainerState::Created)
    });
    for (role, container) in spec::containers(spec) {
        match role {
            Role::Init if initialized => {}
            Role::Init => {
                if !cx.init(container) {
                    return;
                }
            }
            Role::Sidecar => {
                if !cx.keep_running(role, container) && !initialized {
                    return;
                }
            }
            Role::Main => {
                cx.keep_running(role, container);
            }
        }
    }
    cx.forget_predecessors();
}

struct Context<'a> {
    pod: &'a Pod,
    spec: &'a PodSpec,
    seen: &'a Observed,
    now: Timestamp,
    plan: &'a mut Plan,
}

impl Context<'_> {
    /// Runs an init container to its end; true once it has succeeded.
    fn init(&mut self, container: &Container) -> bool {
        match self.seen.current(&container.name) {
            Some(c) if has_ended(c) && exit_code(c) == 0 => return true,
            Some(c) if c.state == ContainerState::Running => {}
            current => self.start(Role::Init, container, current),
        }
        false
    }

    /// Keeps a container running; true once it is started in the sense of its startup probe.
    fn keep_running(&mut self, role: Role, container: &Container) -> bool {
        let current = self.seen.current(&container.name);
        let Some(running) = current.filter(|c| c.state == ContainerState::Running) else {
            self.start(role, container, current);
            return false;
        };
        let health = self.seen.health_of(running);
        if is_outdated(running, container) {
            self.stop(
                running,
                spec::spec_grace(self.spec),
                StopReason::SpecChanged,
            );
        } else if let Some(failure) = health.and_then(|h| h.failed.as_ref()) {
            let grace = failure.grace.unwrap_or_else(|| spec::spec_grace(self.spec));
            self.stop(running, grace, StopReason::Unhealthy(failure.probe));
        }
        container.startup_probe.is_none() || health.is_some_and(|h| h.started)
    }

    fn stop(&mut self, container: &ContainerStatus, grace: std::time::Duration, why: StopReason) {
        // One kill is under way at most: a deadline counted from each look would never come.
        if !self.seen.stopping.contains_key(&container.id) {
            super::end::stop(self.seen, container, self.now + grace, why, self.plan);
        }
    }

    /// Starts a container that does not run, unless its policy or a delay forbids it.
    fn start(&mut self, role: Role, container: &Container, current: Option<&ContainerStatus>) {
        if let Some(created) = current.filter(|c| c.state == ContainerState::Created) {
            // Left by a daemon that died between making and starting it.
            self.plan.actions.push(Action::Remove(created.id.clone()));
            return;
        }
        // A main container that finished in a sandbox since lost stays finished; init containers prepare each sandbox.
        let before = if role == Role::Main {
            self.seen.newest(&container.name)
        } else {
            current
        };
        let policy = spec::restart_policy(self.spec, role);
        if before.is_some_and(|c| !is_outdated(c, container) && !policy.restarts(exit_code(c))) {
            return;
        }
        if let Some(ended) = current {
            let finished = ended.finished_at.unwrap_or(ended.created_at);
            let hash = spec::container_hash(container);
            if let Some((delay, until)) =
                self.seen
                    .backoff
                    .holds(&container.name, &hash, finished, self.now)
            {
                self.crash_loop(container, delay.as_secs(), until);
                return;
            }
        }
        match self.seen.starts.get(&container.name) {
            Some(Start::Pulling) => return,
            Some(Start::Failed {
                reason,
                message,
                at,
                retry_at,
            }) => {
                self.failed(container, reason, message, *at, *retry_at);
                if *retry_at > self.now {
                    return;
                }
            }
            None => {}
        }
        self.plan.actions.push(Action::Start {
            container: container.name.clone(),
            attempt: self.attempt(&container.name),
            after: current.map(|c| c.id.clone()),
        });
    }

    /// How many containers of this name the pod has had, whatever sandbox they were in and whoever remembers.
    fn attempt(&self, name: &str) -> u32 {
        let seen = self.seen.newest(name).map(|c| c.attempt + 1);
        let known = self
            .seen
            .known_restarts
            .get(name)
            .map(|restarts| restarts + 1);
        seen.max(known).unwrap_or(0)
    }

    fn crash_loop(&mut self, container: &Container, seconds: u64, until: Timestamp) {
        let PodName { namespace, name } = PodName::of(self.pod);
        let message = format!(
            "back-off {} restarting failed container={} pod={name}_{namespace}({})",
            go_duration(seconds),
            container.name,
            uid_of(self.pod)
        );
        self.plan.waiting.insert(
            container.name.clone(),
            Waiting {
                reason: "CrashLoopBackOff".into(),
                message,
            },
        );
        self.plan.wake(until);
    }

    fn failed(
        &mut self,
        container: &Container,
        reason: &str,
        message: &str,
        at: Timestamp,
        retry_at: Timestamp,
    ) {
        // A failed pull is shown as such first and as backing off from then on (L-6).
        let shown_until = at + std::time::Duration::from_secs(2);
        let image = container.image.as_deref().unwrap_or_default();
        let waiting = if reason == "ErrImagePull" && self.now >= shown_until {
            let message = format!("Back-off pulling image \"{image}\": {reason}: {message}");
            Waiting {
                reason: "ImagePullBackOff".into(),
                message,
            }
        } else {
            if reason == "ErrImagePull" {
                self.plan.wake(shown_until);
            }
            Waiting {
                reason: reason.to_owned(),
                message: message.to_owned(),
            }
        };
        self.plan.waiting.insert(container.name.clone(), waiting);
        self.plan.wake(retry_at);
    }

    /// Of each name, the newest container and the one before it are kept: their state and logs are asked for.
    fn forget_predecessors(&mut self) {
        for (_, container) in spec::containers(self.spec) {
            let mut ended: Vec<_> = self
                .seen
                .containers
                .iter()
                .filter(|c| c.name == container.name && has_ended(c))
                .collect();
            ended.sort_by_key(|c| (c.attempt, c.created_at));
            let newest_runs = self
                .seen
                .newest(&container.name)
                .is_some_and(|c| !has_ended(c));
            let keep = if newest_runs { 1 } else { 2 };
            let surplus = ended.len().saturating_sub(keep);
            self.plan.actions.extend(
                ended[..surplus]
                    .iter()
                    .map(|c| Action::Remove(c.id.clone())),
            );
        }
        // A lost sandbox's record goes with the last of its containers.
        let (Some((_, lost)), seen) = (self.seen.sandboxes.split_last(), self.seen) else {
            return;
        };
        let empty = lost
            .iter()
            .filter(|s| seen.containers.iter().all(|c| c.sandbox != s.id));
        self.plan
            .actions
            .extend(empty.map(|s| Action::RemoveSandbox(s.id.clone())));
    }
}

/// A whole number of seconds as upstream's messages write it: `10s`, `1m20s`, `5m0s`.
fn go_duration(seconds: u64) -> String {
    if seconds < 60 {
        format!("{seconds}s")
    } else {
        format!("{}m{}s", seconds / 60, seconds % 60)
    }
}
