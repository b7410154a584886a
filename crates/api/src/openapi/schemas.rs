//! Prints types of the schema table as OpenAPI schemas. It refuses to know which types a document needs.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Dialect;
use super::descriptions::Descriptions;
use super::values;
use crate::schema::{
    FieldSchema, PatchStrategy, Topology, Type, TypeSchema, is_inline, is_printed,
};

const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
const FIELDS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1";
const MICRO_TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const RAW: &str = "io.k8s.apimachinery.pkg.runtime.RawExtension";
const TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Time";

/// The definition a field of any JSON has where upstream gives one: parts of schemas that may be several things.
fn loose_definition(holder: &str, field: &str) -> Option<&'static str> {
    if !holder.ends_with(".apiextensions.v1.JSONSchemaProps") {
        return None;
    }
    Some(match field {
        "default" | "enum" | "example" => {
            "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON"
        }
        "items" => {
            "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray"
        }
        "additionalItems" | "additionalProperties" => {
            "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool"
        }
        "dependencies" => {
            "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray"
        }
        _ => return None,
    })
}

/// A reference to a definition.
pub(super) fn reference(name: &str, dialect: Dialect) -> Value {
    let folder = match dialect {
        Dialect::V2 => "definitions",
        Dialect::V3 => "components/schemas",
    };
    json!({"$ref": format!("#/{folder}/{name}")})
}

/// The definitions of these types and of everything that they reach.
pub(super) fn definitions(
    roots: Vec<&'static TypeSchema>,
    descriptions: &Descriptions,
    dialect: Dialect,
) -> Value {
    let mut todo = roots;
    let mut done: BTreeMap<&str, Value> = BTreeMap::new();
    while let Some(schema) = todo.pop() {
        if done.contains_key(schema.name) {
            continue;
        }
        done.insert(schema.name, object(schema, descriptions, dialect));
        for field in schema.fields {
            // Custom kinds are printed as they are declared, in one piece.
            if schema.is_custom() && field.name != "metadata" {
                continue;
            }
            let mut ty = &field.ty;
            while let Type::List(inner) | Type::Map(inner) = ty {
                ty = inner;
            }
            match ty {
                Type::Object(inner) => todo.push(inner),
                other => {
                    if let Some(name) = loose_definition(schema.name, field.name) {
                        let mut loose = json!({});
                        describe(&mut loose, descriptions.of_type(name));
                        done.entry(name).or_insert(loose);
                    } else if let Some(name) = scalar_definition(other) {
                        done.entry(name)
                            .or_insert_with(|| scalar(other, name, descriptions, dialect));
                    }
                }
            }
        }
    }
    done.into_iter()
        .map(|(name, definition)| (name.to_owned(), definition))
        .collect::<Map<_, _>>()
        .into()
}

/// Scalars that have a definition of their own.
fn scalar_definition(ty: &Type) -> Option<&'static str> {
    Some(match ty {
        Type::Fields => FIELDS,
        Type::IntOrString => INT_OR_STRING,
        Type::MicroTime => MICRO_TIME,
        Type::Quantity => QUANTITY,
        Type::RawObject => RAW,
        Type::Time => TIME,
        _ => return None,
    })
}

fn scalar(ty: &Type, name: &str, descriptions: &Descriptions, dialect: Dialect) -> Value {
    let mut schema = match (ty, dialect) {
        (Type::Time | Type::MicroTime, _) => json!({"type": "string", "format": "date-time"}),
        (Type::Quantity, Dialect::V2) => json!({"type": "string"}),
        (Type::Quantity, Dialect::V3) => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
        (Type::IntOrString, Dialect::V2) => json!({"type": "string", "format": "int-or-string"}),
        (Type::IntOrString, Dialect::V3) => {
            json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]})
        }
        _ => json!({"type": "object"}),
    };
    describe(&mut schema, descriptions.of_type(name));
    schema
}

fn describe(schema: &mut Value, text: Option<&str>) {
    if let Some(text) = text {
        schema["description"] = Value::from(text);
    }
}

/// A custom kind: what its definition declares, and what every object has.
fn custom(
    schema: &TypeSchema,
    declared: &Value,
    descriptions: &Descriptions,
    dialect: Dialect,
) -> Value {
    let mut definition = declared.clone();
    if dialect == Dialect::V2 {
        without_alternatives(&mut definition);
    }
    let of_every_object = "io.k8s.api.core.v1.ConfigMap";
    for field in schema.fields {
        if matches!(field.name, "apiVersion" | "kind" | "metadata") {
            let text = descriptions.of_field(of_every_object, field.name);
            definition["properties"][field.name] =
                property(schema, of_every_object, field, text, dialect);
        }
    }
    if let Some(gvk) = schema.gvk {
        definition["x-kubernetes-group-version-kind"] =
            json!([{"group": gvk.group, "version": gvk.version, "kind": gvk.kind}]);
    }
    definition
}

/// OpenAPI 2.0 knows no alternatives and no null; what could be null may be anything there.
fn without_alternatives(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else {
        return;
    };
    for name in ["anyOf", "oneOf", "allOf", "not"] {
        fields.remove(name);
    }
    if fields.remove("nullable") == Some(true.into()) {
        for name in ["type", "properties", "items", "additionalProperties"] {
            fields.remove(name);
        }
    }
    for name in ["items", "additionalProperties"] {
        if let Some(child) = fields.get_mut(name) {
            without_alternatives(child);
        }
    }
    let properties = fields.get_mut("properties").and_then(Value::as_object_mut);
    for child in properties.into_iter().flat_map(Map::values_mut) {
        without_alternatives(child);
    }
}

fn object(schema: &TypeSchema, descriptions: &Descriptions, dialect: Dialect) -> Value {
    if let Some(declared) = schema.custom {
        return custom(schema, &declared.schema, descriptions, dialect);
    }
    let mut definition = json!({"type": "object"});
    let list_of = schema
        .is_list()
        .then(|| schema.short_name().trim_end_matches("List"));
    let description = |field: &str| match list_of {
        Some(item) => descriptions.of_list(item, field),
        None => descriptions
            .of_field(schema.name, field)
            .map(ToOwned::to_owned),
    };
    describe(&mut definition, description("").as_deref());
    if !schema.fields.is_empty() {
        let properties: Map<String, Value> = schema
            .fields
            .iter()
            .map(|field| {
                let text = description(field.name);
                (
                    field.name.to_owned(),
                    property(schema, schema.name, field, text.as_deref(), dialect),
                )
            })
            .collect();
        definition["properties"] = Value::Object(properties);
    }
    let required: Vec<&str> = schema
        .fields
        .iter()
        .filter(|field| field.required)
        .map(|field| field.name)
        .collect();
    if !required.is_empty() {
        definition["required"] = json!(required);
    }
    if let Some(gvk) = schema.gvk {
        definition["x-kubernetes-group-version-kind"] =
            json!([{"group": gvk.group, "version": gvk.version, "kind": gvk.kind}]);
    }
    if schema.atomic {
        definition["x-kubernetes-map-type"] = json!("atomic");
    }
    definition
}

/// A field of a type; `holder` is the name under which tables know the type.
fn property(
    of: &TypeSchema,
    holder: &str,
    field: &FieldSchema,
    text: Option<&str>,
    dialect: Dialect,
) -> Value {
    let mut schema = ty(&field.ty, dialect);
    if let Some(name) = loose_definition(holder, field.name) {
        match field.ty {
            Type::List(_) => schema["items"] = reference(name, dialect),
            Type::Map(_) => schema["additionalProperties"] = reference(name, dialect),
            _ => schema = reference(name, dialect),
        }
    }
    let values = values::of_field(holder, field.name);
    if !values.is_empty() {
        let one = match field.ty {
            Type::List(_) => &mut schema["items"],
            Type::Map(_) => &mut schema["additionalProperties"],
            _ => &mut schema,
        };
        one["enum"] = json!(values);
    }
    if dialect == Dialect::V3 && schema.get("$ref").is_some() {
        // OpenAPI 3.0 allows nothing beside a reference.
        schema = json!({"allOf": [schema]});
    }
    describe(&mut schema, text);
    if let (Dialect::V3, Some(default)) = (dialect, default(of, field)) {
        schema["default"] = default;
    }
    match field.topology {
        Topology::Undeclared => {}
        // Bytes are a list to upstream.
        Topology::Atomic if matches!(field.ty, Type::List(_) | Type::Bytes) => {
            schema["x-kubernetes-list-type"] = json!("atomic");
        }
        Topology::Atomic => schema["x-kubernetes-map-type"] = json!("atomic"),
        Topology::Granular => schema["x-kubernetes-map-type"] = json!("granular"),
        Topology::Set => schema["x-kubernetes-list-type"] = json!("set"),
        Topology::Keyed(keys) => {
            schema["x-kubernetes-list-type"] = json!("map");
            schema["x-kubernetes-list-map-keys"] = json!(keys);
        }
    }
    let strategy = match (field.patch, field.patch_retain_keys) {
        (PatchStrategy::Merge, true) => "merge,retainKeys",
        (PatchStrategy::Merge, false) => "merge",
        (PatchStrategy::Undeclared | PatchStrategy::Replace, true) => "retainKeys",
        (PatchStrategy::Replace, false) => "replace",
        (PatchStrategy::Undeclared, false) => "",
    };
    if !strategy.is_empty() {
        schema["x-kubernetes-patch-strategy"] = json!(strategy);
    }
    if let Some(key) = field.patch_merge_key {
        schema["x-kubernetes-patch-merge-key"] = json!(key);
    }
    schema
}

/// What a field holds when nobody sets it: what is declared, the empty object where upstream has a struct, and the zero
/// of scalars that upstream always prints.
fn default(of: &TypeSchema, field: &FieldSchema) -> Option<Value> {
    if let Some((_, _, declared)) = DECLARED
        .iter()
        .find(|(holder, name, _)| *holder == of.short_name() && *name == field.name)
    {
        return Some(Value::from(*declared));
    }
    if is_inline(of, field) {
        return Some(json!({}));
    }
    if !is_printed(of, field) {
        return None;
    }
    match field.ty {
        Type::Str => Some(json!("")),
        Type::Int32 | Type::Int64 | Type::Float => Some(json!(0)),
        Type::Bool => Some(json!(false)),
        _ => None,
    }
}

/// Defaults that upstream's types declare. Those of other fields are filled in by code and stand in prose alone.
const DECLARED: &[(&str, &str, &str)] = &[
    ("AzureDiskVolumeSource", "cachingMode", "ReadWrite"),
    ("AzureDiskVolumeSource", "fsType", "ext4"),
    ("AzureDiskVolumeSource", "kind", "Shared"),
    ("ConfigMapEnvSource", "name", ""),
    ("ConfigMapKeySelector", "name", ""),
    ("ConfigMapProjection", "name", ""),
    ("ConfigMapVolumeSource", "name", ""),
    ("ContainerPort", "protocol", "TCP"),
    ("ISCSIPersistentVolumeSource", "iscsiInterface", "default"),
    ("ISCSIVolumeSource", "iscsiInterface", "default"),
    ("LocalObjectReference", "name", ""),
    ("RBDPersistentVolumeSource", "keyring", "/etc/ceph/keyring"),
    ("RBDPersistentVolumeSource", "pool", "rbd"),
    ("RBDPersistentVolumeSource", "user", "admin"),
    ("RBDVolumeSource", "keyring", "/etc/ceph/keyring"),
    ("RBDVolumeSource", "pool", "rbd"),
    ("RBDVolumeSource", "user", "admin"),
    ("ScaleIOPersistentVolumeSource", "fsType", "xfs"),
    (
        "ScaleIOPersistentVolumeSource",
        "storageMode",
        "ThinProvisioned",
    ),
    ("ScaleIOVolumeSource", "fsType", "xfs"),
    ("ScaleIOVolumeSource", "storageMode", "ThinProvisioned"),
    ("SecretEnvSource", "name", ""),
    ("SecretKeySelector", "name", ""),
    ("SecretProjection", "name", ""),
    ("ServicePort", "protocol", "TCP"),
];

fn ty(ty: &Type, dialect: Dialect) -> Value {
    if let Some(name) = scalar_definition(ty) {
        return reference(name, dialect);
    }
    match ty {
        Type::Bool => json!({"type": "boolean"}),
        Type::Int32 => json!({"type": "integer", "format": "int32"}),
        Type::Int64 => json!({"type": "integer", "format": "int64"}),
        Type::Float => json!({"type": "number", "format": "double"}),
        Type::Str => json!({"type": "string"}),
        Type::Bytes => json!({"type": "string", "format": "byte"}),
        Type::Object(schema) => reference(schema.name, dialect),
        Type::List(item) => json!({"type": "array", "items": self::ty(item, dialect)}),
        Type::Map(value) => {
            json!({"type": "object", "additionalProperties": self::ty(value, dialect)})
        }
        Type::Any
        | Type::Fields
        | Type::IntOrString
        | Type::MicroTime
        | Type::Quantity
        | Type::RawObject
        | Type::Time => json!({}),
    }
}
