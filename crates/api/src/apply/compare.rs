//! What a write changes: the fields that are new or different, and those that are gone. A pure walk over two states
//! of an object; what is equal costs a comparison and nothing more.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::owned::everything;
use super::place::{Listing, Place};
use super::set::{FieldSet, Node, Path, Step};
use crate::schema::{Type, TypeSchema};

/// The difference of two states of an object.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Fields that were added or have another value.
    pub(super) set: FieldSet,
    /// Fields that are gone.
    pub(super) removed: FieldSet,
}

impl Changes {
    /// From one state of an object to the next.
    pub(super) fn between(schema: &TypeSchema, old: &Value, new: &Value) -> Self {
        let mut changes = Self::default();
        changes.maps(Place::root(schema), as_map(old), as_map(new), None);
        changes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.set.is_empty() && self.removed.is_empty()
    }

    /// Leaves out fields that the write cannot change, and all below them.
    pub(super) fn without(mut self, fields: &FieldSet) -> Self {
        self.set.subtract_below(fields);
        self.removed.subtract_below(fields);
        self
    }

    fn values(&mut self, place: Place<'_>, old: &Value, new: &Value, path: &Path<'_>) {
        if place.is_leaf(old) && place.is_leaf(new) {
            if old != new {
                self.set.insert(path, Node::new());
            }
            return;
        }
        match (place, old, new) {
            (Place::List(listing, item), _, _) => {
                self.lists(listing, item, as_list(old), as_list(new), path);
            }
            // Of values that are not alike, a map is compared by its entries and the rest as one.
            (Place::Anything, Value::Object(_), other)
            | (Place::Anything, other, Value::Object(_))
                if !other.is_object() && !other.is_null() =>
            {
                self.set.insert(path, Node::new());
                self.maps(place, as_map(old), as_map(new), Some(path));
            }
            _ => self.maps(place, as_map(old), as_map(new), Some(path)),
        }
    }

    fn maps(
        &mut self,
        place: Place<'_>,
        old: Option<&Map<String, Value>>,
        new: Option<&Map<String, Value>>,
        parent: Option<&Path<'_>>,
    ) {
        for (name, value) in new.into_iter().flatten() {
            let Some((place, _)) = place.entry(name) else {
                continue;
            };
            let path = Path {
                parent,
                step: Step::Field(name),
            };
            match old.and_then(|old| old.get(name)) {
                Some(before) => self.values(place, before, value, &path),
                None => self.set.insert(&path, everything(value, place)),
            }
        }
        for (name, value) in old.into_iter().flatten() {
            if new.is_some_and(|new| new.contains_key(name)) {
                continue;
            }
            if let Some((place, _)) = place.entry(name) {
                let path = Path {
                    parent,
                    step: Step::Field(name),
                };
                self.removed.insert(&path, everything(value, place));
            }
        }
    }

    fn lists(
        &mut self,
        listing: Listing<'_>,
        item: &Type,
        old: &[Value],
        new: &[Value],
        path: &Path<'_>,
    ) {
        if old == new {
            return;
        }
        let place = Place::of_item(item);
        let index = |items| by_element(listing, place, items);
        let (old, new) = (index(old), index(new));
        for (element, items) in &new {
            let path = Path {
                parent: Some(path),
                step: Step::Item(element),
            };
            let before = find(&old, element);
            match (before, items.as_slice()) {
                ([], [one]) => self.set.insert(&path, everything(one, place)),
                ([before], [one]) => self.values(place, before, one, &path),
                // Items that say they are the same are one thing; so is what they become or come from.
                ([], _) => self.set.insert(&path, Node::new()),
                ([before], _) => {
                    self.removed.insert(&path, everything(before, place));
                    self.set.insert(&path, Node::new());
                }
                (_, [one]) => {
                    self.set.insert(&path, everything(one, place));
                    self.removed.insert(&path, Node::new());
                }
                (before, items) if before != items => self.set.insert(&path, Node::new()),
                _ => {}
            }
        }
        for (element, items) in &old {
            if !find(&new, element).is_empty() {
                continue;
            }
            let path = Path {
                parent: Some(path),
                step: Step::Item(element),
            };
            let node = match items.as_slice() {
                [one] => everything(one, place),
                _ => Node::new(),
            };
            self.removed.insert(&path, node);
        }
    }
}

/// The items of a list by their elements; more than one when they say they are the same.
type Indexed<'v> = BTreeMap<String, Vec<&'v Value>>;

fn by_element<'v>(listing: Listing<'_>, place: Place<'_>, items: &'v [Value]) -> Indexed<'v> {
    let mut index = Indexed::new();
    for item in items {
        if let Ok(element) = listing.element(place, item) {
            index.entry(element).or_default().push(item);
        }
    }
    index
}

fn find<'i, 'v>(index: &'i Indexed<'v>, element: &str) -> &'i [&'v Value] {
    index.get(element).map_or(&[], Vec::as_slice)
}

fn as_map(value: &Value) -> Option<&Map<String, Value>> {
    value.as_object()
}

fn as_list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
