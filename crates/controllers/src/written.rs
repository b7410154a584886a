//! Remembers what a round has written until the informer shows it: reading one's own writes (C-4).
//! Knows nothing of why it was written.

use std::{
    marker::PhantomData,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use plinth_client::{Informer, Object};

use crate::writes::{is_terminating, revision};

/// The newest write of a kind, and the deletions.
pub(crate) struct Written<K> {
    newest: AtomicU64,
    /// Namespace, name and UID.
    deleted: Mutex<Vec<(String, String, String)>>,
    kind: PhantomData<fn() -> K>,
}

impl<K> Default for Written<K> {
    fn default() -> Self {
        Self {
            newest: AtomicU64::default(),
            deleted: Mutex::default(),
            kind: PhantomData,
        }
    }
}

impl<K: Object> Written<K> {
    /// The answer to a write.
    pub(crate) fn note(&self, object: &K) {
        self.newest.fetch_max(revision(object), Ordering::Relaxed);
    }

    /// A deletion's answer does not always carry the revision of the deletion, so its effect is
    /// awaited instead.
    pub(crate) fn deleted(&self, namespace: &str, name: &str, uid: &str) {
        self.deleted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((namespace.to_owned(), name.to_owned(), uid.to_owned()));
    }

    /// Waits until all of it is visible.
    pub(crate) async fn visible(self, informer: &Informer<K>) {
        informer.seen(self.newest.into_inner()).await;
        let deleted = self.deleted.into_inner();
        for (namespace, name, uid) in deleted.unwrap_or_else(PoisonError::into_inner) {
            let gone = |object: Option<&K>| {
                object.is_none_or(|object| {
                    object.meta().uid.as_ref() != Some(&uid) || is_terminating(object)
                })
            };
            informer.until(Some(&namespace), &name, gone).await;
        }
    }
}
