//! The ReplicaSet controller, which serves ReplicationControllers too: keeps a number of interchangeable
//! pods. Here is only the wiring.
//!
//! `plan` decides and is pure, with `victims` for who goes when there are too many (D-6) and `status` for
//! what is reported; `act` executes. `kind` is all that the two kinds differ in.

mod act;
mod kind;
mod plan;
mod status;
#[cfg(test)]
mod tests;
mod victims;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::{apps::v1::ReplicaSet, core::v1::Pod};
use kube::ResourceExt;
use kube::core::{Selector, SelectorExt};
use plinth_client::{Informer, Recorder, WorkQueue, run_workers};
use tokio::task::JoinSet;

#[cfg(test)]
pub(crate) use self::plan::Plan;
pub(crate) use self::plan::{World, plan};
use self::{act::Actor, kind::Kind};
use crate::{
    Context,
    index::Index,
    ownership,
    writes::{Name, name_of},
};

const WORKERS: usize = 5;

struct Controller<K> {
    client: kube::Client,
    recorder: Recorder,
    sets: Informer<K>,
    pods: Index<Pod>,
    queue: WorkQueue<Name>,
}

/// Starts the controller of one of the kinds.
pub(crate) fn spawn<K: Kind>(cx: &Context, pods: &Index<Pod>, tasks: &mut JoinSet<()>) {
    let controller = Arc::new(Controller::<K> {
        client: cx.client(),
        recorder: cx.recorder(K::COMPONENT),
        sets: cx.informers.of(),
        pods: pods.clone(),
        queue: cx.queue(K::QUEUE),
    });
    controller.listen();
    let shutdown = cx.shutdown.clone();
    tasks.spawn(async move {
        controller.sets.synced().await;
        controller.pods.informer().synced().await;
        let queue = controller.queue.clone();
        run_workers(queue, WORKERS, shutdown, move |key| {
            let controller = Arc::clone(&controller);
            async move { controller.reconcile(&key).await }
        })
        .await;
    });
}

impl<K: Kind> Controller<K> {
    fn listen(&self) {
        let queue = self.queue.clone();
        self.sets
            .on_change(move |change| queue.add(name_of(&**change.latest())));
        let (queue, sets) = (self.queue.clone(), self.sets.clone());
        self.pods.informer().on_change(move |change| {
            ownership::wake(&sets, change, |set, pod| selects(&set.set(), pod), &queue);
        });
    }

    async fn reconcile(&self, key: &Name) -> Result<(), kube::Error> {
        let (namespace, name) = key;
        let Some(object) = self.sets.get(Some(namespace), name) else {
            return Ok(());
        };
        let set = object.set();
        let uid = object.uid().unwrap_or_default();
        let world = World {
            set: &set,
            owner: &ownership::controlled_by(&*object),
            pods: &self.pods.owned_or_free(namespace, &uid),
            related: &|| self.related(&set),
        };
        let Some(plan) = plan(&world, Timestamp::now()) else {
            return Ok(());
        };
        if let Some(delay) = plan.again_in() {
            self.queue.add_after(key.clone(), delay);
        }
        let actor = Actor {
            client: &self.client,
            recorder: &self.recorder,
            object: &object,
            sets: &self.sets,
            pods: self.pods.informer(),
        };
        actor.act(&world, plan).await
    }

    /// The pods of every set with the same controller: a Deployment's pods share its nodes (D-6).
    fn related(&self, set: &ReplicaSet) -> Vec<Arc<Pod>> {
        let Some(owner) = ownership::controller(set) else {
            return Vec::new();
        };
        let namespace = set.namespace().unwrap_or_default();
        let siblings = self.sets.in_namespace(&namespace).into_iter();
        siblings
            .filter(|sibling| {
                ownership::controller(&**sibling).is_some_and(|other| other.uid == owner.uid)
            })
            .flat_map(|sibling| {
                let uid = sibling.uid().unwrap_or_default();
                self.pods.owned(&namespace, &uid)
            })
            .collect()
    }
}

fn selects(set: &ReplicaSet, pod: &Pod) -> bool {
    set.spec
        .as_ref()
        // An invalid selector selects nothing; validation keeps it out.
        .and_then(|spec| Selector::try_from(spec.selector.clone()).ok())
        .is_some_and(|selector| selector.matches(pod.labels()))
}
