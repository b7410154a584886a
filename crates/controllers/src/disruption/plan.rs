//! Decides what a budget's status says: how many pods may be evicted just now. Pure: no client, no clock.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        core::v1::Pod,
        policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus},
    },
    apimachinery::pkg::{
        apis::meta::v1::{Condition, Time},
        util::intstr::IntOrString,
    },
};
use kube::ResourceExt;

use crate::{
    pods::is_ready,
    share::{Round, share},
    writes::is_terminating,
};

const ALLOWED: &str = "DisruptionAllowed";

/// How long an evicted pod may take to be seen going before it counts again.
const EVICTION_TIME: Duration = Duration::from_mins(2);

/// What a plan is made from.
pub(crate) struct World<'a> {
    pub(crate) budget: &'a PodDisruptionBudget,
    /// The pods it covers.
    pub(crate) pods: &'a [Arc<Pod>],
    /// The pods that the controllers of these pods are told to have; an error says why nobody knows.
    pub(crate) expected: Result<i32, String>,
}

/// What is to be done.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// A status that is news.
    pub(crate) status: Option<PodDisruptionBudgetStatus>,
    /// Pods that were evicted and did not go.
    pub(crate) not_deleted: Vec<Arc<Pod>>,
    /// When the next evicted pod must have been seen going.
    pub(crate) again_in: Option<Duration>,
}

/// Decides.
pub(crate) fn plan(world: &World<'_>, now: Timestamp) -> Plan {
    let old = world.budget.status.clone().unwrap_or_default();
    let mut plan = Plan::default();
    let status = match numbers(world) {
        Ok(numbers) => count(world, &old, numbers, now, &mut plan),
        Err(why) => blind(world, &old, why, now),
    };
    plan.status = (status != old).then_some(status);
    plan
}

/// Whether a budget goes by the number of pods its controllers are told to have.
pub(crate) fn needs_scale(spec: &PodDisruptionBudgetSpec) -> bool {
    spec.max_unavailable.is_some() || matches!(spec.min_available, Some(IntOrString::String(_)))
}

/// The pods expected and those that must stay healthy.
fn numbers(world: &World<'_>) -> Result<(i32, i32), String> {
    let Some(spec) = &world.budget.spec else {
        return Ok((0, 0));
    };
    if let Some(unavailable) = &spec.max_unavailable {
        let expected = world.expected.clone()?;
        let unavailable = share(unavailable, expected, Round::Up);
        return Ok((expected, (expected - unavailable).max(0)));
    }
    match &spec.min_available {
        Some(IntOrString::Int(available)) => Ok((
            i32::try_from(world.pods.len()).unwrap_or(i32::MAX),
            *available,
        )),
        Some(available) => {
            let expected = world.expected.clone()?;
            Ok((expected, share(available, expected, Round::Up)))
        }
        None => Ok((0, 0)),
    }
}

fn count(
    world: &World<'_>,
    old: &PodDisruptionBudgetStatus,
    (expected, desired): (i32, i32),
    now: Timestamp,
    plan: &mut Plan,
) -> PodDisruptionBudgetStatus {
    let disrupted = disrupted(world, old, now, plan);
    let healthy = |pod: &&Arc<Pod>| {
        is_ready(pod) && !is_terminating(&***pod) && !disrupted.contains_key(&pod.name_any())
    };
    let healthy = world.pods.iter().filter(healthy).count();
    let healthy = i32::try_from(healthy).unwrap_or(i32::MAX);
    // A budget that covers nothing yet must allow nothing: its first pods may come before it is
    // looked at again.
    let allowed = if expected > 0 {
        (healthy - desired).max(0)
    } else {
        0
    };
    let (holds, reason) = if allowed > 0 {
        ("True", "SufficientPods")
    } else {
        ("False", "InsufficientPods")
    };
    PodDisruptionBudgetStatus {
        current_healthy: Some(healthy),
        desired_healthy: Some(desired),
        expected_pods: Some(expected),
        disruptions_allowed: Some(allowed),
        disrupted_pods: (!disrupted.is_empty()).then_some(disrupted),
        observed_generation: world.budget.metadata.generation,
        conditions: Some(conditions(world, old, holds, reason, String::new(), now)),
    }
}

/// The evicted pods that are still on their way to deletion.
fn disrupted(
    world: &World<'_>,
    old: &PodDisruptionBudgetStatus,
    now: Timestamp,
    plan: &mut Plan,
) -> BTreeMap<String, Time> {
    let mut disrupted = BTreeMap::new();
    for pod in world.pods.iter().filter(|pod| !is_terminating(&***pod)) {
        let name = pod.name_any();
        let Some(since) = old.disrupted_pods.as_ref().and_then(|pods| pods.get(&name)) else {
            continue;
        };
        let left = (since.0 + EVICTION_TIME).as_millisecond() - now.as_millisecond();
        match u64::try_from(left) {
            Ok(left) => {
                let left = Duration::from_millis(left + 1);
                plan.again_in = Some(plan.again_in.map_or(left, |other| other.min(left)));
                disrupted.insert(name, since.clone());
            }
            Err(_) => plan.not_deleted.push(Arc::clone(pod)),
        }
    }
    disrupted
}

/// Nobody knows how many pods there should be: then none may go.
fn blind(
    world: &World<'_>,
    old: &PodDisruptionBudgetStatus,
    why: String,
    now: Timestamp,
) -> PodDisruptionBudgetStatus {
    PodDisruptionBudgetStatus {
        disruptions_allowed: Some(0),
        conditions: Some(conditions(world, old, "False", "SyncFailed", why, now)),
        ..old.clone()
    }
}

fn conditions(
    world: &World<'_>,
    old: &PodDisruptionBudgetStatus,
    holds: &str,
    reason: &str,
    message: String,
    now: Timestamp,
) -> Vec<Condition> {
    let mut conditions = old.conditions.clone().unwrap_or_default();
    let current = conditions
        .iter()
        .position(|condition| condition.type_ == ALLOWED);
    let since = current.map(|index| &conditions[index]);
    let since = since.filter(|condition| condition.status == holds);
    let condition = Condition {
        type_: ALLOWED.to_owned(),
        status: holds.to_owned(),
        reason: reason.to_owned(),
        message,
        observed_generation: world.budget.metadata.generation,
        last_transition_time: since.map_or(Time(now), |condition| {
            condition.last_transition_time.clone()
        }),
    };
    match current {
        Some(index) => conditions[index] = condition,
        None => conditions.push(condition),
    }
    conditions
}
