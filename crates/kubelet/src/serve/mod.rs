//! The node API: logs, health and pods over HTTPS, for clients whose certificate our authority signed.

mod find;
mod follow;
mod line;
mod logs;
mod query;
mod server;
mod tail;

pub(crate) use line::log_line_text;
pub(crate) use server::{NodeApi, serve};
