//! What work queues count of themselves, in the text format of Prometheus and under upstream's names. Knows
//! nothing of where the page is shown.

use std::{
    fmt::Write,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Upstream's bounds, in seconds, as it writes them: from ten nanoseconds up in steps of ten.
const BOUNDS: [(f64, &str); 12] = [
    (1e-8, "1e-08"),
    (1e-7, "1e-07"),
    (1e-6, "1e-06"),
    (1e-5, "9.999999999999999e-06"),
    (1e-4, "9.999999999999999e-05"),
    (1e-3, "0.001"),
    (1e-2, "0.01"),
    (1e-1, "0.1"),
    (1.0, "1"),
    (10.0, "10"),
    (100.0, "100"),
    (1000.0, "1000"),
];

/// The queues of a process that are measured. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub struct QueueMeters {
    queues: Arc<Mutex<Vec<Measured>>>,
}

struct Measured {
    name: String,
    meter: Arc<Meter>,
    queue: Weak<dyn Look>,
}

/// How a queue stands at this moment.
pub(crate) struct Standing {
    /// Keys that wait for a worker.
    pub(crate) depth: usize,
    /// For each key that is worked on: since how long.
    pub(crate) running: Vec<Duration>,
}

/// A queue that can be asked how it stands.
pub(crate) trait Look: Send + Sync {
    fn standing(&self) -> Standing;
}

/// What one queue has counted so far.
#[derive(Default)]
pub(crate) struct Meter {
    adds: AtomicU64,
    retries: AtomicU64,
    waited: Histogram,
    worked: Histogram,
}

impl Meter {
    pub(crate) fn added(&self) {
        self.adds.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// A key waited this long for its worker.
    pub(crate) fn waited(&self, time: Duration) {
        self.waited.observe(time);
    }

    /// A key was worked on this long.
    pub(crate) fn worked(&self, time: Duration) {
        self.worked.observe(time);
    }
}

#[derive(Default)]
struct Histogram {
    /// Not cumulative; the last is for what is beyond all bounds.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Histogram {
    fn observe(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        let bucket = BOUNDS.partition_point(|(bound, _)| *bound < seconds);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }
}

impl QueueMeters {
    /// No queues yet.
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn add(&self, name: &str, queue: Weak<dyn Look>, meter: Arc<Meter>) {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        queues.retain(|held| held.queue.strong_count() > 0);
        queues.push(Measured {
            name: name.to_owned(),
            meter,
            queue,
        });
    }

    /// The page of all queues, at this moment.
    pub fn page(&self) -> String {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let mut queues: Vec<(&str, &Meter, Standing)> = queues
            .iter()
            .filter_map(|held| {
                let standing = held.queue.upgrade()?.standing();
                Some((held.name.as_str(), &*held.meter, standing))
            })
            .collect();
        queues.sort_by_key(|(name, _, _)| *name);
        let mut page = Page(String::new());
        page.gauges(
            "workqueue_adds_total",
            "counter",
            "Total number of adds handled by workqueue",
            queues
                .iter()
                .map(|(name, meter, _)| (*name, whole(&meter.adds))),
        );
        page.gauges(
            "workqueue_depth",
            "gauge",
            "Current depth of workqueue",
            queues
                .iter()
                .map(|(name, _, standing)| (*name, standing.depth.to_string())),
        );
        page.gauges(
            "workqueue_longest_running_processor_seconds",
            "gauge",
            "How many seconds has the longest running processor for workqueue been running.",
            queues.iter().map(|(name, _, standing)| {
                let longest = standing.running.iter().max().copied();
                (*name, seconds(longest.unwrap_or_default()))
            }),
        );
        page.histograms(
            "workqueue_queue_duration_seconds",
            "How long in seconds an item stays in workqueue before being requested.",
            queues.iter().map(|(name, meter, _)| (*name, &meter.waited)),
        );
        page.gauges(
            "workqueue_retries_total",
            "counter",
            "Total number of retries handled by workqueue",
            queues
                .iter()
                .map(|(name, meter, _)| (*name, whole(&meter.retries))),
        );
        page.gauges(
            "workqueue_unfinished_work_seconds",
            "gauge",
            "How many seconds of work has done that is in progress and hasn't been observed by work_duration. \
             Large values indicate stuck threads. One can deduce the number of stuck threads by observing the \
             rate at which this increases.",
            queues
                .iter()
                .map(|(name, _, standing)| (*name, seconds(standing.running.iter().sum()))),
        );
        page.histograms(
            "workqueue_work_duration_seconds",
            "How long in seconds processing an item from workqueue takes.",
            queues.iter().map(|(name, meter, _)| (*name, &meter.worked)),
        );
        page.0
    }
}

fn whole(counter: &AtomicU64) -> String {
    counter.load(Ordering::Relaxed).to_string()
}

fn seconds(time: Duration) -> String {
    time.as_secs_f64().to_string()
}

/// Writing to a String cannot fail.
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(
            self.0,
            "# HELP {name} [STABLE] {help}\n# TYPE {name} {kind}"
        );
    }

    fn gauges<'q>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        values: impl Iterator<Item = (&'q str, String)>,
    ) {
        self.head(name, kind, help);
        for (queue, value) in values {
            let _ = writeln!(self.0, "{name}{{name=\"{queue}\"}} {value}");
        }
    }

    fn histograms<'q>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = (&'q str, &'q Histogram)>,
    ) {
        self.head(name, "histogram", help);
        for (queue, histogram) in values {
            let mut count = 0;
            let bounds = BOUNDS.iter().map(|(_, text)| *text).chain(["+Inf"]);
            for (bound, bucket) in bounds.zip(&histogram.buckets) {
                count += bucket.load(Ordering::Relaxed);
                let _ = writeln!(
                    self.0,
                    "{name}_bucket{{name=\"{queue}\",le=\"{bound}\"}} {count}"
                );
            }
            let sum = Duration::from_nanos(histogram.nanoseconds.load(Ordering::Relaxed));
            let sum = seconds(sum);
            let _ = writeln!(self.0, "{name}_sum{{name=\"{queue}\"}} {sum}");
            let _ = writeln!(self.0, "{name}_count{{name=\"{queue}\"}} {count}");
        }
    }
}
