//! CronJob (batch/v1): Jobs by the clock.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::job::{default_failure_policy, validate_spec, warn_spec};
use super::schedule;
use crate::field::{FieldError, Path};
use crate::resource::{ALL_VERBS, Column, Resource, Scope, Strategy, Subresource};
use crate::resources::checks::{not_negative, one_of};
use crate::resources::columns::{AGE, CONTAINERS, IMAGES, NAME, boolean, cell, integer, wide};
use crate::resources::object::{ensure, fill, given, list, put, text};
use crate::resources::pod_template::default_template;
use crate::resources::workload::{container_cells, selector_cell, warn_name};
use crate::resources::{first_generation, keep, next_generation};
use crate::{meta, table};

/// Jobs are named after their CronJob and eleven characters of time.
const NAME_MAX: usize = 52;

/// The kind's description.
pub(crate) fn resource() -> Resource {
    Resource {
        group: "batch",
        version: "v1",
        kind: "CronJob",
        list_kind: "CronJobList",
        plural: "cronjobs",
        singular: "cronjob",
        short_names: &["cj"],
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
        fill(spec, "concurrencyPolicy", "Allow");
        fill(spec, "suspend", false);
        fill(spec, "successfulJobsHistoryLimit", 3);
        fill(spec, "failedJobsHistoryLimit", 1);
        let template = ensure(spec, "jobTemplate");
        ensure(template, "metadata");
        let job = ensure(template, "spec");
        default_failure_policy(job);
        default_template(ensure(job, "template"));
        ensure(object, "status");
    }

    fn prepare_create(&self, object: &mut Value) {
        put(object, "status", json!({}));
        first_generation(object);
    }

    fn prepare_update(&self, new: &mut Value, old: &Value) {
        keep(new, old, "status");
        next_generation("batch", "v1", "CronJob", new, old);
    }

    fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = faults(object, None);
        let name = meta::name(object);
        if name.len() > NAME_MAX {
            let at = Path::new("metadata.name");
            let detail = format!("must be no more than {NAME_MAX} characters");
            errors.push(FieldError::invalid(&at, name, detail));
        }
        errors
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<FieldError> {
        faults(new, Some(&old["spec"]))
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let mut warnings = Vec::new();
        if old.is_none() {
            warnings.extend(warn_name(new));
        }
        let job = |object: &'_ Value| object["spec"]["jobTemplate"]["spec"].clone();
        let path = Path::new("spec.jobTemplate.spec");
        warnings.extend(warn_spec(&job(new), old.map(job).as_ref(), &path));
        if old.is_some() && text(&new["spec"], "schedule").contains("TZ") {
            warnings.push(
                "CRON_TZ or TZ used in spec.spec.schedule is not officially supported, see \
                 https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
                    .to_owned(),
            );
        }
        warnings
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let (spec, status) = (&object["spec"], &object["status"]);
        let zone = text(spec, "timeZone");
        let last = if given(status, "lastScheduleTime") {
            table::since(&status["lastScheduleTime"], now)
        } else {
            "<none>".to_owned()
        };
        let job = &spec["jobTemplate"]["spec"];
        let [containers, images] = container_cells(&job["template"]);
        vec![
            meta::name(object).into(),
            text(spec, "schedule").into(),
            if zone.is_empty() { "<none>" } else { zone }.into(),
            if spec["suspend"] == true {
                "True"
            } else {
                "False"
            }
            .into(),
            list(status, "active").len().into(),
            last.into(),
            table::age(object, now),
            containers,
            images,
            selector_cell(&job["selector"]),
        ]
    }
}

fn faults(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let (spec, path) = (&object["spec"], Path::new("spec"));
    let mut errors = when(spec, old, &path);
    errors.extend(not_negative(spec, "startingDeadlineSeconds", &path));
    let zone = spec.get("timeZone").filter(|zone| !zone.is_null());
    // A zone that left the database does not block other changes.
    if let Some(zone) = zone.and_then(Value::as_str)
        && old.is_none_or(|old| old.get("timeZone") != spec.get("timeZone"))
    {
        let at = path.child("timeZone");
        let faults = schedule::zone_faults(zone);
        errors.extend(
            faults
                .into_iter()
                .map(|why| FieldError::invalid(&at, zone, why)),
        );
    }
    let policies = ["Allow", "Forbid", "Replace"];
    errors.extend(one_of(spec, "concurrencyPolicy", &path, &policies, false));
    let at = path.child("jobTemplate").child("spec");
    let job = &spec["jobTemplate"]["spec"];
    errors.extend(validate_spec(job, &at));
    if given(job, "selector") {
        let detail = "`selector` will be auto-generated";
        errors.push(FieldError::invalid(
            &at.child("selector"),
            job["selector"].clone(),
            detail,
        ));
    }
    if job["manualSelector"] == true {
        let at = at.child("manualSelector");
        errors.push(FieldError::not_supported(&at, true, &["nil", "false"]));
    }
    errors.extend(not_negative(spec, "successfulJobsHistoryLimit", &path));
    errors.extend(not_negative(spec, "failedJobsHistoryLimit", &path));
    errors
}

/// The schedule. One with a zone inside is kept only where it was let in before zones had a field.
fn when(spec: &Value, old: Option<&Value>, path: &Path) -> Vec<FieldError> {
    let (given_schedule, at) = (text(spec, "schedule"), path.child("schedule"));
    if given_schedule.is_empty() {
        return vec![FieldError::required(&at, "")];
    }
    let invalid = |why: String| FieldError::invalid(&at, given_schedule, why);
    let mut errors: Vec<_> = schedule::fault(given_schedule)
        .map(invalid)
        .into_iter()
        .collect();
    if given_schedule.contains("TZ") {
        let let_in = old.is_some_and(|old| text(old, "schedule").contains("TZ"));
        if !let_in {
            let why = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
            errors.push(invalid(why.to_owned()));
        } else if given(spec, "timeZone") {
            let why = "cannot use both timeZone field and TZ or CRON_TZ in schedule";
            errors.push(invalid(why.to_owned()));
        }
    }
    errors
}

const COLUMNS: &[Column] = &[
    NAME,
    cell(
        "Schedule",
        "The schedule in Cron format, see https://en.wikipedia.org/wiki/Cron.",
    ),
    cell(
        "Timezone",
        "The time zone name for the given schedule, see https://en.wikipedia.org/wiki/List_of_tz_database_time_zones. If not specified, this will default to the time zone of the kube-controller-manager process. The set of valid time zone names and the time zone offset is loaded from the system-wide time zone database by the API server during CronJob validation and the controller manager during execution. If no system-wide time zone database can be found a bundled version of the database is used instead. If the time zone name becomes invalid during the lifetime of a CronJob or due to a change in host configuration, the controller will stop creating new new Jobs and will create a system event with the reason UnknownTimeZone. More information can be found in https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#time-zones",
    ),
    boolean(
        "Suspend",
        "This flag tells the controller to suspend subsequent executions, it does not apply to already started executions.  Defaults to false.",
    ),
    integer("Active", "A list of pointers to currently running jobs."),
    cell(
        "Last Schedule",
        "Information when was the last time the job was successfully scheduled.",
    ),
    AGE,
    CONTAINERS,
    IMAGES,
    wide(
        "Selector",
        "A label query over pods that should match the pod count. Normally, the system sets this field for you. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::testing::{merged, of_spec, texts};

    fn cron(spec: Value) -> Value {
        let mut cron = merged(
            json!({"metadata": {"name": "c"}, "spec": {"schedule": "*/5 * * * *", "jobTemplate": {"spec": {"template":
                {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}}}),
            of_spec(spec),
        );
        Rules.default(&mut cron);
        cron
    }

    #[test]
    fn a_minimal_cronjob_is_completed_but_for_its_jobs() {
        let minimal = cron(json!({}));
        let spec = &minimal["spec"];
        assert_eq!(spec["concurrencyPolicy"], "Allow");
        assert_eq!(
            (
                &spec["successfulJobsHistoryLimit"],
                &spec["failedJobsHistoryLimit"],
                &spec["suspend"]
            ),
            (&json!(3), &json!(1), &json!(false))
        );
        let job = spec["jobTemplate"]["spec"].as_object().unwrap();
        assert_eq!(job.keys().collect::<Vec<_>>(), ["template"]);
        assert!(Rules.validate(&minimal).is_empty());
    }

    #[test]
    fn specs_are_checked() {
        let bad = cron(
            json!({"schedule": "* * * *", "concurrencyPolicy": "Perhaps", "failedJobsHistoryLimit": -2}),
        );
        assert_eq!(
            texts(&Rules.validate(&bad)),
            [
                "spec.schedule: Invalid value: \"* * * *\": expected exactly 5 fields, found 4: [* * * *]",
                "spec.concurrencyPolicy: Unsupported value: \"Perhaps\": supported values: \"Allow\", \"Forbid\", \"Replace\"",
                "spec.failedJobsHistoryLimit: Invalid value: -2: must be greater than or equal to 0"
            ]
        );
        let job = json!({"jobTemplate": {"spec": {"manualSelector": true, "selector": {}, "template": {"spec": {"restartPolicy": "Always"}}}}});
        assert_eq!(
            texts(&Rules.validate(&cron(job))),
            [
                "spec.jobTemplate.spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\"",
                "spec.jobTemplate.spec.selector: Invalid value: {}: `selector` will be auto-generated",
                "spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: \"nil\", \"false\""
            ]
        );
        let mut long = cron(json!({}));
        long["metadata"]["name"] = "a".repeat(53).into();
        assert!(texts(&Rules.validate(&long))[0].ends_with("must be no more than 52 characters"));
        assert!(Rules.validate_update(&long, &long).is_empty());
    }

    #[test]
    fn a_zone_in_the_schedule_is_only_kept() {
        let zoned = cron(json!({"schedule": "TZ=UTC 0 0 * * *"}));
        assert_eq!(
            texts(&Rules.validate(&zoned)),
            [
                "spec.schedule: Invalid value: \"TZ=UTC 0 0 * * *\": cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            ]
        );
        assert!(Rules.validate_update(&zoned, &zoned).is_empty());
        let gone = cron(json!({"timeZone": "Mars/Olympus"}));
        assert_eq!(
            texts(&Rules.validate(&gone)),
            ["spec.timeZone: Invalid value: \"Mars/Olympus\": unknown time zone Mars/Olympus"]
        );
        assert!(Rules.validate_update(&gone, &gone).is_empty());
    }
}
