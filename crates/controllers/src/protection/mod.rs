//! Keeps claims that pods use, volumes that are bound, and classes that these have from vanishing. Decides
//! only about its finalizers.

mod plan;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use k8s_openapi::api::{
    core::v1::{PersistentVolume, PersistentVolumeClaim, Pod},
    storage::v1::VolumeAttributesClass,
};
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
    Class(String),
}

struct Protection {
    client: kube::Client,
    claims: Informer<PersistentVolumeClaim>,
    volumes: Informer<PersistentVolume>,
    pods: Informer<Pod>,
    classes: Informer<VolumeAttributesClass>,
}

/// Starts the controller.
pub(crate) fn spawn(cx: &Context, tasks: &mut JoinSet<()>) {
    let protection = Arc::new(Protection {
        client: cx.client(),
        claims: cx.informers.of(),
        volumes: cx.informers.of(),
        pods: cx.informers.of(),
        classes: cx.informers.of(),
    });
    let queue = cx.queue("pvcprotection");
    protection.subscribe(&queue);
    let shutdown = cx.shutdown.clone();
    tasks.spawn(async move {
        protection.claims.synced().await;
        protection.volumes.synced().await;
        protection.pods.synced().await;
        protection.classes.synced().await;
        run_workers(queue, WORKERS, shutdown, move |key| {
            let protection = Arc::clone(&protection);
            async move { protection.reconcile(key).await }
        })
        .await;
    });
}

/// Has another look at classes that wait for their last user.
fn add_going(to: &WorkQueue<Key>, classes: &Informer<VolumeAttributesClass>) {
    for class in classes
        .list()
        .iter()
        .filter(|class| is_terminating(&***class))
    {
        to.add(Key::Class(class.name_any()));
    }
}

impl Protection {
    fn subscribe(&self, queue: &WorkQueue<Key>) {
        let (to, classes) = (queue.clone(), self.classes.clone());
        self.claims.on_change(move |change| {
            let (namespace, name) = name_of(&**change.latest());
            to.add(Key::Claim(namespace, name));
            add_going(&to, &classes);
        });
        let (to, classes) = (queue.clone(), self.classes.clone());
        self.volumes.on_change(move |change| {
            to.add(Key::Volume(change.latest().name_any()));
            add_going(&to, &classes);
        });
        let to = queue.clone();
        self.classes
            .on_change(move |change| to.add(Key::Class(change.latest().name_any())));
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
            Key::Class(name) => {
                let (claims, volumes) = (self.claims.list(), self.volumes.list());
                let class = self.classes.get(None, &name);
                let Some(changed) =
                    class.and_then(|class| plan::plan_class(&class, &claims, &volumes))
                else {
                    return Ok(());
                };
                let classes: Api<VolumeAttributesClass> = Api::all(self.client.clone());
                unless_outrun(classes.replace(&name, &post, &changed).await)?;
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
