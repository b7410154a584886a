//! What a set's status says (D-10). Pure; time is passed in.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus},
        core::v1::Pod,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::ResourceExt;

use crate::{
    pods::{is_active, is_available, is_finished, is_ready},
    writes::is_terminating,
};

const FAILURE: &str = "ReplicaFailure";

/// The status of a set that nothing failed for, if it is news.
pub(crate) fn report(
    set: &ReplicaSet,
    owned: &[Arc<Pod>],
    now: Timestamp,
) -> Option<ReplicaSetStatus> {
    if_changed(set, count(set, owned, now))
}

/// The status of a set whose pods could not be made or deleted, if it is news: the first failure stands
/// until it is over.
pub(crate) fn failed(
    set: &ReplicaSet,
    owned: &[Arc<Pod>],
    reason: &str,
    message: String,
    now: Timestamp,
) -> Option<ReplicaSetStatus> {
    let mut status = count(set, owned, now);
    let known = set
        .status
        .iter()
        .flat_map(|old| old.conditions.iter().flatten());
    let mut conditions: Vec<_> = known.cloned().collect();
    if conditions
        .iter()
        .all(|condition| condition.type_ != FAILURE)
    {
        conditions.push(ReplicaSetCondition {
            type_: FAILURE.to_owned(),
            status: "True".to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: Some(Time(now)),
        });
    }
    status.conditions = Some(conditions);
    if_changed(set, status)
}

fn count(set: &ReplicaSet, owned: &[Arc<Pod>], now: Timestamp) -> ReplicaSetStatus {
    let spec = set.spec.as_ref();
    let min_ready = spec.and_then(|spec| spec.min_ready_seconds).unwrap_or(0);
    let template = spec.and_then(|spec| spec.template.as_ref());
    let template = template.and_then(|template| template.metadata.as_ref());
    let labels = template.and_then(|meta| meta.labels.as_ref());
    let labelled = |pod: &Pod| {
        let mut labels = labels.into_iter().flatten();
        labels.all(|(key, value)| pod.labels().get(key) == Some(value))
    };
    let of = |test: &dyn Fn(&Pod) -> bool| {
        let count = owned.iter().filter(|pod| test(pod)).count();
        i32::try_from(count).unwrap_or(i32::MAX)
    };
    // Upstream leaves zero out of all but two of these.
    let of_active = |test: &dyn Fn(&Pod) -> bool| {
        Some(of(&|pod| is_active(pod) && test(pod))).filter(|count| *count != 0)
    };
    let conditions = set
        .status
        .iter()
        .flat_map(|old| old.conditions.iter().flatten());
    let conditions: Vec<_> = conditions
        .filter(|condition| condition.type_ != FAILURE)
        .cloned()
        .collect();
    ReplicaSetStatus {
        replicas: of(&is_active),
        fully_labeled_replicas: of_active(&labelled),
        ready_replicas: of_active(&is_ready),
        available_replicas: of_active(&|pod| is_available(pod, i64::from(min_ready), now)),
        terminating_replicas: Some(of(&|pod| is_terminating(pod) && !is_finished(pod))),
        observed_generation: set.metadata.generation,
        conditions: (!conditions.is_empty()).then_some(conditions),
    }
}

fn if_changed(set: &ReplicaSet, status: ReplicaSetStatus) -> Option<ReplicaSetStatus> {
    (set.status.as_ref() != Some(&status)).then_some(status)
}
