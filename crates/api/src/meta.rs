//! The rules every object's metadata follows. Knows no kinds.

use serde_json::Value;

use crate::field::FieldError;
use crate::names::Rule;
use crate::resource::Scope;

/// `metadata.name`, empty when absent.
pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// `metadata.namespace`, empty when absent.
pub fn namespace(object: &Value) -> &str {
    object["metadata"]["namespace"].as_str().unwrap_or_default()
}

/// Faults of a new object's metadata.
pub fn validate(_object: &Value, _scope: Scope, _rule: Rule) -> Vec<FieldError> {
    Vec::new()
}

/// Faults of an update's metadata.
pub fn validate_update(_new: &Value, _old: &Value) -> Vec<FieldError> {
    Vec::new()
}
