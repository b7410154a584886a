//! The objects an informer holds, by namespace and name. Knows neither tasks nor the network.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use kube::ResourceExt;

use crate::informer::{Change, Object};

/// Objects by namespace ("" for cluster-scoped kinds) and name.
pub(crate) struct Cache<K> {
    namespaces: HashMap<String, BTreeMap<String, Arc<K>>>,
}

impl<K: Object> Cache<K> {
    pub(crate) fn new() -> Self {
        Self {
            namespaces: HashMap::new(),
        }
    }

    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<&Arc<K>> {
        self.namespaces.get(namespace)?.get(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<K>> {
        self.namespaces.values().flat_map(BTreeMap::values)
    }

    pub(crate) fn in_namespace(&self, namespace: &str) -> impl Iterator<Item = &Arc<K>> {
        self.namespaces
            .get(namespace)
            .into_iter()
            .flat_map(BTreeMap::values)
    }

    /// Stores an object; `None` when this very version is already here.
    pub(crate) fn insert(&mut self, object: K) -> Option<Change<K>> {
        let namespace = object.namespace().unwrap_or_default();
        let name = object.name_any();
        let objects = self.namespaces.entry(namespace).or_default();
        if let Some(old) = objects.get(&name)
            && old.resource_version() == object.resource_version()
            && old.uid() == object.uid()
        {
            return None;
        }
        let new = Arc::new(object);
        let old = objects.insert(name, Arc::clone(&new));
        Some(Change {
            old,
            new: Some(new),
        })
    }

    /// Forgets an object. The change's `old` is the last state the server showed, which may be newer
    /// than what was held here.
    pub(crate) fn remove(&mut self, last: K) -> Option<Change<K>> {
        let namespace = last.namespace().unwrap_or_default();
        let objects = self.namespaces.get_mut(&namespace)?;
        objects.remove(&last.name_any())?;
        if objects.is_empty() {
            self.namespaces.remove(&namespace);
        }
        Some(Change {
            old: Some(Arc::new(last)),
            new: None,
        })
    }

    /// Makes the cache equal to a full list and tells only what differs, deletions first.
    pub(crate) fn replace(&mut self, objects: Vec<K>) -> Vec<Change<K>> {
        let listed: HashSet<(String, String)> = objects
            .iter()
            .map(|o| (o.namespace().unwrap_or_default(), o.name_any()))
            .collect();
        let mut changes = Vec::new();
        self.namespaces.retain(|namespace, held| {
            held.retain(|name, object| {
                let keep = listed.contains(&(namespace.clone(), name.clone()));
                if !keep {
                    changes.push(Change {
                        old: Some(Arc::clone(object)),
                        new: None,
                    });
                }
                keep
            });
            !held.is_empty()
        });
        changes.extend(objects.into_iter().filter_map(|o| self.insert(o)));
        changes
    }
}
