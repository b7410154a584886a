use rstest::rstest;
use serde_json::{Value, json};

use super::resource;

fn definition(schema: &Value) -> Value {
    let mut object = json!({"metadata": {"name": "things.example.com", "resourceVersion": "1"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
                 "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}});
    let strategy = resource().strategy;
    strategy.default(&mut object);
    strategy.prepare_create(&mut object);
    object
}

fn faults(object: &Value) -> Vec<String> {
    resource()
        .strategy
        .validate(object)
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn rule(rule: &str) -> Value {
    json!({"type": "object", "properties": {"a": {"type": "integer"}, "l": {"type": "array", "items": {"type": "string"}}},
           "x-kubernetes-validations": [{"rule": rule}]})
}

#[test]
fn names_and_storage_follow_from_what_is_given() {
    let object = definition(&json!({"type": "object"}));
    assert_eq!(
        object["spec"]["names"],
        json!({"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"})
    );
    assert_eq!(object["status"]["storedVersions"], json!(["v1"]));
    assert_eq!(faults(&object), [""; 0]);
}

#[rstest]
#[case(json!({"type": "object", "properties": {"a": {"type": "integer", "default": "x"}}}),
    &[r#"spec.validation.openAPIV3Schema.properties[a].default: Invalid value: "string":  in body must be of type integer: "string""#])]
#[case(json!({"type": "object", "properties": {"l": {"type": "array", "x-kubernetes-list-type": "map", "items": {"type": "object"}}}}),
    &["spec.validation.openAPIV3Schema.properties[l].x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map"])]
#[case(json!({"type": "object", "properties": {"l": {"type": "string", "x-kubernetes-list-type": "set"}}}),
    &[r#"spec.validation.openAPIV3Schema.properties[l].type: Invalid value: "string": must be array if x-kubernetes-list-type is specified"#])]
#[case(json!({"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {"type": "string"}}, "additionalProperties": {"type": "string"}}}}),
    &["spec.validation.openAPIV3Schema.properties[a].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"])]
#[case(rule("self.a + 1"),
    &[r#"spec.validation.openAPIV3Schema.x-kubernetes-validations[0].rule: Invalid value: {"Rule":"self.a + 1","Message":"","MessageExpression":"","Reason":null,"FieldPath":"","OptionalOldSelf":null}: cel expression must evaluate to a bool"#])]
#[case(rule("self.l.all(x, self.l.all(y, x == y))"),
    &["spec.validation.openAPIV3Schema.x-kubernetes-validations[0].rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)",
      "spec.validation.openAPIV3Schema: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"])]
#[case(rule("self.l.all(x, x != '')"), &[])]
fn schemas_are_judged_in_upstreams_words(#[case] schema: Value, #[case] expected: &[&str]) {
    assert_eq!(faults(&definition(&schema)), expected);
}

#[test]
fn what_objects_are_stored_under_may_not_change() {
    let old = {
        let mut object = definition(&json!({"type": "object"}));
        object["status"]["conditions"] = json!([{"type": "Established", "status": "True"}]);
        object
    };
    let mut new = old.clone();
    new["spec"]["scope"] = "Cluster".into();
    new["spec"]["names"]["kind"] = "Other".into();
    let faults: Vec<_> = resource()
        .strategy
        .validate_update(&new, &old)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        faults,
        [
            r#"spec.scope: Invalid value: "Cluster": field is immutable"#,
            r#"spec.names.kind: Invalid value: "Other": field is immutable"#
        ]
    );
}
