//! Which pods are the set's, which are to be taken in and which let go (C-6..C-9). Pure.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt, core::SelectorExt};

use super::{
    identity::ordinal,
    set::{Ordinal, Set},
};
use crate::{ownership::controller, writes::is_terminating};

/// A pod that is the set's.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) ordinal: Ordinal,
    pub(crate) pod: Arc<Pod>,
}

/// The pods of a namespace as one set sees them.
#[derive(Debug, Default)]
pub(crate) struct Membership {
    pub(crate) members: Vec<Member>,
    /// Nobody's, but selected and named as ours.
    pub(crate) adopt: Vec<Arc<Pod>>,
    /// Ours, but no longer selected or named so.
    pub(crate) release: Vec<Arc<Pod>>,
}

/// Sorts the pods (C-7). A set that is being deleted neither adopts nor releases.
pub(crate) fn sort(set: &Set<'_>, pods: &[Arc<Pod>]) -> Membership {
    let mut sorted = Membership::default();
    for pod in pods {
        let ordinal = ordinal(set, pod).filter(|_| set.selector.matches(pod.labels()));
        match (controller(&**pod), ordinal) {
            (Some(owner), _) if owner.uid != set.uid => {}
            (Some(_), Some(ordinal)) => sorted.members.push(Member {
                ordinal,
                pod: Arc::clone(pod),
            }),
            (Some(_), None) if !set.deleting => sorted.release.push(Arc::clone(pod)),
            (None, Some(_)) if !set.deleting && !is_terminating(&**pod) => {
                sorted.adopt.push(Arc::clone(pod));
            }
            _ => {}
        }
    }
    sorted.members.sort_by_key(|member| member.ordinal);
    sorted
}
