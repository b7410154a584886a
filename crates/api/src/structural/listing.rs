//! Items of set and map lists are unique.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{Additional, ListType, Structural};
use crate::field::{FieldError, Path};

/// Finds items that are there twice, at any depth.
pub(crate) fn duplicates(
    schema: &Structural,
    value: &Value,
    path: &Path,
    errors: &mut Vec<FieldError>,
) {
    match value {
        Value::Array(items) => {
            let Some(of) = &schema.items else { return };
            match schema.list_type {
                ListType::Atomic => {}
                ListType::Set => {
                    let keys = items.iter().map(canonical);
                    report(keys, items, path, errors, Value::clone);
                }
                ListType::Map => {
                    let keys = items.iter().map(|item| {
                        let keys = schema.item_key(item);
                        keys.into_iter()
                            .map(canonical)
                            .collect::<Vec<_>>()
                            .join(",")
                    });
                    report(keys, items, path, errors, |item| {
                        let keys = schema.list_keys.iter();
                        keys.filter_map(|key| Some((key.clone(), item.get(key)?.clone())))
                            .collect::<Map<_, _>>()
                            .into()
                    });
                }
            }
            for (index, item) in items.iter().enumerate() {
                duplicates(of, item, &path.index(index), errors);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Some(child) = schema.properties.get(name) {
                    duplicates(child, value, &path.child(name), errors);
                } else if let Some(Additional::Schema(child)) = &schema.additional {
                    duplicates(child, value, &path.key(name), errors);
                }
            }
        }
        _ => {}
    }
}

/// Equal values have equal texts: whole numbers are written without a fraction.
fn canonical(value: &Value) -> String {
    match value {
        Value::Number(number) => number
            .as_f64()
            .filter(|_| number.is_f64())
            .map_or_else(|| number.to_string(), |float| float.to_string()),
        Value::Array(items) => format!("{:?}", items.iter().map(canonical).collect::<Vec<_>>()),
        Value::Object(fields) => {
            let mut entries: Vec<_> = fields.iter().map(|(k, v)| (k, canonical(v))).collect();
            entries.sort();
            format!("{entries:?}")
        }
        other => other.to_string(),
    }
}

fn report(
    keys: impl Iterator<Item = String>,
    items: &[Value],
    path: &Path,
    errors: &mut Vec<FieldError>,
    shown: impl Fn(&Value) -> Value,
) {
    let mut seen = HashSet::new();
    let mut told = HashSet::new();
    for (index, key) in keys.enumerate() {
        if !seen.insert(key.clone()) && told.insert(key) {
            errors.push(FieldError::duplicate(
                &path.index(index),
                shown(&items[index]),
            ));
        }
    }
}
