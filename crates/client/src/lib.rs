//! What every reader and writer of the API shares: informers, work queues and event recorders over a
//! [`kube::Client`]. Knows no kind's meaning and never whether the API is in this process or far away.
//!
//! * [`Informers`] keeps one [`Informer`] per kind and selection in a process: a list, then a watch,
//!   decoded once and shared by everybody who asks.
//! * [`WorkQueue`] and [`run_workers`] turn changes into reconciliations, one at a time per key.
//!   [`QueueMeters`] tell how they stand.
//! * [`Recorder`] writes core/v1 Events without ever making its caller wait.

mod backoff;
mod cache;
mod error;
mod informer;
mod informers;
mod meter;
mod queue;
mod recorder;
mod reflector;
mod workers;

pub use error::{ApiError, StatusCode, code};
pub use informer::{Change, Informer, Object};
pub use informers::Informers;
pub use meter::QueueMeters;
pub use queue::{Claimed, WorkQueue};
pub use recorder::{EventKind, Recorder};
pub use workers::run_workers;
