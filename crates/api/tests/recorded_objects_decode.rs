//! What a real Kubernetes v1.36.2 printed is taken as it is: no unknown field, no value of a wrong type, nothing
//! dropped and nothing added.
//!
//! The recordings are not part of this repository; without them the test says so and passes.

use std::path::Path;

use plinth_api::{BodyFormat, FieldValidation, decode, schema_of, semantically_equal};
use serde_json::Value;

/// Recorded answers have placeholders for what differs from run to run. This time fits both kinds of time fields.
const TIME: &str = "2024-01-02T03:04:05.000006Z";

fn recordings() -> Option<String> {
    let named = std::env::var_os("PLINTH_RECORDING").map(Into::into);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/reference/api/visible/recording.jsonl");
    let path = named.unwrap_or(beside);
    std::fs::read_to_string(&path)
        .inspect_err(|error| eprintln!("skipped: no recordings at {}: {error}", path.display()))
        .ok()
}

/// A recorded line with values for its placeholders.
fn filled(line: &str) -> String {
    line.replace("<time>", TIME)
        .replace("\"<nodePort>\"", "30000")
}

/// All objects of built-in kinds within an answer.
fn objects(value: &Value, found: &mut Vec<Value>) {
    match value {
        Value::Object(fields) => {
            let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
            let (group, version) = text("apiVersion")
                .rsplit_once('/')
                .unwrap_or(("", text("apiVersion")));
            let known = schema_of(group, version, text("kind")).is_some();
            if known && fields.contains_key("metadata") && !text("kind").ends_with("List") {
                found.push(value.clone());
            } else {
                fields.values().for_each(|value| objects(value, found));
            }
        }
        Value::Array(items) => items.iter().for_each(|item| objects(item, found)),
        _ => {}
    }
}

/// Times as placeholders again.
fn blank(value: &mut Value) {
    match value {
        Value::String(text) if text.starts_with("2024-01-02T03:04:05") => "<time>".clone_into(text),
        Value::Object(fields) => fields.values_mut().for_each(blank),
        Value::Array(items) => items.iter_mut().for_each(blank),
        _ => {}
    }
}

#[test]
fn what_kubernetes_printed_is_kept() {
    let Some(recordings) = recordings() else {
        return;
    };
    let (mut count, mut differences) = (0, Vec::new());
    for line in recordings.lines() {
        let record: Value = serde_json::from_str(&filled(line)).expect("a line is JSON");
        let scenario = format!("{} {}", record["s"], record["n"]);
        let mut found = Vec::new();
        objects(&record["body"], &mut found);
        for mut object in found {
            count += 1;
            let api_version = object["apiVersion"].as_str().unwrap_or_default();
            let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
            let kind = object["kind"].as_str().unwrap_or_default().to_owned();
            let schema = schema_of(group, version, &kind).expect("was found above");
            let gvk = schema.gvk.expect("a kind has a name");
            let body = object.to_string();
            match decode(
                schema,
                &gvk,
                body.as_bytes(),
                BodyFormat::Json,
                FieldValidation::Strict,
            ) {
                Err(error) => differences.push(format!("{scenario}: {error}")),
                Ok(decoded) => {
                    assert!(semantically_equal(schema, &decoded.object, &decoded.object));
                    let mut again = decoded.object;
                    blank(&mut again);
                    blank(&mut object);
                    diff("", &object, &again, &mut |difference| {
                        differences.push(format!("{scenario} {kind}{difference}"));
                    });
                }
            }
        }
    }
    assert!(count > 100, "only {count} objects");
    differences.sort();
    differences.dedup();
    assert!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

fn diff(path: &str, before: &Value, after: &Value, found: &mut dyn FnMut(String)) {
    match (before, after) {
        (Value::Object(a), Value::Object(b)) => {
            for name in a
                .keys()
                .chain(b.keys().filter(|name| !a.contains_key(*name)))
            {
                let (a, b) = (
                    a.get(name).unwrap_or(&Value::Null),
                    b.get(name).unwrap_or(&Value::Null),
                );
                diff(&format!("{path}.{name}"), a, b, found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (a, b) in a.iter().zip(b) {
                diff(&format!("{path}[]"), a, b, found);
            }
        }
        (a, b) if a == b => {}
        (a, b) => found(format!("{path}: {a} became {b}")),
    }
}
