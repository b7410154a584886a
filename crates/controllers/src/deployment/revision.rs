//! Which set is the new one, how it is made, and which old ones are past history (D-1, D-2). Pure.

use std::sync::Arc;

use k8s_openapi::{
    api::apps::v1::{DeploymentStatus, ReplicaSet, ReplicaSetSpec},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::ResourceExt;

use super::{
    annotations::{self, make_newest},
    conditions::{PROGRESSING, condition, find, set},
    plan::World,
    rolling,
    rollout::{HASH_LABEL, Rollout, Strategy},
    sets::{Set, Sets},
};
use crate::{
    history::{canonical, name_hash},
    ownership::controlled_by,
    writes::is_terminating,
};

fn next(sets: &Sets) -> i64 {
    let old = sets
        .old
        .iter()
        .map(|set| annotations::revision(&set.object));
    old.max().unwrap_or(0) + 1
}

/// Keeps the new set, where there is one, the newest revision, with what it takes over.
pub(crate) fn renew(rollout: &Rollout<'_>, sets: &mut Sets, known: &mut DeploymentStatus) {
    let newest = next(sets);
    let Some(new) = &mut sets.new else {
        return;
    };
    make_newest(&mut new.object, rollout, newest);
    let min_ready = rollout
        .spec
        .min_ready_seconds
        .filter(|seconds| *seconds != 0);
    let spec = new.spec_mut();
    if spec.min_ready_seconds.unwrap_or(0) != min_ready.unwrap_or(0) {
        spec.min_ready_seconds = min_ready;
    }
    if rollout.deadline.is_some() && find(known, PROGRESSING).is_none() {
        let message = format!("Found new replica set \"{}\"", new.name());
        let found = condition(rollout, PROGRESSING, "True", "FoundNewReplicaSet", message);
        set(known, found);
    }
}

/// Sees to it that there is a new set, as large as the strategy allows.
pub(crate) fn ensure(
    world: &World<'_>,
    rollout: &Rollout<'_>,
    sets: &mut Sets,
    known: &mut DeploymentStatus,
) {
    if sets.new.is_some() {
        return;
    }
    let hash = free_hash(world, rollout, known);
    let mut object = make(rollout, &hash);
    make_newest(&mut object, rollout, next(sets));
    annotations::set_bounds(&mut object, rollout);
    let mut new = Set::new(object);
    let size = match rollout.strategy {
        Strategy::Recreate => rollout.replicas,
        Strategy::Rolling { .. } => rolling::room(rollout, sets.sum(Set::replicas), 0),
    };
    new.scale(rollout, size);
    if rollout.deadline.is_some() {
        let message = format!("Created new replica set \"{}\"", new.name());
        let created = condition(
            rollout,
            PROGRESSING,
            "True",
            "NewReplicaSetCreated",
            message,
        );
        set(known, created);
    }
    sets.new = Some(new);
}

/// The hash whose name is free; each name that is taken counts as a collision.
fn free_hash(world: &World<'_>, rollout: &Rollout<'_>, known: &mut DeploymentStatus) -> String {
    // A template that came as JSON can be written as JSON.
    let template = serde_json::to_value(&rollout.spec.template).unwrap_or_default();
    let template = canonical(&template);
    loop {
        let hash = name_hash(&template, known.collision_count.unwrap_or(0));
        let name = format!("{}-{hash}", rollout.name());
        if (world.set_named)(&name).is_none() {
            return hash;
        }
        known.collision_count = Some(known.collision_count.unwrap_or(0).wrapping_add(1));
    }
}

fn make(rollout: &Rollout<'_>, hash: &str) -> ReplicaSet {
    let mut template = rollout.spec.template.clone();
    let meta = template.metadata.get_or_insert_default();
    let labels = meta.labels.get_or_insert_default();
    labels.insert(HASH_LABEL.to_owned(), hash.to_owned());
    let labels = labels.clone();
    let mut selector = rollout.spec.selector.clone();
    let matched = selector.match_labels.get_or_insert_default();
    matched.insert(HASH_LABEL.to_owned(), hash.to_owned());
    ReplicaSet {
        metadata: ObjectMeta {
            name: Some(format!("{}-{hash}", rollout.name())),
            namespace: rollout.object.namespace(),
            labels: Some(labels),
            owner_references: Some(vec![controlled_by(rollout.object)]),
            ..ObjectMeta::default()
        },
        spec: Some(ReplicaSetSpec {
            replicas: Some(0),
            min_ready_seconds: rollout.spec.min_ready_seconds,
            selector,
            template: Some(template),
        }),
        status: None,
    }
}

/// The sets beyond the history limit, oldest revision first. Of those only what has no pods goes.
pub(crate) fn past_history(rollout: &Rollout<'_>, sets: &Sets) -> Vec<Arc<ReplicaSet>> {
    let Some(limit) = rollout.history_limit else {
        return Vec::new();
    };
    let living = sets.old.iter().filter(|set| !is_terminating(&set.object));
    let mut past: Vec<&Set> = living.collect();
    // Stable: sets of one revision stay by age.
    past.sort_by_key(|set| annotations::revision(&set.object));
    past.truncate(past.len().saturating_sub(limit));
    past.into_iter()
        .filter(|set| set.actual() == 0 && set.replicas() == 0 && set.is_observed())
        .map(|set| Arc::new(set.object.clone()))
        .collect()
}
