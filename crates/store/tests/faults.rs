//! What survives `kill -9` and a full disk. Each test runs itself again as a child process.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use plinth_store::{Change, CommitError, Expect, Options, Payload, Store, Write};

const CHILD_DIR: &str = "PLINTH_STORE_TEST_DIR";

fn child_dir() -> Option<PathBuf> {
    std::env::var_os(CHILD_DIR).map(PathBuf::from)
}

fn put(key: String, bytes: usize) -> Write {
    let payload = Payload {
        head: vec![b'x'; bytes],
        tail: b"!".to_vec(),
    };
    Write {
        key,
        expect: Expect::Any,
        change: Change::Put(payload),
        attachment: None,
    }
}

fn scan(dir: &Path) -> HashMap<String, u64> {
    let store = Store::open(dir, &Options::default()).unwrap();
    let mut found = HashMap::new();
    store
        .scan(|key, revision, value| {
            assert!(
                value.ends_with(format!("x{revision}!").as_bytes()),
                "{key} has a torn value"
            );
            found.insert(key.to_string(), revision.0);
        })
        .unwrap();
    // Closing lets go of the directory before the next process wants it.
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(store.close());
    found
}

/// The child: eight writers without end; says each acknowledged write on standard output.
fn write_until_killed(dir: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let store = Store::open(dir, &Options::default()).unwrap();
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let store = store.clone();
            runtime.spawn(async move {
                for round in 0u64.. {
                    let event = store
                        .commit(put(format!("{writer}-{}", round % 50), 1500))
                        .await
                        .unwrap();
                    println!("ack {} {}", event.key, event.revision);
                }
            })
        })
        .collect();
    runtime.block_on(async {
        for writer in writers {
            writer.await.unwrap();
        }
    });
}

#[test]
fn acknowledged_writes_survive_kill_9() {
    if let Some(dir) = child_dir() {
        return write_until_killed(&dir);
    }
    let dir = tempfile::tempdir().unwrap();
    let mut before = 0;
    for acks in [40, 400, 3000] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "acknowledged_writes_survive_kill_9",
                "--nocapture",
            ])
            .env(CHILD_DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged: HashMap<String, u64> = HashMap::new();
        let mut take = |line: String| {
            if let Some((key, revision)) = line
                .strip_prefix("ack ")
                .and_then(|rest| rest.split_once(' '))
            {
                // The last line may be cut short by the kill.
                acknowledged.insert(key.to_owned(), revision.parse().unwrap());
                return true;
            }
            false
        };
        let mut count = 0;
        while count < acks {
            count += usize::from(take(lines.next().expect("the child writes on").unwrap()));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let found = scan(dir.path());
        for (key, revision) in &acknowledged {
            assert!(
                found.get(key) >= Some(revision),
                "{key} was acknowledged at {revision}, found {:?}",
                found.get(key)
            );
        }
        let newest = *found.values().max().unwrap();
        assert!(
            newest > before,
            "revisions went back from {before} to {newest}"
        );
        before = newest;
    }
}

#[test]
fn a_full_disk_refuses_the_write_and_loses_nothing() {
    if let Some(dir) = child_dir() {
        return fill_the_disk(&dir);
    }
    let dir = tempfile::tempdir().unwrap();
    // The tmpfs lives in a mount namespace of its own and goes with the child.
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-ec", "mount -t tmpfs -o size=3m none \"$1\"; exec \"$2\" --exact a_full_disk_refuses_the_write_and_loses_nothing --nocapture", "sh"])
        .arg(dir.path())
        .arg(std::env::current_exe().unwrap())
        .env(CHILD_DIR, dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("the disk was full"),
        "{text}"
    );
}

/// The child, on a disk of 3 MiB.
fn fill_the_disk(dir: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut written: HashMap<String, u64> = HashMap::new();
    runtime.block_on(async {
        let store = Store::open(dir, &Options::default()).unwrap();
        let error = loop {
            let key = format!("k{}", written.len());
            match store.commit(put(key.clone(), 20_000)).await {
                Ok(event) => written.insert(key, event.revision.0),
                Err(error) => break error,
            };
            assert!(written.len() < 1000, "the disk never filled");
        };
        assert!(matches!(error, CommitError::Full { .. }), "{error}");
        assert!(error.to_string().contains("no space left"), "{error}");
        println!("the disk was full after {} writes", written.len());
        let mut alive = 0;
        store.scan(|_, _, _| alive += 1).unwrap();
        assert_eq!(alive, written.len(), "reads go on");
        store.close().await;
    });
    assert_eq!(scan(dir), written);
}
