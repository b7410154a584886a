//! The schema table says what a running Kubernetes v1.36.2 says about the built-in kinds.
//!
//! The reference document is not part of this repository; without it the test says so and passes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use plinth_api::{catalogue, openapi};
use serde_json::{Map, Value};

/// The served document, beside the repository or where `PLINTH_SWAGGER` says.
fn reference() -> Option<Value> {
    let named = std::env::var_os("PLINTH_SWAGGER").map(Into::into);
    let beside =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/openapi/swagger-v1.36.2.json");
    let path = named.unwrap_or(beside);
    let text = std::fs::read(&path)
        .inspect_err(|error| eprintln!("skipped: no reference at {}: {error}", path.display()))
        .ok()?;
    Some(serde_json::from_slice(&text).expect("the reference document is JSON"))
}

#[test]
fn definitions_are_those_of_upstream() {
    let Some(theirs) = reference() else { return };
    let ours: Value = serde_json::from_slice(&openapi::v2(&[])).expect("our document is JSON");
    let (ours, theirs) = (definitions(&ours), definitions(&theirs));
    let mut differences = Vec::new();
    for (name, definition) in ours {
        let Some(upstream) = theirs.get(name) else {
            differences.push(format!("{name} is not known upstream"));
            continue;
        };
        for (what, ours, theirs) in compare(definition, upstream) {
            differences.push(format!("{name}: {what}: {ours} here, {theirs} upstream"));
        }
    }
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

fn definitions(document: &Value) -> &Map<String, Value> {
    document["definitions"]
        .as_object()
        .expect("a document has definitions")
}

/// Facts of one definition that differ: fields, required fields, and each field's type and extensions.
fn compare(ours: &Value, theirs: &Value) -> Vec<(String, String, String)> {
    let (ours, theirs) = (facts(ours), facts(theirs));
    let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let text = |facts: &BTreeMap<String, Value>, name: &str| {
        facts
            .get(name)
            .map_or_else(|| "nothing".to_owned(), Value::to_string)
    };
    names
        .into_iter()
        .filter(|name| ours.get(*name) != theirs.get(*name))
        .map(|name| (name.clone(), text(&ours, name), text(&theirs, name)))
        .collect()
}

fn facts(definition: &Value) -> BTreeMap<String, Value> {
    let mut facts = BTreeMap::new();
    for name in ["required", "type", "format", "x-kubernetes-map-type"] {
        if let Some(value) = definition.get(name) {
            let mut value = value.clone();
            if let Some(names) = value.as_array_mut() {
                names.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
            }
            facts.insert(name.to_owned(), value);
        }
    }
    // Types that many groups share name all of them upstream, those that are served here.
    if let Some([_]) = definition["x-kubernetes-group-version-kind"]
        .as_array()
        .map(Vec::as_slice)
    {
        facts.insert(
            "kind".to_owned(),
            definition["x-kubernetes-group-version-kind"].clone(),
        );
    }
    for (name, property) in definition["properties"].as_object().into_iter().flatten() {
        let mut property = property.clone();
        if let Some(property) = property.as_object_mut() {
            property.remove("description");
            // The names of all signals of Linux are no help to anybody.
            if name == "stopSignal" {
                property.remove("enum");
            }
        }
        facts.insert(format!("properties.{name}"), property);
    }
    facts
}

#[test]
fn every_kind_of_the_catalogue_is_served_upstream_at_the_same_path() {
    let Some(theirs) = reference() else { return };
    let ours: Value = serde_json::from_slice(&openapi::v2(&[])).expect("our document is JSON");
    let mut differences = Vec::new();
    for (path, item) in ours["paths"].as_object().expect("paths") {
        let Some(upstream) = theirs["paths"].get(path) else {
            differences.push(format!("{path} is not served upstream"));
            continue;
        };
        for (method, operation) in item
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| *name != "parameters")
        {
            for key in [
                "operationId",
                "tags",
                "x-kubernetes-action",
                "x-kubernetes-group-version-kind",
            ] {
                let (ours, theirs) = (&operation[key], &upstream[method][key]);
                if ours != theirs {
                    differences.push(format!(
                        "{method} {path}: {key}: {ours} here, {theirs} upstream"
                    ));
                }
            }
            let (ours, theirs) = (answer(operation), answer(&upstream[method]));
            if ours != theirs {
                differences.push(format!(
                    "{method} {path}: answers {ours:?} here, {theirs:?} upstream"
                ));
            }
        }
    }
    assert!(
        catalogue()
            .iter()
            .any(|resource| resource.kind == "StatefulSet")
    );
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

/// The codes of an operation and the types they come with.
fn answer(operation: &Value) -> BTreeMap<&str, &Value> {
    operation["responses"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(code, response)| (code.as_str(), &response["schema"]["$ref"]))
        .collect()
}
