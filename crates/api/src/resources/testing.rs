//! Helpers of this module's tests.

use serde_json::Value;

use crate::FieldError;

/// Faults as clients read them.
pub(crate) fn texts(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// An object with a merge patch applied.
#[expect(
    clippy::needless_pass_by_value,
    reason = "json!(..) reads better without a reference"
)]
pub(crate) fn merged(mut object: Value, change: Value) -> Value {
    json_patch::merge(&mut object, &change);
    object
}

/// A change of an object's spec.
pub(crate) fn of_spec(spec: Value) -> Value {
    Value::Object([("spec".to_owned(), spec)].into_iter().collect())
}
