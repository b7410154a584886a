//! Reads objects in Kubernetes' protobuf form, which Go clients send for kinds they know (`kubectl create`,
//! operators). They become JSON and go on as JSON; nothing is written in this form, as every client reads JSON too.
//!
//! A message is read along the schema of its kind; the numbers of fields come from `tags.txt`.

mod wire;

use std::collections::HashMap;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use plinth_api::{FieldSchema, Type, TypeSchema};
use serde_json::{Map, Value};

use wire::{Field, Reader, Wire};

/// What every body begins with.
const MAGIC: &[u8] = b"k8s\0";
/// Messages may lie in each other this deep.
const DEPTH: usize = 64;

/// A body is not the protobuf form of an object.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProtobufError {
    /// It does not begin as all do.
    #[error(
        "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
    )]
    Magic,
    /// It ends too early or has an impossible form.
    #[error("unexpected EOF")]
    Cut,
    /// A value does not fit its field.
    #[error("field {0} does not hold what it should")]
    Mistyped(&'static str),
    /// Messages lie in each other too deep.
    #[error("messages are nested too deep")]
    Depth,
}

/// One field of a message: its name without case, and the type of its message, if that is its parent's neighbour.
struct Tag {
    number: u32,
    name: &'static str,
    embedded: Option<&'static str>,
}

/// The numbers of all fields, by type name in lower case.
static TAGS: LazyLock<HashMap<&'static str, Vec<Tag>>> = LazyLock::new(|| {
    let lines = include_str!("tags.txt")
        .lines()
        .filter(|line| !line.starts_with('#'));
    lines.filter_map(parse_line).collect()
});

fn parse_line(line: &'static str) -> Option<(&'static str, Vec<Tag>)> {
    let mut words = line.split(' ');
    let name = words.next()?;
    let tag = |word: &'static str| {
        let (name, rest) = word.split_once('=')?;
        let (number, embedded) = rest
            .split_once(':')
            .map_or((rest, None), |(n, e)| (n, Some(e)));
        Some(Tag {
            number: number.parse().ok()?,
            name,
            embedded,
        })
    };
    Some((name, words.filter_map(tag).collect()))
}

/// The object in a body, as JSON, with the type it says it has.
pub(crate) fn to_json(schema: &TypeSchema, body: &[u8]) -> Result<Value, ProtobufError> {
    let envelope = body.strip_prefix(MAGIC).ok_or(ProtobufError::Magic)?;
    let (mut version, mut kind, mut raw): (String, String, &[u8]) = Default::default();
    for field in Reader::new(envelope) {
        match field? {
            Field {
                number: 1,
                value: Wire::Bytes(types),
            } => {
                for field in Reader::new(types) {
                    match field? {
                        Field { number: 1, value } => version = text(value, "apiVersion")?,
                        Field { number: 2, value } => kind = text(value, "kind")?,
                        _ => {}
                    }
                }
            }
            Field {
                number: 2,
                value: Wire::Bytes(bytes),
            } => raw = bytes,
            _ => {}
        }
    }
    let mut object = Map::new();
    message(schema, &schema.name.to_lowercase(), raw, &mut object, DEPTH)?;
    for (field, value) in [("apiVersion", version), ("kind", kind)] {
        if !value.is_empty() {
            object.insert(field.to_owned(), value.into());
        }
    }
    Ok(Value::Object(object))
}

/// Reads a message of the type `name` into an object of this schema.
fn message(
    schema: &TypeSchema,
    name: &str,
    bytes: &[u8],
    object: &mut Map<String, Value>,
    depth: usize,
) -> Result<(), ProtobufError> {
    let depth = depth.checked_sub(1).ok_or(ProtobufError::Depth)?;
    let tags = TAGS.get(name).map_or(&[][..], Vec::as_slice);
    for field in Reader::new(bytes) {
        let Field { number, value } = field?;
        // Fields of later versions are left out, as by every reader of protobuf.
        let Some(tag) = tags.iter().find(|tag| tag.number == number) else {
            continue;
        };
        let known = schema
            .fields
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case(tag.name));
        match (known, tag.embedded, value) {
            (Some(field), _, value) => set(field, value, object, depth)?,
            // Go embeds some messages whose fields stand in the parent itself in JSON.
            (None, Some(embedded), Wire::Bytes(bytes)) => {
                message(schema, embedded, bytes, object, depth)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn set(
    field: &FieldSchema,
    value: Wire<'_>,
    object: &mut Map<String, Value>,
    depth: usize,
) -> Result<(), ProtobufError> {
    match field.ty {
        Type::List(item) => {
            let list = object
                .entry(field.name)
                .or_insert_with(|| Value::Array(Vec::new()));
            let item = read(item, field.name, value, depth)?;
            if let Value::Array(list) = list {
                list.push(item);
            }
        }
        Type::Map(item) => {
            let Wire::Bytes(entry) = value else {
                return Err(ProtobufError::Mistyped(field.name));
            };
            let (mut key, mut held) = (String::new(), None);
            for part in Reader::new(entry) {
                match part? {
                    Field { number: 1, value } => key = text(value, field.name)?,
                    Field { number: 2, value } => {
                        held = Some(read(item, field.name, value, depth)?);
                    }
                    _ => {}
                }
            }
            let held = held.unwrap_or_else(|| Value::String(String::new()));
            let map = object
                .entry(field.name)
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(map) = map {
                map.insert(key, held);
            }
        }
        _ => {
            object.insert(
                field.name.to_owned(),
                read(&field.ty, field.name, value, depth)?,
            );
        }
    }
    Ok(())
}

fn read(
    ty: &Type,
    name: &'static str,
    value: Wire<'_>,
    depth: usize,
) -> Result<Value, ProtobufError> {
    let mistyped = || ProtobufError::Mistyped(name);
    Ok(match (ty, value) {
        (Type::Str, value) => text(value, name)?.into(),
        (Type::Bool, Wire::Number(number)) => (number != 0).into(),
        // Numbers below zero are written as their 64-bit complement, also those of 32 bits.
        (Type::Int32 | Type::Int64, Wire::Number(number)) => number.cast_signed().into(),
        (Type::Float, Wire::Fixed(bits)) => f64::from_bits(bits).into(),
        (Type::Bytes, Wire::Bytes(bytes)) => STANDARD.encode(bytes).into(),
        (Type::Object(schema), Wire::Bytes(bytes)) => {
            let mut object = Map::new();
            message(
                schema,
                &schema.name.to_lowercase(),
                bytes,
                &mut object,
                depth,
            )?;
            Value::Object(object)
        }
        // A map cannot hold lists: each of its values is a message around one.
        (Type::List(item), Wire::Bytes(bytes)) => {
            let mut items = Vec::new();
            for field in Reader::new(bytes) {
                if let Field { number: 1, value } = field? {
                    items.push(read(item, name, value, depth)?);
                }
            }
            Value::Array(items)
        }
        (Type::Quantity, Wire::Bytes(bytes)) => {
            text(part(bytes, 1)?.ok_or_else(mistyped)?, name)?.into()
        }
        (Type::IntOrString, Wire::Bytes(bytes)) => int_or_string(bytes, name)?,
        (Type::Time, Wire::Bytes(bytes)) => time(bytes, name, "%Y-%m-%dT%H:%M:%SZ")?,
        (Type::MicroTime, Wire::Bytes(bytes)) => time(bytes, name, "%Y-%m-%dT%H:%M:%S.%6fZ")?,
        (Type::Any | Type::RawObject | Type::Fields, Wire::Bytes(bytes)) => match part(bytes, 1)? {
            Some(Wire::Bytes(json)) => serde_json::from_slice(json).map_err(|_| mistyped())?,
            _ => Value::Null,
        },
        _ => return Err(mistyped()),
    })
}

fn text(value: Wire<'_>, name: &'static str) -> Result<String, ProtobufError> {
    let Wire::Bytes(bytes) = value else {
        return Err(ProtobufError::Mistyped(name));
    };
    String::from_utf8(bytes.to_vec()).map_err(|_| ProtobufError::Mistyped(name))
}

/// One field of a small message.
fn part(bytes: &[u8], wanted: u32) -> Result<Option<Wire<'_>>, ProtobufError> {
    for field in Reader::new(bytes) {
        let Field { number, value } = field?;
        if number == wanted {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

fn int_or_string(bytes: &[u8], name: &'static str) -> Result<Value, ProtobufError> {
    let is_text = matches!(part(bytes, 1)?, Some(Wire::Number(1)));
    match part(bytes, if is_text { 3 } else { 2 })? {
        Some(Wire::Number(number)) => Ok(number.cast_signed().into()),
        Some(value) => Ok(text(value, name)?.into()),
        None => Ok(if is_text { "".into() } else { 0.into() }),
    }
}

/// A time; one that is not set is an empty message.
fn time(bytes: &[u8], name: &'static str, format: &str) -> Result<Value, ProtobufError> {
    let number = |wire| match wire {
        Some(Wire::Number(number)) => number.cast_signed(),
        _ => 0,
    };
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let (seconds, nanos) = (number(part(bytes, 1)?), number(part(bytes, 2)?));
    let nanos = i32::try_from(nanos).map_err(|_| ProtobufError::Mistyped(name))?;
    let time = Timestamp::new(seconds, nanos).map_err(|_| ProtobufError::Mistyped(name))?;
    Ok(time.strftime(format).to_string().into())
}

#[cfg(test)]
mod tests;
