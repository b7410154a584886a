use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;
use crate::apply::{Author, FieldSet, track};
use crate::decode::{BodyFormat, FieldValidation, decode, prune};
use crate::{Gvk, patch};

fn definition() -> Value {
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "a": {"type": "string", "default": "x"}, "b": {"type": "integer"},
        "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string", "default": "y"}}}},
        "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"b": {"type": "integer"}}}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        "any": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true}}}}});
    json!({"spec": {"group": "example.com", "scope": "Namespaced",
                    "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]},
           "status": {"acceptedNames": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}}})
}

fn thing() -> Custom {
    compile(&definition())[0]
}

/// Values that fit the schema here and there.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("a|b|list|map|free|any|metadata|kind|odd", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #[test]
    fn pruning_and_defaulting_twice_is_doing_it_once(spec in value()) {
        let thing = thing();
        let mut object = json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": spec});
        prune(thing.schema, &mut object);
        thing.resource.strategy.default(&mut object);
        let mut again = object.clone();
        prop_assert!(prune(thing.schema, &mut again).is_empty());
        thing.resource.strategy.default(&mut again);
        prop_assert_eq!(&again, &object);
        // Whatever it is, it can be judged.
        thing.resource.strategy.validate(&object);
    }

    #[test]
    fn any_body_is_decoded_or_refused(body in value()) {
        let gvk = Gvk::of("example.com", "v1", "Thing");
        let body = json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": body, "spec": body}).to_string();
        let schema = thing().schema;
        if let Ok(decoded) = decode(schema, &gvk, body.as_bytes(), BodyFormat::Json, FieldValidation::Warn) {
            let text = decoded.object.to_string();
            let again = decode(schema, &gvk, text.as_bytes(), BodyFormat::Json, FieldValidation::Strict);
            prop_assert_eq!(again.unwrap().object, decoded.object);
        }
    }
}

#[test]
fn the_same_definition_is_compiled_once() {
    assert!(std::ptr::eq(thing().resource, thing().resource));
    let mut other = definition();
    other["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
        ["c"] = json!({"type": "string"});
    assert!(!std::ptr::eq(thing().resource, compile(&other)[0].resource));
}

#[test]
fn a_patch_of_a_custom_resource_is_pruned_and_says_so() {
    let live = json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": {"b": 1}});
    let body = br#"{"spec": {"odd": 1, "a": "z"}}"#;
    let patched = patch::apply(
        patch::PatchKind::Merge,
        thing().schema,
        &live,
        body,
        FieldValidation::Warn,
    )
    .unwrap();
    assert_eq!(patched.object["spec"], json!({"a": "z", "b": 1}));
    assert_eq!(patched.warnings, [r#"unknown field "spec.odd""#]);
}

#[test]
fn the_creator_of_a_custom_resource_owns_everything_in_it() {
    let mut definition = definition();
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["x-kubernetes-preserve-unknown-fields"] =
        true.into();
    let schema = compile(&definition)[0].schema;
    let mut object = json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a", "labels": {"l": "1"}},
        "spec": {"a": null, "list": [{"a": "y"}]}, "more": {"b": {}}});
    let author = Author {
        manager: "m",
        api_version: "example.com/v1",
        subresource: "",
        time: "2026-01-01T00:00:00Z",
    };
    track(schema, &FieldSet::default(), &author, None, &mut object);
    assert_eq!(
        object["metadata"]["managedFields"][0]["fieldsV1"],
        json!({"f:metadata": {"f:labels": {".": {}, "f:l": {}}}, "f:spec": {".": {}, "f:a": {}, "f:list": {}},
            "f:more": {".": {}, "f:b": {}}})
    );
}
