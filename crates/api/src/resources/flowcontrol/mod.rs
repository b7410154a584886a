//! The kinds of this API group, one file each. They are kept and judged; this server does not queue by them.

pub(crate) mod flowschema;
pub(crate) mod prioritylevelconfiguration;

use std::collections::HashSet;

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::resources::object::{list, text};

/// Every condition is of a kind of its own.
fn conditions(object: &Value) -> Vec<FieldError> {
    let (path, mut seen) = (Path::new("status.conditions"), HashSet::new());
    let mut errors = Vec::new();
    for (index, condition) in list(&object["status"], "conditions").iter().enumerate() {
        let (kind, at) = (text(condition, "type"), path.index(index).child("type"));
        if !seen.insert(kind) {
            errors.push(FieldError::duplicate(&at, kind));
        }
        if kind.is_empty() {
            errors.push(FieldError::required(&at, "must not be empty"));
        }
    }
    errors
}
