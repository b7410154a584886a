//! The informers of a process, each kept true by one task. Knows nothing of what readers do with them.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use kube::{
    Client, Resource,
    api::{ApiResource, DynamicObject, PartialObjectMeta},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    informer::{Informer, Object},
    reflector::Reflector,
};

/// Hands out one shared informer per kind and selection.
///
/// Cheap to clone; all clones share the same informers. The tasks behind them live until
/// [`Informers::shutdown`].
#[derive(Clone)]
pub struct Informers {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    started: Mutex<HashMap<Selection, Box<dyn Any + Send + Sync>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

#[derive(PartialEq, Eq, Hash)]
struct Selection {
    kind: TypeId,
    path: String,
    fields: String,
}

impl Informers {
    /// A factory on that client. Nothing is read before the first informer is asked for.
    pub fn new(client: Client) -> Self {
        Self {
            inner: Arc::new(Inner {
                client,
                started: Mutex::new(HashMap::new()),
                tasks: TaskTracker::new(),
                stop: CancellationToken::new(),
            }),
        }
    }

    /// The client that the informers read through.
    pub fn client(&self) -> &Client {
        &self.inner.client
    }

    /// The informer of every object of a kind. Must be called inside a tokio runtime.
    pub fn of<K: Object + Resource<DynamicType = ()>>(&self) -> Informer<K> {
        self.start(K::url_path(&(), None), "")
    }

    /// The informer of the objects that a field selector takes, such as `spec.nodeName=n1`.
    pub fn selected<K: Object + Resource<DynamicType = ()>>(&self, fields: &str) -> Informer<K> {
        self.start(K::url_path(&(), None), fields)
    }

    /// The informer of every object of a kind that is known by name only, holding metadata alone.
    pub fn metadata(&self, kind: &ApiResource) -> Informer<PartialObjectMeta<DynamicObject>> {
        self.start(DynamicObject::url_path(kind, None), "")
    }

    /// Ends all informers and waits for their tasks. What they hold stays readable but grows stale.
    pub async fn shutdown(&self) {
        self.inner.stop.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    fn start<K: Object>(&self, path: String, fields: &str) -> Informer<K> {
        let mut started = self
            .inner
            .started
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let selection = Selection {
            kind: TypeId::of::<K>(),
            path: path.clone(),
            fields: fields.to_owned(),
        };
        if let Some(informer) = started
            .get(&selection)
            .and_then(|any| any.downcast_ref::<Informer<K>>())
        {
            return informer.clone();
        }
        let informer = Informer::new();
        let reflector = Reflector::new(self.inner.client.clone(), path, fields, informer.clone());
        let stop = self.inner.stop.clone();
        self.inner
            .tasks
            .spawn(async move { stop.run_until_cancelled(reflector.run()).await });
        started.insert(selection, Box::new(informer.clone()));
        informer
    }
}
