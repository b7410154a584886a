//! Helpers of this module's tests.

use crate::FieldError;

/// Faults as clients read them.
pub(crate) fn texts(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}
