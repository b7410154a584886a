//! What can go wrong when a store is opened or written.

use std::path::PathBuf;

use crate::types::Revision;

/// A store cannot be opened, read or compacted.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the directory.
    #[error("the data directory {} is already in use{}", dir.display(), holder.map(|pid| format!(" by process {pid}")).unwrap_or_default())]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// Who holds it, if it said so.
        holder: Option<u32>,
    },
    /// The directory or its lock file cannot be made or opened.
    #[error("cannot {step} {}: {source}", path.display())]
    Io {
        /// What was tried.
        step: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The database says no.
    #[error("cannot {step}: {source}")]
    Database {
        /// What was tried.
        step: &'static str,
        /// Why it failed.
        source: rusqlite::Error,
    },
    /// The file was written by another version of the store.
    #[error("{} has format {found}, this program understands format {expected}", path.display())]
    Format {
        /// The database file.
        path: PathBuf,
        /// The format number in the file.
        found: i64,
        /// The format number of this program.
        expected: i64,
    },
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
}

/// A write was not made; nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The key is not in the state the writer expected.
    #[error("{key} is not at the expected revision (it is at {})", current.map_or("none".to_owned(), |r| r.to_string()))]
    Conflict {
        /// The key of the write.
        key: String,
        /// The revision at which the key was written last, `None` if it is not there.
        current: Option<Revision>,
    },
    /// The disk, or the quota, has no room. Reads go on; writes work again when there is room.
    #[error("cannot write {key}: no space left on the device that holds the data directory")]
    Full {
        /// The key of the write.
        key: String,
    },
    /// The device failed. All later writes fail too, until the store is opened again: after a failed fsync nobody
    /// can say what the disk holds.
    #[error("cannot write {key}: {reason}")]
    Failed {
        /// The key of the write.
        key: String,
        /// What the engine said.
        reason: String,
    },
    /// The store has been closed.
    #[error("cannot write {key}: the store is closed")]
    Closed {
        /// The key of the write.
        key: String,
    },
}
