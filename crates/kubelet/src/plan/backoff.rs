//! How long a failing thing must wait before it is tried again (L-10, L-11). Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

/// A doubling delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// After the first failure.
    pub first: Duration,
    /// It never grows beyond this.
    pub longest: Duration,
}

impl Schedule {
    /// Containers that crash and images that cannot be pulled.
    pub(crate) const CRASH: Self = Self::new(10_000, 300_000);
    /// Volumes, sandboxes, networks and calls to the API, which often heal at once.
    pub(crate) const STEP: Self = Self::new(500, 120_000);

    /// Containers that could not be made or started, until what they wait for is there.
    pub(crate) const START: Self = Self::new(1_000, 10_000);

    const fn new(first: u64, longest: u64) -> Self {
        Self {
            first: Duration::from_millis(first),
            longest: Duration::from_millis(longest),
        }
    }

    /// The delay after `failures` failures in a row (at least one).
    pub(crate) fn delay(self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        self.first.saturating_mul(1 << doublings).min(self.longest)
    }
}

/// The restart delays of a pod's containers. A key is a container's name and the fingerprint of its
/// specification, so that a new image starts afresh.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BackOff {
    entries: BTreeMap<(String, String), Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    delay: Duration,
    last_restart: Timestamp,
}

/// A container that ran this long without a crash is forgiven (twice the longest delay, as upstream).
const FORGIVEN_AFTER: Duration = Duration::from_mins(10);

impl BackOff {
    /// The delay that holds for a container that ended at `ended`, and when it is over. `None`: restart now.
    pub(crate) fn holds(
        &self,
        name: &str,
        hash: &str,
        ended: Timestamp,
        now: Timestamp,
    ) -> Option<(Duration, Timestamp)> {
        let entry = self.entries.get(&(name.to_owned(), hash.to_owned()))?;
        if elapsed(entry.last_restart, ended) > FORGIVEN_AFTER {
            return None;
        }
        let until = ended + entry.delay;
        (now < until).then_some((entry.delay, until))
    }

    /// Notes a restart at `now`: the next one waits longer, or shortest if the last was long ago.
    pub(crate) fn restarted(&mut self, name: &str, hash: &str, now: Timestamp) {
        let key = (name.to_owned(), hash.to_owned());
        let delay = match self.entries.get(&key) {
            Some(e) if elapsed(e.last_restart, now) <= FORGIVEN_AFTER => {
                (e.delay * 2).min(Schedule::CRASH.longest)
            }
            _ => Schedule::CRASH.first,
        };
        self.entries.insert(
            key,
            Entry {
                delay,
                last_restart: now,
            },
        );
    }

    /// Rebuilds the delay of a container found at a daemon's start, which has been restarted `restarts` times.
    pub(crate) fn adopt(&mut self, name: &str, hash: &str, restarts: u32, last_restart: Timestamp) {
        if restarts > 0 {
            let delay = Schedule::CRASH.delay(restarts);
            self.entries
                .entry((name.to_owned(), hash.to_owned()))
                .or_insert(Entry {
                    delay,
                    last_restart,
                });
        }
    }
}

/// Time from `from` to `to`; zero if the clock went back.
fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("time")
    }

    #[test]
    fn l10_first_restart_is_immediate_then_10_s_doubling_to_300_s() {
        let mut backoff = BackOff::default();
        let mut now = 0;
        let mut waits = Vec::new();
        for _ in 0..8 {
            let wait = backoff
                .holds("c", "h", at(now), at(now))
                .map_or(0, |(d, _)| d.as_secs());
            waits.push(wait);
            now += i64::try_from(wait).expect("small");
            assert_eq!(
                backoff.holds("c", "h", at(now) - Duration::from_secs(wait), at(now)),
                None
            );
            backoff.restarted("c", "h", at(now));
        }
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn l10_ten_quiet_minutes_and_a_new_image_reset_the_delay() {
        let mut backoff = BackOff::default();
        for second in [0, 1, 2] {
            backoff.restarted("c", "h", at(second));
        }
        assert!(backoff.holds("c", "h", at(3), at(3)).is_some());
        assert_eq!(backoff.holds("c", "h", at(3 + 600), at(3 + 600)), None);
        assert_eq!(backoff.holds("c", "other image", at(3), at(3)), None);
        backoff.restarted("c", "h", at(1000));
        assert_eq!(
            backoff
                .holds("c", "h", at(1001), at(1001))
                .map(|(d, _)| d.as_secs()),
            Some(10)
        );
    }

    #[test]
    fn a_restarted_daemon_remembers_how_often_a_container_crashed() {
        let mut backoff = BackOff::default();
        backoff.adopt("c", "h", 3, at(0));
        assert_eq!(
            backoff
                .holds("c", "h", at(1), at(1))
                .map(|(d, _)| d.as_secs()),
            Some(40)
        );
    }

    #[test]
    fn a_clock_that_goes_back_does_not_panic() {
        let mut backoff = BackOff::default();
        backoff.restarted("c", "h", at(7200));
        assert!(backoff.holds("c", "h", at(3600), at(3600)).is_some());
    }
}
