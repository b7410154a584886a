//! The policies by which a Job fails or succeeds before all its pods have.

use std::collections::HashSet;

use serde_json::Value;

use super::indexes;
use crate::field::{FieldError, Path};
use crate::names;
use crate::resources::checks::{each, not_negative};
use crate::resources::object::{given, int, list, text};

const RULES_MAX: usize = 20;
const CODES_MAX: usize = 255;
const PATTERNS_MAX: usize = 20;
const INDEXES_MAX: usize = 64 * 1024;
const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
const STATES: [&str; 3] = ["False", "True", "Unknown"];

/// What a value must be one of, as a `Required` fault tells it.
fn one_of(values: &[&str]) -> String {
    let quoted: Vec<_> = values.iter().map(|value| format!("{value:?}")).collect();
    format!("valid values: [{}]", quoted.join(" "))
}

/// `spec.podFailurePolicy`.
pub(super) fn failure_policy(job: &Value, path: &Path) -> Vec<FieldError> {
    let (rules, at) = (list(&job["podFailurePolicy"], "rules"), path.child("rules"));
    let mut errors = Vec::new();
    if rules.len() > RULES_MAX {
        errors.push(FieldError::too_many(&at, rules.len(), RULES_MAX));
    }
    let pod = &job["template"]["spec"];
    let containers: HashSet<_> = ["containers", "initContainers"]
        .into_iter()
        .flat_map(|field| list(pod, field))
        .map(|container| text(container, "name"))
        .collect();
    for (index, rule) in rules.iter().enumerate() {
        errors.extend(failure_rule(job, rule, &at.index(index), &containers));
    }
    errors
}

fn failure_rule(
    job: &Value,
    rule: &Value,
    path: &Path,
    containers: &HashSet<&str>,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (action, at) = (text(rule, "action"), path.child("action"));
    match action {
        "" => errors.push(FieldError::required(&at, one_of(&ACTIONS))),
        "FailIndex" if !given(job, "backoffLimitPerIndex") => {
            let detail = "requires the backoffLimitPerIndex to be set";
            errors.push(FieldError::invalid(&at, action, detail));
        }
        action if !ACTIONS.contains(&action) => {
            errors.push(FieldError::not_supported(&at, action, &ACTIONS));
        }
        _ => {}
    }
    let (by_code, patterns) = (given(rule, "onExitCodes"), list(rule, "onPodConditions"));
    if by_code {
        let at = path.child("onExitCodes");
        errors.extend(exit_codes(&rule["onExitCodes"], &at, containers));
    }
    if !patterns.is_empty() {
        errors.extend(conditions(patterns, &path.child("onPodConditions")));
    }
    let unshown = |detail: &str| {
        let mut error = FieldError::invalid(path, Value::Null, detail);
        error.value = None;
        error
    };
    match (by_code, patterns.is_empty()) {
        (true, false) => errors.push(unshown(
            "specifying both OnExitCodes and OnPodConditions is not supported",
        )),
        (false, true) => errors.push(unshown(
            "specifying one of OnExitCodes and OnPodConditions is required",
        )),
        _ => {}
    }
    errors
}

fn conditions(patterns: &[Value], path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if patterns.len() > PATTERNS_MAX {
        errors.push(FieldError::too_many(path, patterns.len(), PATTERNS_MAX));
    }
    for (index, pattern) in patterns.iter().enumerate() {
        let at = path.index(index);
        let (kind, status) = (text(pattern, "type"), text(pattern, "status"));
        errors.extend(each(names::qualified_name(kind), &at.child("type"), kind));
        let at = at.child("status");
        if status.is_empty() {
            errors.push(FieldError::required(&at, one_of(&STATES)));
        } else if !STATES.contains(&status) {
            errors.push(FieldError::not_supported(&at, status, &STATES));
        }
    }
    errors
}

fn exit_codes(codes: &Value, path: &Path, containers: &HashSet<&str>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (operator, at) = (text(codes, "operator"), path.child("operator"));
    let operators = ["In", "NotIn"];
    if operator.is_empty() {
        errors.push(FieldError::required(&at, one_of(&operators)));
    } else if !operators.contains(&operator) {
        errors.push(FieldError::not_supported(&at, operator, &operators));
    }
    if let Some(container) = codes["containerName"].as_str()
        && !containers.contains(container)
    {
        let at = path.child("containerName");
        let detail = "must be one of the container or initContainer names in the pod template";
        errors.push(FieldError::invalid(&at, container, detail));
    }
    let (values, at) = (list(codes, "values"), path.child("values"));
    if values.is_empty() {
        let given = codes.get("values").cloned().unwrap_or_default();
        errors.push(FieldError::invalid(
            &at,
            given,
            "at least one value is required",
        ));
    } else if values.len() > CODES_MAX {
        errors.push(FieldError::too_many(&at, values.len(), CODES_MAX));
    }
    let numbers: Vec<_> = values.iter().filter_map(Value::as_i64).collect();
    let mut seen = HashSet::new();
    for (index, code) in numbers.iter().enumerate() {
        let at = at.index(index);
        if operator == "In" && *code == 0 {
            let detail = "must not be 0 for the In operator";
            errors.push(FieldError::invalid(&at, *code, detail));
        }
        if !seen.insert(code) {
            errors.push(FieldError::duplicate(&at, *code));
        }
    }
    if !numbers.is_sorted() {
        errors.push(FieldError::invalid(&at, values.to_vec(), "must be ordered"));
    }
    errors
}

/// `spec.successPolicy`.
pub(super) fn success_policy(job: &Value, path: &Path) -> Vec<FieldError> {
    let policy = &job["successPolicy"];
    if text(job, "completionMode") != "Indexed" {
        let detail = "requires indexed completion mode";
        let fault = FieldError::invalid(path, Value::Null, detail);
        return vec![fault.showing(shown_policy(policy))];
    }
    let (rules, at) = (list(policy, "rules"), path.child("rules"));
    let mut errors = Vec::new();
    if rules.is_empty() {
        let detail = "at least one rules must be specified when the successPolicy is specified";
        errors.push(FieldError::required(&at, detail));
    }
    if rules.len() > RULES_MAX {
        errors.push(FieldError::too_many(&at, rules.len(), RULES_MAX));
    }
    let completions = int(job, "completions").unwrap_or(0);
    for (index, rule) in rules.iter().enumerate() {
        errors.extend(success_rule(rule, completions, &at.index(index)));
    }
    errors
}

/// The policy under the names upstream prints.
fn shown_policy(policy: &Value) -> String {
    let rules: Vec<_> = list(policy, "rules")
        .iter()
        .map(|rule| {
            let (indexes, count) = (&rule["succeededIndexes"], &rule["succeededCount"]);
            format!("{{\"SucceededIndexes\":{indexes},\"SucceededCount\":{count}}}")
        })
        .collect();
    let rules = match policy.get("rules") {
        Some(_) => format!("[{}]", rules.join(",")),
        None => "null".to_owned(),
    };
    format!("{{\"Rules\":{rules}}}")
}

fn success_rule(rule: &Value, completions: i64, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if !given(rule, "succeededCount") && !given(rule, "succeededIndexes") {
        let detail = "at least one of succeededCount or succeededIndexes must be specified";
        errors.push(FieldError::required(path, detail));
    }
    let mut total = 0;
    if let Some(text) = rule["succeededIndexes"].as_str() {
        let at = path.child("succeededIndexes");
        if text.len() > INDEXES_MAX {
            errors.push(FieldError::too_long(&at, INDEXES_MAX));
        }
        match indexes::count(text, completions) {
            Ok(count) => total = count,
            Err(why) => {
                let detail = format!("error parsing succeededIndexes: {why}");
                errors.push(FieldError::invalid(&at, text, detail));
            }
        }
    }
    if let Some(count) = int(rule, "succeededCount") {
        let at = path.child("succeededCount");
        errors.extend(not_negative(rule, "succeededCount", path));
        if count > completions {
            let detail = format!(
                "must be less than or equal to {completions} (the number of specified completions)"
            );
            errors.push(FieldError::invalid(&at, count, detail));
        }
        if given(rule, "succeededIndexes") && count > total {
            let detail = format!(
                "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
            );
            errors.push(FieldError::invalid(&at, count, detail));
        }
    }
    errors
}
