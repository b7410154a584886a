//! The table of the history in SQLite: append, remove what is dead, read what is alive. No threads, no policy.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, ErrorCode, params};

use crate::error::StoreError;
use crate::lock::DirLock;
use crate::types::{Event, EventKind, Revision};

/// Kept in `PRAGMA user_version`; changes when the table does.
const FORMAT: i64 = 1;

/// Rows of dead history that may lie around before commits begin to carry them away.
const SLACK: usize = 1024;

/// The open database, and what is known of it by heart.
pub(crate) struct Log {
    db: Connection,
    /// Where each living key was written last.
    index: HashMap<Arc<str>, Revision>,
    /// Rows that no reader needs, oldest first. A tombstone stands behind all rows that it buries, so removing
    /// from the front never brings a key back to life.
    dead: VecDeque<Revision>,
    last: Revision,
    /// Why nothing can be written any more, once the device has failed.
    pub(crate) broken: Option<String>,
    _lock: DirLock,
}

/// Why a transaction did not happen.
#[derive(Debug)]
pub(crate) enum AppendError {
    /// No room.
    Full,
    /// Anything else.
    Failed(String),
}

impl From<rusqlite::Error> for AppendError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            _ => Self::Failed(error.to_string()),
        }
    }
}

fn database(step: &'static str) -> impl FnOnce(rusqlite::Error) -> StoreError {
    move |source| StoreError::Database { step, source }
}

impl Log {
    /// Opens or makes the database of a directory and learns its keys.
    pub(crate) fn open(dir: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir).map_err(|source| StoreError::Io {
            step: "make the data directory",
            path: dir.to_owned(),
            source,
        })?;
        let lock = DirLock::acquire(dir)?;
        let path = dir.join("store.db");
        let db = Connection::open(&path).map_err(database("open the database"))?;
        prepare(&db).map_err(database("set up the database"))?;
        let found: i64 = db
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .map_err(database("read the database's format"))?;
        if found == 0 {
            create(&db).map_err(database("make the database's table"))?;
        } else if found != FORMAT {
            return Err(StoreError::Format {
                path,
                found,
                expected: FORMAT,
            });
        }
        let mut log = Self {
            db,
            index: HashMap::new(),
            dead: VecDeque::new(),
            last: Revision(0),
            broken: None,
            _lock: lock,
        };
        log.learn().map_err(database("read the database's keys"))?;
        Ok(log)
    }

    fn learn(&mut self) -> rusqlite::Result<()> {
        let mut statement = self
            .db
            .prepare("SELECT revision, key, value IS NULL FROM log ORDER BY revision")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let revision = Revision(row.get::<_, i64>(0)?.cast_unsigned());
            let key: Arc<str> = row.get::<_, String>(1)?.into();
            let tombstone: bool = row.get(2)?;
            note(&mut self.index, &mut self.dead, &key, revision, tombstone);
            self.last = revision;
        }
        Ok(())
    }

    /// The revision of the newest write.
    pub(crate) fn last(&self) -> Revision {
        self.last
    }

    /// Where a living key was written last.
    pub(crate) fn current(&self, key: &str) -> Option<Revision> {
        self.index.get(key).copied()
    }

    /// The index's own copy of a key, so that events share it.
    pub(crate) fn shared_key(&self, key: &str) -> Arc<str> {
        self.index
            .get_key_value(key)
            .map_or_else(|| key.into(), |(known, _)| known.clone())
    }

    /// Appends events in one durable transaction, which also removes up to twice as many dead rows once there are
    /// more than a slack of them. After an error nothing has changed.
    pub(crate) fn append(&mut self, events: &[Event]) -> Result<(), AppendError> {
        let surplus = self.dead.len().saturating_sub(SLACK.max(self.index.len()));
        let remove = surplus.min(events.len() * 2);
        let transaction = self.db.unchecked_transaction()?;
        {
            let mut insert = transaction
                .prepare_cached("INSERT INTO log(revision, key, value) VALUES (?1, ?2, ?3)")?;
            for event in events {
                let value = (event.kind != EventKind::Deleted).then_some(&event.value[..]);
                insert.execute(params![event.revision.0.cast_signed(), &*event.key, value])?;
            }
            let mut delete = transaction.prepare_cached("DELETE FROM log WHERE revision = ?1")?;
            for revision in self.dead.iter().take(remove) {
                delete.execute([revision.0.cast_signed()])?;
            }
        }
        transaction.commit()?;
        self.dead.drain(..remove);
        for event in events {
            note(
                &mut self.index,
                &mut self.dead,
                &event.key,
                event.revision,
                event.kind == EventKind::Deleted,
            );
            self.last = event.revision;
        }
        Ok(())
    }

    /// Gives every living key with its value to `f`, in the order of their last writes.
    pub(crate) fn scan(
        &self,
        mut f: impl FnMut(Arc<str>, Revision, Bytes),
    ) -> Result<Revision, StoreError> {
        let mut read = || -> rusqlite::Result<()> {
            let mut statement = self.db.prepare(
                "SELECT revision, key, value FROM log WHERE value IS NOT NULL ORDER BY revision",
            )?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let revision = Revision(row.get::<_, i64>(0)?.cast_unsigned());
                let Some((key, newest)) = self.index.get_key_value(row.get_ref(1)?.as_str()?)
                else {
                    continue;
                };
                if *newest == revision {
                    f(
                        key.clone(),
                        revision,
                        Bytes::copy_from_slice(row.get_ref(2)?.as_blob()?),
                    );
                }
            }
            Ok(())
        };
        read().map_err(database("read the database"))?;
        Ok(self.last)
    }

    /// Removes every dead row and gives the space back to the file system.
    pub(crate) fn compact(&mut self) -> Result<(), StoreError> {
        // The newest row stays even when it is a tombstone: it says where history goes on after a restart.
        let keep = usize::from(self.dead.back() == Some(&self.last));
        let remove = self.dead.len() - keep;
        let work = || -> rusqlite::Result<()> {
            let transaction = self.db.unchecked_transaction()?;
            {
                let mut delete =
                    transaction.prepare_cached("DELETE FROM log WHERE revision = ?1")?;
                for revision in self.dead.iter().take(remove) {
                    delete.execute([revision.0.cast_signed()])?;
                }
            }
            transaction.commit()
        };
        work().map_err(database("remove dead history"))?;
        self.dead.drain(..remove);
        self.give_space_back()
            .map_err(database("give space back"))?;
        self.checkpoint()
            .map_err(database("write the log into the database"))
    }

    fn give_space_back(&self) -> rusqlite::Result<()> {
        let mut statement = self.db.prepare("PRAGMA incremental_vacuum")?;
        // Every step frees a page.
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
        Ok(())
    }

    /// Moves the write-ahead log into the database file, so that the log starts again from its beginning.
    pub(crate) fn checkpoint(&self) -> rusqlite::Result<()> {
        self.db
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    }

    /// Dead rows beyond what is alive, a measure of how much [`Log::compact`] would give back.
    pub(crate) fn surplus(&self) -> usize {
        self.dead.len().saturating_sub(SLACK.max(self.index.len()))
    }
}

/// Takes one row into the index. The order of calls is the order of revisions.
fn note(
    index: &mut HashMap<Arc<str>, Revision>,
    dead: &mut VecDeque<Revision>,
    key: &Arc<str>,
    revision: Revision,
    tombstone: bool,
) {
    if tombstone {
        dead.extend(index.remove(key));
        dead.push_back(revision);
    } else if let Some(known) = index.get_mut(key) {
        dead.push_back(std::mem::replace(known, revision));
    } else {
        index.insert(key.clone(), revision);
    }
}

fn prepare(db: &Connection) -> rusqlite::Result<()> {
    // EXCLUSIVE keeps the index of the write-ahead log in memory instead of a shared mapping, which a full disk
    // could break; nobody else may open the file anyway. auto_vacuum only takes effect on a new file.
    db.execute_batch(
        "PRAGMA locking_mode=EXCLUSIVE;
         PRAGMA auto_vacuum=INCREMENTAL;
         PRAGMA journal_mode=WAL;
         PRAGMA synchronous=FULL;
         PRAGMA cache_size=-1024;
         PRAGMA mmap_size=0;
         PRAGMA temp_store=MEMORY;",
    )
}

fn create(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch(&format!(
        "BEGIN;
         CREATE TABLE log(revision INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB) STRICT;
         PRAGMA user_version={FORMAT};
         COMMIT;"
    ))
}
