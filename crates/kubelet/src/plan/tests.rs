//! The plan as stories, and its promises over arbitrary worlds.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use k8s_openapi::api::core::v1::Pod;

const T0: i64 = 1_800_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(T0 + second).expect("time")
}

fn pod(spec: Value) -> Pod {
    let mut spec = spec;
    if spec.get("containers").is_none() {
        spec["containers"] = json!([{"name": "c", "image": "kubia"}]);
    }
    serde_json::from_value(
        json!({"metadata": {"name": "web-0", "namespace": "default", "uid": "u0"}, "spec": spec}),
    )
    .expect("pod")
}

fn deleting(mut pod: Pod, second: i64, grace: i64) -> Pod {
    pod.metadata.deletion_timestamp = Some(crate::status::time(at(second + grace)));
    pod.metadata.deletion_grace_period_seconds = Some(grace);
    pod
}

fn sandbox(id: &str, attempt: u32, ready: bool) -> PodSandbox {
    let config = plinth_runtime::PodSandboxConfig {
        uid: "u0".into(),
        attempt,
        ..Default::default()
    };
    PodSandbox {
        id: SandboxId(id.into()),
        pid: 1,
        config,
        created_at: at(0),
        ready,
    }
}

/// A container of sandbox `s0` made from the image `kubia`.
fn container(
    name: &str,
    attempt: u32,
    state: ContainerState,
    exit: Option<i32>,
) -> ContainerStatus {
    let spec = Container {
        name: name.into(),
        image: Some("kubia".into()),
        ..Default::default()
    };
    ContainerStatus {
        id: ContainerId(format!("{name}{attempt}")),
        sandbox: SandboxId("s0".into()),
        name: name.into(),
        attempt,
        image: "kubia".into(),
        image_id: "sha256:1".into(),
        state,
        pid: None,
        created_at: at(0),
        started_at: Some(at(0)),
        finished_at: exit.map(|_| at(1)),
        exit_code: exit,
        signal: None,
        reason: String::new(),
        message: String::new(),
        log_path: "x".into(),
        annotations: [(HASH_ANNOTATION.to_owned(), spec::container_hash(&spec))].into(),
    }
}

fn running(name: &str) -> ContainerStatus {
    container(name, 0, ContainerState::Running, None)
}

fn exited(name: &str, code: i32) -> ContainerStatus {
    container(name, 0, ContainerState::Exited, Some(code))
}

/// A pod whose volumes, sandbox and network are there.
fn prepared(containers: Vec<ContainerStatus>) -> Observed {
    Observed {
        sandboxes: vec![sandbox("s0", 0, true)],
        containers,
        volumes: Step::Done,
        network: Step::Done,
        ..Observed::default()
    }
}

/// The plan's actions in short.
fn actions(pod: &Pod, seen: &Observed, now: Timestamp) -> Vec<String> {
    plan(Some(pod), seen, now)
        .actions
        .iter()
        .map(short)
        .collect()
}

fn short(action: &Action) -> String {
    match action {
        Action::SetUpVolumes => "volumes".into(),
        Action::StartSandbox { attempt, .. } => format!("sandbox #{attempt}"),
        Action::AttachNetwork(id) => format!("network {id}"),
        Action::Start {
            container, attempt, ..
        } => format!("start {container} #{attempt}"),
        Action::Stop { id, deadline, .. } => format!("stop {id} by {}", deadline.as_second() - T0),
        Action::Remove(id) => format!("remove {id}"),
        Action::StopSandbox(id) => format!("stop sandbox {id}"),
        Action::RemoveSandbox(id) => format!("remove sandbox {id}"),
        Action::CleanUp => "clean up".into(),
        Action::Finish => "finish".into(),
    }
}

#[test]
fn a_pod_comes_up_step_by_step() {
    let pod = pod(json!({}));
    let mut seen = Observed::default();
    assert_eq!(actions(&pod, &seen, at(0)), ["volumes"]);
    seen.volumes = Step::Done;
    assert_eq!(actions(&pod, &seen, at(0)), ["sandbox #0"]);
    seen.sandboxes = vec![sandbox("s0", 0, true)];
    assert_eq!(actions(&pod, &seen, at(0)), ["network s0"]);
    seen.network = Step::Done;
    assert_eq!(actions(&pod, &seen, at(0)), ["start c #0"]);
    seen.containers = vec![running("c")];
    assert_eq!(plan(Some(&pod), &seen, at(0)), Plan::default());
}

#[test]
fn a_failed_step_waits_for_its_time() {
    let pod = pod(json!({}));
    let seen = Observed {
        volumes: Step::Failed { retry_at: at(5) },
        ..Observed::default()
    };
    let waiting = plan(Some(&pod), &seen, at(4));
    assert_eq!((waiting.actions.len(), waiting.wake_at), (0, Some(at(5))));
    assert_eq!(actions(&pod, &seen, at(5)), ["volumes"]);
}

#[test]
fn p26_nothing_starts_while_an_earlier_pod_of_the_name_may_live() {
    let blocked = Some(PodUid::new("older"));
    let seen = Observed {
        blocked_by: blocked.clone(),
        ..Observed::default()
    };
    assert_eq!(plan(Some(&pod(json!({}))), &seen, at(0)), Plan::default());
    // It may be deleted meanwhile all the same.
    let gone = deleting(pod(json!({})), 0, 30);
    assert_eq!(
        actions(
            &gone,
            &Observed {
                cleaned: true,
                ..seen
            },
            at(0)
        ),
        ["finish"]
    );
}

#[test]
fn l13_init_containers_run_one_after_the_other_and_sidecars_go_on() {
    let pod = pod(json!({"initContainers": [
        {"name": "a", "image": "kubia"},
        {"name": "side", "image": "kubia", "restartPolicy": "Always"},
        {"name": "b", "image": "kubia"},
    ]}));
    assert_eq!(actions(&pod, &prepared(vec![]), at(0)), ["start a #0"]);
    assert!(actions(&pod, &prepared(vec![running("a")]), at(0)).is_empty());
    assert_eq!(
        actions(&pod, &prepared(vec![exited("a", 0)]), at(0)),
        ["start side #0"]
    );
    let two = vec![exited("a", 0), running("side")];
    assert_eq!(actions(&pod, &prepared(two), at(0)), ["start b #0"]);
    let three = vec![exited("a", 0), running("side"), exited("b", 0)];
    assert_eq!(actions(&pod, &prepared(three), at(0)), ["start c #0"]);
    let crashed = vec![
        exited("a", 0),
        exited("side", 1),
        exited("b", 0),
        running("c"),
    ];
    assert_eq!(actions(&pod, &prepared(crashed), at(0)), ["start side #1"]);
    // A failed one is tried again, before anything else.
    assert_eq!(
        actions(&pod, &prepared(vec![exited("a", 1)]), at(1)),
        ["start a #1"]
    );
}

#[test]
fn l13_a_failed_init_container_ends_a_pod_that_never_restarts() {
    let pod =
        pod(json!({"restartPolicy": "Never", "initContainers": [{"name": "a", "image": "kubia"}]}));
    let plan = plan(Some(&pod), &prepared(vec![exited("a", 3)]), at(0));
    assert!(plan.ended);
    assert_eq!(
        plan.actions.iter().map(short).collect::<Vec<_>>(),
        ["stop sandbox s0"]
    );
}

#[test]
fn each_restart_policy() {
    for (policy, code, want) in [
        ("Always", 0, vec!["start c #1"]),
        ("Always", 1, vec!["start c #1"]),
        ("OnFailure", 1, vec!["start c #1"]),
        ("OnFailure", 0, vec!["stop sandbox s0"]),
        ("Never", 0, vec!["stop sandbox s0"]),
        ("Never", 1, vec!["stop sandbox s0"]),
    ] {
        let pod = pod(json!({"restartPolicy": policy}));
        assert_eq!(
            actions(&pod, &prepared(vec![exited("c", code)]), at(1)),
            want,
            "{policy} {code}"
        );
    }
}

#[test]
fn l10_a_crash_loop_waits_and_says_so_in_upstreams_words() {
    let pod = pod(json!({}));
    let mut seen = prepared(vec![exited("c", 1)]);
    seen.backoff.restarted(
        "c",
        &seen.containers[0].annotations[HASH_ANNOTATION].clone(),
        at(0),
    );
    let got = plan(Some(&pod), &seen, at(2));
    assert_eq!((got.actions.len(), got.wake_at), (0, Some(at(11))));
    let waiting = &got.waiting["c"];
    assert_eq!(waiting.reason, "CrashLoopBackOff");
    assert_eq!(
        waiting.message,
        "back-off 10s restarting failed container=c pod=web-0_default(u0)"
    );
    assert_eq!(actions(&pod, &seen, at(11)), ["start c #1"]);
}

#[test]
fn l12_only_the_container_whose_image_changed_is_restarted() {
    let spec = json!({"containers": [{"name": "c", "image": "kubia:v2"}, {"name": "d", "image": "kubia"}]});
    let pod = pod(spec);
    let mut seen = prepared(vec![running("c"), running("d")]);
    assert_eq!(actions(&pod, &seen, at(0)), ["stop c0 by 30"]);
    seen.stopping.insert(ContainerId("c0".into()), at(30));
    assert!(
        actions(&pod, &seen, at(3)).is_empty(),
        "one kill is under way at most"
    );
    seen.stopping.clear();
    seen.containers[0] = exited("c", 143);
    assert_eq!(actions(&pod, &seen, at(4)), ["start c #1"]);
}

#[test]
fn a_failed_probe_costs_the_container_its_life_with_the_probes_grace() {
    let pod = pod(json!({}));
    let mut seen = prepared(vec![running("c")]);
    let failed = Some(Failure {
        probe: "liveness",
        grace: Some(Duration::from_secs(5)),
    });
    let health = Health {
        container: Some(ContainerId("c0".into())),
        started: true,
        ready: false,
        failed,
    };
    seen.health.insert("c".into(), health.clone());
    assert_eq!(actions(&pod, &seen, at(0)), ["stop c0 by 5"]);
    // What was found about an earlier container says nothing of this one.
    seen.health.insert(
        "c".into(),
        Health {
            container: Some(ContainerId("old".into())),
            ..health
        },
    );
    assert!(actions(&pod, &seen, at(0)).is_empty());
}

#[test]
fn l15_a_lost_sandbox_is_replaced_and_the_counts_go_on() {
    let pod = pod(json!({"initContainers": [{"name": "a", "image": "kubia"}]}));
    let mut seen = prepared(vec![exited("a", 0), exited("c", 137)]);
    seen.sandboxes[0].ready = false;
    seen.network = Step::Due;
    assert_eq!(actions(&pod, &seen, at(0)), ["stop sandbox s0"]);
    seen.stopped.insert(SandboxId("s0".into()));
    assert_eq!(actions(&pod, &seen, at(0)), ["sandbox #1"]);
    seen.sandboxes.push(sandbox("s1", 1, true));
    seen.network = Step::Done;
    assert_eq!(
        actions(&pod, &seen, at(0)),
        ["start a #1"],
        "init containers prepare each sandbox"
    );
    let mut again = container("a", 1, ContainerState::Exited, Some(0));
    again.sandbox = SandboxId("s1".into());
    seen.containers.push(again);
    assert_eq!(actions(&pod, &seen, at(0)), ["start c #1"]);
}

#[test]
fn a_container_that_finished_is_not_run_again_in_a_new_sandbox() {
    let spec = json!({"restartPolicy": "OnFailure", "containers": [{"name": "c", "image": "kubia"}, {"name": "d", "image": "kubia"}]});
    let pod = pod(spec);
    let mut seen = prepared(vec![exited("c", 0), exited("d", 1)]);
    seen.sandboxes = vec![sandbox("s0", 0, false), sandbox("s1", 1, true)];
    seen.stopped.insert(SandboxId("s0".into()));
    assert_eq!(actions(&pod, &seen, at(0)), ["start d #1"]);
}

#[test]
fn restart_counts_survive_the_loss_of_all_records() {
    let seen = Observed {
        known_restarts: [("c".to_owned(), 4)].into(),
        ..prepared(vec![])
    };
    assert_eq!(actions(&pod(json!({})), &seen, at(0)), ["start c #5"]);
}

#[test]
fn l32_deletion_stops_then_confirms_then_cleans_then_tells() {
    let pod = deleting(pod(json!({})), 0, 30);
    let mut seen = prepared(vec![running("c")]);
    assert_eq!(actions(&pod, &seen, at(0)), ["stop c0 by 30"]);
    seen.stopping.insert(ContainerId("c0".into()), at(30));
    assert!(actions(&pod, &seen, at(7)).is_empty());
    let shorter = deleting(pod.clone(), 7, 2);
    assert_eq!(
        actions(&shorter, &seen, at(7)),
        ["stop c0 by 9"],
        "L-31: the grace may be shortened"
    );
    seen.stopping.clear();
    seen.containers = vec![exited("c", 143)];
    assert_eq!(actions(&pod, &seen, at(8)), ["stop sandbox s0"]);
    seen.stopped.insert(SandboxId("s0".into()));
    assert_eq!(actions(&pod, &seen, at(8)), ["clean up"]);
    seen.cleaned = true;
    assert_eq!(actions(&pod, &seen, at(8)), ["finish", "remove sandbox s0"]);
}

#[test]
fn l32_sidecars_stop_last_and_in_reverse_order() {
    let side = |name: &str| json!({"name": name, "image": "kubia", "restartPolicy": "Always"});
    let pod = deleting(
        pod(json!({"initContainers": [side("one"), side("two")]})),
        0,
        30,
    );
    let mut seen = prepared(vec![running("one"), running("two"), running("c")]);
    assert_eq!(actions(&pod, &seen, at(0)), ["stop c0 by 30"]);
    seen.containers[2] = exited("c", 0);
    assert_eq!(actions(&pod, &seen, at(1)), ["stop two0 by 31"]);
    seen.containers[1] = exited("two", 0);
    assert_eq!(actions(&pod, &seen, at(1)), ["stop one0 by 31"]);
}

#[test]
fn l33_a_pod_forced_out_of_the_api_dies_at_once() {
    let seen = Observed {
        removed: true,
        ..prepared(vec![running("c")])
    };
    assert_eq!(actions(&pod(json!({})), &seen, at(0)), ["stop c0 by 1"]);
    let remains: Vec<_> = plan(None, &seen, at(0)).actions.iter().map(short).collect();
    assert_eq!(remains, ["stop c0 by 1"]);
}

#[test]
fn a_container_that_was_never_started_is_made_anew_under_the_same_count() {
    let created = container("c", 0, ContainerState::Created, None);
    assert_eq!(
        actions(&pod(json!({})), &prepared(vec![created]), at(0)),
        ["remove c0"]
    );
}

#[test]
fn two_ended_containers_of_a_name_are_kept_for_their_logs() {
    let mut all: Vec<_> = (0..4)
        .map(|n| container("c", n, ContainerState::Exited, Some(1)))
        .collect();
    all.push(container("c", 4, ContainerState::Running, None));
    assert_eq!(
        actions(&pod(json!({})), &prepared(all), at(0)),
        ["remove c0", "remove c1", "remove c2"]
    );
}

#[test]
fn l11_a_failed_pull_is_told_first_and_backing_off_from_then_on() {
    let pod = pod(json!({}));
    let mut seen = prepared(vec![]);
    let failed = Start::Failed {
        reason: "ErrImagePull".into(),
        message: "no".into(),
        at: at(0),
        retry_at: at(10),
    };
    seen.starts.insert("c".into(), failed);
    let reason = |now: i64| plan(Some(&pod), &seen, at(now)).waiting["c"].reason.clone();
    assert_eq!(
        (reason(0).as_str(), reason(2).as_str()),
        ("ErrImagePull", "ImagePullBackOff")
    );
    assert_eq!(actions(&pod, &seen, at(10)), ["start c #0"]);
}

fn state() -> impl Strategy<Value = ContainerState> {
    prop_oneof![
        Just(ContainerState::Created),
        Just(ContainerState::Running),
        Just(ContainerState::Exited),
        Just(ContainerState::Unknown)
    ]
}

prop_compose! {
    fn containers()(all in prop::collection::vec(
        (prop::sample::select(vec!["a", "side", "c", "d"]), 0..3_u32, state(), 0..2_i32, prop::bool::ANY), 0..8)
    ) -> Vec<ContainerStatus> {
        all.into_iter().enumerate().map(|(index, (name, attempt, state, code, old))| {
            let mut one = container(name, attempt, state, (state == ContainerState::Exited).then_some(code));
            one.id = ContainerId(format!("{name}{attempt}-{index}"));
            if old { one.sandbox = SandboxId("s-old".into()); }
            one
        }).collect()
    }
}

fn step_state() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Due),
        Just(Step::Done),
        Just(Step::Failed { retry_at: at(50) })
    ]
}

prop_compose! {
    fn world()(
        containers in containers(), volumes in step_state(), network in step_state(), ready in prop::bool::ANY,
        has_sandbox in prop::bool::ANY, old_stopped in prop::bool::ANY, blocked in prop::bool::ANY,
        removed in prop::bool::ANY, cleaned in prop::bool::ANY,
    ) -> Observed {
        let mut sandboxes = vec![sandbox("s-old", 0, false)];
        if has_sandbox { sandboxes.push(sandbox("s0", 1, ready)); }
        let stopped = if old_stopped { [SandboxId("s-old".into())].into() } else { BTreeSet::new() };
        Observed {
            containers, volumes, network, sandboxes, stopped, removed, cleaned,
            blocked_by: blocked.then(|| PodUid::new("older")),
            ..Observed::default()
        }
    }
}

proptest! {
    #[test]
    fn promises_over_arbitrary_worlds(seen in world(), policy in 0..3_usize, doomed in prop::bool::ANY, now in 0..100_i64) {
        let policy = ["Always", "OnFailure", "Never"][policy];
        let mut pod = pod(json!({"restartPolicy": policy,
            "initContainers": [{"name": "a", "image": "kubia"}, {"name": "side", "image": "kubia", "restartPolicy": "Always"}],
            "containers": [{"name": "c", "image": "kubia"}, {"name": "d", "image": "kubia"}]}));
        if doomed { pod = deleting(pod, 0, 30); }
        let plan = plan(Some(&pod), &seen, at(now));
        let alive = |id: &ContainerId| seen.containers.iter().any(|c| c.id == *id && c.state == ContainerState::Running);
        let any_alive = seen.containers.iter().any(|c| c.state == ContainerState::Running);
        for action in &plan.actions {
            match action {
                Action::Start { container, .. } => {
                    prop_assert!(!doomed && !seen.removed && seen.blocked_by.is_none(), "nothing starts in a pod that ends or waits");
                    prop_assert!(seen.current_sandbox().is_some_and(|s| s.ready), "nothing starts outside a ready sandbox");
                    prop_assert!(seen.current(container).is_none_or(has_ended), "never two of a name");
                    prop_assert_eq!(&seen.volumes, &Step::Done);
                    let init_done = ["c", "d"].iter().any(|n| seen.current(n).is_some_and(|c| c.state != ContainerState::Created))
                        || seen.current("a").is_some_and(|c| has_ended(c) && exit_code(c) == 0);
                    prop_assert!(container == "a" || init_done, "{} before its init container", container);
                }
                Action::StartSandbox { .. } => {
                    prop_assert!(!doomed && seen.blocked_by.is_none());
                    prop_assert!(seen.sandboxes.iter().all(|s| seen.stopped.contains(&s.id)), "one sandbox at a time");
                }
                Action::StopSandbox(id) => {
                    let living = seen.containers.iter().any(|c| c.sandbox == *id && c.state == ContainerState::Running);
                    prop_assert!(!living, "containers get their grace before their sandbox goes");
                }
                Action::CleanUp | Action::Finish => {
                    prop_assert!(!any_alive, "the API hears of the end only after it");
                    prop_assert!(seen.sandboxes.iter().all(|s| seen.stopped.contains(&s.id)));
                    prop_assert!(doomed || seen.removed);
                }
                Action::Remove(id) => prop_assert!(!alive(id), "only ended containers are forgotten"),
                Action::Stop { .. } | Action::SetUpVolumes | Action::AttachNetwork(_) | Action::RemoveSandbox(_) => {}
            }
        }
        let mut names: Vec<String> = plan.actions.iter().map(short).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        prop_assert_eq!(names.len(), count, "no action twice");
    }
}
