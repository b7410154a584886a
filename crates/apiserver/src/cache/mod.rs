//! Every live object in memory, as bytes ready to send and a parsed header, and the recent changes of each kind.
//! Reads take a snapshot in constant time. Knows the store's events, no HTTP.

mod feed;
mod object;
mod pace;
mod tree;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plinth_store::{Event, EventKind};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

pub(crate) use feed::{Batch, Change};
pub(crate) use object::{Header, Object, Selection};
pub(crate) use tree::Tree;

use crate::kind::{Kind, Kinds, split_key};
use pace::{Pace, Turn};

/// Changes a kind remembers at most. A watcher further behind gets 410 and relists.
const RING_LENGTH: usize = 8192;
/// Bytes of states that only the ring holds at which older changes go, so that big objects do not make it big ...
const RING_BYTES: usize = 1 << 20;
/// ... but this many changes stay whatever their size.
const RING_AT_LEAST: usize = 256;

/// The live objects and recent changes of one kind.
#[derive(Default)]
pub(crate) struct KindCache {
    state: Mutex<State>,
    /// Tells watchers that there are new changes; the value is of no interest.
    signal: watch::Sender<()>,
    pace: Pace,
}

#[derive(Default)]
struct State {
    tree: Tree,
    ring: VecDeque<Arc<Change>>,
    ring_bytes: usize,
    /// How many changes have left the ring; the position of its first one.
    first: u64,
    /// Changes up to this revision are not (or no longer) in the ring.
    floor: u64,
    /// The revision of the newest change.
    last: u64,
    /// The kind is gone or has another cache now; there will be no more changes here.
    retired: bool,
}

/// The objects of a kind at a revision.
pub(crate) struct Snapshot {
    pub(crate) tree: Tree,
    pub(crate) revision: u64,
}

impl Snapshot {
    /// All that are selected, in order.
    pub(crate) fn all(&self, selection: &Selection) -> VecDeque<Arc<Object>> {
        let selected = |object: &&Arc<Object>| selection.matches(&object.header);
        if let Some((namespace, name)) = selection.place() {
            let only = self.tree.get(namespace, name).into_iter();
            return only.filter(selected).cloned().collect();
        }
        let objects = self.tree.iter(selection.namespace.as_deref(), None);
        objects.filter(selected).cloned().collect()
    }
}

/// The history asked for is not in memory any more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Forgotten {
    /// The oldest revision that could have been asked for.
    pub(crate) oldest: u64,
}

/// The revision up to which all kinds are up to date.
#[derive(Default)]
pub(crate) struct Clock(AtomicU64);

impl Clock {
    /// Everything up to this revision is visible in every kind's cache.
    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Sets the time at the start.
    pub(crate) fn start(&self, revision: u64) {
        self.0.store(revision, Ordering::Release);
    }
}

impl KindCache {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an object in that was there before this process; only at the start.
    pub(crate) fn load(&self, object: Arc<Object>) {
        self.lock().tree.insert(object);
    }

    /// Forgets history before this revision; only at the start.
    pub(crate) fn start(&self, revision: u64) {
        let mut state = self.lock();
        state.floor = revision;
        state.last = revision;
    }

    /// Ends all watches, once they have seen every change: there will be no more.
    pub(crate) fn retire(&self) {
        self.lock().retired = true;
        self.signal.send_modify(|()| {});
    }

    /// A cache with the same objects in another form and no history.
    pub(crate) fn reformed(&self, form: impl Fn(&Arc<Object>) -> Arc<Object>) -> Self {
        let (objects, last) = {
            let state = self.lock();
            (state.tree.clone(), state.last)
        };
        let reformed = Self::default();
        {
            let mut state = reformed.lock();
            for object in objects.iter(None, None) {
                state.tree.insert(form(object));
            }
            state.floor = last;
            state.last = last;
        }
        reformed
    }

    /// One live object.
    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<Arc<Object>> {
        self.lock().tree.get(namespace, name).cloned()
    }

    /// The newest state.
    pub(crate) fn snapshot(&self, clock: &Clock) -> Snapshot {
        let state = self.lock();
        Snapshot {
            tree: state.tree.clone(),
            revision: state.last.max(clock.now()),
        }
    }

    /// The state as it was at an earlier revision, by taking back the changes since.
    pub(crate) fn snapshot_at(&self, revision: u64, clock: &Clock) -> Result<Snapshot, Forgotten> {
        let (mut tree, undo) = {
            let state = self.lock();
            let now = state.last.max(clock.now());
            if revision < state.floor {
                return Err(Forgotten {
                    oldest: state.floor,
                });
            }
            let from = state
                .ring
                .partition_point(|change| change.revision <= revision);
            let undo: Vec<_> = state.ring.range(from..).cloned().collect();
            (
                state.tree.clone(),
                if revision < now { undo } else { Vec::new() },
            )
        };
        for change in undo.iter().rev() {
            match &change.previous {
                Some(previous) => tree.insert(previous.clone()),
                None => tree.remove(&change.object.header.namespace, &change.object.header.name),
            }
        }
        Ok(Snapshot { tree, revision })
    }

    /// Takes in a change; returns the state before it.
    fn apply(&self, revision: u64, kind: EventKind, object: Object) -> Option<Arc<Object>> {
        let mut state = self.lock();
        let object = Arc::new(object);
        let (namespace, name) = (&object.header.namespace, &object.header.name);
        let previous = state.tree.get(namespace, name).cloned();
        let deleted = kind == EventKind::Deleted;
        if deleted {
            state.tree.remove(namespace, name);
        } else {
            state.tree.insert(object.clone());
        }
        state.last = revision;
        let change = Change {
            revision,
            deleted,
            object,
            previous: previous.clone(),
        };
        state.ring_bytes += change.held();
        state.ring.push_back(Arc::new(change));
        while state.ring.len() > RING_LENGTH
            || (state.ring_bytes > RING_BYTES && state.ring.len() > RING_AT_LEAST)
        {
            let Some(gone) = state.ring.pop_front() else {
                break;
            };
            state.ring_bytes -= gone.held();
            state.floor = gone.revision;
            state.first += 1;
        }
        previous
    }

    /// Wakes the watchers, now or, when there are many and they were woken just before, a little later.
    fn tell(self: &Arc<Self>, runtime: &Handle) {
        match self.pace.ask(self.signal.receiver_count(), Instant::now()) {
            Turn::Now => {
                self.signal.send_replace(());
            }
            Turn::At(due) => {
                let cache = self.clone();
                runtime.spawn(async move {
                    tokio::time::sleep_until(due).await;
                    cache.pace.taken(Instant::now());
                    cache.signal.send_replace(());
                });
            }
            Turn::Arranged => {}
        }
    }
}

/// Takes a batch of the store's events into the caches and has each noted; runs in the thread that commits.
pub(crate) fn observe(
    kinds: &Kinds,
    clock: &Clock,
    runtime: &Handle,
    events: &[Event],
    mut note: impl FnMut(&Kind, Option<&Header>, &Header, bool),
) {
    let _steady = kinds.steady();
    let mut changed: Vec<Arc<KindCache>> = Vec::new();
    for event in events {
        let Some((storage, namespace, name)) = split_key(&event.key) else {
            tracing::error!(key = %event.key, "the store holds a key that is none of ours");
            continue;
        };
        let Some(kind) = kinds.stored_as(storage) else {
            tracing::debug!(key = %event.key, "the store holds a kind that is not served");
            continue;
        };
        let attached = event
            .attachment
            .clone()
            .and_then(|attachment| attachment.0.downcast::<Header>().ok());
        let header = attached.unwrap_or_else(|| {
            Arc::new(Header::parse(kind.resource, namespace, name, &event.value))
        });
        let object = Object::new(header, event.revision.0, event.value.clone());
        let now = object.header.clone();
        let before = kind.cache.apply(event.revision.0, event.kind, object);
        let before = before.as_ref().map(|before| &*before.header);
        note(&kind, before, &now, event.kind == EventKind::Deleted);
        if !changed.iter().any(|known| Arc::ptr_eq(known, &kind.cache)) {
            changed.push(kind.cache.clone());
        }
    }
    if let Some(newest) = events.last() {
        clock.0.store(newest.revision.0, Ordering::Release);
    }
    for cache in changed {
        cache.tell(runtime);
    }
}

#[cfg(test)]
mod tests;
