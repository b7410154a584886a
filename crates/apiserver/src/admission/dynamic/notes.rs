//! What is said about a request besides its answer: warnings for the client, annotations for the audit log.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Notes about one request.
#[derive(Debug, Default)]
pub(crate) struct Notes(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    warnings: Vec<String>,
    annotations: BTreeMap<String, String>,
}

impl Notes {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the text of a `Warning` header.
    pub(crate) fn warn(&self, text: String) {
        self.pages().warnings.push(text);
    }

    /// Adds an annotation; the first value of a key stays.
    pub(crate) fn annotate(&self, key: String, value: String) {
        self.pages().annotations.entry(key).or_insert(value);
    }

    /// The texts for `Warning` headers.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.pages().warnings.clone()
    }

    /// The annotations of the audit log.
    pub(crate) fn annotations(&self) -> BTreeMap<String, String> {
        self.pages().annotations.clone()
    }
}
