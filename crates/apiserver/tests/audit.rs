//! What the audit log says of requests, by its policy.

mod support;

use plinth_apiserver::{AuditLog, AuditPolicy};
use serde_json::{Value, json};
use support::Server;

#[tokio::test]
async fn requests_are_written_down_as_the_policy_says() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.log");
    let policy = AuditPolicy::parse(
        "{apiVersion: audit.k8s.io/v1, kind: Policy, omitStages: [RequestReceived], rules: [
           {level: Metadata, resources: [{group: '', resources: [secrets]}]},
           {level: RequestResponse, verbs: [create], resources: [{group: '', resources: [configmaps]}]},
           {level: Metadata, verbs: [watch]}]}",
    )
    .unwrap();
    let (log, writer) = AuditLog::open(&path, policy).await.unwrap();
    let server = Server::start_audited(directory.path(), Some(log)).await;
    let object = |kind: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}, "data": {"k": "aHVzaA=="}});
    let in_default = |plural: &str| format!("/api/v1/namespaces/default/{plural}");
    server
        .post(&in_default("secrets"), object("Secret"))
        .await
        .expect(201);
    server
        .post(&in_default("configmaps"), object("ConfigMap"))
        .await
        .expect(201);
    server
        .post(&in_default("configmaps"), object("ConfigMap"))
        .await
        .expect(409);
    server.get(&in_default("configmaps/x")).await.expect(200);
    let watch = server
        .watch(
            &format!("{}?watch=1", in_default("configmaps")),
            "application/json",
        )
        .await;
    drop(watch);
    writer.close().await;
    let text = std::fs::read_to_string(&path).unwrap();
    let events: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|event: &Value| event["user"]["username"] == "test")
        .collect();
    let told: Vec<String> = events
        .iter()
        .map(|event| {
            format!(
                "{} {} {} {} {}",
                event["stage"].as_str().unwrap(),
                event["verb"].as_str().unwrap(),
                event["objectRef"]["resource"].as_str().unwrap(),
                event["responseStatus"]["code"],
                event["responseObject"]["kind"].as_str().unwrap_or("-"),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "ResponseComplete create secrets 201 -",
            "ResponseComplete create configmaps 201 ConfigMap",
            "ResponseComplete create configmaps 409 Status",
            "ResponseStarted watch configmaps 200 -",
            "ResponseComplete watch configmaps 200 -",
        ]
    );
    assert!(
        !text.contains("\"Secret\""),
        "a secret's content is not written down"
    );
    assert_eq!(events[1]["requestObject"]["data"]["k"], "aHVzaA==");
    assert_eq!(events[2]["responseStatus"]["reason"], "AlreadyExists");
    assert_eq!(events[3]["auditID"], events[4]["auditID"]);
}
