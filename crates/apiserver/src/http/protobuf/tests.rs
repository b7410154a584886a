use plinth_api::schema_of;
use serde_json::json;

use super::*;

/// A field of bytes.
fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut length = content.len();
    while length >= 0x80 {
        field.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    field.push(u8::try_from(length).unwrap());
    field.extend_from_slice(content);
    field
}

fn number(tag: u8, value: u8) -> Vec<u8> {
    vec![tag << 3, value]
}

fn enveloped(version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let types = [bytes(1, version.as_bytes()), bytes(2, kind.as_bytes())].concat();
    [MAGIC.to_vec(), bytes(1, &types), bytes(2, raw)].concat()
}

#[test]
fn a_config_map_is_read() {
    let entry =
        |key: &str, value: &str| [bytes(1, key.as_bytes()), bytes(2, value.as_bytes())].concat();
    let metadata = [
        bytes(1, b"x"),
        bytes(3, b"ns"),
        bytes(8, b""),
        bytes(11, &entry("l", "v")),
    ]
    .concat();
    let raw = [
        bytes(1, &metadata),
        bytes(2, &entry("a", "b")),
        bytes(2, &entry("c", "")),
        number(4, 1),
    ]
    .concat();
    let object = to_json(
        schema_of("", "v1", "ConfigMap").unwrap(),
        &enveloped("v1", "ConfigMap", &raw),
    )
    .unwrap();
    let expected = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b", "c": ""}, "immutable": true,
        "metadata": {"name": "x", "namespace": "ns", "creationTimestamp": null, "labels": {"l": "v"}}});
    assert_eq!(object, expected);
}

/// Volumes and probes embed what JSON has inline.
#[test]
fn embedded_messages_stand_in_their_parent() {
    let quantity = bytes(1, b"1Mi");
    let limit = [bytes(1, b"memory"), bytes(2, &quantity)].concat();
    let port = [number(1, 1), bytes(3, b"http")].concat();
    let probe = [
        bytes(1, &bytes(2, &[bytes(1, b"/"), bytes(2, &port)].concat())),
        number(2, 5),
    ]
    .concat();
    let container = [
        bytes(1, b"c"),
        bytes(8, &bytes(1, &limit)),
        bytes(10, &probe),
    ]
    .concat();
    let volume = [bytes(1, b"v"), bytes(2, &bytes(2, &bytes(1, b"")))].concat();
    let spec = [bytes(1, &volume), bytes(2, &container)].concat();
    let raw = [bytes(1, &bytes(1, b"p")), bytes(2, &spec)].concat();
    let object = to_json(
        schema_of("", "v1", "Pod").unwrap(),
        &enveloped("v1", "Pod", &raw),
    )
    .unwrap();
    let expected = json!({
        "volumes": [{"name": "v", "emptyDir": {"medium": ""}}],
        "containers": [{"name": "c", "resources": {"limits": {"memory": "1Mi"}},
            "livenessProbe": {"httpGet": {"path": "/", "port": "http"}, "initialDelaySeconds": 5}}],
    });
    assert_eq!(object["spec"], expected);
}

#[test]
fn damaged_bodies_are_refused() {
    let schema = schema_of("", "v1", "ConfigMap").unwrap();
    assert_eq!(to_json(schema, b"{}"), Err(ProtobufError::Magic));
    let whole = enveloped("v1", "ConfigMap", &bytes(1, &bytes(1, b"x")));
    for end in MAGIC.len() + 1..whole.len() {
        // Some cuts fall between fields and leave a shorter message; none may panic.
        let _ = to_json(schema, &whole[..end]);
    }
    assert_eq!(
        to_json(schema, &whole[..whole.len() - 1]),
        Err(ProtobufError::Cut)
    );
    let nameless = enveloped("v1", "ConfigMap", &bytes(1, &number(1, 7)));
    assert_eq!(
        to_json(schema, &nameless),
        Err(ProtobufError::Mistyped("name"))
    );
}
