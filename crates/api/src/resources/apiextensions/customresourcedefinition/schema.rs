//! What a definition's schema may say.

use serde_json::Value;

use crate::cel;
use crate::field::{FieldError, Path};
use crate::resources::object::{list, text};
use crate::structural::{Structural, check, judge, walk};

/// The fields a schema may have at the root beside the status subresource, as Go names them.
const AT_ROOT: &str = "[Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength \
    MinLength Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example \
    XPreserveUnknownFields XValidations]";
const NOT_AT_ROOT: [&str; 16] = [
    "$ref",
    "$schema",
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "default",
    "enum",
    "id",
    "maxProperties",
    "minProperties",
    "not",
    "nullable",
    "oneOf",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
];

/// All faults of a version's schema.
pub(super) fn faults(schema: &Value, status: bool, path: &Path, errors: &mut Vec<FieldError>) {
    let before = errors.len();
    if status && NOT_AT_ROOT.iter().any(|name| !schema[*name].is_null()) {
        let why = format!(
            "only {AT_ROOT} fields are allowed at the root of the schema if the status subresource is enabled"
        );
        errors.push(FieldError::invalid(path, schema.clone(), why));
    }
    if schema["nullable"] == true {
        let why = "nullable cannot be true at the root";
        errors.push(FieldError::forbidden(&path.child("nullable"), why));
    }
    let structural = check(schema, path);
    let is_structural = structural.is_empty();
    errors.extend(structural);
    if is_structural {
        let compiled = Structural::compile(schema);
        defaults(schema, &compiled, path, true, errors);
    }
    walk(schema, path, &mut |schema, path| node(schema, path, errors));
    places_of_defaults(schema, path, errors);
    if errors.len() == before {
        errors.extend(cel::faults(&Structural::compile(schema), path));
    }
}

/// What a single schema must keep to, whatever stands above it.
fn node(schema: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let ty = text(schema, "type");
    let known = ["array", "boolean", "integer", "number", "object", "string"];
    if !ty.is_empty() && !known.contains(&ty) {
        errors.push(FieldError::not_supported(&path.child("type"), ty, &known));
    }
    for (name, why) in [
        ("id", "id is not supported"),
        ("additionalItems", "additionalItems is not supported"),
        ("patternProperties", "patternProperties is not supported"),
        ("definitions", "definitions is not supported"),
        ("dependencies", "dependencies is not supported"),
        ("$ref", "$ref is not supported"),
    ] {
        if !schema[name].is_null() {
            errors.push(FieldError::forbidden(&path.child(name), why));
        }
    }
    if ty == "null" {
        let why = "type cannot be set to null, use nullable as an alternative";
        errors.push(FieldError::forbidden(&path.child("type"), why));
    }
    if schema["items"].is_array() {
        let why = "items must be a schema object and not an array";
        errors.push(FieldError::forbidden(&path.child("items"), why));
    }
    if schema["uniqueItems"] == true {
        let why =
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(FieldError::forbidden(&path.child("uniqueItems"), why));
    }
    let additional = &schema["additionalProperties"];
    let has_properties = schema["properties"]
        .as_object()
        .is_some_and(|p| !p.is_empty());
    if has_properties && !additional.is_null() && *additional != true {
        let why = "additionalProperties and properties are mutual exclusive";
        errors.push(FieldError::forbidden(
            &path.child("additionalProperties"),
            why,
        ));
    }
    if schema["x-kubernetes-preserve-unknown-fields"] == false {
        let place = path.child("x-kubernetes-preserve-unknown-fields");
        errors.push(FieldError::invalid(
            &place,
            false,
            "must be true or undefined",
        ));
    }
    topology(schema, path, errors);
    rules(schema, path, errors);
}

/// A type that an extension needs.
fn needs_type(
    schema: &Value,
    wanted: &str,
    extension: &str,
    path: &Path,
    errors: &mut Vec<FieldError>,
) -> bool {
    let ty = text(schema, "type");
    if schema[extension].is_null() || ty == wanted {
        return true;
    }
    let why = format!("must be {wanted} if {extension} is specified");
    let place = path.child("type");
    errors.push(if ty.is_empty() {
        FieldError::required(&place, why)
    } else {
        FieldError::invalid(&place, ty, why)
    });
    false
}

fn topology(schema: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    const LIST: &str = "x-kubernetes-list-type";
    const MAP: &str = "x-kubernetes-map-type";
    const KEYS: &str = "x-kubernetes-list-map-keys";
    needs_type(schema, "object", MAP, path, errors);
    let map_type = text(schema, MAP);
    if !map_type.is_empty() && !matches!(map_type, "atomic" | "granular") {
        errors.push(FieldError::not_supported(
            &path.child(MAP),
            map_type,
            &["atomic", "granular"],
        ));
    }
    let (list_type, items) = (text(schema, LIST), &schema["items"]);
    if needs_type(schema, "array", LIST, path, errors) && list_type == "set" && items.is_object() {
        let why = "must be atomic as item of a list with x-kubernetes-list-type=set";
        let own = text(items, LIST);
        if text(items, "type") == "array" && !matches!(own, "" | "atomic") {
            errors.push(FieldError::invalid(
                &path.child("items").child(LIST),
                own,
                why,
            ));
        }
        if text(items, "type") == "object" && text(items, MAP) != "atomic" {
            let place = path.child("items").child(MAP);
            errors.push(FieldError::invalid(&place, items[LIST].clone(), why));
        }
    }
    if !list_type.is_empty() && !matches!(list_type, "atomic" | "set" | "map") {
        let known = ["atomic", "set", "map"];
        errors.push(FieldError::not_supported(
            &path.child(LIST),
            list_type,
            &known,
        ));
    }
    let keys = list(schema, KEYS);
    if !keys.is_empty() && list_type != "map" {
        let why = "must be map if x-kubernetes-list-map-keys is non-empty";
        errors.push(if list_type.is_empty() {
            FieldError::required(&path.child(LIST), why)
        } else {
            FieldError::invalid(&path.child(LIST), list_type, why)
        });
    }
    if list_type == "map" {
        keys_of_items(schema, keys, &path.child(KEYS), path, errors);
    }
    if matches!(list_type, "set" | "map") && items["nullable"] == true {
        let why = format!("cannot be nullable when x-kubernetes-list-type is {list_type}");
        errors.push(FieldError::forbidden(
            &path.child("items").child("nullable"),
            why,
        ));
    }
    if list_type == "map" {
        let required = list(items, "required");
        for key in keys.iter().filter_map(Value::as_str) {
            let property = &items["properties"][key];
            let place = path.child("items").child("properties").key(key);
            if property.is_null() {
                continue;
            }
            if !required.iter().any(|name| name == key) && property["default"].is_null() {
                let why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
                errors.push(FieldError::required(&place.child("default"), why));
            }
            if property["nullable"] == true {
                let why =
                    "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
                errors.push(FieldError::forbidden(&place.child("nullable"), why));
            }
        }
    }
}

fn keys_of_items(
    schema: &Value,
    keys: &[Value],
    place: &Path,
    path: &Path,
    errors: &mut Vec<FieldError>,
) {
    let items = &schema["items"];
    if keys.is_empty() {
        let why = "must not be empty if x-kubernetes-list-type is map";
        errors.push(FieldError::required(place, why));
    }
    if items.is_null() {
        let why = "must have a schema if x-kubernetes-list-type is map";
        errors.push(FieldError::required(&path.child("items"), why));
        return;
    }
    let ty = text(items, "type");
    if ty != "object" {
        let why = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(FieldError::invalid(
            &path.child("items").child("type"),
            ty,
            why,
        ));
        return;
    }
    for (index, key) in keys.iter().enumerate() {
        let property = &items["properties"][key.as_str().unwrap_or_default()];
        if property.is_null() {
            let why = "entries must all be names of item properties";
            errors.push(FieldError::invalid(place, keys.to_vec(), why));
        } else if matches!(text(property, "type"), "array" | "object") {
            let place = path
                .child("items")
                .child("properties")
                .key(key.as_str().unwrap_or_default())
                .child("type");
            let why = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            errors.push(FieldError::invalid(&place, ty, why));
        }
        if keys[..index].contains(key) {
            let why = "must not contain duplicate entries";
            errors.push(FieldError::invalid(place, keys.to_vec(), why));
        }
    }
}

/// The form of rules; what they say is the CEL checker's to judge.
fn rules(schema: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let lines = |text: &str| text.contains(['\n', '\r']);
    for (index, rule) in list(schema, "x-kubernetes-validations").iter().enumerate() {
        let path = path.child("x-kubernetes-validations").index(index);
        let (expression, message) = (text(rule, "rule").trim(), text(rule, "message"));
        if expression.is_empty() {
            errors.push(FieldError::required(
                &path.child("rule"),
                "rule is not specified",
            ));
        } else if !message.is_empty() && message.trim().is_empty() {
            let why = "message must be non-empty if specified";
            errors.push(FieldError::invalid(&path.child("message"), message, why));
        } else if lines(message.trim()) {
            let why = "message must not contain line breaks";
            errors.push(FieldError::invalid(&path.child("message"), message, why));
        } else if lines(expression) && message.trim().is_empty() {
            let why = "message must be specified if rule contains line breaks";
            errors.push(FieldError::required(&path.child("message"), why));
        }
        let dynamic = text(rule, "messageExpression");
        if !dynamic.is_empty() && dynamic.trim().is_empty() {
            let why = "messageExpression must be non-empty if specified";
            errors.push(FieldError::required(&path.child("messageExpression"), why));
        }
        let reason = text(rule, "reason");
        let known = [
            "FieldValueDuplicate",
            "FieldValueForbidden",
            "FieldValueInvalid",
            "FieldValueRequired",
        ];
        if !rule["reason"].is_null() && !known.contains(&reason) {
            errors.push(FieldError::not_supported(
                &path.child("reason"),
                reason,
                &known,
            ));
        }
        let field = text(rule, "fieldPath");
        let place = path.child("fieldPath");
        if !field.is_empty() {
            if field.trim().is_empty() {
                let why = "fieldPath must be non-empty if specified";
                errors.push(FieldError::invalid(&place, field, why));
            }
            if lines(field) {
                let why = "fieldPath must not contain line breaks";
                errors.push(FieldError::invalid(&place, field, why));
            }
            if field_place(&Structural::compile(schema), field, &Path::default()).is_none() {
                let why = "fieldPath must be a valid path";
                errors.push(FieldError::invalid(&place, field, why));
            }
        }
    }
}

/// The place a rule's `fieldPath` (`.a.b`, `['a.b']`) points at below a schema; `None` when the schema has none there.
pub(crate) fn field_place(schema: &Structural, field: &str, path: &Path) -> Option<Path> {
    let names =
        crate::jsonpath::JsonPath::parse(field).filter(|_| field.starts_with(['.', '[']))?;
    let (mut schema, mut path) = (schema, path.clone());
    for name in names.fields()? {
        path = schema.place(&path, name);
        schema = schema.child(name)?;
    }
    Some(path)
}

/// Defaults are values their own schemas allow, and hold no unknown fields.
fn defaults(
    schema: &Value,
    compiled: &Structural,
    path: &Path,
    root: bool,
    errors: &mut Vec<FieldError>,
) {
    if let Some(default) = &compiled.default {
        let place = path.child("default");
        let mut pruned = default.clone();
        let mut unknown = Vec::new();
        compiled.prune(&mut pruned, false, &mut unknown);
        if unknown.is_empty() {
            for mut error in judge(compiled, default, None, "").errors {
                error.field = match error.field.as_str() {
                    "[]" => place.to_string(),
                    below => place.child(below).to_string(),
                };
                errors.push(error);
            }
        } else {
            let why = "must not have unknown fields";
            errors.push(FieldError::invalid(&place, default.clone(), why));
        }
    }
    for (name, child) in &compiled.properties {
        if root && name == "metadata" {
            continue;
        }
        let place = path.child("properties").key(name);
        defaults(&schema["properties"][name], child, &place, false, errors);
    }
    if let Some(items) = &compiled.items {
        defaults(&schema["items"], items, &path.child("items"), false, errors);
    }
    if let Some(crate::structural::Additional::Schema(values)) = &compiled.additional {
        let place = path.child("additionalProperties");
        defaults(
            &schema["additionalProperties"],
            values,
            &place,
            false,
            errors,
        );
    }
}

/// The fields every object has get no defaults at the root.
fn places_of_defaults(schema: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for name in ["metadata", "kind", "apiVersion"] {
        let place = path.child("properties").key(name);
        walk(&schema["properties"][name], &place, &mut |schema, path| {
            if !schema["default"].is_null() {
                let why = format!("must not be set in top-level {name}");
                errors.push(FieldError::forbidden(&path.child("default"), why));
            }
        });
    }
}
