//! A Deployment's conditions (D-9): how one takes the place of another. Pure.

use k8s_openapi::{
    api::apps::v1::{DeploymentCondition, DeploymentStatus},
    apimachinery::pkg::apis::meta::v1::Time,
};

use super::rollout::Rollout;

pub(crate) const AVAILABLE: &str = "Available";
pub(crate) const PROGRESSING: &str = "Progressing";
pub(crate) const FAILURE: &str = "ReplicaFailure";

pub(crate) const COMPLETE: &str = "NewReplicaSetAvailable";
pub(crate) const TIMED_OUT: &str = "ProgressDeadlineExceeded";
pub(crate) const PAUSED: &str = "DeploymentPaused";

/// A condition that begins now.
pub(crate) fn condition(
    rollout: &Rollout<'_>,
    type_: &str,
    status: &str,
    reason: &str,
    message: String,
) -> DeploymentCondition {
    DeploymentCondition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_update_time: Some(Time(rollout.now)),
        last_transition_time: Some(Time(rollout.now)),
    }
}

pub(crate) fn find<'a>(
    status: &'a DeploymentStatus,
    type_: &str,
) -> Option<&'a DeploymentCondition> {
    let mut conditions = status.conditions.iter().flatten();
    conditions.find(|condition| condition.type_ == type_)
}

/// Whether the condition is there for that reason.
pub(crate) fn is_for(status: &DeploymentStatus, type_: &str, reason: &str) -> bool {
    find(status, type_).is_some_and(|condition| condition.reason.as_deref() == Some(reason))
}

pub(crate) fn remove(status: &mut DeploymentStatus, type_: &str) {
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|condition| condition.type_ != type_);
        if conditions.is_empty() {
            status.conditions = None;
        }
    }
}

/// Puts a condition in its place, unless the same one is there already.
pub(crate) fn set(status: &mut DeploymentStatus, condition: DeploymentCondition) {
    let current = find(status, &condition.type_);
    if current.is_some_and(|c| c.status == condition.status && c.reason == condition.reason) {
        return;
    }
    renew(status, condition);
}

/// Puts a condition in its place, last. The moment of transition stays while the status does.
pub(crate) fn renew(status: &mut DeploymentStatus, mut condition: DeploymentCondition) {
    if let Some(current) = find(status, &condition.type_)
        && current.status == condition.status
    {
        condition
            .last_transition_time
            .clone_from(&current.last_transition_time);
    }
    remove(status, &condition.type_);
    status.conditions.get_or_insert_default().push(condition);
}
