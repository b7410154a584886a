//! Counters and histograms by label set, and the page they are written on. Knows no requests.

use std::collections::HashMap;
use std::fmt::{Display, Write as _};
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// One series for each key. Series are made when they are first needed and stay.
pub(super) struct Family<K, S>(RwLock<HashMap<K, Arc<S>>>);

impl<K, S> Default for Family<K, S> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: Eq + Hash + Ord + Clone, S: Default> Family<K, S> {
    /// Does something with the series of a key.
    pub(super) fn with<T>(&self, key: K, act: impl FnOnce(&S) -> T) -> T {
        act(&self.series(key))
    }

    /// The series of a key.
    pub(super) fn series(&self, key: K) -> Arc<S> {
        let known = {
            let series = self.0.read().unwrap_or_else(PoisonError::into_inner);
            series.get(&key).cloned()
        };
        known.unwrap_or_else(|| {
            let mut series = self.0.write().unwrap_or_else(PoisonError::into_inner);
            series.entry(key).or_default().clone()
        })
    }

    /// Shows all series in the order of their keys.
    pub(super) fn each(&self, mut show: impl FnMut(&K, &S)) {
        let mut all: Vec<(K, Arc<S>)> = {
            let series = self.0.read().unwrap_or_else(PoisonError::into_inner);
            series
                .iter()
                .map(|(key, series)| (key.clone(), series.clone()))
                .collect()
        };
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (key, series) in &all {
            show(key, series);
        }
    }
}

/// How many bounds a histogram has at most.
const BOUNDS: usize = 31;

/// Durations by how long they were.
#[derive(Default)]
pub(super) struct Histogram {
    /// Per bound, how many were at most that long and longer than the bound before; the last is for all longer ones.
    counts: [AtomicU64; BOUNDS + 1],
    micros: AtomicU64,
}

impl Histogram {
    /// Counts one duration.
    pub(super) fn observe(&self, bounds: &[f64], took: Duration) {
        let seconds = took.as_secs_f64();
        let at = bounds.partition_point(|bound| *bound < seconds).min(BOUNDS);
        self.counts[at].fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Writes it.
    pub(super) fn on(&self, page: &mut Page, name: &str, own: &[(&str, &str)], bounds: &[f64]) {
        let mut total = 0;
        for (index, bound) in bounds.iter().enumerate() {
            total += self.counts[index].load(Ordering::Relaxed);
            let bound = bound.to_string();
            let mut all = own.to_vec();
            all.push(("le", &bound));
            page.line(&format!("{name}_bucket"), &labels(&all), &total);
        }
        total += self.counts[bounds.len()].load(Ordering::Relaxed);
        let mut all = own.to_vec();
        all.push(("le", "+Inf"));
        page.line(&format!("{name}_bucket"), &labels(&all), &total);
        let sum = Duration::from_micros(self.micros.load(Ordering::Relaxed)).as_secs_f64();
        page.line(&format!("{name}_sum"), &labels(own), &sum);
        page.line(&format!("{name}_count"), &labels(own), &total);
    }
}

/// Labels as they stand behind a name: `{a="b",c="d"}`, nothing without any.
pub(super) fn labels(all: &[(&str, &str)]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let each = all.iter().map(|(name, value)| {
        let value = value
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        format!("{name}=\"{value}\"")
    });
    format!("{{{}}}", each.collect::<Vec<_>>().join(","))
}

/// A page in the text format of Prometheus.
#[derive(Default)]
pub(super) struct Page(String);

impl Page {
    /// Begins a metric.
    pub(super) fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One sample.
    pub(super) fn line(&mut self, name: &str, labels: &str, value: &dyn Display) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    /// The page.
    pub(super) fn text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_up_to_each_bound() {
        let histogram = Histogram::default();
        for millis in [1, 100, 150, 5000] {
            histogram.observe(&[0.1, 0.2], Duration::from_millis(millis));
        }
        let mut page = Page::default();
        histogram.on(&mut page, "t", &[("v", "a\"b")], &[0.1, 0.2]);
        let expected = concat!(
            "t_bucket{v=\"a\\\"b\",le=\"0.1\"} 2\n",
            "t_bucket{v=\"a\\\"b\",le=\"0.2\"} 3\n",
            "t_bucket{v=\"a\\\"b\",le=\"+Inf\"} 4\n",
            "t_sum{v=\"a\\\"b\"} 5.251\n",
            "t_count{v=\"a\\\"b\"} 4\n",
        );
        assert_eq!(page.text(), expected);
    }

    #[test]
    fn series_stand_in_the_order_of_their_keys() {
        let family: Family<&str, AtomicU64> = Family::default();
        for key in ["b", "a", "b"] {
            family.with(key, |count| count.fetch_add(1, Ordering::Relaxed));
        }
        let mut seen = Vec::new();
        family.each(|key, count| seen.push((*key, count.load(Ordering::Relaxed))));
        assert_eq!(seen, [("a", 1), ("b", 2)]);
    }
}
