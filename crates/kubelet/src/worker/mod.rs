//! Takes one pod through its life on this node: observe, plan, act, until nothing is left to do; then waits for the
//! pod, its containers or the clock to change. The decisions are [`crate::plan`]'s.

mod act;
mod fetch;
mod hook;
mod images;
mod memory;
mod message;
mod observe;
mod report;
mod start;
mod stop;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info_span};

use crate::context::Node;
use crate::identity::{PodName, PodUid};
use crate::plan::{self, Schedule, Step};
use crate::pods::Pods;
use crate::probe::Probes;
use crate::volumes::PodDir;

use memory::Memory;

/// What the registry tells a worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Desired {
    /// The newest known state of the pod; `None` if only its remains were found.
    pub(crate) pod: Option<Arc<Pod>>,
    /// The API no longer has the pod.
    pub(crate) removed: bool,
    /// The earlier pod of the same name that must be gone first.
    pub(crate) blocked_by: Option<PodUid>,
    /// Grows whenever a ConfigMap, Secret or claim that the pod refers to changed.
    pub(crate) content: u64,
}

/// What follows a round.
enum Next {
    /// Something was done: look again.
    Again,
    /// Nothing is left to do before something happens, or the moment comes.
    Wait(Option<Timestamp>),
    /// Something failed and is tried again then.
    Retry(Option<Timestamp>),
}

/// One pod's worker.
pub(crate) struct Worker {
    node: Arc<Node>,
    pods: Arc<Pods>,
    name: PodName,
    uid: PodUid,
    desired: watch::Receiver<Desired>,
    /// Something about the pod's containers changed.
    wake: Arc<Notify>,
    tasks: JoinSet<TaskEnd>,
    probes: Probes,
    dir: PodDir,
    memory: Memory,
}

/// What a task that the worker had started came to.
pub(crate) enum TaskEnd {
    /// An image pull.
    Pulled {
        container: String,
        image: String,
        result: Result<images::Pulled, String>,
    },
    /// The stop of a container.
    Stopped {
        container: plinth_runtime::ContainerId,
        result: Result<(), String>,
    },
}

impl Worker {
    pub(crate) fn new(
        node: Arc<Node>,
        pods: Arc<Pods>,
        name: PodName,
        uid: PodUid,
        desired: watch::Receiver<Desired>,
        wake: Arc<Notify>,
    ) -> Self {
        let dir = PodDir::new(&node.root, uid.as_str());
        let probes = Probes::new(wake.clone(), node.clone());
        Self {
            node,
            pods,
            name,
            uid,
            desired,
            wake,
            tasks: JoinSet::new(),
            probes,
            dir,
            memory: Memory::default(),
        }
    }

    /// Works until the pod is gone from the API and this node, or until `shutdown`, which leaves its containers alone.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let span = info_span!("pod", name = %self.name, uid = %self.uid);
        shutdown
            .run_until_cancelled(self.work().instrument(span))
            .await;
    }

    async fn work(mut self) {
        loop {
            let desired = self.desired.borrow_and_update().clone();
            self.memory.notice(&desired);
            self.memory.renew_tokens(Timestamp::now());
            match self.round(&desired).await {
                Next::Again => {}
                Next::Wait(_) if desired.removed && self.memory.finished => return,
                Next::Wait(until) | Next::Retry(until) => self.wait(until).await,
            }
        }
    }

    /// Observes, plans and acts once.
    async fn round(&mut self, desired: &Desired) -> Next {
        let pod = self.memory.newest(desired.pod.as_ref());
        let mut seen = self.observe(pod.as_deref(), desired).await;
        if let Some(pod) = &pod {
            let ip = self.addresses(pod, &seen).pod;
            self.probes.follow(pod, &seen, ip.as_deref());
            seen.health = self.probes.health();
        }
        let now = Timestamp::now();
        let plan = plan::plan(pod.as_deref(), &seen, now);
        if let Some(pod) = &pod {
            self.announce(pod, &seen, &plan);
            // While there is work to do, the status would be stale before it is written; but the first word is
            // that the node has the pod.
            let worth = plan.actions.is_empty() || !self.memory.reported;
            if worth && !desired.removed && !self.memory.finished {
                self.report(pod, &seen, &plan, now).await;
            }
        }
        let idle = plan.actions.is_empty();
        for action in plan.actions {
            debug!(?action, "acting");
            if let Err(failure) = self.act(pod.as_ref(), action).await {
                return self
                    .memory
                    .failed(&failure)
                    .map_or(Next::Again, |at| Next::Retry(Some(at)));
            }
            self.memory.failures = 0;
        }
        if idle {
            let wake_at = earliest(plan.wake_at, self.memory.retry_report);
            Next::Wait(match self.memory.volumes {
                Step::Done => earliest(wake_at, self.memory.tokens.renew_at()),
                _ => wake_at,
            })
        } else {
            Next::Again
        }
    }

    async fn wait(&mut self, until: Option<Timestamp>) {
        let timer = async {
            match until {
                Some(at) => tokio::time::sleep(left(at, Timestamp::now())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // The registry keeps the sender for as long as the worker lives.
            _ = self.desired.changed() => {}
            () = self.wake.notified() => {}
            Some(end) = self.tasks.join_next() => self.finished(end),
            () = timer => {}
        }
    }

    fn finished(&mut self, end: Result<TaskEnd, tokio::task::JoinError>) {
        match end {
            Ok(TaskEnd::Pulled {
                container,
                image,
                result,
            }) => self.pulled(&container, &image, result),
            Ok(TaskEnd::Stopped { container, result }) => self.stopped(&container, result),
            Err(error) => {
                tracing::error!(%error, "a task of the pod died");
                self.memory
                    .forget_tasks(Timestamp::now() + Schedule::STEP.first);
            }
        }
    }
}

/// Time from `now` to `at`, never negative.
pub(crate) fn left(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default()
}

fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    a.into_iter().chain(b).min()
}
