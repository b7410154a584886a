use bytes::Bytes;
use plinth_api::{Selector, find};
use serde_json::json;

use super::*;

fn object(name: &str, revision: u64, color: &str) -> Object {
    let resource = find("", "v1", "configmaps").unwrap();
    let value = json!({"metadata": {"namespace": "ns", "name": name, "labels": {"color": color}}});
    let bytes = Bytes::from(vec![b'x'; 100]);
    Object::new(Arc::new(Header::of(resource, &value)), revision, bytes)
}

fn names(snapshot: &Snapshot) -> Vec<(String, u64)> {
    snapshot
        .tree
        .iter(None, None)
        .map(|o| (o.header.name.clone(), o.revision))
        .collect()
}

#[test]
fn a_snapshot_does_not_change_and_earlier_states_can_be_asked_for() {
    let (cache, clock) = (KindCache::default(), Clock::default());
    cache.apply(1, EventKind::Created, object("a", 1, "red"));
    cache.apply(2, EventKind::Created, object("b", 2, "red"));
    let early = cache.snapshot(&clock);
    cache.apply(3, EventKind::Updated, object("a", 3, "blue"));
    cache.apply(4, EventKind::Deleted, object("b", 4, "red"));
    assert_eq!(names(&early), [("a".into(), 1), ("b".into(), 2)]);
    assert_eq!(names(&cache.snapshot(&clock)), [("a".into(), 3)]);
    for (revision, expected) in [
        (1, vec![("a", 1)]),
        (2, vec![("a", 1), ("b", 2)]),
        (3, vec![("a", 3), ("b", 2)]),
    ] {
        let found = names(&cache.snapshot_at(revision, &clock).unwrap());
        assert_eq!(
            found,
            expected
                .iter()
                .map(|(n, r)| ((*n).to_owned(), *r))
                .collect::<Vec<_>>(),
            "at {revision}"
        );
    }
}

#[test]
fn a_watcher_that_falls_out_of_the_ring_is_told() {
    let (cache, clock) = (KindCache::default(), Clock::default());
    let position = cache.position_after(0).unwrap();
    for revision in 1..=RING_LENGTH as u64 + 10 {
        cache.apply(revision, EventKind::Updated, object("a", revision, "red"));
    }
    assert!(matches!(cache.read(position, 10, &clock), Batch::Fallen));
    assert_eq!(cache.position_after(9), Err(Forgotten { oldest: 10 }));
    let position = cache.position_after(10).unwrap();
    let Batch::Changes(changes) = cache.read(position, 3, &clock) else {
        panic!("there are changes")
    };
    assert_eq!(
        changes.iter().map(|c| c.revision).collect::<Vec<_>>(),
        [11, 12, 13]
    );
}

#[test]
fn selections_run_on_headers() {
    let selection = Selection {
        labels: Selector::parse("color=red").unwrap(),
        ..Selection::default()
    };
    assert!(selection.matches(&object("a", 1, "red").header));
    assert!(!selection.matches(&object("a", 1, "blue").header));
    let elsewhere = Selection {
        namespace: Some("other".into()),
        ..Selection::default()
    };
    assert!(!elsewhere.matches(&object("a", 1, "red").header));
}
