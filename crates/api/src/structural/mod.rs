//! The compiled form of a structural schema: what a CustomResourceDefinition says about its objects. One walk each
//! prunes, fills in defaults and judges values. It refuses to know about definitions, versions and metadata's rules.

mod check;
mod defaults;
pub(crate) mod format;
mod listing;
mod prune;
mod value;

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

pub(crate) use check::{check, walk};
pub(crate) use listing::duplicates;
pub(crate) use value::{judge, old_item};

use crate::field::Path;

/// The type a value must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ty {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

impl Ty {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "object" => Self::Object,
            "array" => Self::Array,
            "string" => Self::String,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            _ => return None,
        })
    }

    /// Its name in schemas and messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }
}

/// How the items of a list relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ListType {
    #[default]
    Atomic,
    Set,
    Map,
}

/// What an object may hold besides its properties.
#[derive(Debug)]
pub(crate) enum Additional {
    /// Anything, or nothing.
    Allowed(bool),
    /// Values of this schema.
    Schema(Box<Structural>),
}

/// A rule in CEL on a value.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) expression: String,
    pub(crate) message: String,
    pub(crate) message_expression: String,
    pub(crate) reason: Option<String>,
    pub(crate) field_path: String,
    pub(crate) optional_old_self: Option<bool>,
}

/// One node of a schema.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a keyword of schemas"
)]
pub(crate) struct Structural {
    pub(crate) ty: Option<Ty>,
    pub(crate) properties: BTreeMap<String, Structural>,
    pub(crate) additional: Option<Additional>,
    pub(crate) items: Option<Box<Structural>>,
    pub(crate) nullable: bool,
    pub(crate) default: Option<Value>,
    pub(crate) preserve_unknown: bool,
    pub(crate) embedded: bool,
    pub(crate) int_or_string: bool,
    pub(crate) list_type: ListType,
    pub(crate) list_keys: Vec<String>,
    pub(crate) atomic_map: bool,
    pub(crate) rules: Vec<Rule>,
    pub(crate) required: Vec<String>,
    pub(crate) limits: Limits,
    pub(crate) all_of: Vec<Structural>,
    pub(crate) any_of: Vec<Structural>,
    pub(crate) one_of: Vec<Structural>,
    pub(crate) not: Option<Box<Structural>>,
}

/// What a value must keep to besides its type.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    pub(crate) format: String,
    pub(crate) minimum: Option<f64>,
    pub(crate) exclusive_minimum: bool,
    pub(crate) maximum: Option<f64>,
    pub(crate) exclusive_maximum: bool,
    pub(crate) multiple_of: Option<f64>,
    pub(crate) min_length: Option<u64>,
    pub(crate) max_length: Option<u64>,
    pub(crate) pattern: Option<(String, Regex)>,
    pub(crate) min_items: Option<u64>,
    pub(crate) max_items: Option<u64>,
    pub(crate) min_properties: Option<u64>,
    pub(crate) max_properties: Option<u64>,
    pub(crate) allowed: Vec<Value>,
}

impl Structural {
    /// Compiles a schema that [`check`] finds nothing wrong with; of a wrong one it keeps what it can read.
    pub(crate) fn compile(schema: &Value) -> Self {
        let flag = |name: &str| schema[name].as_bool().unwrap_or(false);
        let list = |name: &str| -> Vec<Structural> {
            let items = schema[name].as_array().into_iter().flatten();
            items.map(Self::compile).collect()
        };
        Self {
            ty: schema["type"].as_str().and_then(Ty::parse),
            properties: schema["properties"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, schema)| (name.clone(), Self::compile(schema)))
                .collect(),
            additional: match &schema["additionalProperties"] {
                Value::Bool(allowed) => Some(Additional::Allowed(*allowed)),
                Value::Object(_) => Some(Additional::Schema(Box::new(Self::compile(
                    &schema["additionalProperties"],
                )))),
                _ => None,
            },
            items: schema["items"]
                .is_object()
                .then(|| Box::new(Self::compile(&schema["items"]))),
            nullable: flag("nullable"),
            default: schema.get("default").filter(|v| !v.is_null()).cloned(),
            preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
            embedded: flag("x-kubernetes-embedded-resource"),
            int_or_string: flag("x-kubernetes-int-or-string"),
            list_type: match schema["x-kubernetes-list-type"].as_str() {
                Some("set") => ListType::Set,
                Some("map") => ListType::Map,
                _ => ListType::Atomic,
            },
            list_keys: texts(&schema["x-kubernetes-list-map-keys"]),
            atomic_map: schema["x-kubernetes-map-type"] == "atomic",
            rules: schema["x-kubernetes-validations"]
                .as_array()
                .into_iter()
                .flatten()
                .map(Rule::read)
                .collect(),
            required: texts(&schema["required"]),
            limits: Limits::read(schema),
            all_of: list("allOf"),
            any_of: list("anyOf"),
            one_of: list("oneOf"),
            not: schema["not"]
                .is_object()
                .then(|| Box::new(Self::compile(&schema["not"]))),
        }
    }

    /// The schema of a field or map entry.
    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.properties.get(name).or(match &self.additional {
            Some(Additional::Schema(schema)) => Some(schema),
            _ => None,
        })
    }

    /// The place of a field or map entry, as messages print it.
    pub(crate) fn place(&self, path: &Path, name: &str) -> Path {
        if self.properties.contains_key(name)
            || !matches!(self.additional, Some(Additional::Schema(_)))
        {
            path.child(name)
        } else {
            path.key(name)
        }
    }

    /// Whether any node carries rules in CEL.
    pub(crate) fn has_rules(&self) -> bool {
        let additional = match &self.additional {
            Some(Additional::Schema(schema)) => schema.has_rules(),
            _ => false,
        };
        !self.rules.is_empty()
            || additional
            || self.items.as_ref().is_some_and(|items| items.has_rules())
            || self.properties.values().any(Self::has_rules)
    }

    /// The values of the fields that tell an item of a map list from others.
    pub(crate) fn item_key<'v>(&self, item: &'v Value) -> Vec<&'v Value> {
        self.list_keys.iter().map(|key| &item[key]).collect()
    }
}

impl Rule {
    fn read(rule: &Value) -> Self {
        let text = |name: &str| rule[name].as_str().unwrap_or_default().to_owned();
        Self {
            expression: text("rule"),
            message: text("message"),
            message_expression: text("messageExpression"),
            reason: rule["reason"].as_str().map(ToOwned::to_owned),
            field_path: text("fieldPath"),
            optional_old_self: rule["optionalOldSelf"].as_bool(),
        }
    }
}

impl Limits {
    fn read(schema: &Value) -> Self {
        let flag = |name: &str| schema[name].as_bool().unwrap_or(false);
        let count = |name: &str| schema[name].as_u64();
        let pattern = schema["pattern"].as_str().filter(|text| !text.is_empty());
        Self {
            format: schema["format"].as_str().unwrap_or_default().to_owned(),
            minimum: schema["minimum"].as_f64(),
            exclusive_minimum: flag("exclusiveMinimum"),
            maximum: schema["maximum"].as_f64(),
            exclusive_maximum: flag("exclusiveMaximum"),
            multiple_of: schema["multipleOf"].as_f64(),
            min_length: count("minLength"),
            max_length: count("maxLength"),
            pattern: pattern.and_then(|text| Some((text.to_owned(), Regex::new(text).ok()?))),
            min_items: count("minItems"),
            max_items: count("maxItems"),
            min_properties: count("minProperties"),
            max_properties: count("maxProperties"),
            allowed: schema["enum"].as_array().cloned().unwrap_or_default(),
        }
    }
}

fn texts(list: &Value) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items
        .filter_map(Value::as_str)
        .map(ToOwned::to_owned)
        .collect()
}

#[cfg(test)]
mod tests;
