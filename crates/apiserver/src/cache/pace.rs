//! How often the watchers of a kind are woken: a few at once and every time; many not again before they can all have
//! been served, so that writers get their turn and the watchers get several changes in one piece. Knows no watcher.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Up to this many watchers are woken for every change.
const FEW: usize = 32;
/// What it takes to serve one watcher, about.
const EACH: Duration = Duration::from_micros(20);
/// No change waits longer than this for its watchers to be woken.
const LONGEST: Duration = Duration::from_millis(25);

/// When the watchers are to be woken for a change.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Now,
    /// At this time; [`Pace::taken`] is to be called then.
    At(Instant),
    /// They will be anyway.
    Arranged,
}

#[derive(Default)]
pub(super) struct Pace(Mutex<State>);

#[derive(Default)]
struct State {
    last: Option<Instant>,
    arranged: bool,
}

impl Pace {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a turn for this many watchers.
    pub(super) fn ask(&self, watchers: usize, now: Instant) -> Turn {
        if watchers <= FEW {
            return Turn::Now;
        }
        let mut state = self.lock();
        if state.arranged {
            return Turn::Arranged;
        }
        let pause =
            u32::try_from(watchers).map_or(LONGEST, |watchers| LONGEST.min(EACH * watchers));
        match state.last {
            Some(last) if now < last + pause => {
                state.arranged = true;
                Turn::At(last + pause)
            }
            _ => {
                state.last = Some(now);
                Turn::Now
            }
        }
    }

    /// An arranged turn has come.
    pub(super) fn taken(&self, now: Instant) {
        let mut state = self.lock();
        state.arranged = false;
        state.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn many_watchers_are_woken_at_once_and_then_once_for_all_that_follows() {
        let pace = Pace::default();
        let start = Instant::now();
        assert_eq!(pace.ask(1000, start), Turn::Now);
        let soon = start + Duration::from_millis(1);
        let due = start + Duration::from_millis(20);
        assert_eq!(pace.ask(1000, soon), Turn::At(due));
        assert_eq!(pace.ask(1000, soon), Turn::Arranged);
        pace.taken(due);
        let later = due + Duration::from_millis(20);
        assert_eq!(pace.ask(1000, later), Turn::Now);
        assert_eq!(pace.ask(1_000_000, later), Turn::At(later + LONGEST));
    }

    #[tokio::test]
    async fn a_few_watchers_are_woken_every_time() {
        let (pace, now) = (Pace::default(), Instant::now());
        assert_eq!(pace.ask(FEW, now), Turn::Now);
        assert_eq!(pace.ask(FEW, now), Turn::Now);
    }
}
