//! The words of the store: revisions, writes and the events they become.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// A place in the one history of the store. The first write gets 1; later writes get larger numbers, also after
/// the store was closed and opened again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Bytes that are kept with the decimal revision of their commit between the two parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payload {
    /// What stands before the revision.
    pub head: Vec<u8>,
    /// What stands after the revision.
    pub tail: Vec<u8>,
}

impl Payload {
    /// The bytes as they are kept and shown when the commit has this revision.
    pub fn at(&self, revision: Revision) -> Bytes {
        let number = revision.0.to_string();
        let mut value = Vec::with_capacity(self.head.len() + number.len() + self.tail.len());
        value.extend_from_slice(&self.head);
        value.extend_from_slice(number.as_bytes());
        value.extend_from_slice(&self.tail);
        value.into()
    }
}

/// What the writer believes about the key; if it is wrong the write changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The key must not be there.
    Absent,
    /// The key must have been written last at this revision.
    At(Revision),
    /// Whatever is there is overwritten; a delete still needs something to delete.
    Any,
}

/// What a write does to its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The key gets this value.
    Put(Payload),
    /// The key goes away. The payload is the last state, shown to observers only; it is not kept.
    Delete(Payload),
}

/// What a writer has at hand about the value and observers would have to compute again. It goes from the write to
/// its event untouched and is not kept: an event without it means the same.
#[derive(Clone)]
pub struct Attachment(pub Arc<dyn Any + Send + Sync>);

impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attachment")
    }
}

/// One conditional change of one key.
#[derive(Clone, Debug)]
pub struct Write {
    /// Any non-empty text; the store gives no meaning to it.
    pub key: String,
    /// The condition.
    pub expect: Expect,
    /// The change.
    pub change: Change,
    /// For the observers; see [`Attachment`].
    pub attachment: Option<Attachment>,
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The key was not there before.
    Created,
    /// The key had another value before.
    Updated,
    /// The key is gone.
    Deleted,
}

/// A committed write.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its place in history.
    pub revision: Revision,
    /// The key that changed.
    pub key: Arc<str>,
    /// What happened to it.
    pub kind: EventKind,
    /// The value with its revision inside; for a delete, the last state with the revision of the delete.
    pub value: Bytes,
    /// What the writer sent along.
    pub attachment: Option<Attachment>,
}
