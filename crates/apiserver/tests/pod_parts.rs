//! What is done to a pod beside its main path: eviction within budgets, ephemeral containers, resizing.

mod support;

use serde_json::{Value, json};
use support::Server;

const PODS: &str = "/api/v1/namespaces/default/pods";
const BUDGETS: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";

fn pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
           "spec": {"containers": [{"name": "c", "image": "registry.example.com/app:1",
                                    "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "200m"}}}]}})
}

fn eviction(name: &str, options: &Value) -> Value {
    json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}, "deleteOptions": options})
}

async fn running(server: &Server, name: &str) {
    server.post(PODS, pod(name)).await.expect(201);
    let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    server
        .merge(&format!("{PODS}/{name}/status"), status)
        .await
        .expect(200);
}

/// K-60.
#[tokio::test]
async fn a_budget_decides_about_evictions() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    running(&server, "web").await;
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "tight"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}});
    server.post(BUDGETS, budget).await.expect(201);
    let evict = format!("{PODS}/web/eviction");

    let early = server.post(&evict, eviction("web", &json!(null))).await;
    let early = early.expect(429);
    assert_eq!(early["details"]["retryAfterSeconds"], 10);

    let allow = |count: u32| {
        json!({"status": {"observedGeneration": 1, "disruptionsAllowed": count,
        "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1}})
    };
    let status = format!("{BUDGETS}/tight/status");
    server.merge(&status, allow(0)).await.expect(200);
    let refused = server
        .post(&evict, eviction("web", &json!(null)))
        .await
        .expect(429);
    assert_eq!(
        refused["message"],
        "Cannot evict pod as it would violate the pod's disruption budget."
    );
    assert_eq!(
        refused["details"]["causes"],
        json!([{"reason": "DisruptionBudget", "message": "The disruption budget tight needs 1 healthy pods and has 1 currently"}])
    );

    server.merge(&status, allow(1)).await.expect(200);
    let tried = format!("{evict}?dryRun=All");
    server
        .post(&tried, eviction("web", &json!(null)))
        .await
        .expect(201);
    let budget = server.get(&format!("{BUDGETS}/tight")).await.expect(200);
    assert_eq!(
        budget["status"]["disruptionsAllowed"], 1,
        "a dry run takes nothing"
    );
    server
        .post(&evict, eviction("web", &json!(null)))
        .await
        .expect(201);
    let budget = server.get(&format!("{BUDGETS}/tight")).await.expect(200);
    assert_eq!(budget["status"]["disruptionsAllowed"], 0);
    assert!(budget["status"]["disruptedPods"]["web"].is_string());
    server.get(&format!("{PODS}/web")).await.expect(404);
}

#[tokio::test]
async fn evictions_follow_delete_options_and_spare_who_is_not_meant() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    running(&server, "web").await;
    let evict = format!("{PODS}/web/eviction");
    let wrong = server
        .post(&evict, eviction("other", &json!(null)))
        .await
        .expect(400);
    assert_eq!(
        wrong["message"],
        "name in URL does not match name in Eviction object"
    );
    let other = json!({"preconditions": {"uid": "11111111-2222-3333-4444-555555555555"}});
    server
        .post(&evict, eviction("web", &other))
        .await
        .expect(409);
    server.get(&format!("{PODS}/web")).await.expect(200);
    server
        .post(&evict, eviction("web", &json!({"gracePeriodSeconds": 0})))
        .await
        .expect(201);
    server.get(&format!("{PODS}/web")).await.expect(404);
    server
        .post(&evict, eviction("web", &json!(null)))
        .await
        .expect(404);
}

#[tokio::test]
async fn ephemeral_containers_are_added_and_then_stay() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    server.post(PODS, pod("web")).await.expect(201);
    let path = format!("{PODS}/web/ephemeralcontainers");
    let with = |containers: Value| json!({"spec": {"ephemeralContainers": containers, "hostname": "ignored"}});
    let debug = json!({"name": "debug", "image": "busybox", "targetContainerName": "c"});
    let added = server.merge(&path, with(json!([debug]))).await.expect(200);
    assert_eq!(
        added["spec"]["ephemeralContainers"][0]["imagePullPolicy"],
        "Always"
    );
    assert_eq!(added["spec"]["hostname"], Value::Null);
    assert_eq!(added["metadata"]["generation"], 2);
    for (containers, why) in [
        (
            json!([{"name": "debug", "image": "other", "targetContainerName": "c"}]),
            "may not be changed\n@@ -1,6 +1,6 @@",
        ),
        (
            json!([]),
            "existing ephemeral containers \"debug\" may not be removed",
        ),
        (
            json!([debug, {"name": "c", "image": "x"}]),
            "spec.ephemeralContainers[1].name: Duplicate value: \"c\"",
        ),
        (
            json!([debug, {"name": "d", "image": "x", "targetContainerName": "none"}]),
            "spec.ephemeralContainers[1].targetContainerName: Not found: \"none\"",
        ),
        (
            json!([debug, {"name": "d", "image": "x", "ports": [{"containerPort": 1}]}]),
            "spec.ephemeralContainers[1].ports: Forbidden: cannot be set for an Ephemeral Container",
        ),
    ] {
        let refused = server.merge(&path, with(containers)).await.expect(422);
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains(why), "{message}");
    }
    let main = server.merge(&format!("{PODS}/web"), with(json!([]))).await;
    main.expect(422);
}

#[tokio::test]
async fn resizing_changes_amounts_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    server.post(PODS, pod("web")).await.expect(201);
    let path = format!("{PODS}/web/resize");
    let resized = |resources: Value| json!({"spec": {"containers": [{"name": "c", "image": "ignored", "resources": resources}]}});
    let more = json!({"requests": {"cpu": "150m"}, "limits": {"cpu": "300m"}});
    let answer = server.merge(&path, resized(more.clone())).await.expect(200);
    let container = &answer["spec"]["containers"][0];
    assert_eq!(container["resources"], more);
    assert_eq!(container["image"], "registry.example.com/app:1");
    assert_eq!(answer["metadata"]["generation"], 2);
    for (resources, why) in [
        (
            json!({"requests": {"cpu": "150m"}}),
            "spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed",
        ),
        (
            json!({"requests": {"cpu": "400m"}, "limits": {"cpu": "300m"}}),
            "must be less than or equal to cpu limit of 300m",
        ),
        (
            json!({"requests": {"cpu": "150m", "ephemeral-storage": "1Gi"}, "limits": {"cpu": "300m"}}),
            "only cpu and memory resources are mutable",
        ),
        (
            json!({"requests": {"cpu": "300m", "memory": "1Gi"}, "limits": {"cpu": "300m", "memory": "1Gi"}}),
            "Pod QOS Class may not change as a result of resizing",
        ),
    ] {
        let refused = server.merge(&path, resized(resources)).await.expect(422);
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains(why), "{message}");
    }
    let renamed = json!({"spec": {"containers": [{"name": "d", "image": "x"}]}});
    let refused = server.merge(&path, renamed).await.expect(422);
    let message = refused["message"].as_str().unwrap();
    assert!(
        message.contains("containers may not be renamed or reordered on resize"),
        "{message}"
    );
}

#[tokio::test]
async fn jobs_leave_their_pods_behind_unless_told_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let jobs = "/apis/batch/v1/namespaces/default/jobs";
    let job = |name: &str| {
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
        "spec": {"suspend": true, "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}})
    };
    for name in ["kept", "gone"] {
        server.post(jobs, job(name)).await.expect(201);
    }
    let answer = server.delete(&format!("{jobs}/kept"), json!({})).await;
    let warned = answer.headers["warning"].to_str().unwrap().to_owned();
    assert!(
        warned.contains("child pods are preserved by default"),
        "{warned}"
    );
    assert_eq!(
        answer.expect(200)["metadata"]["finalizers"],
        json!(["orphan"])
    );
    let background = json!({"propagationPolicy": "Background"});
    let answer = server.delete(&format!("{jobs}/gone"), background).await;
    assert!(!answer.headers.contains_key("warning"));
    answer.expect(200);
    server.get(&format!("{jobs}/gone")).await.expect(404);
}
