use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::{
    core::v1::Pod,
    policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus},
};

use super::plan::{Plan, World, plan};
use crate::testing::{object, text};

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().expect("a time")
}

fn pod(name: &str, ready: bool) -> Arc<Pod> {
    let ready = if ready { "True" } else { "False" };
    Arc::new(object(&format!(
        "
metadata: {{name: {name}, namespace: default, labels: {{app: web}}}}
status: {{phase: Running, conditions: [{{type: Ready, status: '{ready}'}}]}}"
    )))
}

fn budget(spec: &str) -> PodDisruptionBudget {
    object(&format!(
        "
metadata: {{name: guard, namespace: default, generation: 2}}
spec: {{{spec}, selector: {{matchLabels: {{app: web}}}}}}"
    ))
}

fn planned(budget: &PodDisruptionBudget, pods: &[Arc<Pod>], expected: Result<i32, &str>) -> Plan {
    let world = World {
        budget,
        pods,
        expected: expected.map_err(str::to_owned),
    };
    plan(&world, now())
}

/// Expected, to stay healthy, healthy, and how many may go.
fn numbers(status: &PodDisruptionBudgetStatus) -> [i32; 4] {
    [
        status.expected_pods,
        status.desired_healthy,
        status.current_healthy,
        status.disruptions_allowed,
    ]
    .map(Option::unwrap_or_default)
}

/// What a budget allows of the pods its controllers want; shares are rounded up.
#[test]
fn a_budget_spares_what_is_more_than_enough() {
    let pods = [
        pod("a", true),
        pod("b", true),
        pod("c", false),
        pod("d", true),
    ];
    let cases = [
        ("minAvailable: 2", [4, 2, 3, 1]),
        ("minAvailable: 5", [4, 5, 3, 0]),
        ("minAvailable: 50%", [5, 3, 3, 0]),
        ("maxUnavailable: 3", [5, 2, 3, 1]),
        ("maxUnavailable: 50%", [5, 2, 3, 1]),
        ("maxUnavailable: 9", [5, 0, 3, 3]),
        ("maxUnavailable: 0", [5, 5, 3, 0]),
    ];
    for (spec, wanted) in cases {
        let plan = planned(&budget(spec), &pods, Ok(5));
        assert_eq!(numbers(&plan.status.expect("news")), wanted, "{spec}");
    }
}

#[test]
fn a_status_names_its_condition() {
    let plan = planned(
        &budget("minAvailable: 1"),
        &[pod("a", true), pod("b", true)],
        Ok(0),
    );
    insta::assert_snapshot!(text(&plan.status));
}

/// A budget without pods is safe for the first one that comes.
#[test]
fn a_budget_without_pods_allows_nothing() {
    let plan = planned(&budget("maxUnavailable: 1"), &[], Ok(0));
    assert_eq!(numbers(&plan.status.expect("news")), [0, 0, 0, 0]);
}

/// An evicted pod is taken for gone, until it has had its time; one that is going needs no note.
#[test]
fn an_evicted_pod_does_not_count_for_two_minutes() {
    let mut budget = budget("minAvailable: 1");
    budget.status = Some(object(
        "
disruptionsAllowed: 0
disruptedPods: {fresh: '2026-01-01T00:59:00Z', late: '2026-01-01T00:57:00Z', gone: '2026-01-01T00:59:00Z'}",
    ));
    let pods = [pod("fresh", true), pod("late", true), pod("b", true)];
    let plan = planned(&budget, &pods, Ok(0));
    let status = plan.status.expect("news");
    assert_eq!(numbers(&status), [3, 1, 2, 1]);
    let disrupted = status.disrupted_pods.expect("one");
    assert_eq!(disrupted.keys().collect::<Vec<_>>(), ["fresh"]);
    assert_eq!(plan.not_deleted, [Arc::clone(&pods[1])]);
    assert_eq!(plan.again_in.map(|delay| delay.as_secs()), Some(60));
}

/// Where the controllers' numbers are not known nothing may go, and the reason is told.
#[test]
fn a_budget_that_cannot_count_is_shut() {
    let mut budget = budget("maxUnavailable: 1");
    let open = planned(&budget, &[pod("a", true), pod("b", true)], Ok(2));
    budget.status = open.status;
    let plan = planned(
        &budget,
        &[pod("a", true)],
        Err("found no controllers for pod \"a\""),
    );
    insta::assert_snapshot!(text(&plan.status));
}

#[test]
fn a_budget_that_says_all_this_is_quiet() {
    let mut budget = budget("maxUnavailable: 1");
    let pods = [pod("a", true), pod("b", true)];
    budget.status = planned(&budget, &pods, Ok(2)).status;
    assert_eq!(planned(&budget, &pods, Ok(2)).status, None);
}
