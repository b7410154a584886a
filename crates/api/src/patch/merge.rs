//! JSON merge patch, RFC 7386. It refuses to know schemas.

use serde_json::{Map, Value};

use super::PatchError;
use crate::decode::Node;

/// Applies the patch and names fields that it gives twice.
pub(super) fn apply(live: &Value, patch: &[u8]) -> Result<(Value, Vec<String>), PatchError> {
    let (patch, problems) = parse_object(patch)
        .map_err(|error| PatchError::BadRequest(format!("error decoding patch: {error}")))?;
    let mut object = live.clone();
    merge(&mut object, Value::Object(patch));
    Ok((object, problems))
}

/// Reads a patch that must be an object (or null, which stands for an empty one), and names fields given twice.
pub(super) fn parse_object(patch: &[u8]) -> Result<(Map<String, Value>, Vec<String>), String> {
    let node = Node::from_json(patch)?;
    let name = node.json_name();
    let mut duplicates = Vec::new();
    match node.into_value(&mut String::new(), &mut duplicates) {
        Value::Object(patch) => {
            let problems = duplicates
                .iter()
                .map(|path| format!("duplicate field {path:?}"))
                .collect();
            Ok((patch, problems))
        }
        Value::Null => Ok((Map::new(), Vec::new())),
        _ => Err(format!(
            "json: cannot unmarshal {name} into Go value of type map[string]interface {{}}"
        )),
    }
}

fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    // Was made an object just above.
    let Value::Object(target) = target else {
        return;
    };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(&name);
        } else {
            merge(target.entry(name).or_insert(Value::Null), value);
        }
    }
}
