//! Quotas are kept, however many write at once, and only what is there is counted.

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::Server;

const PODS: &str = "/api/v1/namespaces/default/pods";

fn pod(name: &str, container: Value) -> Value {
    let mut container = container;
    container["name"] = "c".into();
    container["image"] = "i".into();
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container]}})
}

/// Waits until an object says something.
async fn until(server: &Server, path: &str, pointer: &str, wanted: &Value) -> Value {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        let object = server.get(path).await.json();
        if object.pointer(pointer) == Some(wanted) {
            return object;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "{pointer} of {object}"
        );
        tokio::task::yield_now().await;
    }
}

async fn quota(server: &Server, hard: Value) -> &'static str {
    let path = "/api/v1/namespaces/default/resourcequotas";
    let object = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "rq"}, "spec": {"hard": hard}});
    server.post(path, object).await.expect(201);
    until(
        server,
        "/api/v1/namespaces/default/resourcequotas/rq",
        "/status/hard",
        &hard,
    )
    .await;
    "/api/v1/namespaces/default/resourcequotas/rq"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_is_kept_however_many_write_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let rq = quota(&server, json!({"count/configmaps": "10", "pods": "1"})).await;
    let maps = "/api/v1/namespaces/default/configmaps";
    let map =
        |name: String| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    let writes = (0..40).map(|n| server.post(maps, map(format!("m{n}"))));
    let answers = futures::future::join_all(writes).await;
    let made = answers.iter().filter(|answer| answer.code == 201).count();
    assert_eq!(made, 10);
    let refused = answers
        .iter()
        .find(|answer| answer.code == 403)
        .unwrap()
        .message();
    assert!(
        refused.ends_with(
            "is forbidden: exceeded quota: rq, requested: count/configmaps=1, used: count/configmaps=10, limited: count/configmaps=10"
        ),
        "{refused}"
    );
    // What is there is what is counted, and what goes away is free again.
    assert_eq!(
        server.get(rq).await.json()["status"]["used"]["count/configmaps"],
        "10"
    );
    server.delete(maps, json!({})).await.expect(200);
    until(&server, rq, "/status/used/count~1configmaps", &json!("0")).await;
    server.post(maps, map("again".to_owned())).await.expect(201);
}

#[tokio::test]
async fn a_refused_write_uses_up_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let rq = quota(&server, json!({"count/configmaps": "2"})).await;
    let maps = "/api/v1/namespaces/default/configmaps";
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    server.post(maps, map.clone()).await.expect(201);
    for _ in 0..5 {
        let answer = server.post(maps, map.clone()).await;
        assert!(matches!(answer.code, 403 | 409), "{}", answer.message());
        until(&server, rq, "/status/used/count~1configmaps", &json!("1")).await;
    }
}

#[tokio::test]
async fn pods_say_what_they_need_where_that_is_limited() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let rq = quota(&server, json!({"requests.cpu": "1"})).await;
    let silent = server.post(PODS, pod("a", json!({}))).await;
    assert_eq!(
        silent.message(),
        "pods \"a\" is forbidden: failed quota: rq: must specify requests.cpu for: c"
    );
    let asking = |cpu: &str| json!({"resources": {"requests": {"cpu": cpu}}});
    server
        .post(PODS, pod("b", asking("600m")))
        .await
        .expect(201);
    let more = server.post(PODS, pod("c", asking("600m"))).await;
    assert_eq!(
        more.message(),
        "pods \"c\" is forbidden: exceeded quota: rq, requested: requests.cpu=600m, used: requests.cpu=600m, limited: requests.cpu=1"
    );
    let ended = json!({"status": {"phase": "Succeeded"}});
    server
        .merge(&format!("{PODS}/b/status"), ended)
        .await
        .expect(200);
    until(&server, rq, "/status/used/requests.cpu", &json!("0")).await;
    server
        .post(PODS, pod("c", asking("600m")))
        .await
        .expect(201);
}
