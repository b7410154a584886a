//! Which fields an object has: for the owner of all of it, for the author of a configuration, and for the creator of
//! an object. Pure walks over the schema.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::element;
use super::place::{Entries, Listing, Part, Place};
use super::set::{FieldSet, Node, finish, is_member};
use crate::schema::{Type, TypeSchema, is_inline, is_printed};

/// The node of a value that was not there before: it, and everything in it, is new.
pub(super) fn everything(value: &Value, place: Place<'_>) -> Node {
    if place.is_leaf(value) {
        return Node::new();
    }
    finish(parts_of(value, place, everything), true)
}

/// What the author of a configuration owns: scalars, items and entries that the configuration lists, but no field of
/// a type apart from what it holds.
pub(super) fn listed(value: &Value, place: Place<'_>) -> FieldSet {
    listed_in(value, place).into()
}

fn listed_in(value: &Value, place: Place<'_>) -> Node {
    let parts = place.parts(value);
    let twice = twice(&parts);
    let mut set = Node::new();
    for part in parts {
        let node = if twice.contains(&part.element) {
            Node::new()
        } else if part.place.is_leaf(part.value) {
            // A list of items without any says nothing, unless its very name is an entry.
            if part.declared && is_empty_list(&part) {
                continue;
            }
            Node::new()
        } else {
            let below = listed_in(part.value, part.place);
            if below.is_empty() && part.declared {
                continue;
            }
            finish(below, !part.declared)
        };
        set.insert(part.element, Value::Object(node));
    }
    set
}

/// What the creator of an object owns: everything that a new, empty object of the type does not have. Upstream's
/// types are structs, and structs within them, scalars that are always printed and lists that are never left out
/// are there from the beginning.
///
/// Of a custom kind they know no struct: its empty object has nothing in it.
pub(super) fn created(schema: &TypeSchema, object: &Value) -> FieldSet {
    if schema.is_custom() {
        parts_of(object, Place::root(schema), everything).into()
    } else {
        inside(schema, object).into()
    }
}

fn inside(schema: &TypeSchema, object: &Value) -> Node {
    let mut node = Node::new();
    for (name, value) in object.as_object().into_iter().flatten() {
        let Some(field) = schema.field(name) else {
            continue;
        };
        let place = Place::of_field(field);
        let below = match (&field.ty, value) {
            (_, Value::Null) => continue,
            (Type::Object(inner), value) if is_inline(schema, field) => {
                if place.is_leaf(value) {
                    if value.as_object().is_none_or(Map::is_empty) {
                        continue;
                    }
                    Node::new()
                } else {
                    let below = inside(inner, value);
                    if below.is_empty() {
                        continue;
                    }
                    below
                }
            }
            (_, value) if is_printed(schema, field) => {
                if is_zero(value) {
                    continue;
                }
                if place.is_leaf(value) {
                    Node::new()
                } else {
                    parts_of(value, place, everything)
                }
            }
            (_, value) => everything(value, place),
        };
        node.insert(element::field(name), Value::Object(below));
    }
    node
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Null => true,
        Value::Array(_) | Value::Object(_) => false,
    }
}

fn parts_of(value: &Value, place: Place<'_>, node: fn(&Value, Place<'_>) -> Node) -> Node {
    let parts = place.parts(value);
    let twice = twice(&parts);
    let mut set = Node::new();
    for part in parts {
        // Items that say they are the same are owned as one.
        let below = if twice.contains(&part.element) {
            Node::new()
        } else {
            node(part.value, part.place)
        };
        set.insert(part.element, Value::Object(below));
    }
    set
}

/// The elements that more than one part has.
fn twice(parts: &[Part<'_, '_>]) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    parts
        .iter()
        .map(|part| part.element.as_str())
        // Fields of an object are never there twice.
        .filter(|element| !element.starts_with("f:") && !seen.insert(*element))
        .map(str::to_owned)
        .collect()
}

fn is_empty_list(part: &Part<'_, '_>) -> bool {
    matches!(part.place, Place::List(Listing::Set | Listing::Keyed(_), _))
        && part.value.as_array().is_some_and(Vec::is_empty)
}

/// The set with every declared field on the way to one of its paths. A field of a type is a member only through what
/// it holds; for deciding what is removed it counts as one itself.
pub(super) fn with_fields(set: &FieldSet, place: Place<'_>) -> FieldSet {
    named(set.root(), Some(place)).into()
}

fn named(node: &Node, place: Option<Place<'_>>) -> Node {
    let mut out = Node::new();
    for (element, below) in node {
        let Value::Object(below) = below else {
            continue;
        };
        if element == element::SELF {
            continue;
        }
        let (place, declared) = match (place, element.split_at_checked(2)) {
            (Some(place @ Place::Map { entries, .. }), Some(("f:", name))) => {
                let declared =
                    matches!(entries, Entries::Fields(schema) if schema.field(name).is_some());
                (place.entry(name).map(|(place, _)| place), declared)
            }
            (Some(Place::List(_, item)), Some(("k:", _))) => (Some(Place::of_item(item)), false),
            _ => (None, false),
        };
        let member = declared || is_member(below);
        out.insert(
            element.clone(),
            Value::Object(finish(named(below, place), member)),
        );
    }
    out
}
