//! Which optional scalars upstream holds by pointer, so that a zero a client wrote is kept and printed.
//! All other optional scalars lose their zero (`""`, `0`, `false`) on the way through the server.

use super::{FieldSchema, TypeSchema};

/// Whether an explicit zero in this optional scalar field survives.
pub(crate) fn keeps_zero(_schema: &TypeSchema, _field: &FieldSchema) -> bool {
    true
}
