//! The life of one container's probes: startup first, then readiness and liveness side by side.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, Probe};
use plinth_client::EventKind;
use plinth_runtime::ContainerId;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::check::{self, check};
use super::exec::{self, Failed};
use super::tally::Tally;
use super::{Findings, unsupported};
use crate::context::Node;
use crate::plan::{Failure, Health};

/// One running container and what its probes need.
pub(super) struct Subject {
    pub(super) pod: Arc<Pod>,
    pub(super) container: Container,
    pub(super) id: ContainerId,
    /// What is known of it before the first probe.
    pub(super) known: Health,
    pub(super) started_at: Option<Timestamp>,
    pub(super) ip: IpAddr,
    pub(super) findings: Findings,
    pub(super) wake: Arc<Notify>,
    pub(super) node: Arc<Node>,
}

/// Runs until aborted or until a probe has cost the container its life.
pub(super) async fn watch(of: Subject) {
    if let Some(kind) = unsupported(&of.container) {
        let message = format!(
            "{kind} probes are not supported by this node; the container will not become ready"
        );
        of.unhealthy(&message);
        return;
    }
    if let Some(probe) = &of.container.startup_probe
        && !of.known.started
        && !of.startup(probe).await
    {
        return;
    }
    of.note(|health| health.started = true);
    let readiness = async {
        if let Some(probe) = &of.container.readiness_probe {
            of.readiness(probe).await;
        }
    };
    let liveness = async {
        if let Some(probe) = &of.container.liveness_probe {
            of.liveness(probe).await;
        }
    };
    tokio::join!(readiness, liveness);
}

impl Subject {
    fn unhealthy(&self, message: &str) {
        let name = Some(self.container.name.as_str());
        self.node
            .event(&self.pod, name, EventKind::Warning, "Unhealthy", message);
    }

    fn note(&self, change: impl FnOnce(&mut Health)) {
        self.findings.update(&self.container.name, &self.id, change);
        self.wake.notify_one();
    }

    /// True once the probe has passed, false if it has failed for good.
    async fn startup(&self, probe: &Probe) -> bool {
        let mut tally = Tally::of(probe);
        let mut rounds = self.rounds(probe);
        loop {
            rounds.tick().await;
            let asked = self.ask(probe, "Startup").await;
            match asked.and_then(|passed| tally.count(passed)) {
                Some(true) => return true,
                Some(false) => {
                    self.fail(probe, "startup");
                    return false;
                }
                None => {}
            }
        }
    }

    async fn readiness(&self, probe: &Probe) {
        let mut tally = Tally::of(probe);
        let mut rounds = self.rounds(probe);
        let mut ready = self.known.ready;
        loop {
            rounds.tick().await;
            if let Some(passed) = self.ask(probe, "Readiness").await
                && let Some(now) = tally.count(passed)
                && now != ready
            {
                ready = now;
                self.note(|health| health.ready = now);
            }
        }
    }

    async fn liveness(&self, probe: &Probe) {
        let mut tally = Tally::of(probe);
        let mut rounds = self.rounds(probe);
        loop {
            rounds.tick().await;
            let asked = self.ask(probe, "Liveness").await;
            if asked.and_then(|passed| tally.count(passed)) == Some(false) {
                self.fail(probe, "liveness");
                return;
            }
        }
    }

    fn fail(&self, probe: &Probe, kind: &'static str) {
        let grace = probe
            .termination_grace_period_seconds
            .map(|s| Duration::from_secs(s.max(1).unsigned_abs()));
        self.note(|health| health.failed = Some(Failure { probe: kind, grace }));
    }

    /// Whether the probe passes now; `None` if it could not be asked, which counts for nothing.
    async fn ask(&self, probe: &Probe, kind: &str) -> Option<bool> {
        let checked = match &probe.exec {
            Some(action) => {
                let runtime = &self.node.runtime;
                exec::run(runtime, &self.id, action, check::patience(probe)).await
            }
            None => check(probe, &self.container, self.ip)
                .await
                .map_err(Failed::Exit),
        };
        match checked {
            Ok(()) => Some(true),
            Err(Failed::Exit(output)) => {
                self.unhealthy(&format!("{kind} probe failed: {output}"));
                Some(false)
            }
            Err(Failed::NotRun(error)) => {
                self.unhealthy(&format!(
                    "{kind} probe errored and resulted in unknown state: {error}"
                ));
                None
            }
        }
    }

    /// The first round when the initial delay has passed since the container's start, then one each period.
    fn rounds(&self, probe: &Probe) -> tokio::time::Interval {
        let seconds = |n: Option<i32>, default| u64::try_from(n.unwrap_or(default)).unwrap_or(0);
        let delay = Duration::from_secs(seconds(probe.initial_delay_seconds, 0));
        let runs_since = self
            .started_at
            .map(|at| Timestamp::now().duration_since(at))
            .unwrap_or_default();
        let left = delay.saturating_sub(Duration::try_from(runs_since).unwrap_or_default());
        let period = Duration::from_secs(seconds(probe.period_seconds, 10).max(1));
        let mut rounds = interval_at(Instant::now() + left, period);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        rounds
    }
}
