use rstest::rstest;

use super::*;
use crate::resources::testing::{merged, of_spec, texts};

fn scaler(spec: Value) -> Value {
    let mut scaler = merged(
        json!({"metadata": {"name": "a"}, "spec": {"maxReplicas": 5,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}}}),
        of_spec(spec),
    );
    Rules.default(&mut scaler);
    scaler
}

#[test]
fn a_minimal_autoscaler_watches_the_cpu() {
    let minimal = scaler(json!({}));
    assert_eq!(minimal["spec"]["minReplicas"], 1);
    assert_eq!(
        minimal["spec"]["metrics"],
        json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}])
    );
    assert_eq!(
        minimal["status"],
        json!({"currentMetrics": null, "desiredReplicas": 0})
    );
    assert!(Rules.validate(&minimal).is_empty());
}

#[test]
fn both_directions_get_their_habits_when_one_is_told() {
    let told = scaler(json!({"behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}}));
    assert_eq!(
        told["spec"]["behavior"],
        json!({"scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [
            {"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15}]},
            "scaleDown": {"stabilizationWindowSeconds": 60, "selectPolicy": "Max", "policies": [
            {"type": "Percent", "value": 100, "periodSeconds": 15}]}})
    );
}

#[rstest]
#[case(json!({"minReplicas": 4, "maxReplicas": 3}), &["spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`"])]
#[case(json!({"minReplicas": 0}), &[
    "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
    "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero replicas"])]
#[case(json!({"scaleTargetRef": {"apiVersion": null, "kind": "", "name": "a/b"}}), &[
    "spec.scaleTargetRef.kind: Required value",
    "spec.scaleTargetRef.name: Invalid value: \"a/b\": may not contain '/'",
    "spec.scaleTargetRef.apiVersion: Invalid value: \"\": apiVersion must specify API group"])]
#[case(json!({"scaleTargetRef": {"apiVersion": null, "kind": "ReplicationController"}}), &[])]
#[case(json!({"metrics": [{"type": "Resource"}]}), &[
    "spec.metrics[0].resource: Required value: must populate information for the given metric source"])]
#[case(json!({"metrics": [{"type": "Pods", "pods": {"metric": {"name": "m"}, "target": {"type": "AverageValue"}}}]}), &[
    "spec.metrics[0].pods.target.averageValue: Required value: must specify a positive target averageValue"])]
#[case(json!({"behavior": {"scaleDown": {"policies": [{"type": "Percent", "value": 1, "periodSeconds": 5000}]}}}), &[
    "spec.behavior.scaleDown.policies[0].periodSeconds: Invalid value: 5000: must be less than or equal to 1800"])]
fn specs_are_checked(#[case] spec: Value, #[case] want: &[&str]) {
    assert_eq!(texts(&Rules.validate(&scaler(spec))), want);
}

#[test]
fn rows_show_what_is_and_what_should_be() {
    let mut scaler = scaler(json!({"metrics": [
        {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}},
        {"type": "Pods", "pods": {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "1k"}}},
        {"type": "External", "external": {"metric": {"name": "q"}, "target": {"type": "Value", "value": "5"}}}]}));
    let row = Rules.row(&scaler, Timestamp::UNIX_EPOCH);
    assert_eq!(
        Value::from(row),
        json!([
            "a",
            "Deployment/d",
            "cpu: <unknown>/70%, <unknown>/1k + 1 more...",
            "1",
            5,
            0,
            "<unknown>"
        ])
    );
    scaler["status"]["currentMetrics"] = json!([{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 12}}}]);
    assert!(metrics(&scaler).starts_with("cpu: 12%/70%,"));
}
