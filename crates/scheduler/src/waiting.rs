//! Pods that cannot be bound yet, by what may change that. Knows nothing of how they are scheduled.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
};

/// Namespace and name of a pod or a claim.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// As logs show it.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a pod waits for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Wait {
    /// No node takes it: anything that makes room or changes a node or a volume may help.
    Room {
        /// Whether a new neighbour may help as well.
        neighbour: bool,
    },
    /// Its volumes are being made: only these claims matter.
    Claims(Vec<Key>),
}

/// Everybody that waits.
#[derive(Default)]
pub(crate) struct Waiting {
    pods: HashMap<Key, Wait>,
    by_claim: HashMap<Key, BTreeSet<Key>>,
}

impl Waiting {
    pub(crate) fn add(&mut self, pod: Key, wait: Wait) {
        self.remove(&pod);
        if let Wait::Claims(claims) = &wait {
            for claim in claims {
                let pods = self.by_claim.entry(claim.clone()).or_default();
                pods.insert(pod.clone());
            }
        }
        self.pods.insert(pod, wait);
    }

    pub(crate) fn remove(&mut self, pod: &Key) {
        let Some(Wait::Claims(claims)) = self.pods.remove(pod) else {
            return;
        };
        for claim in claims {
            if let Some(pods) = self.by_claim.get_mut(&claim) {
                pods.remove(pod);
                if pods.is_empty() {
                    self.by_claim.remove(&claim);
                }
            }
        }
    }

    /// Those that wait for this claim, and no longer do.
    pub(crate) fn take_for_claim(&mut self, claim: &Key) -> Vec<Key> {
        let pods: Vec<Key> = self
            .by_claim
            .get(claim)
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        for pod in &pods {
            self.remove(pod);
        }
        pods
    }

    /// Those that wait for room, and no longer do.
    pub(crate) fn take_for_room(&mut self) -> Vec<Key> {
        self.take(|wait| matches!(wait, Wait::Room { .. }))
    }

    /// Those that wait for a neighbour, and no longer do.
    pub(crate) fn take_for_neighbour(&mut self) -> Vec<Key> {
        self.take(|wait| matches!(wait, Wait::Room { neighbour: true }))
    }

    fn take(&mut self, which: impl Fn(&Wait) -> bool) -> Vec<Key> {
        let pods: Vec<Key> = self
            .pods
            .iter()
            .filter(|(_, wait)| which(wait))
            .map(|(pod, _)| pod.clone())
            .collect();
        for pod in &pods {
            self.remove(pod);
        }
        pods
    }
}
