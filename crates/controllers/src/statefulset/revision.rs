//! The set's revisions: which one is current, which one is the update, and what must be written for
//! that to be so (A-32..A-41, C-70). Pure.

use std::{collections::HashSet, sync::Arc};

use k8s_openapi::{
    api::{apps::v1::ControllerRevision, core::v1::PodTemplateSpec},
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, runtime::RawExtension},
};
use kube::{ResourceExt, core::SelectorExt};
use serde_json::Value;

use super::{
    action::Action,
    membership::Member,
    plan::{PlanError, World},
    set::Set,
};
use crate::{
    history::{
        HASH_LABEL, by_age, canonical, canonical_data, data, name_hash, revision_name, template,
    },
    ownership,
};

/// The set's history and its two ends.
#[derive(Debug)]
pub(crate) struct History {
    /// Oldest first.
    pub(crate) all: Vec<Arc<ControllerRevision>>,
    pub(crate) current: Arc<ControllerRevision>,
    pub(crate) update: Arc<ControllerRevision>,
    pub(crate) collisions: i32,
}

/// What reading the history came to.
#[derive(Debug)]
pub(crate) enum Reading {
    History(History),
    /// Writes that must be visible before there is a history to go by.
    Prepare(Vec<Action>),
}

/// Finds the current and the update revision, or says how to make them.
pub(crate) fn read(world: &World<'_>, set: &Set<'_>) -> Result<Reading, PlanError> {
    let mut own = Vec::new();
    let mut orphans = Vec::new();
    for revision in world.revisions {
        match controller(revision) {
            Some(uid) if uid == set.uid => own.push(Arc::clone(revision)),
            None if set.selector.matches(revision.labels()) => {
                orphans.push(Action::AdoptRevision {
                    name: revision.name_any(),
                    uid: revision.uid().unwrap_or_default(),
                });
            }
            _ => {}
        }
    }
    if !orphans.is_empty() {
        return Ok(Reading::Prepare(orphans));
    }
    own.sort_by(|a, b| by_age(a, b));

    let value = serde_json::to_value(set.template)?;
    let candidate = canonical(&data(value.clone()));
    let collisions = collisions(world, set, &candidate)?;
    let newest = own.last();
    let next = newest.map_or(1, |newest| newest.revision + 1);
    // The newest of the equal ones.
    let equal = own.iter().rev().find(|r| canonical_data(r) == candidate);
    let update = match (equal, newest) {
        (Some(equal), Some(newest)) if equal.name_any() == newest.name_any() => equal,
        (Some(older), _) => {
            return Ok(Reading::Prepare(vec![Action::RenumberRevision {
                name: older.name_any(),
                uid: older.uid().unwrap_or_default(),
                revision: next,
            }]));
        }
        (None, Some(newest)) if same_when_defaulted(newest, set, &candidate)? => newest,
        (None, _) => {
            let revision = new_revision(set, value, &candidate, collisions, next);
            let create = Action::CreateRevision(Box::new(revision));
            return Ok(Reading::Prepare(vec![create]));
        }
    };
    let update = Arc::clone(update);
    let current = set.status.current_revision.as_deref().unwrap_or_default();
    let current = own
        .iter()
        .find(|revision| revision.name_any() == current)
        .unwrap_or(&update);
    Ok(Reading::History(History {
        current: Arc::clone(current),
        update,
        all: own,
        collisions,
    }))
}

/// The collision count whose name for this template is free, or taken by this very revision.
fn collisions(world: &World<'_>, set: &Set<'_>, candidate: &str) -> Result<i32, PlanError> {
    let mut count = set.status.collision_count.unwrap_or(0);
    loop {
        let name = revision_name(set.name, &name_hash(candidate, count));
        let taken = (world.revision_named)(&name).is_some_and(|revision| {
            controller(&revision) != Some(set.uid) || canonical_data(&revision) != candidate
        });
        if !taken {
            return Ok(count);
        }
        count = count
            .checked_add(1)
            .ok_or_else(|| PlanError::NoName(set.text()))?;
    }
}

fn controller(revision: &ControllerRevision) -> Option<&str> {
    ownership::controller(revision).map(|owner| owner.uid.as_str())
}

fn new_revision(
    set: &Set<'_>,
    template: Value,
    candidate: &str,
    collisions: i32,
    number: i64,
) -> ControllerRevision {
    let hash = name_hash(candidate, collisions);
    let mut labels = set
        .template
        .metadata
        .as_ref()
        .and_then(|meta| meta.labels.clone())
        .unwrap_or_default();
    labels.insert(HASH_LABEL.to_owned(), hash.clone());
    ControllerRevision {
        metadata: ObjectMeta {
            name: Some(revision_name(set.name, &hash)),
            namespace: Some(set.namespace.to_owned()),
            labels: Some(labels),
            annotations: set.object.metadata.annotations.clone(),
            owner_references: Some(vec![set.owner_reference()]),
            ..ObjectMeta::default()
        },
        data: Some(RawExtension(data(template))),
        revision: number,
    }
}

/// Whether the newest revision means the same template once today's defaults are applied to it: a
/// server that learned a new default must not restart every pod (A-37, P-19).
fn same_when_defaulted(
    newest: &ControllerRevision,
    set: &Set<'_>,
    candidate: &str,
) -> Result<bool, PlanError> {
    let Some(old) = newest.data.as_ref().and_then(|data| template(&data.0)) else {
        return Ok(false);
    };
    let Some(kind) = plinth_api::find("apps", "v1", "statefulsets") else {
        return Ok(false);
    };
    let mut restored = serde_json::to_value(set.object)?;
    let Some(place) = restored.pointer_mut("/spec/template") else {
        return Ok(false);
    };
    *place = old;
    kind.strategy.default(&mut restored);
    let defaulted = restored
        .pointer_mut("/spec/template")
        .map(Value::take)
        .unwrap_or_default();
    Ok(canonical(&data(defaulted)) == candidate)
}

/// The template a revision keeps, as pods are made from it.
pub(crate) fn pod_template(revision: &ControllerRevision) -> Result<PodTemplateSpec, PlanError> {
    let template = revision
        .data
        .as_ref()
        .and_then(|data| template(&data.0))
        .ok_or_else(|| PlanError::NoTemplate(revision.name_any()))?;
    Ok(serde_json::from_value(template)?)
}

/// The revisions beyond the limit that nothing uses, oldest first (C-70).
pub(crate) fn superfluous(set: &Set<'_>, history: &History, members: &[Member]) -> Vec<Action> {
    let Some(limit) = set.history_limit else {
        return Vec::new();
    };
    let (current, update) = (history.current.name_any(), history.update.name_any());
    let mut live: HashSet<&str> = members
        .iter()
        .map(|member| super::identity::revision(&member.pod))
        .collect();
    live.extend([current.as_str(), update.as_str()]);
    let idle: Vec<_> = history
        .all
        .iter()
        .filter(|revision| !live.contains(revision.name_any().as_str()))
        .collect();
    let surplus = idle.len().saturating_sub(limit);
    idle.into_iter()
        .take(surplus)
        .map(|revision| Action::DeleteRevision {
            name: revision.name_any(),
            uid: revision.uid().unwrap_or_default(),
        })
        .collect()
}
