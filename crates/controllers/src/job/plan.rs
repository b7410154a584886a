//! Decides which pods a Job should make and let go next. Pure: no clock, no I/O, no memory but what is
//! passed in.
//!
//! What the pods come to is counted afterwards, by `track`, from what there is then.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{ResourceExt, core::SelectorExt};

use super::{
    backoff::{self, Failures},
    member,
    removal::victims,
    tally::{Tally, deadline},
    template,
    work::{Goal, Work, WorkError},
};
use crate::{ownership::controller, writes::is_terminating};

/// Pods made or let go in one round, at most; the next round goes on.
const MOST: usize = 500;

/// Everything a decision may look at.
pub(crate) struct World<'a> {
    pub(crate) job: &'a Job,
    /// The pods of the namespace that the Job controls or that nobody does; others do no harm.
    pub(crate) pods: &'a [Arc<Pod>],
    pub(crate) failures: &'a Failures,
}

/// A pod that a write is for, and no successor of its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Which {
    pub(crate) name: String,
    pub(crate) uid: String,
}

impl Which {
    pub(crate) fn of(pod: &Pod) -> Self {
        Self {
            name: pod.name_any(),
            uid: pod.uid().unwrap_or_default(),
        }
    }
}

/// One write.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// Make the Job the pod's controller and keep the pod until it is counted; only after a fresh look at
    /// the Job.
    Adopt(Which),
    /// Take the Job from the pod's owners, and the pod out of its count.
    Release(Which),
    /// Delete a pod whose end is of no interest: it may vanish uncounted.
    Dismiss(Which),
    /// Delete a pod; its end is still counted.
    Delete(Which),
    Create(Box<Pod>),
}

/// The next writes.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Plan {
    /// Done first; what there is then has to be looked at anew.
    pub(crate) claims: Vec<Action>,
    pub(crate) pods: Vec<Action>,
    /// When the mere passing of time makes a difference.
    pub(crate) again_in: Option<Duration>,
}

/// Decides. `Err` when only an edit of the Job can help.
pub(crate) fn plan(world: &World<'_>, now: Timestamp) -> Result<Plan, WorkError> {
    let work = Work::parse(world.job)?;
    let claims = claims(&work, world.pods);
    if !claims.is_empty() {
        return Ok(Plan {
            claims,
            ..Plan::default()
        });
    }
    let members = members(&work, world.pods);
    let tally = Tally::of(&work, &members, now);
    let mut plan = Plan::default();
    if tally.verdict.is_some() {
        let all = tally.active.iter().map(|pod| Which::of(pod));
        plan.pods = all.map(Action::Delete).collect();
        return Ok(plan);
    }
    if let Some(deadline) = deadline(&work) {
        plan.wait(until(deadline, now));
    }
    if work.deleting {
        return Ok(plan);
    }
    let wanted = wanted(&work, &tally);
    let surplus = tally.active.len().saturating_sub(wanted);
    let dismissed = victims(&work, &tally.active, surplus);
    // Either pods go or pods come: what goes may free an index, or a place.
    if !dismissed.is_empty() {
        let most = if work.suspended { usize::MAX } else { MOST };
        let dismissed = dismissed.into_iter().take(most);
        plan.pods = dismissed
            .map(|pod| Action::Dismiss(Which::of(pod)))
            .collect();
        return Ok(plan);
    }
    let held = if work.only_ended_count {
        tally.leaving.len()
    } else {
        0
    };
    let missing = wanted.saturating_sub(held + tally.active.len()).min(MOST);
    if missing > 0 {
        create(&work, &tally, world.failures, missing, now, &mut plan);
    }
    Ok(plan)
}

/// The pods that are the Job's.
pub(crate) fn members(work: &Work<'_>, pods: &[Arc<Pod>]) -> Vec<Arc<Pod>> {
    let ours = pods
        .iter()
        .filter(|pod| controlled(pod, work) && work.selector.matches(pod.labels()));
    ours.cloned().collect()
}

fn controlled(pod: &Pod, work: &Work<'_>) -> bool {
    controller(pod).is_some_and(|owner| owner.uid == work.uid)
}

/// C-7: what is selected and nobody's is taken in, what is ours and no longer selected let go.
fn claims(work: &Work<'_>, pods: &[Arc<Pod>]) -> Vec<Action> {
    if work.deleting {
        return Vec::new();
    }
    let claim = |pod: &Arc<Pod>| {
        let selected = work.selector.matches(pod.labels());
        match controller(&**pod) {
            Some(owner) if owner.uid == work.uid => {
                (!selected).then(|| Action::Release(Which::of(pod)))
            }
            None if selected && !is_terminating(&**pod) => Some(Action::Adopt(Which::of(pod))),
            _ => None,
        }
    };
    pods.iter().filter_map(claim).collect()
}

/// How many pods should be active.
fn wanted(work: &Work<'_>, tally: &Tally<'_>) -> usize {
    if work.suspended {
        return 0;
    }
    match work.goal {
        // Those that run may end; nobody new begins after the first success.
        Goal::Any if tally.succeeded > 0 => tally.active.len(),
        Goal::Any => work.parallelism,
        Goal::Count(goal) | Goal::Indexes(goal) => {
            let left = (goal as usize).saturating_sub(tally.succeeded);
            left.min(work.parallelism)
        }
    }
}

fn create(
    work: &Work<'_>,
    tally: &Tally<'_>,
    failures: &Failures,
    missing: usize,
    now: Timestamp,
    plan: &mut Plan,
) {
    // With a limit for each index, each waits for itself alone.
    if work.backoff_limit_per_index.is_none() {
        let left = failures.wait(now);
        if !left.is_zero() {
            return plan.wait(left);
        }
    }
    let Some(count) = work.indexes() else {
        let pod = || Action::Create(Box::new(template::pod(work, None, None)));
        plan.pods = std::iter::repeat_with(pod).take(missing).collect();
        return;
    };
    let taken = tally
        .succeeded_indexes
        .union(&tally.occupied(work.only_ended_count));
    let taken = match &tally.failed_indexes {
        Some(failed) => taken.union(failed),
        None => taken,
    };
    for index in taken.first_missing(missing, count) {
        let predecessor = tally.predecessors.get(&index).copied();
        match predecessor.map_or(Duration::ZERO, |pod| own_wait(pod, now)) {
            Duration::ZERO => {
                let pod = template::pod(work, Some(index), predecessor.map(|pod| &**pod));
                plan.pods.push(Action::Create(Box::new(pod)));
            }
            left => plan.wait(left),
        }
    }
}

/// How long the index of a failed pod still waits.
fn own_wait(failed: &Pod, now: Timestamp) -> Duration {
    let (counted, ignored) = member::index_failures(failed);
    let before = usize::try_from(i64::from(counted) + i64::from(ignored)).unwrap_or(0);
    backoff::wait(before + 1, member::ended_at(failed), now)
}

fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default()
}

impl Plan {
    /// The shortest wait counts.
    fn wait(&mut self, time: Duration) {
        let shortest = self.again_in.map_or(time, |held| held.min(time));
        self.again_in = Some(shortest);
    }
}
