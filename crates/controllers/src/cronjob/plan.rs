//! Decides which Jobs a CronJob should start, stop and forget. Pure: no clock, no I/O.

use std::{collections::HashSet, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use k8s_openapi::{
    api::{
        batch::v1::{CronJob, CronJobSpec, CronJobStatus, Job},
        core::v1::ObjectReference,
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use kube::{Resource, ResourceExt};
use plinth_api::schedule::{Schedule, known_zone, names_zone};
use plinth_client::EventKind;

use crate::{
    job::work::{finished, is_finished},
    ownership::controlled_by,
    writes::is_terminating,
};

/// On Jobs: the time they were meant for.
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// So many times may be missed before the user is asked whether that is right.
const MANY: i64 = 100;

/// Everything a decision may look at.
pub(crate) struct World<'a> {
    pub(crate) cron: &'a CronJob,
    /// The Jobs that the CronJob controls.
    pub(crate) jobs: &'a [Arc<Job>],
}

/// Something to tell the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) kind: EventKind,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// The next writes, in this order.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Plan {
    pub(crate) events: Vec<Told>,
    pub(crate) delete: Vec<Arc<Job>>,
    /// A Job to start, and the time it is meant for.
    pub(crate) start: Option<(Box<Job>, Timestamp)>,
    /// What is known before anything is started; [`CronJobStatus::active`] gets the started Job.
    pub(crate) status: CronJobStatus,
    /// When the next time comes.
    pub(crate) again_in: Option<Duration>,
}

/// Decides.
pub(crate) fn plan(world: &World<'_>, now: Timestamp) -> Plan {
    let cron = world.cron;
    let mut plan = Plan {
        status: cron.status.clone().unwrap_or_default(),
        ..Plan::default()
    };
    let spec = &cron.spec;
    plan.clean(spec, world.jobs);
    plan.follow(world.jobs);
    if is_terminating(cron) || spec.suspend == Some(true) {
        return plan;
    }
    let Some((schedule, zone)) = plan.read(spec) else {
        return plan;
    };
    let next = schedule.next(now, &zone);
    plan.again_in =
        next.map(|next| Duration::try_from(next.duration_since(now)).unwrap_or_default());
    let Some((due, missed)) = due(cron, spec, &schedule, &zone, now) else {
        return plan;
    };
    if missed > MANY {
        let message = format!(
            "too many missed start times: {missed}. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
        );
        plan.tell(EventKind::Warning, "TooManyMissedTimes", message);
    }
    let deadline = spec
        .starting_deadline_seconds
        .map(SignedDuration::from_secs);
    let until = deadline.and_then(|deadline| due.checked_add(deadline).ok());
    if until.is_some_and(|until| until < now) {
        let time = due
            .to_zoned(zone)
            .strftime("%a, %d %b %Y %H:%M:%S %z")
            .to_string();
        let message = format!("Missed scheduled time to start a job: {time}");
        plan.tell(EventKind::Warning, "MissSchedule", message);
        return plan;
    }
    plan.start(cron, spec, due, &zone, world.jobs);
    plan
}

/// The last time that has come and was not served yet, and how many have.
fn due(
    cron: &CronJob,
    spec: &CronJobSpec,
    schedule: &Schedule,
    zone: &TimeZone,
    now: Timestamp,
) -> Option<(Timestamp, i64)> {
    let last = cron
        .status
        .as_ref()
        .and_then(|status| status.last_schedule_time.as_ref());
    let mut since = last.or(cron.metadata.creation_timestamp.as_ref())?.0;
    let deadline = spec
        .starting_deadline_seconds
        .map(SignedDuration::from_secs);
    if let Some(start) = deadline.and_then(|deadline| now.checked_sub(deadline).ok()) {
        since = since.max(start);
    }
    let first = schedule.next(since, zone).filter(|first| *first <= now)?;
    let Some(second) = schedule.next(first, zone).filter(|second| *second <= now) else {
        return Some((first, 1));
    };
    let between = second.duration_since(first).as_secs().max(1);
    let missed = now.duration_since(first).as_secs() / between + 1;
    // Years of minutes need not be walked through: the last time is sought near the end first.
    let hours = [1, 24, 32 * 24, 367 * 24];
    let mut begin = first;
    for hours in hours {
        let near = now.checked_sub(SignedDuration::from_hours(hours)).ok();
        let near = near.filter(|near| *near > first);
        let Some(near) = near.and_then(|near| schedule.next(near, zone)) else {
            break;
        };
        if near <= now {
            begin = near;
            break;
        }
    }
    let mut latest = begin;
    while let Some(next) = schedule.next(latest, zone).filter(|next| *next <= now) {
        latest = next;
    }
    Some((latest, missed))
}

impl Plan {
    fn tell(&mut self, kind: EventKind, reason: &'static str, message: String) {
        self.events.push(Told {
            kind,
            reason,
            message,
        });
    }

    /// Deletes finished Jobs beyond the history limits, oldest first.
    fn clean(&mut self, spec: &CronJobSpec, jobs: &[Arc<Job>]) {
        let limits = [
            ("Complete", spec.successful_jobs_history_limit.unwrap_or(3)),
            ("Failed", spec.failed_jobs_history_limit.unwrap_or(1)),
        ];
        for (how, limit) in limits {
            let ended = jobs.iter().filter(|job| {
                finished(job).is_some_and(|condition| condition.type_ == how)
                    && !is_terminating(&***job)
            });
            let mut ended: Vec<_> = ended.cloned().collect();
            ended.sort_by_key(|job| {
                let status = job.status.as_ref();
                let start = status.and_then(|status| status.start_time.as_ref());
                (start.map(|start| start.0), job.name_any())
            });
            let limit = usize::try_from(limit).unwrap_or(0);
            let surplus = ended.len().saturating_sub(limit);
            self.delete.extend(ended.into_iter().take(surplus));
        }
    }

    /// Follows what became of the Jobs that were started.
    fn follow(&mut self, jobs: &[Arc<Job>]) {
        let mut active = self.status.active.take().unwrap_or_default();
        for job in jobs {
            let uid = job.uid();
            let listed = active.iter().position(|held| held.uid == uid);
            match (listed, finished(job)) {
                (None, None) if !is_terminating(&**job) => {
                    let message = format!(
                        "Saw a job that the controller did not create or forgot: {}",
                        job.name_any()
                    );
                    self.tell(EventKind::Warning, "UnexpectedJob", message);
                }
                (Some(at), Some(condition)) => {
                    active.remove(at);
                    let message = format!(
                        "Saw completed job: {}, condition: {}",
                        job.name_any(),
                        condition.type_
                    );
                    self.tell(EventKind::Normal, "SawCompletedJob", message);
                }
                _ => {}
            }
            if finished(job).is_some_and(|condition| condition.type_ == "Complete") {
                let status = job.status.as_ref();
                let ended = status.and_then(|status| status.completion_time.clone());
                let known = self.status.last_successful_time.clone();
                if ended.as_ref().map(|at| at.0) > known.map(|at| at.0) {
                    self.status.last_successful_time = ended;
                }
            }
        }
        let there: HashSet<_> = jobs.iter().filter_map(|job| job.uid()).collect();
        active.retain(|held| {
            let found = held.uid.as_ref().is_some_and(|uid| there.contains(uid));
            if !found {
                let name = held.name.clone().unwrap_or_default();
                self.events.push(Told {
                    kind: EventKind::Normal,
                    reason: "MissingJob",
                    message: format!("Active job went missing: {name}"),
                });
            }
            found
        });
        self.set_active(active);
    }

    fn set_active(&mut self, active: Vec<ObjectReference>) {
        self.status.active = (!active.is_empty()).then_some(active);
    }

    /// The schedule and its zone, or words on what is wrong with them.
    fn read(&mut self, spec: &CronJobSpec) -> Option<(Schedule, TimeZone)> {
        let zone = spec.time_zone.as_deref().unwrap_or_default();
        let Some(zone) = known_zone(zone) else {
            let message = format!("invalid timeZone: {zone:?}: unknown time zone {zone}");
            self.tell(EventKind::Warning, "UnknownTimeZone", message);
            return None;
        };
        match Schedule::parse(&spec.schedule) {
            Ok(schedule) => {
                if names_zone(&spec.schedule) {
                    let message = format!(
                        "CRON_TZ or TZ used in schedule {:?} is not officially supported, see \
                         https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details",
                        spec.schedule
                    );
                    self.tell(EventKind::Warning, "UnsupportedSchedule", message);
                }
                Some((schedule, zone))
            }
            Err(why) => {
                let message = format!("unparseable schedule: {:?} : {why}", spec.schedule);
                self.tell(EventKind::Warning, "UnparseableSchedule", message);
                None
            }
        }
    }

    /// Starts the Job of that time, if others do not stand in its way.
    fn start(
        &mut self,
        cron: &CronJob,
        spec: &CronJobSpec,
        due: Timestamp,
        zone: &TimeZone,
        jobs: &[Arc<Job>],
    ) {
        let job = job(cron, spec, due, zone);
        let name = job.metadata.name.clone();
        let active = self.status.active.clone().unwrap_or_default();
        let served = self.status.last_schedule_time.as_ref().map(|at| at.0) == Some(due);
        if served || active.iter().any(|held| held.name == name) {
            return;
        }
        match spec.concurrency_policy.as_deref() {
            Some("Forbid") if !active.is_empty() => {
                let message = "Not starting job because prior execution is running and concurrency policy is Forbid";
                self.tell(EventKind::Normal, "JobAlreadyActive", message.to_owned());
                return;
            }
            Some("Replace") => {
                let replaced = jobs.iter().filter(|job| {
                    let uid = job.uid();
                    active.iter().any(|held| held.uid == uid)
                });
                self.delete.extend(replaced.cloned());
                self.status.active = None;
            }
            _ => {}
        }
        self.start = Some((Box::new(job), due));
    }

    /// The status once that Job has been started.
    pub(crate) fn started(&self, job: &Job, due: Timestamp) -> CronJobStatus {
        let mut status = self.status.clone();
        status
            .active
            .get_or_insert_default()
            .push(job.object_ref(&()));
        status.last_schedule_time = Some(Time(due));
        status
    }
}

/// The Job for that time. Its name tells the minute, so that no time is served twice.
fn job(cron: &CronJob, spec: &CronJobSpec, due: Timestamp, zone: &TimeZone) -> Job {
    let template = spec.job_template.metadata.clone().unwrap_or_default();
    let mut annotations = template.annotations.unwrap_or_default();
    let local = due.to_zoned(zone.clone());
    let local = local.strftime(if local.offset().is_zero() {
        "%Y-%m-%dT%H:%M:%SZ"
    } else {
        "%Y-%m-%dT%H:%M:%S%:z"
    });
    annotations.insert(SCHEDULED.to_owned(), local.to_string());
    Job {
        metadata: ObjectMeta {
            name: Some(format!("{}-{}", cron.name_any(), due.as_second() / 60)),
            namespace: cron.namespace(),
            labels: template.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![controlled_by(cron)]),
            ..ObjectMeta::default()
        },
        spec: spec.job_template.spec.clone(),
        status: None,
    }
}

/// Whether a Job of a taken name is the one that was to be started: a start whose status was not written any
/// more.
pub(crate) fn is_ours(cron: &CronJob, job: &Job) -> bool {
    let owner = crate::ownership::controller(job);
    owner.is_some_and(|owner| Some(&owner.uid) == cron.metadata.uid.as_ref()) && !is_finished(job)
}
