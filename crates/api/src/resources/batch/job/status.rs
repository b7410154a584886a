//! What the status of a Job may say, and how it may change: what has ended stays ended.

use std::collections::HashSet;

use jiff::Timestamp;
use serde_json::Value;

use super::{indexes, is_true};
use crate::field::{FieldError, Path};
use crate::resources::object::{given, int, list, text};
use crate::resources::workload::counts;

/// Faults of a status update.
pub(super) fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let path = Path::new("status");
    let mut errors = counted(&new["status"], &path);
    errors.extend(conditions(new, &path));
    errors.extend(times(new, &path));
    errors.extend(finished(new, &path));
    errors.extend(index_sets(new, &path));
    errors.extend(transitions(new, old, &path));
    errors
}

/// A fault that shows no value.
fn unshown(path: &Path, detail: impl Into<String>) -> FieldError {
    let mut error = FieldError::invalid(path, Value::Null, detail);
    error.value = None;
    error
}

fn counted(status: &Value, path: &Path) -> Vec<FieldError> {
    let all = ["active", "succeeded", "failed", "ready", "terminating"];
    let mut errors = counts(status, path, &all);
    let mut seen = HashSet::new();
    for field in ["succeeded", "failed"] {
        let at = path.child("uncountedTerminatedPods").child(field);
        let uids = list(&status["uncountedTerminatedPods"], field);
        for (index, uid) in uids.iter().filter_map(Value::as_str).enumerate() {
            if uid.is_empty() {
                errors.push(FieldError::invalid(
                    &at.index(index),
                    uid,
                    "must not be empty",
                ));
            } else if !seen.insert(uid) {
                errors.push(FieldError::duplicate(&at.index(index), uid));
            }
        }
    }
    let (ready, active) = (int(status, "ready"), int(status, "active").unwrap_or(0));
    if let Some(ready) = ready.filter(|ready| *ready > active) {
        let detail = "cannot set more ready pods than active";
        errors.push(FieldError::invalid(&path.child("ready"), ready, detail));
    }
    errors
}

fn conditions(job: &Value, path: &Path) -> Vec<FieldError> {
    let at = path.child("conditions");
    let [complete, failed, failing, met] =
        ["Complete", "Failed", "FailureTarget", "SuccessCriteriaMet"]
            .map(|kind| is_true(job, kind));
    [
        (
            complete && failed,
            "cannot set Complete=True and Failed=true conditions",
        ),
        (
            complete && failing,
            "cannot set Complete=True and FailureTarget=true conditions",
        ),
        (
            failed && !failing,
            "cannot set Failed=True condition without the FailureTarget=true condition",
        ),
        (
            complete && !met,
            "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
        ),
        (
            met && failed,
            "cannot set SuccessCriteriaMet=True and Failed=true conditions",
        ),
        (
            met && failing,
            "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions",
        ),
    ]
    .into_iter()
    .filter(|(broken, _)| *broken)
    .map(|(_, detail)| unshown(&at, detail))
    .collect()
}

fn times(job: &Value, path: &Path) -> Vec<FieldError> {
    let status = &job["status"];
    let at = path.child("completionTime");
    let (start, end) = (text(status, "startTime"), text(status, "completionTime"));
    let complete = is_true(job, "Complete");
    let mut errors = Vec::new();
    if !end.is_empty() && !complete {
        let detail = "cannot set completionTime when there is no Complete=True condition";
        errors.push(FieldError::invalid(&at, end, detail));
    }
    if end.is_empty() && complete {
        errors.push(FieldError::required(
            &at,
            "completionTime is required for Complete jobs",
        ));
    }
    let time = |text: &str| text.parse::<Timestamp>().ok();
    if let (Some(start), Some(ended)) = (time(start), time(end))
        && ended < start
    {
        let detail = "completionTime cannot be set before startTime";
        errors.push(FieldError::invalid(&at, end, detail));
    }
    errors
}

fn finished(job: &Value, path: &Path) -> Vec<FieldError> {
    if !is_true(job, "Complete") && !is_true(job, "Failed") {
        return Vec::new();
    }
    let status = &job["status"];
    let mut errors = Vec::new();
    for field in ["active", "terminating"] {
        if let Some(count) = int(status, field).filter(|count| *count > 0) {
            let detail = format!("{field}>0 is invalid for finished job");
            errors.push(FieldError::invalid(&path.child(field), count, detail));
        }
    }
    if !given(status, "startTime") {
        let detail = "startTime is required for finished job";
        errors.push(FieldError::required(&path.child("startTime"), detail));
    }
    let uncounted = &status["uncountedTerminatedPods"];
    if ["succeeded", "failed"]
        .iter()
        .any(|field| !list(uncounted, field).is_empty())
    {
        let at = path.child("uncountedTerminatedPods");
        let detail = "uncountedTerminatedPods needs to be empty for finished job";
        let (succeeded, failed) = (&uncounted["succeeded"], &uncounted["failed"]);
        let shown = format!("{{\"Succeeded\":{succeeded},\"Failed\":{failed}}}");
        errors.push(FieldError::invalid(&at, Value::Null, detail).showing(shown));
    }
    errors
}

fn index_sets(job: &Value, path: &Path) -> Vec<FieldError> {
    let (spec, status) = (&job["spec"], &job["status"]);
    let completed = text(status, "completedIndexes");
    let failed = status["failedIndexes"].as_str();
    let (completed_at, failed_at) = (path.child("completedIndexes"), path.child("failedIndexes"));
    let per_index = given(spec, "backoffLimitPerIndex");
    let mut errors = Vec::new();
    if let Some(completions) = int(spec, "completions") {
        if let Err(why) = indexes::count(completed, completions) {
            let detail = format!("error parsing completedIndexes: {why}");
            errors.push(FieldError::invalid(&completed_at, completed, detail));
        }
        if let Some(failed) = failed.filter(|_| per_index)
            && let Err(why) = indexes::count(failed, completions)
        {
            let detail = format!("error parsing failedIndexes: {why}");
            errors.push(FieldError::invalid(&failed_at, failed, detail));
        }
        if let Some(failed) = failed
            && let Some(index) = indexes::shared(completed, failed, completions)
        {
            let detail = format!("failedIndexes and completedIndexes overlap at index: {index}");
            errors.push(FieldError::invalid(&failed_at, failed, detail));
        }
    }
    if !completed.is_empty() && text(spec, "completionMode") != "Indexed" {
        let detail = "cannot set non-empty completedIndexes when non-indexed completion mode";
        errors.push(FieldError::invalid(&completed_at, completed, detail));
    }
    if let Some(failed) = failed.filter(|_| !per_index) {
        let detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null";
        errors.push(FieldError::invalid(&failed_at, failed, detail));
    }
    errors
}

fn transitions(new: &Value, old: &Value, path: &Path) -> Vec<FieldError> {
    let (after, before) = (&new["status"], &old["status"]);
    let at = path.child("conditions");
    let mut errors = Vec::new();
    for kind in ["Failed", "Complete", "FailureTarget"] {
        if is_true(old, kind) && !is_true(new, kind) {
            let detail = format!("cannot disable the terminal {kind}=True condition");
            errors.push(unshown(&at, detail));
        }
    }
    for field in ["failed", "succeeded"] {
        let count = int(after, field).unwrap_or(0);
        if count < int(before, field).unwrap_or(0) {
            let detail = format!("cannot decrease the {field} counter");
            errors.push(FieldError::invalid(&path.child(field), count, detail));
        }
    }
    let (end, ended) = (
        text(after, "completionTime"),
        text(before, "completionTime"),
    );
    if !end.is_empty() && !ended.is_empty() && end != ended {
        let at = path.child("completionTime");
        errors.push(FieldError::invalid(
            &at,
            end,
            "completionTime cannot be mutated",
        ));
    }
    let (start, started) = (text(after, "startTime"), text(before, "startTime"));
    if !started.is_empty() && start != started && new["spec"]["suspend"] != true {
        let detail = "startTime cannot be removed for unsuspended job";
        errors.push(FieldError::required(&path.child("startTime"), detail));
    }
    let met = "SuccessCriteriaMet";
    if is_true(old, met) && !is_true(new, met) {
        errors.push(unshown(
            &at,
            "cannot disable the SuccessCriteriaMet=True condition",
        ));
    }
    if is_true(old, "Complete") && !is_true(old, met) && is_true(new, met) {
        let detail =
            "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
        errors.push(unshown(&at, detail));
    }
    errors
}
