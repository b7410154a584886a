use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Taint};

use super::plan::*;
use crate::testing::object;

fn pod(tolerations: &str) -> Pod {
    object(&format!(
        "{{metadata: {{name: web-0}}, spec: {{containers: [], tolerations: [{tolerations}]}}, status: {{phase: Running}}}}"
    ))
}

fn unreachable() -> Taint {
    object(
        "{key: node.kubernetes.io/unreachable, effect: NoExecute, timeAdded: '2026-01-01T00:00:00Z'}",
    )
}

/// The verdict that many seconds after the taint was set.
fn after(seconds: i64, pod: &Pod) -> Verdict {
    let set = unreachable().time_added.expect("time").0;
    plan(
        pod,
        &[unreachable()],
        Timestamp::from_second(set.as_second() + seconds).expect("time"),
    )
}

/// L-41: the default tolerations last 300 seconds; then the pod is marked and goes.
#[test]
fn a_pod_leaves_when_its_patience_ends() {
    let patient = pod(
        "{key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 300}",
    );
    assert_eq!(
        after(100, &patient),
        Verdict::StayFor(Duration::from_secs(200))
    );
    let Verdict::Leave(shown) = after(300, &patient) else {
        panic!("stays");
    };
    let condition = &shown
        .status
        .expect("status")
        .conditions
        .expect("conditions")[0];
    assert_eq!(condition.type_, "DisruptionTarget");
    assert_eq!(condition.reason.as_deref(), Some("DeletionByTaintManager"));
}

#[test]
fn tolerations_are_matched_by_key_value_and_effect() {
    let leaves = |tolerations: &str| matches!(after(0, &pod(tolerations)), Verdict::Leave(_));
    assert!(leaves(""));
    assert!(leaves("{key: other, operator: Exists}"));
    assert!(leaves(
        "{key: node.kubernetes.io/unreachable, operator: Exists, effect: NoSchedule}"
    ));
    assert!(leaves(
        "{key: node.kubernetes.io/unreachable, operator: Equal, value: x}"
    ));
    assert!(leaves("{operator: Exists, tolerationSeconds: -1}"));
    assert_eq!(after(0, &pod("{operator: Exists}")), Verdict::Stay);
    assert_eq!(
        after(0, &pod("{key: node.kubernetes.io/unreachable, value: ''}")),
        Verdict::Stay
    );
    let both = "{operator: Exists}, {key: node.kubernetes.io/unreachable, operator: Exists, tolerationSeconds: 5}";
    assert_eq!(
        after(0, &pod(both)),
        Verdict::StayFor(Duration::from_secs(5))
    );
}

/// L-42, L-45: what is leaving or over is left alone, and so is everybody once the taint is gone.
#[test]
fn nobody_is_driven_away_twice_or_without_a_taint() {
    let mut terminating = pod("");
    terminating.metadata.deletion_timestamp = unreachable().time_added;
    assert_eq!(after(0, &terminating), Verdict::Stay);
    assert_eq!(plan(&pod(""), &[], Timestamp::UNIX_EPOCH), Verdict::Stay);
}
