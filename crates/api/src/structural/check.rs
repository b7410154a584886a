//! Whether a schema is structural: what upstream demands of one before it is compiled, with upstream's texts. Works on
//! the definition's own JSON, which need not be compilable.

use regex::Regex;
use serde_json::{Map, Value};

use crate::field::{FieldError, Path};

/// Where in its schema a node is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// The faults that make a schema not structural, in the order of their texts, as upstream lists them.
pub(crate) fn check(schema: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    invariants(schema, Level::Root, path, &mut errors);
    completeness(schema, path, &mut errors);
    errors.sort_by_key(ToString::to_string);
    errors
}

/// Visits every schema below one, itself included, with its path.
pub(crate) fn walk(schema: &Value, path: &Path, visit: &mut dyn FnMut(&Value, &Path)) {
    if !schema.is_object() {
        return;
    }
    visit(schema, path);
    for name in ["items", "additionalProperties", "not"] {
        walk(&schema[name], &path.child(name), visit);
    }
    for (name, child) in fields(&schema["properties"]) {
        walk(child, &path.child("properties").key(name), visit);
    }
    for name in ["allOf", "anyOf", "oneOf"] {
        for (index, child) in list(&schema[name]).iter().enumerate() {
            walk(child, &path.child(name).index(index), visit);
        }
    }
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

fn flag(value: &Value, name: &str) -> bool {
    value[name].as_bool().unwrap_or(false)
}

fn invariants(schema: &Value, level: Level, path: &Path, errors: &mut Vec<FieldError>) {
    let ty = text(schema, "type");
    if ty == "array" && schema["items"].is_null() {
        errors.push(FieldError::required(
            &path.child("items"),
            "must be specified",
        ));
    }
    if schema["items"].is_object() {
        invariants(&schema["items"], Level::Item, &path.child("items"), errors);
    }
    for (name, child) in fields(&schema["properties"]) {
        let place = path.child("properties").key(name);
        invariants(child, Level::Field, &place, errors);
    }
    let additional = &schema["additionalProperties"];
    if !additional.is_null() {
        let place = path.child("additionalProperties");
        if level == Level::Root {
            errors.push(FieldError::forbidden(
                &place,
                "must not be used at the root",
            ));
        }
        if additional.is_object() {
            invariants(additional, Level::Field, &place, errors);
        }
    }
    extensions(schema, path, errors);
    let skip_any = is_int_or_string(&schema["anyOf"]);
    let skip_in_first = is_int_or_string(&schema["allOf"][0]["anyOf"]);
    values(schema, skip_any, skip_in_first, path, errors);
    types(schema, level, path, errors);
    metadata(schema, level, path, errors);
}

fn extensions(schema: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    if !flag(schema, "x-kubernetes-int-or-string") {
        return;
    }
    for name in [
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-embedded-resource",
    ] {
        if flag(schema, name) {
            let why = "must be false if x-kubernetes-int-or-string is true";
            errors.push(FieldError::invalid(&path.child(name), true, why));
        }
    }
}

fn types(schema: &Value, level: Level, path: &Path, errors: &mut Vec<FieldError>) {
    let ty = text(schema, "type");
    let embedded = flag(schema, "x-kubernetes-embedded-resource");
    let preserves = flag(schema, "x-kubernetes-preserve-unknown-fields");
    let place = path.child("type");
    if embedded && ty != "object" {
        let why = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(if ty.is_empty() {
            FieldError::required(&place, why)
        } else {
            FieldError::invalid(&place, ty, why)
        });
    } else if ty.is_empty() && !flag(schema, "x-kubernetes-int-or-string") && !preserves {
        let why = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.push(FieldError::required(&place, why));
    }
    if embedded && !schema["additionalProperties"].is_null() {
        let why = "must not be used if x-kubernetes-embedded-resource is set";
        errors.push(FieldError::forbidden(
            &path.child("additionalProperties"),
            why,
        ));
    }
    if level == Level::Root && !ty.is_empty() && ty != "object" {
        errors.push(FieldError::invalid(
            &place,
            ty,
            "must be object at the root",
        ));
    }
    if embedded && !preserves && fields(&schema["properties"]).next().is_none() {
        let why = "must not be empty if x-kubernetes-embedded-resource is true without \
                   x-kubernetes-preserve-unknown-fields";
        errors.push(FieldError::required(&path.child("properties"), why));
    }
}

/// What a schema may say about the fields every object has.
fn metadata(schema: &Value, level: Level, path: &Path, errors: &mut Vec<FieldError>) {
    let resource = level == Level::Root || flag(schema, "x-kubernetes-embedded-resource");
    let properties = &schema["properties"];
    if resource {
        for name in ["kind", "apiVersion"] {
            let ty = text(&properties[name], "type");
            if !properties[name].is_null() && ty != "string" {
                let place = path.child("properties").key(name).child("type");
                errors.push(FieldError::invalid(&place, ty, "must be string"));
            }
        }
    }
    let metadata = &properties["metadata"];
    if metadata.is_null() {
        return;
    }
    let place = path.child("properties").key("metadata");
    let ty = text(metadata, "type");
    if resource && ty != "object" {
        errors.push(FieldError::invalid(
            &place.child("type"),
            ty,
            "must be object",
        ));
    }
    if level == Level::Root {
        let known = |(name, _): (&String, &Value)| matches!(name.as_str(), "name" | "generateName");
        let plain = fields(metadata).all(|(name, _)| {
            matches!(
                name.as_str(),
                "type" | "properties" | "default" | "description" | "title"
            )
        });
        let described =
            !text(metadata, "description").is_empty() || !text(metadata, "title").is_empty();
        if !plain || described || !fields(&metadata["properties"]).all(known) {
            let why = "must not specify anything other than name and generateName, but metadata is implicitly specified";
            errors.push(FieldError::forbidden(&place, why));
        }
    }
}

/// The one use of types in combinations that is let through.
fn is_int_or_string(any_of: &Value) -> bool {
    let expected = ["integer", "string"];
    let given = list(any_of);
    given.len() == 2
        && given
            .iter()
            .zip(expected)
            .all(|(schema, ty)| fields(schema).count() == 1 && text(schema, "type") == ty)
}

fn values(
    schema: &Value,
    skip_any: bool,
    skip_in_first: bool,
    path: &Path,
    errors: &mut Vec<FieldError>,
) {
    for name in ["anyOf", "allOf", "oneOf"] {
        if name == "anyOf" && skip_any {
            continue;
        }
        for (index, child) in list(&schema[name]).iter().enumerate() {
            let skip = name == "allOf" && index == 0 && skip_in_first;
            nested(child, skip, &path.child(name).index(index), errors);
        }
    }
    if schema["not"].is_object() {
        nested(&schema["not"], false, &path.child("not"), errors);
    }
    let pattern = text(schema, "pattern");
    if let Err(error) = Regex::new(pattern) {
        let why = format!(
            "must be a valid regular expression, but isn't: {}",
            one_line(&error)
        );
        errors.push(FieldError::invalid(&path.child("pattern"), pattern, why));
    }
}

fn one_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

const EMPTY: &str = "must be empty to be structural";
const UNDEFINED: &str = "must be undefined to be structural";
const FALSE: &str = "must be false to be structural";

/// Below a combination only the value may be judged, nothing declared.
fn nested(schema: &Value, skip_any: bool, path: &Path, errors: &mut Vec<FieldError>) {
    values(schema, skip_any, false, path, errors);
    if schema["items"].is_object() {
        nested(&schema["items"], false, &path.child("items"), errors);
    }
    for (name, child) in fields(&schema["properties"]) {
        let place = path.child("properties").key(name);
        nested(child, false, &place, errors);
    }
    for (name, why) in [
        ("type", EMPTY),
        ("additionalProperties", UNDEFINED),
        ("default", UNDEFINED),
        ("title", EMPTY),
        ("description", EMPTY),
        ("nullable", FALSE),
        ("externalDocs", UNDEFINED),
        ("x-kubernetes-preserve-unknown-fields", FALSE),
        ("x-kubernetes-embedded-resource", FALSE),
        ("x-kubernetes-int-or-string", FALSE),
        ("x-kubernetes-list-map-keys", EMPTY),
        ("x-kubernetes-list-type", UNDEFINED),
        ("x-kubernetes-map-type", UNDEFINED),
        ("x-kubernetes-validations", EMPTY),
    ] {
        let given = match &schema[name] {
            Value::Null | Value::Bool(false) => false,
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            _ => true,
        };
        if given {
            errors.push(FieldError::forbidden(&path.child(name), why));
        }
    }
    if !schema["properties"]["metadata"].is_null() {
        let place = path.child("properties").key("metadata");
        errors.push(FieldError::forbidden(
            &place,
            "must not be specified in a nested context",
        ));
    }
}

/// What combinations judge must be declared outside of them, too.
fn completeness(schema: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for name in ["allOf", "anyOf", "oneOf"] {
        for (index, child) in list(&schema[name]).iter().enumerate() {
            declared(
                child,
                Some(schema),
                path,
                &path.child(name).index(index),
                errors,
            );
        }
    }
    if schema["not"].is_object() {
        declared(
            &schema["not"],
            Some(schema),
            path,
            &path.child("not"),
            errors,
        );
    }
    if schema["items"].is_object() {
        completeness(&schema["items"], &path.child("items"), errors);
    }
    for (name, child) in fields(&schema["properties"]) {
        completeness(child, &path.child("properties").key(name), errors);
    }
    if schema["additionalProperties"].is_object() {
        completeness(
            &schema["additionalProperties"],
            &path.child("additionalProperties"),
            errors,
        );
    }
}

fn declared(
    judged: &Value,
    schema: Option<&Value>,
    path: &Path,
    from: &Path,
    errors: &mut Vec<FieldError>,
) {
    let Some(schema) = schema else {
        errors.push(FieldError::required(
            path,
            format!("because it is defined in {from}"),
        ));
        return;
    };
    let part = |name: &str| schema.get(name).filter(|part| part.is_object());
    for name in ["allOf", "anyOf", "oneOf"] {
        for (index, child) in list(&judged[name]).iter().enumerate() {
            declared(
                child,
                Some(schema),
                path,
                &from.child(name).index(index),
                errors,
            );
        }
    }
    if judged["not"].is_object() {
        declared(
            &judged["not"],
            Some(schema),
            path,
            &from.child("not"),
            errors,
        );
    }
    if judged["items"].is_object() {
        declared(
            &judged["items"],
            part("items"),
            &path.child("items"),
            &from.child("items"),
            errors,
        );
    }
    for (name, child) in fields(&judged["properties"]) {
        let own = schema["properties"].get(name);
        let place = path.child("properties").key(name);
        declared(
            child,
            own,
            &place,
            &from.child("properties").key(name),
            errors,
        );
    }
}
