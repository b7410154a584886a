//! The history of a DaemonSet's template. Pure.

use std::{collections::HashSet, sync::Arc};

use k8s_openapi::{
    api::{apps::v1::ControllerRevision, core::v1::Pod},
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, runtime::RawExtension},
};
use kube::{ResourceExt, core::SelectorExt};

use super::{
    plan::{Action, Which},
    set::{HASH_LABEL, Set},
};
use crate::{
    history::{by_age, canonical, canonical_data, data, name_hash, revision_name},
    ownership::{controlled_by, controller},
};

/// The revisions that are the set's, and what the present one is called by.
pub(crate) struct History {
    pub(crate) hash: String,
    /// All but the present one, oldest first.
    old: Vec<Arc<ControllerRevision>>,
}

/// What reading the history came to.
pub(crate) enum Reading {
    History(History),
    /// A write that must be visible before there is a history to go by.
    Prepare(Action),
}

/// Finds the present revision, or says how to make it. `named` is any revision of the namespace.
pub(crate) fn read(
    set: &Set<'_>,
    revisions: &[Arc<ControllerRevision>],
    named: &dyn Fn(&str) -> Option<Arc<ControllerRevision>>,
) -> Result<Reading, serde_json::Error> {
    let mut own = Vec::new();
    for revision in revisions {
        match controller(&**revision) {
            Some(owner) if owner.uid == set.uid => own.push(Arc::clone(revision)),
            None if set.selector.matches(revision.labels()) => {
                return Ok(Reading::Prepare(Action::AdoptRevision(Which::of(
                    &**revision,
                ))));
            }
            _ => {}
        }
    }
    own.sort_by(|a, b| by_age(a, b));
    let template = serde_json::to_value(set.template)?;
    let candidate = canonical(&data(template.clone()));
    let equal = |revision: &Arc<ControllerRevision>| canonical_data(revision) == candidate;
    let (mut same, old): (Vec<_>, Vec<_>) = own.into_iter().partition(equal);
    let next = old.iter().map(|revision| revision.revision).max();
    let next = next.unwrap_or(0) + 1;
    // Of several equal ones the newest counts.
    let Some(present) = same.pop() else {
        let mut collisions = set.status.collision_count.unwrap_or(0);
        let hash = loop {
            let hash = name_hash(&candidate, collisions);
            if named(&revision_name(set.name, &hash)).is_none() {
                break hash;
            }
            collisions = collisions.wrapping_add(1);
        };
        let mut labels = set
            .template
            .metadata
            .as_ref()
            .and_then(|meta| meta.labels.clone())
            .unwrap_or_default();
        labels.insert(HASH_LABEL.to_owned(), hash.clone());
        let revision = ControllerRevision {
            metadata: ObjectMeta {
                name: Some(revision_name(set.name, &hash)),
                namespace: Some(set.namespace.to_owned()),
                labels: Some(labels),
                annotations: set.object.metadata.annotations.clone(),
                owner_references: Some(vec![controlled_by(set.object)]),
                ..ObjectMeta::default()
            },
            data: Some(RawExtension(data(template))),
            revision: next,
        };
        return Ok(Reading::Prepare(Action::CreateRevision(Box::new(revision))));
    };
    if present.revision < next {
        let which = Which::of(&*present);
        return Ok(Reading::Prepare(Action::RenumberRevision(which, next)));
    }
    Ok(Reading::History(History {
        hash: hash(&present).to_owned(),
        old: same.into_iter().chain(old).collect(),
    }))
}

fn hash(revision: &ControllerRevision) -> &str {
    let label = revision.labels().get(HASH_LABEL);
    label.map(String::as_str).unwrap_or_default()
}

/// The revisions beyond the limit that no pod is made from, oldest first.
pub(crate) fn superfluous(set: &Set<'_>, history: &History, pods: &[Arc<Pod>]) -> Vec<Action> {
    let Some(limit) = set.history_limit else {
        return Vec::new();
    };
    let hashes = pods.iter().filter_map(|pod| pod.labels().get(HASH_LABEL));
    let live: HashSet<&str> = hashes.map(String::as_str).collect();
    let surplus = history.old.len().saturating_sub(limit);
    let idle = history
        .old
        .iter()
        .filter(|revision| !live.contains(hash(revision)));
    idle.take(surplus)
        .map(|revision| Action::DeleteRevision(Which::of(&**revision)))
        .collect()
}
