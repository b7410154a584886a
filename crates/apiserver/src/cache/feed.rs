//! The recent changes of a kind, read by any number of watchers, each with a position of its own. Nothing is kept
//! per watcher: one that falls out of the ring is told so.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Forgotten, KindCache, Object, Snapshot};
use crate::cache::Clock;

/// One change of one object.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) deleted: bool,
    /// The new state; for a delete, the last one.
    pub(crate) object: Arc<Object>,
    /// The state before, `None` when the object is new.
    pub(crate) previous: Option<Arc<Object>>,
}

impl Change {
    /// Bytes that would not be kept but for this change.
    pub(super) fn held(&self) -> usize {
        let replaced = self
            .previous
            .as_ref()
            .map_or(0, |object| object.bytes.len());
        replaced
            + if self.deleted {
                self.object.bytes.len()
            } else {
                0
            }
    }
}

/// What a watcher finds at its position.
pub(crate) enum Batch {
    /// These changes come next.
    Changes(Vec<Arc<Change>>),
    /// There is nothing new; everything up to this revision has been seen.
    UpToDate(u64),
    /// The changes that come next are gone.
    Fallen,
    /// There is nothing new, and there never will be.
    Ended,
}

impl KindCache {
    /// The position behind a revision.
    pub(crate) fn position_after(&self, revision: u64) -> Result<u64, Forgotten> {
        let state = self.lock();
        if revision < state.floor {
            return Err(Forgotten {
                oldest: state.floor,
            });
        }
        Ok(state.first
            + state
                .ring
                .partition_point(|change| change.revision <= revision) as u64)
    }

    /// The newest state and the position behind it.
    pub(crate) fn snapshot_and_position(&self, clock: &Clock) -> (Snapshot, u64) {
        let state = self.lock();
        let revision = state.last.max(clock.now());
        (
            Snapshot {
                tree: state.tree.clone(),
                revision,
            },
            state.first + state.ring.len() as u64,
        )
    }

    /// Up to `limit` changes from a position on.
    pub(crate) fn read(&self, position: u64, limit: usize, clock: &Clock) -> Batch {
        let state = self.lock();
        let Some(offset) = position
            .checked_sub(state.first)
            .and_then(|offset| usize::try_from(offset).ok())
        else {
            return Batch::Fallen;
        };
        if offset >= state.ring.len() && state.retired {
            return Batch::Ended;
        }
        if offset >= state.ring.len() {
            return Batch::UpToDate(state.last.max(clock.now()));
        }
        let end = state.ring.len().min(offset + limit);
        Batch::Changes(state.ring.range(offset..end).cloned().collect())
    }

    /// Wakes its holder after every change.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.signal.subscribe()
    }
}
