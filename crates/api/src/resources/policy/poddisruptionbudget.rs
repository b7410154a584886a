//! PodDisruptionBudget (policy/v1): how many pods of a set may be missing at a time because somebody wants them gone.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::field::{FieldError, Path};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy, Subresource};
use crate::resources::checks::{conditions, label_selector};
use crate::resources::columns::{AGE, NAME, cell, integer};
use crate::resources::object::{ensure, fill, given, int, put};
use crate::resources::pod_template::internal;
use crate::resources::workload::{counts, not_above_all, positive_share};
use crate::resources::{first_generation, keep, next_generation};
use crate::{meta, table};

/// Counts the status always shows.
const COUNTS: [&str; 4] = [
    "disruptionsAllowed",
    "currentHealthy",
    "desiredHealthy",
    "expectedPods",
];

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "policy",
        version: "v1",
        kind: "PodDisruptionBudget",
        list_kind: "PodDisruptionBudgetList",
        plural: "poddisruptionbudgets",
        singular: "poddisruptionbudget",
        short_names: &["pdb"],
        categories: &[],
        scope: Scope::Namespaced,
        verbs: ALL_VERBS,
        subresources: &[Subresource::Status],
        columns: COLUMNS,
        strategy: &Rules,
    }
}

struct Rules;

impl Strategy for Rules {
    fn default(&self, object: &mut Value) {
        ensure(object, "spec");
        show_counts(object);
    }

    fn prepare_create(&self, object: &mut Value) {
        put(object, "status", json!({}));
        show_counts(object);
        first_generation(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        keep(new, old, "status");
        next_generation("policy", "v1", "PodDisruptionBudget", new, old);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let mut errors = Vec::new();
        if given(spec, "minAvailable") && given(spec, "maxUnavailable") {
            let detail = "minAvailable and maxUnavailable cannot be both set";
            errors.push(FieldError::invalid(&path, Value::Null, detail).showing(shown(spec)));
        }
        for field in ["minAvailable", "maxUnavailable"] {
            let (value, at) = (&spec[field], path.child(field));
            errors.extend(positive_share(value, &at));
            errors.extend(not_above_all(value, &at));
        }
        if given(spec, "selector") {
            errors.extend(label_selector(&spec["selector"], &path.child("selector")));
        }
        let policies = ["AlwaysAllow", "IfHealthyBudget"];
        if let Some(policy) = spec["unhealthyPodEvictionPolicy"].as_str()
            && !policies.contains(&policy)
        {
            let at = path.child("unhealthyPodEvictionPolicy");
            errors.push(FieldError::not_supported(&at, policy, &policies));
        }
        errors
    }

    fn validate_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        self.validate(new)
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<FieldError> {
        let (status, path) = (&new["status"], Path::new("status"));
        let mut errors = conditions(status, &path);
        errors.extend(counts(status, &path, &COUNTS));
        errors
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let share = |field: &str| match &object["spec"][field] {
            Value::Null => Value::from("N/A"),
            Value::String(text) => text.as_str().into(),
            number => number.to_string().into(),
        };
        vec![
            meta::name(object).into(),
            share("minAvailable"),
            share("maxUnavailable"),
            int(&object["status"], "disruptionsAllowed")
                .unwrap_or(0)
                .into(),
            table::age(object, now),
        ]
    }
}

fn show_counts(object: &mut Value) {
    let status = ensure(object, "status");
    for field in COUNTS {
        fill(status, field, 0);
    }
}

/// The spec under the names upstream prints.
fn shown(spec: &Value) -> String {
    let selector = match &spec["selector"] {
        Value::Null => "null".to_owned(),
        selector => internal::label_selector(selector).compact(),
    };
    let (min, max) = (&spec["minAvailable"], &spec["maxUnavailable"]);
    let policy = &spec["unhealthyPodEvictionPolicy"];
    format!(
        "{{\"MinAvailable\":{min},\"Selector\":{selector},\"MaxUnavailable\":{max},\"UnhealthyPodEvictionPolicy\":{policy}}}"
    )
}

const COLUMNS: &[Column] = &[
    NAME,
    cell(
        "Min Available",
        "The minimum number of pods that must be available.",
    ),
    cell(
        "Max Unavailable",
        "The maximum number of pods that may be unavailable.",
    ),
    integer(
        "Allowed Disruptions",
        "Calculated number of pods that may be disrupted at this time.",
    ),
    AGE,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::texts;

    fn budget(spec: &Value) -> Value {
        let mut budget = json!({"metadata": {"name": "b"}, "spec": spec});
        Rules.default(&mut budget);
        budget
    }

    #[test]
    fn a_new_budget_allows_nothing_yet() {
        let mut minimal = budget(&json!({"maxUnavailable": "30%"}));
        minimal["status"]["disruptionsAllowed"] = 9.into();
        Rules.prepare_create(&mut minimal);
        assert_eq!(
            minimal["status"],
            json!({"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0})
        );
        assert!(Rules.validate(&minimal).is_empty());
        assert_eq!(
            Value::from(Rules.row(&minimal, Timestamp::UNIX_EPOCH)),
            json!(["b", "N/A", "30%", 0, "<unknown>"])
        );
    }

    #[test]
    fn specs_are_checked() {
        let both = json!({"minAvailable": 1, "maxUnavailable": 1, "selector": {"matchLabels": {"app": "a"}}});
        assert_eq!(
            texts(&Rules.validate(&budget(&both))),
            [
                "spec: Invalid value: {\"MinAvailable\":1,\"Selector\":{\"matchLabels\":{\"app\":\"a\"}},\"MaxUnavailable\":1,\"UnhealthyPodEvictionPolicy\":null}: minAvailable and maxUnavailable cannot be both set"
            ]
        );
        let bad = json!({"minAvailable": "150%", "unhealthyPodEvictionPolicy": "Maybe"});
        assert_eq!(
            texts(&Rules.validate(&budget(&bad))),
            [
                "spec.minAvailable: Invalid value: \"150%\": must not be greater than 100%",
                "spec.unhealthyPodEvictionPolicy: Unsupported value: \"Maybe\": supported values: \"AlwaysAllow\", \"IfHealthyBudget\""
            ]
        );
    }

    #[test]
    fn conditions_of_the_status_are_whole() {
        let old = budget(&json!({}));
        let mut new = old.clone();
        new["status"]["conditions"] =
            json!([{"type": "DisruptionAllowed", "status": "Perhaps", "reason": "9"}]);
        assert_eq!(
            texts(&Rules.validate_status_update(&new, &old)),
            [
                "status.conditions[0].status: Unsupported value: \"Perhaps\": supported values: \"False\", \"True\", \"Unknown\"",
                "status.conditions[0].lastTransitionTime: Required value: must be set",
                "status.conditions[0].reason: Invalid value: \"9\": a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')"
            ]
        );
    }
}
