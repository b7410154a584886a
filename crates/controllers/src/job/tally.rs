//! Counts a Job's pods and judges whether they bring it to an end. Pure; decides no write.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::{
    indexes::Indexes,
    member,
    policy::{self, Consequence},
    work::{Goal, Index, Work},
};

/// Whether a Job is over, however its last pods end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) succeeded: bool,
    pub(crate) reason: String,
    pub(crate) message: String,
    /// Whether the Job's status says so already: the end itself is told only after that.
    pub(crate) announced: bool,
}

/// A Job's pods, counted.
pub(crate) struct Tally<'a> {
    /// Those of an index together, in order.
    pub(crate) pods: Vec<&'a Arc<Pod>>,
    pub(crate) active: Vec<&'a Arc<Pod>>,
    pub(crate) leaving: Vec<&'a Arc<Pod>>,
    /// Pods that succeeded, ever; for an indexed Job its succeeded indexes.
    pub(crate) succeeded: usize,
    pub(crate) succeeded_indexes: Indexes,
    /// The indexes given up; `None` unless each has a limit of its own.
    pub(crate) failed_indexes: Option<Indexes>,
    /// For each index that waits for a new pod, the failed one whose count the new one inherits.
    pub(crate) predecessors: BTreeMap<Index, &'a Arc<Pod>>,
    pub(crate) verdict: Option<Verdict>,
}

impl<'a> Tally<'a> {
    /// Counts the pods that are the Job's.
    pub(crate) fn of(work: &Work<'_>, pods: &'a [Arc<Pod>], now: Timestamp) -> Self {
        let mut pods: Vec<&Arc<Pod>> = pods.iter().collect();
        pods.sort_by_key(|pod| (member::index(pod), pod.name_any()));
        let select = |wanted: &dyn Fn(&Pod) -> bool| {
            let selected = pods.iter().filter(|pod| wanted(pod));
            selected.copied().collect::<Vec<_>>()
        };
        let mut tally = Self {
            active: select(&member::is_active),
            leaving: select(&member::is_leaving),
            pods,
            succeeded: 0,
            succeeded_indexes: Indexes::default(),
            failed_indexes: None,
            predecessors: BTreeMap::new(),
            verdict: None,
        };
        tally.count_indexes(work);
        tally.succeeded = if work.indexes().is_some() {
            tally.succeeded_indexes.len()
        } else {
            let counted = work.status.succeeded.unwrap_or(0);
            let new = tally.uncounted(work, &work.uncounted_succeeded, member::has_succeeded);
            usize::try_from(counted).unwrap_or(0) + work.uncounted_succeeded.len() + new
        };
        tally.verdict = tally.judge(work, now);
        tally
    }

    /// The indexes that active pods work on, or that leaving ones still do.
    pub(crate) fn occupied(&self, with_leaving: bool) -> Indexes {
        let leaving = self.leaving.iter().filter(|_| with_leaving);
        let occupants = self.active.iter().chain(leaving);
        occupants.filter_map(|pod| member::index(pod)).collect()
    }

    /// Whether all that was asked for is there and nothing runs any more.
    pub(crate) fn is_complete(&self, work: &Work<'_>) -> bool {
        let enough = match work.goal {
            Goal::Any => self.succeeded > 0,
            Goal::Count(wanted) | Goal::Indexes(wanted) => self.succeeded >= wanted as usize,
        };
        enough && self.active.is_empty()
    }

    /// How many tracked pods of that kind are not among those: with a valid index where there are any.
    fn uncounted(
        &self,
        work: &Work<'_>,
        known: &HashSet<String>,
        wanted: impl Fn(&Pod) -> bool,
    ) -> usize {
        let new = self.pods.iter().filter(|pod| {
            let indexed = |count| member::valid_index(pod, count).is_some();
            member::is_tracked(pod)
                && !pod.uid().is_some_and(|uid| known.contains(&uid))
                && work.indexes().is_none_or(indexed)
                && wanted(pod)
        });
        new.count()
    }

    fn count_indexes(&mut self, work: &Work<'_>) {
        let Some(count) = work.indexes() else {
            return;
        };
        let tracked = || self.pods.iter().filter(|pod| member::is_tracked(pod));
        let written = work.status.completed_indexes.as_deref().unwrap_or_default();
        let new = tracked()
            .filter(|pod| member::has_succeeded(pod))
            .filter_map(|pod| member::valid_index(pod, count));
        self.succeeded_indexes = Indexes::parse(written, count).union(&new.collect());
        let Some(limit) = work.backoff_limit_per_index else {
            return;
        };
        let written = work.status.failed_indexes.as_deref().unwrap_or_default();
        let new = tracked()
            .filter(|pod| gives_up(work, pod, limit))
            .filter_map(|pod| member::valid_index(pod, count));
        let failed = Indexes::parse(written, count).union(&new.collect());
        let settled = self
            .succeeded_indexes
            .union(&failed)
            .union(&self.occupied(false));
        self.failed_indexes = Some(failed);
        self.predecessors = self.predecessors(work, count, &settled);
    }

    fn predecessors(
        &self,
        work: &Work<'_>,
        count: Index,
        settled: &Indexes,
    ) -> BTreeMap<Index, &'a Arc<Pod>> {
        let rank = |pod: &Pod| {
            let (counted, ignored) = member::index_failures(pod);
            (
                i64::from(counted) + i64::from(ignored),
                member::ended_at(pod),
            )
        };
        let mut last: BTreeMap<Index, &Arc<Pod>> = BTreeMap::new();
        for pod in self.pods.iter().copied() {
            let waits = member::is_tracked(pod) && member::has_failed(pod, work);
            let index = member::valid_index(pod, count).filter(|_| waits);
            let Some(index) = index.filter(|index| !settled.contains(*index)) else {
                continue;
            };
            if last.get(&index).is_none_or(|held| rank(held) <= rank(pod)) {
                last.insert(index, pod);
            }
        }
        last
    }

    fn judge(&self, work: &Work<'_>, now: Timestamp) -> Option<Verdict> {
        for (kind, succeeded) in [("SuccessCriteriaMet", true), ("FailureTarget", false)] {
            if let Some(condition) = work.holds(kind) {
                return Some(Verdict {
                    succeeded,
                    reason: condition.reason.clone().unwrap_or_default(),
                    message: condition.message.clone().unwrap_or_default(),
                    announced: true,
                });
            }
        }
        let failed = |reason: &str, message: &str| Some(verdict(false, reason, message));
        let failures = self.pods.iter().filter(|pod| member::has_failed(pod, work));
        for pod in failures {
            if let Consequence::FailJob(why) = policy::consequence(work.failure_policy, pod) {
                return failed("PodFailurePolicy", &why);
            }
        }
        if self.exceeds_backoff_limit(work) {
            let message = "Job has reached the specified backoff limit";
            return failed("BackoffLimitExceeded", message);
        }
        if deadline(work).is_some_and(|deadline| deadline <= now) {
            let message = "Job was active longer than specified deadline";
            return failed("DeadlineExceeded", message);
        }
        let count = work.indexes()?;
        if let Some(given_up) = self.failed_indexes.as_ref().map(Indexes::len) {
            if work.max_failed_indexes.is_some_and(|max| given_up > max) {
                let message = "Job has exceeded the specified maximal number of failed indexes";
                return failed("MaxFailedIndexesExceeded", message);
            }
            if given_up > 0 && given_up + self.succeeded_indexes.len() >= count as usize {
                return failed("FailedIndexes", "Job has failed indexes");
            }
        }
        let why = policy::success(work.success_policy, count, &self.succeeded_indexes)?;
        Some(verdict(true, "SuccessPolicy", &why))
    }

    fn exceeds_backoff_limit(&self, work: &Work<'_>) -> bool {
        let new = self.uncounted(work, &work.uncounted_failed, |pod| {
            member::has_failed(pod, work) && counts(work, pod)
        });
        let counted = i64::from(work.status.failed.unwrap_or(0));
        let failed = new + work.uncounted_failed.len();
        if counted + i64::try_from(failed).unwrap_or(i64::MAX) > i64::from(work.backoff_limit) {
            return true;
        }
        if !work.restarts_on_failure {
            return false;
        }
        let running = self.pods.iter().filter(|pod| {
            let phase = member::phase(pod);
            phase == "Running" || phase == "Pending"
        });
        let restarts: i64 = running.map(|pod| member::restarts(pod)).sum();
        restarts >= i64::from(work.backoff_limit).max(1)
    }
}

/// A verdict that the status does not tell of yet.
pub(crate) fn verdict(succeeded: bool, reason: &str, message: &str) -> Verdict {
    Verdict {
        succeeded,
        reason: reason.to_owned(),
        message: message.to_owned(),
        announced: false,
    }
}

/// When a Job that runs has run too long.
pub(crate) fn deadline(work: &Work<'_>) -> Option<Timestamp> {
    // One that was suspended until now begins anew.
    if work.suspended || work.holds("Suspended").is_some() {
        return None;
    }
    let start = work.status.start_time.as_ref()?.0;
    let allowed = SignedDuration::from_secs(work.active_deadline_seconds?);
    start.checked_add(allowed).ok()
}

/// Whether the failure of that pod counts towards a limit.
pub(crate) fn counts(work: &Work<'_>, pod: &Pod) -> bool {
    policy::consequence(work.failure_policy, pod) != Consequence::Ignore
}

/// Whether the pod's failure is its index's last.
fn gives_up(work: &Work<'_>, pod: &Pod, limit: i32) -> bool {
    member::has_failed(pod, work)
        && match policy::consequence(work.failure_policy, pod) {
            Consequence::FailIndex => true,
            Consequence::Ignore => false,
            Consequence::Count | Consequence::FailJob(_) => member::index_failures(pod).0 >= limit,
        }
}
