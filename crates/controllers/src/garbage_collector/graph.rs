//! Who names whom as owner. Holds references only; the objects themselves are in the informers.

use std::collections::{HashMap, HashSet, VecDeque};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

/// Owners known to be gone that are remembered; the oldest is forgotten first and then asked for again.
const REMEMBERED: usize = 4096;

/// An object: the index of its kind, its namespace ("" for none) and name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) kind: usize,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// An owner as a dependent in some namespace sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Sought {
    pub(crate) uid: String,
    pub(crate) kind: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Sought {
    pub(crate) fn new(reference: &OwnerReference, namespace: &str) -> Self {
        Self {
            uid: reference.uid.clone(),
            kind: reference.kind.clone(),
            namespace: namespace.to_owned(),
            name: reference.name.clone(),
        }
    }
}

/// The ownership of all objects.
#[derive(Default)]
pub(crate) struct Graph {
    /// By the owner's UID.
    dependents: HashMap<String, HashSet<Key>>,
    absent: HashSet<Sought>,
    order: VecDeque<Sought>,
}

/// The owner references of an object.
pub(crate) fn owners(meta: &ObjectMeta) -> &[OwnerReference] {
    meta.owner_references.as_deref().unwrap_or_default()
}

impl Graph {
    /// The object now has these owners instead of those.
    pub(crate) fn relate(&mut self, key: &Key, old: &[OwnerReference], new: &[OwnerReference]) {
        for owner in old {
            if let Some(dependents) = self.dependents.get_mut(&owner.uid) {
                dependents.remove(key);
                if dependents.is_empty() {
                    self.dependents.remove(&owner.uid);
                }
            }
        }
        for owner in new {
            self.dependents
                .entry(owner.uid.clone())
                .or_default()
                .insert(key.clone());
        }
    }

    /// The objects that name that UID as owner.
    pub(crate) fn dependents(&self, uid: &str) -> Vec<Key> {
        self.dependents
            .get(uid)
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// That owner is gone for good: UIDs never come back.
    pub(crate) fn mark_absent(&mut self, owner: Sought) {
        if !self.absent.insert(owner.clone()) {
            return;
        }
        self.order.push_back(owner);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.absent.remove(&oldest);
        }
    }

    /// Whether that owner is known to be gone.
    pub(crate) fn is_absent(&self, owner: &Sought) -> bool {
        self.absent.contains(owner)
    }
}
