//! What wakes a StatefulSet (C-2). Knows nothing of what it does then.

use std::{fmt, sync::Arc};

use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{PersistentVolumeClaim, Pod},
};
use kube::{
    ResourceExt,
    core::{Selector, SelectorExt},
};
use plinth_client::{Change, Informer, WorkQueue};

use super::written::Views;

/// A set's place in the API.
#[derive(Clone, PartialEq, Eq, Hash)]
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

/// Puts the key of every concerned set on the queue, from now on.
pub(crate) fn listen(views: &Views, queue: &WorkQueue<Key>) {
    let woken = queue.clone();
    views
        .sets
        .on_change(move |change| woken.add(key(&**change.latest(), change.latest().name_any())));

    let (sets, woken) = (views.sets.clone(), queue.clone());
    views
        .pods
        .on_change(move |change| on_pod(&sets, change, &woken));

    let (sets, woken) = (views.sets.clone(), queue.clone());
    views.claims.on_change(move |change| {
        if let (Some(gone), None) = (&change.old, &change.new) {
            on_claim_gone(&sets, gone, &woken);
        }
    });
}

fn key<K: kube::Resource>(object: &K, name: String) -> Key {
    Key {
        namespace: object.namespace().unwrap_or_default(),
        name,
    }
}

fn on_pod(sets: &Informer<StatefulSet>, change: &Change<Pod>, queue: &WorkQueue<Key>) {
    for pod in change.states() {
        let namespace = pod.namespace();
        let controller = pod
            .owner_references()
            .iter()
            .find(|owner| owner.controller == Some(true));
        match controller {
            Some(owner) if owner.kind == "StatefulSet" => {
                let set = sets.get(namespace.as_deref(), &owner.name);
                if set.is_some_and(|set| set.metadata.uid.as_ref() == Some(&owner.uid)) {
                    queue.add(key(&**pod, owner.name.clone()));
                }
            }
            Some(_) => {}
            None => {
                for set in sets.in_namespace(namespace.as_deref().unwrap_or_default()) {
                    if selects(&set, pod) {
                        queue.add(key(&*set, set.name_any()));
                    }
                }
            }
        }
    }
    // A name that becomes free may be one that a member waits for (C-8). Upstream polls for it.
    if change.new.is_none()
        && let name = change.latest().name_any()
        && let Some((parent, _)) = name.rsplit_once('-')
        && sets
            .get(change.latest().namespace().as_deref(), parent)
            .is_some()
    {
        queue.add(key(&**change.latest(), parent.to_owned()));
    }
}

fn selects(set: &StatefulSet, pod: &Pod) -> bool {
    set.spec
        .as_ref()
        // An invalid selector selects nothing; the set's own turn tells of it.
        .and_then(|spec| Selector::try_from(spec.selector.clone()).ok())
        .is_some_and(|selector| selector.matches(pod.labels()))
}

/// A pod may be waiting for the claim to be made anew (C-16, C-18, C-53). Upstream only notices at the
/// next resync.
fn on_claim_gone(
    sets: &Informer<StatefulSet>,
    claim: &Arc<PersistentVolumeClaim>,
    queue: &WorkQueue<Key>,
) {
    let name = claim.name_any();
    let Some((stem, _)) = name.rsplit_once('-') else {
        return;
    };
    for set in sets.in_namespace(&claim.namespace().unwrap_or_default()) {
        let templates = set
            .spec
            .as_ref()
            .and_then(|spec| spec.volume_claim_templates.as_deref())
            .unwrap_or_default();
        let set_name = set.name_any();
        if templates
            .iter()
            .any(|template| stem == format!("{}-{set_name}", template.name_any()))
        {
            queue.add(key(&*set, set_name));
        }
    }
}
