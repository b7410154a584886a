//! The DaemonSet controller: one pod on every node that is meant. Here is only the wiring.
//!
//! `plan` decides and is pure: `placement` says which nodes are meant, `revision` which template is the
//! present one, `rollout` which older pods make room. `act` executes, and then `status` counts what there
//! is.

mod act;
mod backoff;
mod placement;
mod plan;
mod revision;
mod rollout;
mod set;
mod status;
mod template;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{ControllerRevision, DaemonSet},
    core::v1::{Node, Pod},
};
use kube::{
    ResourceExt,
    core::{Selector, SelectorExt},
};
use plinth_client::{ApiError, Change, Informer, Recorder, WorkQueue, run_workers};
use tokio::task::JoinSet;
use tracing::{debug, error};

use self::{
    act::Actor,
    backoff::Failures,
    plan::{Action, Plan, PlanError, World, plan},
    status::status,
};
use crate::{
    Context,
    index::Index,
    ownership,
    writes::{Name, name_of},
};

const WORKERS: usize = 2;

/// Rounds of preparation before a set goes to the back of the queue.
const ROUNDS: usize = 6;

#[derive(Debug, thiserror::Error)]
enum ReconcileError {
    #[error("{}", .0.text())]
    Api(#[from] kube::Error),
    #[error("membership or history did not settle in {ROUNDS} rounds")]
    Unsettled,
}

struct Controller {
    client: kube::Client,
    recorder: Recorder,
    sets: Informer<DaemonSet>,
    nodes: Informer<Node>,
    pods: Index<Pod>,
    revisions: Index<ControllerRevision>,
    /// By the set's UID.
    failures: Mutex<HashMap<String, Failures>>,
    queue: WorkQueue<Name>,
}

/// Starts the controller.
pub(crate) fn spawn(cx: &Context, pods: &Index<Pod>, tasks: &mut JoinSet<()>) {
    let controller = Arc::new(Controller {
        client: cx.client(),
        recorder: cx.recorder("daemonset-controller"),
        sets: cx.informers.of(),
        nodes: cx.informers.of(),
        pods: pods.clone(),
        revisions: Index::new(cx.informers.of()),
        failures: Mutex::default(),
        queue: cx.queue("daemonset"),
    });
    controller.listen();
    let shutdown = cx.shutdown.clone();
    tasks.spawn(async move {
        let synced = shutdown.run_until_cancelled(async {
            controller.sets.synced().await;
            controller.nodes.synced().await;
            controller.pods.informer().synced().await;
            controller.revisions.informer().synced().await;
        });
        if synced.await.is_none() {
            return;
        }
        let queue = controller.queue.clone();
        run_workers(queue, WORKERS, shutdown, move |name| {
            let controller = Arc::clone(&controller);
            async move { controller.reconcile(&name).await }
        })
        .await;
    });
}

/// What a set and all around it look like.
struct View {
    set: Arc<DaemonSet>,
    nodes: Vec<Arc<Node>>,
    pods: Vec<Arc<Pod>>,
    revisions: Vec<Arc<ControllerRevision>>,
    failures: Failures,
}

impl Controller {
    fn listen(self: &Arc<Self>) {
        let controller = Arc::clone(self);
        self.sets.on_change(move |change| {
            let set = change.latest();
            if change.new.is_none() {
                let uid = set.uid().unwrap_or_default();
                controller.failures().remove(&uid);
            }
            controller.queue.add(name_of(&**set));
        });
        let (queue, sets) = (self.queue.clone(), self.sets.clone());
        self.pods.informer().on_change(move |change| {
            ownership::wake(&sets, change, |set, pod| selects(set, pod), &queue);
        });
        let (queue, sets) = (self.queue.clone(), self.sets.clone());
        self.nodes.on_change(move |change| {
            if matters(change) {
                for set in sets.list() {
                    queue.add(name_of(&*set));
                }
            }
        });
    }

    async fn reconcile(&self, name: &Name) -> Result<(), ReconcileError> {
        for _ in 0..ROUNDS {
            let Some(view) = self.look(name) else {
                return Ok(());
            };
            let plan = match self.plan(&view) {
                Ok(plan) => plan,
                // Only an edit can help; it wakes the set.
                Err(why) => {
                    error!(set = ?name, error = %why, "a DaemonSet cannot be worked on");
                    return Ok(());
                }
            };
            if let Some(delay) = plan.again_in {
                self.queue.add_after(name.clone(), delay);
            }
            let actor = self.actor(&view.set);
            if !plan.prepare.is_empty() {
                actor.prepare(&plan.prepare).await?;
                continue;
            }
            let managed = actor.manage(&plan.pods).await;
            if managed.is_ok() {
                actor.prune(&plan.prune).await?;
            }
            // Told even after a failure: what did succeed shall show.
            self.tell(name).await?;
            return match managed {
                Err(error) if error.is_namespace_terminating() => {
                    debug!(set = ?name, %error, "the namespace is going away");
                    Ok(())
                }
                other => Ok(other?),
            };
        }
        Err(ReconcileError::Unsettled)
    }

    /// Plans, and remembers on which nodes a pod has failed.
    fn plan(&self, view: &View) -> Result<Plan, PlanError> {
        let now = Timestamp::now();
        let plan = self.with_world(view, |world| plan(world, now))?;
        let failed = plan.pods.iter().filter_map(|action| match action {
            Action::DeleteEnded {
                node, failed: true, ..
            } => Some(node),
            _ => None,
        });
        let mut failures = self.failures();
        for node in failed {
            let uid = view.set.uid().unwrap_or_default();
            failures.entry(uid).or_default().note(node, now);
        }
        Ok(plan)
    }

    async fn tell(&self, name: &Name) -> Result<(), kube::Error> {
        let Some(view) = self.look(name) else {
            return Ok(());
        };
        match self.with_world(&view, |world| status(world, Timestamp::now())) {
            Ok(Some(status)) => self.actor(&view.set).write_status(status).await,
            Ok(None) => Ok(()),
            Err(why) => {
                error!(set = ?name, error = %why, "a DaemonSet's status cannot be told");
                Ok(())
            }
        }
    }

    fn look(&self, (namespace, name): &Name) -> Option<View> {
        let set = self.sets.get(Some(namespace), name)?;
        let uid = set.uid().unwrap_or_default();
        let failures = self.failures().get(&uid).cloned();
        Some(View {
            nodes: self.nodes.list(),
            pods: self.pods.owned_or_free(namespace, &uid),
            revisions: self.revisions.owned_or_free(namespace, &uid),
            failures: failures.unwrap_or_default(),
            set,
        })
    }

    fn with_world<T>(&self, view: &View, then: impl FnOnce(&World<'_>) -> T) -> T {
        let namespace = view.set.namespace().unwrap_or_default();
        let revisions = self.revisions.informer();
        then(&World {
            set: &view.set,
            nodes: &view.nodes,
            pods: &view.pods,
            revisions: &view.revisions,
            revision_named: &|name| revisions.get(Some(&namespace), name),
            failures: &view.failures,
        })
    }

    fn actor<'a>(&'a self, set: &'a DaemonSet) -> Actor<'a> {
        Actor {
            client: &self.client,
            recorder: &self.recorder,
            sets: &self.sets,
            pods: self.pods.informer(),
            revisions: self.revisions.informer(),
            set,
        }
    }

    fn failures(&self) -> MutexGuard<'_, HashMap<String, Failures>> {
        // Edits under this lock leave it whole even if they are broken off.
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A node matters when it comes or goes, and when what pods choose it by changes; not with each heartbeat.
fn matters(change: &Change<Node>) -> bool {
    let taints = |node: &Node| node.spec.as_ref().and_then(|spec| spec.taints.clone());
    match (&change.old, &change.new) {
        (Some(old), Some(new)) => old.labels() != new.labels() || taints(old) != taints(new),
        _ => true,
    }
}

fn selects(set: &DaemonSet, pod: &Pod) -> bool {
    set.spec
        .as_ref()
        // An invalid selector selects nothing; the set's own turn tells of it.
        .and_then(|spec| Selector::try_from(spec.selector.clone()).ok())
        .is_some_and(|selector| selector.matches(pod.labels()))
}
