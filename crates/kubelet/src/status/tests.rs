//! Statuses as a user sees them.

use plinth_runtime::{ContainerId, ContainerState, ContainerStatus, PodSandbox, SandboxId};
use serde_json::{Value, json};

use super::*;
use crate::plan::{Health, Waiting};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("time")
}

#[allow(clippy::needless_pass_by_value)] // reads better at its many callers
fn pod(spec: Value, status: Value) -> Pod {
    let mut spec = spec;
    if spec.get("containers").is_none() {
        spec["containers"] = json!([{"name": "nginx", "image": "nginx:1"}]);
    }
    let metadata = json!({"name": "web-0", "namespace": "default", "uid": "u0", "generation": 3});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec, "status": status}))
        .expect("pod")
}

fn container(name: &str, attempt: u32, exit: Option<i32>) -> ContainerStatus {
    ContainerStatus {
        id: ContainerId(format!("{name}{attempt}")),
        sandbox: SandboxId("s0".into()),
        name: name.into(),
        attempt,
        image: "nginx:1".into(),
        image_id: "sha256:1".into(),
        state: if exit.is_some() {
            ContainerState::Exited
        } else {
            ContainerState::Running
        },
        pid: None,
        created_at: at(0),
        started_at: Some(at(1)),
        finished_at: exit.map(|_| at(9)),
        exit_code: exit,
        signal: None,
        reason: if exit == Some(0) {
            "Completed".into()
        } else {
            "Error".into()
        },
        message: String::new(),
        log_path: "x".into(),
        annotations: std::collections::BTreeMap::new(),
    }
}

fn seen(containers: Vec<ContainerStatus>) -> Observed {
    let config = plinth_runtime::PodSandboxConfig::default();
    let sandbox = PodSandbox {
        id: SandboxId("s0".into()),
        pid: 1,
        config,
        created_at: at(0),
        ready: true,
    };
    Observed {
        sandboxes: vec![sandbox],
        containers,
        ..Observed::default()
    }
}

fn up() -> Addresses {
    Addresses {
        host: "192.0.2.1".into(),
        pod: Some("10.244.0.5".into()),
    }
}

fn down() -> Addresses {
    Addresses {
        host: "192.0.2.1".into(),
        pod: None,
    }
}

fn status(pod: &Pod, seen: &Observed, plan: &Plan, addresses: &Addresses) -> Value {
    serde_json::to_value(pod_status(pod, seen, plan, addresses, at(10))).expect("status")
}

fn waiting(name: &str, reason: &str, message: &str) -> Plan {
    let waiting = Waiting {
        reason: reason.into(),
        message: message.into(),
    };
    Plan {
        waiting: [(name.to_owned(), waiting)].into(),
        ..Plan::default()
    }
}

/// `Type=Status/Reason` of every condition, in order.
fn conditions_of(status: &Value) -> Vec<String> {
    let all = status["conditions"].as_array().expect("conditions");
    let text = |c: &Value, field: &str| c[field].as_str().unwrap_or_default().to_owned();
    all.iter()
        .map(|c| {
            format!(
                "{}={}/{}",
                text(c, "type"),
                text(c, "status"),
                text(c, "reason")
            )
        })
        .collect()
}

#[test]
fn l4_before_the_first_start() {
    let pod = pod(
        json!({}),
        json!({"phase": "Pending", "qosClass": "BestEffort"}),
    );
    let got = status(&pod, &Observed::default(), &Plan::default(), &down());
    assert_eq!(got["phase"], "Pending");
    assert_eq!(
        got["containerStatuses"][0]["state"],
        json!({"waiting": {"reason": "ContainerCreating"}})
    );
    assert_eq!(got["hostIP"], "192.0.2.1");
    assert_eq!(
        (&got["podIP"], &got["qosClass"]),
        (&Value::Null, &json!("BestEffort"))
    );
    assert_eq!(
        conditions_of(&got),
        [
            "PodReadyToStartContainers=False/",
            "Initialized=True/",
            "Ready=False/ContainersNotReady",
            "ContainersReady=False/ContainersNotReady",
            "PodScheduled=True/",
        ]
    );
    assert_eq!(
        got["conditions"][2]["message"],
        "containers with unready status: [nginx]"
    );
    assert_eq!(got["conditions"][2]["observedGeneration"], 3);
}

#[test]
fn l6_running_and_ready() {
    let got = status(
        &pod(json!({}), json!({})),
        &seen(vec![container("nginx", 0, None)]),
        &Plan::default(),
        &up(),
    );
    assert_eq!(got["phase"], "Running");
    assert_eq!(
        got["containerStatuses"][0],
        json!({"name": "nginx", "image": "nginx:1", "imageID": "sha256:1", "containerID": "plinth://nginx0",
            "ready": true, "started": true, "restartCount": 0,
            "state": {"running": {"startedAt": "2027-01-15T08:00:01Z"}}})
    );
    assert_eq!(
        (&got["podIP"], &got["podIPs"]),
        (&json!("10.244.0.5"), &json!([{"ip": "10.244.0.5"}]))
    );
    assert!(conditions_of(&got).contains(&"Ready=True/".to_owned()));
}

#[test]
fn l6_a_crash_loop_shows_the_reason_and_how_it_ended() {
    let all = vec![
        container("nginx", 0, Some(2)),
        container("nginx", 1, Some(1)),
    ];
    let plan = waiting(
        "nginx",
        "CrashLoopBackOff",
        "back-off 10s restarting failed container=nginx pod=web-0_default(u0)",
    );
    let got = status(&pod(json!({}), json!({})), &seen(all), &plan, &up());
    let one = &got["containerStatuses"][0];
    assert_eq!(one["state"]["waiting"]["reason"], "CrashLoopBackOff");
    assert_eq!(
        (
            &one["lastState"]["terminated"]["exitCode"],
            &one["restartCount"]
        ),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        one["lastState"]["terminated"]["containerID"],
        "plinth://nginx1"
    );
    assert_eq!(got["phase"], "Running", "L-1: waiting after an earlier run");
    assert!(
        conditions_of(&got).contains(&"Ready=False/ContainersNotReady".to_owned()),
        "L-5"
    );
}

#[test]
fn l6_after_a_restart_the_last_state_is_that_of_the_one_before() {
    let all = vec![container("nginx", 0, Some(2)), container("nginx", 1, None)];
    let got = status(
        &pod(json!({}), json!({})),
        &seen(all),
        &Plan::default(),
        &up(),
    );
    let one = &got["containerStatuses"][0];
    assert_eq!(one["lastState"]["terminated"]["exitCode"], 2);
    assert_eq!(
        (&one["ready"], &one["restartCount"]),
        (&json!(true), &json!(1))
    );
}

#[test]
fn a_container_without_its_image_says_why_it_waits() {
    let plan = waiting(
        "nginx",
        "ErrImageNeverPull",
        "Container image \"x\" is not present with pull policy of Never",
    );
    let got = status(&pod(json!({}), json!({})), &seen(vec![]), &plan, &up());
    assert_eq!(
        got["containerStatuses"][0]["state"]["waiting"]["reason"],
        "ErrImageNeverPull"
    );
    assert_eq!(got["phase"], "Pending");
}

#[test]
fn l13_initialization_is_shown_container_by_container() {
    let pod = pod(
        json!({"initContainers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]}),
        json!({}),
    );
    let got = status(
        &pod,
        &seen(vec![container("a", 0, Some(0)), container("b", 0, None)]),
        &Plan::default(),
        &up(),
    );
    assert_eq!(got["phase"], "Pending");
    assert_eq!(got["initContainerStatuses"][0]["ready"], true);
    assert_eq!(
        got["containerStatuses"][0]["state"]["waiting"]["reason"],
        "PodInitializing"
    );
    assert!(conditions_of(&got).contains(&"Initialized=False/ContainersNotInitialized".to_owned()));
    assert_eq!(
        got["conditions"][1]["message"],
        "containers with incomplete status: [b]"
    );
}

/// Of a container: not there, running, or ended with this code.
type Exit = Option<Option<i32>>;

#[test]
fn l1_the_phase_table() {
    let spec = |policy: &str| json!({"restartPolicy": policy, "containers": [{"name": "a"}, {"name": "b"}]});
    let cases: [(&str, [Exit; 2], bool, &str); 9] = [
        ("Always", [None, None], false, "Pending"),
        ("Always", [Some(None), None], false, "Pending"),
        ("Always", [Some(None), Some(Some(1))], false, "Running"),
        ("Always", [Some(Some(0)), Some(Some(1))], false, "Running"),
        ("Never", [Some(Some(0)), Some(Some(0))], true, "Succeeded"),
        ("Never", [Some(Some(0)), Some(Some(1))], true, "Failed"),
        (
            "OnFailure",
            [Some(Some(0)), Some(Some(0))],
            true,
            "Succeeded",
        ),
        (
            "OnFailure",
            [Some(Some(0)), Some(Some(1))],
            false,
            "Running",
        ),
        ("Always", [Some(Some(0)), Some(Some(143))], true, "Failed"),
    ];
    for (policy, states, ended, want) in cases {
        let containers = ["a", "b"]
            .iter()
            .zip(states)
            .filter_map(|(n, s)| s.map(|exit| container(n, 0, exit)))
            .collect();
        let plan = Plan {
            ended,
            ..Plan::default()
        };
        let got = status(
            &pod(spec(policy), json!({})),
            &seen(containers),
            &plan,
            &up(),
        );
        assert_eq!(got["phase"], want, "{policy} {states:?}");
    }
}

#[test]
fn l2_a_final_phase_is_never_left() {
    let done = pod(json!({}), json!({"phase": "Failed"}));
    let got = status(
        &done,
        &seen(vec![container("nginx", 0, None)]),
        &Plan::default(),
        &up(),
    );
    assert_eq!(got["phase"], "Failed");
}

#[test]
fn l32_the_last_status_of_a_deleted_pod() {
    let old = json!({"phase": "Running", "podIP": "10.244.0.5", "podIPs": [{"ip": "10.244.0.5"}], "startTime": "2026-01-01T00:00:00Z"});
    let mut pod = pod(json!({}), old);
    pod.metadata.deletion_timestamp = Some(time(at(30)));
    let plan = Plan {
        ended: true,
        ..Plan::default()
    };
    let got = status(
        &pod,
        &seen(vec![container("nginx", 0, Some(0))]),
        &plan,
        &down(),
    );
    assert_eq!(
        (&got["phase"], &got["podIP"]),
        (&json!("Succeeded"), &json!("10.244.0.5"))
    );
    assert_eq!(got["startTime"], "2026-01-01T00:00:00Z");
    assert!(conditions_of(&got).contains(&"Ready=False/PodCompleted".to_owned()));
    // One that never ran ends too.
    let never = status(&pod, &seen(vec![]), &plan, &down());
    assert_eq!(never["phase"], "Failed");
    assert_eq!(
        never["containerStatuses"][0]["state"]["terminated"]["reason"],
        "ContainerStatusUnknown"
    );
}

#[test]
fn l4_conditions_of_others_stay_in_front_and_times_move_only_with_the_status() {
    let old = json!({"conditions": [
        {"type": "example.com/gate", "status": "True"},
        {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"},
        {"type": "Initialized", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"},
    ]});
    let pod = pod(
        json!({"readinessGates": [{"conditionType": "example.com/gate"}]}),
        old,
    );
    let got = status(
        &pod,
        &seen(vec![container("nginx", 0, None)]),
        &Plan::default(),
        &up(),
    );
    assert_eq!(got["conditions"][0]["type"], "example.com/gate");
    let time_of = |type_: &str| {
        let all = got["conditions"].as_array().expect("conditions");
        all.iter()
            .find(|c| c["type"] == type_)
            .map(|c| c["lastTransitionTime"].clone())
    };
    assert_eq!(time_of("Initialized"), Some(json!("2026-01-01T00:00:00Z")));
    assert_eq!(time_of("Ready"), Some(json!("2027-01-15T08:00:10Z")));
}

#[test]
fn l5_readiness_gates_hold_a_pod_back() {
    let pod = pod(
        json!({"readinessGates": [{"conditionType": "g"}]}),
        json!({}),
    );
    let got = status(
        &pod,
        &seen(vec![container("nginx", 0, None)]),
        &Plan::default(),
        &up(),
    );
    let conditions = conditions_of(&got);
    assert!(conditions.contains(&"ContainersReady=True/".to_owned()));
    assert!(conditions.contains(&"Ready=False/ReadinessGatesNotReady".to_owned()));
}

#[test]
fn probes_decide_readiness_and_one_that_cannot_be_run_has_not_passed() {
    let with = |probes: Value| {
        let mut one = json!({"name": "nginx", "image": "nginx:1"});
        one.as_object_mut()
            .expect("object")
            .extend(probes.as_object().expect("object").clone());
        pod(json!({"containers": [one]}), json!({}))
    };
    let ready = |pod: &Pod, health: Option<Health>| {
        let mut seen = seen(vec![container("nginx", 0, None)]);
        seen.health.extend(health.map(|h| ("nginx".to_owned(), h)));
        status(pod, &seen, &Plan::default(), &up())["containerStatuses"][0]["ready"].clone()
    };
    let health = |started, ready| Health {
        container: Some(ContainerId("nginx0".into())),
        started,
        ready,
        failed: None,
    };
    let http = with(json!({"readinessProbe": {"httpGet": {"port": 80}}}));
    assert_eq!(ready(&http, None), false);
    assert_eq!(ready(&http, Some(health(true, true))), true);
    let startup = with(json!({"startupProbe": {"tcpSocket": {"port": 80}}}));
    assert_eq!(ready(&startup, Some(health(false, false))), false);
    assert_eq!(ready(&startup, Some(health(true, false))), true);
    let grpc = with(json!({"livenessProbe": {"grpc": {"port": 80}}}));
    assert_eq!(ready(&grpc, Some(health(true, true))), false);
}

#[test]
fn restart_counts_and_last_states_survive_the_loss_of_all_records() {
    let old = json!({"containerStatuses": [{"name": "nginx", "image": "nginx:1", "imageID": "sha256:1", "ready": true,
        "restartCount": 2, "containerID": "plinth://lost", "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]});
    let got = status(
        &pod(json!({}), old),
        &Observed::default(),
        &Plan::default(),
        &down(),
    );
    let one = &got["containerStatuses"][0];
    assert_eq!(
        (
            &one["restartCount"],
            &one["lastState"]["terminated"]["exitCode"]
        ),
        (&json!(2), &json!(137))
    );
    assert_eq!(one["state"]["waiting"]["reason"], "ContainerCreating");
}

#[test]
fn a_status_written_once_is_not_written_again() {
    let mut pod = pod(json!({}), json!({}));
    let seen = seen(vec![container("nginx", 0, None)]);
    let first = pod_status(&pod, &seen, &Plan::default(), &up(), at(10));
    pod.status = Some(first);
    let second = pod_status(&pod, &seen, &Plan::default(), &up(), at(500));
    assert_eq!(status_patch(&pod, &second), None);
}
