//! The shape of a custom kind as entries of the schema table, which patches, apply and documents read.

use serde_json::Value;

use super::{leak, text};
use crate::resource::Resource;
use crate::schema::{
    Declared, FieldSchema, Gvk, PatchStrategy, Topology, Type, TypeSchema, type_named,
};
use crate::structural::{Additional, ListType, Structural, Ty};

/// The schema of a kind. Its name is the one that published documents give it.
pub(super) fn of_kind(
    structural: &'static Structural,
    resource: &Resource,
    declared: &Value,
) -> &'static TypeSchema {
    let reversed: Vec<&str> = resource.group.rsplit('.').collect();
    let name = format!(
        "{}.{}.{}",
        reversed.join("."),
        resource.version,
        resource.kind
    );
    let mut fields = fields_of(structural, &name);
    fields.retain(|field| !matches!(field.name, "apiVersion" | "kind" | "metadata"));
    fields.push(field("apiVersion", Type::Str));
    fields.push(field("kind", Type::Str));
    if let Some(metadata) = type_named("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta") {
        fields.push(field("metadata", Type::Object(metadata)));
    }
    fields.sort_by_key(|field| field.name);
    leak(TypeSchema {
        name: text(&Value::from(name)),
        fields: Box::leak(fields.into_boxed_slice()),
        gvk: Some(Gvk::of(resource.group, resource.version, resource.kind)),
        atomic: structural.atomic_map,
        open: structural.preserve_unknown,
        custom: Some(leak(Declared {
            structural,
            schema: declared.clone(),
        })),
    })
}

/// The schema of a kind's lists.
pub(super) fn of_list(schema: &'static TypeSchema, resource: &Resource) -> &'static TypeSchema {
    let prefix = schema.name.strip_suffix(resource.kind).unwrap_or_default();
    let mut fields = vec![
        field("apiVersion", Type::Str),
        FieldSchema {
            required: true,
            ..field("items", Type::List(leak(Type::Object(schema))))
        },
        field("kind", Type::Str),
    ];
    if let Some(metadata) = type_named("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta") {
        fields.push(field("metadata", Type::Object(metadata)));
    }
    leak(TypeSchema {
        name: text(&Value::from(format!("{prefix}{}", resource.list_kind))),
        fields: Box::leak(fields.into_boxed_slice()),
        gvk: Some(Gvk::of(
            resource.group,
            resource.version,
            resource.list_kind,
        )),
        atomic: false,
        open: false,
        custom: None,
    })
}

fn field(name: &'static str, ty: Type) -> FieldSchema {
    FieldSchema {
        name,
        ty,
        required: false,
        topology: Topology::Undeclared,
        patch: PatchStrategy::Undeclared,
        patch_retain_keys: false,
        patch_merge_key: None,
    }
}

fn fields_of(schema: &'static Structural, name: &str) -> Vec<FieldSchema> {
    let mut fields: Vec<_> = schema
        .properties
        .iter()
        .map(|(key, child)| FieldSchema {
            required: schema.required.contains(key),
            topology: topology(child),
            ..field(
                text(&Value::from(key.as_str())),
                type_of(child, &format!("{name}.{key}")),
            )
        })
        .collect();
    fields.sort_by_key(|field| field.name);
    fields
}

fn topology(schema: &'static Structural) -> Topology {
    match schema.ty {
        Some(Ty::Array) => match schema.list_type {
            ListType::Atomic => Topology::Atomic,
            ListType::Set => Topology::Set,
            ListType::Map => {
                let keys: Vec<&'static str> = schema.list_keys.iter().map(String::as_str).collect();
                Topology::Keyed(Box::leak(keys.into_boxed_slice()))
            }
        },
        _ if schema.atomic_map => Topology::Atomic,
        _ => Topology::Undeclared,
    }
}

fn type_of(schema: &'static Structural, name: &str) -> Type {
    if schema.int_or_string {
        return Type::IntOrString;
    }
    match schema.ty {
        Some(Ty::String) => Type::Str,
        Some(Ty::Integer) => Type::Int64,
        Some(Ty::Number) => Type::Float,
        Some(Ty::Boolean) => Type::Bool,
        Some(Ty::Array) => match &schema.items {
            Some(items) => Type::List(leak(type_of(items, name))),
            None => Type::List(&Type::Any),
        },
        Some(Ty::Object) | None => match &schema.additional {
            Some(Additional::Schema(values)) => Type::Map(leak(type_of(values, name))),
            _ if schema.properties.is_empty() => Type::Any,
            _ => Type::Object(leak(TypeSchema {
                name: text(&Value::from(name)),
                fields: Box::leak(fields_of(schema, name).into_boxed_slice()),
                gvk: None,
                atomic: schema.atomic_map,
                open: schema.preserve_unknown,
                custom: None,
            })),
        },
    }
}
