//! Reads and fills objects the way typed code would: absent, null and empty are one. Knows no kinds.

use serde_json::{Map, Value};

use crate::Quantity;

/// A text field, empty when absent.
pub(crate) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object
        .get(field)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A number field.
pub(crate) fn int(object: &Value, field: &str) -> Option<i64> {
    object.get(field).and_then(Value::as_i64)
}

/// The items of a list field, none when absent.
pub(crate) fn list<'a>(object: &'a Value, field: &str) -> &'a [Value] {
    object
        .get(field)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Whether a field is given at all.
pub(crate) fn given(object: &Value, field: &str) -> bool {
    object.get(field).is_some_and(|v| !v.is_null())
}

/// A field to write in, when it is given.
pub(crate) fn inside<'a>(object: &'a mut Value, field: &str) -> Option<&'a mut Value> {
    object.get_mut(field).filter(|v| v.is_object())
}

/// The items of a list field, to write in.
pub(crate) fn items<'a>(object: &'a mut Value, field: &str) -> impl Iterator<Item = &'a mut Value> {
    object
        .get_mut(field)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .filter(|item| item.is_object())
}

/// A field that is an object, made when it is not there.
pub(crate) fn ensure<'a>(object: &'a mut Value, field: &str) -> &'a mut Value {
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let entry = &mut object[field];
    if !entry.is_object() {
        *entry = Value::Object(Map::new());
    }
    entry
}

/// Sets a field that is absent, null or an empty text.
pub(crate) fn fill(object: &mut Value, field: &str, value: impl Into<Value>) {
    let empty = object
        .get(field)
        .is_none_or(|v| v.is_null() || v.as_str() == Some(""));
    if empty && let Some(fields) = object.as_object_mut() {
        fields.insert(field.to_owned(), value.into());
    }
}

/// Sets or, with null, removes a field.
pub(crate) fn put(object: &mut Value, field: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        if value.is_null() {
            fields.remove(field);
        } else {
            fields.insert(field.to_owned(), value);
        }
    }
}

/// Shows a list that is never left out as null when there is nothing in it, as upstream's stored form does.
pub(crate) fn null_when_empty(object: &mut Value, field: &str) {
    if list(object, field).is_empty()
        && let Some(fields) = object.as_object_mut()
    {
        fields.insert(field.to_owned(), Value::Null);
    }
}

/// Removes a field.
pub(crate) fn remove(object: &mut Value, field: &str) {
    put(object, field, Value::Null);
}

/// Brings the amounts of a resource list to their canonical text, rounded up to thousandths as the API keeps them.
pub(crate) fn canonical_amounts(object: &mut Value, field: &str) {
    for (_, amount) in object
        .get_mut(field)
        .and_then(Value::as_object_mut)
        .into_iter()
        .flatten()
    {
        if let Some(quantity) = amount_of(amount) {
            *amount = quantity.round_up_to_millis().to_string().into();
        }
    }
}

/// A quantity, which clients may also write as a number.
pub(crate) fn amount_of(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.to_string().parse().ok(),
        _ => None,
    }
}

/// The names of list items, comma-separated: a cell of a wide table.
pub(crate) fn joined(items: &[Value], field: &str) -> String {
    items
        .iter()
        .map(|item| text(item, field))
        .collect::<Vec<_>>()
        .join(",")
}
