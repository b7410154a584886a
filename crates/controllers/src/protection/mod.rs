//! Keeps claims that pods use, and volumes that are bound, from vanishing. Decides only about its two
//! finalizers.

mod plan;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::{
    Api, ResourceExt,
    api::{ListParams, PostParams},
};
use plinth_client::{Informer, WorkQueue, run_workers};
use tokio::task::JoinSet;

use crate::{
    Context,
    volume_binder::claims_of,
    writes::{is_terminating, name_of, unless_outrun},
};

const WORKERS: usize = 2;

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Claim(String, String),
    Volume(String),
}

struct Protection {
    client: kube::Client,
    claims: Informer<PersistentVolumeClaim>,
    volumes: Informer<PersistentVolume>,
    pods: Informer<Pod>,
}

/// Starts the controller.
pub(crate) fn spawn(cx: &Context, tasks: &mut JoinSet<()>) {
    let protection = Arc::new(Protection {
        client: cx.client(),
        claims: cx.informers.of(),
        volumes: cx.informers.of(),
        pods: cx.informers.of(),
    });
    let queue = WorkQueue::new();
    protection.subscribe(&queue);
    let shutdown = cx.shutdown.clone();
    tasks.spawn(async move {
        protection.claims.synced().await;
        protection.volumes.synced().await;
        protection.pods.synced().await;
        run_workers(queue, WORKERS, shutdown, move |key| {
            let protection = Arc::clone(&protection);
            async move { protection.reconcile(key).await }
        })
        .await;
    });
}

impl Protection {
    fn subscribe(&self, queue: &WorkQueue<Key>) {
        let to = queue.clone();
        self.claims.on_change(move |change| {
            let (namespace, name) = name_of(&**change.latest());
            to.add(Key::Claim(namespace, name));
        });
        let to = queue.clone();
        self.volumes
            .on_change(move |change| to.add(Key::Volume(change.latest().name_any())));
        let (to, claims) = (queue.clone(), self.claims.clone());
        self.pods.on_change(move |change| {
            let pod = change.latest();
            let namespace = pod.namespace().unwrap_or_default();
            for name in claims_of(pod) {
                if claims
                    .get(Some(&namespace), &name)
                    .is_some_and(|claim| is_terminating(&*claim))
                {
                    to.add(Key::Claim(namespace.clone(), name));
                }
            }
        });
    }

    async fn reconcile(&self, key: Key) -> Result<(), kube::Error> {
        let post = PostParams::default();
        match key {
            Key::Claim(namespace, name) => {
                let Some(claim) = self.claims.get(Some(&namespace), &name) else {
                    return Ok(());
                };
                let Some(mut changed) =
                    plan::plan_claim(&claim, &self.pods.in_namespace(&namespace))
                else {
                    return Ok(());
                };
                if is_terminating(&*claim) {
                    // The last look is at the API itself: a pod that was bound a moment ago counts.
                    let pods: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
                    let pods = pods.list(&ListParams::default()).await?.items;
                    let pods: Vec<Arc<Pod>> = pods.into_iter().map(Arc::new).collect();
                    let Some(still) = plan::plan_claim(&claim, &pods) else {
                        return Ok(());
                    };
                    changed = still;
                }
                let claims: Api<PersistentVolumeClaim> =
                    Api::namespaced(self.client.clone(), &namespace);
                unless_outrun(claims.replace(&name, &post, &changed).await)?;
            }
            Key::Volume(name) => {
                let Some(changed) = self
                    .volumes
                    .get(None, &name)
                    .and_then(|volume| plan::plan_volume(&volume))
                else {
                    return Ok(());
                };
                let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
                unless_outrun(volumes.replace(&name, &post, &changed).await)?;
            }
        }
        Ok(())
    }
}
