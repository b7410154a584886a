//! StorageClass (storage.k8s.io/v1): how volumes are provisioned.

use jiff::Timestamp;
use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy};
use crate::resources::checks::{each, immutable, one_of};
use crate::resources::columns::{AGE, NAME, cell};
use crate::resources::object::{fill, list, text};
use crate::{meta, names, table};

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "storage.k8s.io",
        version: "v1",
        kind: "StorageClass",
        list_kind: "StorageClassList",
        plural: "storageclasses",
        singular: "storageclass",
        short_names: &["sc"],
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
    fn default(&self, object: &mut Value) {
        // V-27
        fill(object, "reclaimPolicy", "Delete");
        fill(object, "volumeBindingMode", "Immediate");
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let (root, mut errors) = (Path::default(), Vec::new());
        let (provisioner, at) = (text(object, "provisioner"), root.child("provisioner"));
        if provisioner.is_empty() {
            errors.push(FieldError::required(&at, ""));
        } else {
            errors.extend(each(
                names::qualified_name(&provisioner.to_lowercase()),
                &at,
                provisioner,
            ));
        }
        for key in object["parameters"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, _)| key)
        {
            if key.is_empty() {
                let detail = "field can not be empty.";
                errors.push(FieldError::invalid(&root.child("parameters"), "", detail));
            }
        }
        errors.extend(one_of(
            object,
            "reclaimPolicy",
            &root,
            &["Delete", "Retain"],
            true,
        ));
        let modes = ["Immediate", "WaitForFirstConsumer"];
        errors.extend(one_of(object, "volumeBindingMode", &root, &modes, false));
        for (index, term) in list(object, "allowedTopologies").iter().enumerate() {
            let at = root
                .child("allowedTopologies")
                .index(index)
                .child("matchLabelExpressions");
            for (index, expression) in list(term, "matchLabelExpressions").iter().enumerate() {
                let (at, key) = (at.index(index), text(expression, "key"));
                if list(expression, "values").is_empty() {
                    errors.push(FieldError::required(&at.child("values"), ""));
                }
                errors.extend(each(names::qualified_name(key), &at.child("key"), key));
            }
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        // V-27
        [
            "parameters",
            "provisioner",
            "reclaimPolicy",
            "volumeBindingMode",
        ]
        .into_iter()
        .filter_map(|field| immutable(new, old, field, &Path::default()))
        .collect()
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let annotations = &object["metadata"]["annotations"];
        let default = [
            "storageclass.kubernetes.io/is-default-class",
            "storageclass.beta.kubernetes.io/is-default-class",
        ]
        .iter()
        .any(|annotation| annotations[*annotation] == "true");
        let suffix = if default { " (default)" } else { "" };
        vec![
            format!("{}{suffix}", meta::name(object)).into(),
            text(object, "provisioner").into(),
            text(object, "reclaimPolicy").into(),
            text(object, "volumeBindingMode").into(),
            (object["allowVolumeExpansion"] == true).into(),
            table::age(object, now),
        ]
    }

    fn shown_when_deleted(&self) -> bool {
        true
    }
}

const COLUMNS: &[Column] = &[
    NAME,
    cell(
        "Provisioner",
        "provisioner indicates the type of the provisioner.",
    ),
    cell(
        "ReclaimPolicy",
        "reclaimPolicy controls the reclaimPolicy for dynamically provisioned PersistentVolumes of this storage class. Defaults to Delete.",
    ),
    cell(
        "VolumeBindingMode",
        "volumeBindingMode indicates how PersistentVolumeClaims should be provisioned and bound.  When unset, VolumeBindingImmediate is used. This field is only honored by servers that enable the VolumeScheduling feature.",
    ),
    cell(
        "AllowVolumeExpansion",
        "allowVolumeExpansion shows whether the storage class allow volume expand.",
    ),
    AGE,
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::testing::texts;

    #[test]
    fn policies_are_defaulted_and_checked() {
        // V-27
        let mut class = json!({"provisioner": "rancher.io/local-path"});
        Rules.default(&mut class);
        assert_eq!(class["reclaimPolicy"], "Delete");
        assert_eq!(class["volumeBindingMode"], "Immediate");
        assert!(Rules.validate(&class).is_empty());
        let bad = json!({"reclaimPolicy": "Sometimes", "volumeBindingMode": "Never"});
        assert_eq!(
            texts(&Rules.validate(&bad)),
            [
                "provisioner: Required value",
                r#"reclaimPolicy: Unsupported value: "Sometimes": supported values: "Delete", "Retain""#,
                r#"volumeBindingMode: Unsupported value: "Never": supported values: "Immediate", "WaitForFirstConsumer""#,
            ]
        );
    }

    #[test]
    fn only_expansion_and_metadata_may_change() {
        // V-27
        let old = json!({"provisioner": "a", "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"});
        let mut new = old.clone();
        new["allowVolumeExpansion"] = true.into();
        assert!(Rules.validate_update(&new, &old).is_empty());
        new["provisioner"] = "other".into();
        new["reclaimPolicy"] = "Retain".into();
        assert_eq!(
            texts(&Rules.validate_update(&new, &old)),
            [
                r#"provisioner: Invalid value: "other": field is immutable"#,
                r#"reclaimPolicy: Invalid value: "Retain": field is immutable"#,
            ]
        );
    }

    #[test]
    fn the_default_class_is_marked() {
        let class = json!({"metadata": {"name": "local-path", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            "provisioner": "p", "reclaimPolicy": "Delete", "volumeBindingMode": "WaitForFirstConsumer"});
        let cells = Rules.row(&class, Timestamp::UNIX_EPOCH);
        assert_eq!(cells[0], "local-path (default)");
        assert_eq!(cells[4], false);
    }
}
