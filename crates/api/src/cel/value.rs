//! What expressions work on. Objects and lists of JSON stay where they are; their parts are read when asked for.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::authorization::{Answer, Asking};
use super::types::unescape;
use crate::Quantity;
use crate::structural::{Structural, Ty};

/// A value; `'a` is how long the objects live that it comes from.
#[derive(Debug, Clone)]
pub(crate) enum Val<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Arc<str>),
    Bytes(Arc<[u8]>),
    /// Nanoseconds.
    Duration(i64),
    Timestamp(Timestamp),
    List(Arc<Vec<Val<'a>>>),
    Map(Arc<Vec<(Val<'a>, Val<'a>)>>),
    JsonList(&'a [Value], Option<&'a Structural>),
    JsonMap(&'a Map<String, Value>, Option<&'a Structural>),
    Optional(Option<Arc<Val<'a>>>),
    Type(&'static str),
    Quantity(Arc<Quantity>),
    Url(Arc<str>),
    Ip(IpAddr),
    Cidr(IpAddr, u8),
    Semver(u64, u64, u64, Arc<str>),
    Format(&'static str),
    /// A question about permissions, as far as it is asked.
    Asking(Asking<'a>),
    Answer(Arc<Answer>),
}

impl<'a> Val<'a> {
    /// A JSON value, typed by its schema where there is one.
    pub(crate) fn of(value: &'a Value, schema: Option<&'a Structural>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => {
                let double = schema.is_some_and(|schema| schema.ty == Some(Ty::Number));
                if let (Some(whole), false) = (number.as_i64(), double) {
                    return Self::Int(whole);
                }
                let float = number.as_f64().unwrap_or(f64::NAN);
                let whole = schema.is_some_and(|schema| schema.ty == Some(Ty::Integer));
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "a whole number written as a float"
                )]
                let value = if whole {
                    Self::Int(float as i64)
                } else {
                    Self::Double(float)
                };
                value
            }
            Value::String(text) => Self::formatted(text, schema),
            Value::Array(items) => Self::JsonList(items, schema),
            Value::Object(fields) => Self::JsonMap(fields, schema),
        }
    }

    fn formatted(text: &str, schema: Option<&Structural>) -> Self {
        let format = schema.map_or("", |schema| schema.limits.format.as_str());
        let typed = match format {
            "date-time" => text.parse().ok().map(Self::Timestamp),
            "date" => format!("{text}T00:00:00Z")
                .parse()
                .ok()
                .map(Self::Timestamp),
            "duration" => super::functions::duration(text).map(Self::Duration),
            "byte" => super::functions::from_base64(text).map(|bytes| Self::Bytes(bytes.into())),
            _ => None,
        };
        typed.unwrap_or_else(|| Self::text(text))
    }

    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    pub(crate) fn list(items: Vec<Val<'a>>) -> Self {
        Self::List(Arc::new(items))
    }

    pub(crate) fn some(value: Val<'a>) -> Self {
        Self::Optional(Some(Arc::new(value)))
    }

    /// What `type()` says, and error texts show.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::Text(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::List(_) | Self::JsonList(..) => "list",
            Self::Map(_) | Self::JsonMap(..) => "map",
            Self::Optional(_) => "optional_type",
            Self::Type(_) => "type",
            Self::Quantity(_) => "kubernetes.Quantity",
            Self::Url(_) => "kubernetes.URL",
            Self::Ip(_) => "net.IP",
            Self::Cidr(..) => "net.CIDR",
            Self::Semver(..) => "kubernetes.Semver",
            Self::Format(_) => "kubernetes.NamedFormat",
            Self::Asking(asking) => asking.type_name(),
            Self::Answer(_) => "kubernetes.authorization.Decision",
        }
    }

    /// How many items, entries, characters or bytes it has.
    pub(crate) fn size(&self) -> Option<usize> {
        Some(match self {
            Self::Text(text) => text.chars().count(),
            Self::Bytes(bytes) => bytes.len(),
            Self::List(items) => items.len(),
            Self::Map(entries) => entries.len(),
            Self::JsonList(items, _) => items.len(),
            Self::JsonMap(fields, _) => fields.len(),
            _ => return None,
        })
    }

    /// The items of a list.
    pub(crate) fn items(&self) -> Option<Vec<Val<'a>>> {
        match self {
            Self::List(items) => Some((**items).clone()),
            Self::JsonList(items, schema) => {
                let schema = schema.and_then(|schema| schema.items.as_deref());
                Some(items.iter().map(|item| Self::of(item, schema)).collect())
            }
            _ => None,
        }
    }

    /// The entries of a map.
    pub(crate) fn entries(&self) -> Option<Vec<(Val<'a>, Val<'a>)>> {
        match self {
            Self::Map(entries) => Some((**entries).clone()),
            Self::JsonMap(fields, schema) => {
                let one = |(name, value): (&'a String, &'a Value)| {
                    (
                        Self::text(name),
                        Self::of(value, schema.and_then(|schema| schema.child(name))),
                    )
                };
                Some(fields.iter().map(one).collect())
            }
            _ => None,
        }
    }

    /// One item of a list.
    pub(crate) fn item(&self, index: i64) -> Option<Val<'a>> {
        let index = usize::try_from(index).ok()?;
        match self {
            Self::List(items) => items.get(index).cloned(),
            Self::JsonList(items, schema) => {
                let schema = schema.and_then(|schema| schema.items.as_deref());
                items.get(index).map(|item| Self::of(item, schema))
            }
            _ => None,
        }
    }

    /// One entry of a map.
    pub(crate) fn entry(&self, key: &Val<'_>) -> Option<Val<'a>> {
        match (self, key) {
            (Self::Map(entries), key) => entries
                .iter()
                .find(|(k, _)| k.equals(key))
                .map(|(_, v)| v.clone()),
            (Self::JsonMap(fields, schema), Val::Text(name)) => {
                let value = fields.get(&**name)?;
                Some(Self::of(
                    value,
                    schema.and_then(|schema| schema.child(name)),
                ))
            }
            _ => None,
        }
    }

    /// A field, by the name expressions give it.
    pub(crate) fn field(&self, name: &str) -> Option<Val<'a>> {
        match self {
            Self::JsonMap(_, Some(schema)) if !schema.properties.is_empty() => {
                self.entry(&Val::text(&unescape(name)))
            }
            _ => self.entry(&Val::text(name)),
        }
    }

    /// Whether two values are the same; numbers of different types may be.
    pub(crate) fn equals(&self, other: &Val<'_>) -> bool {
        match (self, other) {
            (Self::Null, Val::Null) => true,
            (Self::Bool(a), Val::Bool(b)) => a == b,
            (Self::Text(a), Val::Text(b)) | (Self::Url(a), Val::Url(b)) => a == b,
            (Self::Bytes(a), Val::Bytes(b)) => a == b,
            (Self::Type(a), Val::Type(b)) => a == b,
            (Self::Ip(a), Val::Ip(b)) => a == b,
            (Self::Cidr(a, n), Val::Cidr(b, m)) => a == b && n == m,
            (Self::Optional(a), Val::Optional(b)) => match (a, b) {
                (Some(a), Some(b)) => a.equals(b),
                (None, None) => true,
                _ => false,
            },
            (Self::List(_) | Self::JsonList(..), Val::List(_) | Val::JsonList(..)) => {
                let (a, b) = (
                    self.items().unwrap_or_default(),
                    other.items().unwrap_or_default(),
                );
                a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a.equals(b))
            }
            (Self::Map(_) | Self::JsonMap(..), Val::Map(_) | Val::JsonMap(..)) => {
                let (a, b) = (
                    self.entries().unwrap_or_default(),
                    other.entries().unwrap_or_default(),
                );
                a.len() == b.len()
                    && a.iter().all(|(key, value)| {
                        let found = b.iter().find(|(k, _)| key.equals(k));
                        found.is_some_and(|(_, other)| value.equals(other))
                    })
            }
            (a, b) => a.compare(b) == Some(Ordering::Equal),
        }
    }

    /// Which of two values is less, for those that have an order.
    pub(crate) fn compare(&self, other: &Val<'_>) -> Option<Ordering> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "as cel-go compares numbers of different types"
        )]
        let float = |value: &Val<'_>| match value {
            Val::Int(value) => Some(*value as f64),
            Val::Uint(value) => Some(*value as f64),
            Val::Double(value) => Some(*value),
            _ => None,
        };
        match (self, other) {
            (Self::Int(a), Val::Int(b)) | (Self::Duration(a), Val::Duration(b)) => Some(a.cmp(b)),
            (Self::Uint(a), Val::Uint(b)) => Some(a.cmp(b)),
            (Self::Int(a), Val::Uint(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
            (Self::Uint(a), Val::Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
            (Self::Bool(a), Val::Bool(b)) => Some(a.cmp(b)),
            (Self::Text(a), Val::Text(b)) => Some(a.cmp(b)),
            (Self::Bytes(a), Val::Bytes(b)) => Some(a.cmp(b)),
            (Self::Timestamp(a), Val::Timestamp(b)) => Some(a.cmp(b)),
            (Self::Quantity(a), Val::Quantity(b)) => a.partial_cmp(b),
            (Self::Semver(major, minor, patch, pre), Val::Semver(x, y, z, other)) => {
                // A version before a release is less than the release.
                let stable = |text: &str| text.is_empty();
                let core = (major, minor, patch).cmp(&(x, y, z));
                Some(core.then_with(|| match (stable(pre), stable(other)) {
                    (true, false) => Ordering::Greater,
                    (false, true) => Ordering::Less,
                    _ => pre.cmp(other),
                }))
            }
            (a, b) => float(a)?.partial_cmp(&float(b)?),
        }
    }

    /// The value as JSON, for what policies make of it.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Null | Self::Optional(None) => Value::Null,
            Self::Bool(value) => (*value).into(),
            Self::Int(value) => (*value).into(),
            Self::Uint(value) => (*value).into(),
            Self::Double(value) => (*value).into(),
            Self::Text(text) | Self::Url(text) => (&**text).into(),
            Self::Optional(Some(value)) => value.to_json(),
            Self::List(_) | Self::JsonList(..) => self
                .items()
                .unwrap_or_default()
                .iter()
                .map(Self::to_json)
                .collect(),
            Self::Map(_) | Self::JsonMap(..) => {
                let entries = self.entries().unwrap_or_default();
                let one = |(key, value): &(Val<'a>, Val<'a>)| {
                    (super::functions::shown(key), value.to_json())
                };
                Value::Object(entries.iter().map(one).collect())
            }
            other => super::functions::shown(other).into(),
        }
    }
}
