//! Decoding of custom resources. They have no types to be read into: only their metadata has, and what their schema
//! does not have is taken away. Values of a wrong type are for validation to judge.

use serde_json::Value;

use super::{Claim, ClaimError, Dialect, Node, fit};
use crate::schema::{Declared, Gvk, TypeSchema};

/// Why a body cannot be a custom resource: it must say itself what it is.
pub(super) fn missing_type(node: &Node, body: &[u8]) -> Option<String> {
    let Node::Object(fields) = node else {
        return None;
    };
    for (field, name) in [("kind", "Kind"), ("apiVersion", "apiVersion")] {
        let given = fields.iter().any(|(key, value)| {
            key == field && *value != Node::Text(String::new()) && *value != Node::Null
        });
        if !given {
            let body = String::from_utf8_lossy(body);
            return Some(format!("Object '{name}' is missing in '{body}'"));
        }
    }
    None
}

/// See [`super::decode_patched`].
pub(super) fn decode(
    schema: &'static TypeSchema,
    declared: &Declared,
    gvk: &Gvk,
    claim: &Claim,
    node: Node,
) -> Result<(Value, Vec<String>), ClaimError> {
    let refuse = |text: String| ClaimError {
        text,
        mismatch: false,
    };
    if claim.group != gvk.group || claim.version != gvk.version {
        return Err(ClaimError {
            text: format!(
                "the API version in the data ({}) does not match the expected API version ({})",
                claim.api_version(),
                gvk.api_version()
            ),
            mismatch: true,
        });
    }
    let Node::Object(mut fields) = node else {
        return Err(refuse("the object is no JSON object".to_owned()));
    };
    let mut problems = Vec::new();
    let mut unknown = Vec::new();
    let metadata = fields
        .extract_if(.., |(name, _)| name == "metadata")
        .collect();
    let (typed, of_metadata) =
        fit(schema, Node::Object(metadata), Dialect::Json).map_err(refuse)?;
    for problem in of_metadata {
        if problem.starts_with("unknown field ") {
            unknown.push(problem);
        } else {
            problems.push(problem);
        }
    }
    let mut twice = Vec::new();
    let mut object = Node::Object(fields).into_value(&mut String::new(), &mut twice);
    problems.extend(twice.iter().map(|path| format!("duplicate field {path:?}")));
    let mut pruned = Vec::new();
    declared.structural.prune(&mut object, true, &mut pruned);
    unknown.extend(pruned.iter().map(|path| format!("unknown field {path:?}")));
    unknown.sort();
    problems.append(&mut unknown);
    if let (Value::Object(object), Value::Object(typed)) = (&mut object, typed) {
        object.extend(typed);
        object
            .entry("metadata")
            .or_insert_with(|| Value::Object(serde_json::Map::new()));
        object.insert("apiVersion".to_owned(), gvk.api_version().into());
        object.insert("kind".to_owned(), claim.kind.clone().into());
    }
    Ok((object, problems))
}
