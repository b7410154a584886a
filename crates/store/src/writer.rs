//! Writing: who comes alone commits at once where it stands; who comes while somebody writes waits for the one thread
//! that gathers waiting writes into batches. Both commit, tell the observers, then answer.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use tokio::sync::{mpsc, oneshot};

use crate::error::CommitError;
use crate::log::{AppendError, Log};
use crate::store::Shared;
use crate::types::{Change, Event, EventKind, Expect, Revision, Write};

/// Writes that may share one fsync.
const BATCH: usize = 256;
/// Bytes after which a batch is not made any larger, so that one transaction stays within the page cache.
const BATCH_BYTES: usize = 4 << 20;

/// What the thread is asked to do.
pub(crate) enum Command {
    /// Make a write and answer.
    Commit(Write, Reply),
    /// Finish what was asked before, close the database and answer.
    Close(oneshot::Sender<()>),
}

type Reply = oneshot::Sender<Result<Event, CommitError>>;

/// Runs until it is told to close or nobody can ask anything any more.
pub(crate) fn run(shared: &Arc<Shared>, mut commands: mpsc::Receiver<Command>) {
    let mut closer = None;
    while closer.is_none() {
        let Some(first) = commands.blocking_recv() else {
            break;
        };
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                Command::Commit(write, reply) => {
                    bytes += size(&write);
                    batch.push((write, reply));
                }
                Command::Close(reply) => {
                    closer = Some(reply);
                    break;
                }
            }
            next = if batch.len() < BATCH && bytes < BATCH_BYTES {
                commands.try_recv().ok()
            } else {
                None
            };
        }
        if !batch.is_empty() {
            commit_batch(shared, batch);
        }
    }
    let log = shared
        .log
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    if let Some(log) = log
        && let Err(error) = log.checkpoint()
    {
        tracing::warn!(%error, "the write-ahead log stays beside the database; the next start reads it");
    }
    if let Some(closer) = closer {
        // The one who asked may have given up waiting.
        let _ = closer.send(());
    }
}

fn size(write: &Write) -> usize {
    let (Change::Put(payload) | Change::Delete(payload)) = &write.change;
    payload.head.len() + payload.tail.len()
}

/// Commits a batch and answers everybody in it.
fn commit_batch(shared: &Shared, batch: Vec<(Write, Reply)>) {
    let (writes, replies): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
    let outcomes = {
        let mut guard = shared.log.lock().unwrap_or_else(PoisonError::into_inner);
        commit(shared, &mut guard, &writes)
    };
    for (reply, outcome) in replies.into_iter().zip(outcomes) {
        // A writer that no longer waits has chosen not to know.
        let _ = reply.send(outcome);
    }
}

/// Commits writes and tells the observers; an outcome for each.
pub(crate) fn commit(
    shared: &Shared,
    log: &mut Option<Log>,
    writes: &[Write],
) -> Vec<Result<Event, CommitError>> {
    if let Some(log) = log {
        return attempt(shared, log, writes);
    }
    let closed = |write: &Write| {
        Err(CommitError::Closed {
            key: write.key.clone(),
        })
    };
    writes.iter().map(closed).collect()
}

/// Tries the writes together; when they do not fit on the disk together, each for itself.
fn attempt(shared: &Shared, log: &mut Log, writes: &[Write]) -> Vec<Result<Event, CommitError>> {
    let failed = |reason: &str| {
        let fail = |write: &Write| {
            Err(CommitError::Failed {
                key: write.key.clone(),
                reason: reason.to_owned(),
            })
        };
        writes.iter().map(fail).collect()
    };
    if let Some(reason) = &log.broken {
        return failed(reason);
    }
    let outcomes = decide(log, writes);
    let events: Vec<Event> = outcomes.iter().flatten().cloned().collect();
    if events.is_empty() {
        return outcomes;
    }
    let mut appended = log.append(&events);
    if matches!(appended, Err(AppendError::Full)) && log.checkpoint().is_ok() {
        // Frames of the write-ahead log that are in the database by now make room for new ones.
        appended = log.append(&events);
    }
    match appended {
        Ok(()) => {
            shared.observe(&events);
            shared.revision.store(log.last().0, Ordering::Release);
            outcomes
        }
        Err(AppendError::Full) if writes.len() > 1 => writes
            .iter()
            .flat_map(|write| attempt(shared, log, std::slice::from_ref(write)))
            .collect(),
        Err(AppendError::Full) => writes
            .iter()
            .map(|write| {
                Err(CommitError::Full {
                    key: write.key.clone(),
                })
            })
            .collect(),
        Err(AppendError::Failed(reason)) => {
            tracing::error!(%reason, "the store's device failed; writes are refused until the store is opened again");
            failed(log.broken.insert(reason))
        }
    }
}

/// What each write becomes, one after the other, if the transaction succeeds.
fn decide(log: &Log, writes: &[Write]) -> Vec<Result<Event, CommitError>> {
    let mut revision = log.last();
    let mut changed: HashMap<&str, Option<Revision>> = HashMap::new();
    let mut outcomes = Vec::with_capacity(writes.len());
    for write in writes {
        let current = changed
            .get(write.key.as_str())
            .copied()
            .unwrap_or_else(|| log.current(&write.key));
        let holds = match write.expect {
            Expect::Absent => current.is_none(),
            Expect::At(revision) => current == Some(revision),
            Expect::Any => true,
        };
        let deletes = matches!(write.change, Change::Delete(_));
        if !holds || (deletes && current.is_none()) {
            outcomes.push(Err(CommitError::Conflict {
                key: write.key.clone(),
                current,
            }));
            continue;
        }
        revision.0 += 1;
        let (kind, payload) = match &write.change {
            Change::Put(payload) if current.is_none() => (EventKind::Created, payload),
            Change::Put(payload) => (EventKind::Updated, payload),
            Change::Delete(payload) => (EventKind::Deleted, payload),
        };
        changed.insert(&write.key, (!deletes).then_some(revision));
        outcomes.push(Ok(Event {
            revision,
            key: log.shared_key(&write.key),
            kind,
            value: payload.at(revision),
            attachment: write.attachment.clone(),
        }));
    }
    outcomes
}
