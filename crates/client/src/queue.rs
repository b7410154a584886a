//! Keys that wait for work. Knows nothing of what a key means.
//!
//! A key that is added while it is being worked on is handed out again afterwards; one that is added
//! twice before anybody took it is handed out once. Nothing is ever handed to two workers at a time.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    hash::Hash,
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::meter::{Look, Meter, QueueMeters, Standing};

/// A key's first waiting time after a failure; it doubles with each further one.
const FIRST_RETRY: Duration = Duration::from_millis(5);
const LONGEST_RETRY: Duration = Duration::from_secs(1000);

/// A queue of distinct keys with delays and per-key back-off. Clones share the queue.
pub struct WorkQueue<Q> {
    inner: Arc<Inner<Q>>,
}

struct Inner<Q> {
    state: Mutex<State<Q>>,
    changed: Notify,
    meter: Arc<Meter>,
}

struct State<Q> {
    ready: VecDeque<Q>,
    /// Keys in `ready`, and keys that were added while a worker holds them, since when.
    waiting: HashMap<Q, Instant>,
    /// Keys that a worker holds, since when.
    claimed: HashMap<Q, Instant>,
    failures: HashMap<Q, u32>,
    timers: BTreeMap<(Instant, u64), Q>,
    timer_of: HashMap<Q, (Instant, u64)>,
    timer_ids: u64,
}

impl<Q> Clone for WorkQueue<Q> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<Q: Clone + Eq + Hash> Default for WorkQueue<Q> {
    fn default() -> Self {
        Self::new()
    }
}

impl<Q: Clone + Eq + Hash> WorkQueue<Q> {
    /// An empty queue.
    pub fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                state: Mutex::new(State {
                    ready: VecDeque::new(),
                    waiting: HashMap::new(),
                    claimed: HashMap::new(),
                    failures: HashMap::new(),
                    timers: BTreeMap::new(),
                    timer_of: HashMap::new(),
                    timer_ids: 0,
                }),
                changed: Notify::new(),
                meter: Arc::default(),
            }),
        }
    }

    /// An empty queue that is measured under that name.
    pub fn measured(name: &str, meters: &QueueMeters) -> Self
    where
        Q: Send + 'static,
    {
        let queue = Self::new();
        let inner: Weak<Inner<Q>> = Arc::downgrade(&queue.inner);
        meters.add(name, inner, Arc::clone(&queue.inner.meter));
        queue
    }

    /// Asks for work on a key, now.
    pub fn add(&self, key: Q) {
        if self.state().enqueue(key) {
            self.inner.meter.added();
        }
        self.inner.changed.notify_one();
    }

    /// Asks for work on a key after a while. Of several delays of one key the earliest counts.
    pub fn add_after(&self, key: Q, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        self.state().schedule(key, Instant::now() + delay);
        self.inner.changed.notify_one();
    }

    /// Asks for work on a key that failed: 5 ms later, doubled with each failure in a row, at most
    /// 1000 s.
    pub fn retry(&self, key: Q) {
        self.inner.meter.retried();
        let delay = {
            let mut state = self.state();
            let failures = state.failures.entry(key.clone()).or_insert(0);
            let delay = FIRST_RETRY
                .saturating_mul(1 << (*failures).min(20))
                .min(LONGEST_RETRY);
            *failures = failures.saturating_add(1);
            delay
        };
        self.add_after(key, delay);
    }

    /// The key's work succeeded: its next failure waits the shortest time.
    pub fn forget(&self, key: &Q) {
        self.state().failures.remove(key);
    }

    /// The next key to work on. It stays claimed until the returned guard is dropped.
    pub async fn next(&self) -> Claimed<Q> {
        loop {
            let changed = self.inner.changed.notified();
            let wake = {
                let mut state = self.state();
                let now = Instant::now();
                for _ in 0..state.fire_timers(now) {
                    self.inner.meter.added();
                }
                if let Some((key, since)) = state.claim(now) {
                    self.inner.meter.waited(now - since);
                    // One notification may stand for several keys: pass it on.
                    if !state.ready.is_empty() {
                        self.inner.changed.notify_one();
                    }
                    return Claimed {
                        queue: self.clone(),
                        key,
                    };
                }
                state.timers.keys().next().map(|(at, _)| *at)
            };
            match wake {
                Some(at) => tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep_until(at) => {}
                },
                None => changed.await,
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State<Q>> {
        // Every edit under this lock leaves the state whole, so a poisoned lock holds good data.
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Q: Clone + Eq + Hash> State<Q> {
    /// Whether the key was not waiting yet.
    fn enqueue(&mut self, key: Q) -> bool {
        if self.waiting.contains_key(&key) {
            return false;
        }
        self.waiting.insert(key.clone(), Instant::now());
        if !self.claimed.contains_key(&key) {
            self.ready.push_back(key);
        }
        true
    }

    fn schedule(&mut self, key: Q, at: Instant) {
        if let Some(timer) = self.timer_of.get(&key) {
            if timer.0 <= at {
                return;
            }
            self.timers.remove(timer);
        }
        self.timer_ids += 1;
        let timer = (at, self.timer_ids);
        self.timers.insert(timer, key.clone());
        self.timer_of.insert(key, timer);
    }

    /// How many keys came to wait.
    fn fire_timers(&mut self, now: Instant) -> usize {
        let mut added = 0;
        while let Some(entry) = self.timers.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let key = entry.remove();
            self.timer_of.remove(&key);
            added += usize::from(self.enqueue(key));
        }
        added
    }

    /// The next key and since when it waited.
    fn claim(&mut self, now: Instant) -> Option<(Q, Instant)> {
        let key = self.ready.pop_front()?;
        let since = self.waiting.remove(&key).unwrap_or(now);
        self.claimed.insert(key.clone(), now);
        Some((key, since))
    }

    /// Since when the key was held.
    fn release(&mut self, key: &Q) -> Option<Instant> {
        let since = self.claimed.remove(key);
        if self.waiting.contains_key(key) {
            self.ready.push_back(key.clone());
        }
        since
    }
}

impl<Q: Send> Look for Inner<Q> {
    fn standing(&self) -> Standing {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Standing {
            depth: state.ready.len(),
            running: state.claimed.values().map(Instant::elapsed).collect(),
        }
    }
}

/// A key that this holder alone may work on.
pub struct Claimed<Q: Clone + Eq + Hash> {
    queue: WorkQueue<Q>,
    key: Q,
}

impl<Q: Clone + Eq + Hash> Deref for Claimed<Q> {
    type Target = Q;
    fn deref(&self) -> &Q {
        &self.key
    }
}

impl<Q: Clone + Eq + Hash> Drop for Claimed<Q> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.queue.retry(self.key.clone());
        }
        let since = self.queue.state().release(&self.key);
        if let Some(since) = since {
            self.queue.inner.meter.worked(since.elapsed());
        }
        self.queue.inner.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now_or_none(queue: &WorkQueue<&'static str>) -> Option<Claimed<&'static str>> {
        futures::FutureExt::now_or_never(queue.next())
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_never_handed_to_two_workers() {
        let queue = WorkQueue::new();
        queue.add("a");
        queue.add("a");
        let first = now_or_none(&queue).expect("a is ready");
        queue.add("a");
        assert!(now_or_none(&queue).is_none(), "a is claimed");
        drop(first);
        assert_eq!(*queue.next().await, "a");
        assert!(now_or_none(&queue).is_none(), "both additions were served");
    }

    #[tokio::test(start_paused = true)]
    async fn of_several_delays_the_earliest_counts() {
        let queue = WorkQueue::new();
        let start = Instant::now();
        queue.add_after("a", Duration::from_secs(10));
        queue.add_after("a", Duration::from_secs(2));
        queue.add_after("a", Duration::from_secs(5));
        drop(queue.next().await);
        assert_eq!(start.elapsed().as_secs(), 2);
        assert!(now_or_none(&queue).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn failures_back_off_and_success_forgets_them() {
        let queue = WorkQueue::new();
        let mut waits = Vec::new();
        for _ in 0..4 {
            let start = Instant::now();
            queue.retry("a");
            drop(queue.next().await);
            waits.push(start.elapsed().as_millis());
        }
        assert_eq!(waits, [5, 10, 20, 40]);
        queue.forget(&"a");
        let start = Instant::now();
        queue.retry("a");
        drop(queue.next().await);
        assert_eq!(start.elapsed().as_millis(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_measured_queue_tells_how_it_stands() {
        let meters = QueueMeters::new();
        let queue = WorkQueue::measured("job", &meters);
        queue.add("a");
        queue.add("a");
        queue.add("b");
        tokio::time::advance(Duration::from_secs(5)).await;
        let a = queue.next().await;
        tokio::time::advance(Duration::from_secs(2)).await;
        let page = meters.page();
        for line in [
            "workqueue_adds_total{name=\"job\"} 2",
            "workqueue_depth{name=\"job\"} 1",
            "workqueue_queue_duration_seconds_bucket{name=\"job\",le=\"1\"} 0",
            "workqueue_queue_duration_seconds_bucket{name=\"job\",le=\"10\"} 1",
            "workqueue_queue_duration_seconds_sum{name=\"job\"} 5",
            "workqueue_work_duration_seconds_count{name=\"job\"} 0",
            "workqueue_unfinished_work_seconds{name=\"job\"} 2",
            "workqueue_longest_running_processor_seconds{name=\"job\"} 2",
            "workqueue_retries_total{name=\"job\"} 0",
        ] {
            assert!(page.lines().any(|held| held == line), "{line} in\n{page}");
        }
        queue.retry("a");
        drop(a);
        let page = meters.page();
        for line in [
            "workqueue_retries_total{name=\"job\"} 1",
            "workqueue_work_duration_seconds_sum{name=\"job\"} 2",
            "workqueue_unfinished_work_seconds{name=\"job\"} 0",
        ] {
            assert!(page.lines().any(|held| held == line), "{line} in\n{page}");
        }
        drop(queue);
        assert!(
            !meters.page().contains("job"),
            "a queue that is gone tells nothing"
        );
    }
}
