//! Deletes what nobody owns any more, of every kind. Knows owner references and finalizers, nothing of
//! what objects mean.
//!
//! Driven by events alone: an object is looked at when its owners, finalizers or deletion change, and
//! when one of its owners goes. An owner counts as gone only if it was seen to go or the API says so. Kinds
//! of CustomResourceDefinitions are followed as they come and go.

mod act;
mod graph;
mod plan;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use plinth_client::{Change, Recorder, WorkQueue, run_workers};
use tokio::task::JoinSet;

use crate::{
    Context,
    kinds::{Kind, Kinds, Metadata, Turn},
};
use graph::{Graph, Key, Sought, owners};
use plan::{Dependent, Owner, World, awaits_dependents, awaits_orphaning, plan};

const WORKERS: usize = 4;

struct Collector {
    client: kube::Client,
    recorder: Recorder,
    kinds: Kinds,
    graph: Mutex<Graph>,
    queue: WorkQueue<Key>,
}

/// Starts the controller.
pub(crate) fn spawn(cx: &Context, kinds: &Kinds, tasks: &mut JoinSet<()>) {
    let collector = Arc::new(Collector {
        client: cx.client(),
        recorder: cx.recorder("garbage-collector-controller"),
        kinds: kinds.clone(),
        graph: Mutex::default(),
        queue: cx.queue("garbage_collector_attempt_to_delete"),
    });
    for (index, kind) in kinds.list() {
        collector.listen(index, &kind);
    }
    let following = Arc::clone(&collector);
    kinds.follow(move |index, kind, turn| following.turned(index, kind, turn));
    let shutdown = cx.shutdown.clone();
    tasks.spawn(async move {
        collector.kinds.synced().await;
        run_workers(collector.queue.clone(), WORKERS, shutdown, move |key| {
            let collector = Arc::clone(&collector);
            async move { collector.reconcile(&key).await }
        })
        .await;
    });
}

/// A change matters here if it touches ownership or deletion.
fn matters(old: &ObjectMeta, new: &ObjectMeta) -> bool {
    owners(old) != owners(new)
        || old.finalizers != new.finalizers
        || old.deletion_timestamp.is_some() != new.deletion_timestamp.is_some()
}

fn key_of(kind: usize, meta: &ObjectMeta) -> Key {
    Key {
        kind,
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
    }
}

impl Collector {
    fn graph(&self) -> MutexGuard<'_, Graph> {
        // Edits under this lock leave it whole even if they are broken off.
        self.graph.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(self: &Arc<Self>, index: usize, kind: &Arc<Kind>) {
        let (collector, of) = (Arc::clone(self), kind.resource.kind.clone());
        kind.informer
            .on_change(move |change| collector.changed(index, &of, change));
    }

    /// A custom kind has come: whoever was owned by something unknown is looked at again. Or it has gone, and
    /// all its objects with it.
    fn turned(self: &Arc<Self>, index: usize, kind: &Arc<Kind>, turn: &Turn) {
        if matches!(turn, Turn::Went) {
            for object in kind.informer.list() {
                let gone = Change {
                    old: Some(object),
                    new: None,
                };
                self.changed(index, &kind.resource.kind, &gone);
            }
            return;
        }
        self.listen(index, kind);
        for (index, dependents) in self.kinds.list() {
            for dependent in dependents.informer.list() {
                let meta = &dependent.metadata;
                if owners(meta).iter().any(|owner| kind.is_named_by(owner)) {
                    self.queue.add(key_of(index, meta));
                }
            }
        }
    }

    fn changed(&self, kind: usize, of: &str, change: &Change<Metadata>) {
        let latest = &change.latest().metadata;
        let key = key_of(kind, latest);
        let old = change.old.as_ref().map(|object| &object.metadata);
        let new = change.new.as_ref().map(|object| &object.metadata);
        let mut graph = self.graph();
        graph.relate(
            &key,
            old.map(owners).unwrap_or_default(),
            new.map(owners).unwrap_or_default(),
        );
        let mut affected: Vec<Key> = Vec::new();
        if let Some(gone) = old.filter(|old| new.is_none_or(|new| new.uid != old.uid)) {
            let uid = gone.uid.clone().unwrap_or_default();
            affected.extend(graph.dependents(&uid));
            graph.mark_absent(Sought {
                uid,
                kind: of.to_owned(),
                namespace: key.namespace.clone(),
                name: key.name.clone(),
            });
        }
        if let Some(new) = new
            && old.is_none_or(|old| old.uid != new.uid || matters(old, new))
        {
            if !owners(new).is_empty() || awaits_dependents(new) || awaits_orphaning(new) {
                affected.push(key);
            }
            if awaits_dependents(new) {
                affected.extend(graph.dependents(new.uid.as_deref().unwrap_or_default()));
            }
        }
        drop(graph);
        // An owner that waits for its dependents may have lost one of them.
        for owner in old.map(owners).unwrap_or_default() {
            if let Some((key, owner)) = self.find(owner, latest)
                && awaits_dependents(&owner.metadata)
            {
                affected.push(key);
            }
        }
        for key in affected {
            self.queue.add(key);
        }
    }

    /// The object an owner reference names, if it is known here under that UID.
    fn find(&self, owner: &OwnerReference, dependent: &ObjectMeta) -> Option<(Key, Arc<Metadata>)> {
        let (index, kind) = self.kinds.of_owner(owner)?;
        let namespace = if kind.is_namespaced {
            dependent.namespace.as_deref()?
        } else {
            ""
        };
        let found = kind.informer.get(Some(namespace), &owner.name)?;
        let key = Key {
            kind: index,
            namespace: namespace.to_owned(),
            name: owner.name.clone(),
        };
        (found.metadata.uid.as_deref() == Some(&owner.uid)).then_some((key, found))
    }

    fn owner(&self, owner: &OwnerReference, dependent: &ObjectMeta) -> Owner {
        let Some((_, kind)) = self.kinds.of_owner(owner) else {
            // Its kind is not served, or not any more: only what was seen to go is gone.
            let namespace = dependent.namespace.as_deref().unwrap_or_default();
            let graph = self.graph();
            let mut places = ["", namespace].into_iter();
            let gone = places.any(|place| graph.is_absent(&Sought::new(owner, place)));
            return if gone { Owner::Absent } else { Owner::Present };
        };
        if kind.is_namespaced && dependent.namespace.is_none() {
            return Owner::Present;
        }
        if let Some((_, found)) = self.find(owner, dependent) {
            return if awaits_dependents(&found.metadata) {
                Owner::AwaitsDependents
            } else {
                Owner::Present
            };
        }
        if self.graph().is_absent(&self.sought(owner, dependent)) {
            Owner::Absent
        } else {
            Owner::Unknown
        }
    }

    fn sought(&self, owner: &OwnerReference, dependent: &ObjectMeta) -> Sought {
        let is_namespaced = self
            .kinds
            .of_owner(owner)
            .is_some_and(|(_, kind)| kind.is_namespaced);
        let namespace = dependent
            .namespace
            .as_deref()
            .filter(|_| is_namespaced)
            .unwrap_or_default();
        Sought::new(owner, namespace)
    }

    fn dependents(&self, meta: &ObjectMeta) -> Vec<Dependent> {
        let uid = meta.uid.as_deref().unwrap_or_default();
        let keys = self.graph().dependents(uid);
        keys.iter()
            .filter_map(|key| {
                let dependent = self
                    .kinds
                    .get(key.kind)?
                    .informer
                    .get(Some(&key.namespace), &key.name)?;
                let reference = owners(&dependent.metadata)
                    .iter()
                    .find(|owner| owner.uid == uid)?;
                Some(Dependent {
                    blocks: reference.block_owner_deletion == Some(true),
                    awaits_dependents: awaits_dependents(&dependent.metadata),
                })
            })
            .collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<(), kube::Error> {
        let Some(kind) = self.kinds.get(key.kind) else {
            return Ok(());
        };
        let Some(object) = kind.informer.get(Some(&key.namespace), &key.name) else {
            return Ok(());
        };
        let meta = &object.metadata;
        let owners: Vec<(OwnerReference, Owner)> = owners(meta)
            .iter()
            .map(|owner| (owner.clone(), self.owner(owner, meta)))
            .collect();
        let world = World {
            meta,
            owners: &owners,
            dependents: &self.dependents(meta),
        };
        for action in plan(&world) {
            self.act(key, &kind, meta, action).await?;
        }
        Ok(())
    }
}
