use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::batch::v1::{CronJob, Job},
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::plan::{World, plan};

/// A CronJob and its Jobs, with a clock that jumps to whenever the controller asks for.
struct Simulation {
    cron: CronJob,
    jobs: Vec<Arc<Job>>,
    now: Timestamp,
    log: Vec<String>,
}

impl Simulation {
    fn new(spec: &Value) -> Self {
        let mut cron = json!({
            "metadata": {"name": "tick", "namespace": "ns", "uid": "cron", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"schedule": "*/10 * * * *", "jobTemplate": {
                "metadata": {"labels": {"app": "tick"}},
                "spec": {"template": {}}
            }}
        });
        for (key, value) in spec.as_object().expect("an object") {
            cron["spec"][key] = value.clone();
        }
        let mut world = Self {
            cron: serde_json::from_value(cron).expect("a CronJob"),
            jobs: Vec::new(),
            now: "2026-01-01T00:00:00Z".parse().expect("a time"),
            log: Vec::new(),
        };
        world.settle();
        world
    }

    fn settle(&mut self) {
        for _ in 0..20 {
            if !self.round() {
                return;
            }
        }
        panic!("never quiet:\n{}", self.log.join("\n"));
    }

    /// Whether anything was written.
    fn round(&mut self) -> bool {
        let world = World {
            cron: &self.cron,
            jobs: &self.jobs,
        };
        let plan = plan(&world, self.now);
        for told in &plan.events {
            self.log
                .push(format!("EVENT {}: {}", told.reason, told.message));
        }
        for gone in &plan.delete {
            self.jobs.retain(|job| job.uid() != gone.uid());
            self.log.push(format!("DELETE Job {}", gone.name_any()));
        }
        let mut status = plan.status.clone();
        let mut wrote = !plan.delete.is_empty();
        if let Some((job, due)) = &plan.start {
            let mut job = (**job).clone();
            job.metadata.uid = Some(format!("u-{}", job.name_any()));
            let annotations = job.metadata.annotations.clone().unwrap_or_default();
            self.log
                .push(format!("POST Job {} {annotations:?}", job.name_any()));
            status = plan.started(&job, *due);
            self.jobs.push(Arc::new(job));
            wrote = true;
        }
        if self.cron.status.clone().unwrap_or_default() != status {
            let active = status.active.iter().flatten();
            let active: Vec<_> = active.filter_map(|held| held.name.clone()).collect();
            let at =
                |time: &Option<Time>| time.as_ref().map_or("-".to_owned(), |at| at.0.to_string());
            self.log.push(format!(
                "STATUS active={active:?} scheduled={} successful={}",
                at(&status.last_schedule_time),
                at(&status.last_successful_time)
            ));
            self.cron.status = Some(status);
            wrote = true;
        }
        wrote
    }

    fn wait(&mut self, minutes: i64) {
        self.now += SignedDuration::from_mins(minutes);
        self.log.push(format!("== {}", self.now));
        self.settle();
    }

    fn end(&mut self, at: usize, how: &str) {
        let now = self.now.to_string();
        let mut job = serde_json::to_value(&*self.jobs[at]).expect("serializes");
        job["status"] = json!({"startTime": now, "conditions": [{"type": how, "status": "True"}]});
        if how == "Complete" {
            job["status"]["completionTime"] = json!(now);
        }
        self.jobs[at] = Arc::new(serde_json::from_value(job).expect("a Job"));
        self.log
            .push(format!("== {how} {}", self.jobs[at].name_any()));
        self.settle();
    }

    fn text(&self) -> String {
        self.log.join("\n")
    }
}

/// Each time once, and only the last of those that were missed; finished Jobs stay as many as the limits say.
#[test]
fn a_job_for_every_time() {
    let mut world =
        Simulation::new(&json!({"successfulJobsHistoryLimit": 1, "failedJobsHistoryLimit": 0}));
    world.wait(9);
    world.wait(1);
    world.end(0, "Complete");
    world.wait(35);
    world.end(1, "Complete");
    world.wait(5);
    world.end(1, "Failed");
    insta::assert_snapshot!(world.text());
}

#[test]
fn a_running_job_may_forbid_the_next() {
    let mut world = Simulation::new(&json!({"concurrencyPolicy": "Forbid"}));
    world.wait(10);
    world.wait(10);
    world.end(0, "Complete");
    insta::assert_snapshot!(world.text());
}

#[test]
fn a_running_job_may_be_replaced_by_the_next() {
    let mut world = Simulation::new(&json!({"concurrencyPolicy": "Replace"}));
    world.wait(10);
    world.wait(10);
    insta::assert_snapshot!(world.text());
}

/// Allow is the default; a Job that the user deletes is forgotten.
#[test]
fn jobs_may_run_side_by_side() {
    let mut world = Simulation::new(&json!({}));
    world.wait(10);
    world.wait(10);
    world.jobs.remove(0);
    world.wait(1);
    insta::assert_snapshot!(world.text());
}

#[test]
fn what_is_too_late_is_missed() {
    let mut world = Simulation::new(&json!({"startingDeadlineSeconds": 60}));
    world.wait(15);
    world.wait(6);
    insta::assert_snapshot!(world.text());
}

#[test]
fn a_suspended_schedule_starts_nothing() {
    let mut world = Simulation::new(&json!({"suspend": true}));
    world.wait(60);
    assert_eq!(world.text(), "== 2026-01-01T01:00:00Z");
    world.cron.spec.suspend = Some(false);
    world.wait(1);
    assert_eq!(world.jobs.len(), 1, "only the last time counts");
}

/// The time is told in the zone of the schedule, which is not the name's.
#[test]
fn schedules_have_time_zones() {
    let mut world = Simulation::new(&json!({"schedule": "0 9 * * *", "timeZone": "Europe/Berlin"}));
    world.wait(8 * 60);
    insta::assert_snapshot!(world.text());
}

/// Years of minutes are not walked through.
#[test]
fn a_long_absence_costs_nothing() {
    let mut world = Simulation::new(&json!({"schedule": "* * * * *"}));
    world.wait(60 * 24 * 365 * 3);
    insta::assert_snapshot!(world.text());
}
