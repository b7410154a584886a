//! The Deployment controller: brings a new template in the place of an old one through ReplicaSets, which
//! keep the pods. Here is only the wiring.
//!
//! `plan` decides and is pure; its passes are `revision` (which set is the new one), `scale` (another
//! number of pods), `rolling` (D-4) and `status`. They work on `sets`, a copy of the world from which the
//! writes are read off at the end. `act` executes.

mod act;
mod annotations;
mod conditions;
mod plan;
mod revision;
mod rolling;
mod rollout;
mod scale;
mod sets;
mod status;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    core::v1::Pod,
};
use kube::{
    ResourceExt,
    core::{Selector, SelectorExt},
};
use plinth_client::{Informer, Recorder, WorkQueue, run_workers};
use tokio::task::JoinSet;

use self::{
    act::Actor,
    plan::{Plan, World, plan},
};
use crate::{
    Context,
    index::Index,
    ownership::{self, controller},
    writes::{Name, name_of},
};

const WORKERS: usize = 5;

struct Controller {
    client: kube::Client,
    recorder: Recorder,
    deployments: Informer<Deployment>,
    sets: Index<ReplicaSet>,
    pods: Index<Pod>,
    queue: WorkQueue<Name>,
}

/// Starts the controller.
pub(crate) fn spawn(cx: &Context, pods: &Index<Pod>, tasks: &mut JoinSet<()>) {
    let controller = Arc::new(Controller {
        client: cx.client(),
        recorder: cx.recorder("deployment-controller"),
        deployments: cx.informers.of(),
        // The index listens before the queue does: whoever is woken finds it up to date.
        sets: Index::new(cx.informers.of()),
        pods: pods.clone(),
        queue: WorkQueue::new(),
    });
    controller.listen();
    let shutdown = cx.shutdown.clone();
    tasks.spawn(async move {
        controller.deployments.synced().await;
        controller.sets.informer().synced().await;
        controller.pods.informer().synced().await;
        let queue = controller.queue.clone();
        run_workers(queue, WORKERS, shutdown, move |key| {
            let controller = Arc::clone(&controller);
            async move { Box::pin(controller.reconcile(&key)).await }
        })
        .await;
    });
}

impl Controller {
    fn listen(&self) {
        let queue = self.queue.clone();
        self.deployments
            .on_change(move |change| queue.add(name_of(&**change.latest())));
        let (queue, deployments) = (self.queue.clone(), self.deployments.clone());
        self.sets.informer().on_change(move |change| {
            ownership::wake(&deployments, change, |d, set| selects(d, set), &queue);
        });
        // Recreate waits for the last old pod to go.
        let (queue, deployments) = (self.queue.clone(), self.deployments.clone());
        let sets = self.sets.informer().clone();
        self.pods.informer().on_change(move |change| {
            let ended = change
                .new
                .as_ref()
                .is_none_or(|pod| crate::pods::is_finished(pod));
            let pod = change.latest();
            let namespace = pod.namespace().unwrap_or_default();
            if ended
                && let Some(owner) = controller(&**pod)
                && owner.kind == "ReplicaSet"
                && let Some(set) = sets.get(Some(&namespace), &owner.name)
                && let Some(owner) = controller(&*set)
                && let Some(deployment) = deployments.get(Some(&namespace), &owner.name)
                && is_recreate(&deployment)
            {
                queue.add((namespace, owner.name.clone()));
            }
        });
    }

    async fn reconcile(&self, key: &Name) -> Result<(), kube::Error> {
        let (namespace, name) = key;
        let Some(deployment) = self.deployments.get(Some(namespace), name) else {
            return Ok(());
        };
        let uid = deployment.uid().unwrap_or_default();
        let world = World {
            deployment: &deployment,
            sets: &self.sets.owned_or_free(namespace, &uid),
            set_named: &|name| self.sets.informer().get(Some(namespace), name),
            pods_of: &|uid| self.pods.owned(namespace, uid),
        };
        let Some(plan) = plan(&world, Timestamp::now()) else {
            return Ok(());
        };
        if let Plan::Sync(round) = &plan
            && let Some(delay) = round.again_in
        {
            // Times in conditions are whole seconds.
            self.queue
                .add_after(key.clone(), delay + Duration::from_secs(1));
        }
        let actor = Actor {
            client: &self.client,
            recorder: &self.recorder,
            deployment: &deployment,
            deployments: &self.deployments,
            sets: self.sets.informer(),
        };
        Box::pin(actor.act(plan)).await
    }
}

fn is_recreate(deployment: &Deployment) -> bool {
    let strategy = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.strategy.as_ref());
    strategy.is_some_and(|strategy| strategy.type_.as_deref() == Some("Recreate"))
}

fn selects(deployment: &Deployment, set: &ReplicaSet) -> bool {
    deployment
        .spec
        .as_ref()
        // An invalid selector selects nothing; validation keeps it out.
        .and_then(|spec| Selector::try_from(spec.selector.clone()).ok())
        .is_some_and(|selector| selector.matches(set.labels()))
}
