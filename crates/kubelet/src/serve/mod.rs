//! The node API: logs, health, pods, and streams into containers and pods, over HTTPS, for administrators: whose
//! certificate our authority signed and names `system:masters`, as that of the API server does.

mod find;
mod follow;
mod line;
mod logs;
mod query;
mod server;
mod stream;
mod tail;

pub(crate) use line::log_line_text;
pub(crate) use server::{NodeApi, serve};
pub(crate) use stream::Streams;
#[cfg(fuzzing)]
pub use stream::fuzzing;
