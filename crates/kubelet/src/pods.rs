//! The pods of this node: one worker each, and at most one pod of a name at work.
//!
//! A pod keeps its name until its worker has confirmed that nothing of it runs; a later pod of that name waits,
//! whatever the API says (invariant 1, P-26). Workers of pods found in the runtime at start claim their names before
//! the API's pods are looked at.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret};
use kube::ResourceExt;
use plinth_client::{Change, Informer, Informers};
use plinth_runtime::{ContainerEvent, SandboxId};
use tokio::sync::{Notify, broadcast, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::context::Node;
use crate::identity::{PodName, PodUid, uid_of};
use crate::references::{Kind, Reference, referenced};
use crate::worker::{Desired, Worker};

/// See the module.
pub(crate) struct Pods {
    node: Arc<Node>,
    registry: Mutex<Registry>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

#[derive(Default)]
struct Registry {
    /// Workers run from the moment that all remains are known.
    open: bool,
    pods: HashMap<PodUid, Entry>,
    /// Who carries a name, first come first served.
    names: HashMap<PodName, Vec<PodUid>>,
    sandboxes: HashMap<SandboxId, PodUid>,
}

struct Entry {
    name: PodName,
    desired: watch::Sender<Desired>,
    wake: Arc<Notify>,
    references: BTreeSet<Reference>,
    running: bool,
}

impl Pods {
    /// Nothing runs until [`Pods::start`].
    pub(crate) fn new(node: Arc<Node>, shutdown: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            node,
            registry: Mutex::default(),
            tasks: TaskTracker::new(),
            shutdown,
        })
    }

    /// Adopts what the runtime has, follows the API, and lets the workers run. `pods` are those of this node.
    pub(crate) async fn start(self: &Arc<Self>, pods: &Informer<Pod>, informers: &Informers) {
        pods.synced().await;
        {
            let sandboxes = self.node.runtime.pod_sandboxes().await;
            let mut registry = self.lock();
            for sandbox in sandboxes {
                let name = PodName {
                    namespace: sandbox.config.namespace,
                    name: sandbox.config.name,
                };
                let uid = PodUid::new(&sandbox.config.uid);
                registry.sandboxes.insert(sandbox.id, uid.clone());
                registry.enter(name, &uid);
            }
        }
        let this = Arc::clone(self);
        pods.on_change(move |change| this.changed(change));
        self.open();
        let this = Arc::clone(self);
        informers
            .of::<ConfigMap>()
            .on_change(move |c| this.content(Kind::ConfigMap, c));
        let this = Arc::clone(self);
        informers
            .of::<Secret>()
            .on_change(move |c| this.content(Kind::Secret, c));
        let this = Arc::clone(self);
        informers
            .of::<PersistentVolumeClaim>()
            .on_change(move |c| this.content(Kind::Claim, c));
    }

    /// Lets go of every pod, leaving its containers as they are.
    pub(crate) async fn stop(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Wakes the workers whose containers changed, for as long as the runtime tells.
    pub(crate) async fn follow_runtime(&self, mut events: broadcast::Receiver<ContainerEvent>) {
        loop {
            match events.recv().await {
                Ok(event) => self.lock().wake(&event.sandbox),
                Err(broadcast::error::RecvError::Lagged(_)) => self.lock().wake_all(),
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    }

    /// From now on events of `sandbox` are for the pod of this UID.
    pub(crate) fn owns(&self, sandbox: &SandboxId, uid: &PodUid) {
        self.lock().sandboxes.insert(sandbox.clone(), uid.clone());
    }

    /// Nothing of the pod runs any more: its name is free.
    pub(crate) fn vacated(&self, uid: &PodUid) {
        self.lock().vacate(uid);
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on, what was found in the runtime and is not in the API is only remains.
    fn open(self: &Arc<Self>) {
        let mut registry = self.lock();
        registry.open = true;
        for entry in registry.pods.values() {
            entry.desired.send_if_modified(|d| {
                let unknown = d.pod.is_none() && !d.removed;
                d.removed |= unknown;
                unknown
            });
        }
        let uids: Vec<PodUid> = registry.pods.keys().cloned().collect();
        for uid in uids {
            self.run(&mut registry, &uid);
        }
    }

    fn changed(self: &Arc<Self>, change: &Change<Pod>) {
        let mut registry = self.lock();
        let replaced = match (&change.old, &change.new) {
            (Some(old), Some(new)) => uid_of(old) != uid_of(new),
            (Some(_), None) => true,
            (None, _) => false,
        };
        if let (Some(old), true) = (&change.old, replaced)
            && let Some(entry) = registry.pods.get(&uid_of(old))
        {
            entry.desired.send_modify(|d| {
                d.pod = Some(Arc::clone(old));
                d.removed = true;
            });
        }
        let Some(new) = &change.new else { return };
        let uid = uid_of(new);
        registry.enter(PodName::of(new), &uid);
        if let Some(entry) = registry.pods.get_mut(&uid) {
            entry.references = referenced(new);
            entry.desired.send_modify(|d| d.pod = Some(Arc::clone(new)));
        }
        if registry.open {
            self.run(&mut registry, &uid);
        }
    }

    fn run(self: &Arc<Self>, registry: &mut Registry, uid: &PodUid) {
        let Some(entry) = registry.pods.get_mut(uid).filter(|e| !e.running) else {
            return;
        };
        entry.running = true;
        let (name, wake) = (entry.name.clone(), Arc::clone(&entry.wake));
        let worker = Worker::new(
            Arc::clone(&self.node),
            Arc::clone(self),
            name,
            uid.clone(),
            entry.desired.subscribe(),
            wake,
        );
        let (this, uid, shutdown) = (Arc::clone(self), uid.clone(), self.shutdown.clone());
        self.tasks.spawn(async move {
            Box::pin(worker.run(shutdown.clone())).await;
            if !shutdown.is_cancelled() {
                this.lock().leave(&uid);
            }
        });
    }

    fn content<K: ResourceExt>(&self, kind: Kind, change: &Change<K>) {
        let object = change.latest();
        let namespace = object.namespace().unwrap_or_default();
        let reference = Reference {
            kind,
            name: object.name_any(),
        };
        for entry in self.lock().pods.values() {
            if entry.name.namespace == namespace && entry.references.contains(&reference) {
                entry.desired.send_modify(|d| d.content += 1);
            }
        }
    }
}

impl Registry {
    /// Makes an entry for the pod unless there is one. It waits for those who had the name before it.
    fn enter(&mut self, name: PodName, uid: &PodUid) {
        if self.pods.contains_key(uid) {
            return;
        }
        let holders = self.names.entry(name.clone()).or_default();
        let blocked_by = holders.last().cloned();
        holders.push(uid.clone());
        let (desired, _) = watch::channel(Desired {
            blocked_by,
            ..Desired::default()
        });
        let entry = Entry {
            name,
            desired,
            wake: Arc::new(Notify::new()),
            references: BTreeSet::new(),
            running: false,
        };
        self.pods.insert(uid.clone(), entry);
    }

    /// Gives the pod's name to the next in line.
    fn vacate(&mut self, uid: &PodUid) {
        let Some(name) = self.pods.get(uid).map(|e| e.name.clone()) else {
            return;
        };
        let Some(holders) = self.names.get_mut(&name) else {
            return;
        };
        holders.retain(|holder| holder != uid);
        for (position, holder) in holders.iter().enumerate() {
            let before = position.checked_sub(1).map(|p| holders[p].clone());
            if let Some(entry) = self.pods.get(holder) {
                entry.desired.send_if_modified(|d| {
                    let changed = d.blocked_by != before;
                    d.blocked_by = before;
                    changed
                });
            }
        }
        if holders.is_empty() {
            self.names.remove(&name);
        }
    }

    fn leave(&mut self, uid: &PodUid) {
        self.vacate(uid);
        self.pods.remove(uid);
        self.sandboxes.retain(|_, owner| owner != uid);
    }

    fn wake(&self, sandbox: &SandboxId) {
        if let Some(entry) = self
            .sandboxes
            .get(sandbox)
            .and_then(|uid| self.pods.get(uid))
        {
            entry.wake.notify_one();
        }
    }

    fn wake_all(&self) {
        for entry in self.pods.values() {
            entry.wake.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> PodName {
        PodName {
            namespace: "default".into(),
            name: "web-0".into(),
        }
    }

    fn blocked_by(registry: &Registry, uid: &PodUid) -> Option<PodUid> {
        registry.pods[uid].desired.borrow().blocked_by.clone()
    }

    #[test]
    fn p26_a_name_passes_on_only_when_its_holder_confirms_that_it_is_gone() {
        let [a, b, c] = ["a", "b", "c"].map(PodUid::new);
        let mut registry = Registry::default();
        for uid in [&a, &b, &c] {
            registry.enter(name(), uid);
        }
        assert_eq!(blocked_by(&registry, &a), None);
        assert_eq!(blocked_by(&registry, &b), Some(a.clone()));
        assert_eq!(blocked_by(&registry, &c), Some(b.clone()));
        // b was forced out before it ever ran: c then waits for a.
        registry.leave(&b);
        assert_eq!(blocked_by(&registry, &c), Some(a.clone()));
        registry.vacate(&a);
        assert_eq!(blocked_by(&registry, &c), None);
        registry.leave(&a);
        registry.leave(&c);
        assert!(registry.pods.is_empty() && registry.names.is_empty());
    }

    #[test]
    fn a_pod_seen_again_keeps_its_place() {
        let [a, b] = ["a", "b"].map(PodUid::new);
        let mut registry = Registry::default();
        registry.enter(name(), &a);
        registry.enter(name(), &b);
        registry.enter(name(), &a);
        assert_eq!(registry.names[&name()], [a, b]);
    }
}
