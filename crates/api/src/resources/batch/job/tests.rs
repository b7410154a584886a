use rstest::rstest;

use super::*;
use crate::resources::testing::{merged, of_spec, texts};

const UID: &str = "11111111-2222-3333-4444-555555555555";

fn job(spec: Value) -> Value {
    let mut job = merged(
        json!({"metadata": {"name": "work", "uid": UID}, "spec": {"template":
            {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}),
        of_spec(spec),
    );
    Rules.default(&mut job);
    Rules.prepare_create(&mut job);
    job
}

#[test]
fn a_minimal_job_selects_its_own_pods() {
    let minimal = job(json!({}));
    let spec = &minimal["spec"];
    let own = json!({"batch.kubernetes.io/controller-uid": UID, "batch.kubernetes.io/job-name": "work",
        "controller-uid": UID, "job-name": "work"});
    assert_eq!(spec["template"]["metadata"]["labels"], own);
    assert_eq!(minimal["metadata"]["labels"], own);
    assert_eq!(
        spec["selector"],
        json!({"matchLabels": {"batch.kubernetes.io/controller-uid": UID}})
    );
    assert_eq!(
        (
            &spec["completions"],
            &spec["parallelism"],
            &spec["backoffLimit"]
        ),
        (&json!(1), &json!(1), &json!(6))
    );
    assert_eq!(spec["podReplacementPolicy"], "TerminatingOrFailed");
    assert_eq!(minimal["status"], json!({}));
    assert!(
        Rules.validate(&minimal).is_empty(),
        "{:?}",
        texts(&Rules.validate(&minimal))
    );
}

#[test]
fn policies_complete_the_defaults() {
    let indexed = job(
        json!({"completionMode": "Indexed", "completions": 2, "backoffLimitPerIndex": 1,
        "podFailurePolicy": {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]}}),
    );
    let spec = &indexed["spec"];
    assert_eq!(spec["backoffLimit"], i32::MAX);
    assert_eq!(spec["podReplacementPolicy"], "Failed");
    assert_eq!(
        spec["podFailurePolicy"]["rules"][0]["onPodConditions"][0]["status"],
        "True"
    );
    assert!(Rules.validate(&indexed).is_empty());
}

#[rstest]
#[case(json!({"completionMode": "Indexed", "parallelism": -1, "template": {"spec": {"restartPolicy": null}}}), &[
    "spec.parallelism: Invalid value: -1: must be greater than or equal to 0",
    "spec.completions: Required value: when completion mode is Indexed",
    "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""])]
#[case(json!({"backoffLimitPerIndex": 1}), &["spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"])]
#[case(json!({"successPolicy": {"rules": [{"succeededCount": 1}]}}), &[
    "spec.successPolicy: Invalid value: {\"Rules\":[{\"SucceededIndexes\":null,\"SucceededCount\":1}]}: requires indexed completion mode"])]
#[case(json!({"completionMode": "Indexed", "completions": 3, "successPolicy": {"rules": [{"succeededIndexes": "0-1", "succeededCount": 3}]}}), &[
    "spec.successPolicy.rules[0].succeededCount: Invalid value: 3: must be less than or equal to 2 (the number of indexes in the specified succeededIndexes field)"])]
#[case(json!({"podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [3, 0]}}]}}), &[
    "spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator",
    "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [3,0]: must be ordered"])]
#[case(json!({"podFailurePolicy": {"rules": [{"action": "FailIndex"}]}}), &[
    "spec.podFailurePolicy.rules[0].action: Invalid value: \"FailIndex\": requires the backoffLimitPerIndex to be set",
    "spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required"])]
#[case(json!({"managedBy": "me"}), &[
    "spec.managedBy: Invalid value: \"me\": must be a domain-prefixed path (such as \"acme.io/foo\")"])]
fn specs_are_checked(#[case] spec: Value, #[case] want: &[&str]) {
    assert_eq!(texts(&Rules.validate(&job(spec))), want);
}

#[test]
fn a_selector_of_ones_own_needs_to_be_asked_for() {
    let selected = job(
        json!({"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "c"}}}}),
    );
    let faults = texts(&Rules.validate(&selected));
    assert!(
        faults[0]
            .starts_with("spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"b\",\"batch"),
        "{faults:?}"
    );
    assert!(
        faults[0].ends_with("`selector` not auto-generated"),
        "{faults:?}"
    );
    let manual = json!({"manualSelector": true, "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}}});
    let manual = job(manual);
    assert_eq!(manual["metadata"]["labels"], json!({"a": "b"}));
    assert!(Rules.validate(&manual).is_empty());
}

#[test]
fn what_runs_stays_and_what_rests_may_be_placed_anew() {
    let running = job(json!({"completions": 3, "parallelism": 1}));
    let resting = merged(running.clone(), json!({"spec": {"suspend": true}}));
    let faults = |old: &Value, change: Value| {
        texts(&Rules.validate_update(&merged(old.clone(), change), old))
    };
    assert_eq!(
        faults(&running, json!({"spec": {"completions": 5}})),
        ["spec.completions: Invalid value: 5: field is immutable"]
    );
    let placed = json!({"spec": {"template": {"spec": {"nodeSelector": {"a": "b"}, "containers":
        [{"name": "c", "image": "i", "imagePullPolicy": "Always", "resources": {"requests": {"cpu": "1"}},
          "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"}]}}}});
    assert_eq!(faults(&resting, placed.clone()), [""; 0]);
    let refused = faults(&running, placed);
    assert!(
        refused[0].starts_with("spec.template: Invalid value: {\"labels\":{"),
        "{refused:?}"
    );
    let other = faults(
        &resting,
        json!({"spec": {"template": {"spec": {"restartPolicy": "OnFailure"}}}}),
    );
    assert!(
        other[0].starts_with("spec.template.spec: Invalid value: {\"Volumes\":null,"),
        "{other:?}"
    );
    let indexed = job(json!({"completionMode": "Indexed", "completions": 2, "parallelism": 2}));
    assert_eq!(
        faults(
            &indexed,
            json!({"spec": {"completions": 4, "parallelism": 4}})
        ),
        [""; 0]
    );
    assert_eq!(
        faults(&indexed, json!({"spec": {"completions": 4}})),
        [
            "spec.completions: Invalid value: 4: can only be modified in tandem with spec.parallelism"
        ]
    );
}

#[test]
fn an_end_is_told_whole_and_for_good() {
    let old = job(json!({}));
    let status = |conditions: &[&str], more: Value| {
        let conditions: Vec<_> = conditions
            .iter()
            .map(|kind| json!({"type": kind, "status": "True"}))
            .collect();
        merged(
            old.clone(),
            json!({"status": merged(json!({"conditions": conditions}), more)}),
        )
    };
    let times = json!({"startTime": "2024-01-01T00:00:00Z", "completionTime": "2024-01-01T00:01:00Z", "succeeded": 1});
    let complete = status(&["SuccessCriteriaMet", "Complete"], times.clone());
    assert_eq!(
        texts(&Rules.validate_status_update(&complete, &old)),
        [""; 0]
    );
    assert_eq!(
        texts(&Rules.validate_status_update(&status(&["Complete"], json!({})), &old)),
        [
            "status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
            "status.completionTime: Required value: completionTime is required for Complete jobs",
            "status.startTime: Required value: startTime is required for finished job"
        ]
    );
    let undone = texts(&Rules.validate_status_update(&old, &complete));
    assert!(
        undone.contains(&"status.conditions: Invalid value: cannot disable the terminal Complete=True condition".to_owned()),
        "{undone:?}"
    );
    let ready = status(&[], json!({"ready": 2, "active": 1}));
    assert_eq!(
        texts(&Rules.validate_status_update(&ready, &old)),
        ["status.ready: Invalid value: 2: cannot set more ready pods than active"]
    );
}

#[test]
fn rows_say_how_far_a_job_is() {
    let mut work = job(json!({"completions": 3, "parallelism": 2}));
    work["status"] = json!({"succeeded": 1, "startTime": "1970-01-01T00:00:00Z", "conditions": [{"type": "Suspended", "status": "True"}]});
    let now = Timestamp::from_second(90).unwrap();
    let row = Rules.row(&work, now);
    assert_eq!(row[1..4], [json!("Suspended"), json!("1/3"), json!("90s")]);
}
