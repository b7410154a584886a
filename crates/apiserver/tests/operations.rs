//! What operators look at: health, single checks, metrics.

#![allow(
    clippy::float_cmp,
    reason = "the samples are counts, which a double holds exactly"
)]

mod support;

use serde_json::json;
use support::Server;

fn text(answer: &support::Answer) -> String {
    String::from_utf8_lossy(&answer.bytes).into_owned()
}

#[tokio::test]
async fn health_is_told_check_by_check() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let live = server.get("/livez?verbose").await;
    assert_eq!(
        text(&live),
        "[+]ping ok\n[+]log ok\n[+]etcd ok\nlivez check passed\n"
    );
    let ready = text(&server.get("/readyz?verbose").await);
    for check in ["etcd-readiness", "informer-sync", "shutdown"] {
        assert!(ready.contains(&format!("[+]{check} ok\n")), "{ready}");
    }
    assert!(ready.ends_with("readyz check passed\n"), "{ready}");
    let excluded = text(
        &server
            .get("/livez?verbose&exclude=etcd&exclude=nothing")
            .await,
    );
    assert!(excluded.contains("[+]etcd excluded: ok\n"), "{excluded}");
    assert!(
        excluded
            .contains("warn: some health checks cannot be excluded: no matches for \"nothing\"\n"),
        "{excluded}"
    );
    assert_eq!(text(&server.get("/livez/etcd").await), "ok");
    assert_eq!(server.get("/livez/shutdown").await.code, 404);
    assert_eq!(server.get("/readyz/shutdown").await.code, 200);
    let hook = "/readyz/poststarthook/scheduling/bootstrap-system-priority-classes";
    assert_eq!(text(&server.get(hook).await), "ok");
}

#[tokio::test]
async fn a_closed_store_is_not_healthy() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    server.store.close().await;
    let live = server.get("/livez").await;
    assert_eq!(live.code, 500);
    assert_eq!(
        text(&live),
        "[+]ping ok\n[+]log ok\n[-]etcd failed: reason withheld\nlivez check failed\n"
    );
    assert_eq!(server.get("/livez?exclude=etcd").await.code, 200);
}

#[tokio::test]
async fn metrics_count_requests_objects_and_events() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let maps = "/api/v1/namespaces/default/configmaps";
    let mut watch = server
        .watch(&format!("{maps}?watch=true"), "application/json")
        .await;
    for name in ["a", "b"] {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
        server.post(maps, map).await.expect(201);
    }
    watch.take(2).await;
    server.get(&format!("{maps}/none")).await;
    let page = server.get("/metrics").await;
    assert!(
        page.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain; version=0.0.4")
    );
    let page = text(&page);
    let value = |beginning: &str, all: &[&str]| -> f64 {
        let line = page
            .lines()
            .find(|line| line.starts_with(beginning) && all.iter().all(|part| line.contains(part)))
            .unwrap_or_else(|| panic!("no {beginning} with {all:?} in\n{page}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let of_maps = "resource=\"configmaps\"";
    let total = "apiserver_request_total{";
    assert_eq!(
        value(total, &[of_maps, "verb=\"POST\"", "code=\"201\""]),
        2.0
    );
    assert_eq!(
        value(
            total,
            &[
                of_maps,
                "verb=\"GET\"",
                "code=\"404\"",
                "scope=\"resource\""
            ]
        ),
        1.0
    );
    let seconds = "apiserver_request_duration_seconds_count{";
    assert_eq!(value(seconds, &[of_maps, "verb=\"POST\""]), 2.0);
    assert_eq!(
        value(
            "apiserver_longrunning_requests{",
            &[of_maps, "verb=\"WATCH\""]
        ),
        1.0
    );
    assert_eq!(value("apiserver_storage_objects{", &[of_maps]), 2.0);
    assert_eq!(value("apiserver_watch_events_total{", &[of_maps]), 2.0);
    let durable = "etcd_request_duration_seconds_count{";
    assert_eq!(value(durable, &[of_maps, "operation=\"create\""]), 2.0);
    assert!(value("process_resident_memory_bytes", &[]) > 0.0);
    assert_eq!(
        value("apiserver_current_inflight_requests{", &["mutating"]),
        0.0
    );
    drop(watch);
    let page = text(&server.get("/metrics").await);
    let open = page
        .lines()
        .find(|line| line.starts_with("apiserver_longrunning_requests{"))
        .unwrap();
    assert!(open.ends_with(" 0"), "{open}");
}
