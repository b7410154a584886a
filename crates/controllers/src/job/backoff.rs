//! How long a Job waits before it replaces a failed pod. Pure; time is passed in.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::{member, work::Work};
use crate::writes::is_terminating;

const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_mins(10);

/// After this many failures in a row the wait is the longest, so more need not be remembered.
const REMEMBERED: usize = 8;

/// The failures of a Job since its last success. Kept in memory, because a deleted pod tells nothing any
/// more; after a restart it begins with the pods that there still are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Failures {
    ended: BTreeMap<String, Timestamp>,
    last_success: Option<Timestamp>,
}

impl Failures {
    /// Takes in what the Job's pods tell; telling it twice changes nothing.
    pub(crate) fn learn<'a>(&mut self, work: &Work<'_>, pods: impl Iterator<Item = &'a Pod>) {
        // A pod that is let go on purpose, to suspend the Job say, is no failure.
        for pod in pods.filter(|pod| member::is_tracked(pod) || !is_terminating(*pod)) {
            if member::has_succeeded(pod) {
                self.last_success = self.last_success.max(Some(member::ended_at(pod)));
            } else if member::has_failed(pod, work) {
                let uid = pod.uid().unwrap_or_default();
                // The first word counts: a pod that is being deleted moves its end otherwise.
                self.ended
                    .entry(uid)
                    .or_insert_with(|| member::ended_at(pod));
            }
        }
        let last_success = self.last_success;
        self.ended.retain(|_, at| Some(*at) > last_success);
        while self.ended.len() > REMEMBERED {
            let oldest = self.ended.iter().min_by_key(|(_, at)| **at);
            let Some(oldest) = oldest.map(|(uid, _)| uid.clone()) else {
                break;
            };
            self.ended.remove(&oldest);
        }
    }

    /// The wait that is left.
    pub(crate) fn wait(&self, now: Timestamp) -> Duration {
        match self.ended.values().max() {
            Some(last) => wait(self.ended.len(), *last, now),
            None => Duration::ZERO,
        }
    }
}

/// The wait that is left after so many failures in a row, the last of them then: 10 s, doubled each time,
/// at most 10 minutes.
pub(crate) fn wait(failures: usize, last: Timestamp, now: Timestamp) -> Duration {
    let Some(doublings) = failures.checked_sub(1) else {
        return Duration::ZERO;
    };
    let full = FIRST.saturating_mul(1 << doublings.min(REMEMBERED));
    let passed = Duration::try_from(now.duration_since(last)).unwrap_or_default();
    full.min(LONGEST).saturating_sub(passed)
}
