//! Job (batch/v1): pods that run to their end.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::field::{FieldError, Path};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy, Subresource};
use crate::resources::columns::{AGE, CONTAINERS, IMAGES, NAME, cell, wide};
use crate::resources::object::{ensure, fill, given, inside, int, items, list, put, text};
use crate::resources::pod_template::default_template;
use crate::resources::workload::{
    container_cells, selector_cell, warn_changed_template, warn_name,
};
use crate::resources::{first_generation, keep, next_generation};
use crate::{meta, table};

mod indexes;
mod policies;
mod status;
mod validation;

pub(super) use validation::spec as validate_spec;

/// Labels of a Job's pods that hold its UID: today's, and one that came before.
const UID_LABELS: [&str; 2] = ["batch.kubernetes.io/controller-uid", "controller-uid"];
/// Labels of a Job's pods that hold its name.
const NAME_LABELS: [&str; 2] = ["batch.kubernetes.io/job-name", "job-name"];

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "batch",
        version: "v1",
        kind: "Job",
        list_kind: "JobList",
        plural: "jobs",
        singular: "job",
        short_names: &[],
        categories: &["all"],
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
        let spec = ensure(object, "spec");
        if !given(spec, "completions") && !given(spec, "parallelism") {
            put(spec, "completions", 1.into());
        }
        fill(spec, "parallelism", 1);
        let retries = if given(spec, "backoffLimitPerIndex") {
            i32::MAX
        } else {
            6
        };
        fill(spec, "backoffLimit", retries);
        fill(spec, "completionMode", "NonIndexed");
        fill(spec, "suspend", false);
        fill(spec, "manualSelector", false);
        let replaced = if given(spec, "podFailurePolicy") {
            "Failed"
        } else {
            "TerminatingOrFailed"
        };
        fill(spec, "podReplacementPolicy", replaced);
        default_failure_policy(spec);
        default_template(ensure(spec, "template"));
        label_like_template(object);
        ensure(object, "status");
    }

    fn prepare_create(&self, object: &mut Value) {
        put(object, "status", json!({}));
        first_generation(object);
        if object["spec"]["manualSelector"] != true {
            select_own(object);
        }
        // The labels that were made are read as any others.
        label_like_template(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        keep(new, old, "status");
        next_generation("batch", "v1", "Job", new, old);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        validation::create(object)
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        validation::update(new, old)
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        status::update(new, old)
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let mut warnings = Vec::new();
        if old.is_none() {
            warnings.extend(warn_name(new));
        }
        let before = old.map(|old| &old["spec"]);
        warnings.extend(warn_spec(&new["spec"], before, &Path::new("spec")));
        warnings
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let spec = &object["spec"];
        let [containers, images] = container_cells(&spec["template"]);
        vec![
            meta::name(object).into(),
            summary(object).into(),
            completions(object).into(),
            duration(&object["status"], now).into(),
            table::age(object, now),
            containers,
            images,
            selector_cell(&spec["selector"]),
        ]
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        let succeeded = int(&object["status"], "succeeded").unwrap_or(0);
        vec![("status.successful", succeeded.to_string())]
    }

    fn orphans_by_default(&self) -> bool {
        true
    }

    fn deletion_warning(&self) -> Option<&'static str> {
        Some(
            "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove \
             them or set propagationPolicy=Orphan to suppress this warning",
        )
    }
}

/// A condition pattern without a status means that the condition holds.
pub(super) fn default_failure_policy(spec: &mut Value) {
    if let Some(policy) = inside(spec, "podFailurePolicy") {
        for rule in items(policy, "rules") {
            for pattern in items(rule, "onPodConditions") {
                fill(pattern, "status", "True");
            }
        }
    }
}

/// A Job without labels has those of its template.
fn label_like_template(object: &mut Value) {
    let labels = object["spec"]["template"]["metadata"]["labels"].clone();
    let has = |labels: &Value| {
        labels
            .as_object()
            .is_some_and(|map: &Map<_, _>| !map.is_empty())
    };
    if has(&labels) && !has(&object["metadata"]["labels"]) {
        put(ensure(object, "metadata"), "labels", labels);
    }
}

/// Makes the selector and the labels that are this Job's alone. What a client set is kept, to be judged.
fn select_own(object: &mut Value) {
    let uid = object["metadata"]["uid"].clone();
    let name = object["metadata"]["name"].clone();
    let spec = ensure(object, "spec");
    let labels = ensure(ensure(ensure(spec, "template"), "metadata"), "labels");
    for (keys, value) in [(UID_LABELS, &uid), (NAME_LABELS, &name)] {
        for key in keys {
            fill(labels, key, value.clone());
        }
    }
    let selector = ensure(spec, "selector");
    fill(ensure(selector, "matchLabels"), UID_LABELS[0], uid);
}

/// Warnings about the spec of a Job, wherever it stands.
pub(super) fn warn_spec(spec: &Value, old: Option<&Value>, path: &Path) -> Vec<String> {
    let before = old.map(|old| &old["template"]);
    let mut warnings = Vec::new();
    let many = |field: &str, limit: i64| int(spec, field).is_some_and(|count| count > limit);
    if text(spec, "completionMode") == "Indexed"
        && many("completions", 100_000)
        && many("parallelism", 10_000)
    {
        warnings.push(format!(
            "{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than \
             10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
        ));
    }
    let at = path.child("template");
    warnings.extend(warn_changed_template(&spec["template"], before, &at));
    warnings
}

/// Whether a condition of the Job is true.
fn is_true(object: &Value, kind: &str) -> bool {
    list(&object["status"], "conditions")
        .iter()
        .any(|condition| condition["type"] == kind && condition["status"] == "True")
}

fn summary(object: &Value) -> &'static str {
    if is_true(object, "Complete") {
        "Complete"
    } else if is_true(object, "Failed") {
        "Failed"
    } else if given(&object["metadata"], "deletionTimestamp") {
        "Terminating"
    } else if is_true(object, "Suspended") {
        "Suspended"
    } else if is_true(object, "FailureTarget") {
        "FailureTarget"
    } else if is_true(object, "SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    }
}

fn completions(object: &Value) -> String {
    let spec = &object["spec"];
    let succeeded = int(&object["status"], "succeeded").unwrap_or(0);
    let parallelism = int(spec, "parallelism").unwrap_or(0);
    match int(spec, "completions") {
        Some(wanted) => format!("{succeeded}/{wanted}"),
        None if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        None => format!("{succeeded}/1"),
    }
}

fn duration(status: &Value, now: Timestamp) -> String {
    let time = |field: &str| text(status, field).parse::<Timestamp>().ok();
    match time("startTime") {
        None => String::new(),
        Some(start) => {
            let end = time("completionTime").unwrap_or(now);
            table::human_duration(end.as_second() - start.as_second())
        }
    }
}

const COLUMNS: &[Column] = &[
    NAME,
    cell("Status", "Status of the job."),
    cell(
        "Completions",
        "The number of pods which reached phase Succeeded. The value increases monotonically for a given spec. However, it may decrease in reaction to scale down of elastic indexed jobs.",
    ),
    cell("Duration", "Time required to complete the job."),
    AGE,
    CONTAINERS,
    IMAGES,
    wide(
        "Selector",
        "A label query over pods that should match the pod count. Normally, the system sets this field for you. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors",
    ),
];

#[cfg(test)]
mod tests;
