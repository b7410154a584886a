//! Who goes when there are too many (D-6). Pure; time is passed in.

use std::{cmp::Ordering, collections::HashMap, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use crate::{
    pods::{is_active, is_ready, phase, ready_since},
    writes::annotation,
};

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The `count` pods of `active` that are missed least. `related` are the pods that share the nodes with
/// them on behalf of the same workload.
pub(crate) fn choose(
    mut active: Vec<Arc<Pod>>,
    related: &[Arc<Pod>],
    count: usize,
    now: Timestamp,
) -> Vec<Arc<Pod>> {
    if count < active.len() {
        let mut crowds: HashMap<&str, usize> = HashMap::new();
        for pod in related.iter().filter(|pod| is_active(pod)) {
            *crowds.entry(node(pod)).or_default() += 1;
        }
        let crowd = |pod: &Pod| crowds.get(node(pod)).copied().unwrap_or(0);
        active.sort_by(|a, b| {
            let crowded = crowd(b).cmp(&crowd(a));
            before_crowd(a, b)
                .then(crowded)
                .then_with(|| after_crowd(a, b, now))
        });
        active.truncate(count);
    }
    active
}

fn node(pod: &Pod) -> &str {
    pod.spec
        .as_ref()
        .and_then(|spec| spec.node_name.as_deref())
        .unwrap_or_default()
}

fn before_crowd(a: &Pod, b: &Pod) -> Ordering {
    let assigned = |pod: &Pod| !node(pod).is_empty();
    let progress = |pod: &Pod| match phase(pod) {
        "Running" => 2,
        "Unknown" => 1,
        _ => 0,
    };
    assigned(a)
        .cmp(&assigned(b))
        .then_with(|| progress(a).cmp(&progress(b)))
        .then_with(|| is_ready(a).cmp(&is_ready(b)))
        .then_with(|| deletion_cost(a).cmp(&deletion_cost(b)))
}

fn after_crowd(a: &Pod, b: &Pod, now: Timestamp) -> Ordering {
    let created = |pod: &Pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let by_readiness = if is_ready(a) && is_ready(b) {
        younger_first(a, b, ready_since(a), ready_since(b), now)
    } else {
        Ordering::Equal
    };
    by_readiness
        .then_with(|| restarts(b).cmp(&restarts(a)))
        .then_with(|| younger_first(a, b, created(a), created(b), now))
}

/// Ages count by their magnitude, so that not always the newest pods go, which may all be in one place;
/// among ages alike the UID draws the lot.
fn younger_first(
    a: &Pod,
    b: &Pod,
    since_a: Option<Timestamp>,
    since_b: Option<Timestamp>,
    now: Timestamp,
) -> Ordering {
    let (Some(from_a), Some(from_b)) = (since_a, since_b) else {
        // What nobody knows the time of is taken for the youngest.
        return since_a.is_some().cmp(&since_b.is_some());
    };
    if from_a == from_b {
        return Ordering::Equal;
    }
    let magnitude = |from: Timestamp| {
        let age = now.as_nanosecond() - from.as_nanosecond();
        // The whole part of the binary logarithm; -1 for no age at all.
        u128::try_from(age).ok().and_then(u128::checked_ilog2)
    };
    magnitude(from_a)
        .cmp(&magnitude(from_b))
        .then_with(|| a.metadata.uid.cmp(&b.metadata.uid))
}

/// Validation keeps out what is no number.
fn deletion_cost(pod: &Pod) -> i32 {
    annotation(pod, DELETION_COST)
        .and_then(|cost| cost.parse().ok())
        .unwrap_or(0)
}

fn restarts(pod: &Pod) -> i32 {
    let containers = pod.status.iter().flat_map(|status| {
        let of = |list: &Option<Vec<ContainerStatus>>| list.clone().unwrap_or_default();
        of(&status.container_statuses)
    });
    containers
        .map(|status| status.restart_count)
        .max()
        .unwrap_or(0)
}
