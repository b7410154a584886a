//! What kubectl and other clients read from the documents.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;

fn document(path: &str) -> Value {
    serde_json::from_slice(&v3(path, &[]).unwrap()).unwrap()
}

/// All `$ref`s of a document.
fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn the_index_leads_to_every_group_version() {
    let index = v3_index(&[]);
    for path in [
        "api",
        "api/v1",
        "apis",
        "apis/apps",
        "apis/apps/v1",
        "apis/storage.k8s.io/v1",
        "version",
    ] {
        let url = index["paths"][path]["serverRelativeURL"].as_str().unwrap();
        let hash = v3_hash(path, &[]).unwrap();
        assert_eq!(url, format!("/openapi/v3/{path}?hash={hash}"));
        assert_eq!(hash.len(), 64);
        assert!(v3(path, &[]).is_some());
    }
    assert!(v3("apis/none/v1", &[]).is_none());
}

#[test]
fn every_reference_leads_somewhere() {
    for path in hashes().keys() {
        let document = document(path);
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference} in {path}");
        }
    }
    let document: Value = serde_json::from_slice(&v2(&[])).unwrap();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(
        found
            .iter()
            .all(|reference| document.pointer(&reference[1..]).is_some())
    );
}

#[test]
fn kubectl_apply_finds_field_validation() {
    // kubectl asks the server to validate fields only when the kind's PATCH lists the parameter.
    let document = document("apis/apps/v1");
    let patch =
        &document["paths"]["/apis/apps/v1/namespaces/{namespace}/statefulsets/{name}"]["patch"];
    let parameters = patch["parameters"].as_array().unwrap();
    assert!(
        parameters
            .iter()
            .any(|parameter| parameter["name"] == "fieldValidation" && parameter["in"] == "query")
    );
    assert_eq!(patch["x-kubernetes-action"], "patch");
    assert_eq!(
        patch["x-kubernetes-group-version-kind"]["kind"],
        "StatefulSet"
    );
}

#[test]
fn kubectl_explain_finds_types_and_prose() {
    let document = document("apis/apps/v1");
    let schemas = &document["components"]["schemas"];
    let strategy = &schemas["io.k8s.api.apps.v1.StatefulSetUpdateStrategy"];
    assert!(
        strategy["properties"]["type"]["description"]
            .as_str()
            .unwrap()
            .contains("RollingUpdate")
    );
    let spec = &schemas["io.k8s.api.apps.v1.StatefulSetSpec"]["properties"];
    assert_eq!(
        spec["updateStrategy"]["allOf"][0]["$ref"],
        "#/components/schemas/io.k8s.api.apps.v1.StatefulSetUpdateStrategy"
    );
    assert_eq!(spec["replicas"]["format"], "int32");
    let containers = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
    assert_eq!(containers["x-kubernetes-list-type"], "map");
    assert_eq!(containers["x-kubernetes-list-map-keys"], json!(["name"]));
    assert_eq!(containers["x-kubernetes-patch-strategy"], "merge");
    assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
}

#[test]
fn every_described_kind_has_prose_everywhere() {
    let descriptions = Descriptions::load();
    for resource in catalogue() {
        let schema = schema_of(resource.group, resource.version, resource.kind).unwrap();
        assert!(
            descriptions.of_type(schema.name).is_some(),
            "{}",
            schema.name
        );
        for field in schema.fields {
            // Some of upstream's types say nothing of their metadata.
            assert!(
                field.name == "metadata"
                    || descriptions.of_field(schema.name, field.name).is_some(),
                "{}.{}",
                schema.name,
                field.name
            );
        }
    }
}

#[test]
fn every_kind_can_be_listed_and_read() {
    for resource in catalogue()
        .iter()
        .filter(|resource| resource.strategy.stored())
    {
        let root = operations::root(resource.group, resource.version);
        let document = document(&root);
        let place = match resource.scope {
            crate::Scope::Namespaced => "namespaces/{namespace}/",
            crate::Scope::Cluster => "",
        };
        let list = &document["paths"][format!("/{root}/{place}{}", resource.plural)]["get"];
        assert_eq!(list["x-kubernetes-action"], "list", "{}", resource.plural);
        let read =
            &document["paths"][format!("/{root}/{place}{}/{{name}}", resource.plural)]["get"];
        assert_eq!(
            read["x-kubernetes-group-version-kind"]["kind"],
            resource.kind
        );
    }
}
