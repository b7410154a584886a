//! This machine as the API sees it: the Node object, its status and its lease.

mod host;
mod lease;
mod object;
mod register;

pub(crate) use host::Capacity;
pub(crate) use register::{Registration, keep_registered};
