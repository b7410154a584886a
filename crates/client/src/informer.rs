//! The read side of a shared informer: what exists now, and what changes. Knows nothing of how it
//! is kept true.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use kube::Resource;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::cache::Cache;

/// A kind that an informer can hold: every k8s-openapi object, and kube's `PartialObjectMeta`.
pub trait Object: Resource + DeserializeOwned + Debug + Send + Sync + 'static {}
impl<K: Resource + DeserializeOwned + Debug + Send + Sync + 'static> Object for K {}

/// One step of one object: created (`old` is `None`), changed, or deleted (`new` is `None`).
///
/// After a reconnection several steps may arrive as one; an object that was deleted and made again
/// under the same name meanwhile shows as a change between two UIDs.
#[derive(Debug)]
pub struct Change<K> {
    /// What was known before. For a deletion: the last state the server showed.
    pub old: Option<Arc<K>>,
    /// What is known now.
    pub new: Option<Arc<K>>,
}

impl<K> Change<K> {
    /// The newest state this change speaks of.
    pub fn latest(&self) -> &Arc<K> {
        self.new
            .as_ref()
            .or(self.old.as_ref())
            // A change is only ever made from an insertion or a removal.
            .expect("a change has a state before or after")
    }

    /// Both states, newest last: for handlers that must look at old and new owners alike.
    pub fn states(&self) -> impl Iterator<Item = &Arc<K>> {
        self.old.iter().chain(self.new.iter())
    }
}

type Handler<K> = Box<dyn Fn(&Change<K>) + Send + Sync>;

/// How far an informer has come: `None` until the first list is in.
pub(crate) type Progress = Option<u64>;

pub(crate) struct Shared<K> {
    cache: RwLock<Cache<K>>,
    /// Held while a change is applied and delivered, so that a handler sees each change exactly once
    /// and in order, even one that is added between two changes.
    handlers: Mutex<Vec<Handler<K>>>,
    progress: watch::Sender<Progress>,
}

/// A shared, always current view of all objects of a kind (or of a selection of them).
pub struct Informer<K> {
    shared: Arc<Shared<K>>,
}

impl<K> Clone for Informer<K> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<K: Object> Informer<K> {
    pub(crate) fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                cache: RwLock::new(Cache::new()),
                handlers: Mutex::new(Vec::new()),
                progress: watch::Sender::new(None),
            }),
        }
    }

    /// The object of that name; `namespace` is `None` for cluster-scoped kinds.
    pub fn get(&self, namespace: Option<&str>, name: &str) -> Option<Arc<K>> {
        self.read(|cache| cache.get(namespace.unwrap_or_default(), name).cloned())
    }

    /// Every object, in no promised order between namespaces.
    pub fn list(&self) -> Vec<Arc<K>> {
        self.read(|cache| cache.iter().cloned().collect())
    }

    /// Every object of one namespace, by name.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        self.read(|cache| cache.in_namespace(namespace).cloned().collect())
    }

    /// Calls `handler` for every object there is now (as creations) and then for every change, in
    /// order, from the informer's own task.
    ///
    /// A handler must not block: all readers of this kind wait for it. It may read informers; it must
    /// not call `on_change` of the same informer.
    pub fn on_change(&self, handler: impl Fn(&Change<K>) + Send + Sync + 'static) {
        let mut handlers = lock(&self.shared.handlers);
        for object in self.list() {
            handler(&Change {
                old: None,
                new: Some(object),
            });
        }
        handlers.push(Box::new(handler));
    }

    /// Waits until the first list is in. Pends for ever when the informers were shut down before.
    pub async fn synced(&self) {
        self.progressed(Option::is_some).await;
    }

    /// Waits until everything up to `revision` (a resourceVersion that a write of this kind returned)
    /// is visible here and was delivered to the handlers: reading one's own writes.
    pub async fn seen(&self, revision: u64) {
        self.progressed(|progress| progress.is_some_and(|at| at >= revision))
            .await;
    }

    /// Waits until `condition` holds for the object of that name (`None` when it does not exist),
    /// looking again at every change.
    pub async fn until(
        &self,
        namespace: Option<&str>,
        name: &str,
        condition: impl Fn(Option<&K>) -> bool,
    ) {
        self.progressed(|progress| {
            progress.is_some() && condition(self.get(namespace, name).as_deref())
        })
        .await;
    }

    async fn progressed(&self, reached: impl Fn(&Progress) -> bool) {
        let mut progress = self.shared.progress.subscribe();
        // The sender lives in `self.shared`, so the channel cannot be closed while we wait.
        let _ = progress.wait_for(|at| reached(at)).await;
    }

    pub(crate) fn apply(&self, object: K, revision: u64) {
        self.change(Some(revision), |cache| {
            cache.insert(object).into_iter().collect()
        });
    }

    pub(crate) fn delete(&self, last: K, revision: u64) {
        self.change(Some(revision), |cache| {
            cache.remove(last).into_iter().collect()
        });
    }

    pub(crate) fn replace(&self, objects: Vec<K>, revision: u64) {
        self.change(Some(revision), |cache| cache.replace(objects));
    }

    /// A bookmark: nothing changed up to `revision`.
    pub(crate) fn advance(&self, revision: u64) {
        self.change(Some(revision), |_| Vec::new());
    }

    fn change(&self, revision: Progress, edit: impl FnOnce(&mut Cache<K>) -> Vec<Change<K>>) {
        let handlers = lock(&self.shared.handlers);
        let changes = edit(
            &mut self
                .shared
                .cache
                .write()
                .unwrap_or_else(PoisonError::into_inner),
        );
        for change in &changes {
            for handler in handlers.iter() {
                handler(change);
            }
        }
        self.shared.progress.send_replace(revision);
    }

    fn read<T>(&self, f: impl FnOnce(&Cache<K>) -> T) -> T {
        f(&self
            .shared
            .cache
            .read()
            .unwrap_or_else(PoisonError::into_inner))
    }
}

/// A handler that panicked did so outside any half-made edit, so the data behind the lock is whole.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
