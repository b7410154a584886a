//! A configuration laid over an object, and fields taken out of an object. Pure walks over the schema.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::element;
use super::place::{Listing, Place};
use super::set::{FieldSet, Node, child, is_member};
use crate::schema::Type;

/// The live value with the configuration's values in it. Nothing is removed. Items keep the live order, but those
/// that the configuration lists follow its order.
pub(super) fn merge(place: Place<'_>, live: &Value, config: &Value) -> Value {
    if place.is_leaf(live) && place.is_leaf(config) {
        return config.clone();
    }
    match (place, live, config) {
        (Place::List(listing, item), _, _) => {
            let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
            Value::Array(merge_lists(listing, item, list(live), list(config)))
        }
        (Place::Map { .. } | Place::Anything, Value::Object(live), Value::Object(config)) => {
            Value::Object(merge_maps(place, live, config))
        }
        // An explicit nothing does not remove what is there.
        (Place::Map { .. } | Place::Anything, Value::Object(_), Value::Null) => live.clone(),
        _ => config.clone(),
    }
}

fn merge_maps(
    place: Place<'_>,
    live: &Map<String, Value>,
    config: &Map<String, Value>,
) -> Map<String, Value> {
    let mut merged = live.clone();
    for (name, value) in config {
        let value = match (place.entry(name), live.get(name)) {
            (Some((place, _)), Some(live)) => merge(place, live, value),
            _ => value.clone(),
        };
        merged.insert(name.clone(), value);
    }
    merged
}

fn merge_lists(
    listing: Listing<'_>,
    item: &Type,
    live: Vec<Value>,
    config: Vec<Value>,
) -> Vec<Value> {
    let place = Place::of_item(item);
    let element = |value: &Value| listing.element(place, value).unwrap_or_default();
    let mut wanted: Vec<(String, Value)> = config
        .into_iter()
        .map(|item| (element(&item), item))
        .collect();
    let places: BTreeMap<String, usize> = wanted
        .iter()
        .enumerate()
        .map(|(at, (element, _))| (element.clone(), at))
        .collect();
    let live: Vec<(String, Value)> = live
        .into_iter()
        .map(|item| (element(&item), item))
        .collect();
    // Items that are in both, by their place in the configuration. Those that the live list has twice are not merged.
    let mut shared: BTreeMap<usize, usize> = BTreeMap::new();
    for (element, item) in &live {
        if let Some(at) = places.get(element) {
            let count = shared.entry(*at).or_default();
            *count += 1;
            if *count == 1 {
                wanted[*at].1 = merge(place, item, &wanted[*at].1);
            }
        }
    }
    let mut merged = Vec::with_capacity(live.len() + wanted.len());
    let mut rest = wanted.into_iter().enumerate().peekable();
    let mut next = shared.into_keys().peekable();
    for (element, item) in live {
        match places.get(&element) {
            None => merged.push(item),
            // Here the configuration's items up to this one have their place. A shared item whose turn it is not
            // comes when it is.
            Some(at) if next.peek() == Some(at) => {
                next.next();
                while let Some((_, (_, item))) = rest.next_if(|(index, _)| index <= at) {
                    merged.push(item);
                }
            }
            Some(_) => {}
        }
    }
    merged.extend(rest.map(|(_, (_, item))| item));
    merged
}

/// The value without these fields, items and entries. What loses all of its parts is null.
pub(super) fn remove(place: Place<'_>, value: Value, unwanted: &FieldSet) -> Value {
    remove_below(place, value, unwanted.root())
}

fn remove_below(place: Place<'_>, value: Value, unwanted: &Node) -> Value {
    if unwanted.is_empty() || place.is_leaf(&value) {
        return value;
    }
    match (place, value) {
        (Place::List(listing, item), Value::Array(items)) => {
            let place = Place::of_item(item);
            let kept: Vec<Value> = items
                .into_iter()
                .filter_map(|item| {
                    let element = listing.element(place, &item).unwrap_or_default();
                    keep(place, item, child(unwanted, &element))
                })
                .collect();
            if kept.is_empty() {
                Value::Null
            } else {
                Value::Array(kept)
            }
        }
        (place, Value::Object(fields)) => {
            let kept: Map<String, Value> = fields
                .into_iter()
                .filter_map(|(name, value)| {
                    let node = child(unwanted, &element::field(&name));
                    let place = place
                        .entry(&name)
                        .map_or(Place::Anything, |(place, _)| place);
                    Some((name, keep(place, value, node)?))
                })
                .collect();
            if kept.is_empty() {
                Value::Null
            } else {
                Value::Object(kept)
            }
        }
        (_, value) => value,
    }
}

fn keep(place: Place<'_>, value: Value, unwanted: Option<&Node>) -> Option<Value> {
    match unwanted {
        None => Some(value),
        Some(node) if is_member(node) => None,
        Some(node) => Some(remove_below(place, value, node)),
    }
}
