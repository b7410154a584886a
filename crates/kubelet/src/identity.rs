//! What a pod is called on this node. Knows names, not objects.

use std::fmt;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

/// The identity of one pod object; never used twice, unlike its name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PodUid(Arc<str>);

impl PodUid {
    /// Takes the UID as the API gives it.
    pub(crate) fn new(uid: &str) -> Self {
        Self(uid.into())
    }

    /// The UID as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PodUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PodUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name under which a pod is known; over time several pods carry it, at most one may run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PodName {
    /// The namespace.
    pub(crate) namespace: String,
    /// The name within it.
    pub(crate) name: String,
}

impl PodName {
    /// Of the given pod.
    pub(crate) fn of(pod: &Pod) -> Self {
        Self {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            name: pod.metadata.name.clone().unwrap_or_default(),
        }
    }
}

impl fmt::Display for PodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The UID of a pod object; empty for one that never was in the API.
pub(crate) fn uid_of(pod: &Pod) -> PodUid {
    PodUid::new(pod.metadata.uid.as_deref().unwrap_or_default())
}
