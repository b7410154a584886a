//! PriorityClass (scheduling.k8s.io/v1): a name for how important pods are.

use jiff::Timestamp;
use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy};
use crate::resources::columns::{AGE, NAME, boolean, cell, integer};
use crate::resources::first_generation;
use crate::resources::object::{fill, int, remove, text};
use crate::{meta, table};

/// Users' classes may have this value at most; what is above is the system's.
const USERS_MAX: i64 = 1_000_000_000;
const SYSTEM_PREFIX: &str = "system-";

/// The classes the system brings: name, value and what they are for.
pub const SYSTEM_CLASSES: [(&str, i64, &str); 2] = [
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
];

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "scheduling.k8s.io",
        version: "v1",
        kind: "PriorityClass",
        list_kind: "PriorityClassList",
        plural: "priorityclasses",
        singular: "priorityclass",
        short_names: &["pc"],
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
        fill(object, "value", 0);
        fill(object, "preemptionPolicy", "PreemptLowerPriority");
        // Only a class that is the default says so.
        if object["globalDefault"] == false {
            remove(object, "globalDefault");
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        first_generation(object);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let (name, value) = (meta::name(object), int(object, "value").unwrap_or(0));
        let mut errors = Vec::new();
        if name.starts_with(SYSTEM_PREFIX) {
            if let Err(why) = system_class(object) {
                let detail = format!(
                    "priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: {why}"
                );
                errors.push(FieldError::forbidden(&Path::new("metadata.name"), detail));
            }
        } else if value > USERS_MAX {
            let detail = format!("maximum allowed value of a user defined priority is {USERS_MAX}");
            errors.push(FieldError::forbidden(&Path::new("value"), detail));
        }
        let set = &["PreemptLowerPriority", "Never"];
        let policy = text(object, "preemptionPolicy");
        if !set.contains(&policy) {
            let at = Path::new("preemptionPolicy");
            errors.push(FieldError::not_supported(&at, policy, set));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if int(new, "value") != int(old, "value") {
            let detail = "may not be changed in an update.";
            errors.push(FieldError::forbidden(&Path::new("value"), detail));
        }
        let field = "preemptionPolicy";
        if text(new, field) != text(old, field) {
            let detail = "field is immutable";
            errors.push(FieldError::invalid(
                &Path::new(field),
                text(new, field),
                detail,
            ));
        }
        errors
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![
            meta::name(object).into(),
            int(object, "value").unwrap_or(0).into(),
            (object["globalDefault"] == true).into(),
            table::age(object, now),
            text(object, "preemptionPolicy").into(),
        ]
    }
}

/// Whether a class is one of the system's, with the system's value.
fn system_class(object: &Value) -> Result<(), String> {
    let name = meta::name(object);
    let Some((_, value, _)) = SYSTEM_CLASSES.iter().find(|(known, _, _)| *known == name) else {
        return Err(format!("{name} is not a known system priority class"));
    };
    if int(object, "value") != Some(*value) {
        return Err(format!("value of {name} PriorityClass must be {value}"));
    }
    if object["globalDefault"] == true {
        return Err(format!(
            "globalDefault of {name} PriorityClass must be false"
        ));
    }
    Ok(())
}

const COLUMNS: &[Column] = &[
    NAME,
    integer(
        "Value",
        "value represents the integer value of this priority class. This is the actual priority that pods receive when they have the name of this class in their pod spec.",
    ),
    boolean(
        "Global-Default",
        "globalDefault specifies whether this PriorityClass should be considered as the default priority for pods that do not have any priority class. Only one PriorityClass can be marked as `globalDefault`. However, if more than one PriorityClasses exists with their `globalDefault` field set to true, the smallest value of such global default PriorityClasses will be used as the default priority.",
    ),
    AGE,
    cell(
        "PreemptionPolicy",
        "preemptionPolicy is the Policy for preempting pods with lower priority. One of Never, PreemptLowerPriority. Defaults to PreemptLowerPriority if unset.",
    ),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::testing::texts;

    fn class(name: &str, value: i64) -> Value {
        let mut class = json!({"metadata": {"name": name}, "value": value});
        Rules.default(&mut class);
        class
    }

    #[test]
    fn users_stay_below_the_system() {
        assert!(Rules.validate(&class("high", 1_000_000_000)).is_empty());
        assert!(
            Rules
                .validate(&class("system-node-critical", 2_000_001_000))
                .is_empty()
        );
        assert_eq!(
            texts(&Rules.validate(&class("huge", 1_000_000_001))),
            ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"]
        );
        let stranger = texts(&Rules.validate(&class("system-mine", 1)));
        assert!(
            stranger[0].ends_with("error: system-mine is not a known system priority class"),
            "{stranger:?}"
        );
    }

    #[test]
    fn a_value_is_for_good() {
        assert_eq!(
            texts(&Rules.validate_update(&class("a", 2), &class("a", 1))),
            ["value: Forbidden: may not be changed in an update."]
        );
    }
}
