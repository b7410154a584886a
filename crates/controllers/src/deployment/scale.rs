//! What becomes of the sets when the number of pods wanted changes: in the middle of a rollout each gets
//! its share. Pure.

use std::cmp::Reverse;

use super::{
    annotations::{self, DESIRED, MAX},
    rollout::{Rollout, Strategy},
    sets::{Set, Sets, by_age},
};

/// Whether a set with pods was told its share of another number than is wanted now.
pub(crate) fn is_due(rollout: &Rollout<'_>, sets: &Sets) -> bool {
    let mut active = sets.all().filter(|set| set.replicas() > 0);
    active.any(|set| {
        annotations::number(&set.object, DESIRED).is_some_and(|desired| desired != rollout.replicas)
    })
}

pub(crate) fn pass(rollout: &Rollout<'_>, sets: &mut Sets) {
    if sets.all().filter(|set| set.replicas() > 0).count() < 2 {
        if let Some(set) = only_active_or_latest(sets)
            && set.replicas() != rollout.replicas
        {
            set.scale(rollout, rollout.replicas);
        }
        return;
    }
    if sets
        .new
        .as_ref()
        .is_some_and(|set| is_saturated(rollout, set))
    {
        for set in sets.old.iter_mut().filter(|set| set.replicas() > 0) {
            set.scale(rollout, 0);
        }
    } else if matches!(rollout.strategy, Strategy::Rolling { .. }) {
        in_proportion(rollout, sets);
    }
}

fn only_active_or_latest(sets: &mut Sets) -> Option<&mut Set> {
    if sets.all().any(|set| set.replicas() > 0) {
        return sets.all_mut().find(|set| set.replicas() > 0);
    }
    match &mut sets.new {
        Some(new) => Some(new),
        None => sets.old.last_mut(),
    }
}

/// Whether the set alone is all that is wanted.
fn is_saturated(rollout: &Rollout<'_>, set: &Set) -> bool {
    set.replicas() == rollout.replicas
        && annotations::number(&set.object, DESIRED) == Some(rollout.replicas)
        && set.available() == rollout.replicas
}

/// Gives every set with pods its share; what rounding leaves over goes to the largest.
fn in_proportion(rollout: &Rollout<'_>, sets: &mut Sets) {
    let allowed = if rollout.replicas > 0 {
        rollout.replicas + rollout.surge()
    } else {
        0
    };
    let before = status_replicas(rollout);
    let mut active: Vec<&mut Set> = sets.all_mut().filter(|set| set.replicas() > 0).collect();
    let to_add = allowed - active.iter().map(|set| set.replicas()).sum::<i32>();
    // Of sets of one size the newest grows first and the oldest shrinks first.
    active.sort_by(|a, b| {
        let by_age = if to_add > 0 {
            by_age(b, a)
        } else {
            by_age(a, b)
        };
        Reverse(a.replicas())
            .cmp(&Reverse(b.replicas()))
            .then(by_age)
    });
    let mut added = 0;
    let mut sizes: Vec<i32> = Vec::with_capacity(active.len());
    for set in &active {
        let part = proportion(rollout, set, to_add, added, before);
        sizes.push(set.replicas() + part);
        added += part;
    }
    if to_add != 0
        && let Some(largest) = sizes.first_mut()
    {
        *largest = (*largest + to_add - added).max(0);
    }
    for (set, size) in active.into_iter().zip(sizes) {
        set.scale(rollout, size);
    }
}

fn status_replicas(rollout: &Rollout<'_>) -> i32 {
    let status = rollout.object.status.as_ref();
    status.and_then(|status| status.replicas).unwrap_or(0)
}

/// How many pods of `to_add` a set gets (or loses), `added` of them being given already.
fn proportion(rollout: &Rollout<'_>, set: &Set, to_add: i32, added: i32, before: i32) -> i32 {
    if to_add == 0 || to_add == added {
        return 0;
    }
    let part = fraction(rollout, set, before);
    let left = to_add - added;
    if to_add > 0 {
        part.min(left)
    } else {
        part.max(left)
    }
}

/// By how much a set changes if it keeps its share of the whole.
fn fraction(rollout: &Rollout<'_>, set: &Set, before: i32) -> i32 {
    let size = set.replicas();
    if rollout.replicas == 0 {
        return -size;
    }
    let most = i64::from(rollout.replicas + rollout.surge());
    let most_before = annotations::number(&set.object, MAX)
        .filter(|most| *most != 0)
        .unwrap_or(before);
    if most_before == 0 {
        return 0;
    }
    // Rounded to the nearest, halves up; none of these numbers is negative.
    let (size, most_before) = (i64::from(size), i64::from(most_before));
    let new = (2 * size * most + most_before) / (2 * most_before);
    i32::try_from(new - size).unwrap_or(i32::MAX)
}
