//! Namespace (core/v1): a scope for names, with everything in it deleted when it goes.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::field::{FieldError, Path};
use crate::names::{self, Rule};
use crate::resource::{Column, Resource, Scope, Strategy, Subresource};
use crate::resources::columns::{AGE, NAME, cell};
use crate::resources::object::{ensure, inside, list, put, text};
use crate::resources::{keep, null_times};
use crate::{meta, table};

/// The finalizer that holds a namespace until its content is gone.
const FINALIZER: &str = "kubernetes";
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "",
        version: "v1",
        kind: "Namespace",
        list_kind: "NamespaceList",
        plural: "namespaces",
        singular: "namespace",
        short_names: &["ns"],
        categories: &[],
        scope: Scope::Cluster,
        verbs: &[
            "create", "delete", "get", "list", "patch", "update", "watch",
        ],
        subresources: &[Subresource::Finalize, Subresource::Status],
        columns: COLUMNS,
        strategy: &Rules,
    }
}

struct Rules;

impl Strategy for Rules {
    fn default(&self, object: &mut Value) {
        let name = meta::name(object).to_owned();
        if !name.is_empty() {
            ensure(ensure(object, "metadata"), "labels")[NAME_LABEL] = name.into();
        }
        if let Some(status) = inside(object, "status") {
            null_times(status, &["lastTransitionTime"]);
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        put(object, "status", json!({"phase": "Active"}));
        let spec = ensure(object, "spec");
        let mut finalizers = list(spec, "finalizers").to_vec();
        if !finalizers.iter().any(|f| f == FINALIZER) {
            finalizers.push(FINALIZER.into());
        }
        put(spec, "finalizers", finalizers.into());
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        // Only /finalize changes the spec, which holds nothing but finalizers.
        keep(new, old, "spec");
        keep(new, old, "status");
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        finalizers(object)
    }

    fn validate_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        finalizers(new)
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        let (phase, at) = (text(&new["status"], "phase"), Path::new("status.Phase"));
        let going = !new["metadata"]["deletionTimestamp"].is_null();
        let (expected, state) = if going {
            ("Terminating", "not empty")
        } else {
            ("Active", "empty")
        };
        if phase == expected {
            return Vec::new();
        }
        vec![FieldError::invalid(
            &at,
            phase,
            format!("may only be '{expected}' if `deletionTimestamp` is {state}"),
        )]
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![
            meta::name(object).into(),
            text(&object["status"], "phase").into(),
            table::age(object, now),
        ]
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        let name = meta::name(object).to_owned();
        vec![
            ("name", name),
            ("status.phase", text(&object["status"], "phase").to_owned()),
        ]
    }

    fn name_rule(&self) -> Rule {
        names::dns1123_label
    }
}

fn finalizers(object: &Value) -> Vec<FieldError> {
    let finalizers = list(&object["spec"], "finalizers")
        .iter()
        .filter_map(Value::as_str);
    finalizers
        .flat_map(|name| meta::finalizer(name, &Path::new("spec.finalizers")))
        .collect()
}

const COLUMNS: &[Column] = &[NAME, cell("Status", "The status of the namespace"), AGE];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::texts;

    #[test]
    fn a_new_namespace_is_active_and_held() {
        let mut namespace =
            json!({"metadata": {"name": "a"}, "spec": {"finalizers": ["example.com/own"]}});
        Rules.default(&mut namespace);
        Rules.prepare_create(&mut namespace);
        assert_eq!(
            namespace,
            json!({"metadata": {"name": "a", "labels": {"kubernetes.io/metadata.name": "a"}},
                "spec": {"finalizers": ["example.com/own", "kubernetes"]}, "status": {"phase": "Active"}})
        );
    }

    #[test]
    fn the_phase_follows_the_deletion() {
        let active = json!({"status": {"phase": "Terminating"}});
        assert_eq!(
            texts(&Rules.validate_status_update(&active, &active)),
            [
                r#"status.Phase: Invalid value: "Terminating": may only be 'Active' if `deletionTimestamp` is empty"#
            ]
        );
        let going =
            json!({"metadata": {"deletionTimestamp": "t"}, "status": {"phase": "Terminating"}});
        assert!(Rules.validate_status_update(&going, &going).is_empty());
    }

    #[test]
    fn an_update_keeps_the_finalizers() {
        let old = json!({"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}});
        let mut new = json!({"spec": {"finalizers": []}});
        Rules.prepare_update(&mut new, &old);
        assert_eq!(new, old);
        let bad = json!({"spec": {"finalizers": ["nodomain"]}});
        assert_eq!(
            texts(&Rules.validate(&bad)),
            [
                r#"spec.finalizers: Invalid value: "nodomain": name is neither a standard finalizer name nor is it fully qualified"#
            ]
        );
    }
}
