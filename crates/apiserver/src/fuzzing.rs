//! Doors for the fuzzer to decoders that the crate keeps to itself. Built for it alone.

use http::HeaderMap;

pub use crate::authentication::believed;
use crate::query::{ListOptions, Query, WriteOptions, revision};
use crate::read::reads_as_continuation;

/// Reads a query as options of a list, of a watch and of a write.
pub fn query(text: &str) {
    let query = Query::parse(Some(text));
    let _ = ListOptions::parse(&query, false);
    let _ = ListOptions::parse(&query, true);
    for kind in ["CreateOptions", "PatchOptions"] {
        let _ = WriteOptions::parse(&query, &HeaderMap::new(), kind);
    }
}

/// Reads a token that a list goes on with, and a version.
pub fn continue_token(text: &str) {
    let _ = reads_as_continuation(text);
    let _ = revision(text);
}
