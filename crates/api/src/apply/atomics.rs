//! Which parts of a value have one owner although they have parts themselves.

use serde_json::Value;

use super::place::Place;
use crate::schema::TypeSchema;

/// The places of atomic lists, maps and objects in an object, as in `.spec.selector`.
pub(crate) fn atomics(schema: &TypeSchema, object: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(Place::root(schema), object, "", &mut found);
    found
}

fn walk(place: Place<'_>, value: &Value, path: &str, found: &mut Vec<String>) {
    if !value.is_object() && !value.is_array() {
        return;
    }
    if place.is_leaf(value) {
        found.push(path.to_owned());
        return;
    }
    for (index, part) in place.parts(value).into_iter().enumerate() {
        let step = match part.element.strip_prefix("f:") {
            Some(name) => format!("{path}.{name}"),
            None => format!("{path}[{index}]"),
        };
        walk(part.place, part.value, &step, found);
    }
}
