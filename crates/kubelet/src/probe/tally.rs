//! Counts a probe's results against its thresholds. Pure.

use k8s_openapi::api::core::v1::Probe;

/// Results in a row.
#[derive(Debug)]
pub(super) struct Tally {
    successes_needed: u32,
    failures_needed: u32,
    last: Option<bool>,
    run: u32,
}

impl Tally {
    pub(super) fn of(probe: &Probe) -> Self {
        let at_least_one = |n: Option<i32>, default| {
            n.and_then(|n| u32::try_from(n).ok())
                .filter(|n| *n > 0)
                .unwrap_or(default)
        };
        Self {
            successes_needed: at_least_one(probe.success_threshold, 1),
            failures_needed: at_least_one(probe.failure_threshold, 3),
            last: None,
            run: 0,
        }
    }

    /// Counts a result; `Some` when it has now been the same often enough to count.
    pub(super) fn count(&mut self, success: bool) -> Option<bool> {
        self.run = if self.last == Some(success) {
            self.run.saturating_add(1)
        } else {
            1
        };
        self.last = Some(success);
        let needed = if success {
            self.successes_needed
        } else {
            self.failures_needed
        };
        (self.run >= needed).then_some(success)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_counts_only_when_it_came_often_enough_in_a_row() {
        let probe = Probe {
            success_threshold: Some(2),
            failure_threshold: Some(3),
            ..Probe::default()
        };
        let mut tally = Tally::of(&probe);
        let results = [
            true, false, false, true, false, false, false, false, true, true,
        ];
        let counted: Vec<_> = results.into_iter().map(|r| tally.count(r)).collect();
        let no = Some(false);
        assert_eq!(
            counted,
            [None, None, None, None, None, None, no, no, None, Some(true)]
        );
    }
}
