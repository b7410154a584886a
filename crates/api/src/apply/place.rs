//! How a value at a place of an object is owned: as one, item by item, field by field. This is all that apply knows
//! of schemas.

use serde_json::{Map, Value};

use super::element;
use crate::schema::{FieldSchema, Topology, Type, TypeSchema};

/// What the schema says about a place.
#[derive(Clone, Copy)]
pub(super) enum Place<'s> {
    /// One value with one owner.
    Scalar(Scalar),
    /// A list.
    List(Listing<'s>, &'s Type),
    /// An object or a map.
    Map {
        entries: Entries<'s>,
        /// Whether it has one owner.
        atomic: bool,
    },
    /// Nothing is said: maps are owned entry by entry, all else as one.
    Anything,
}

/// The sorts of scalars that upstream's check of a configuration tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    Text,
    Number,
    Bool,
    Any,
}

/// How the items of a list are told apart.
#[derive(Clone, Copy)]
pub(super) enum Listing<'s> {
    /// Not at all: the list has one owner.
    Atomic,
    /// By their value.
    Set,
    /// By these fields.
    Keyed(&'s [&'s str]),
}

/// What a map holds.
#[derive(Clone, Copy)]
pub(super) enum Entries<'s> {
    /// The fields of a type.
    Fields(&'s TypeSchema),
    /// Free keys with values of one type.
    Each(&'s Type),
    /// Free keys with any values.
    Anything,
}

/// A part of a value with an owner of its own.
pub(super) struct Part<'v, 's> {
    pub(super) element: String,
    pub(super) value: &'v Value,
    pub(super) place: Place<'s>,
    /// Whether the part is a field of a type, and so never owned apart from what it holds.
    pub(super) declared: bool,
}

impl<'s> Place<'s> {
    /// A whole object of a type.
    pub(super) fn root(schema: &'s TypeSchema) -> Self {
        Self::Map {
            entries: Entries::Fields(schema),
            atomic: schema.atomic,
        }
    }

    fn of(ty: &'s Type, topology: Topology) -> Self {
        match ty {
            Type::Any => Self::Anything,
            Type::RawObject | Type::Fields => Self::Map {
                entries: Entries::Anything,
                atomic: true,
            },
            Type::Bool => Self::Scalar(Scalar::Bool),
            Type::Int32 | Type::Int64 | Type::Float => Self::Scalar(Scalar::Number),
            Type::Str | Type::Bytes => Self::Scalar(Scalar::Text),
            Type::Time | Type::MicroTime | Type::Quantity | Type::IntOrString => {
                Self::Scalar(Scalar::Any)
            }
            Type::Object(schema) => Self::Map {
                entries: Entries::Fields(schema),
                atomic: match topology {
                    Topology::Atomic => true,
                    Topology::Granular => false,
                    _ => schema.atomic,
                },
            },
            Type::Map(each) => Self::Map {
                entries: Entries::Each(each),
                atomic: topology == Topology::Atomic,
            },
            Type::List(item) => Self::List(
                match topology {
                    Topology::Set => Listing::Set,
                    Topology::Keyed(keys) => Listing::Keyed(keys),
                    Topology::Undeclared | Topology::Atomic | Topology::Granular => Listing::Atomic,
                },
                item,
            ),
        }
    }

    /// The place of a declared field.
    pub(super) fn of_field(field: &'s FieldSchema) -> Self {
        Self::of(&field.ty, field.topology)
    }

    /// The place of an item of a list of this type.
    pub(super) fn of_item(item: &'s Type) -> Self {
        Self::of(item, Topology::Undeclared)
    }

    /// Whether an empty list or map, a scalar or something atomic stands here: one value with one owner.
    pub(super) fn is_leaf(self, value: &Value) -> bool {
        match self {
            Self::Scalar(_) | Self::List(Listing::Atomic, _) | Self::Map { atomic: true, .. } => {
                true
            }
            Self::List(..) => value.as_array().is_none_or(Vec::is_empty),
            Self::Map { .. } | Self::Anything => value.as_object().is_none_or(Map::is_empty),
        }
    }

    /// The place of an entry of a map, and whether it is a declared field. `None` when there is no such field.
    pub(super) fn entry(self, name: &str) -> Option<(Self, bool)> {
        match self {
            Self::Map { entries, .. } => entries.place(name),
            Self::Anything => Some((Self::Anything, false)),
            Self::Scalar(_) | Self::List(..) => None,
        }
    }

    /// The parts of a value that is not a leaf. Items that cannot be told apart by their key are left out.
    pub(super) fn parts<'v>(self, value: &'v Value) -> Vec<Part<'v, 's>> {
        match (self, value) {
            (Self::List(listing, item), Value::Array(items)) => {
                let place = Self::of_item(item);
                let part = |value| {
                    let element = listing.element(place, value).ok()?;
                    Some(Part {
                        element,
                        value,
                        place,
                        declared: false,
                    })
                };
                items.iter().filter_map(part).collect()
            }
            (place, Value::Object(fields)) => {
                let part = |(name, value): (&String, &'v Value)| {
                    let (place, declared) = place.entry(name)?;
                    Some(Part {
                        element: element::field(name),
                        value,
                        place,
                        declared,
                    })
                };
                fields.iter().filter_map(part).collect()
            }
            _ => Vec::new(),
        }
    }
}

impl<'s> Entries<'s> {
    fn place(self, name: &str) -> Option<(Place<'s>, bool)> {
        match self {
            Self::Fields(schema) => match schema.field(name) {
                Some(field) => Some((Place::of_field(field), true)),
                None => schema.open.then_some((Place::Anything, false)),
            },
            Self::Each(ty) => Some((Place::of_item(ty), false)),
            Self::Anything => Some((Place::Anything, false)),
        }
    }
}

impl Listing<'_> {
    /// The element of an item of this list. The error is upstream's.
    pub(super) fn element(self, place: Place<'_>, item: &Value) -> Result<String, String> {
        match self {
            Self::Atomic => Err("invalid indexing of non-associative list".to_owned()),
            Self::Set => match item {
                Value::Object(_) => {
                    Err("associative list without keys has an element that's a map type".to_owned())
                }
                Value::Array(_) => {
                    Err("not supported: associative list with lists as elements".to_owned())
                }
                Value::Null => Err(
                    "associative list without keys has an element that's an explicit null"
                        .to_owned(),
                ),
                scalar => Ok(element::value(scalar)),
            },
            Self::Keyed(names) => match item {
                Value::Object(fields) => keyed(names, place, fields),
                Value::Null => {
                    Err("associative list with keys may not have a null element".to_owned())
                }
                _ => Err("associative list with keys may not have non-map elements".to_owned()),
            },
        }
    }
}

fn keyed(names: &[&str], place: Place<'_>, item: &Map<String, Value>) -> Result<String, String> {
    let defaults: Vec<Option<Value>> = names
        .iter()
        .map(|name| {
            if item.contains_key(*name) {
                None
            } else {
                default(place, name)
            }
        })
        .collect();
    let mut keys = Vec::with_capacity(names.len());
    for (name, default) in names.iter().zip(&defaults) {
        if let Some(value) = item.get(*name).or(default.as_ref()) {
            keys.push((*name, value));
        }
    }
    if keys.is_empty() {
        let names: Vec<_> = names
            .iter()
            .map(|name| Value::from(*name).to_string())
            .collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and doesn't have default \
             values for any key fields)",
            names.join(" ")
        ));
    }
    Ok(element::keys(keys))
}

/// What a key field is when an item leaves it out: what upstream's document gives as its default.
fn default(place: Place<'_>, name: &str) -> Option<Value> {
    let Place::Map {
        entries: Entries::Fields(schema),
        ..
    } = place
    else {
        return None;
    };
    let field = schema.field(name)?;
    if name == "protocol" {
        return Some("TCP".into());
    }
    // The one key with a default that is not required: names of pull secrets.
    let always = field.required || schema.short_name() == "LocalObjectReference";
    match field.ty {
        Type::Str if always => Some("".into()),
        Type::Int32 | Type::Int64 if always => Some(0.into()),
        _ => None,
    }
}
