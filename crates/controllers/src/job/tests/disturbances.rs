//! A Job comes to the same end whatever happens to its controller: broken off after any write, and with
//! watches that lag, each on its own. And at no time are there more pods than it may have.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::simulation::{Simulation, text};
use crate::job::member;

/// What is done to the controller after each step of the kubelet.
#[derive(Debug, Clone)]
struct Disturbance {
    /// Rounds with views that lag: whether that of the Job and that of the pods catches up first.
    rounds: Vec<(bool, bool)>,
    /// It breaks off after so many writes.
    fuse: Option<u32>,
}

fn disturbance() -> impl Strategy<Value = Disturbance> {
    let rounds = proptest::collection::vec(any::<(bool, bool)>(), 0..4);
    (rounds, proptest::option::of(0..8u32)).prop_map(|(rounds, fuse)| Disturbance { rounds, fuse })
}

const KINDS: &[&str] = &[
    r#"{"completions": 4, "parallelism": 2}"#,
    r#"{"completions": 3, "parallelism": 3, "backoffLimit": 1}"#,
    r#"{"parallelism": 3}"#,
    r#"{"completions": 3, "parallelism": 2, "podReplacementPolicy": "Failed"}"#,
    r#"{"completionMode": "Indexed", "completions": 4, "parallelism": 2}"#,
    r#"{"completionMode": "Indexed", "completions": 3, "parallelism": 3, "backoffLimitPerIndex": 1}"#,
    r#"{"completionMode": "Indexed", "completions": 3, "parallelism": 3, "backoffLimitPerIndex": 2,
        "maxFailedIndexes": 0}"#,
    r#"{"completionMode": "Indexed", "completions": 3, "parallelism": 3,
        "successPolicy": {"rules": [{"succeededCount": 2}]}}"#,
    r#"{"completions": 3, "parallelism": 3, "podFailurePolicy": {"rules": [
        {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [3]}},
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [4]}}]}}"#,
];

/// How each pod ends, in the order they are made: 0 is success.
type Ends = Vec<i32>;

fn disturb(world: &mut Simulation, disturbance: &Disturbance, most: usize) {
    world.fuse = disturbance.fuse;
    for (job, pods) in &disturbance.rounds {
        world.catch_up(*job, *pods);
        // What a crash leaves is what the next round finds.
        let _ = world.round();
        check(world, most);
    }
    world.settle();
    check(world, most);
    world.fuse = None;
}

fn check(world: &Simulation, most: usize) {
    let active: Vec<_> = world
        .pods
        .values()
        .filter(|pod| member::is_active(pod))
        .collect();
    assert!(
        active.len() <= most,
        "too many pods:\n{}",
        world.log.join("\n")
    );
    let mut indexes: Vec<_> = active.iter().filter_map(|pod| member::index(pod)).collect();
    indexes.sort_unstable();
    let all = indexes.len();
    indexes.dedup();
    assert_eq!(
        indexes.len(),
        all,
        "an index twice:\n{}",
        world.log.join("\n")
    );
}

/// Lets every pod end as it is to, one after the other; the end, without times and names.
fn run(spec: &Value, ends: &Ends, disturbances: &[Disturbance]) -> String {
    let most = usize::try_from(spec["parallelism"].as_u64().expect("given")).expect("small");
    let mut world = Simulation::new(spec);
    let mut disturbances = disturbances.iter().cycle();
    let mut step = |world: &mut Simulation| match disturbances.next() {
        Some(disturbance) => disturb(world, disturbance, most),
        None => world.settle(),
    };
    step(&mut world);
    for _ in 0..200 {
        let next = world
            .pods
            .iter()
            .find(|(_, pod)| member::is_active(pod) || member::is_leaving(pod));
        if let Some((name, pod)) = next {
            let name = name.clone();
            if member::is_leaving(pod) {
                world.confirm(&name);
            } else {
                let uid = pod.metadata.uid.as_deref().unwrap_or_default();
                let made: usize = uid.trim_start_matches('u').parse().expect("a number");
                let code = ends[(made - 1) % ends.len()];
                let phase = if code == 0 { "Succeeded" } else { "Failed" };
                world.report(&name, phase, Some(code));
            }
        } else if !world.wait_as_asked() {
            break;
        }
        step(&mut world);
    }
    let tracked = world
        .pods
        .values()
        .filter(|pod| member::is_tracked(pod))
        .count();
    assert_eq!(
        tracked,
        0,
        "pods are kept for ever:\n{}",
        world.log.join("\n")
    );
    let status = world.job.status.clone().unwrap_or_default();
    let over = status
        .conditions
        .iter()
        .flatten()
        .any(|c| c.type_ == "Complete" || c.type_ == "Failed");
    assert!(over, "no end:\n{}", world.log.join("\n"));
    text(&status)
}

proptest! {
    #[test]
    fn the_end_is_the_same_whatever_happens_to_the_controller(
        kind in prop::sample::select(KINDS),
        ends in proptest::collection::vec(prop_oneof![3 => Just(0), 1 => Just(1), 1 => Just(3), 1 => Just(4)], 1..6),
        disturbances in proptest::collection::vec(disturbance(), 1..8),
    ) {
        let spec: Value = serde_json::from_str(kind).expect("JSON");
        // Somebody has to succeed at last.
        let ends: Ends = ends.into_iter().chain([0]).collect();
        let calm = run(&spec, &ends, &[]);
        prop_assert_eq!(run(&spec, &ends, &disturbances), calm);
    }
}

/// A crash after every single write of a whole life, one at a time.
#[test]
fn no_write_is_one_too_many_to_break_off_after() {
    for kind in KINDS {
        let spec: Value = serde_json::from_str(kind).expect("JSON");
        let ends = vec![0, 1, 0, 0, 0];
        let calm = run(&spec, &ends, &[]);
        for fuse in 0..6 {
            let every_time = Disturbance {
                rounds: vec![],
                fuse: Some(fuse),
            };
            assert_eq!(run(&spec, &ends, &[every_time]), calm, "{kind}");
        }
    }
}

/// Invariant 6: a Job at rest writes nothing.
#[test]
fn nothing_is_written_when_nothing_changed() {
    let mut world = Simulation::new(&json!({"parallelism": 2, "completions": 2}));
    world.settle();
    let lines = world.log.len();
    world.settle();
    assert_eq!(world.log.len(), lines);
}
