//! The handle that readers and writers hold.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use bytes::Bytes;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{mpsc, oneshot};

use crate::error::{CommitError, StoreError};
use crate::log::Log;
use crate::types::{Event, Revision, Write};
use crate::writer::{self, Command};

/// Sees every commit, in order and exactly once, in the thread that writes: before the writer is answered and before
/// the next commit begins. It must be quick and must not wait for the store.
pub type Observer = Box<dyn FnMut(&[Event]) + Send>;

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Writes that may wait for the writer thread before more writers are held back.
    pub queue: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { queue: 1024 }
    }
}

/// What the handle and the writer thread share.
pub(crate) struct Shared {
    /// `None` once the store is closed.
    pub(crate) log: Mutex<Option<Log>>,
    observers: Mutex<Vec<Observer>>,
    pub(crate) revision: AtomicU64,
}

impl Shared {
    pub(crate) fn observe(&self, events: &[Event]) {
        for observer in self
            .observers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter_mut()
        {
            observer(events);
        }
    }
}

/// An open store; clones are handles to the same one.
///
/// [`Store::close`] ends it in order. When the last handle goes without that, the writer thread finishes what was
/// asked and closes the database by itself.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
}

impl Store {
    /// Opens the store of a directory, which is made if it is missing, and keeps the directory for this process.
    pub fn open(dir: &Path, options: &Options) -> Result<Self, StoreError> {
        let mut log = Log::open(dir)?;
        if log.surplus() > 0 {
            log.compact()?;
        }
        let shared = Arc::new(Shared {
            revision: AtomicU64::new(log.last().0),
            log: Mutex::new(Some(log)),
            observers: Mutex::new(Vec::new()),
        });
        let (commands, receiver) = mpsc::channel(options.queue);
        let for_writer = shared.clone();
        std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer::run(&for_writer, receiver))
            .map_err(|source| StoreError::Io {
                step: "start the writer thread for",
                path: dir.to_owned(),
                source,
            })?;
        Ok(Self { shared, commands })
    }

    /// Gives every living key with its value to `f`, in the order of their last writes, and says at which revision
    /// this was the whole truth. Blocks the caller and all writers; meant for the start.
    pub fn scan(&self, f: impl FnMut(Arc<str>, Revision, Bytes)) -> Result<Revision, StoreError> {
        self.with_log(|log| log.scan(f))
    }

    /// Shows all commits from now on to an observer. Together with [`Store::scan`] there is no gap as long as
    /// nobody writes between the two calls.
    pub fn observe(&self, observer: Observer) {
        self.shared
            .observers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(observer);
    }

    /// Makes a write durable and returns what it became. When it returns, all observers have seen it.
    pub async fn commit(&self, write: Write) -> Result<Event, CommitError> {
        if let Some(outcome) = self.commit_here(&write) {
            return outcome;
        }
        let key = write.key.clone();
        let (reply, answer) = oneshot::channel();
        if self
            .commands
            .send(Command::Commit(write, reply))
            .await
            .is_err()
        {
            return Err(CommitError::Closed { key });
        }
        answer.await.unwrap_or(Err(CommitError::Closed { key }))
    }

    /// Commits on the caller's thread when nobody else is writing: two changes of thread less, which take as long as
    /// the disk does.
    fn commit_here(&self, write: &Write) -> Option<Result<Event, CommitError>> {
        let runtime = Handle::try_current().ok()?;
        if runtime.runtime_flavor() != RuntimeFlavor::MultiThread
            || self.commands.capacity() < self.commands.max_capacity()
        {
            return None;
        }
        let mut log = self.shared.log.try_lock().ok()?;
        tokio::task::block_in_place(|| {
            writer::commit(&self.shared, &mut log, std::slice::from_ref(write)).pop()
        })
    }

    /// The newest revision that observers have seen.
    pub fn revision(&self) -> Revision {
        Revision(self.shared.revision.load(Ordering::Acquire))
    }

    /// Whether writes are taken: until the store is closed or its writer thread has ended.
    pub fn is_open(&self) -> bool {
        let open = match self.shared.log.try_lock() {
            Ok(log) => log.is_some(),
            // Somebody is writing right now.
            Err(TryLockError::WouldBlock) => true,
            Err(TryLockError::Poisoned(log)) => log.into_inner().is_some(),
        };
        open && !self.commands.is_closed()
    }

    /// Removes all dead history and gives the space back to the file system. Blocks the caller and all writers.
    pub fn compact(&self) -> Result<(), StoreError> {
        self.with_log(Log::compact)
    }

    /// Finishes the writes that were asked for, closes the database and lets go of the directory.
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.commands.send(Command::Close(reply)).await.is_ok() {
            // No answer means that the thread is gone already, which is what was asked for.
            let _ = closed.await;
        }
    }

    fn with_log<T>(
        &self,
        f: impl FnOnce(&mut Log) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut guard = self
            .shared
            .log
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        guard.as_mut().map_or(Err(StoreError::Closed), f)
    }
}
