//! Watches: every change once and in order, from a revision or from now, or an honest 410.

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::Server;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const JSON: &str = "application/json";

fn map(name: &str, color: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"color": color}}})
}

fn color(color: &str) -> Value {
    json!({"metadata": {"labels": {"color": color}}})
}

#[tokio::test]
async fn a_watch_from_a_revision_shows_every_later_change() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    server.post(MAPS, map("before", "red")).await.expect(201);
    let from = server.get(MAPS).await.revision();
    server.post(MAPS, map("a", "red")).await.expect(201);
    let mut watch = server
        .watch(&format!("{MAPS}?watch=true&resourceVersion={from}"), JSON)
        .await;
    server
        .merge(&format!("{MAPS}/a"), color("blue"))
        .await
        .expect(200);
    server
        .delete(&format!("{MAPS}/a"), json!({}))
        .await
        .expect(200);
    server
        .post(
            "/api/v1/namespaces/kube-system/configmaps",
            map("elsewhere", "red"),
        )
        .await
        .expect(201);
    server.post(MAPS, map("b", "red")).await.expect(201);
    assert_eq!(
        watch.take(4).await,
        ["ADDED a", "MODIFIED a", "DELETED a", "ADDED b"]
    );
}

#[tokio::test]
async fn objects_enter_and_leave_a_selection() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let from = server.get(MAPS).await.revision();
    let mut watch = server
        .watch(
            &format!("{MAPS}?watch=true&resourceVersion={from}&labelSelector=color%3Dred"),
            JSON,
        )
        .await;
    server.post(MAPS, map("x", "blue")).await.expect(201);
    server
        .merge(&format!("{MAPS}/x"), color("red"))
        .await
        .expect(200);
    server
        .merge(&format!("{MAPS}/x"), json!({"data": {"a": "b"}}))
        .await
        .expect(200);
    let left = server
        .merge(&format!("{MAPS}/x"), color("green"))
        .await
        .revision();
    server
        .delete(&format!("{MAPS}/x"), json!({}))
        .await
        .expect(200);
    server.post(MAPS, map("y", "red")).await.expect(201);
    assert_eq!(watch.take(2).await, ["ADDED x", "MODIFIED x"]);
    let event = watch.next().await.unwrap();
    assert_eq!(
        (
            &event["type"],
            &event["object"]["metadata"]["labels"]["color"]
        ),
        (&json!("DELETED"), &json!("red"))
    );
    assert_eq!(
        event["object"]["metadata"]["resourceVersion"],
        left.to_string()
    );
    assert_eq!(watch.take(1).await, ["ADDED y"]);
}

/// K-22.
#[tokio::test]
async fn initial_events_end_with_a_bookmark() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    server.post(MAPS, map("a", "red")).await.expect(201);
    server.post(MAPS, map("b", "red")).await.expect(201);
    let query = "watch=true&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan";
    let mut watch = server.watch(&format!("{MAPS}?{query}"), JSON).await;
    assert_eq!(watch.take(2).await, ["ADDED a", "ADDED b"]);
    let bookmark = watch.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(
        bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
    assert_eq!(
        bookmark["object"]["metadata"]["resourceVersion"],
        server.store.revision().to_string()
    );
    server.post(MAPS, map("c", "red")).await.expect(201);
    assert_eq!(watch.take(1).await, ["ADDED c"]);
}

#[tokio::test]
async fn an_idle_watch_gets_bookmarks_and_ends_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let from = server.get(MAPS).await.revision();
    let query = "watch=true&allowWatchBookmarks=true&timeoutSeconds=100";
    let mut watch = server
        .watch(&format!("{MAPS}?{query}&resourceVersion={from}"), JSON)
        .await;
    let elsewhere = server
        .post(
            "/api/v1/namespaces/default/secrets",
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}),
        )
        .await
        .revision();
    tokio::time::pause();
    let bookmark = watch.next().await.unwrap();
    assert_eq!(
        (
            &bookmark["type"],
            &bookmark["object"]["metadata"]["resourceVersion"]
        ),
        (&json!("BOOKMARK"), &json!(elsewhere.to_string()))
    );
    assert_eq!(watch.next().await, None);
}

#[tokio::test]
async fn a_watch_as_a_table_defines_its_columns_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let from = server.get(MAPS).await.revision();
    let mut watch = server
        .watch(
            &format!("{MAPS}?watch=true&resourceVersion={from}"),
            "application/json;as=Table;v=v1;g=meta.k8s.io",
        )
        .await;
    server.post(MAPS, map("a", "red")).await.expect(201);
    server
        .merge(&format!("{MAPS}/a"), color("blue"))
        .await
        .expect(200);
    let (first, second) = (watch.next().await.unwrap(), watch.next().await.unwrap());
    assert!(first["object"]["columnDefinitions"].is_array());
    assert!(second["object"]["columnDefinitions"].is_null());
    assert_eq!(second["object"]["rows"][0]["cells"][0], "a");
}

/// Invariant 5, over a restart: history goes on, and what is not remembered is 410.
#[tokio::test]
async fn after_a_restart_the_newest_revision_can_be_watched_and_older_ones_are_expired() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    server.post(MAPS, map("a", "red")).await.expect(201);
    let last = server.post(MAPS, map("b", "red")).await.revision();
    server.store.close().await;

    let server = Server::start(dir.path()).await;
    assert_eq!(server.get(&format!("{MAPS}/b")).await.revision(), last);
    let newest = server.get(MAPS).await.revision();
    assert_eq!(newest, last, "starting again writes nothing");
    let mut old = server
        .watch(
            &format!("{MAPS}?watch=true&resourceVersion={}", last - 1),
            JSON,
        )
        .await;
    let event = old.next().await.unwrap();
    assert_eq!(
        (
            &event["type"],
            &event["object"]["code"],
            &event["object"]["reason"]
        ),
        (&json!("ERROR"), &json!(410), &json!("Expired"))
    );
    assert_eq!(old.next().await, None);
    let mut watch = server
        .watch(&format!("{MAPS}?watch=true&resourceVersion={newest}"), JSON)
        .await;
    let made = server.post(MAPS, map("c", "red")).await.revision();
    assert_eq!(made, last + 1);
    assert_eq!(watch.take(1).await, ["ADDED c"]);
}

#[tokio::test]
async fn a_write_is_visible_to_reads_and_watches_when_it_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let from = server.get(MAPS).await.revision();
    let mut watch = server
        .watch(&format!("{MAPS}?watch=true&resourceVersion={from}"), JSON)
        .await;
    for n in 0..50 {
        let name = format!("m{n}");
        let made = server.post(MAPS, map(&name, "red")).await.revision();
        assert_eq!(server.get(&format!("{MAPS}/{name}")).await.revision(), made);
        let event = tokio::time::timeout(Duration::from_secs(10), watch.next())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            event["object"]["metadata"]["resourceVersion"],
            made.to_string()
        );
    }
}

#[tokio::test]
async fn watches_end_when_the_server_stops() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let from = server.get(MAPS).await.revision();
    let mut watch = server
        .watch(&format!("{MAPS}?watch=true&resourceVersion={from}"), JSON)
        .await;
    server.api.stop();
    assert_eq!(watch.next().await, None);
    assert_eq!(server.get("/readyz").await.code, 500);
    assert_eq!(server.get("/livez").await.code, 200);
}
