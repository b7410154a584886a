//! The kinds of this API group, one file or folder each.

pub(crate) mod cronjob;
pub(crate) mod job;
pub mod schedule;
