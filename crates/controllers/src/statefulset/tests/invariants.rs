//! What holds in every world, whatever users and kubelets do (§11, architecture invariants 1 to 3 and
//! 6): random histories, each write checked before it happens, and at the end everything at rest.

use std::collections::HashSet;

use kube::ResourceExt;
use proptest::prelude::*;
use serde_json::json;

use super::simulation::Simulation;
use crate::statefulset::{
    action::Action,
    health, identity,
    set::{Ordinal, Set, Strategy as Update},
};

/// What can happen between two rounds. Members are meant by their ordinal, if there is such a pod.
#[derive(Debug, Clone)]
enum Event {
    Round,
    Ready(u32),
    Unready(u32),
    Fail(u32),
    Delete(u32),
    Gone(u32),
    Scale(u32),
    Start(u32),
    Image(u8),
    Partition(u32),
    Wait(i64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => Just(Event::Round),
        6 => (0..6u32).prop_map(Event::Ready),
        2 => (0..6u32).prop_map(Event::Unready),
        1 => (0..6u32).prop_map(Event::Fail),
        1 => (0..6u32).prop_map(Event::Delete),
        4 => (0..6u32).prop_map(Event::Gone),
        2 => (0..5u32).prop_map(Event::Scale),
        1 => (0..3u32).prop_map(Event::Start),
        2 => (0..4u8).prop_map(Event::Image),
        1 => (0..4u32).prop_map(Event::Partition),
        2 => (1..6i64).prop_map(Event::Wait),
    ]
}

#[derive(Debug, Clone)]
struct Kind {
    ordered: bool,
    strategy: &'static str,
    min_ready: i64,
    delete_with_set: bool,
    delete_when_scaled: bool,
    history: i32,
}

/// C-13 tells a missing rollingUpdate block from an empty one.
const STRATEGIES: &[&str] = &[
    r#"{"type": "RollingUpdate"}"#,
    r#"{"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}"#,
    r#"{"type": "OnDelete"}"#,
];

fn kind() -> impl Strategy<Value = Kind> {
    (
        any::<bool>(),
        prop::sample::select(STRATEGIES),
        prop_oneof![Just(0), Just(4)],
        any::<bool>(),
        any::<bool>(),
        0..3i32,
    )
        .prop_map(
            |(ordered, strategy, min_ready, delete_with_set, delete_when_scaled, history)| Kind {
                ordered,
                strategy,
                min_ready,
                delete_with_set,
                delete_when_scaled,
                history,
            },
        )
}

fn world(kind: &Kind) -> Simulation {
    let policy = |delete: bool| if delete { "Delete" } else { "Retain" };
    let update: serde_json::Value = serde_json::from_str(kind.strategy).expect("JSON");
    Simulation::new(json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "web"},
        "spec": {
            "replicas": 3, "serviceName": "web", "minReadySeconds": kind.min_ready,
            "revisionHistoryLimit": kind.history,
            "podManagementPolicy": if kind.ordered { "OrderedReady" } else { "Parallel" },
            "updateStrategy": update,
            "persistentVolumeClaimRetentionPolicy": {
                "whenDeleted": policy(kind.delete_with_set),
                "whenScaled": policy(kind.delete_when_scaled),
            },
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "main", "image": "v0"}]}},
            "volumeClaimTemplates": [{"metadata": {"name": "www"},
                "spec": {"accessModes": ["ReadWriteOnce"]}}],
        }
    }))
}

/// Looks at the write that is about to happen.
fn check(world: &Simulation, action: &Action) {
    let set = Set::parse(&world.set).expect("a set");
    match action {
        Action::CreatePod(pod) => check_creation(world, &set, pod),
        Action::DeletePod { name, .. } => check_deletion(world, &set, name),
        Action::OwnClaim { owners, .. } => {
            let keeps = !set.retention.delete_with_set && !set.retention.delete_when_scaled;
            assert!(
                !keeps || owners.is_empty(),
                "Retain gives no owners: {owners:?}"
            );
        }
        Action::DeleteRevision { name, .. } => {
            let used = world
                .pods
                .values()
                .any(|pod| identity::revision(pod) == name);
            assert!(!used, "{name} is in use");
        }
        _ => {}
    }
}

fn is_available(world: &Simulation, set: &Set<'_>, ordinal: u32) -> bool {
    world
        .pods
        .get(&identity::pod_name(set, Ordinal(ordinal)))
        .is_some_and(|pod| !health::is_unavailable(pod, set.min_ready_seconds, world.now))
}

fn check_creation(world: &Simulation, set: &Set<'_>, pod: &k8s_openapi::api::core::v1::Pod) {
    let name = pod.name_any();
    assert!(!world.pods.contains_key(&name), "two {name}");
    let ordinal = identity::ordinal(set, pod).expect("a member");
    assert!(set.in_range(ordinal), "{name} is not wanted");
    for claim in crate::statefulset::claims::claim_names(set, ordinal) {
        assert!(world.claims.contains_key(&claim), "{name} before {claim}");
    }
    if set.ordered {
        for lower in set.start..ordinal.0 {
            assert!(
                is_available(world, set, lower),
                "{name} before {lower} is available"
            );
        }
    }
    let current = set.status.current_revision.as_deref();
    if let (
        Update::RollingUpdate {
            partition: Some(partition),
            ..
        },
        Some(current),
    ) = (&set.strategy, current)
        && ordinal.0 < set.start + partition
    {
        assert_eq!(
            identity::revision(pod),
            current,
            "{name} is below the partition"
        );
    }
}

fn check_deletion(world: &Simulation, set: &Set<'_>, name: &str) {
    let pod = &world.pods[name];
    let ordinal = identity::ordinal(set, pod).expect("a member");
    assert!(!health::is_terminating(pod), "{name} is going already");
    if health::is_finished(pod) {
        return;
    }
    let range = set.start..set.start + set.replicas;
    if !set.in_range(ordinal) {
        if set.ordered {
            for wanted in range {
                assert!(
                    is_available(world, set, wanted),
                    "{name} goes while {wanted} is down"
                );
            }
            let higher = world
                .pods
                .values()
                .filter_map(|pod| identity::ordinal(set, pod));
            let higher: Vec<_> = higher
                .filter(|o| *o > ordinal && !set.in_range(*o))
                .collect();
            assert!(higher.is_empty(), "{name} goes before {higher:?}");
        }
        return;
    }
    // Only a new template takes a healthy member that is wanted.
    let Update::RollingUpdate { partition, .. } = set.strategy else {
        panic!("OnDelete took {name}");
    };
    let partition = partition.unwrap_or(0);
    assert!(
        ordinal.0 >= set.start + partition,
        "{name} is below the partition"
    );
    for higher in ordinal.0 + 1..range.end {
        assert!(
            is_available(world, set, higher),
            "{name} goes while {higher} is down"
        );
    }
    if set.ordered {
        for lower in range.start..ordinal.0 {
            assert!(
                is_available(world, set, lower),
                "{name} goes while {lower} is down"
            );
        }
    }
}

fn happen(world: &mut Simulation, event: &Event) {
    let named = |ordinal: &u32| format!("web-{ordinal}");
    let alive = |world: &Simulation, name: &str| {
        world
            .pods
            .get(name)
            .is_some_and(|pod| !health::is_finished(pod))
    };
    match event {
        Event::Ready(o) if alive(world, &named(o)) => world.report(&named(o), "Running", true),
        Event::Unready(o) if alive(world, &named(o)) => world.report(&named(o), "Running", false),
        Event::Fail(o) if alive(world, &named(o)) => world.report(&named(o), "Failed", false),
        Event::Delete(o) if world.pods.contains_key(&named(o)) => world.delete_pod(&named(o)),
        Event::Gone(o) => {
            let going = world
                .pods
                .get(&named(o))
                .is_some_and(|pod| health::is_terminating(pod));
            if going {
                world.gone(&named(o));
            }
        }
        Event::Scale(replicas) => world.edit_set(&json!({"spec": {"replicas": replicas}})),
        Event::Start(start) => world.edit_set(&json!({"spec": {"ordinals": {"start": start}}})),
        Event::Image(image) => world.edit_set(&json!({"spec": {"template": {"spec":
            {"containers": [{"name": "main", "image": format!("v{image}")}]}}}})),
        Event::Partition(partition) => {
            let rolling = world
                .set
                .spec
                .as_ref()
                .and_then(|s| s.update_strategy.as_ref());
            if rolling.is_some_and(|update| update.rolling_update.is_some()) {
                world.edit_set(&json!({"spec": {"updateStrategy": {"rollingUpdate":
                    {"partition": partition}}}}));
            }
        }
        Event::Wait(seconds) => world.wait(*seconds),
        _ => {}
    }
}

fn check_status(world: &Simulation, observed: &mut i64) {
    let Some(status) = &world.set.status else {
        return;
    };
    let count = |count: Option<i32>| count.unwrap_or(0);
    let (ready, available) = (
        count(status.ready_replicas),
        count(status.available_replicas),
    );
    assert!(
        available <= ready && ready <= status.replicas,
        "A-27: {status:?}"
    );
    assert!(
        count(status.current_replicas) <= status.replicas,
        "A-27: {status:?}"
    );
    assert!(
        count(status.updated_replicas) <= status.replicas,
        "A-27: {status:?}"
    );
    let generation = status.observed_generation.unwrap_or(0);
    assert!(generation >= *observed, "observedGeneration went back");
    assert!(generation <= world.set.metadata.generation.unwrap_or(0));
    *observed = generation;
}

/// Faults stop: every kubelet answers, and time passes.
fn come_to_rest(world: &mut Simulation) {
    for name in world.pods.keys().cloned().collect::<Vec<_>>() {
        if !health::is_finished(&world.pods[&name]) {
            world.report(&name, "Running", true);
        }
    }
    let members = 2 * world.pods.len() + 12;
    for _ in 0..members {
        world.run_kubelets(&[]);
        world.wait(10);
    }
    world.settle();
}

fn check_rest(world: &Simulation, kind: &Kind) {
    let set = Set::parse(&world.set).expect("a set");
    let names: HashSet<String> = world.pods.keys().cloned().collect();
    let wanted: HashSet<String> = (set.start..set.start + set.replicas)
        .map(|ordinal| identity::pod_name(&set, Ordinal(ordinal)))
        .collect();
    assert_eq!(names, wanted);
    let update = set.status.update_revision.clone().unwrap_or_default();
    let lowest = match set.strategy {
        Update::OnDelete => u32::MAX,
        Update::RollingUpdate { partition, .. } => set.start + partition.unwrap_or(0),
    };
    for pod in world.pods.values() {
        assert!(!health::is_unavailable(
            pod,
            set.min_ready_seconds,
            world.now
        ));
        if identity::ordinal(&set, pod).expect("a member").0 >= lowest {
            assert_eq!(identity::revision(pod), update);
        }
    }
    if lowest <= set.start {
        assert_eq!(
            set.status.current_revision.as_deref(),
            Some(update.as_str())
        );
    }
    let mut live: HashSet<&str> = world
        .pods
        .values()
        .map(|pod| identity::revision(pod))
        .collect();
    live.extend(set.status.current_revision.as_deref());
    live.extend(set.status.update_revision.as_deref());
    let idle = world
        .revisions
        .keys()
        .filter(|name| !live.contains(name.as_str()))
        .count();
    assert!(idle <= usize::try_from(kind.history).expect("not negative"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn order_identity_and_storage_hold_and_every_world_comes_to_rest(
        kind in kind(),
        events in prop::collection::vec(event(), 0..60),
    ) {
        let mut world = world(&kind);
        let mut observed = 0;
        let mut claims: HashSet<String> = HashSet::new();
        for event in &events {
            happen(&mut world, event);
            if matches!(event, Event::Round) {
                world.settle_watched(&mut check);
                check_status(&world, &mut observed);
            }
            // Claims only ever come, unless the policy says otherwise.
            let now: HashSet<String> = world.claims.keys().cloned().collect();
            prop_assert!(kind.delete_when_scaled || now.is_superset(&claims));
            claims = now;
        }
        come_to_rest(&mut world);
        check_rest(&world, &kind);
        prop_assert!(!world.round(&mut |_, _| ()), "quiet at the goal");
    }
}
