//! Finds the objects that a controller owns, and those nobody does, without looking at the others.
//! Knows no kind.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kube::ResourceExt;
use plinth_client::{Informer, Object};

use crate::ownership::controller;

/// An informer's objects by controller. Clones share one index.
pub(crate) struct Index<K> {
    informer: Informer<K>,
    names: Arc<Mutex<Names>>,
}

impl<K> Clone for Index<K> {
    fn clone(&self) -> Self {
        Self {
            informer: self.informer.clone(),
            names: Arc::clone(&self.names),
        }
    }
}

/// Names, by namespace and by the UID of the controller: "" for the objects that have none.
#[derive(Default)]
struct Names(HashMap<String, HashMap<String, BTreeSet<String>>>);

impl<K: Object> Index<K> {
    /// Indexes what the informer holds, now and ever after.
    pub(crate) fn new(informer: Informer<K>) -> Self {
        let names = Arc::new(Mutex::new(Names::default()));
        let kept = Arc::clone(&names);
        informer.on_change(move |change| {
            let mut names = lock(&kept);
            if let Some(old) = &change.old {
                names.remove(&**old);
            }
            if let Some(new) = &change.new {
                names.add(&**new);
            }
        });
        Self { informer, names }
    }

    /// The informer behind it.
    pub(crate) fn informer(&self) -> &Informer<K> {
        &self.informer
    }

    /// The objects in a namespace that are controlled by that UID or by nobody.
    pub(crate) fn owned_or_free(&self, namespace: &str, uid: &str) -> Vec<Arc<K>> {
        self.of(namespace, &[uid, ""])
    }

    /// The objects in a namespace that are controlled by that UID.
    pub(crate) fn owned(&self, namespace: &str, uid: &str) -> Vec<Arc<K>> {
        self.of(namespace, &[uid])
    }

    fn of(&self, namespace: &str, uids: &[&str]) -> Vec<Arc<K>> {
        let names: Vec<String> = {
            let names = lock(&self.names);
            let owners = names.0.get(namespace);
            let of = |uid: &&str| owners.and_then(|owners| owners.get(*uid));
            uids.iter().filter_map(of).flatten().cloned().collect()
        };
        names
            .iter()
            .filter_map(|name| self.informer.get(Some(namespace), name))
            .collect()
    }
}

impl Names {
    fn add<K: Object>(&mut self, object: &K) {
        let owners = self.0.entry(object.namespace().unwrap_or_default());
        let names = owners.or_default().entry(controller_uid(object));
        names.or_default().insert(object.name_any());
    }

    /// Removes the name wherever it stands: a deletion tells the last state the server knew, whose
    /// controller may differ from the one indexed.
    fn remove<K: Object>(&mut self, object: &K) {
        let namespace = object.namespace().unwrap_or_default();
        let name = object.name_any();
        let Some(owners) = self.0.get_mut(&namespace) else {
            return;
        };
        let uid = controller_uid(object);
        let found = owners
            .get_mut(&uid)
            .is_some_and(|names| names.remove(&name));
        if !found {
            for names in owners.values_mut() {
                names.remove(&name);
            }
        }
        owners.retain(|_, names| !names.is_empty());
        if owners.is_empty() {
            self.0.remove(&namespace);
        }
    }
}

fn controller_uid<K: Object>(object: &K) -> String {
    controller(object)
        .map(|owner| owner.uid.clone())
        .unwrap_or_default()
}

/// Every edit under the lock leaves the names whole, so a poisoned lock holds good ones.
fn lock(names: &Mutex<Names>) -> MutexGuard<'_, Names> {
    names.lock().unwrap_or_else(PoisonError::into_inner)
}
