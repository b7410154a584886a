//! Whether a configuration has the form its schema asks for, in upstream's words. It refuses to know values' rules.

use serde_json::{Map, Value};

use super::element;
use super::place::{Entries, Listing, Place, Scalar};
use crate::patch::go_value;
use crate::schema::Type;

/// What is wrong with a configuration, as one text; several faults are listed below one another.
pub(super) fn check(place: Place<'_>, config: &Value) -> Result<(), String> {
    let mut faults = Vec::new();
    walk(place, config, &mut String::new(), &mut faults);
    match faults.as_slice() {
        [] => Ok(()),
        [one] => Err(one.clone()),
        several => Err(format!("errors:\n  {}", several.join("\n  "))),
    }
}

fn walk(place: Place<'_>, value: &Value, path: &mut String, faults: &mut Vec<String>) {
    let fault = match (place, value) {
        (Place::Anything, _) | (_, Value::Null) => return,
        (Place::Scalar(scalar), value) => match wrong_scalar(scalar, value) {
            None => return,
            Some(fault) => fault,
        },
        (Place::List(listing, item), Value::Array(items)) => {
            return list(listing, item, items, path, faults);
        }
        (Place::Map { entries, .. }, Value::Object(fields)) => {
            return map(place, entries, fields, path, faults);
        }
        (Place::List(..), value) => format!("expected list, got &{{{}}}", go_value(value)),
        (Place::Map { .. }, value) => format!("expected map, got &{{{}}}", go_value(value)),
    };
    report(path, &fault, faults);
}

fn report(path: &str, fault: &str, faults: &mut Vec<String>) {
    faults.push(if path.is_empty() {
        fault.to_owned()
    } else {
        format!("{path}: {fault}")
    });
}

fn map(
    place: Place<'_>,
    entries: Entries<'_>,
    fields: &Map<String, Value>,
    path: &mut String,
    faults: &mut Vec<String>,
) {
    for (name, value) in fields {
        let before = path.len();
        element::show(&element::field(name), path);
        match place.entry(name) {
            Some((place, _)) => walk(place, value, path, faults),
            None => report(path, "field not declared in schema", faults),
        }
        path.truncate(before);
        // Upstream looks no further in an object with a field it does not know.
        if matches!(entries, Entries::Fields(schema) if !schema.open && schema.field(name).is_none())
        {
            return;
        }
    }
}

fn list(
    listing: Listing<'_>,
    item: &Type,
    items: &[Value],
    path: &mut String,
    faults: &mut Vec<String>,
) {
    let place = Place::of_item(item);
    let mut seen = std::collections::BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let element = if matches!(listing, Listing::Atomic) {
            format!("i:{index}")
        } else {
            match listing.element(place, item) {
                Ok(element) => element,
                Err(error) => {
                    return report(path, &format!("element {index}: {error}"), faults);
                }
            }
        };
        let before = path.len();
        element::show(&element, path);
        if !seen.insert(element) {
            let shown = path.split_off(before);
            report(path, &format!("duplicate entries for key {shown}"), faults);
            path.push_str(&shown);
        }
        walk(place, item, path, faults);
        path.truncate(before);
    }
}

fn wrong_scalar(scalar: Scalar, value: &Value) -> Option<String> {
    let fits = match scalar {
        Scalar::Text => value.is_string(),
        Scalar::Number => value.is_number(),
        Scalar::Bool => value.is_boolean(),
        Scalar::Any => !value.is_array() && !value.is_object(),
    };
    if fits {
        return None;
    }
    Some(match scalar {
        Scalar::Text => {
            let shown = match value {
                Value::Array(_) | Value::Object(_) => go_syntax(value),
                other => other.to_string(),
            };
            format!("expected string, got &value.valueUnstructured{{Value:{shown}}}")
        }
        Scalar::Number => {
            let ty = match value {
                Value::String(_) => "string",
                Value::Bool(_) => "bool",
                Value::Array(_) => "[]interface {}",
                _ => "map[string]interface {}",
            };
            format!("expected numeric (int or float), got {ty}")
        }
        Scalar::Bool => format!("expected boolean, got &{{{}}}", go_value(value)),
        Scalar::Any => format!("expected any scalar, got &{{{}}}", go_value(value)),
    })
}

/// A value as Go's `%#v` prints it.
fn go_syntax(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".to_owned(),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(go_syntax).collect();
            format!("[]interface {{}}{{{}}}", items.join(", "))
        }
        Value::Object(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), go_syntax(value)))
                .collect();
            format!("map[string]interface {{}}{{{}}}", fields.join(", "))
        }
        scalar => scalar.to_string(),
    }
}
