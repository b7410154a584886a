//! Lease (coordination.k8s.io/v1): who holds a lock or is alive.

use jiff::Timestamp;
use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy};
use crate::resources::checks::not_negative;
use crate::resources::columns::{AGE, NAME, cell};
use crate::resources::object::{int, text};
use crate::{meta, table};

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "coordination.k8s.io",
        version: "v1",
        kind: "Lease",
        list_kind: "LeaseList",
        plural: "leases",
        singular: "lease",
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
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let mut errors = Vec::new();
        if let Some(seconds) = int(spec, "leaseDurationSeconds").filter(|s| *s <= 0) {
            let at = path.child("leaseDurationSeconds");
            errors.push(FieldError::invalid(&at, seconds, "must be greater than 0"));
        }
        errors.extend(not_negative(spec, "leaseTransitions", &path));
        errors
    }

    fn validate_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        self.validate(new)
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let holder = text(&object["spec"], "holderIdentity");
        vec![
            meta::name(object).into(),
            holder.into(),
            table::age(object, now),
        ]
    }

    // A lock that could be overwritten unseen would be none.
    fn unconditional_update(&self) -> bool {
        false
    }

    fn create_on_update(&self) -> bool {
        true
    }
}

const COLUMNS: &[Column] = &[
    NAME,
    cell(
        "Holder",
        "holderIdentity contains the identity of the holder of a current lease. If Coordinated Leader Election is used, the holder identity must be equal to the elected LeaseCandidate.metadata.name field.",
    ),
    AGE,
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::testing::texts;

    #[test]
    fn durations_are_positive() {
        let faults =
            Rules.validate(&json!({"spec": {"leaseTransitions": -1, "leaseDurationSeconds": -2}}));
        assert_eq!(
            texts(&faults),
            [
                "spec.leaseDurationSeconds: Invalid value: -2: must be greater than 0",
                "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
            ]
        );
    }
}
