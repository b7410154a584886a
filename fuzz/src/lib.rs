//! What several targets need: which kind a first byte means, and what is done with every object that could be decoded.

use jiff::Timestamp;
use plinth_api::patch::{PatchKind, apply};
use plinth_api::table::{self, IncludeObject};
use plinth_api::{
    BodyFormat, FieldValidation, Gvk, Resource, TypeSchema, catalogue, decode, schema_of,
};
use serde_json::Value;

/// A kind and its schema, by its place in the catalogue: seeds for Pods begin with 10.
pub fn kind(number: u8) -> (&'static Resource, &'static TypeSchema) {
    let kinds = catalogue();
    let resource = &kinds[usize::from(number) % kinds.len()];
    (resource, schema(resource))
}

/// The schema of a built-in kind.
pub fn schema(resource: &Resource) -> &'static TypeSchema {
    schema_of(resource.group, resource.version, resource.kind)
        .expect("a built-in kind has a schema")
}

/// The input without its first byte, which chooses a kind.
pub fn kind_and_rest(input: &[u8]) -> Option<(&'static Resource, &'static TypeSchema, &[u8])> {
    let (first, rest) = input.split_first()?;
    let (resource, schema) = kind(*first);
    Some((resource, schema, rest))
}

/// The input in two parts: before and after the first byte 0.
pub fn halves(input: &[u8]) -> (&[u8], &[u8]) {
    let middle = input.iter().position(|byte| *byte == 0);
    middle.map_or((input, &[]), |at| (&input[..at], &input[at + 1..]))
}

/// Decodes a body as a request would, and takes what comes of it through everything that looks at objects.
pub fn taken(number: u8, body: &[u8], format: BodyFormat) {
    let (resource, schema) = kind(number);
    let gvk = Gvk::of(resource.group, resource.version, resource.kind);
    if let Ok(decoded) = decode(schema, &gvk, body, format, FieldValidation::Warn) {
        judged(resource, decoded.object);
    }
}

/// A patch over an object that has been decoded once: the kind's number, the object, byte 0, the patch.
pub fn patched(input: &[u8], kind: PatchKind) {
    let Some((resource, schema, rest)) = kind_and_rest(input) else {
        return;
    };
    let (live, patch) = halves(rest);
    let Ok(mut live) = serde_json::from_slice(live) else {
        return;
    };
    let _ = plinth_api::prune(schema, &mut live);
    let Ok(live) = plinth_api::fit_to(schema, live) else {
        return;
    };
    if let Ok(patched) = apply(kind, schema, &live, patch, FieldValidation::Warn) {
        judged(resource, patched.object);
    }
}

/// Defaults, first state, faults, update, table: none of it may fail, whatever the object says.
pub fn judged(resource: &Resource, mut object: Value) {
    let strategy = resource.strategy;
    strategy.default(&mut object);
    let defaulted = object.clone();
    strategy.default(&mut object);
    assert!(
        object == defaulted,
        "defaulting twice is not defaulting once"
    );
    strategy.prepare_create(&mut object);
    let faults = strategy.validate(&object);
    let mut new = object.clone();
    strategy.prepare_update(&mut new, &object);
    let _ = strategy.validate_update(&new, &object);
    if faults.is_empty() {
        let _ = table::row(
            resource,
            &object,
            IncludeObject::Metadata,
            Timestamp::UNIX_EPOCH,
        );
    }
}
