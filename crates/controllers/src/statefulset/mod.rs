//! The StatefulSet controller: keeps ordered, sticky members with their own storage. Here is only the
//! wiring: what wakes a set, and the loop of looking, planning and acting.
//!
//! `plan` decides and is pure; its passes follow one another as in §2.3 of the behaviour
//! specification: `membership`, `revision`, `replicas`, `condemned`, `rollout`, `status`. `act`
//! executes.

mod act;
mod action;
mod claims;
mod condemned;
mod health;
mod identity;
mod membership;
mod plan;
mod replicas;
mod revision;
mod rollout;
mod set;
mod status;
mod template;
#[cfg(test)]
mod tests;
mod wake;
mod write;
mod written;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::ControllerRevision, core::v1::Pod};
use plinth_client::{Recorder, WorkQueue, run_workers};
use tokio::task::JoinSet;
use tracing::{debug, error};

use self::{
    act::{ActError, Actor},
    plan::{Plan, PlanError, World, plan},
    wake::Key,
    written::{Views, Written},
};
use crate::{Context, index::Index};

const WORKERS: usize = 5;

/// Rounds of preparation before a set goes to the back of the queue: adoption, revision, and one more
/// for a rival in between.
const ROUNDS: usize = 4;

#[derive(Debug, thiserror::Error)]
enum ReconcileError {
    #[error(transparent)]
    Act(#[from] ActError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("membership or history did not settle in {ROUNDS} rounds")]
    Unsettled,
}

struct Controller {
    client: kube::Client,
    recorder: Recorder,
    views: Views,
    pods: Index<Pod>,
    revisions: Index<ControllerRevision>,
    queue: WorkQueue<Key>,
}

/// Starts the controller's tasks.
pub(crate) fn spawn(cx: &Context, pods: &Index<Pod>, tasks: &mut JoinSet<()>) {
    let views = Views {
        sets: cx.informers.of(),
        pods: pods.informer().clone(),
        claims: cx.informers.of(),
        revisions: cx.informers.of(),
    };
    let controller = Arc::new(Controller {
        client: cx.client(),
        recorder: cx.recorder("statefulset-controller"),
        pods: pods.clone(),
        // The indexes listen before the queue does: whoever is woken finds them up to date.
        revisions: Index::new(views.revisions.clone()),
        queue: cx.queue("statefulset"),
        views: views.clone(),
    });
    wake::listen(&views, &controller.queue);
    let shutdown = cx.shutdown.clone();
    tasks.spawn(async move {
        let synced = shutdown.run_until_cancelled(controller.views.synced());
        if synced.await.is_none() {
            return;
        }
        let queue = controller.queue.clone();
        run_workers(queue, WORKERS, shutdown, move |key| {
            let controller = Arc::clone(&controller);
            async move { controller.reconcile(&key).await }
        })
        .await;
    });
}

impl Controller {
    async fn reconcile(&self, key: &Key) -> Result<(), ReconcileError> {
        for _ in 0..ROUNDS {
            let Some(next) = self.plan(key) else {
                return Ok(());
            };
            let (set, plan) = match next {
                // Only an edit can help; it wakes the set (C-5).
                Err(PlanError::Set(error)) => {
                    error!(set = %key, %error, "a StatefulSet cannot be worked on");
                    return Ok(());
                }
                other => other?,
            };
            let written = Written::default();
            let actor = Actor {
                client: &self.client,
                recorder: &self.recorder,
                set: &set,
                written: &written,
            };
            let (outcome, settled) = match &plan {
                Plan::Prepare(actions) => (actor.prepare(actions).await, false),
                Plan::Sync(sync) => (actor.sync(sync).await, true),
            };
            // Also after a failure: the next plan must not repeat what did succeed (C-4).
            written.visible(&self.views).await;
            match outcome {
                Err(error) if error.is_namespace_terminating() => {
                    debug!(set = %key, %error, "the namespace is going away");
                    return Ok(());
                }
                other => other?,
            }
            if let Plan::Sync(sync) = &plan
                && let Some(delay) = sync.again_in
            {
                self.queue.add_after(key.clone(), delay);
            }
            if settled {
                return Ok(());
            }
        }
        Err(ReconcileError::Unsettled)
    }

    /// Looks at what is visible and plans; `None` when the set is gone.
    #[allow(clippy::type_complexity)] // a pair of what was looked at and what came of it
    fn plan(
        &self,
        key: &Key,
    ) -> Option<Result<(Arc<k8s_openapi::api::apps::v1::StatefulSet>, Plan), PlanError>> {
        let namespace = key.namespace.as_str();
        let set = self.views.sets.get(Some(namespace), &key.name)?;
        let uid = set.metadata.uid.as_deref().unwrap_or_default();
        let world = World {
            set: &set,
            pods: &self.pods.owned_or_free(namespace, uid),
            revisions: &self.revisions.owned_or_free(namespace, uid),
            revision_named: &|name| self.views.revisions.get(Some(namespace), name),
            claim_named: &|name| self.views.claims.get(Some(namespace), name),
        };
        let planned = plan(&world, Timestamp::now());
        Some(planned.map(|plan| (Arc::clone(&set), plan)))
    }
}
