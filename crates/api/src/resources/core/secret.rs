//! Secret (core/v1): data for pods that is kept apart.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;

use super::configmap::frozen;
use crate::field::{FieldError, Path};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy};
use crate::resources::checks::{each, immutable};
use crate::resources::columns::{AGE, NAME, cell};
use crate::resources::object::{ensure, fill, remove, text};
use crate::{meta, names, table};

/// Keys and values together may have this many bytes.
const DATA_MAX: usize = 1024 * 1024;
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "",
        version: "v1",
        kind: "Secret",
        list_kind: "SecretList",
        plural: "secrets",
        singular: "secret",
        short_names: &[],
        categories: &[],
        scope: Scope::Namespaced,
        verbs: ALL_VERBS,
        subresources: &[],
        columns: COLUMNS,
        strategy: &Rules,
    }
}

struct Rules;

impl Strategy for Rules {
    fn default(&self, object: &mut Value) {
        fill(object, "type", "Opaque");
        // stringData is only ever written; its entries win over those of data.
        let Some(texts) = object.get("stringData").and_then(Value::as_object).cloned() else {
            return;
        };
        remove(object, "stringData");
        let data = ensure(object, "data");
        for (key, value) in texts {
            data[key] = STANDARD.encode(value.as_str().unwrap_or_default()).into();
        }
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let (data, path) = (&object["data"], Path::new("data"));
        let (mut errors, mut size) = (Vec::new(), 0);
        for (key, value) in data.as_object().into_iter().flatten() {
            errors.extend(each(names::config_key(key), &path.key(key), key));
            size += decoded_len(value);
        }
        if size > DATA_MAX {
            errors.push(FieldError::too_long(&path, DATA_MAX));
        }
        let missing = |key: &str| {
            data.get(key)
                .is_none()
                .then(|| FieldError::required(&path.key(key), ""))
        };
        match text(object, "type") {
            "kubernetes.io/service-account-token" => {
                let account = text(&object["metadata"]["annotations"], ACCOUNT_NAME);
                let at = Path::new("metadata.annotations").key(ACCOUNT_NAME);
                errors.extend(account.is_empty().then(|| FieldError::required(&at, "")));
            }
            "kubernetes.io/dockercfg" => errors.extend(json_entry(data, ".dockercfg", &path)),
            "kubernetes.io/dockerconfigjson" => {
                errors.extend(json_entry(data, ".dockerconfigjson", &path));
            }
            // Either is enough.
            "kubernetes.io/basic-auth"
                if data.get("username").or(data.get("password")).is_none() =>
            {
                errors.extend(missing("username"));
                errors.extend(missing("password"));
            }
            "kubernetes.io/ssh-auth" => errors.extend(missing("ssh-privatekey")),
            "kubernetes.io/tls" => {
                errors.extend(missing("tls.crt"));
                errors.extend(missing("tls.key"));
            }
            _ => {}
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors: Vec<_> = immutable(new, old, "type", &Path::default())
            .into_iter()
            .collect();
        errors.extend(frozen(new, old, &["data"]));
        errors.extend(self.validate(new));
        errors
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let entries = object["data"].as_object().map_or(0, serde_json::Map::len);
        vec![
            meta::name(object).into(),
            text(object, "type").into(),
            entries.into(),
            table::age(object, now),
        ]
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        vec![("type", text(object, "type").to_owned())]
    }
}

/// The number of bytes a base64 text stands for.
pub(super) fn decoded_len(value: &Value) -> usize {
    let text = value.as_str().unwrap_or_default();
    let padding = text.bytes().rev().take_while(|b| *b == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding)
}

/// An entry that must be there and hold JSON. Its content is never part of a message.
fn json_entry(data: &Value, key: &str, path: &Path) -> Option<FieldError> {
    let Some(entry) = data.get(key) else {
        return Some(FieldError::required(&path.key(key), ""));
    };
    let bytes = STANDARD
        .decode(entry.as_str().unwrap_or_default())
        .unwrap_or_default();
    let fault = serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).err()?;
    Some(FieldError::invalid(
        &path.key(key),
        "<secret contents redacted>",
        fault.to_string(),
    ))
}

const COLUMNS: &[Column] = &[
    NAME,
    cell(
        "Type",
        "Used to facilitate programmatic handling of secret data. More info: https://kubernetes.io/docs/concepts/configuration/secret/#secret-types",
    ),
    cell(
        "Data",
        "Data contains the secret data. Each key must consist of alphanumeric characters, '-', '_' or '.'. The serialized form of the secret data is a base64 encoded string, representing the arbitrary (possibly non-string) data value here. Described in https://tools.ietf.org/html/rfc4648#section-4",
    ),
    AGE,
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::testing::texts;

    #[test]
    fn string_data_becomes_data() {
        let mut secret =
            json!({"stringData": {"user": "root", "e": ""}, "data": {"user": "eA==", "k": "eA=="}});
        Rules.default(&mut secret);
        assert_eq!(
            secret,
            json!({"type": "Opaque", "data": {"user": "cm9vdA==", "k": "eA==", "e": ""}})
        );
    }

    #[test]
    fn types_ask_for_their_entries() {
        for (kind, data, want) in [
            (
                "kubernetes.io/tls",
                json!({"tls.crt": ""}),
                vec!["data[tls.key]: Required value"],
            ),
            (
                "kubernetes.io/ssh-auth",
                json!({}),
                vec!["data[ssh-privatekey]: Required value"],
            ),
            ("kubernetes.io/basic-auth", json!({"username": ""}), vec![]),
            (
                "kubernetes.io/dockerconfigjson",
                json!({}),
                vec!["data[.dockerconfigjson]: Required value"],
            ),
            (
                "kubernetes.io/dockerconfigjson",
                json!({".dockerconfigjson": "e30="}),
                vec![],
            ),
            (
                "kubernetes.io/service-account-token",
                json!({}),
                vec!["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
            ),
            ("example.com/own", json!({}), vec![]),
        ] {
            assert_eq!(
                texts(&Rules.validate(&json!({"type": kind, "data": data}))),
                want,
                "{kind}"
            );
        }
    }

    #[test]
    fn the_type_stays() {
        let faults = Rules.validate_update(
            &json!({"type": "Opaque"}),
            &json!({"type": "kubernetes.io/basic-auth"}),
        );
        assert_eq!(
            texts(&faults),
            [r#"type: Invalid value: "Opaque": field is immutable"#]
        );
    }
}
