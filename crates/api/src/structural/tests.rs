use rstest::rstest;
use serde_json::json;

use super::*;

fn widget() -> Value {
    json!({"type": "object", "required": ["spec"], "properties": {"spec": {"type": "object", "required": ["size"],
        "properties": {
            "size": {"type": "integer", "minimum": 1, "maximum": 10},
            "color": {"type": "string", "enum": ["red", "blue"], "default": "red"},
            "name": {"type": "string", "maxLength": 5, "minLength": 2, "pattern": "^[a-z]+$"},
            "list": {"type": "array", "maxItems": 2, "items": {"type": "object", "required": ["key"],
                "properties": {"key": {"type": "string"}, "val": {"type": "integer", "default": 7}}},
                "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["key"]},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                "properties": {"inner": {"type": "object", "properties": {"a": {"type": "string"}}}}},
            "quantity": {"x-kubernetes-int-or-string": true},
            "when": {"type": "string", "format": "date-time"},
            "nullable": {"type": "string", "nullable": true, "default": "d"},
            "map": {"type": "object", "additionalProperties": {"type": "integer"}},
            "either": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}}}}})
}

fn texts(errors: &[crate::FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

#[rstest]
#[case(json!({"size": 3}), &[])]
#[case(json!({"size": 3.0}), &[])]
#[case(json!({"size": 30}), &["spec.size: Invalid value: 30: spec.size in body should be less than or equal to 10"])]
#[case(json!({}), &["spec.size: Required value"])]
#[case(json!({"size": "3"}), &[r#"spec.size: Invalid value: "string": spec.size in body must be of type integer: "string""#])]
#[case(json!({"size": null}), &[r#"spec.size: Invalid value: "null": spec.size in body must be of type integer: "null""#])]
#[case(json!({"size": 1, "color": "green"}), &[r#"spec.color: Unsupported value: "green": supported values: "red", "blue""#])]
#[case(json!({"size": 1, "name": "TOOLONG"}), &["spec.name: Too long: may not be more than 5 bytes"])]
#[case(json!({"size": 1, "name": "ABC"}), &["spec.name: Invalid value: \"ABC\": spec.name in body should match '^[a-z]+$'"])]
#[case(json!({"size": 1, "name": "a"}), &["spec.name: Invalid value: \"a\": spec.name in body should be at least 2 chars long"])]
#[case(json!({"size": 1, "list": [{"key": "a"}, {"key": "b"}, {"key": "c"}]}), &["spec.list: Too many: 3: must have at most 2 items"])]
#[case(json!({"size": 1, "quantity": 1.5}), &[r#"spec.quantity: Invalid value: "number": spec.quantity in body must be of type integer,string: "number""#])]
#[case(json!({"size": 1, "when": "now"}), &[r#"spec.when: Invalid value: "now": spec.when in body must be of type date-time: "now""#])]
#[case(json!({"size": 1, "nullable": null}), &[])]
#[case(json!({"size": 1, "map": {"a": "b"}}), &[r#"spec.map.a: Invalid value: "string": spec.map.a in body must be of type integer: "string""#])]
#[case(json!({"size": 1, "either": {}}), &[
    r#"<nil>: Invalid value: "": "spec.either" must validate one and only one schema (oneOf). Found none valid"#,
    "spec.either.a: Required value"])]
fn values_are_judged_in_upstreams_words(#[case] spec: Value, #[case] expected: &[&str]) {
    let schema = Structural::compile(&widget());
    let errors = judge(&schema, &json!({ "spec": spec }), None, "").errors;
    assert_eq!(texts(&errors), expected);
}

#[test]
fn an_update_is_not_blamed_for_what_it_leaves_as_it_was() {
    let schema = Structural::compile(&widget());
    let old = json!({"spec": {"size": 30, "list": [{"key": "a", "val": "x"}, {"key": "b"}]}});
    let mut new = json!({"spec": {"size": 30, "color": "blue", "list": [{"key": "b"}, {"key": "a", "val": "x"}]}});
    assert_eq!(texts(&judge(&schema, &new, Some(&old), "").errors), [""; 0]);
    new["spec"]["size"] = 31.into();
    assert_eq!(judge(&schema, &new, Some(&old), "").errors.len(), 1);
}

#[test]
fn items_that_are_there_twice_are_found() {
    let schema = Structural::compile(&widget());
    let object = json!({"spec": {"list": [{"key": "a"}, {"key": "b", "val": 1}, {"key": "b"}]}});
    let mut errors = Vec::new();
    duplicates(&schema, &object, &Path::default(), &mut errors);
    assert_eq!(
        texts(&errors),
        [r#"spec.list[2]: Duplicate value: {"key":"b"}"#]
    );
}

#[test]
fn unknown_fields_go_and_defaults_come() {
    let schema = Structural::compile(&widget());
    let mut object = json!({"apiVersion": "x/v1", "kind": "Widget", "metadata": {"odd": 1}, "extra": 1,
        "spec": {"size": 3, "odd": 1, "color": null, "nullable": null, "list": [{"key": "a", "odd": 2}],
                 "free": {"any": {"thing": 1}, "inner": {"a": "x", "b": 1}}}});
    let mut unknown = Vec::new();
    schema.prune(&mut object, true, &mut unknown);
    assert_eq!(
        unknown,
        ["extra", "spec.free.inner.b", "spec.list[0].odd", "spec.odd"]
    );
    schema.fill_defaults(&mut object);
    let spec = json!({"size": 3, "color": "red", "nullable": null, "list": [{"key": "a", "val": 7}],
                      "free": {"any": {"thing": 1}, "inner": {"a": "x"}}});
    assert_eq!(object["spec"], spec);
}

#[rstest]
#[case(json!({"properties": {"a": {"properties": {"b": {"type": "string"}}}}}), &[
    "s.properties[a].type: Required value: must not be empty for specified object fields",
    "s.type: Required value: must not be empty at the root"])]
#[case(json!({"type": "object", "properties": {"b": {"type": "array"}}}), &["s.properties[b].items: Required value: must be specified"])]
#[case(json!({"type": "object", "additionalProperties": {"type": "string"}}), &["s.additionalProperties: Forbidden: must not be used at the root"])]
#[case(json!({"type": "object", "properties": {"a": {"type": "string", "anyOf": [{"type": "string"}]}}}), &[
    "s.properties[a].anyOf[0].type: Forbidden: must be empty to be structural"])]
#[case(json!({"type": "object", "properties": {"a": {"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]}}}), &[])]
#[case(json!({"type": "object", "anyOf": [{"properties": {"a": {"minimum": 1}}}]}), &[
    "s.properties[a]: Required value: because it is defined in s.anyOf[0].properties[a]"])]
#[case(json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}}), &[
    "s.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified"])]
fn schemas_must_be_structural(#[case] schema: Value, #[case] expected: &[&str]) {
    assert_eq!(texts(&check(&schema, &Path::new("s"))), expected);
}
