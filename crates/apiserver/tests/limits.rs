//! What namespaces allow by their security level, and what classes give to pods.

mod support;

use serde_json::{Value, json};
use support::Server;

const PODS: &str = "/api/v1/namespaces/default/pods";

fn pod(name: &str, container: Value) -> Value {
    let mut container = container;
    container["name"] = "c".into();
    container["image"] = "i".into();
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container]}})
}

#[tokio::test]
async fn a_restricted_namespace_takes_only_hardened_pods() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let label = |mode: &str, level: &str| json!({"metadata": {"labels": {format!("pod-security.kubernetes.io/{mode}"): level}}});
    let namespace = "/api/v1/namespaces/default";
    let wrong = server.merge(namespace, label("enforce", "strict")).await;
    assert_eq!(wrong.code, 422);
    server
        .merge(namespace, label("warn", "restricted"))
        .await
        .expect(200);
    let warned = server.post(PODS, pod("warned", json!({}))).await;
    assert_eq!(warned.code, 201);
    let warning = warned.headers["warning"].to_str().unwrap();
    assert!(
        warning.contains(
            "would violate PodSecurity \\\"restricted:latest\\\": allowPrivilegeEscalation != false"
        ),
        "{warning}"
    );
    let labelled = server.merge(namespace, label("enforce", "baseline")).await;
    assert!(
        !labelled.headers.contains_key("warning"),
        "the pod is fine by the baseline"
    );
    let refused = server
        .post(
            PODS,
            pod("p", json!({"securityContext": {"privileged": true}})),
        )
        .await;
    assert_eq!(
        refused.message(),
        "pods \"p\" is forbidden: violates PodSecurity \"baseline:latest\": privileged (container \"c\" must not set securityContext.privileged=true)"
    );
    let stricter = server
        .merge(namespace, label("enforce", "restricted"))
        .await;
    let warnings: Vec<_> = stricter.headers.get_all("warning").iter().collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[0]
            .to_str()
            .unwrap()
            .contains("existing pods in namespace")
    );
}

#[tokio::test]
async fn classes_give_pods_their_priority_and_overhead() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let class = |name: &str, default: bool| {
        json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
               "value": 1000, "globalDefault": default, "preemptionPolicy": "Never"})
    };
    let classes = "/apis/scheduling.k8s.io/v1/priorityclasses";
    server.post(classes, class("usual", true)).await.expect(201);
    let second = server.post(classes, class("other", true)).await;
    assert_eq!(second.code, 403, "{}", second.message());
    let runtime = json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "vm"}, "handler": "vm",
        "overhead": {"podFixed": {"cpu": "250m"}}, "scheduling": {"nodeSelector": {"vm": "yes"}}});
    server
        .post("/apis/node.k8s.io/v1/runtimeclasses", runtime)
        .await
        .expect(201);
    let mut wanted = pod("p", json!({}));
    wanted["spec"]["runtimeClassName"] = "vm".into();
    let made = server.post(PODS, wanted.clone()).await.expect(201);
    assert_eq!(made["spec"]["priorityClassName"], "usual");
    assert_eq!(made["spec"]["priority"], 1000);
    assert_eq!(made["spec"]["preemptionPolicy"], "Never");
    assert_eq!(made["spec"]["overhead"], json!({"cpu": "250m"}));
    assert_eq!(made["spec"]["nodeSelector"], json!({"vm": "yes"}));
    wanted["spec"]["runtimeClassName"] = "none".into();
    let refused = server.post(PODS, wanted).await;
    assert_eq!(
        refused.message(),
        "pods \"p\" is forbidden: pod rejected: RuntimeClass \"none\" not found"
    );
    let system = format!("{classes}/system-node-critical");
    assert_eq!(server.delete(&system, json!({})).await.code, 403);
}
