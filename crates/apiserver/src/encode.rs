//! How an object becomes bytes, once (D3). The bytes begin with a text that is the same for all objects of a kind
//! and ends where the resourceVersion stands, so that the revision is spliced in and the type cut off by position.

use bytes::Bytes;
use plinth_api::Resource;
use plinth_store::Payload;
use serde_json::{Map, Value};

/// The constant beginning of a kind's objects.
#[derive(Debug)]
pub(crate) struct Layout {
    /// `{"apiVersion":"v1","kind":"Pod","metadata":{"resourceVersion":"`
    head: Vec<u8>,
    /// Length of `{"apiVersion":"v1","kind":"Pod",`, which items of a list go without.
    types: usize,
    /// The fields of the status in the order they are written; others follow.
    status: &'static [&'static str],
}

impl Layout {
    /// The layout of a kind.
    pub(crate) fn of(resource: &Resource) -> Self {
        let types = format!(
            "{{\"apiVersion\":\"{}\",\"kind\":\"{}\",",
            resource.api_version(),
            resource.kind
        );
        let head = format!("{types}\"metadata\":{{\"resourceVersion\":\"").into_bytes();
        Self {
            head,
            types: types.len(),
            status: resource.strategy.status_order(),
        }
    }

    /// The bytes of an object with a gap for the revision. Its own `resourceVersion` is left out.
    pub(crate) fn payload(&self, object: &Value) -> Payload {
        let mut tail = Vec::with_capacity(1024);
        tail.push(b'"');
        if let Some(metadata) = object["metadata"].as_object() {
            members(&mut tail, metadata, &["resourceVersion"]);
        }
        tail.push(b'}');
        if let Some(object) = object.as_object() {
            members(
                &mut tail,
                object,
                &["apiVersion", "kind", "metadata", "status"],
            );
            self.status(&mut tail, object);
        }
        tail.push(b'}');
        Payload {
            head: self.head.clone(),
            tail,
        }
    }

    /// Appends the object's status, if it has one.
    fn status(&self, out: &mut Vec<u8>, object: &Map<String, Value>) {
        let Some(status) = object.get("status") else {
            return;
        };
        let Value::Object(fields) = status else {
            member(out, "status", status);
            return;
        };
        let mut text = Vec::new();
        for name in self.status {
            if let Some(value) = fields.get(*name) {
                member(&mut text, name, value);
            }
        }
        members(&mut text, fields, self.status);
        out.extend_from_slice(b",\"status\":{");
        // Every member brings its comma, the first one too many.
        out.extend_from_slice(text.strip_prefix(b",").unwrap_or_default());
        out.push(b'}');
    }

    /// Whether bytes are an object of this kind, in this version.
    pub(crate) fn wrote(&self, bytes: &[u8]) -> bool {
        bytes.starts_with(&self.head)
    }

    /// What stands before the revision.
    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    /// The bytes of an object as an item of a list: `{` and everything after its type.
    pub(crate) fn item(&self, bytes: &Bytes) -> Bytes {
        bytes.slice(self.types..)
    }

    /// The same bytes with another revision.
    pub(crate) fn at_revision(&self, bytes: &Bytes, revision: u64) -> Bytes {
        let rest = &bytes[self.head.len()..];
        let digits = rest.iter().position(|byte| *byte == b'"').unwrap_or(0);
        let mut copy = Vec::with_capacity(bytes.len() + 8);
        copy.extend_from_slice(&self.head);
        copy.extend_from_slice(revision.to_string().as_bytes());
        copy.extend_from_slice(&rest[digits..]);
        copy.into()
    }
}

/// Appends `,"key":value` for every member that is not left out.
fn members(out: &mut Vec<u8>, map: &Map<String, Value>, without: &[&str]) {
    for (key, value) in map {
        if !without.contains(&key.as_str()) {
            member(out, key, value);
        }
    }
}

/// Appends `,"key":value`.
fn member(out: &mut Vec<u8>, key: &str, value: &Value) {
    out.push(b',');
    // Writing JSON values to memory cannot fail: their keys are strings and there is no I/O.
    let _ = serde_json::to_writer(&mut *out, key);
    out.push(b':');
    let _ = serde_json::to_writer(&mut *out, value);
}

#[cfg(test)]
mod tests {
    use plinth_api::find;
    use plinth_store::Revision;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_is_written_in_the_order_of_its_kind() {
        let layout = Layout::of(find("apps", "v1", "replicasets").unwrap());
        let bytes = |status: Value| {
            let object = json!({"metadata": {}, "status": status, "spec": {}});
            let bytes = layout.payload(&object).at(Revision(1));
            String::from_utf8(bytes.to_vec()).unwrap()
        };
        let full = json!({"availableReplicas": 1, "readyReplicas": 2, "replicas": 3, "other": 4});
        let end = r#","spec":{},"status":{"replicas":3,"readyReplicas":2,"availableReplicas":1,"other":4}}"#;
        assert!(bytes(full).ends_with(end));
        assert!(bytes(json!({})).ends_with(r#","status":{}}"#));
        assert!(bytes(json!(null)).ends_with(r#","status":null}"#));
    }

    #[test]
    fn bytes_carry_the_revision_and_lists_drop_the_type() {
        let layout = Layout::of(find("apps", "v1", "statefulsets").unwrap());
        let object = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "spec": {"a": "\u{1}<"},
                            "metadata": {"name": "web", "resourceVersion": "3"}});
        let bytes = layout.payload(&object).at(Revision(42));
        let mut expected = object.clone();
        expected["metadata"]["resourceVersion"] = "42".into();
        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), expected);

        let again = layout.at_revision(&bytes, 1234);
        expected["metadata"]["resourceVersion"] = "1234".into();
        assert_eq!(serde_json::from_slice::<Value>(&again).unwrap(), expected);

        let item = [b"{", &layout.item(&bytes)[..]].concat();
        let item: Value = serde_json::from_slice(&item).unwrap();
        assert_eq!(
            item,
            json!({"metadata": {"name": "web", "resourceVersion": "42"}, "spec": {"a": "\u{1}<"}})
        );
    }
}
