//! What clients see of the decoder; the texts are upstream's.

use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use super::*;

fn decode_as(
    group: &str,
    kind: &str,
    body: &str,
    validation: FieldValidation,
) -> Result<Decoded, String> {
    let schema = schema_of(group, "v1", kind).unwrap();
    decode(
        schema,
        &schema.gvk.unwrap(),
        body.as_bytes(),
        BodyFormat::Json,
        validation,
    )
    .map_err(|error| error.to_string())
}

#[rstest]
#[case("apps", "StatefulSet", r#"{"spec":{"replicas":"x"}}"#,
    r#"StatefulSet in version "v1" cannot be handled as a StatefulSet: json: cannot unmarshal string into Go struct field StatefulSetSpec.spec.replicas of type int32"#)]
#[case("", "Pod", r#"{"spec":{"containers":"x"}}"#,
    r#"Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container"#)]
#[case("", "Pod", r#"{"spec":{"containers":[{"image":7}]}}"#,
    r#"Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal number into Go struct field Container.spec.containers.image of type string"#)]
#[case(
    "",
    "Pod",
    r#"{"spec":{"containers":[{"resources":{"limits":{"cpu":"many"}}}]}}"#,
    "Pod in version \"v1\" cannot be handled as a Pod: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)]
#[case("", "ConfigMap", r#"{"data":{"a":1}}"#,
    r#"ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string"#)]
#[case("", "ConfigMap", r#"{"metadata":[]}"#,
    r#"ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal array into Go struct field ConfigMap.metadata of type v1.ObjectMeta"#)]
#[case(
    "",
    "Secret",
    r#"{"data":{"a":"b"}}"#,
    r#"Secret in version "v1" cannot be handled as a Secret: illegal base64 data at input byte 0"#
)]
#[case("apps", "StatefulSet", r#"{"spec":{"replicas":1.5}}"#,
    r#"StatefulSet in version "v1" cannot be handled as a StatefulSet: json: cannot unmarshal number 1.5 into Go struct field StatefulSetSpec.spec.replicas of type int32"#)]
#[case("", "Service", r#"{"spec":{"ports":[{"targetPort":true}]}}"#,
    r#"Service in version "v1" cannot be handled as a Service: json: cannot unmarshal bool into Go struct field ServicePort.spec.ports.targetPort of type int32"#)]
fn a_wrong_type_is_named_with_its_field(
    #[case] group: &str,
    #[case] kind: &str,
    #[case] body: &str,
    #[case] message: &str,
) {
    assert_eq!(
        decode_as(group, kind, body, FieldValidation::Strict).unwrap_err(),
        message
    );
}

#[rstest]
#[case(
    "",
    "couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)"
)]
#[case(
    "{",
    "couldn't get version/kind; json parse error: unexpected end of JSON input ({)"
)]
#[case(
    "[]",
    "couldn't get version/kind; json parse error: json: cannot unmarshal array into Go value of type struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" } (5b5d)"
)]
#[case(
    r#"{"apiVersion":"a/b/c","kind":"ConfigMap"}"#,
    r#"unexpected GroupVersion string: a/b/c ({"apiVersion":"a/b/c","kind":" ...)"#
)]
#[case(
    "\u{feff}{\"a\":1}",
    "couldn't get version/kind; json parse error: invalid character 'ï' looking for beginning of value (efbbbf7b2261223a317d)"
)]
fn an_unreadable_body_is_summed_up(#[case] body: &str, #[case] reason: &str) {
    assert_eq!(
        decode_as("", "ConfigMap", body, FieldValidation::Warn).unwrap_err(),
        format!("the object provided is unrecognized (must be of type ConfigMap): {reason}")
    );
}

#[rstest]
#[case(r#"{"apiVersion":"v1","kind":"Unknown"}"#,
    r#"Unknown in version "v1" cannot be handled as a ConfigMap: no kind "Unknown" is registered for version "v1" in scheme "pkg/api/legacyscheme/scheme.go:30""#)]
#[case(r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"x"}}"#,
    r#"Deployment in version "v1" cannot be handled as a ConfigMap: converting (v1.Deployment) to (core.ConfigMap): unknown conversion"#)]
#[case(r#"{"apiVersion":"v1","kind":"ConfigMapList","items":[]}"#,
    r#"ConfigMapList in version "v1" cannot be handled as a ConfigMap: converting (v1.ConfigMapList) to (core.ConfigMap): unknown conversion"#)]
fn another_kind_is_refused(#[case] body: &str, #[case] message: &str) {
    assert_eq!(
        decode_as("", "ConfigMap", body, FieldValidation::Warn).unwrap_err(),
        message
    );
}

#[test]
fn the_other_version_of_a_kind_is_refused_by_version() {
    let body = r#"{"apiVersion":"v1","kind":"Event"}"#;
    assert_eq!(
        decode_as("events.k8s.io", "Event", body, FieldValidation::Warn).unwrap_err(),
        "the API version in the data (v1) does not match the expected API version (events.k8s.io/v1)"
    );
}

#[rstest]
#[case("{}")]
#[case("null")]
#[case(r#"{"kind":"ConfigMap"}"#)]
#[case(r#"{"apiVersion":"v1"}"#)]
fn what_the_body_does_not_say_the_endpoint_knows(#[case] body: &str) {
    let decoded = decode_as("", "ConfigMap", body, FieldValidation::Strict).unwrap();
    assert_eq!(
        decoded.object,
        json!({"apiVersion": "v1", "kind": "ConfigMap"})
    );
}

const STRAY: &str = r#"{"spec":{"containers":[{"name":"c","imagee":"x","env":[{"name":"A","valeu":"1"}]}],"nodeNmae":"x"}}"#;

#[test]
fn unknown_fields_are_refused_when_strict() {
    assert_eq!(
        decode_as("", "Pod", STRAY, FieldValidation::Strict).unwrap_err(),
        r#"Pod in version "v1" cannot be handled as a Pod: strict decoding error: unknown field "spec.containers[0].imagee", unknown field "spec.containers[0].env[0].valeu", unknown field "spec.nodeNmae""#
    );
}

#[test]
fn unknown_fields_are_dropped_and_warned_about() {
    let decoded = decode_as("", "Pod", STRAY, FieldValidation::Warn).unwrap();
    assert_eq!(
        decoded.object["spec"],
        json!({"containers": [{"name": "c", "env": [{"name": "A"}]}]})
    );
    assert_eq!(decoded.warnings.len(), 3);
    assert_eq!(decoded.warnings[2], r#"unknown field "spec.nodeNmae""#);
    assert!(
        decode_as("", "Pod", STRAY, FieldValidation::Ignore)
            .unwrap()
            .warnings
            .is_empty()
    );
}

const TWICE: &str = r#"{"metadata":{"name":"dup","name":"dup2"},"data":{"a":"1","a":"2"}}"#;

#[test]
fn of_a_field_given_twice_the_last_counts() {
    let decoded = decode_as("", "ConfigMap", TWICE, FieldValidation::Warn).unwrap();
    assert_eq!(decoded.object["data"], json!({"a": "2"}));
    assert_eq!(
        decoded.warnings,
        [
            r#"duplicate field "metadata.name""#,
            r#"duplicate field "data.a""#
        ]
    );
    assert_eq!(
        decode_as("", "ConfigMap", TWICE, FieldValidation::Strict).unwrap_err(),
        r#"ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: duplicate field "metadata.name", duplicate field "data.a""#
    );
}

#[test]
fn what_go_would_not_print_is_dropped_and_pointers_keep_their_zero() {
    let body = json!({
        "metadata": {"creationTimestamp": null, "labels": {}, "finalizers": [], "namespace": ""},
        "spec": {"hostNetwork": false, "automountServiceAccountToken": false, "nodeName": "", "priority": 0,
            "containers": [{"name": "c", "env": [{"name": "A", "value": ""}], "resources": {"limits": {"cpu": 0.5,
            "memory": "1024Mi"}}, "securityContext": {"privileged": false}}], "volumes": null,
            "terminationGracePeriodSeconds": 0},
    });
    let decoded = decode_as("", "Pod", &body.to_string(), FieldValidation::Strict).unwrap();
    assert_eq!(
        decoded.object,
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {
            "automountServiceAccountToken": false, "priority": 0, "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "env": [{"name": "A"}],
                "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}}, "securityContext": {"privileged": false}}]}})
    );
}

#[test]
fn yaml_that_is_not_utf_8_is_refused() {
    let error = super::parse_yaml(b"a: \xff").err().unwrap();
    assert_eq!(error, "yaml: invalid leading UTF-8 octet");
}

#[test]
fn yaml_is_read_as_kubernetes_does() {
    let schema = schema_of("", "v1", "Pod").unwrap();
    let body = "kind: Pod\nmetadata:\n  name: x\n  labels: {80: a}\nspec:\n  hostNetwork: yes\n  volumes:\n  - name: v\n    \
                secret: {defaultMode: 0755}\n  odd: 1\n";
    let decoded = decode(
        schema,
        &schema.gvk.unwrap(),
        body.as_bytes(),
        BodyFormat::Yaml,
        FieldValidation::Warn,
    )
    .unwrap();
    assert_eq!(decoded.object["spec"]["hostNetwork"], json!(true));
    assert_eq!(
        decoded.object["spec"]["volumes"][0]["secret"]["defaultMode"],
        json!(493)
    );
    assert_eq!(decoded.object["metadata"]["labels"], json!({"80": "a"}));
    assert_eq!(decoded.warnings, [r#"unknown field "spec.odd""#]);
    let twice = "data: {a: '1'}\ndata: {b: '2'}\n";
    let schema = schema_of("", "v1", "ConfigMap").unwrap();
    let refused = decode(
        schema,
        &schema.gvk.unwrap(),
        twice.as_bytes(),
        BodyFormat::Yaml,
        FieldValidation::Strict,
    );
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains(r#"key "data" already set in map"#)
    );
}

#[test]
fn deep_nesting_is_refused() {
    let body = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let error = decode_as("", "ConfigMap", &body, FieldValidation::Warn).unwrap_err();
    assert!(error.contains("exceeded max depth"), "{error}");
    let schema = schema_of("", "v1", "ConfigMap").unwrap();
    for depth in [300, 1_900, 100_000] {
        let lists = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let maps = format!("a: {}{}", "{b: ".repeat(depth), "}".repeat(depth));
        let blocks = (0..depth.min(1_900)).fold(String::new(), |text, level| {
            text + &" ".repeat(level) + "a:\n"
        });
        for body in [lists, maps, blocks] {
            let gvk = schema.gvk.unwrap();
            let error = decode(
                schema,
                &gvk,
                body.as_bytes(),
                BodyFormat::Yaml,
                FieldValidation::Warn,
            )
            .unwrap_err();
            assert!(error.to_string().contains("yaml: "), "{error}");
        }
    }
}

#[test]
fn prune_drops_what_the_schema_does_not_have() {
    let schema = schema_of("apps", "v1", "StatefulSet").unwrap();
    let mut object = json!({"spec": {"replicas": 0, "volumeClaimTemplates": [{"spec": {"resources": {"requests":
        {"storage": "1024Mi"}}, "x": 1}}], "ordinals": null}});
    assert_eq!(
        prune(schema, &mut object),
        [UnknownField(
            "spec.volumeClaimTemplates[0].spec.x".to_owned()
        )]
    );
    assert_eq!(
        object,
        json!({"spec": {"replicas": 0, "volumeClaimTemplates": [{"spec": {"resources": {"requests":
            {"storage": "1Gi"}}}}]}})
    );
}

/// JSON values whose field names are likely to be those of a pod.
fn arbitrary_body() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(json!(0)),
        Just(json!("")),
        "[a-z0-9]{0,6}".prop_map(Value::from),
        Just(json!("2024-01-01T00:00:00Z")),
        Just(json!("1.5Gi")),
    ];
    let name = prop::sample::select(vec![
        "metadata",
        "spec",
        "status",
        "labels",
        "annotations",
        "name",
        "containers",
        "resources",
        "limits",
        "cpu",
        "creationTimestamp",
        "managedFields",
        "fieldsV1",
        "priority",
        "hostNetwork",
        "volumes",
        "ports",
        "stray",
    ]);
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.clone().prop_map(ToOwned::to_owned), inner, 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    /// What was decoded once decodes again to the same, without a word.
    #[test]
    fn decoding_is_idempotent(body in arbitrary_body()) {
        if let Ok(first) = decode_as("", "Pod", &body.to_string(), FieldValidation::Warn) {
            let second = decode_as("", "Pod", &first.object.to_string(), FieldValidation::Strict);
            prop_assert_eq!(&second.unwrap().object, &first.object);
            let mut pruned = first.object.clone();
            prop_assert!(prune(schema_of("", "v1", "Pod").unwrap(), &mut pruned).is_empty());
            prop_assert_eq!(pruned, first.object);
        }
    }

    /// No bytes make the decoder panic, in either format.
    #[test]
    fn any_bytes_are_answered(body in prop::collection::vec(any::<u8>(), 0..80)) {
        let schema = schema_of("", "v1", "Pod").unwrap();
        for format in [BodyFormat::Json, BodyFormat::Yaml] {
            let _ = decode(schema, &schema.gvk.unwrap(), &body, format, FieldValidation::Strict);
        }
    }
}
