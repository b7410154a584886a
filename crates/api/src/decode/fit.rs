//! Fits a parsed document to a schema: keeps what the schema has, names what it does not have, and refuses values of
//! a wrong type in the words of upstream's two decoders. It refuses to know about kinds and endpoints.

use serde_json::{Map, Number, Value};

use super::tree::{Node, Step, down};
use super::{UnknownField, scalar};
use crate::schema::{FieldSchema, Type, TypeSchema, is_printed, keeps_zero};

/// Whose words are used for a value of a wrong type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Go's JSON decoder, which reads on and reports the first such value at the end.
    Json,
    /// The converter behind strategic merge patches, which stops at once and does not say where.
    Converter,
}

/// Fits `node` to the schema. Returns the object and, in document order, the texts of unknown and duplicate fields.
pub(crate) fn fit(
    schema: &'static TypeSchema,
    node: Node,
    dialect: Dialect,
) -> Result<(Value, Vec<String>), String> {
    let mut fitting = Fitting {
        dialect,
        problems: Vec::new(),
        first_error: None,
        path: String::new(),
        stack: Vec::new(),
    };
    let object = match node {
        Node::Null => Value::Object(Map::new()),
        node => fitting.value(&Type::Object(schema), node)?,
    };
    match fitting.first_error {
        Some(error) => Err(error),
        None => Ok((object, fitting.problems)),
    }
}

struct Fitting {
    dialect: Dialect,
    problems: Vec<String>,
    /// The first value of a wrong type; decoding goes on behind it.
    first_error: Option<String>,
    /// Where we are, with list indices, for unknown and duplicate fields.
    path: String,
    /// The struct and field that lead here, for type errors, which do not show indices and map keys.
    stack: Vec<(&'static TypeSchema, &'static str)>,
}

type Fit = Result<Value, String>;

impl Fitting {
    /// Fits one value, which is not null.
    fn value(&mut self, ty: &Type, node: Node) -> Fit {
        match (ty, node) {
            (Type::Any | Type::RawObject | Type::Fields, node) => {
                Ok(node.into_value(&mut String::new(), &mut Vec::new()))
            }
            (Type::Bool, Node::Bool(value)) => Ok(Value::Bool(value)),
            (Type::Str | Type::IntOrString, Node::Text(text)) => Ok(Value::String(text)),
            (Type::Int32 | Type::IntOrString, Node::Number(number)) if is_int32(&number) => {
                Ok(Value::Number(number))
            }
            (Type::Int64, Node::Number(number)) if number.is_i64() => Ok(Value::Number(number)),
            (Type::Float, Node::Number(number)) => Ok(Value::Number(number)),
            (Type::Int32 | Type::Int64, Node::Number(number)) => self.wrong_number(ty, &number),
            (Type::Bytes, Node::Text(text)) => match scalar::bytes(&text) {
                Ok(()) => Ok(Value::String(text)),
                Err(error) => self.soft(error),
            },
            (Type::Time, Node::Text(text)) => scalar::time(&text).map(Value::String),
            (Type::MicroTime, Node::Text(text)) => scalar::micro_time(&text).map(Value::String),
            (Type::Quantity, Node::Text(text)) => scalar::quantity(&text).map(Value::String),
            (Type::Quantity, Node::Number(number)) => {
                scalar::quantity(&number.to_string()).map(Value::String)
            }
            // The quantity's own reader gets the raw text, whatever it is.
            (Type::Quantity, _) => scalar::quantity("?").map(Value::String),
            (Type::Object(schema), Node::Object(fields)) => self.object(schema, fields),
            (Type::List(item), Node::List(items)) => self.list(item, items),
            (Type::Map(value), Node::Object(entries)) => self.map(value, entries),
            (ty, node) => self.wrong_type(ty, &node),
        }
    }

    fn object(&mut self, schema: &'static TypeSchema, fields: Vec<(String, Node)>) -> Fit {
        let mut object = Map::new();
        let mut seen: Vec<&'static str> = Vec::with_capacity(fields.len());
        for (name, node) in fields {
            let before = down(&mut self.path, Step::Field(&name));
            match schema.field(&name) {
                None => self.problems.push(format!("unknown field {:?}", self.path)),
                Some(field) => {
                    let again = seen.contains(&field.name);
                    if again {
                        self.problems
                            .push(format!("duplicate field {:?}", self.path));
                    } else {
                        seen.push(field.name);
                    }
                    self.stack.push((schema, field.name));
                    self.field(schema, field, node, &mut object, again)?;
                    self.stack.pop();
                }
            }
            self.path.truncate(before);
        }
        Ok(Value::Object(object))
    }

    /// Fits the value of a known field and puts it into the object; `again` when the object has the field already.
    fn field(
        &mut self,
        schema: &'static TypeSchema,
        field: &'static FieldSchema,
        node: Node,
        object: &mut Map<String, Value>,
        again: bool,
    ) -> Result<(), String> {
        if node == Node::Null {
            // Null sets lists, maps and pointers to nothing and leaves other values as they are.
            if !matches!(field.ty, Type::Str | Type::Bool | Type::Int32 | Type::Int64) {
                object.remove(field.name);
            }
            return Ok(());
        }
        let value = self.value(&field.ty, node)?;
        match (object.get_mut(field.name), value) {
            // Go decodes a repeated object into the one it has.
            (Some(Value::Object(first)), Value::Object(second)) if again => merge(first, second),
            (_, value) if is_nothing(schema, field, &value) => {
                object.remove(field.name);
            }
            (_, value) => {
                object.insert(field.name.to_owned(), value);
            }
        }
        Ok(())
    }

    fn list(&mut self, item: &Type, items: Vec<Node>) -> Fit {
        let mut list = Vec::with_capacity(items.len());
        for (index, node) in items.into_iter().enumerate() {
            let before = down(&mut self.path, Step::Item(index));
            list.push(self.element(item, node)?);
            self.path.truncate(before);
        }
        Ok(Value::Array(list))
    }

    fn map(&mut self, ty: &Type, entries: Vec<(String, Node)>) -> Fit {
        let mut map = Map::new();
        for (key, node) in entries {
            let before = down(&mut self.path, Step::Field(&key));
            if map.contains_key(&key) {
                self.problems
                    .push(format!("duplicate field {:?}", self.path));
            }
            map.insert(key, self.element(ty, node)?);
            self.path.truncate(before);
        }
        Ok(Value::Object(map))
    }

    /// A list item or map value, where null stands for the zero of the type.
    fn element(&mut self, ty: &Type, node: Node) -> Fit {
        if node != Node::Null {
            return self.value(ty, node);
        }
        Ok(match ty {
            Type::Str | Type::Bytes => Value::String(String::new()),
            Type::Bool => Value::Bool(false),
            Type::Int32 | Type::Int64 | Type::Float | Type::IntOrString => Value::from(0),
            Type::Quantity => Value::String("0".to_owned()),
            Type::Object(_) => Value::Object(Map::new()),
            Type::Any
            | Type::RawObject
            | Type::Fields
            | Type::Time
            | Type::MicroTime
            | Type::List(_)
            | Type::Map(_) => Value::Null,
        })
    }

    /// Remembers an error that does not stop Go's decoder.
    fn soft(&mut self, error: String) -> Fit {
        if self.dialect == Dialect::Converter {
            return Err(error);
        }
        self.first_error.get_or_insert(error);
        Ok(Value::Null)
    }

    fn wrong_number(&mut self, ty: &Type, number: &Number) -> Fit {
        match self.dialect {
            Dialect::Json => {
                let error = self.json_error(&format!("number {number}"), &go_type(ty));
                self.soft(error)
            }
            Dialect::Converter => {
                let from = if number.is_f64() { "float64" } else { "int64" };
                Err(format!("cannot convert {from} to {}", go_type(ty)))
            }
        }
    }

    fn wrong_type(&mut self, ty: &Type, node: &Node) -> Fit {
        // These types read their own JSON, so both decoders say the same and stop.
        let own = match ty {
            Type::Time | Type::MicroTime => Some("string"),
            Type::IntOrString => Some("int32"),
            _ => None,
        };
        if let Some(target) = own {
            let value = match node {
                Node::Number(number) if target == "int32" => format!("number {number}"),
                node => node.json_name().to_owned(),
            };
            return Err(match self.dialect {
                Dialect::Json => self.json_error(&value, target),
                Dialect::Converter => {
                    format!("json: cannot unmarshal {value} into Go value of type {target}")
                }
            });
        }
        if self.dialect == Dialect::Json {
            let error = self.json_error(node.json_name(), &go_type(ty));
            return self.soft(error);
        }
        let from = match node {
            Node::Null => "invalid",
            Node::Bool(_) => "bool",
            Node::Number(number) if number.is_f64() => "float64",
            Node::Number(_) => "int64",
            Node::Text(_) => "string",
            Node::List(_) => "slice",
            Node::Object(_) => "map",
        };
        Err(match (ty, node) {
            (Type::Object(_), _) => format!("cannot restore struct from: {from}"),
            (Type::List(_), _) => format!("cannot restore slice from {from}"),
            (Type::Map(_), _) => format!("cannot restore map from {from}"),
            // Go would turn a whole number into the character of that code, which the converter forbids.
            (Type::Str, Node::Number(number)) if !number.is_f64() => {
                "cannot convert int64 to string".to_owned()
            }
            (ty, _) => format!("unrecognized type: {}", go_type(ty)),
        })
    }

    fn json_error(&self, value: &str, target: &str) -> String {
        match self.stack.last() {
            None => format!("json: cannot unmarshal {value} into Go value of type {target}"),
            Some((holder, _)) => {
                let fields: Vec<&str> = self.stack.iter().map(|(_, field)| *field).collect();
                format!(
                    "json: cannot unmarshal {value} into Go struct field {}.{} of type {target}",
                    holder.short_name(),
                    fields.join(".")
                )
            }
        }
    }
}

fn merge(first: &mut Map<String, Value>, second: Map<String, Value>) {
    for (name, value) in second {
        match (first.get_mut(&name), value) {
            (Some(Value::Object(first)), Value::Object(second)) => merge(first, second),
            (_, value) => {
                first.insert(name, value);
            }
        }
    }
}

fn is_int32(number: &Number) -> bool {
    number
        .as_i64()
        .is_some_and(|value| i32::try_from(value).is_ok())
}

/// Whether a field with this value is not printed by upstream.
fn is_nothing(schema: &TypeSchema, field: &FieldSchema, value: &Value) -> bool {
    if field.required {
        return false;
    }
    match (&field.ty, value) {
        (Type::Any | Type::RawObject | Type::Fields, _) => false,
        // An empty list of managers says something: forget them.
        (Type::List(_), Value::Array(items)) => {
            items.is_empty() && field.name != "managedFields" && !is_printed(schema, field)
        }
        (Type::Map(_), Value::Object(entries)) => entries.is_empty(),
        (_, Value::Null) => true,
        (Type::Str | Type::Bytes, Value::String(text)) => {
            text.is_empty() && !keeps_zero(schema, field)
        }
        (Type::Bool, Value::Bool(false)) => !keeps_zero(schema, field),
        (Type::Int32 | Type::Int64 | Type::Float, Value::Number(number)) => {
            number.as_f64() == Some(0.0) && !keeps_zero(schema, field)
        }
        _ => false,
    }
}

/// A type as Go prints it.
fn go_type(ty: &Type) -> String {
    match ty {
        Type::Any => "interface {}".to_owned(),
        Type::RawObject => "runtime.RawExtension".to_owned(),
        Type::Fields => "v1.FieldsV1".to_owned(),
        Type::Bool => "bool".to_owned(),
        Type::Int32 => "int32".to_owned(),
        Type::Int64 => "int64".to_owned(),
        Type::Float => "float64".to_owned(),
        Type::Str => "string".to_owned(),
        Type::Bytes => "[]uint8".to_owned(),
        Type::Time => "v1.Time".to_owned(),
        Type::MicroTime => "v1.MicroTime".to_owned(),
        Type::Quantity => "resource.Quantity".to_owned(),
        Type::IntOrString => "intstr.IntOrString".to_owned(),
        Type::Object(schema) => schema.go_name(),
        Type::List(item) => format!("[]{}", go_type(item)),
        // The one map type of the API with a name of its own.
        Type::Map(Type::Quantity) => "v1.ResourceList".to_owned(),
        Type::Map(value) => format!("map[string]{}", go_type(value)),
    }
}

/// See [`super::prune`].
pub(super) fn prune(schema: &TypeSchema, object: &mut Value) -> Vec<UnknownField> {
    let mut unknown = Vec::new();
    prune_object(schema, object, &mut String::new(), &mut unknown);
    unknown
}

fn prune_object(
    schema: &TypeSchema,
    object: &mut Value,
    path: &mut String,
    unknown: &mut Vec<UnknownField>,
) {
    let Value::Object(fields) = object else {
        return;
    };
    fields.retain(|name, value| {
        let before = down(path, Step::Field(name));
        let keep = if let Some(field) = schema.field(name) {
            prune_value(&field.ty, value, path, unknown);
            !value.is_null() && !is_nothing(schema, field, value)
        } else {
            unknown.push(UnknownField(path.clone()));
            false
        };
        path.truncate(before);
        keep
    });
}

fn prune_value(ty: &Type, value: &mut Value, path: &mut String, unknown: &mut Vec<UnknownField>) {
    match (ty, value) {
        (Type::Object(schema), value) => prune_object(schema, value, path, unknown),
        (Type::List(item), Value::Array(items)) => {
            for (index, value) in items.iter_mut().enumerate() {
                let before = down(path, Step::Item(index));
                prune_value(item, value, path, unknown);
                path.truncate(before);
            }
        }
        (Type::Map(ty), Value::Object(entries)) => {
            for (key, value) in entries {
                let before = down(path, Step::Field(key));
                prune_value(ty, value, path, unknown);
                path.truncate(before);
            }
        }
        (ty, Value::String(text)) => {
            let canonical = match ty {
                Type::Quantity => scalar::quantity(text),
                Type::Time => scalar::time(text),
                Type::MicroTime => scalar::micro_time(text),
                _ => return,
            };
            if let Ok(canonical) = canonical {
                *text = canonical;
            }
        }
        _ => {}
    }
}
