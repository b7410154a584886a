//! ControllerRevision (apps/v1): one recorded state of a controller's template.

use jiff::Timestamp;
use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy};
use crate::resources::checks::{immutable, not_negative};
use crate::resources::columns::{AGE, NAME, cell};
use crate::resources::object::{fill, given, int, list, text};
use crate::{meta, table};

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "apps",
        version: "v1",
        kind: "ControllerRevision",
        list_kind: "ControllerRevisionList",
        plural: "controllerrevisions",
        singular: "controllerrevision",
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
        fill(object, "revision", 0);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        // A-36
        let mut errors: Vec<_> = not_negative(object, "revision", &Path::default())
            .into_iter()
            .collect();
        let at = Path::new("data");
        if !given(object, "data") {
            errors.push(FieldError::required(&at, "data is mandatory"));
        } else if !object["data"].is_object() {
            errors.push(FieldError::invalid(
                &at,
                object["data"].clone(),
                "data must be a valid JSON object",
            ));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors: Vec<_> = not_negative(new, "revision", &Path::default())
            .into_iter()
            .collect();
        errors.extend(immutable(new, old, "data", &Path::default()));
        errors
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let revision = int(object, "revision").unwrap_or(0);
        vec![
            meta::name(object).into(),
            controller(object).into(),
            revision.into(),
            table::age(object, now),
        ]
    }
}

/// The owner that controls an object, as `statefulset.apps/web`.
fn controller(object: &Value) -> String {
    let Some(owner) = list(&object["metadata"], "ownerReferences")
        .iter()
        .find(|o| o["controller"] == true)
    else {
        return "<none>".to_owned();
    };
    let kind = text(owner, "kind").to_lowercase();
    let group = text(owner, "apiVersion")
        .split_once('/')
        .map_or("", |(group, _)| group);
    let dot = if group.is_empty() { "" } else { "." };
    format!("{kind}{dot}{group}/{}", text(owner, "name"))
}

const COLUMNS: &[Column] = &[
    NAME,
    cell("Controller", "Controller of the object"),
    cell(
        "Revision",
        "Revision indicates the revision of the state represented by Data.",
    ),
    AGE,
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::testing::texts;

    #[test]
    fn data_is_mandatory_and_stays() {
        // A-36
        assert_eq!(
            texts(&Rules.validate(&json!({"revision": -1}))),
            [
                "revision: Invalid value: -1: must be greater than or equal to 0",
                "data: Required value: data is mandatory",
            ]
        );
        assert_eq!(
            texts(&Rules.validate(&json!({"revision": 1, "data": [1]}))),
            ["data: Invalid value: [1]: data must be a valid JSON object"]
        );
        assert_eq!(
            texts(&Rules.validate_update(
                &json!({"revision": 2, "data": {"a": 2}}),
                &json!({"data": {"a": 1}})
            )),
            [r#"data: Invalid value: {"a":2}: field is immutable"#]
        );
    }

    #[test]
    fn the_row_names_the_controller() {
        let owner = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "controller": true});
        let object =
            json!({"metadata": {"name": "web-1", "ownerReferences": [owner]}, "revision": 3});
        let cells = Rules.row(&object, Timestamp::UNIX_EPOCH);
        assert_eq!(
            cells,
            [
                json!("web-1"),
                json!("statefulset.apps/web"),
                json!(3),
                json!("<unknown>")
            ]
        );
    }
}
