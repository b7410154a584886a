//! ValidatingAdmissionPolicies and their bindings, through the front door.

mod support;

use plinth_apiserver::{AuditLog, AuditPolicy};
use serde_json::{Value, json};
use support::Server;

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn policy(name: &str, resource: &str, more: &Value) -> Value {
    let (group, resource) = resource.rsplit_once('.').unwrap_or(("", resource));
    let mut spec = json!({"matchConstraints": {"resourceRules": [
        {"apiGroups": [group], "apiVersions": ["*"], "operations": ["*"], "resources": [resource]}]}});
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
           "metadata": {"name": name}, "spec": spec})
}

fn binding(policy: &str, more: &Value) -> Value {
    let mut spec = json!({"policyName": policy, "validationActions": ["Deny"]});
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
           "metadata": {"name": policy}, "spec": spec})
}

fn map(name: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

async fn configure(server: &Server, policy: Value, binding: Value) {
    server
        .post(&format!("{GROUP}/validatingadmissionpolicies"), policy)
        .await
        .expect(201);
    server
        .post(
            &format!("{GROUP}/validatingadmissionpolicybindings"),
            binding,
        )
        .await
        .expect(201);
}

#[tokio::test]
async fn a_policy_refuses_what_breaks_it_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let rules = json!({
    "variables": [{"name": "n", "expression": "size(object.data)"}],
    "matchConditions": [{"name": "named", "expression": "request.operation != 'DELETE' && !object.metadata.name.startsWith('free')"}],
    "validations": [
        {"expression": "variables.n < 2", "messageExpression": "string(variables.n) + ' keys'", "reason": "Forbidden"},
        {"expression": "namespaceObject.metadata.name == 'default' && request.userInfo.username == 'test'"},
    ]});
    let bound = json!({"matchResources": {"objectSelector": {"matchExpressions": [{"key": "exempt", "operator": "DoesNotExist"}]}}});
    configure(
        &server,
        policy("p", "configmaps", &rules),
        binding("p", &bound),
    )
    .await;
    server
        .post(MAPS, map("a", &json!({"x": "1"})))
        .await
        .expect(201);
    let refused = server
        .post(MAPS, map("b", &json!({"x": "1", "y": "2"})))
        .await
        .expect(403);
    let why = "ValidatingAdmissionPolicy 'p' with binding 'p' denied request: 2 keys";
    assert_eq!(
        refused["message"],
        format!("configmaps \"b\" is forbidden: {why}")
    );
    assert_eq!(refused["details"]["causes"], json!([{"message": why}]));
    // What cannot be told is refused, too.
    let refused = server.post(MAPS, map("c", &Value::Null)).await.expect(422);
    let why = refused["message"].as_str().unwrap();
    assert!(
        why.ends_with("composited variable \"n\" fails to evaluate: no such key: data"),
        "{why}"
    );
    // A condition and a selector let objects pass.
    server
        .post(MAPS, map("free", &json!({"x": "1", "y": "2"})))
        .await
        .expect(201);
    let mut exempt = map("exempt", &json!({"x": "1", "y": "2"}));
    exempt["metadata"]["labels"] = json!({"exempt": "yes"});
    server.post(MAPS, exempt).await.expect(201);
    // Updates and patches are held to it as well.
    let patch = json!({"data": {"y": "2"}});
    let patched = server.merge(&format!("{MAPS}/a"), patch).await;
    patched.expect(403);
    // A policy that is gone says nothing any more.
    server
        .delete(
            &format!("{GROUP}/validatingadmissionpolicybindings/p"),
            json!({}),
        )
        .await
        .expect(200);
    server
        .post(MAPS, map("b", &json!({"x": "1", "y": "2"})))
        .await
        .expect(201);
}

#[tokio::test]
async fn parameters_come_from_other_objects() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let rules = json!({
        "paramKind": {"apiVersion": "v1", "kind": "Secret"},
        "validations": [{"expression": "params == null || object.data.x != string(params.metadata.name)"}]});
    let by_name = json!({"paramRef": {"name": "limit", "parameterNotFoundAction": "Deny"}});
    configure(
        &server,
        policy("p", "configmaps", &rules),
        binding("p", &by_name),
    )
    .await;
    let refused = server
        .post(MAPS, map("a", &json!({"x": "y"})))
        .await
        .expect(422);
    assert_eq!(
        refused["message"],
        "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p' denied request: failed to configure \
         binding: no params found for policy binding with `Deny` parameterNotFoundAction"
    );
    let secret = |name: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": {"limits": "yes"}}});
    let secrets = "/api/v1/namespaces/default/secrets";
    server.post(secrets, secret("limit")).await.expect(201);
    server
        .post(MAPS, map("a", &json!({"x": "y"})))
        .await
        .expect(201);
    server
        .post(MAPS, map("b", &json!({"x": "limit"})))
        .await
        .expect(422);
    // With a selector every object it finds has a say.
    server.post(secrets, secret("second")).await.expect(201);
    let selected = json!({"spec": {"paramRef": {"name": null, "selector": {"matchLabels": {"limits": "yes"}}}}});
    let path = format!("{GROUP}/validatingadmissionpolicybindings/p");
    server.merge(&path, selected).await.expect(200);
    for (value, code) in [("limit", 422), ("second", 422), ("third", 201)] {
        server
            .post(MAPS, map("c", &json!({"x": value})))
            .await
            .expect(code);
    }
}

#[tokio::test]
async fn policies_are_about_deletions_and_subresources_too() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let keep = json!({"validations": [{"expression": "request.operation != 'DELETE' || oldObject.data.x == 'go'"}]});
    configure(
        &server,
        policy("keep", "configmaps", &keep),
        binding("keep", &json!({})),
    )
    .await;
    let small = json!({"validations": [{"expression": "object.kind == 'Scale' && object.spec.replicas - oldObject.spec.replicas < 5"}]});
    configure(
        &server,
        policy("small", "deployments/scale.apps", &small),
        binding("small", &json!({})),
    )
    .await;
    // The rule names the group after the resource only for this test's helper.
    let rules = json!({"spec": {"matchConstraints": {"resourceRules": [
        {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["deployments/scale"]}]}}});
    let path = format!("{GROUP}/validatingadmissionpolicies/small");
    server.merge(&path, rules).await.expect(200);
    for (name, value, code) in [("a", "stay", 422), ("b", "go", 200)] {
        server
            .post(MAPS, map(name, &json!({"x": value})))
            .await
            .expect(201);
        server
            .delete(&format!("{MAPS}/{name}"), json!({}))
            .await
            .expect(code);
    }
    server.delete(MAPS, json!({})).await.expect(422);
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {
        "replicas": 1, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    server.post(deployments, deployment).await.expect(201);
    for (replicas, code) in [(9, 422), (3, 200)] {
        let patch = json!({"spec": {"replicas": replicas}});
        server
            .merge(&format!("{deployments}/d/scale"), patch)
            .await
            .expect(code);
    }
}

#[tokio::test]
async fn a_policy_may_warn_and_note_instead_and_ask_who_may_do_what() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.log");
    let written = AuditPolicy::parse(
        "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: Metadata}]}",
    )
    .unwrap();
    let (log, writer) = AuditLog::open(&path, written).await.unwrap();
    let server = Server::start_audited(directory.path(), Some(log)).await;
    let rules = json!({
        "validations": [{"expression": "authorizer.serviceAccount('default', 'none').group('').resource('configmaps').namespace('default').check('create').allowed()",
                         "message": "not everybody may"}],
        "auditAnnotations": [{"key": "keys", "valueExpression": "string(size(object.data))"}]});
    let actions = json!({"validationActions": ["Warn", "Audit"]});
    configure(
        &server,
        policy("p.example.com", "configmaps", &rules),
        binding("p.example.com", &actions),
    )
    .await;
    let made = server.post(MAPS, map("a", &json!({"x": "1"}))).await;
    let told = "Validation failed for ValidatingAdmissionPolicy 'p.example.com' with binding 'p.example.com': not everybody may";
    assert_eq!(
        made.headers["warning"].to_str().unwrap(),
        format!("299 - \"{told}\"")
    );
    made.expect(201);
    writer.close().await;
    let text = std::fs::read_to_string(&path).unwrap();
    let event = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|event: &Value| {
            event["verb"] == "create"
                && event["objectRef"]["resource"] == "configmaps"
                && event["stage"] == "ResponseComplete"
        })
        .unwrap();
    let notes = &event["annotations"];
    assert_eq!(notes["p.example.com/keys"], "1");
    let failure = notes["validation.policy.admission.k8s.io/validation_failure"]
        .as_str()
        .unwrap();
    let failure: Value = serde_json::from_str(failure).unwrap();
    assert_eq!(failure[0]["message"], "not everybody may");
    assert_eq!(failure[0]["validationActions"], json!(["Warn", "Audit"]));
}

#[tokio::test]
async fn a_policy_that_cannot_be_judged_may_be_ignored() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let broken = |failure: &str| json!({"failurePolicy": failure, "validations": [{"expression": "object.spec.missing == 1"}]});
    configure(
        &server,
        policy("p", "configmaps", &broken("Ignore")),
        binding("p", &json!({})),
    )
    .await;
    server.post(MAPS, map("a", &json!({}))).await.expect(201);
    configure(
        &server,
        policy("q", "configmaps", &broken("Fail")),
        binding("q", &json!({})),
    )
    .await;
    let refused = server.post(MAPS, map("b", &json!({}))).await.expect(422);
    let why = refused["message"].as_str().unwrap();
    assert!(
        why.ends_with("expression 'object.spec.missing == 1' resulted in error: no such key: spec"),
        "{why}"
    );
}
