use rstest::rstest;

use super::*;
use crate::resources::testing::texts;

#[expect(
    clippy::needless_pass_by_value,
    reason = "json!(..) reads better without a reference"
)]
fn pod(spec: Value) -> Value {
    let mut pod = json!({"metadata": {"name": "web-0"}, "spec": {"containers": [{"name": "c", "image": "img:1"}]}});
    json_patch::merge(&mut pod["spec"], &spec);
    Rules.default(&mut pod);
    pod
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "json!(..) reads better without a reference"
)]
fn container(extra: Value) -> Value {
    let mut container = json!({"name": "c", "image": "img:1"});
    json_patch::merge(&mut container, &extra);
    json!({"containers": [container]})
}

#[test]
fn a_minimal_pod_is_pending() {
    // §5.1
    let mut minimal = pod(json!({"serviceAccountName": "robot"}));
    Rules.prepare_create(&mut minimal);
    assert_eq!(
        minimal["status"],
        json!({"phase": "Pending", "qosClass": "BestEffort"})
    );
    assert_eq!(minimal["metadata"]["generation"], 1);
    assert_eq!(minimal["spec"]["enableServiceLinks"], true);
    assert_eq!(minimal["spec"]["serviceAccount"], "robot");
    assert!(Rules.validate(&minimal).is_empty());
    let mut negative = pod(json!({"terminationGracePeriodSeconds": -5}));
    Rules.prepare_create(&mut negative);
    assert_eq!(negative["spec"]["terminationGracePeriodSeconds"], 1);
    let host = pod(
        json!({"hostNetwork": true, "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]}),
    );
    assert_eq!(host["spec"]["containers"][0]["ports"][0]["hostPort"], 80);
    let limited = pod(container(
        json!({"resources": {"limits": {"cpu": "0.5", "memory": "2048Ki"}}}),
    ));
    assert_eq!(
        limited["spec"]["containers"][0]["resources"]["requests"],
        json!({"cpu": "500m", "memory": "2Mi"})
    );
}

#[rstest]
#[case(json!({"containers": [{"name": "c", "image": "i"}, {"name": "c", "image": "i"}]}), &["spec.containers[1].name: Duplicate value: \"c\""])]
#[case(json!({"containers": []}), &["spec.containers: Required value"])]
#[case(json!({"containers": [{"name": "c"}]}), &["spec.containers[0].image: Required value"])]
#[case(json!({"restartPolicy": "Sometimes"}), &["spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\""])]
#[case(json!({"dnsPolicy": "Odd"}), &["spec.dnsPolicy: Unsupported value: \"Odd\": supported values: \"ClusterFirstWithHostNet\", \"ClusterFirst\", \"Default\", \"None\""])]
#[case(container(json!({"ports": [{"containerPort": 70000}]})), &["spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"])]
#[case(container(json!({"ports": [{"containerPort": 80, "name": "a"}, {"containerPort": 81, "name": "a"}]})), &["spec.containers[0].ports[1].name: Duplicate value: \"a\""])]
#[case(container(json!({"volumeMounts": [{"name": "missing", "mountPath": "/x"}]})), &["spec.containers[0].volumeMounts[0].name: Not found: \"missing\""])]
#[case(json!({"volumes": [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}}]}), &["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"])]
#[case(json!({"volumes": [{"name": "v", "configMap": {}}]}), &["spec.volumes[0].configMap.name: Required value"])]
#[case(container(json!({"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}})), &["spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1"])]
#[case(container(json!({"env": [{"name": "", "value": "x"}, {"name": "A=B", "value": "y"}]})), &["spec.containers[0].env[0].name: Required value", "spec.containers[0].env[1].name: Invalid value: \"A=B\": a valid environment variable name must consist only of printable ASCII characters other than '='"])]
#[case(container(json!({"env": [{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]})), &["spec.containers[0].env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty"])]
#[case(container(json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.wrong"}}}]})), &["spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: \"metadata.wrong\": error converting fieldPath: field label not supported: metadata.wrong"])]
#[case(container(json!({"livenessProbe": {"httpGet": {"port": 80}, "tcpSocket": {"port": 80}}})), &["spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type"])]
#[case(container(json!({"readinessProbe": {"tcpSocket": {"port": 0}, "periodSeconds": -1, "successThreshold": -2}})), &["spec.containers[0].readinessProbe.tcpSocket.port: Invalid value: 0: must be between 1 and 65535, inclusive", "spec.containers[0].readinessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0", "spec.containers[0].readinessProbe.successThreshold: Invalid value: -2: must be greater than or equal to 0"])]
#[case(json!({"hostNetwork": true, "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80, "hostPort": 81}]}]}), &["spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true"])]
#[case(json!({"tolerations": [{"operator": "Equal", "key": "", "value": "x"}, {"key": "a", "operator": "Exists", "value": "x"}]}), &["spec.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty, which means \"match all values and all keys\"", "spec.tolerations[1].operator: Invalid value: \"x\": value must be empty when `operator` is 'Exists'"])]
#[case(container(json!({"imagePullPolicy": "Maybe"})), &["spec.containers[0].imagePullPolicy: Unsupported value: \"Maybe\": supported values: \"Always\", \"IfNotPresent\", \"Never\""])]
#[case(json!({"dnsPolicy": "None"}), &["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"])]
#[case(json!({"activeDeadlineSeconds": 0}), &["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive"])]
#[case(container(json!({"image": " x"})), &["spec.containers[0].image: Invalid value: \" x\": must not have leading or trailing whitespace"])]
#[case(json!({"initContainers": [{"name": "i", "image": "i", "livenessProbe": {"exec": {"command": ["true"]}}}]}), &["spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always"])]
#[case(json!({"schedulingGates": [{"name": "x.y/z"}], "nodeName": "n"}), &["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"])]
fn faults_read_like_upstreams(#[case] spec: Value, #[case] want: &[&str]) {
    assert_eq!(texts(&Rules.validate(&pod(spec))), want);
}

#[test]
fn little_of_a_pod_may_change() {
    //
    let old = pod(json!({"tolerations": [{"key": "a", "operator": "Exists"}]}));
    let changed = |change: Value| {
        let mut new = old.clone();
        json_patch::merge(&mut new["spec"], &change);
        Rules.default(&mut new);
        texts(&Rules.validate_update(&new, &old))
    };
    assert!(
        changed(container(
            json!({"image": "new:2", "imagePullPolicy": "IfNotPresent"})
        ))
        .is_empty()
    );
    assert!(changed(json!({"activeDeadlineSeconds": 50})).is_empty());
    assert!(changed(json!({"tolerations": [{"key": "a", "operator": "Exists"}, {"key": "b", "operator": "Exists"}]})).is_empty());
    let other = changed(json!({"terminationGracePeriodSeconds": 5}));
    assert_eq!(other.len(), 1);
    assert!(other[0].starts_with(
        "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
    ));
    assert_eq!(
        changed(json!({"tolerations": []})),
        [
            "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"
        ]
    );
    assert_eq!(
        changed(json!({"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "i"}]})),
        ["spec.containers: Forbidden: pod updates may not add or remove containers"]
    );
    assert_eq!(
        changed(json!({"schedulingGates": [{"name": "x.y/z"}]})),
        [
            "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'x.y/z'"
        ]
    );
}

#[test]
fn the_node_reports_only_the_status() {
    //
    let mut old = pod(json!({"nodeName": "n"}));
    Rules.prepare_create(&mut old);
    let mut new = old.clone();
    new["spec"]["nodeName"] = "ignored".into();
    new["status"] = json!({"phase": "Running", "podIP": "10.1.1.1"});
    Rules.default(&mut new);
    Rules.prepare_status_update(&mut new, &old);
    assert_eq!(new["spec"]["nodeName"], "n");
    assert_eq!(new["metadata"]["generation"], 1);
    assert_eq!(
        new["status"],
        json!({"phase": "Running", "podIP": "10.1.1.1", "podIPs": [{"ip": "10.1.1.1"}], "qosClass": "BestEffort"})
    );
    assert!(Rules.validate_status_update(&new, &old).is_empty());
    new["status"]["podIPs"] = json!([{"ip": "300.1.1.1"}]);
    assert_eq!(
        texts(&Rules.validate_status_update(&new, &old)),
        [
            "status.podIPs[0]: Invalid value: \"300.1.1.1\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
        ]
    );
}

#[rstest]
#[case::own(json!({"nodeName": "n"}), "Running", None, Some(30))]
#[case::asked(json!({"nodeName": "n"}), "Running", Some(5), Some(5))]
#[case::forced(json!({"nodeName": "n"}), "Running", Some(0), None)]
#[case::negative(json!({"nodeName": "n"}), "Running", Some(-4), Some(1))]
#[case::unassigned(json!({}), "Pending", Some(100), None)]
#[case::ended(json!({"nodeName": "n"}), "Failed", None, None)]
fn deletion_is_graceful_while_something_may_run(
    #[case] spec: Value,
    #[case] phase: &str,
    #[case] requested: Option<i64>,
    #[case] want: Option<i64>,
) {
    // L-30, L-31
    let mut pod = pod(spec);
    pod["status"]["phase"] = phase.into();
    assert_eq!(Rules.grace_period(&pod, requested), want);
}

#[test]
fn warnings_name_what_hides_or_repeats() {
    //
    let mut odd = pod(container(
        json!({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}],
        "ports": [{"containerPort": 80}, {"containerPort": 80}]}),
    ));
    odd["spec"]["imagePullSecrets"] = json!([{}]);
    odd["spec"]["volumes"] = json!([{"name": "a", "gitRepo": {"repository": "x"}}]);
    assert_eq!(
        Rules.warnings(&odd, None),
        [
            "spec.imagePullSecrets[0].name: invalid empty name \"\"",
            "spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+",
            "spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped when using apply",
            "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]"
        ]
    );
    assert!(Rules.warnings(&odd, Some(&odd)).is_empty());
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "json!(..) reads better without a reference"
)]
fn shown(spec: Value, status: Value) -> (String, String, String) {
    let now: Timestamp = "2024-01-01T01:00:00Z".parse().unwrap();
    let pod = json!({"metadata": {"name": "p"}, "spec": spec, "status": status});
    let cells = Rules.row(&pod, now);
    let text = |index: usize| cells[index].as_str().unwrap_or_default().to_owned();
    (text(1), text(2), text(3))
}

#[rstest]
#[case::pending(json!({"containers": [{}]}), json!({"phase": "Pending"}), ("0/1", "Pending", "0"))]
#[case::creating(json!({"containers": [{}]}), json!({"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}), ("0/1", "ContainerCreating", "0"))]
#[case::running(json!({"containers": [{}]}), json!({"phase": "Running", "containerStatuses": [{"ready": true, "state": {"running": {}}}]}), ("1/1", "Running", "0"))]
#[case::crashing(json!({"containers": [{}]}), json!({"phase": "Running", "containerStatuses": [{"restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"finishedAt": "2024-01-01T00:58:00Z"}}}]}), ("0/1", "CrashLoopBackOff", "3 (2m ago)"))]
#[case::first_wins(json!({"containers": [{}, {}]}), json!({"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}, {"state": {"waiting": {"reason": "ContainerCreating"}}}]}), ("0/2", "ErrImagePull", "0"))]
#[case::exit(json!({"containers": [{}]}), json!({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 2}}}]}), ("0/1", "ExitCode:2", "0"))]
#[case::signal(json!({"containers": [{}]}), json!({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 137, "signal": 9}}}]}), ("0/1", "Signal:9", "0"))]
#[case::completed(json!({"containers": [{}]}), json!({"phase": "Succeeded", "containerStatuses": [{"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}]}), ("0/1", "Completed", "0"))]
#[case::half_completed(json!({"containers": [{}, {}]}), json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [{"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}, {"ready": true, "state": {"running": {}}}]}), ("1/2", "Running", "0"))]
#[case::half_not_ready(json!({"containers": [{}, {}]}), json!({"phase": "Running", "containerStatuses": [{"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}, {"ready": true, "state": {"running": {}}}]}), ("1/2", "NotReady", "0"))]
#[case::init(json!({"containers": [{}], "initContainers": [{"name": "a"}, {"name": "b"}]}), json!({"phase": "Pending", "initContainerStatuses": [{"name": "a", "state": {"terminated": {"exitCode": 0}}}, {"name": "b", "state": {"running": {}}}]}), ("0/1", "Init:1/2", "0"))]
#[case::init_failed(json!({"containers": [{}], "initContainers": [{"name": "a"}]}), json!({"phase": "Pending", "initContainerStatuses": [{"name": "a", "restartCount": 2, "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}]}), ("0/1", "Init:Error", "2"))]
#[case::init_waiting(json!({"containers": [{}], "initContainers": [{"name": "a"}]}), json!({"phase": "Pending", "initContainerStatuses": [{"name": "a", "state": {"waiting": {"reason": "PodInitializing"}}}]}), ("0/1", "Init:0/1", "0"))]
#[case::sidecar(json!({"containers": [{}], "initContainers": [{"name": "s", "restartPolicy": "Always"}]}), json!({"phase": "Running", "initContainerStatuses": [{"name": "s", "started": true, "ready": true, "restartCount": 1, "state": {"running": {}}}], "containerStatuses": [{"ready": true, "state": {"running": {}}}]}), ("2/2", "Running", "1"))]
#[case::evicted(json!({"containers": [{}]}), json!({"phase": "Failed", "reason": "Evicted"}), ("0/1", "Evicted", "0"))]
#[case::gated(json!({"containers": [{}]}), json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]}), ("0/1", "SchedulingGated", "0"))]
fn rows_follow_the_containers(
    #[case] spec: Value,
    #[case] status: Value,
    #[case] want: (&str, &str, &str),
) {
    // §8.3
    let (ready, state, restarts) = shown(spec, status);
    assert_eq!((ready.as_str(), state.as_str(), restarts.as_str()), want);
}

#[test]
fn rows_of_deleted_and_ended_pods() {
    // §8.3.5, K-9
    let cells = |pod: Value| Rules.row(&pod, Timestamp::UNIX_EPOCH)[2].clone();
    let deleted = json!({"deletionTimestamp": "2024-01-01T00:00:00Z"});
    assert_eq!(
        cells(json!({"metadata": deleted, "status": {"phase": "Running"}})),
        "Terminating"
    );
    assert_eq!(
        cells(json!({"metadata": deleted, "status": {"phase": "Running", "reason": "NodeLost"}})),
        "Unknown"
    );
    assert_eq!(
        cells(json!({"metadata": deleted, "status": {"phase": "Succeeded"}})),
        "Succeeded"
    );
    assert_eq!(
        Rules.row_conditions(&json!({"status": {"phase": "Succeeded"}}))[0]["reason"],
        "Succeeded"
    );
    assert!(
        Rules
            .row_conditions(&json!({"status": {"phase": "Running"}}))
            .is_empty()
    );
}
