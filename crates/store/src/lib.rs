//! A durable, ordered history of keys and bytes; it knows nothing of Kubernetes.
//!
//! Every write gets the next [`Revision`], and that number is spliced into the bytes that are kept, so a value
//! carries its own revision and can be sent to a reader as it lies on disk. A write is acknowledged, and shown to
//! the observers, only after it would survive `kill -9` and a power cut.
//!
//! One writes at a time. A write that finds nobody writing is committed at once by its own caller. Those that come
//! meanwhile wait for a thread that appends all of them in one SQLite transaction with one sync (group commit). Either
//! way the observers are told before the writers are answered: who has been answered finds the write in every
//! observer's view.
//!
//! The engine is one append-only table in SQLite (WAL, `synchronous=FULL`). A row is dead once a later row has its
//! key; each commit removes some dead rows, so the file stays within a small factor of what is alive.

mod error;
mod lock;
mod log;
mod store;
mod types;
mod writer;

pub use error::{CommitError, StoreError};
pub use store::{Observer, Options, Store};
pub use types::{Attachment, Change, Event, EventKind, Expect, Payload, Revision, Write};
