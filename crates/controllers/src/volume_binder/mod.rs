//! Binds claims to volumes and follows both to their end. Makes no volumes and deletes no data itself:
//! it asks provisioners by annotation.

mod act;
mod action;
mod claim;
mod matching;
pub(crate) mod names;
#[cfg(test)]
mod tests;
mod volume;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use k8s_openapi::api::{
    core::v1::{PersistentVolume, PersistentVolumeClaim, Pod},
    storage::v1::StorageClass,
};
use kube::ResourceExt;
use plinth_client::{Change, Informer, Recorder, WorkQueue, run_workers};
use tokio::task::JoinSet;

use crate::{
    Context,
    writes::{annotation, name_of},
};
use action::{Action, Notice};
pub(crate) use action::{reference, volume_phase, volume_reference};
pub(crate) use matching::requested_class;
use matching::{claim_ref, is_promised_to};
use names::BIND_COMPLETED;

const WORKERS: usize = 4;

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Claim(String, String),
    Volume(String),
}

struct Binder {
    client: kube::Client,
    recorder: Recorder,
    claims: Informer<PersistentVolumeClaim>,
    volumes: Informer<PersistentVolume>,
    classes: Informer<StorageClass>,
    pods: Informer<Pod>,
    /// What was last told of each object, so that the same news is told once.
    told: Mutex<HashMap<Key, Notice>>,
    queue: WorkQueue<Key>,
}

/// Starts the controller.
pub(crate) fn spawn(cx: &Context, tasks: &mut JoinSet<()>) {
    let queue = cx.queue("volumes");
    let binder = Arc::new(Binder {
        client: cx.client(),
        recorder: cx.recorder("persistentvolume-controller"),
        claims: cx.informers.of(),
        volumes: cx.informers.of(),
        classes: cx.informers.of(),
        pods: cx.informers.of(),
        told: Mutex::new(HashMap::new()),
        queue: queue.clone(),
    });
    binder.subscribe(&queue);
    let shutdown = cx.shutdown.clone();
    tasks.spawn(async move {
        binder.claims.synced().await;
        binder.volumes.synced().await;
        binder.classes.synced().await;
        binder.pods.synced().await;
        run_workers(queue, WORKERS, shutdown, move |key| {
            let binder = Arc::clone(&binder);
            async move { binder.reconcile(&key).await }
        })
        .await;
    });
}

fn claim_key(claim: &PersistentVolumeClaim) -> Key {
    let (namespace, name) = name_of(claim);
    Key::Claim(namespace, name)
}

fn is_unbound(claim: &PersistentVolumeClaim) -> bool {
    annotation(claim, BIND_COMPLETED).is_none()
}

/// The claims a pod uses, by name: those it names, and those made for its ephemeral volumes.
pub(crate) fn claims_of(pod: &Pod) -> impl Iterator<Item = String> {
    let volumes = pod
        .spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter_map(|volume| match &volume.persistent_volume_claim {
        Some(source) => Some(source.claim_name.clone()),
        None => volume
            .ephemeral
            .as_ref()
            .map(|_| format!("{}-{}", pod.name_any(), volume.name)),
    })
}

impl Binder {
    fn subscribe(self: &Arc<Self>, queue: &WorkQueue<Key>) {
        let (to, binder) = (queue.clone(), Arc::clone(self));
        self.claims
            .on_change(move |change| binder.claim_changed(change, &to));
        let (to, claims) = (queue.clone(), self.claims.clone());
        self.volumes.on_change(move |change| {
            to.add(Key::Volume(change.latest().name_any()));
            for promise in change.states().filter_map(|volume| claim_ref(volume)) {
                let text = |field: &Option<String>| field.clone().unwrap_or_default();
                to.add(Key::Claim(text(&promise.namespace), text(&promise.name)));
            }
            let name = change.latest().name_any();
            let is_free = change
                .new
                .as_ref()
                .is_some_and(|volume| claim_ref(volume).is_none());
            for claim in claims.list() {
                let named = claim
                    .spec
                    .as_ref()
                    .and_then(|spec| spec.volume_name.as_deref());
                if named == Some(&name) || (is_free && is_unbound(&claim)) {
                    to.add(claim_key(&claim));
                }
            }
        });
        let (to, claims) = (queue.clone(), self.claims.clone());
        self.classes.on_change(move |change| {
            let name = change.latest().name_any();
            for claim in claims.list() {
                if is_unbound(&claim) && requested_class(&claim).is_none_or(|class| class == name) {
                    to.add(claim_key(&claim));
                }
            }
        });
        let (to, claims) = (queue.clone(), self.claims.clone());
        self.pods.on_change(move |change| {
            let on_a_node = |pod: &Arc<Pod>| {
                pod.spec
                    .as_ref()
                    .is_some_and(|spec| spec.node_name.is_some())
            };
            let Some(pod) = change.new.as_ref().filter(|pod| on_a_node(pod)) else {
                return;
            };
            if change.old.as_ref().is_some_and(on_a_node) {
                return;
            }
            let namespace = pod.namespace().unwrap_or_default();
            for name in claims_of(pod) {
                if claims
                    .get(Some(&namespace), &name)
                    .is_some_and(|claim| is_unbound(&claim))
                {
                    to.add(Key::Claim(namespace.clone(), name));
                }
            }
        });
    }

    fn claim_changed(&self, change: &Change<PersistentVolumeClaim>, queue: &WorkQueue<Key>) {
        let key = claim_key(change.latest());
        if change.new.is_none() {
            self.told
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&key);
        }
        queue.add(key);
        for claim in change.states() {
            for volume in claim
                .spec
                .iter()
                .filter_map(|spec| spec.volume_name.clone())
            {
                queue.add(Key::Volume(volume));
            }
        }
        if change.new.is_none() {
            // A promise may have been made that the claim never came to know of.
            for volume in self.volumes.list() {
                if is_promised_to(&volume, change.latest()) {
                    queue.add(Key::Volume(volume.name_any()));
                }
            }
        }
    }

    async fn reconcile(&self, key: &Key) -> Result<(), kube::Error> {
        loop {
            let actions = match key {
                Key::Claim(namespace, name) => self.plan_claim(namespace, name),
                Key::Volume(name) => self.plan_volume(name),
            };
            let mut wrote = false;
            for action in actions {
                // Volumes and claims are large, and so is a future that holds them.
                wrote |= Box::pin(self.act(key, action)).await?;
            }
            if !wrote {
                return Ok(());
            }
        }
    }

    fn plan_claim(&self, namespace: &str, name: &str) -> Vec<Action> {
        let Some(claim) = self.claims.get(Some(namespace), name) else {
            return Vec::new();
        };
        let named = claim
            .spec
            .as_ref()
            .and_then(|spec| spec.volume_name.as_deref())
            .unwrap_or_default();
        let volume = self.volumes.get(None, named);
        let (mut candidates, mut consumers) = (Vec::new(), Vec::new());
        if named.is_empty() {
            candidates = self.volumes.list();
            candidates
                .retain(|volume| claim_ref(volume).is_none() || is_promised_to(volume, &claim));
            consumers = self.pods.in_namespace(namespace);
            consumers.retain(|pod| claims_of(pod).any(|used| used == name));
        }
        let world = claim::World {
            claim: &claim,
            volume: volume.as_ref(),
            candidates: &candidates,
            classes: &self.classes.list(),
            consumers: &consumers,
        };
        claim::plan(&world, Timestamp::now())
    }

    fn plan_volume(&self, name: &str) -> Vec<Action> {
        let Some(volume) = self.volumes.get(None, name) else {
            return Vec::new();
        };
        let claim = claim_ref(&volume).and_then(|promise| {
            self.claims
                .get(promise.namespace.as_deref(), promise.name.as_deref()?)
        });
        let world = volume::World {
            volume: &volume,
            claim: claim.as_ref(),
        };
        volume::plan(&world, Timestamp::now())
    }
}
