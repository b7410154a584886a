//! What the store promises about its history, checked against a model that is a map and a counter.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use plinth_store::{
    Change, CommitError, Event, EventKind, Expect, Options, Payload, Revision, Store, Write,
};
use proptest::prelude::*;

fn payload(text: &str) -> Payload {
    Payload {
        head: format!("{text}@").into_bytes(),
        tail: b"!".to_vec(),
    }
}

fn put(key: &str, expect: Expect, text: &str) -> Write {
    Write {
        key: key.into(),
        expect,
        change: Change::Put(payload(text)),
        attachment: None,
    }
}

fn delete(key: &str, expect: Expect) -> Write {
    Write {
        key: key.into(),
        expect,
        change: Change::Delete(payload("last")),
        attachment: None,
    }
}

fn contents(store: &Store) -> (BTreeMap<String, (u64, String)>, u64) {
    let mut found = BTreeMap::new();
    let at = store
        .scan(|key, revision, value| {
            found.insert(
                key.to_string(),
                (revision.0, String::from_utf8(value.to_vec()).unwrap()),
            );
        })
        .unwrap();
    (found, at.0)
}

#[derive(Clone, Debug)]
enum Step {
    /// Writes that wait at the same time, so that they may share a batch.
    Writes(Vec<(u8, u8, Option<u16>)>),
    Reopen,
    Compact,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let write = (0..6u8, 0..4u8, prop::option::weighted(0.7, any::<u16>()));
    let step = prop_oneof![
        8 => prop::collection::vec(write, 1..8).prop_map(Step::Writes),
        1 => Just(Step::Reopen),
        1 => Just(Step::Compact),
    ];
    prop::collection::vec(step, 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Conditions are judged against the newest state, revisions have no gaps and no repeats, observers see what
    /// is acknowledged in order, and all of it is there after the store is opened again.
    #[test]
    fn the_store_is_a_map_with_a_counter(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        runtime.block_on(async {
            let seen: Arc<Mutex<Vec<Event>>> = Arc::default();
            let open = || {
                let store = Store::open(dir.path(), &Options::default()).unwrap();
                let seen = seen.clone();
                store.observe(Box::new(move |events| seen.lock().unwrap().extend_from_slice(events)));
                store
            };
            let mut store = open();
            let mut model: BTreeMap<String, (u64, String)> = BTreeMap::new();
            let mut last = 0u64;
            let mut acknowledged: Vec<Event> = Vec::new();
            for step in steps {
                match step {
                    Step::Reopen => {
                        store.close().await;
                        store = open();
                    }
                    Step::Compact => store.compact().unwrap(),
                    Step::Writes(writes) => {
                        let mut waiting = Vec::new();
                        let mut expected = Vec::new();
                        for (key, expect, value) in writes {
                            let key = format!("k{key}");
                            let current = model.get(&key).map(|(revision, _)| *revision);
                            let expect = match expect {
                                0 => Expect::Absent,
                                1 => Expect::Any,
                                2 => Expect::At(Revision(current.unwrap_or(1))),
                                _ => Expect::At(Revision(current.map_or(0, |r| r - 1))),
                            };
                            let holds = match expect {
                                Expect::Absent => current.is_none(),
                                Expect::Any => true,
                                Expect::At(revision) => current == Some(revision.0),
                            };
                            if holds && (value.is_some() || current.is_some()) {
                                last += 1;
                                match value {
                                    Some(value) => model.insert(key.clone(), (last, format!("{value}@{last}!"))),
                                    None => model.remove(&key),
                                };
                                expected.push(Ok(last));
                            } else {
                                expected.push(Err(current));
                            }
                            waiting.push(match value {
                                Some(value) => put(&key, expect, &value.to_string()),
                                None => delete(&key, expect),
                            });
                        }
                        // join_all polls in order, so the writes are queued in order.
                        let outcomes = futures_join(waiting.into_iter().map(|write| store.commit(write)).collect()).await;
                        for (outcome, expected) in outcomes.into_iter().zip(expected) {
                            match (outcome, expected) {
                                (Ok(event), Ok(revision)) => {
                                    prop_assert_eq!(event.revision.0, revision);
                                    acknowledged.push(event);
                                }
                                (Err(CommitError::Conflict { current, .. }), Err(expected)) => {
                                    prop_assert_eq!(current.map(|r| r.0), expected);
                                }
                                (outcome, expected) => prop_assert!(false, "{outcome:?} instead of {expected:?}"),
                            }
                        }
                    }
                }
                prop_assert_eq!(store.revision().0, last);
                prop_assert_eq!(contents(&store), (model.clone(), last));
            }
            let tell = |event: &Event| (event.revision, event.key.clone(), event.kind, event.value.clone());
            let seen: Vec<_> = seen.lock().unwrap().iter().map(tell).collect();
            prop_assert_eq!(seen, acknowledged.iter().map(tell).collect::<Vec<_>>());
            Ok(())
        })?;
    }
}

/// Waits for all futures, polling them in order.
async fn futures_join<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut pinned: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut results: Vec<Option<F::Output>> = pinned.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (future, result) in pinned.iter_mut().zip(&mut results) {
            if result.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(cx)
            {
                *result = Some(value);
            }
        }
        if results.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    results.into_iter().map(|result| result.unwrap()).collect()
}

#[tokio::test]
async fn a_delete_shows_the_last_state_with_its_own_revision() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &Options::default()).unwrap();
    store.commit(put("a", Expect::Absent, "one")).await.unwrap();
    let event = store
        .commit(delete("a", Expect::At(Revision(1))))
        .await
        .unwrap();
    assert_eq!(
        (event.kind, &event.value[..]),
        (EventKind::Deleted, &b"last@2!"[..])
    );
}

#[tokio::test]
async fn history_goes_on_after_the_newest_write_was_a_delete_and_was_compacted() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &Options::default()).unwrap();
    store.commit(put("a", Expect::Absent, "one")).await.unwrap();
    store.commit(delete("a", Expect::Any)).await.unwrap();
    store.compact().unwrap();
    store.close().await;
    let store = Store::open(dir.path(), &Options::default()).unwrap();
    assert_eq!(store.revision(), Revision(2));
    assert_eq!(
        store
            .commit(put("a", Expect::Absent, "two"))
            .await
            .unwrap()
            .revision,
        Revision(3)
    );
}

#[tokio::test]
async fn the_file_stays_bounded_when_one_key_is_rewritten_forever() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &Options::default()).unwrap();
    let text = "x".repeat(2000);
    let size = || std::fs::metadata(dir.path().join("store.db")).map_or(0, |m| m.len());
    let mut peak = 0;
    for round in 0..120 {
        let writes = (0..100)
            .map(|key| store.commit(put(&format!("k{key}"), Expect::Any, &text)))
            .collect();
        for outcome in futures_join(writes).await {
            outcome.unwrap();
        }
        if round >= 40 {
            peak = peak.max(size());
        }
    }
    // 12,000 writes of 2 KB are 24 MB; what may lie around is the slack of 1,024 rows and the 100 living ones.
    assert!(peak < 8 << 20, "the file grew to {peak} bytes");
    store.compact().unwrap();
    assert!(
        size() < 1 << 20,
        "after compaction the file has {} bytes",
        size()
    );
    assert_eq!(contents(&store).0.len(), 100);
}

#[tokio::test]
async fn a_directory_in_use_is_refused_and_free_again_after_closing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &Options::default()).unwrap();
    let error = Store::open(dir.path(), &Options::default())
        .err()
        .expect("the directory is taken")
        .to_string();
    assert!(error.contains("already in use"), "{error}");
    assert!(error.contains(&std::process::id().to_string()), "{error}");
    store.close().await;
    let error = store
        .commit(put("a", Expect::Any, "late"))
        .await
        .unwrap_err();
    assert_eq!(error, CommitError::Closed { key: "a".into() });
    Store::open(dir.path(), &Options::default()).unwrap();
}
