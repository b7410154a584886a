//! Replaces pods of older templates without losing more than is allowed. Pure.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::{placement::Place, plan::Spot, set::Set};
use crate::writes::is_terminating;

/// What to do next.
#[derive(Default)]
pub(crate) struct Next<'a> {
    pub(crate) delete: Vec<&'a Arc<Pod>>,
    /// Nodes that get a second pod.
    pub(crate) create: Vec<&'a str>,
}

/// The pods of a node that are not on their way out.
struct Pair<'a> {
    new: Option<&'a Arc<Pod>>,
    old: Option<&'a Arc<Pod>>,
}

/// Decides.
pub(crate) fn next<'a>(set: &Set<'_>, spots: &[Spot<'a>], hash: &str, now: Timestamp) -> Next<'a> {
    let wanted = spots.iter().filter(|spot| spot.place == Place::Wanted);
    let wanted = wanted.count();
    let (unavailable, surge) = set.leeway(wanted);
    let spots = spots
        .iter()
        .filter(|spot| spot.place == Place::Wanted || !spot.pods.is_empty());
    let pairs = spots.map(|spot| (spot, pair(set, spot, hash)));
    if surge == 0 {
        replace(set, pairs, unavailable, now)
    } else {
        double(set, pairs, surge, wanted, now)
    }
}

/// `None` when there are more than one of either; that is put right first.
fn pair<'a>(set: &Set<'_>, spot: &Spot<'a>, hash: &str) -> Option<Pair<'a>> {
    let mut pair = Pair {
        new: None,
        old: None,
    };
    for pod in spot.pods.iter().filter(|pod| !is_terminating(&****pod)) {
        let place = if set.is_updated(pod, hash) {
            &mut pair.new
        } else {
            &mut pair.old
        };
        if place.replace(pod).is_some() {
            return None;
        }
    }
    Some(pair)
}

/// Deletes old pods; those that are of no use already cost nothing.
fn replace<'a, 's>(
    set: &Set<'_>,
    pairs: impl Iterator<Item = (&'s Spot<'a>, Option<Pair<'a>>)>,
    most: usize,
    now: Timestamp,
) -> Next<'a>
where
    'a: 's,
{
    let mut unavailable = 0;
    let mut next = Next::default();
    let mut candidates = Vec::new();
    for (_, pair) in pairs {
        match pair {
            Some(Pair {
                new: None,
                old: Some(old),
            }) if set.is_available(old, now) => candidates.push(old),
            Some(Pair {
                new: None,
                old: Some(old),
            }) => {
                next.delete.push(old);
                unavailable += 1;
            }
            Some(Pair {
                new: Some(new),
                old: None,
            }) if set.is_available(new, now) => {}
            _ => unavailable += 1,
        }
    }
    let left = most.saturating_sub(unavailable);
    next.delete.extend(candidates.into_iter().take(left));
    next
}

/// Makes new pods beside old ones, and deletes the old ones that are not needed any more.
fn double<'a, 's>(
    set: &Set<'_>,
    pairs: impl Iterator<Item = (&'s Spot<'a>, Option<Pair<'a>>)>,
    most: usize,
    wanted: usize,
    now: Timestamp,
) -> Next<'a>
where
    'a: 's,
{
    let mut next = Next::default();
    let mut doubled = 0;
    let mut available = 0;
    let mut candidates = Vec::new();
    let mut misplaced = Vec::new();
    for (spot, pair) in pairs {
        let Some(pair) = pair else {
            doubled += 1;
            continue;
        };
        let serves = |pod: &Arc<Pod>| set.is_available(pod, now);
        available += usize::from(pair.old.or(pair.new).is_some_and(serves));
        match (pair.old, pair.new) {
            (None, _) => {}
            (Some(old), None) => match (spot.place == Place::Wanted, serves(old)) {
                (true, true) => candidates.push(spot.node),
                (true, false) => next.create.push(spot.node),
                (false, true) => misplaced.push(old),
                (false, false) => next.delete.push(old),
            },
            (Some(old), Some(new)) if serves(new) => next.delete.push(old),
            (Some(_), Some(_)) => doubled += 1,
        }
    }
    // A pod on a node that is no longer wanted goes when there are enough elsewhere.
    let spare = available.saturating_sub(wanted);
    next.delete.extend(misplaced.into_iter().take(spare));
    let left = most.saturating_sub(doubled);
    next.create.extend(candidates.into_iter().take(left));
    next
}
