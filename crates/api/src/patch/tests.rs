//! What clients see of the three kinds of patch; texts and results are upstream's.

use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::schema::schema_of;

fn template(spec: Value) -> Value {
    let mut template = json!({"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "t"}, "template": {}});
    template["template"]["spec"] = spec;
    template
}

fn live_spec() -> Value {
    json!({
        "containers": [
            {"name": "one", "image": "one:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
             "ports": [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 81, "protocol": "TCP"}],
             "args": ["x", "y"]},
            {"name": "two", "image": "two:1"}],
        "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "configMap": {"name": "c"}}],
        "tolerations": [{"key": "k", "operator": "Exists"}],
        "nodeSelector": {"a": "b"}})
}

fn patch_spec(spec: Value) -> Result<Value, PatchError> {
    let schema = schema_of("", "v1", "PodTemplate").unwrap();
    let mut patch = json!({"template": {}});
    patch["template"]["spec"] = spec;
    let patch = patch.to_string();
    strategic(schema, &template(live_spec()), patch.as_bytes())
        .map(|mut object| object["template"]["spec"].take())
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|item| item["name"].as_str().unwrap())
        .collect()
}

#[test]
fn items_are_merged_by_key() {
    let spec = patch_spec(json!({"containers": [{"name": "one", "image": "one:2"}]})).unwrap();
    assert_eq!(names(&spec["containers"]), ["one", "two"]);
    assert_eq!(spec["containers"][0]["image"], "one:2");
    assert_eq!(spec["containers"][0]["args"], json!(["x", "y"]));
}

#[test]
fn a_new_item_comes_before_live_ones() {
    // A-31, and what the conformance test "should patch" of StatefulSets depends on.
    let spec = patch_spec(json!({"containers": [{"name": "three", "image": "three:1"}]})).unwrap();
    assert_eq!(names(&spec["containers"]), ["three", "one", "two"]);
}

#[rstest]
#[case::an_item_is_deleted(json!({"containers": [{"name": "two", "$patch": "delete"}]}), "/containers/1", None)]
#[case::an_inner_item_is_deleted(
    json!({"containers": [{"name": "one", "env": [{"name": "B", "$patch": "delete"}, {"name": "C", "value": "3"}]}]}),
    "/containers/0/env", Some(json!([{"name": "C", "value": "3"}, {"name": "A", "value": "1"}])))]
#[case::ports_merge_by_number(
    json!({"containers": [{"name": "one", "ports": [{"containerPort": 80, "name": "web"}, {"containerPort": 81, "$patch": "delete"}]}]}),
    "/containers/0/ports", Some(json!([{"containerPort": 80, "name": "web", "protocol": "TCP"}])))]
#[case::plain_lists_are_replaced(json!({"containers": [{"name": "one", "args": ["z"]}]}), "/containers/0/args", Some(json!(["z"])))]
#[case::a_list_is_replaced_on_demand(
    json!({"containers": [{"name": "one", "env": [{"$patch": "replace"}, {"name": "ONLY", "value": "1"}]}]}),
    "/containers/0/env", Some(json!([{"name": "ONLY", "value": "1"}])))]
#[case::lists_without_key_are_replaced(
    json!({"tolerations": [{"key": "new", "operator": "Exists"}]}), "/tolerations", Some(json!([{"key": "new", "operator": "Exists"}])))]
#[case::a_map_is_replaced(json!({"nodeSelector": {"$patch": "replace", "c": "d"}}), "/nodeSelector", Some(json!({"c": "d"})))]
#[case::a_map_is_emptied(json!({"nodeSelector": {"$patch": "delete"}}), "/nodeSelector", Some(json!({})))]
#[case::a_null_deletes(json!({"nodeSelector": null}), "/nodeSelector", None)]
#[case::retained_keys(
    json!({"volumes": [{"name": "v", "$retainKeys": ["name", "emptyDir"], "emptyDir": {"medium": "Memory"}},
        {"name": "w", "$retainKeys": ["name", "secret"], "configMap": null, "secret": {"secretName": "s"}}]}),
    "/volumes", Some(json!([{"name": "v", "emptyDir": {"medium": "Memory"}}, {"name": "w", "secret": {"secretName": "s"}}])))]
#[case::a_new_map_with_a_directive_is_ignored(json!({"securityContext": {"$patch": "replace", "runAsUser": 1}}), "/securityContext", None)]
#[case::a_new_map_drops_its_nulls(json!({"securityContext": {"fsGroup": null, "runAsUser": 1}}), "/securityContext", Some(json!({"runAsUser": 1})))]
fn directives_do_as_they_say(
    #[case] patch: Value,
    #[case] path: &str,
    #[case] expected: Option<Value>,
) {
    assert_eq!(patch_spec(patch).unwrap().pointer(path), expected.as_ref());
}

#[test]
fn the_element_order_is_followed() {
    let spec = patch_spec(
        json!({"$setElementOrder/containers": [{"name": "two"}, {"name": "one"}],
        "containers": [{"name": "one", "image": "one:3"}]}),
    )
    .unwrap();
    assert_eq!(names(&spec["containers"]), ["two", "one"]);
    let spec =
        patch_spec(json!({"$setElementOrder/volumes": [{"name": "w"}, {"name": "v"}]})).unwrap();
    assert_eq!(names(&spec["volumes"]), ["w", "v"]);
}

#[rstest]
#[case(json!({"containers": [{"image": "nokey"}]}), "map: map[image:nokey] does not contain declared merge key: name")]
#[case(json!({"containers": [{"name": "one", "$patch": "explode"}]}), "unknown patch type: explode in map: map[$patch:explode name:one]")]
fn an_unmergeable_list_is_an_internal_error(#[case] patch: Value, #[case] message: &str) {
    assert_eq!(
        patch_spec(patch).unwrap_err(),
        PatchError::Internal(message.to_owned())
    );
}

#[rstest]
#[case(json!({"volumes": [{"name": "v", "$retainKeys": ["name"], "emptyDir": {}}]}), "invalid patch format of retainKeys")]
#[case(json!({"$setElementOrder": []}), "invalid patch format of setElementOrder list")]
#[case(json!({"$deleteFromPrimitiveList": []}), "invalid patch format of primitive list")]
fn a_malformed_directive_is_a_bad_request(#[case] patch: Value, #[case] message: &str) {
    assert_eq!(
        patch_spec(patch).unwrap_err(),
        PatchError::BadRequest(message.to_owned())
    );
}

fn config_map() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1", "b": "2"}, "metadata": {
        "name": "m", "namespace": "n", "uid": "u", "resourceVersion": "7", "creationTimestamp": "2024-01-01T00:00:00Z",
        "finalizers": ["x.com/a", "x.com/b", "x.com/c"]}})
}

fn apply_to_config_map(
    kind: PatchKind,
    patch: &str,
    validation: FieldValidation,
) -> Result<Patched, PatchError> {
    apply(
        kind,
        schema_of("", "v1", "ConfigMap").unwrap(),
        &config_map(),
        patch.as_bytes(),
        validation,
    )
}

fn finalizers(patch: &Value) -> Value {
    let patch = format!(r#"{{"metadata":{patch}}}"#);
    apply_to_config_map(PatchKind::Strategic, &patch, FieldValidation::Strict)
        .unwrap()
        .object["metadata"]["finalizers"]
        .take()
}

#[rstest]
#[case(json!({"finalizers": ["x.com/d"]}), json!(["x.com/d", "x.com/a", "x.com/b", "x.com/c"]))]
#[case(json!({"$deleteFromPrimitiveList/finalizers": ["x.com/a"]}), json!(["x.com/b", "x.com/c"]))]
#[case(json!({"$setElementOrder/finalizers": ["x.com/d", "x.com/b", "x.com/c"], "finalizers": ["x.com/d"]}),
    json!(["x.com/d", "x.com/a", "x.com/b", "x.com/c"]))]
#[case(json!({"$deleteFromPrimitiveList/finalizers": ["x.com/c"], "finalizers": ["x.com/e"]}), json!(["x.com/e", "x.com/a", "x.com/b"]))]
#[case(json!({"$deleteFromPrimitiveList/finalizers": "text"}), json!(["x.com/a", "x.com/b", "x.com/c"]))]
#[case(json!({"finalizers": null}), Value::Null)]
fn sets_of_scalars_are_merged(#[case] patch: Value, #[case] expected: Value) {
    assert_eq!(finalizers(&patch), expected);
}

#[rstest]
#[case(
    PatchKind::Strategic,
    "[]",
    "json: cannot unmarshal array into Go value of type map[string]interface {}"
)]
#[case(
    PatchKind::Merge,
    "[]",
    "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"
)]
#[case(
    PatchKind::Merge,
    "nonsense",
    "error decoding patch: invalid character 'o' in literal null (expecting 'u')"
)]
#[case(
    PatchKind::Merge,
    "",
    "error decoding patch: unexpected end of JSON input"
)]
#[case(
    PatchKind::Json,
    "[{",
    "error decoding patch: unexpected end of JSON input"
)]
#[case(
    PatchKind::Json,
    r#"{"op":"add"}"#,
    "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"
)]
fn an_unreadable_patch_is_a_bad_request(
    #[case] kind: PatchKind,
    #[case] patch: &str,
    #[case] message: &str,
) {
    let error = apply_to_config_map(kind, patch, FieldValidation::Warn).unwrap_err();
    assert_eq!(error, PatchError::BadRequest(message.to_owned()));
}

#[rstest]
#[case(PatchKind::Merge, r#"{"dat":{"x":"y"}}"#,
    r#"{"apiVersion":"v1","dat":{"x":"y"},"data":{"a":"1","b":"2"},"kind":"ConfigMap","metadata":{"name":"m","namespace":"n","uid":"u","resourceVersion":"7","creationTimestamp":"2024-01-01T00:00:00Z","finalizers":["x.com/a","x.com/b","x.com/c"]}}"#,
    r#"strict decoding error: unknown field "dat""#)]
#[case(PatchKind::Json, r#"[{"op":"replace","path":"/metadata","value":{"name":"m"}},{"op":"add","path":"/data/n","value":5}]"#,
    r#"{"apiVersion":"v1","data":{"a":"1","b":"2","n":5},"kind":"ConfigMap","metadata":{"name":"m"}}"#,
    "json: cannot unmarshal number into Go struct field ConfigMap.data of type string")]
#[case(PatchKind::Merge, r#"{"metadata":{"finalizers":null,"uid":null},"data":{"a":null,"a":null}}"#,
    r#"{"apiVersion":"v1","data":{"b":"2"},"kind":"ConfigMap","metadata":{"creationTimestamp":"2024-01-01T00:00:00Z","name":"m","namespace":"n","resourceVersion":"7"}}"#,
    r#"strict decoding error: duplicate field "data.a""#)]
#[case(
    PatchKind::Strategic,
    r#"{"data":"text"}"#,
    "map[data:text]",
    "cannot restore map from string"
)]
#[case(
    PatchKind::Strategic,
    r#"{"data":{"k":["x"]}}"#,
    "map[data:map[k:[x]]]",
    "unrecognized type: string"
)]
fn a_result_that_does_not_fit_is_shown(
    #[case] kind: PatchKind,
    #[case] patch: &str,
    #[case] value: &str,
    #[case] detail: &str,
) {
    let error = apply_to_config_map(kind, patch, FieldValidation::Strict).unwrap_err();
    assert_eq!(
        error,
        PatchError::Invalid {
            value: value.to_owned(),
            detail: detail.to_owned()
        }
    );
}

#[test]
fn unknown_fields_of_a_patch_are_warned_about() {
    for (kind, patch) in [
        (PatchKind::Merge, r#"{"dat":{"x":"y"}}"#),
        (PatchKind::Strategic, r#"{"dat":{"x":"y"}}"#),
        (PatchKind::Json, r#"[{"op":"add","path":"/dat","value":1}]"#),
    ] {
        let patched = apply_to_config_map(kind, patch, FieldValidation::Warn).unwrap();
        assert_eq!(patched.object, config_map());
        assert_eq!(patched.warnings, [r#"unknown field "dat""#]);
    }
}

#[rstest]
#[case(r#"[{"op":"test","path":"/data/a","value":"wrong"}]"#)]
#[case(r#"[{"op":"remove","path":"/data/missing"}]"#)]
#[case(r#"[{"op":"add","path":"/no/such/path","value":"x"}]"#)]
#[case(r#"[{"op":"remove","path":"/metadata/finalizers/7"}]"#)]
#[case(r#"[{"op":"frobnicate","path":"/data/a","value":"x"}]"#)]
#[case(r#"[{"op":"add","path":"data/a","value":"x"}]"#)]
fn an_operation_that_does_not_apply_is_rejected(#[case] patch: &str) {
    let error = apply_to_config_map(PatchKind::Json, patch, FieldValidation::Warn).unwrap_err();
    let status = Status::from(error);
    assert_eq!((status.code, &*status.reason), (422, "Invalid"));
    assert_eq!(
        status.message,
        "the server rejected our request due to an error in our request"
    );
}

#[rstest]
#[case(r#"[{"op":"add","path":"/data/c","value":"3"},{"op":"replace","path":"/data/a","value":"9"},{"op":"remove","path":"/data/b"}]"#,
    "/data", json!({"a": "9", "c": "3"}))]
#[case(r#"[{"op":"test","path":"/data/a","value":"1"},{"op":"copy","path":"/data/d","from":"/data/a"},{"op":"move","path":"/data/e","from":"/data/b"}]"#,
    "/data", json!({"a": "1", "d": "1", "e": "2"}))]
#[case(r#"[{"op":"replace","path":"/data/missing","value":"x"}]"#, "/data", json!({"a": "1", "b": "2", "missing": "x"}))]
#[case(r#"[{"op":"add","path":"/metadata/finalizers/-","value":"x.com/z"},{"op":"add","path":"/metadata/finalizers/0","value":"x.com/y"},{"op":"remove","path":"/metadata/finalizers/1"}]"#,
    "/metadata/finalizers", json!(["x.com/y", "x.com/b", "x.com/c", "x.com/z"]))]
#[case(r#"[{"op":"remove","path":"/metadata/finalizers/-1"}]"#, "/metadata/finalizers", json!(["x.com/a", "x.com/b"]))]
#[case(r#"[{"op":"add","path":"/data/a~1b","value":"x"}]"#, "/data/a~1b", json!("x"))]
fn json_patches_apply(#[case] patch: &str, #[case] path: &str, #[case] expected: Value) {
    let patched = apply_to_config_map(PatchKind::Json, patch, FieldValidation::Strict).unwrap();
    assert_eq!(patched.object.pointer(path), Some(&expected));
}

#[test]
fn a_json_patch_has_a_limit_of_operations() {
    let many = vec![r#"{"op":"test","path":"/data/a","value":"1"}"#; 10_001].join(",");
    let error = apply_to_config_map(PatchKind::Json, &format!("[{many}]"), FieldValidation::Warn)
        .unwrap_err();
    assert_eq!(
        error,
        PatchError::TooLarge(
            "The allowed maximum operations in a JSON patch is 10000, got 10001".to_owned()
        )
    );
}

fn arbitrary_spec() -> impl Strategy<Value = Value> {
    let containers =
        proptest::collection::btree_map("[a-e]", ("[a-c]", proptest::option::of("[a-c]")), 1..5);
    let volumes = proptest::collection::btree_map("[a-e]", any::<bool>(), 0..4);
    let selector = proptest::collection::btree_map("[a-d]", "[a-c]", 0..4);
    (containers, volumes, selector).prop_map(|(containers, volumes, selector)| {
        let containers: Vec<Value> = containers
            .into_iter()
            .map(|(name, (image, arg))| match arg {
                Some(arg) => json!({"name": name, "image": image, "args": [arg]}),
                None => json!({"name": name, "image": image}),
            })
            .collect();
        let volumes: Vec<Value> = volumes
            .into_iter()
            .map(|(name, memory)| {
                json!({"name": name, "emptyDir": if memory { json!({"medium": "Memory"}) } else { json!({}) }})
            })
            .collect();
        json!({"containers": containers, "volumes": volumes, "nodeSelector": selector})
    })
}

proptest! {
    /// A merge patch applied twice is the merge patch applied once.
    #[test]
    fn merge_patches_are_idempotent(live in arbitrary_spec(), patch in arbitrary_spec()) {
        let patch = patch.to_string();
        let once = merge(&live, patch.as_bytes()).unwrap();
        prop_assert_eq!(merge(&once, patch.as_bytes()).unwrap(), once);
    }

    /// A strategic patch applied twice is the patch applied once, and everything it asks for is there.
    #[test]
    fn strategic_patches_are_idempotent(live in arbitrary_spec(), patch in arbitrary_spec()) {
        let schema = schema_of("", "v1", "PodTemplate").unwrap();
        let body = json!({"template": {"spec": patch}}).to_string();
        let once = strategic(schema, &template(live.clone()), body.as_bytes()).unwrap();
        prop_assert_eq!(&strategic(schema, &once, body.as_bytes()).unwrap(), &once);
        let containers = once["template"]["spec"]["containers"].as_array().unwrap();
        for wanted in patch["containers"].as_array().unwrap() {
            let found = containers.iter().find(|item| item["name"] == wanted["name"]).unwrap();
            prop_assert_eq!(&found["image"], &wanted["image"]);
        }
        let all = |value: &Value| names(&value["containers"]).iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut expected = all(&live);
        expected.extend(all(&patch));
        expected.sort();
        expected.dedup();
        let mut found = all(&once["template"]["spec"]);
        found.sort();
        prop_assert_eq!(found, expected);
    }

    /// An empty patch of any kind changes nothing.
    #[test]
    fn empty_patches_change_nothing(live in arbitrary_spec()) {
        let schema = schema_of("", "v1", "PodTemplate").unwrap();
        let live = template(live);
        prop_assert_eq!(&merge(&live, b"{}").unwrap(), &live);
        prop_assert_eq!(&strategic(schema, &live, b"{}").unwrap(), &live);
        prop_assert_eq!(&json(&live, b"[]").unwrap(), &live);
    }

    /// No bytes make a patch panic.
    #[test]
    fn any_bytes_are_answered(patch in proptest::collection::vec(any::<u8>(), 0..64)) {
        for kind in [PatchKind::Json, PatchKind::Merge, PatchKind::Strategic] {
            let text = String::from_utf8_lossy(&patch);
            let _ = apply_to_config_map(kind, &text, FieldValidation::Strict);
        }
    }
}
