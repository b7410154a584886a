//! Prints objects in error messages the way Go prints them. It refuses to know why.

use serde_json::{Map, Value};

use crate::schema::{Type, TypeSchema};

/// An object in the form of Go's `%v`.
pub(super) fn value(fields: &Map<String, Value>) -> String {
    let mut out = String::new();
    print_map(fields, &mut out);
    out
}

/// Any value in the form of Go's `%v`.
pub(crate) fn any(value: &Value) -> String {
    let mut out = String::new();
    print(value, &mut out);
    out
}

fn print_map(fields: &Map<String, Value>, out: &mut String) {
    out.push_str("map[");
    for (index, (name, value)) in fields.iter().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        out.push_str(name);
        out.push(':');
        print(value, out);
    }
    out.push(']');
}

fn print(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("<nil>"),
        Value::String(text) => out.push_str(text),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                print(item, out);
            }
            out.push(']');
        }
        Value::Object(fields) => print_map(fields, out),
        other => out.push_str(&other.to_string()),
    }
}

/// The JSON text of a patched object. Parts that the patch left alone are printed in the order of Go's structs,
/// all others sorted by name.
pub(super) fn patched_json(schema: &TypeSchema, live: &Value, patched: &Value) -> String {
    let mut out = String::new();
    print_json(&Type::Any, Some(schema), Some(live), patched, &mut out);
    // Go escapes these in every JSON text.
    out.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
}

fn print_json(
    ty: &Type,
    schema: Option<&TypeSchema>,
    live: Option<&Value>,
    patched: &Value,
    out: &mut String,
) {
    let schema = match ty {
        Type::Object(schema) => Some(*schema),
        _ => schema,
    };
    match patched {
        Value::Object(fields) => {
            let mut names: Vec<&String> = fields.keys().collect();
            if live == Some(patched) {
                let order = schema.map_or(&[][..], struct_order);
                names.sort_by_key(|name| {
                    order
                        .iter()
                        .position(|known| known == name)
                        .unwrap_or(order.len())
                });
            }
            out.push('{');
            for (index, name) in names.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::String(name.clone()).to_string());
                out.push(':');
                let (field, value) = (schema.and_then(|schema| schema.field(name)), &fields[name]);
                let ty = match (ty, field) {
                    (_, Some(field)) => field.ty,
                    (Type::Map(ty), None) => **ty,
                    _ => Type::Any,
                };
                print_json(&ty, None, live.and_then(|live| live.get(name)), value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            let ty = if let Type::List(item) = ty {
                **item
            } else {
                Type::Any
            };
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                print_json(&ty, None, live.and_then(|live| live.get(index)), item, out);
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

/// The order in which Go prints the types that every object carries; other types are printed sorted.
fn struct_order(schema: &TypeSchema) -> &'static [&'static str] {
    match schema.short_name() {
        "ObjectMeta" => &[
            "name",
            "generateName",
            "namespace",
            "selfLink",
            "uid",
            "resourceVersion",
            "generation",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "labels",
            "annotations",
            "ownerReferences",
            "finalizers",
            "managedFields",
        ],
        "ManagedFieldsEntry" => &[
            "manager",
            "operation",
            "apiVersion",
            "time",
            "fieldsType",
            "fieldsV1",
            "subresource",
        ],
        "OwnerReference" => &[
            "apiVersion",
            "kind",
            "name",
            "uid",
            "controller",
            "blockOwnerDeletion",
        ],
        _ => &[],
    }
}
