//! CSINode (storage.k8s.io/v1): which storage drivers run on a node.

use std::collections::HashSet;

use jiff::Timestamp;
use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy};
use crate::resources::checks::{each, not_negative};
use crate::resources::columns::{AGE, NAME, integer};
use crate::resources::object::{ensure, list, null_when_empty, text};
use crate::resources::references::driver_name;
use crate::resources::typed::{Shape, printed};
use crate::{meta, table};

const NODE_ID_MAX: usize = 256;

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "storage.k8s.io",
        version: "v1",
        kind: "CSINode",
        list_kind: "CSINodeList",
        plural: "csinodes",
        singular: "csinode",
        short_names: &[],
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
    fn prepare_create(&self, object: &mut Value) {
        null_when_empty(ensure(object, "spec"), "drivers");
    }

    fn prepare_update(&self, new: &mut Value, _old: &Value) {
        null_when_empty(ensure(new, "spec"), "drivers");
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let path = Path::new("spec.drivers");
        let (mut errors, mut names) = (Vec::new(), HashSet::new());
        for (index, entry) in list(&object["spec"], "drivers").iter().enumerate() {
            errors.extend(driver(entry, &path.index(index), &mut names));
        }
        errors
    }

    /// What is known of a driver stays, but for how many volumes it takes.
    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = self.validate(new);
        for before in list(&old["spec"], "drivers") {
            for after in list(&new["spec"], "drivers") {
                if text(before, "name") == text(after, "name") && shown(before) != shown(after) {
                    let at = Path::new("spec.drivers");
                    let error = FieldError::invalid(&at, Value::Null, "field is immutable");
                    errors.push(error.showing(shown(after)));
                }
            }
        }
        errors
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![
            meta::name(object).into(),
            list(&object["spec"], "drivers").len().into(),
            table::age(object, now),
        ]
    }

    fn shown_when_deleted(&self) -> bool {
        true
    }
}

/// A driver without its limits.
fn shown(driver: &Value) -> String {
    const DRIVER: Shape = Shape::Struct(&[
        ("Name", "name", Shape::Text),
        ("NodeID", "nodeID", Shape::Text),
        ("TopologyKeys", "topologyKeys", Shape::List(&Shape::Text)),
        ("Allocatable", "", Shape::Plain),
    ]);
    printed(driver, DRIVER)
}

fn driver<'d>(driver: &'d Value, path: &Path, names: &mut HashSet<&'d str>) -> Vec<FieldError> {
    let (name, id) = (text(driver, "name"), text(driver, "nodeID"));
    let mut errors = driver_name(name, &path.child("name"));
    let at = path.child("nodeID");
    if id.is_empty() {
        errors.push(FieldError::required(&at, ""));
    }
    if id.len() > NODE_ID_MAX {
        let detail = format!("must be {NODE_ID_MAX} characters or less");
        errors.push(FieldError::invalid(&at, id, detail));
    }
    let at = path.child("allocatable");
    errors.extend(not_negative(&driver["allocatable"], "count", &at));
    if !names.insert(name) {
        errors.push(FieldError::duplicate(&path.child("name"), name));
    }
    let mut keys = HashSet::new();
    for key in list(driver, "topologyKeys") {
        let key = key.as_str().unwrap_or_default();
        if key.is_empty() {
            errors.push(FieldError::required(path, ""));
        }
        if !keys.insert(key) {
            errors.push(FieldError::duplicate(path, key));
        }
        errors.extend(each(names::qualified_name(key), path, key));
    }
    errors
}

const COLUMNS: &[Column] = &[
    NAME,
    integer(
        "Drivers",
        "Drivers indicates the number of CSI drivers registered on the node",
    ),
    AGE,
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::testing::texts;

    fn node(drivers: &Value) -> Value {
        json!({"spec": {"drivers": drivers}})
    }

    #[test]
    fn drivers_are_named_once_and_stay() {
        let one = json!({"name": "a.com", "nodeID": "1", "topologyKeys": ["zone"]});
        assert_eq!(
            texts(&Rules.validate(&node(&json!([one, {"name": "a.com"}])))),
            [
                "spec.drivers[1].nodeID: Required value",
                r#"spec.drivers[1].name: Duplicate value: "a.com""#,
            ]
        );
        let mut counted = one.clone();
        counted["allocatable"] = json!({"count": 5});
        let (old, new) = (node(&json!([one])), node(&json!([counted])));
        assert!(Rules.validate_update(&new, &old).is_empty());
        let moved = node(&json!([{"name": "a.com", "nodeID": "2"}]));
        assert_eq!(
            texts(&Rules.validate_update(&moved, &old)),
            [
                r#"spec.drivers: Invalid value: {"Name":"a.com","NodeID":"2","TopologyKeys":null,"Allocatable":null}: field is immutable"#
            ]
        );
    }
}
