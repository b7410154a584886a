//! What a Job must be and may become.

use serde_json::Value;

use super::policies::{failure_policy, success_policy};
use super::{NAME_LABELS, UID_LABELS};
use crate::field::{FieldError, Path};
use crate::names;
use crate::resources::checks::{each, immutable, label_selector, not_negative};
use crate::resources::object::{given, int, list, put, text};
use crate::resources::pod_template::{internal, validate_template};
use crate::resources::workload::template_selected;
use crate::selector::Selector;
use crate::{meta, resources};

/// Pods of an indexed Job that may run at once.
const PARALLELISM_MAX: i64 = 100_000;
/// Indexes that may fail.
const FAILED_MAX: i64 = 100_000;
/// Beyond this many completions the limits are stricter.
const MANY_COMPLETIONS: i64 = 100_000;
const STRICT_MAX: i64 = 10_000;
const MANAGED_BY_MAX: usize = 63;

/// Faults of a new Job.
pub(super) fn create(object: &Value) -> Vec<FieldError> {
    let mut errors = own_selector(object);
    errors.extend(whole(&object["spec"], &Path::new("spec")));
    let spec = &object["spec"];
    if text(spec, "completionMode") == "Indexed"
        && let Some(completions) = int(spec, "completions").filter(|completions| *completions > 0)
    {
        // Pods of an indexed Job have the index in their host name.
        let name = meta::name(object);
        let last = format!("{name}-{}", completions - 1);
        if !names::dns1123_label(&last, false).is_empty() {
            let detail = format!("will not able to create pod with invalid DNS label: {last}");
            errors.push(FieldError::invalid(
                &Path::new("metadata.name"),
                name,
                detail,
            ));
        }
    }
    errors
}

/// A selector that was made, or should have been, selects this Job's pods and no others.
fn own_selector(object: &Value) -> Vec<FieldError> {
    let spec = &object["spec"];
    if spec["manualSelector"] == true || !given(spec, "selector") {
        return Vec::new();
    }
    let metadata = &object["metadata"];
    let (uid, name) = (text(metadata, "uid"), text(metadata, "name"));
    let labels = &spec["template"]["metadata"]["labels"];
    let path = Path::new("spec.template.metadata.labels");
    let mut errors = Vec::new();
    let mut expected = serde_json::json!({});
    // Upstream looks for the older names first.
    for at in [1, 0] {
        for (key, value) in [(UID_LABELS[at], uid), (NAME_LABELS[at], name)] {
            put(&mut expected, key, value.into());
            match labels.get(key).and_then(Value::as_str) {
                Some(found) if found == value => {}
                Some(_) => {
                    let detail = format!("must be '{value}'");
                    errors.push(FieldError::invalid(&path.key(key), labels.clone(), detail));
                }
                None => {
                    let detail = format!("must be '{value}'");
                    errors.push(FieldError::required(&path.key(key), detail));
                }
            }
        }
    }
    let selects_own =
        Selector::from_object(&spec["selector"]).is_ok_and(|selector| selector.matches(&expected));
    if !selects_own {
        let detail = "`selector` not auto-generated";
        let shown = spec["selector"].clone();
        errors.push(FieldError::invalid(
            &Path::new("spec.selector"),
            shown,
            detail,
        ));
    }
    errors
}

/// The spec of a Job itself, whose selector is known.
fn whole(job: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = spec(job, path);
    let at = path.child("selector");
    if given(job, "selector") {
        errors.extend(label_selector(&job["selector"], &at));
    } else {
        errors.push(FieldError::required(&at, ""));
    }
    errors.extend(template_selected(job, path));
    errors
}

/// The spec of a Job, wherever it stands.
pub(in super::super) fn spec(job: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        errors.extend(not_negative(job, field, path));
    }
    if given(job, "maxFailedIndexes") && !given(job, "backoffLimitPerIndex") {
        let detail = "when maxFailedIndexes is specified";
        errors.push(FieldError::required(
            &path.child("backoffLimitPerIndex"),
            detail,
        ));
    }
    errors.extend(managed_by(job, path));
    errors.extend(completion_mode(job, path));
    if given(job, "podFailurePolicy") {
        errors.extend(failure_policy(job, &path.child("podFailurePolicy")));
    }
    if given(job, "successPolicy") {
        errors.extend(success_policy(job, &path.child("successPolicy")));
    }
    errors.extend(replacement_policy(job, path));
    errors.extend(validate_template(&job["template"], &path.child("template")));
    errors.extend(restart_policy(job, path));
    errors
}

fn managed_by(job: &Value, path: &Path) -> Vec<FieldError> {
    let Some(manager) = job["managedBy"].as_str() else {
        return Vec::new();
    };
    let at = path.child("managedBy");
    if manager.is_empty() {
        return vec![FieldError::required(&at, "")];
    }
    let mut errors = Vec::new();
    match manager.split_once('/') {
        Some((domain, rest)) if !domain.is_empty() && !rest.is_empty() => {
            errors.extend(each(names::dns1123_subdomain(domain, false), &at, domain));
            let fine = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b);
            if !rest.bytes().all(fine) {
                let detail = "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')";
                errors.push(FieldError::invalid(&at, rest, detail));
            }
        }
        _ => {
            let detail = "must be a domain-prefixed path (such as \"acme.io/foo\")";
            errors.push(FieldError::invalid(&at, manager, detail));
        }
    }
    if manager.len() > MANAGED_BY_MAX {
        errors.push(FieldError::too_long(&at, MANAGED_BY_MAX));
    }
    errors
}

fn completion_mode(job: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (mode, at) = (text(job, "completionMode"), path.child("completionMode"));
    match mode {
        "Indexed" => errors.extend(indexed(job, path)),
        "" | "NonIndexed" => {
            for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
                if let Some(value) = int(job, field) {
                    let detail = "requires indexed completion mode";
                    errors.push(FieldError::invalid(&path.child(field), value, detail));
                }
            }
        }
        other => errors.push(FieldError::not_supported(
            &at,
            other,
            &["NonIndexed", "Indexed"],
        )),
    }
    errors
}

fn indexed(job: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let completions = int(job, "completions");
    let (parallelism, failed) = (int(job, "parallelism"), int(job, "maxFailedIndexes"));
    let invalid = |field: &str, value: i64, detail: String| {
        FieldError::invalid(&path.child(field), value, detail)
    };
    if completions.is_none() {
        let detail = "when completion mode is Indexed";
        errors.push(FieldError::required(&path.child("completions"), detail));
    }
    if let Some(parallelism) = parallelism.filter(|parallelism| *parallelism > PARALLELISM_MAX) {
        let detail = format!(
            "must be less than or equal to {PARALLELISM_MAX} when completion mode is Indexed"
        );
        errors.push(invalid("parallelism", parallelism, detail));
    }
    if let (Some(completions), Some(failed)) = (completions, failed)
        && failed > completions
    {
        let detail = "must be less than or equal to completions".to_owned();
        errors.push(invalid("maxFailedIndexes", failed, detail));
    }
    if let Some(failed) = failed.filter(|failed| *failed > FAILED_MAX) {
        let detail = format!("must be less than or equal to {FAILED_MAX}");
        errors.push(invalid("maxFailedIndexes", failed, detail));
    }
    let many = completions.is_some_and(|completions| completions > MANY_COMPLETIONS);
    if !many || !given(job, "backoffLimitPerIndex") {
        return errors;
    }
    if failed.is_none() {
        let detail = format!("must be specified when completions is above {MANY_COMPLETIONS}");
        errors.push(FieldError::required(
            &path.child("maxFailedIndexes"),
            detail,
        ));
    }
    for (field, value) in [("parallelism", parallelism), ("maxFailedIndexes", failed)] {
        if let Some(value) = value.filter(|value| *value > STRICT_MAX) {
            let detail = format!(
                "must be less than or equal to {STRICT_MAX} when completions are above {MANY_COMPLETIONS} and used \
                 with backoff limit per index"
            );
            errors.push(invalid(field, value, detail));
        }
    }
    errors
}

fn replacement_policy(job: &Value, path: &Path) -> Option<FieldError> {
    let (policy, at) = (
        job["podReplacementPolicy"].as_str()?,
        path.child("podReplacementPolicy"),
    );
    let supported: &[&str] = if given(job, "podFailurePolicy") {
        &["Failed"]
    } else {
        &["Failed", "TerminatingOrFailed"]
    };
    (!supported.contains(&policy)).then(|| FieldError::not_supported(&at, policy, supported))
}

fn restart_policy(job: &Value, path: &Path) -> Option<FieldError> {
    let at = path.child("template").child("spec").child("restartPolicy");
    match text(&job["template"]["spec"], "restartPolicy") {
        "Always" | "" => {
            let detail = "valid values: \"OnFailure\", \"Never\"";
            Some(FieldError::required(&at, detail))
        }
        "OnFailure" if given(job, "podFailurePolicy") => {
            let detail = "only \"Never\" is supported when podFailurePolicy is specified";
            Some(FieldError::invalid(&at, "OnFailure", detail))
        }
        "OnFailure" | "Never" => None,
        other => Some(FieldError::not_supported(
            &at,
            other,
            &["OnFailure", "Never"],
        )),
    }
}

/// Faults of an update.
pub(super) fn update(new: &Value, old: &Value) -> Vec<FieldError> {
    let (after, before, path) = (&new["spec"], &old["spec"], Path::new("spec"));
    let mut errors = whole(after, &path);
    errors.extend(changed_completions(after, before, &path));
    errors.extend(immutable(after, before, "selector", &path));
    errors.extend(changed_template(new, old, &path));
    for field in [
        "completionMode",
        "podFailurePolicy",
        "backoffLimitPerIndex",
        "managedBy",
        "successPolicy",
    ] {
        errors.extend(immutable(after, before, field, &path));
    }
    errors
}

/// An indexed Job may grow and shrink as long as all its indexes run at once.
fn changed_completions(after: &Value, before: &Value, path: &Path) -> Option<FieldError> {
    if text(after, "completionMode") != "Indexed" {
        return immutable(after, before, "completions", path);
    }
    let completions = int(after, "completions")?;
    let changed = int(before, "completions") != Some(completions);
    (changed && int(after, "parallelism") != Some(completions)).then(|| {
        let detail = "can only be modified in tandem with spec.parallelism";
        FieldError::invalid(&path.child("completions"), completions, detail)
    })
}

/// The template stays, but while nothing of the Job runs: then, where its pods may go and what they ask for may change.
fn changed_template(new: &Value, old: &Value, path: &Path) -> Option<FieldError> {
    let resting = old["spec"]["suspend"] == true
        && new["spec"]["suspend"] == true
        && int(&old["status"], "active").unwrap_or(0) == 0;
    let mut comparable = new.clone();
    let (template, at) = (&mut comparable["spec"]["template"], path.child("template"));
    let before = &old["spec"]["template"];
    if resting {
        put(template, "metadata", before["metadata"].clone());
        allow_directives(&mut template["spec"], &before["spec"]);
    }
    if resources::same(
        "batch",
        "v1",
        "Job",
        "spec",
        &only_template(&comparable),
        &only_template(old),
    ) {
        return None;
    }
    let template = &new["spec"]["template"];
    let detail = "field is immutable";
    Some(if resting {
        let shown = internal::pod_spec(&template["spec"]).compact();
        FieldError::invalid(&at.child("spec"), Value::Null, detail).showing(shown)
    } else {
        let shown = internal::pod_template(template).compact();
        FieldError::invalid(&at, Value::Null, detail).showing(shown)
    })
}

/// An object whose spec is its template alone.
fn only_template(object: &Value) -> Value {
    serde_json::json!({"spec": {"template": object["spec"]["template"]}})
}

/// Takes back what may change of a resting Job's pods: scheduling directives and amounts of resources.
fn allow_directives(pod: &mut Value, before: &Value) {
    for field in ["nodeSelector", "tolerations", "schedulingGates"] {
        put(pod, field, before[field].clone());
    }
    let mut affinity = pod["affinity"].clone();
    if !affinity.is_object() {
        affinity = serde_json::json!({});
    }
    put(
        &mut affinity,
        "nodeAffinity",
        before["affinity"]["nodeAffinity"].clone(),
    );
    let none =
        affinity.as_object().is_some_and(serde_json::Map::is_empty) && before["affinity"].is_null();
    put(pod, "affinity", if none { Value::Null } else { affinity });
    for field in ["containers", "initContainers"] {
        let amounts: Vec<_> = list(before, field)
            .iter()
            .map(|container| container["resources"].clone())
            .collect();
        for (container, amounts) in resources::object::items(pod, field).zip(amounts) {
            put(container, "resources", amounts);
        }
    }
}
