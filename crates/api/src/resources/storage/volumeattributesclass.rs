//! VolumeAttributesClass (storage.k8s.io/v1): properties of volumes that may be changed while they are in use.

use jiff::Timestamp;
use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy};
use crate::resources::checks::each;
use crate::resources::columns::{AGE, NAME, cell};
use crate::resources::object::text;
use crate::{meta, table};

const PARAMETERS_MAX: usize = 512;
const PARAMETERS_SIZE_MAX: usize = 256 * 1024;

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "storage.k8s.io",
        version: "v1",
        kind: "VolumeAttributesClass",
        list_kind: "VolumeAttributesClassList",
        plural: "volumeattributesclasses",
        singular: "volumeattributesclass",
        short_names: &["vac"],
        categories: &[],
        scope: Scope::Cluster,
        verbs: ALL_VERBS,
        subresources: &[],
        columns: COLUMNS,
        strategy: &Rules,
    }
}

struct Rules;

impl Strategy for Rules {
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let root = Path::default();
        let (driver, at) = (text(object, "driverName"), root.child("driverName"));
        let mut errors = if driver.is_empty() {
            vec![FieldError::required(&at, "")]
        } else {
            each(names::qualified_name(&driver.to_lowercase()), &at, driver)
        };
        errors.extend(parameters(&object["parameters"], &root.child("parameters")));
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors: Vec<FieldError> = ["driverName", "parameters"]
            .into_iter()
            .filter(|field| new[*field] != old[*field])
            .map(|field| {
                let detail = format!("updates to {field} are forbidden.");
                FieldError::forbidden(&Path::new(field), detail)
            })
            .collect();
        errors.extend(self.validate(new));
        errors
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![
            meta::name(object).into(),
            text(object, "driverName").into(),
            table::age(object, now),
        ]
    }

    fn shown_when_deleted(&self) -> bool {
        true
    }
}

fn parameters(parameters: &Value, at: &Path) -> Vec<FieldError> {
    let entries = parameters.as_object();
    let count = entries.map_or(0, serde_json::Map::len);
    if count > PARAMETERS_MAX {
        return vec![FieldError::too_long(at, PARAMETERS_MAX)];
    }
    let (mut errors, mut size) = (Vec::new(), 0);
    for (key, value) in entries.into_iter().flatten() {
        if key.is_empty() {
            errors.push(FieldError::invalid(at, "", "field can not be empty."));
        }
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > PARAMETERS_SIZE_MAX {
        errors.push(FieldError::too_long(at, PARAMETERS_SIZE_MAX));
    }
    if count == 0 {
        let detail = "must contain at least one key/value pair";
        errors.push(FieldError::required(at, detail));
    }
    errors
}

const COLUMNS: &[Column] = &[
    NAME,
    cell(
        "DriverName",
        "Name of the CSI driver This field is immutable.",
    ),
    AGE,
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::testing::texts;

    #[test]
    fn a_class_says_something_and_goes_on_saying_it() {
        assert_eq!(
            texts(&Rules.validate(&json!({}))),
            [
                "driverName: Required value",
                "parameters: Required value: must contain at least one key/value pair",
            ]
        );
        let class =
            |iops: &str| json!({"driverName": "csi.example.com", "parameters": {"iops": iops}});
        assert_eq!(
            texts(&Rules.validate_update(&class("200"), &class("100"))),
            ["parameters: Forbidden: updates to parameters are forbidden."]
        );
    }
}
