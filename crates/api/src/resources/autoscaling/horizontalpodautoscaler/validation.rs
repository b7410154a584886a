//! What an autoscaler may be told to do.

use serde_json::Value;

use crate::field::{FieldError, Path};
use crate::names;
use crate::resources::checks::{amount, each, label};
use crate::resources::object::{amount_of, given, int, list, text};
use crate::resources::resource_names;

const PERIOD_MAX: i64 = 1800;
const WINDOW_MAX: i64 = 3600;
const SOURCES: [&str; 5] = [
    "ContainerResource",
    "External",
    "Object",
    "Pods",
    "Resource",
];
/// Fields of the sources, in the order upstream looks at them.
const SOURCE_FIELDS: [&str; 5] = [
    "object",
    "external",
    "pods",
    "resource",
    "containerResource",
];

/// Faults of a spec; `old` is what an update changes.
pub(super) fn spec(spec: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let path = Path::new("spec");
    let mut errors = Vec::new();
    let (min, max) = (
        int(spec, "minReplicas"),
        int(spec, "maxReplicas").unwrap_or(0),
    );
    // Scaling to none needs a feature that is off, but who has it keeps it.
    let least = i64::from(old.and_then(|old| int(old, "minReplicas")) != Some(0));
    if let Some(min) = min.filter(|min| *min < least) {
        let detail = format!("must be greater than or equal to {least}");
        errors.push(FieldError::invalid(&path.child("minReplicas"), min, detail));
    }
    let at = path.child("maxReplicas");
    if max < 1 {
        errors.push(FieldError::invalid(&at, max, "must be greater than 0"));
    }
    if min.is_some_and(|min| max < min) {
        let detail = "must be greater than or equal to `minReplicas`";
        errors.push(FieldError::invalid(&at, max, detail));
    }
    let target = &spec["scaleTargetRef"];
    let at = path.child("scaleTargetRef");
    errors.extend(reference(target, &at));
    // A target without a group that was let in once may stay; replication controllers have none.
    let let_in = old.is_some_and(|old| !group_faults(&old["scaleTargetRef"], true).is_empty());
    if !let_in {
        let needs_group = text(target, "kind") != "ReplicationController";
        let faults = group_faults(target, needs_group);
        errors.extend(each(
            faults,
            &at.child("apiVersion"),
            text(target, "apiVersion"),
        ));
    }
    errors.extend(metrics(spec, min, &path.child("metrics")));
    let at = path.child("behavior");
    for direction in ["scaleUp", "scaleDown"] {
        if given(&spec["behavior"], direction) {
            errors.extend(rules(&spec["behavior"][direction], &at.child(direction)));
        }
    }
    errors
}

fn reference(reference: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for field in ["kind", "name"] {
        let (value, at) = (text(reference, field), path.child(field));
        if value.is_empty() {
            errors.push(FieldError::required(&at, ""));
        } else {
            errors.extend(each(names::path_segment(value, false), &at, value));
        }
    }
    errors
}

/// Why an `apiVersion` does not say where to look for the object.
fn group_faults(reference: &Value, needs_group: bool) -> Vec<String> {
    let version = text(reference, "apiVersion");
    match version.matches('/').count() {
        0 if needs_group => vec!["apiVersion must specify API group".to_owned()],
        1 if needs_group && version.starts_with('/') => {
            vec!["apiVersion must specify API group".to_owned()]
        }
        0 | 1 => Vec::new(),
        _ => vec![format!("unexpected GroupVersion string: {version}")],
    }
}

fn metrics(spec: &Value, min: Option<i64>, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let metrics = list(spec, "metrics");
    for (index, of) in metrics.iter().enumerate() {
        errors.extend(metric(of, &path.index(index)));
    }
    let from_outside = |metric: &Value| matches!(text(metric, "type"), "Object" | "External");
    if min == Some(0) && !metrics.iter().any(from_outside) {
        let detail = "must specify at least one Object or External metric to support scaling to zero replicas";
        errors.push(FieldError::forbidden(path, detail));
    }
    errors
}

fn metric(metric: &Value, path: &Path) -> Vec<FieldError> {
    let (kind, kind_at) = (text(metric, "type"), path.child("type"));
    let mut errors = Vec::new();
    if kind.is_empty() {
        errors.push(FieldError::required(
            &kind_at,
            "must specify a metric source type",
        ));
    }
    if !SOURCES.contains(&kind) {
        errors.push(FieldError::not_supported(&kind_at, kind, &SOURCES));
    }
    let present: Vec<_> = SOURCE_FIELDS
        .into_iter()
        .filter(|field| given(metric, field))
        .collect();
    if let Some(first) = present.first() {
        errors.extend(source(first, &metric[*first], &path.child(first)));
    }
    let expected = match kind {
        "ContainerResource" => "containerResource",
        "External" => "external",
        "Object" => "object",
        "Pods" => "pods",
        "Resource" => "resource",
        other => {
            errors.push(FieldError::not_supported(&kind_at, other, &SOURCES));
            ""
        }
    };
    if !expected.is_empty() && !given(metric, expected) {
        let detail = "must populate information for the given metric source";
        errors.push(FieldError::required(&path.child(expected), detail));
    }
    if present.len() != 1 {
        for field in present.iter().filter(|field| **field != expected) {
            let detail = "must populate the given metric source only";
            errors.push(FieldError::forbidden(&path.child(field), detail));
        }
    }
    errors
}

fn source(kind: &str, source: &Value, path: &Path) -> Vec<FieldError> {
    let (target, at) = (&source["target"], path.child("target"));
    let mut errors = Vec::new();
    let (value, average) = (given(target, "value"), given(target, "averageValue"));
    let utilization = given(target, "averageUtilization");
    let required = |field: &str, detail: &str| FieldError::required(&at.child(field), detail);
    let forbidden = |field: &str, detail: &str| FieldError::forbidden(&at.child(field), detail);
    match kind {
        "object" => {
            let (described, described_at) =
                (&source["describedObject"], path.child("describedObject"));
            errors.extend(reference(described, &described_at));
            let version = text(described, "apiVersion");
            let faults = group_faults(described, false);
            errors.extend(each(faults, &described_at.child("apiVersion"), version));
            errors.extend(identifier(source, path));
            errors.extend(metric_target(target, &at));
            if !value && !average {
                let detail = "must set either a target value or averageValue";
                errors.push(required("averageValue", detail));
            }
        }
        "external" => {
            errors.extend(identifier(source, path));
            errors.extend(metric_target(target, &at));
            if !value && !average {
                let detail = "must set either a target value for metric or a per-pod target";
                errors.push(required("averageValue", detail));
            }
            if value && average {
                let detail = "may not set both a target value for metric and a per-pod target";
                errors.push(forbidden("value", detail));
            }
        }
        "pods" => {
            errors.extend(identifier(source, path));
            errors.extend(metric_target(target, &at));
            if !average {
                let detail = "must specify a positive target averageValue";
                errors.push(required("averageValue", detail));
            }
        }
        _ => {
            errors.extend(resource(kind, source, path));
            errors.extend(metric_target(target, &at));
            if !utilization && !average {
                let detail = "must set either a target raw value or a target utilization";
                errors.push(required("averageUtilization", detail));
            }
            if utilization && average {
                let detail = "may not set both a target raw value and a target utilization";
                errors.push(forbidden("averageValue", detail));
            }
        }
    }
    errors
}

/// What is measured of pods, or of one container of them.
fn resource(kind: &str, source: &Value, path: &Path) -> Vec<FieldError> {
    let (name, at) = (text(source, "name"), path.child("name"));
    let mut errors = Vec::new();
    if name.is_empty() {
        errors.push(FieldError::required(&at, "must specify a resource name"));
    } else if kind == "containerResource" {
        errors.extend(resource_names::of_container(name, &at));
    }
    if kind == "containerResource" {
        if text(source, "container").is_empty() {
            let at = path.child("container");
            errors.push(FieldError::required(&at, "must specify a container"));
        } else {
            errors.extend(label(source, "container", path));
        }
    }
    errors
}

fn identifier(source: &Value, path: &Path) -> Vec<FieldError> {
    let at = path.child("metric").child("name");
    match text(&source["metric"], "name") {
        "" => vec![FieldError::required(&at, "must specify a metric name")],
        name => each(names::path_segment(name, false), &at, name),
    }
}

fn metric_target(target: &Value, path: &Path) -> Vec<FieldError> {
    let (kind, at) = (text(target, "type"), path.child("type"));
    let mut errors = Vec::new();
    if kind.is_empty() {
        errors.push(FieldError::required(
            &at,
            "must specify a metric target type",
        ));
    }
    if !matches!(kind, "Utilization" | "Value" | "AverageValue") {
        let detail = "must be either Utilization, Value, or AverageValue";
        errors.push(FieldError::invalid(&at, kind, detail));
    }
    for field in ["value", "averageValue"] {
        let at = path.child(field);
        if amount(&target[field], &at, true).is_some() {
            let shown = amount_of(&target[field]).map_or_else(String::new, |a| a.to_string());
            errors.push(FieldError::invalid(&at, shown, "must be positive"));
        }
    }
    if let Some(percent) = int(target, "averageUtilization").filter(|percent| *percent < 1) {
        let at = path.child("averageUtilization");
        errors.push(FieldError::invalid(&at, percent, "must be greater than 0"));
    }
    errors
}

/// How fast one direction may go.
fn rules(rules: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let at = path.child("stabilizationWindowSeconds");
    match int(rules, "stabilizationWindowSeconds") {
        Some(seconds) if seconds < 0 => {
            let detail = "must be greater than or equal to zero";
            errors.push(FieldError::invalid(&at, seconds, detail));
        }
        Some(seconds) if seconds > WINDOW_MAX => {
            let detail = format!("must be less than or equal to {WINDOW_MAX}");
            errors.push(FieldError::invalid(&at, seconds, detail));
        }
        _ => {}
    }
    let choices = ["Disabled", "Max", "Min"];
    if let Some(choice) = rules["selectPolicy"].as_str()
        && !choices.contains(&choice)
    {
        let at = path.child("selectPolicy");
        errors.push(FieldError::not_supported(&at, choice, &choices));
    }
    let (policies, at) = (list(rules, "policies"), path.child("policies"));
    if policies.is_empty() {
        errors.push(FieldError::required(
            &at,
            "must specify at least one Policy",
        ));
    }
    for (index, policy) in policies.iter().enumerate() {
        let at = at.index(index);
        let kinds = ["Percent", "Pods"];
        let kind = text(policy, "type");
        if !kinds.contains(&kind) {
            errors.push(FieldError::not_supported(&at.child("type"), kind, &kinds));
        }
        for field in ["value", "periodSeconds"] {
            let number = int(policy, field).unwrap_or(0);
            if number <= 0 {
                let detail = "must be greater than zero";
                errors.push(FieldError::invalid(&at.child(field), number, detail));
            }
        }
        let period = int(policy, "periodSeconds").unwrap_or(0);
        if period > PERIOD_MAX {
            let detail = format!("must be less than or equal to {PERIOD_MAX}");
            errors.push(FieldError::invalid(
                &at.child("periodSeconds"),
                period,
                detail,
            ));
        }
    }
    if let Some(tolerance) = amount_of(&rules["tolerance"]).filter(|t| t.sign().is_lt()) {
        let at = path.child("tolerance");
        let detail = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(&at, tolerance.to_string(), detail));
    }
    errors
}
