//! Objects by namespace and name, ordered, shared and copied on write: cloning is one reference count, and a write
//! beside a living clone copies one namespace's pointers, never the objects.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::Object;

type Names = BTreeMap<Box<str>, Arc<Object>>;

/// An ordered set of objects.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    namespaces: Arc<BTreeMap<Box<str>, Arc<Names>>>,
}

impl Tree {
    /// One object.
    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<&Arc<Object>> {
        self.namespaces.get(namespace)?.get(name)
    }

    /// Puts an object in the place its header says.
    pub(crate) fn insert(&mut self, object: Arc<Object>) {
        let namespaces = Arc::make_mut(&mut self.namespaces);
        let namespace = object.header.namespace.as_str();
        if !namespaces.contains_key(namespace) {
            namespaces.insert(namespace.into(), Arc::default());
        }
        if let Some(names) = namespaces.get_mut(namespace) {
            Arc::make_mut(names).insert(object.header.name.as_str().into(), object);
        }
    }

    /// Takes an object out, if it is there.
    pub(crate) fn remove(&mut self, namespace: &str, name: &str) {
        let namespaces = Arc::make_mut(&mut self.namespaces);
        if let Some(names) = namespaces.get_mut(namespace) {
            Arc::make_mut(names).remove(name);
            if names.is_empty() {
                namespaces.remove(namespace);
            }
        }
    }

    /// Objects in the order of namespace and name, of one namespace or of all, after a given place.
    pub(crate) fn iter<'t>(
        &'t self,
        namespace: Option<&'t str>,
        after: Option<(&'t str, &'t str)>,
    ) -> impl Iterator<Item = &'t Arc<Object>> {
        let from = match (namespace, after) {
            (Some(namespace), _) | (None, Some((namespace, _))) => Bound::Included(namespace),
            (None, None) => Bound::Unbounded,
        };
        let to = namespace.map_or(Bound::Unbounded, Bound::Included);
        self.namespaces
            .range::<str, _>((from, to))
            .flat_map(move |(namespace, names)| {
                let from = match after {
                    Some((place, name)) if place == &**namespace => Bound::Excluded(name),
                    _ => Bound::Unbounded,
                };
                names
                    .range::<str, _>((from, Bound::Unbounded))
                    .map(|(_, object)| object)
            })
    }

    /// How many objects there are, in one namespace or in all.
    pub(crate) fn len(&self, namespace: Option<&str>) -> usize {
        match namespace {
            Some(namespace) => self
                .namespaces
                .get(namespace)
                .map_or(0, |names| names.len()),
            None => self.namespaces.values().map(|names| names.len()).sum(),
        }
    }
}
