//! A Job as its controller reads it: parsed once, with every default applied. Pure.

use std::collections::HashSet;

use k8s_openapi::api::{
    batch::v1::{Job, JobCondition, JobSpec, JobStatus, PodFailurePolicy, SuccessPolicy},
    core::v1::PodTemplateSpec,
};
use kube::core::{ParseExpressionError, Selector};

/// Who looks after a Job that names nobody.
pub(crate) const CONTROLLER: &str = "kubernetes.io/job-controller";

/// Keeps a pod until its end has been counted.
pub(crate) const TRACKING: &str = "batch.kubernetes.io/job-tracking";

/// A completion index.
pub(crate) type Index = u32;

/// What counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// One success, and then the end of all pods that still run.
    Any,
    /// That many successes.
    Count(u32),
    /// One success for each index below.
    Indexes(Index),
}

/// The parts of a Job that decisions are made from.
#[allow(clippy::struct_excessive_bools)] // they are the Job's own, and independent
pub(crate) struct Work<'a> {
    pub(crate) object: &'a Job,
    pub(crate) name: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) uid: &'a str,
    pub(crate) deleting: bool,
    pub(crate) suspended: bool,
    pub(crate) parallelism: usize,
    pub(crate) goal: Goal,
    pub(crate) backoff_limit: i32,
    /// Failures that each index may have on its own.
    pub(crate) backoff_limit_per_index: Option<i32>,
    pub(crate) max_failed_indexes: Option<usize>,
    pub(crate) failure_policy: Option<&'a PodFailurePolicy>,
    pub(crate) success_policy: Option<&'a SuccessPolicy>,
    pub(crate) active_deadline_seconds: Option<i64>,
    /// Whether a pod counts as failed, and is replaced, only once it has ended.
    pub(crate) only_ended_count: bool,
    pub(crate) restarts_on_failure: bool,
    pub(crate) selector: Selector,
    pub(crate) template: &'a PodTemplateSpec,
    pub(crate) status: JobStatus,
    /// Pods that are counted in neither total yet, but were seen to succeed.
    pub(crate) uncounted_succeeded: HashSet<String>,
    /// The same for pods that were seen to fail.
    pub(crate) uncounted_failed: HashSet<String>,
}

/// Why a Job cannot be worked on; trying again does not help until it is edited.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkError {
    #[error("the Job has no {0}")]
    Missing(&'static str),
    #[error("the selector is invalid: {0}")]
    Selector(#[from] ParseExpressionError),
}

impl<'a> Work<'a> {
    pub(crate) fn parse(object: &'a Job) -> Result<Self, WorkError> {
        let meta = &object.metadata;
        let spec = object.spec.as_ref().ok_or(WorkError::Missing("spec"))?;
        let selector = spec
            .selector
            .clone()
            .ok_or(WorkError::Missing("selector"))?;
        let status = object.status.clone().unwrap_or_default();
        let uncounted = status.uncounted_terminated_pods.as_ref();
        let uids = |list: Option<&Vec<String>>| list.into_iter().flatten().cloned().collect();
        let per_index = spec.backoff_limit_per_index;
        let pod = spec.template.spec.as_ref();
        Ok(Self {
            object,
            name: meta.name.as_deref().ok_or(WorkError::Missing("name"))?,
            namespace: meta
                .namespace
                .as_deref()
                .ok_or(WorkError::Missing("namespace"))?,
            uid: meta.uid.as_deref().ok_or(WorkError::Missing("uid"))?,
            deleting: meta.deletion_timestamp.is_some(),
            suspended: spec.suspend == Some(true),
            parallelism: usize::try_from(spec.parallelism.unwrap_or(1)).unwrap_or(0),
            goal: goal(spec),
            backoff_limit: spec.backoff_limit.unwrap_or(if per_index.is_some() {
                i32::MAX
            } else {
                6
            }),
            backoff_limit_per_index: per_index,
            max_failed_indexes: spec
                .max_failed_indexes
                .and_then(|max| usize::try_from(max).ok()),
            failure_policy: spec.pod_failure_policy.as_ref(),
            success_policy: spec.success_policy.as_ref(),
            active_deadline_seconds: spec.active_deadline_seconds,
            only_ended_count: spec.pod_failure_policy.is_some()
                || spec.pod_replacement_policy.as_deref() == Some("Failed"),
            restarts_on_failure: pod
                .is_some_and(|pod| pod.restart_policy.as_deref() == Some("OnFailure")),
            selector: Selector::try_from(selector)?,
            template: &spec.template,
            uncounted_succeeded: uids(uncounted.and_then(|pods| pods.succeeded.as_ref())),
            uncounted_failed: uids(uncounted.and_then(|pods| pods.failed.as_ref())),
            status,
        })
    }

    /// How many indexes there are; `None` for a Job without.
    pub(crate) fn indexes(&self) -> Option<Index> {
        match self.goal {
            Goal::Indexes(count) => Some(count),
            Goal::Any | Goal::Count(_) => None,
        }
    }

    /// The condition of that type, if it holds.
    pub(crate) fn holds(&self, kind: &str) -> Option<&JobCondition> {
        holds(&self.status, kind)
    }
}

fn holds<'a>(status: &'a JobStatus, kind: &str) -> Option<&'a JobCondition> {
    let mut conditions = status.conditions.iter().flatten();
    conditions.find(|condition| condition.type_ == kind && condition.status == "True")
}

/// Whether nothing will change about a Job any more.
pub(crate) fn is_finished(job: &Job) -> bool {
    finished(job).is_some()
}

/// The condition that ended the Job.
pub(crate) fn finished(job: &Job) -> Option<&JobCondition> {
    let status = job.status.as_ref()?;
    holds(status, "Complete").or_else(|| holds(status, "Failed"))
}

/// Whether the Job is somebody else's business.
pub(crate) fn is_managed_elsewhere(job: &Job) -> bool {
    let spec = job.spec.as_ref();
    spec.and_then(|spec| spec.managed_by.as_deref())
        .is_some_and(|manager| manager != CONTROLLER)
}

fn goal(spec: &JobSpec) -> Goal {
    let completions = spec
        .completions
        .map(|completions| u32::try_from(completions).unwrap_or(0));
    match (spec.completion_mode.as_deref(), completions) {
        (Some("Indexed"), Some(completions)) => Goal::Indexes(completions),
        (_, Some(completions)) => Goal::Count(completions),
        (_, None) => Goal::Any,
    }
}
