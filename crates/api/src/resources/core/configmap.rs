//! ConfigMap (core/v1): plain and binary data for pods.

use jiff::Timestamp;
use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy};
use crate::resources::checks::each;
use crate::resources::columns::{AGE, NAME, cell};
use crate::{meta, names, table};

/// Keys and values together may have this many bytes.
const DATA_MAX: usize = 1024 * 1024;

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "",
        version: "v1",
        kind: "ConfigMap",
        list_kind: "ConfigMapList",
        plural: "configmaps",
        singular: "configmap",
        short_names: &["cm"],
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
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let (data, binary) = (&object["data"], &object["binaryData"]);
        let (mut errors, mut size) = (Vec::new(), 0);
        for (key, value) in data.as_object().into_iter().flatten() {
            let at = Path::new("data").key(key);
            errors.extend(each(names::config_key(key), &at, key));
            if binary.get(key).is_some() {
                errors.push(FieldError::invalid(
                    &at,
                    key.as_str(),
                    "duplicate of key present in binaryData",
                ));
            }
            size += value.as_str().map_or(0, str::len);
        }
        for (key, value) in binary.as_object().into_iter().flatten() {
            errors.extend(each(
                names::config_key(key),
                &Path::new("binaryData").key(key),
                key,
            ));
            size += super::secret::decoded_len(value);
        }
        if size > DATA_MAX {
            errors.push(FieldError::too_long(&Path::default(), DATA_MAX));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = frozen(new, old, &["data", "binaryData"]);
        errors.extend(self.validate(new));
        errors
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let count = |field: &str| object[field].as_object().map_or(0, serde_json::Map::len);
        vec![
            meta::name(object).into(),
            (count("data") + count("binaryData")).into(),
            table::age(object, now),
        ]
    }
}

/// Fields that may no longer change once `immutable` is set, itself included.
pub(super) fn frozen(new: &Value, old: &Value, fields: &[&str]) -> Vec<FieldError> {
    const DETAIL: &str = "field is immutable when `immutable` is set";
    if old["immutable"] != true {
        return Vec::new();
    }
    let mut errors = Vec::new();
    if new["immutable"] != true {
        errors.push(FieldError::forbidden(&Path::new("immutable"), DETAIL));
    }
    let content =
        |object: &Value, field: &str| object[field].as_object().cloned().unwrap_or_default();
    for field in fields {
        if content(new, field) != content(old, field) {
            errors.push(FieldError::forbidden(&Path::new(field), DETAIL));
        }
    }
    errors
}

const COLUMNS: &[Column] = &[
    NAME,
    cell(
        "Data",
        "Data contains the configuration data. Each key must consist of alphanumeric characters, '-', '_' or '.'. Values with non-UTF-8 byte sequences must use the BinaryData field. The keys stored in Data must not overlap with the keys in the BinaryData field, this is enforced during validation process.",
    ),
    AGE,
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::testing::texts;

    #[test]
    fn keys_are_checked_in_both_maps() {
        let faults = texts(
            &Rules.validate(&json!({"data": {"..": "1", "a": "1"}, "binaryData": {"a": "MQ=="}})),
        );
        assert_eq!(
            faults,
            [
                r#"data[..]: Invalid value: "..": must not be '..'"#,
                r#"data[a]: Invalid value: "a": duplicate of key present in binaryData"#,
            ]
        );
        let big = json!({"data": {"k": "x".repeat(DATA_MAX + 1)}});
        assert_eq!(
            texts(&Rules.validate(&big)),
            ["[]: Too long: may not be more than 1048576 bytes"]
        );
    }

    #[test]
    fn immutable_data_stays() {
        let old = json!({"immutable": true, "data": {"a": "b"}});
        let new = json!({"immutable": false, "data": {"a": "c"}, "binaryData": {"z": "eA=="}});
        let forbidden = "Forbidden: field is immutable when `immutable` is set";
        assert_eq!(
            texts(&Rules.validate_update(&new, &old)),
            [
                format!("immutable: {forbidden}"),
                format!("data: {forbidden}"),
                format!("binaryData: {forbidden}")
            ]
        );
        assert!(Rules.validate_update(&old, &old).is_empty());
    }
}
