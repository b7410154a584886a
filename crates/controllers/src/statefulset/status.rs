//! What a set's status says (C-60..C-64). Pure; time is passed in.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSetStatus;
use kube::ResourceExt;

use super::{
    health, identity,
    membership::Member,
    revision::History,
    set::{Set, Strategy},
};

/// Counts the members (C-60). Terminating ones are still ready and available, but of no revision.
pub(crate) fn count(
    set: &Set<'_>,
    history: &History,
    members: &[Member],
    now: Timestamp,
) -> StatefulSetStatus {
    let (current, update) = (history.current.name_any(), history.update.name_any());
    counted(set, members, &current, &update, history.collisions, now)
}

/// The status of a set that only waits for its members to go (C-82), if it changed.
pub(crate) fn while_deleting(
    set: &Set<'_>,
    members: &[Member],
    now: Timestamp,
) -> Option<StatefulSetStatus> {
    let name = |field: &Option<String>| field.clone().unwrap_or_default();
    let current = name(&set.status.current_revision);
    let update = name(&set.status.update_revision);
    let collisions = set.status.collision_count.unwrap_or(0);
    if_changed(
        set,
        counted(set, members, &current, &update, collisions, now),
    )
}

fn counted(
    set: &Set<'_>,
    members: &[Member],
    current: &str,
    update: &str,
    collisions: i32,
    now: Timestamp,
) -> StatefulSetStatus {
    let of = |test: &dyn Fn(&Member) -> bool| {
        let count = members.iter().filter(|member| test(member)).count();
        // Ordinals are int32 and distinct, so their number is one too.
        Some(i32::try_from(count).unwrap_or(i32::MAX))
    };
    let at = |member: &Member, revision: &str| {
        !health::is_terminating(&member.pod) && identity::revision(&member.pod) == revision
    };
    let available = |m: &Member| health::is_available(&m.pod, set.min_ready_seconds, now);
    StatefulSetStatus {
        observed_generation: set.object.metadata.generation,
        replicas: of(&|_| true).unwrap_or_default(),
        ready_replicas: of(&|member| health::is_ready(&member.pod)),
        available_replicas: of(&available),
        current_replicas: of(&|member| at(member, current)),
        updated_replicas: of(&|member| at(member, update)),
        current_revision: (!current.is_empty()).then(|| current.to_owned()),
        update_revision: (!update.is_empty()).then(|| update.to_owned()),
        collision_count: Some(collisions),
        // Others may publish conditions here; they are kept as they are.
        conditions: set.status.conditions.clone(),
    }
}

/// Makes the update revision the current one when every member has come to it (C-61).
pub(crate) fn finish(set: &Set<'_>, mut status: StatefulSetStatus) -> StatefulSetStatus {
    let rolling = matches!(set.strategy, Strategy::RollingUpdate { .. });
    let all = Some(status.replicas);
    let wanted = i32::try_from(set.replicas).unwrap_or(i32::MAX);
    if rolling
        && status.replicas == wanted
        && status.updated_replicas == all
        && status.ready_replicas == all
    {
        status.current_replicas = status.updated_replicas;
        status.current_revision.clone_from(&status.update_revision);
    }
    status
}

/// The status if it is worth a write (C-62), with zero counts left out as upstream leaves them out.
pub(crate) fn if_changed(
    set: &Set<'_>,
    mut status: StatefulSetStatus,
) -> Option<StatefulSetStatus> {
    let old = &set.status;
    let count = |field: Option<i32>| field.unwrap_or(0);
    let same = status.observed_generation.unwrap_or(0) <= old.observed_generation.unwrap_or(0)
        && status.replicas == old.replicas
        && count(status.ready_replicas) == count(old.ready_replicas)
        && count(status.available_replicas) == count(old.available_replicas)
        && count(status.current_replicas) == count(old.current_replicas)
        && count(status.updated_replicas) == count(old.updated_replicas)
        && status.current_revision == old.current_revision
        && status.update_revision == old.update_revision;
    for field in [
        &mut status.ready_replicas,
        &mut status.current_replicas,
        &mut status.updated_replicas,
    ] {
        *field = field.filter(|count| *count != 0);
    }
    (!same).then_some(status)
}

/// When the next ready member becomes available by waiting (C-3).
pub(crate) fn next_availability(
    set: &Set<'_>,
    members: &[Member],
    now: Timestamp,
) -> Option<Duration> {
    members
        .iter()
        .filter_map(|member| health::available_in(&member.pod, set.min_ready_seconds, now))
        .filter(|milliseconds| *milliseconds > 0)
        .min()
        .map(Duration::from_millis)
}
