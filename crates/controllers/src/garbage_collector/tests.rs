use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::{
    graph::{Graph, Key, Sought},
    plan::*,
};
use crate::testing::object;

fn meta(more: &str) -> ObjectMeta {
    object(&format!("{{name: a, namespace: default, uid: u, {more}}}"))
}

fn owner(uid: &str) -> OwnerReference {
    object(&format!(
        "{{apiVersion: apps/v1, kind: StatefulSet, name: web, uid: {uid}}}"
    ))
}

fn planned(meta: &ObjectMeta, owners: &[Owner], dependents: &[Dependent]) -> Vec<Action> {
    let owners: Vec<_> = owners
        .iter()
        .enumerate()
        .map(|(n, state)| (owner(&format!("o{n}")), *state))
        .collect();
    plan(&World {
        meta,
        owners: &owners,
        dependents,
    })
}

const PLAIN: Dependent = Dependent {
    blocks: false,
    awaits_dependents: false,
};
const BLOCKING: Dependent = Dependent {
    blocks: true,
    awaits_dependents: false,
};

/// G-2.
#[test]
fn an_object_goes_with_its_last_owner() {
    use Owner::{Absent, Present};
    let alive = meta("");
    assert_eq!(planned(&alive, &[], &[]), []);
    assert_eq!(planned(&alive, &[Present, Present], &[]), []);
    assert_eq!(
        planned(&alive, &[Absent, Absent], &[]),
        [Action::Delete(Policy::Background)]
    );
    assert_eq!(
        planned(&alive, &[Absent, Present], &[]),
        [Action::KeepOwners(vec![owner("o1")])]
    );
}

/// G-1: nothing is decided before every owner is known.
#[test]
fn unknown_owners_are_asked_for_first() {
    let actions = planned(&meta(""), &[Owner::Absent, Owner::Unknown], &[]);
    assert_eq!(actions, [Action::Verify(owner("o1"))]);
}

/// G-3: the dependents of an owner that waits go first, theirs before them.
#[test]
fn foreground_deletion_goes_from_the_leaves_up() {
    use Owner::{AwaitsDependents, Present};
    let alive = meta("");
    assert_eq!(
        planned(&alive, &[AwaitsDependents], &[]),
        [Action::Delete(Policy::Background)]
    );
    assert_eq!(
        planned(&alive, &[AwaitsDependents], &[PLAIN]),
        [Action::Delete(Policy::Foreground)]
    );
    assert_eq!(
        planned(&alive, &[AwaitsDependents, Present], &[]),
        [Action::KeepOwners(vec![owner("o1")])]
    );
    let waiting =
        meta("deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: [foregroundDeletion]");
    assert_eq!(planned(&waiting, &[], &[BLOCKING, PLAIN]), []);
    assert_eq!(planned(&waiting, &[], &[PLAIN]), [Action::FinishForeground]);
}

/// A ring of owners that wait for one another is broken.
#[test]
fn a_ring_of_waiting_owners_is_broken() {
    let in_ring = Dependent {
        blocks: true,
        awaits_dependents: true,
    };
    let actions = planned(&meta(""), &[Owner::AwaitsDependents], &[in_ring]);
    assert_eq!(actions, [Action::Delete(Policy::Background)]);
}

/// G-3.
#[test]
fn orphans_are_made_before_their_owner_goes() {
    let waiting = meta("deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: [orphan]");
    assert_eq!(
        planned(&waiting, &[], &[BLOCKING]),
        [Action::OrphanDependents]
    );
    let marked = meta("finalizers: [orphan]");
    assert_eq!(
        planned(&marked, &[Owner::Absent], &[]),
        [Action::Delete(Policy::Orphan)]
    );
}

#[test]
fn what_is_being_deleted_is_not_deleted_again() {
    let terminating =
        meta("deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: [example.com/hold]");
    assert_eq!(planned(&terminating, &[Owner::Absent], &[]), []);
}

#[test]
fn the_graph_follows_changing_owners_and_remembers_the_gone() {
    let key = Key {
        kind: 0,
        namespace: "default".into(),
        name: "a".into(),
    };
    let mut graph = Graph::default();
    graph.relate(&key, &[], &[owner("o1"), owner("o2")]);
    graph.relate(&key, &[owner("o1"), owner("o2")], &[owner("o2")]);
    assert_eq!(
        (graph.dependents("o1"), graph.dependents("o2")),
        (vec![], vec![key])
    );
    let gone = |n: usize| Sought::new(&owner(&format!("g{n}")), "default");
    for n in 0..5000 {
        graph.mark_absent(gone(n));
    }
    assert!(
        graph.is_absent(&gone(4999)) && !graph.is_absent(&gone(0)),
        "bounded, oldest first"
    );
    assert!(
        !graph.is_absent(&Sought::new(&owner("g4999"), "other")),
        "an owner elsewhere is another matter"
    );
}
