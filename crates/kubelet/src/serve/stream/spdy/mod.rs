//! SPDY/3.1 as Kubernetes clients speak it: framing and header compression for the serving side of a connection.
//! Knows nothing of what the streams are for.
//!
//! Windows are neither kept nor asked for: the Go library on the other side ignores them both ways, so that the
//! connection's own flow control is all there is. Backpressure therefore means not reading the connection.

mod frame;
mod headers;

pub(super) use frame::{Frame, Reader, Reply, write};
