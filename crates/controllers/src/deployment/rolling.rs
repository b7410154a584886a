//! The RollingUpdate strategy: the new set grows and the old ones shrink within the bounds (D-4). Pure.

use super::{
    rollout::Rollout,
    sets::{Set, Sets},
};

/// One step; whether anything was scaled.
pub(crate) fn pass(rollout: &Rollout<'_>, sets: &mut Sets) -> bool {
    grow(rollout, sets) || shrink(rollout, sets)
}

/// The number of pods the new set may have, `total` being those of all sets together.
pub(crate) fn room(rollout: &Rollout<'_>, total: i32, new: i32) -> i32 {
    let most = rollout.replicas + rollout.surge();
    if total >= most {
        return new;
    }
    new + (most - total).min(rollout.replicas - new)
}

fn grow(rollout: &Rollout<'_>, sets: &mut Sets) -> bool {
    let total = sets.sum(Set::replicas);
    let Some(new) = &mut sets.new else {
        return false;
    };
    let size = new.replicas();
    if size == rollout.replicas {
        return false;
    }
    let size = if size > rollout.replicas {
        rollout.replicas
    } else {
        room(rollout, total, size)
    };
    // A set that is just being made was given its size, and its event, with its making.
    if size == new.replicas() {
        return false;
    }
    new.scale(rollout, size)
}

fn shrink(rollout: &Rollout<'_>, sets: &mut Sets) -> bool {
    if sets.old.iter().all(|set| set.replicas() == 0) {
        return false;
    }
    // A set that was told another number since it last counted may count pods that are gone. Upstream
    // trusts it, and can fall below its bound; waiting costs one report, which wakes the Deployment.
    if !sets.all().all(Set::is_observed) {
        return false;
    }
    let total = sets.sum(Set::replicas);
    let new = sets.new.as_ref();
    let coming = new.map_or(0, |set| set.replicas() - set.lasting());
    // New pods that are not available yet count as if they never would be.
    let spare = total - rollout.min_available() - coming;
    if spare <= 0 {
        return false;
    }
    let unhealthy = drop_unhealthy(rollout, &mut sets.old, spare);
    let spare = sets.sum(Set::lasting) - rollout.min_available();
    let healthy = drop_pods(rollout, &mut sets.old, spare, Set::replicas);
    unhealthy || healthy
}

/// Pods that are not available are missed by nobody, and would hold the rollout up.
fn drop_unhealthy(rollout: &Rollout<'_>, old: &mut [Set], most: i32) -> bool {
    drop_pods(rollout, old, most, |set| {
        (set.replicas() - set.lasting()).max(0)
    })
}

/// Takes up to `most` pods from the sets, oldest first, and from each as many as it can give.
fn drop_pods(
    rollout: &Rollout<'_>,
    old: &mut [Set],
    most: i32,
    can_give: impl Fn(&Set) -> i32,
) -> bool {
    let mut left = most;
    let mut any = false;
    for set in old {
        let taken = can_give(set).min(left);
        if taken > 0 {
            any |= set.scale(rollout, set.replicas() - taken);
            left -= taken;
        }
    }
    any
}
