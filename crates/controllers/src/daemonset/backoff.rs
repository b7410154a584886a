//! How soon a failed pod's node gets a new one. Pure; time is passed in.

use std::{collections::HashMap, time::Duration};

use jiff::Timestamp;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(15);

/// The pods that failed on each node lately. Kept in memory only: a restart forgives.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failures(HashMap<String, (Duration, Timestamp)>);

impl Failures {
    /// The wait that is left for a node.
    pub(crate) fn wait(&self, node: &str, now: Timestamp) -> Duration {
        let Some((wait, since)) = self.0.get(node) else {
            return Duration::ZERO;
        };
        let passed = Duration::try_from(now.duration_since(*since)).unwrap_or_default();
        wait.saturating_sub(passed)
    }

    /// A failed pod on the node is deleted now: the next one waits twice as long, unless it comes late.
    pub(crate) fn note(&mut self, node: &str, now: Timestamp) {
        let wait = match self.0.get(node) {
            Some((wait, since)) => {
                let passed = Duration::try_from(now.duration_since(*since)).unwrap_or_default();
                if passed > LONGEST * 2 {
                    FIRST
                } else {
                    (*wait * 2).min(LONGEST)
                }
            }
            None => FIRST,
        };
        self.0.insert(node.to_owned(), (wait, now));
    }
}
