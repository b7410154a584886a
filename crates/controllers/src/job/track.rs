//! Counts the ends of a Job's pods into its status, each exactly once, and tells the end of the Job.
//! Pure.
//!
//! A pod that ended is first named in the status, then loses the finalizer that kept it, and only then
//! moves into the total: a crash between any two of these neither loses nor doubles it.

use std::collections::HashSet;

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        batch::v1::{JobCondition, JobStatus, UncountedTerminatedPods},
        core::v1::Pod,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::ResourceExt;
use plinth_client::EventKind;

use super::{
    indexes::Indexes,
    member,
    plan::{Which, World, members},
    tally::{Tally, Verdict, counts, verdict},
    work::{Goal, Work, WorkError},
};
use crate::pods::is_ready;

/// Pods that a status may name at a time.
const MOST_UNCOUNTED: usize = 500;

/// Something to tell the user once the status is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) kind: EventKind,
    pub(crate) reason: String,
    pub(crate) message: String,
}

/// The next writes, in this order.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Track {
    /// `None` when nothing in it changed.
    pub(crate) status: Option<Box<JobStatus>>,
    pub(crate) events: Vec<Told>,
    /// Pods that need not be kept any longer.
    pub(crate) untrack: Vec<Which>,
}

/// Decides.
pub(crate) fn track(world: &World<'_>, now: Timestamp) -> Result<Track, WorkError> {
    let work = Work::parse(world.job)?;
    let members = members(&work, world.pods);
    let tally = Tally::of(&work, &members, now);
    let at = Time(whole_seconds(now));
    let mut track = Track::default();
    let mut status = work.status.clone();
    if !work.suspended {
        status.start_time.get_or_insert_with(|| at.clone());
    }
    let finished = match &tally.verdict {
        // Pods that could not be deleted yet hold it up.
        Some(verdict) => tally.active.is_empty().then(|| verdict.clone()),
        None if tally.is_complete(&work) => {
            let message = "Reached expected number of succeeded pods";
            Some(verdict(true, "CompletionsReached", message))
        }
        None if !work.deleting => {
            suspension(&work, &mut status, &at, &mut track.events);
            None
        }
        None => None,
    };
    let ready = tally.active.iter().filter(|pod| is_ready(pod)).count();
    status.active = positive(tally.active.len());
    status.ready = Some(small(ready));
    status.terminating = Some(small(tally.leaving.len()));
    count(&work, &tally, finished.as_ref(), &mut status, &mut track);
    if let Some(verdict) = finished {
        conclude(&work, &tally, &verdict, &mut status, &at, &mut track);
    }
    if status != work.status {
        track.status = Some(Box::new(status));
    }
    Ok(track)
}

/// Moves ended pods on: into the list of the uncounted, out of their finalizer, into the totals.
fn count(
    work: &Work<'_>,
    tally: &Tally<'_>,
    finished: Option<&Verdict>,
    status: &mut JobStatus,
    track: &mut Track,
) {
    let uncounted = status.uncounted_terminated_pods.take().unwrap_or_default();
    let tracked = tally.pods.iter().filter(|pod| member::is_tracked(pod));
    let tracked: HashSet<String> = tracked.filter_map(|pod| pod.uid()).collect();
    let still = |uids: Option<Vec<String>>, total: &mut Option<i32>| {
        let (kept, counted): (Vec<_>, Vec<_>) = uids
            .into_iter()
            .flatten()
            .partition(|uid| tracked.contains(uid));
        *total = positive(usize::try_from(total.unwrap_or(0)).unwrap_or(0) + counted.len());
        kept
    };
    let mut succeeded = still(uncounted.succeeded, &mut status.succeeded);
    let mut failed = still(uncounted.failed, &mut status.failed);
    let mut new_indexes = 0;
    for pod in &tally.pods {
        if !member::is_tracked(pod) || !may_go(work, tally, finished, pod) {
            continue;
        }
        track.untrack.push(Which::of(pod));
        let uid = pod.uid().unwrap_or_default();
        let has_index = |count| member::valid_index(pod, count).is_some();
        if member::has_succeeded(pod) && !work.uncounted_failed.contains(&uid) {
            if work.indexes().is_some_and(has_index) {
                new_indexes += 1;
            } else if work.indexes().is_none() && !work.uncounted_succeeded.contains(&uid) {
                succeeded.push(uid);
            }
        } else if fails(work, tally, finished, pod) {
            let known = work.uncounted_failed.contains(&uid);
            if !known && work.indexes().is_none_or(has_index) && counts(work, pod) {
                failed.push(uid);
            }
        }
        if new_indexes + succeeded.len() + failed.len() >= MOST_UNCOUNTED {
            break;
        }
    }
    if work.indexes().is_some() {
        status.succeeded = positive(tally.succeeded_indexes.len());
        let text = tally.succeeded_indexes.to_string();
        status.completed_indexes = (!text.is_empty()).then_some(text);
        status.failed_indexes = tally.failed_indexes.as_ref().map(Indexes::to_string);
    }
    let list = |uids: Vec<String>| (!uids.is_empty()).then_some(uids);
    status.uncounted_terminated_pods = Some(UncountedTerminatedPods {
        failed: list(failed),
        succeeded: list(succeeded),
    });
}

/// Whether the pod counts as failed. What still ran when the Job failed does, what was let go because the
/// Job had succeeded already does not.
fn fails(work: &Work<'_>, tally: &Tally<'_>, finished: Option<&Verdict>, pod: &Pod) -> bool {
    match finished {
        Some(verdict) if !verdict.succeeded => true,
        Some(_) if tally.verdict.is_some() => member::phase(pod) == "Failed",
        _ => member::has_failed(pod, work),
    }
}

/// Whether the pod's finalizer may be taken off.
fn may_go(work: &Work<'_>, tally: &Tally<'_>, finished: Option<&Verdict>, pod: &Pod) -> bool {
    if work.deleting || finished.is_some() || member::has_succeeded(pod) {
        return true;
    }
    // A failed pod's successor takes over the count of its index's failures; until then it stays.
    let mut predecessors = tally.predecessors.values();
    member::has_failed(pod, work) && !predecessors.any(|held| held.uid() == pod.uid())
}

/// Says in the conditions that the Job is over: first that it will be, and when everything is counted and
/// nothing runs any more, that it is.
fn conclude(
    work: &Work<'_>,
    tally: &Tally<'_>,
    verdict: &Verdict,
    status: &mut JobStatus,
    at: &Time,
    track: &mut Track,
) {
    let kind = |succeeded, failed| if verdict.succeeded { succeeded } else { failed };
    if !verdict.announced {
        set_condition(
            status,
            kind("SuccessCriteriaMet", "FailureTarget"),
            true,
            verdict,
            at,
        );
        return;
    }
    let none = |uids: &Option<Vec<String>>| uids.as_ref().is_none_or(Vec::is_empty);
    let all_counted = status
        .uncounted_terminated_pods
        .as_ref()
        .is_none_or(|pods| none(&pods.succeeded) && none(&pods.failed));
    if !all_counted || !track.untrack.is_empty() || !tally.leaving.is_empty() {
        return;
    }
    set_condition(status, kind("Complete", "Failed"), true, verdict, at);
    let mut tell = |kind, reason: &str, message: &str| {
        track.events.push(Told {
            kind,
            reason: reason.to_owned(),
            message: message.to_owned(),
        });
    };
    if !verdict.succeeded {
        return tell(EventKind::Warning, &verdict.reason, &verdict.message);
    }
    status.completion_time = Some(at.clone());
    if let Goal::Count(wanted) = work.goal
        && i64::from(status.succeeded.unwrap_or(0)) > i64::from(wanted)
    {
        let message = "Too many succeeded pods running after completion count reached";
        tell(EventKind::Warning, "TooManySucceededPods", message);
    }
    tell(EventKind::Normal, "Completed", "Job completed");
}

/// Tells whether the Job is suspended, once it ever was.
fn suspension(work: &Work<'_>, status: &mut JobStatus, at: &Time, events: &mut Vec<Told>) {
    let (reason, message, event) = if work.suspended {
        ("JobSuspended", "Job suspended", "Suspended")
    } else {
        ("JobResumed", "Job resumed", "Resumed")
    };
    let says = verdict(true, reason, message);
    if !set_condition(status, "Suspended", work.suspended, &says, at) {
        return;
    }
    if !work.suspended {
        // The time it was suspended is none of its deadline.
        status.start_time = Some(at.clone());
    }
    events.push(Told {
        kind: EventKind::Normal,
        reason: event.to_owned(),
        message: message.to_owned(),
    });
}

/// Sets a condition; tells whether it changed. What never held is not said not to hold.
fn set_condition(
    status: &mut JobStatus,
    kind: &str,
    holds: bool,
    says: &Verdict,
    at: &Time,
) -> bool {
    let condition = JobCondition {
        type_: kind.to_owned(),
        status: if holds { "True" } else { "False" }.to_owned(),
        reason: Some(says.reason.clone()),
        message: Some(says.message.clone()),
        last_probe_time: Some(at.clone()),
        last_transition_time: Some(at.clone()),
    };
    let conditions = status.conditions.get_or_insert_default();
    match conditions.iter_mut().find(|held| held.type_ == kind) {
        Some(held) => {
            let same = held.status == condition.status
                && held.reason == condition.reason
                && held.message == condition.message;
            if !same {
                *held = condition;
            }
            !same
        }
        None if holds => {
            conditions.push(condition);
            true
        }
        None => {
            if conditions.is_empty() {
                status.conditions = None;
            }
            false
        }
    }
}

/// A count that is left out when it is zero.
fn positive(count: usize) -> Option<i32> {
    (count > 0).then(|| small(count))
}

fn small(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// metav1.Time carries whole seconds.
fn whole_seconds(at: Timestamp) -> Timestamp {
    // A timestamp without its fraction is within the same bounds.
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
