//! CustomResourceDefinition (apiextensions.k8s.io/v1): a kind that users bring.

mod schema;
mod validation;

pub(crate) use schema::field_place;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::decode::prune;
use crate::field::FieldError;
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy, Subresource};
use crate::resources::columns::NAME;
use crate::resources::object::{ensure, fill, inside, items, list, put, text};
use crate::resources::{first_generation, keep, next_generation};
use crate::schema::type_named;
use crate::{meta, names};

/// The finalizer that holds a definition until its objects are gone.
pub const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "apiextensions.k8s.io",
        version: "v1",
        kind: "CustomResourceDefinition",
        list_kind: "CustomResourceDefinitionList",
        plural: "customresourcedefinitions",
        singular: "customresourcedefinition",
        short_names: &["crd", "crds"],
        categories: &["api-extensions"],
        scope: Scope::Cluster,
        verbs: ALL_VERBS,
        subresources: &[Subresource::Status],
        columns: COLUMNS,
        strategy: &Rules,
    }
}

const COLUMNS: &[Column] = &[
    NAME,
    Column {
        name: "Created At",
        kind: "date",
        format: "",
        description: "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
        priority: 0,
    },
];

/// Whether a condition of a definition is `True`.
pub fn has_condition(definition: &Value, ty: &str) -> bool {
    let conditions = list(&definition["status"], "conditions");
    conditions
        .iter()
        .any(|condition| condition["type"] == ty && condition["status"] == "True")
}

struct Rules;

impl Strategy for Rules {
    fn prepare_status_update(&self, new: &mut Value, old: &Value) {
        crate::resources::keep_all_but_status_alone(new, old);
    }

    fn reset_fields(&self, subresource: &str) -> &'static [&'static str] {
        crate::resources::reset_beside_status(subresource)
    }

    fn default(&self, object: &mut Value) {
        let spec = ensure(object, "spec");
        let names = ensure(spec, "names");
        let kind = text(names, "kind").to_owned();
        if !kind.is_empty() {
            fill(names, "singular", kind.to_lowercase());
            fill(names, "listKind", format!("{kind}List"));
        }
        if spec["conversion"].is_null() {
            put(spec, "conversion", json!({"strategy": "None"}));
        }
        let service = inside(spec, "conversion")
            .and_then(|conversion| inside(conversion, "webhook"))
            .and_then(|webhook| inside(webhook, "clientConfig"))
            .and_then(|client| inside(client, "service"));
        if let Some(service) = service {
            fill(service, "port", 443);
        }
        for version in items(spec, "versions") {
            if let Some(schema) = inside(version, "schema") {
                normalise(&mut schema["openAPIV3Schema"]);
                if schema["openAPIV3Schema"].is_null() {
                    put(schema, "openAPIV3Schema", Value::Null);
                }
            }
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        put(
            object,
            "status",
            json!({"acceptedNames": {"kind": "", "plural": ""}, "conditions": null, "storedVersions": null}),
        );
        remember_storage(object);
        first_generation(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        keep(new, old, "status");
        remember_storage(new);
        next_generation(
            "apiextensions.k8s.io",
            "v1",
            "CustomResourceDefinition",
            new,
            old,
        );
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        validation::of(object, None)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        validation::of(new, Some(old))
    }

    fn row(&self, object: &Value, _now: Timestamp) -> Vec<Value> {
        vec![
            meta::name(object).into(),
            object["metadata"]["creationTimestamp"].clone(),
        ]
    }

    fn name_rule(&self) -> names::Rule {
        names::dns1123_subdomain
    }
}

/// Every version that was ever stored in is remembered until somebody has migrated its objects.
fn remember_storage(object: &mut Value) {
    let mut versions = list(&object["spec"], "versions").iter();
    let storage = versions
        .find(|version| version["storage"] == true)
        .map(|version| version["name"].clone());
    let status = ensure(object, "status");
    let mut stored = list(status, "storedVersions").to_vec();
    if let Some(version) = storage
        && !stored.contains(&version)
    {
        stored.push(version);
    }
    if !stored.is_empty() {
        status["storedVersions"] = stored.into();
    }
}

/// Schemas inside of `items` and `additionalProperties` have no place in the schema table, as they may be other things
/// than schemas; they get the form of all others here.
fn normalise(schema: &mut Value) {
    if !schema.is_object() {
        return;
    }
    for name in ["items", "additionalProperties"] {
        if let Some(child) = schema.get_mut(name).filter(|child| child.is_object())
            && let Some(ty) = type_named(
                "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps",
            )
        {
            prune(ty, child);
        }
    }
    for name in ["items", "additionalProperties", "not"] {
        if let Some(child) = schema.get_mut(name) {
            normalise(child);
        }
    }
    for name in ["allOf", "anyOf", "oneOf"] {
        for child in items(schema, name) {
            normalise(child);
        }
    }
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        for child in properties.values_mut() {
            normalise(child);
        }
    }
}

#[cfg(test)]
mod tests;
