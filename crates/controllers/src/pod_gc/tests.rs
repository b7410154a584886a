use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};

use super::plan::*;
use crate::testing::object;

fn pod(phase: &str, terminating: bool) -> Pod {
    let deletion = if terminating {
        "deletionTimestamp: '2026-01-01T00:00:00Z'"
    } else {
        ""
    };
    object(&format!(
        "{{metadata: {{name: web-0, {deletion}}}, status: {{phase: {phase}}}}}"
    ))
}

fn node(taint: &str, ready: &str) -> Node {
    object(&format!(
        "{{metadata: {{name: n1}}, spec: {{taints: [{{key: {taint}, effect: NoExecute}}]}}, \
         status: {{conditions: [{{type: Ready, status: {ready}}}]}}}}"
    ))
}

fn planned(pod: &Pod, home: &Home<'_>) -> Action {
    plan(pod, home, Timestamp::UNIX_EPOCH)
}

fn is_removed(action: &Action) -> bool {
    matches!(action, Action::Remove { .. })
}

/// L-44.
#[test]
fn a_pod_that_was_never_scheduled_goes_when_deleted() {
    assert!(is_removed(&planned(&pod("Pending", true), &Home::None)));
    assert_eq!(planned(&pod("Pending", false), &Home::None), Action::Leave);
}

/// L-43 (b): after the quarantine, shown as Failed with the reason, and only if the node is gone for sure.
#[test]
fn pods_of_a_vanished_node_go_after_the_quarantine() {
    let early = planned(
        &pod("Running", false),
        &Home::Missing(Duration::from_secs(10)),
    );
    assert_eq!(early, Action::LookAgain(Duration::from_secs(30)));
    let Action::Remove {
        failed: Some(failed),
        if_node_missing: true,
    } = planned(&pod("Running", false), &Home::Missing(QUARANTINE))
    else {
        panic!("kept");
    };
    let status = failed.status.expect("status");
    assert_eq!(status.phase.as_deref(), Some("Failed"));
    let condition = &status.conditions.expect("conditions")[0];
    assert_eq!(
        (condition.type_.as_str(), condition.reason.as_deref()),
        ("DisruptionTarget", Some("DeletionByPodGC"))
    );
    let over = planned(&pod("Succeeded", false), &Home::Missing(QUARANTINE));
    assert_eq!(
        over,
        Action::Remove {
            failed: None,
            if_node_missing: true
        }
    );
}

/// L-42, L-43 (c): a silent node's pods stay until an operator says it is out of service.
#[test]
fn a_silent_nodes_pods_stay_until_it_is_out_of_service() {
    let terminating = pod("Running", true);
    let out = "node.kubernetes.io/out-of-service";
    assert_eq!(
        planned(
            &terminating,
            &Home::Here(&node("node.kubernetes.io/unreachable", "Unknown"))
        ),
        Action::Leave
    );
    assert!(is_removed(&planned(
        &terminating,
        &Home::Here(&node(out, "Unknown"))
    )));
    assert_eq!(
        planned(&terminating, &Home::Here(&node(out, "'True'"))),
        Action::Leave
    );
    assert_eq!(
        planned(&pod("Running", false), &Home::Here(&node(out, "Unknown"))),
        Action::Leave
    );
}
