//! IPAddress (networking.k8s.io/v1): an address of a service range and what holds it. The name is the address.

use jiff::Timestamp;
use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy};
use crate::resources::checks::each;
use crate::resources::columns::{NAME, cell};
use crate::resources::object::{given, text};
use crate::resources::typed::{Shape, printed};
use crate::{meta, table};

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "networking.k8s.io",
        version: "v1",
        kind: "IPAddress",
        list_kind: "IPAddressList",
        plural: "ipaddresses",
        singular: "ipaddress",
        short_names: &["ip"],
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
        let path = Path::new("spec.parentRef");
        if !given(&object["spec"], "parentRef") {
            return vec![FieldError::required(&path, "")];
        }
        let parent = &object["spec"]["parentRef"];
        let mut errors = Vec::new();
        let segment = |field: &str, required: bool| match text(parent, field) {
            "" if required => vec![FieldError::required(&path.child(field), "")],
            "" => Vec::new(),
            value => each(names::path_segment(value, false), &path.child(field), value),
        };
        let group = text(parent, "group");
        if !group.is_empty() {
            let faults = names::dns1123_subdomain(group, false);
            errors.extend(each(faults, &path.child("group"), group));
        }
        errors.extend(segment("resource", true));
        errors.extend(segment("name", true));
        errors.extend(segment("namespace", false));
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let (new, old) = (&new["spec"]["parentRef"], &old["spec"]["parentRef"]);
        if new == old {
            return Vec::new();
        }
        let path = Path::new("spec.parentRef");
        vec![
            FieldError::invalid(&path, Value::Null, "field is immutable")
                .showing(printed(new, PARENT)),
        ]
    }

    /// One cell more than there are columns, as upstream (§13.6).
    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let parent = &object["spec"]["parentRef"];
        let shown = if parent.is_object() {
            let mut shown = text(parent, "resource").to_owned();
            if !text(parent, "group").is_empty() {
                shown = format!("{shown}.{}", text(parent, "group"));
            }
            if !text(parent, "namespace").is_empty() {
                shown = format!("{shown}/{}", text(parent, "namespace"));
            }
            format!("{shown}/{}", text(parent, "name"))
        } else {
            "<none>".to_owned()
        };
        vec![
            meta::name(object).into(),
            shown.into(),
            table::age(object, now),
        ]
    }

    fn name_rule(&self) -> names::Rule {
        |name, _| names::ip(name)
    }
}

const PARENT: Shape = Shape::Optional(&[
    ("Group", "group", Shape::Text),
    ("Resource", "resource", Shape::Text),
    ("Namespace", "namespace", Shape::Text),
    ("Name", "name", Shape::Text),
]);

const COLUMNS: &[Column] = &[
    NAME,
    cell(
        "ParentRef",
        "ParentRef references the resource that an IPAddress is attached to. An IPAddress must reference a parent object.",
    ),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::testing::texts;

    #[test]
    fn the_parent_is_named_and_stays() {
        let address = |parent: Value| json!({"metadata": {"name": "10.0.0.1"}, "spec": {"parentRef": parent}});
        assert_eq!(
            texts(&Rules.validate(&address(json!({"resource": "a/b"})))),
            [
                r#"spec.parentRef.resource: Invalid value: "a/b": may not contain '/'"#,
                "spec.parentRef.name: Required value",
            ]
        );
        let (old, new) = (
            address(json!({"resource": "services", "namespace": "ns", "name": "a"})),
            address(json!({"resource": "services", "namespace": "ns", "name": "b"})),
        );
        assert_eq!(
            texts(&Rules.validate_update(&new, &old)),
            [
                r#"spec.parentRef: Invalid value: {"Group":"","Resource":"services","Namespace":"ns","Name":"b"}: field is immutable"#
            ]
        );
        assert_eq!(Rules.row(&old, Timestamp::UNIX_EPOCH)[1], "services/ns/a");
    }
}
