//! Waiting times between attempts. Knows nothing of what is attempted.

use std::time::Duration;

/// Exponential waiting times with jitter, for a connection that fails again and again.
///
/// The jitter keeps a herd of nodes from returning in the same instant after a server restart.
pub(crate) struct Backoff {
    attempt: u32,
}

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(30);

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { attempt: 0 }
    }

    /// The time to wait before the next attempt: 50 ms, doubled each time up to 30 s, of which the
    /// upper half is random.
    pub(crate) fn next(&mut self) -> Duration {
        let full = FIRST.saturating_mul(1 << self.attempt.min(16)).min(LONGEST);
        self.attempt = self.attempt.saturating_add(1);
        full.mul_f64(0.5 + rand::random::<f64>() / 2.0)
    }

    /// An attempt succeeded; the next failure waits the shortest time again.
    pub(crate) fn reset(&mut self) {
        self.attempt = 0;
    }
}
