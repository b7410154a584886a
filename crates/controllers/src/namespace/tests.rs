use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;

use super::plan::*;
use crate::testing::{object, text};

fn namespace(more: &str) -> Namespace {
    object(&format!(
        "{{metadata: {{name: x, {more}}}, spec: {{finalizers: [kubernetes]}}, status: {{phase: Active}}}}"
    ))
}

fn terminating() -> Namespace {
    namespace("deletionTimestamp: '2026-01-01T00:00:00Z'")
}

fn content(resource: &str, count: usize, untouched: usize) -> Content {
    Content {
        resource: resource.into(),
        count,
        untouched,
        ..Content::default()
    }
}

fn deletions(actions: &[Action]) -> Vec<usize> {
    let indices = actions.iter().filter_map(|action| match action {
        Action::DeleteAll(index) => Some(*index),
        _ => None,
    });
    indices.collect()
}

/// G-8: pods first, the rest when the last pod is gone, the namespace when nothing is left.
#[test]
fn pods_go_first_then_the_rest_then_the_namespace() {
    let now = Timestamp::UNIX_EPOCH;
    let at = |pods, untouched, maps| {
        plan(
            &terminating(),
            &[
                content("configmaps.", maps, maps),
                content("pods.", pods, untouched),
            ],
            now,
        )
    };
    assert_eq!(deletions(&at(2, 1, 3)), [1]);
    assert_eq!(deletions(&at(2, 0, 3)), [] as [usize; 0]);
    assert_eq!(deletions(&at(0, 0, 3)), [0]);
    let [Action::Finalize(done)] = &at(0, 0, 0)[..] else {
        panic!("not finalized");
    };
    assert_eq!(
        done.spec.as_ref().and_then(|spec| spec.finalizers.as_ref()),
        Some(&vec![])
    );
}

#[test]
fn living_and_finalized_namespaces_are_left_alone() {
    let contents = [content("pods.", 1, 1)];
    assert_eq!(plan(&namespace(""), &contents, Timestamp::UNIX_EPOCH), []);
    let mut finalized = terminating();
    finalized.spec = None;
    assert_eq!(plan(&finalized, &contents, Timestamp::UNIX_EPOCH), []);
}

/// G-9; the status is written once for the same state.
#[test]
fn what_holds_a_namespace_back_is_told() {
    let mut claims = content("persistentvolumeclaims.", 2, 0);
    claims
        .finalizers
        .insert("kubernetes.io/pvc-protection".into(), 2);
    let contents = [
        claims,
        content("statefulsets.apps", 1, 0),
        content("pods.", 0, 0),
    ];
    let actions = plan(&terminating(), &contents, Timestamp::UNIX_EPOCH);
    let [Action::UpdateStatus(shown)] = &actions[..] else {
        panic!("{actions:?}");
    };
    insta::assert_snapshot!(text(&shown.status));
    let later = Timestamp::from_second(60).expect("a time");
    assert_eq!(plan(shown, &contents, later), []);
}
