//! The types expressions are checked with.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::schema::{Type, TypeSchema};
use crate::structural::{Additional, Structural, Ty as Declared};

/// A type.
#[derive(Debug, Clone)]
pub(crate) enum Ty {
    /// Known only when the expression runs.
    Dyn,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    Duration,
    Timestamp,
    List(Arc<Ty>),
    Map(Arc<Ty>, Arc<Ty>),
    /// An object with these fields.
    Object(Arc<Fields>),
    /// An object of a built-in kind.
    BuiltIn(&'static TypeSchema),
    Optional(Arc<Ty>),
    /// A type itself.
    Type,
    /// Quantities, addresses and the like.
    Named(&'static str),
    /// A part of an object that a policy makes: `Object.spec`.
    Part(Arc<str>),
    /// A type a function leaves open.
    Param(u8),
}

/// The fields of an object type.
#[derive(Debug)]
pub(crate) struct Fields {
    pub(crate) name: String,
    pub(crate) fields: BTreeMap<String, Ty>,
}

impl fmt::Display for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dyn | Self::Param(0) => f.write_str("dyn"),
            Self::Null => f.write_str("null"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::Text => f.write_str("string"),
            Self::Bytes => f.write_str("bytes"),
            Self::Duration => f.write_str("google.protobuf.Duration"),
            Self::Timestamp => f.write_str("google.protobuf.Timestamp"),
            Self::List(item) => write!(f, "list({item})"),
            Self::Map(key, value) => write!(f, "map({key}, {value})"),
            Self::Object(fields) => f.write_str(&fields.name),
            Self::BuiltIn(schema) => f.write_str(schema.short_name()),
            Self::Optional(of) => write!(f, "optional_type({of})"),
            Self::Type => f.write_str("type"),
            Self::Named(name) => f.write_str(name),
            Self::Part(name) => f.write_str(name),
            Self::Param(letter) => write!(f, "{}", char::from(*letter)),
        }
    }
}

impl Ty {
    pub(crate) fn list(of: Self) -> Self {
        Self::List(Arc::new(of))
    }

    pub(crate) fn map(key: Self, value: Self) -> Self {
        Self::Map(Arc::new(key), Arc::new(value))
    }

    pub(crate) fn optional(of: Self) -> Self {
        Self::Optional(Arc::new(of))
    }

    /// The type of values of a schema; `root` has what every object has.
    pub(crate) fn of(schema: &Structural, name: &str, root: bool) -> Self {
        if schema.int_or_string {
            return Self::Dyn;
        }
        let text = |format: &str| match format {
            "date" | "date-time" => Self::Timestamp,
            "duration" => Self::Duration,
            "byte" => Self::Bytes,
            _ => Self::Text,
        };
        match schema.ty {
            Some(Declared::String) => text(&schema.limits.format),
            Some(Declared::Integer) => Self::Int,
            Some(Declared::Number) => Self::Double,
            Some(Declared::Boolean) => Self::Bool,
            Some(Declared::Array) => match &schema.items {
                Some(items) => Self::list(Self::of(items, &format!("{name}.@idx"), items.embedded)),
                None => Self::list(Self::Dyn),
            },
            Some(Declared::Object) => {
                if let Some(Additional::Schema(values)) = &schema.additional {
                    let values = Self::of(values, &format!("{name}.@elem"), values.embedded);
                    return Self::map(Self::Text, values);
                }
                if schema.preserve_unknown && schema.properties.is_empty() && !root {
                    return Self::Dyn;
                }
                let mut fields: BTreeMap<_, _> = schema
                    .properties
                    .iter()
                    .filter_map(|(key, child)| {
                        let ty = Self::of(child, &format!("{name}.{key}"), child.embedded);
                        Some((escape(key)?, ty))
                    })
                    .collect();
                if root || schema.embedded {
                    let texts = ["name", "generateName"].map(|name| (name.to_owned(), Self::Text));
                    let metadata = Fields {
                        name: format!("{name}.metadata"),
                        fields: texts.into(),
                    };
                    fields.insert("metadata".to_owned(), Self::Object(Arc::new(metadata)));
                    fields.insert("apiVersion".to_owned(), Self::Text);
                    fields.insert("kind".to_owned(), Self::Text);
                }
                Self::Object(Arc::new(Fields {
                    name: if root {
                        "object".to_owned()
                    } else {
                        name.to_owned()
                    },
                    fields,
                }))
            }
            None => Self::Dyn,
        }
    }

    /// The type of values of the schema table.
    pub(crate) fn of_table(ty: &Type) -> Self {
        match ty {
            Type::Any | Type::RawObject | Type::Fields | Type::IntOrString | Type::Quantity => {
                Self::Dyn
            }
            Type::Bool => Self::Bool,
            Type::Int32 | Type::Int64 => Self::Int,
            Type::Float => Self::Double,
            Type::Str => Self::Text,
            Type::Bytes => Self::Bytes,
            Type::Time | Type::MicroTime => Self::Timestamp,
            Type::Object(schema) => Self::BuiltIn(schema),
            Type::List(item) => Self::list(Self::of_table(item)),
            Type::Map(value) => Self::map(Self::Text, Self::of_table(value)),
        }
    }

    /// The type of a field; `None` when there is no such field.
    pub(crate) fn field(&self, name: &str) -> Option<Self> {
        match self {
            Self::Dyn => Some(Self::Dyn),
            Self::Map(_, value) => Some((**value).clone()),
            Self::Object(fields) => fields.fields.get(name).cloned(),
            Self::BuiltIn(schema) => schema.field(name).map(|field| Self::of_table(&field.ty)),
            Self::Optional(of) => of.field(name).map(Self::optional),
            _ => None,
        }
    }

    /// Whether things of this type have fields at all.
    pub(crate) fn has_fields(&self) -> bool {
        match self {
            Self::Dyn | Self::Map(..) | Self::Object(_) | Self::BuiltIn(_) => true,
            Self::Optional(of) => of.has_fields(),
            _ => false,
        }
    }
}

/// Words of the language, which fields may be called.
const RESERVED: [&str; 19] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
];

/// A field's name as expressions write it; `None` for names that cannot be written.
pub(crate) fn escape(name: &str) -> Option<String> {
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    let mut escaped = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("__") {
            escaped.push_str("__underscores__");
            rest = after;
            continue;
        }
        match c {
            '.' => escaped.push_str("__dot__"),
            '-' => escaped.push_str("__dash__"),
            '/' => escaped.push_str("__slash__"),
            c if c == '_' || c.is_ascii_alphanumeric() => escaped.push(c),
            _ => return None,
        }
        rest = &rest[c.len_utf8()..];
    }
    let first = escaped.bytes().next()?;
    (first == b'_' || first.is_ascii_alphabetic()).then_some(escaped)
}

/// The name a written name stands for.
pub(crate) fn unescape(name: &str) -> String {
    if !name.contains("__") {
        return name.to_owned();
    }
    if let Some(word) = name
        .strip_prefix("__")
        .and_then(|rest| rest.strip_suffix("__"))
        && RESERVED.contains(&word)
    {
        return word.to_owned();
    }
    name.replace("__dot__", ".")
        .replace("__dash__", "-")
        .replace("__slash__", "/")
        .replace("__underscores__", "__")
}
