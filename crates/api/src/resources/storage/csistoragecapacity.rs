//! CSIStorageCapacity (storage.k8s.io/v1): how much room a class has in one part of a topology.

use jiff::Timestamp;
use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy};
use crate::resources::checks::{amount, each, label_selector};
use crate::resources::columns::{CREATED_AT, NAME};
use crate::resources::object::{given, text};
use crate::{meta, table};

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "storage.k8s.io",
        version: "v1",
        kind: "CSIStorageCapacity",
        list_kind: "CSIStorageCapacityList",
        plural: "csistoragecapacities",
        singular: "csistoragecapacity",
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
    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let root = Path::default();
        let mut errors = Vec::new();
        if given(object, "nodeTopology") {
            errors.extend(label_selector(
                &object["nodeTopology"],
                &root.child("nodeTopology"),
            ));
        }
        let (class, at) = (
            text(object, "storageClassName"),
            root.child("storageClassName"),
        );
        errors.extend(each(names::dns1123_subdomain(class, false), &at, class));
        errors.extend(amount(&object["capacity"], &root.child("capacity"), false));
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        ["nodeTopology", "storageClassName"]
            .into_iter()
            .filter(|field| new[*field] != old[*field])
            .map(|field| {
                let at = Path::new(field);
                FieldError::invalid(&at, new[field].clone(), "field is immutable")
            })
            .collect()
    }

    fn row(&self, object: &Value, _now: Timestamp) -> Vec<Value> {
        vec![meta::name(object).into(), table::created(object)]
    }
}

const COLUMNS: &[Column] = &[NAME, CREATED_AT];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::testing::texts;

    #[test]
    fn what_was_asked_for_stays() {
        let old = json!({"storageClassName": "fast", "nodeTopology": {"matchLabels": {"zone": "a"}}, "capacity": "1Gi"});
        let mut new = old.clone();
        new["capacity"] = "2Gi".into();
        assert!(Rules.validate_update(&new, &old).is_empty());
        new["storageClassName"] = "slow".into();
        assert_eq!(
            texts(&Rules.validate_update(&new, &old)),
            [r#"storageClassName: Invalid value: "slow": field is immutable"#]
        );
        let negative = json!({"storageClassName": "fast", "capacity": "-1"});
        assert_eq!(
            texts(&Rules.validate(&negative)),
            [r#"capacity: Invalid value: "-1": must be greater than or equal to 0"#]
        );
    }
}
