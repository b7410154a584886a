//! Mutating and validating webhooks: a real server on the loopback, over TLS, that says what each test tells it to.

mod support;

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use support::Server;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// A webhook server: what it was asked, in order.
struct Hook {
    port: u16,
    authority: String,
    asked: Arc<Mutex<Vec<Value>>>,
    _task: AbortOnDropHandle<()>,
}

impl Hook {
    /// Serves `answer(path, request)`, the `response` of the review; `Null` never answers.
    async fn serve(server: &Server, answer: fn(&str, &Value) -> Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = tokio_rustls::TlsAcceptor::from(server.authority.server_tls());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = asked.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, noted) = (acceptor.clone(), noted.clone());
                tokio::spawn(async move {
                    let stream = acceptor.accept(stream).await.unwrap();
                    let service = service_fn(
                        move |request: http::Request<hyper::body::Incoming>| {
                            let noted = noted.clone();
                            async move {
                                let path = request.uri().path().to_owned();
                                let body = request.into_body().collect().await.unwrap().to_bytes();
                                let review: Value = serde_json::from_slice(&body).unwrap();
                                noted.lock().unwrap().push(json!([path, review["request"]]));
                                let mut response = answer(&path, &review["request"]);
                                if response.is_null() {
                                    std::future::pending::<()>().await;
                                }
                                response["uid"] = review["request"]["uid"].clone();
                                let answer = json!({"kind": "AdmissionReview", "apiVersion": review["apiVersion"], "response": response});
                                Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from(
                                    answer.to_string(),
                                ))))
                            }
                        },
                    );
                    // A client that goes away before it has its answer is none of this test's business.
                    let served = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                    drop(served);
                });
            }
        });
        Self {
            port,
            authority: STANDARD.encode(&server.authority.pem),
            asked,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// A webhook about ConfigMaps that calls this server.
    fn webhook(&self, path: &str, more: &Value) -> Value {
        let mut webhook = json!({
            "name": format!("{path}.example.com.test"), "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "clientConfig": {"url": format!("https://localhost:{}/{path}", self.port), "caBundle": self.authority},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}]});
        for (field, value) in more.as_object().unwrap() {
            webhook[field] = value.clone();
        }
        webhook
    }

    /// The paths that were asked since the last time.
    fn paths(&self) -> Vec<String> {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        let path = |asked: &Value| {
            asked[0]
                .as_str()
                .unwrap()
                .trim_start_matches('/')
                .to_owned()
        };
        asked.iter().map(path).collect()
    }
}

async fn configure(server: &Server, kind: &str, name: &str, webhooks: &[Value]) {
    let plural = format!("{}s", kind.to_lowercase());
    let object = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
                        "metadata": {"name": name}, "webhooks": webhooks});
    server
        .post(&format!("{GROUP}/{plural}"), object)
        .await
        .expect(201);
}

fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {}})
}

fn patched(operations: &Value) -> Value {
    json!({"allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(operations.to_string())})
}

#[tokio::test]
async fn webhooks_change_objects_and_see_what_others_made_of_them() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let hook = Hook::serve(&server, |path, request| {
        let has = |key: &str| request["object"]["data"].get(key).is_some();
        match path {
            "/first" if has("b") && !has("saw-b") => patched(&json!([{"op": "add", "path": "/data/saw-b", "value": "1"}])),
            "/first" if has("b") => json!({"allowed": true}),
            "/first" => patched(&json!([
                {"op": "add", "path": "/data", "value": {"a": "1"}}, {"op": "add", "path": "/unknown", "value": 1}])),
            "/second" if !has("b") => patched(&json!([{"op": "add", "path": "/data/b", "value": "2"}])),
            "/bad" => patched(&json!([{"op": "remove", "path": "/nowhere"}])),
            _ => json!({"allowed": true, "warnings": ["be careful"]}),
        }
    })
    .await;
    let again = json!({"reinvocationPolicy": "IfNeeded"});
    let webhooks = [
        hook.webhook("first", &again),
        hook.webhook("second", &json!({})),
    ];
    configure(
        &server,
        "MutatingWebhookConfiguration",
        "changes",
        &webhooks,
    )
    .await;
    let made = server.post(MAPS, map("x")).await.expect(201);
    // Second changed what first had seen, so first was asked again, and second was not; what the type does not have is gone.
    assert_eq!(made["data"], json!({"a": "1", "b": "2", "saw-b": "1"}));
    assert!(made.get("unknown").is_none());
    assert_eq!(hook.paths(), ["first", "second", "first"]);
    let counted = server.get("/metrics").await;
    let counted = String::from_utf8_lossy(&counted.bytes).into_owned();
    let line = "apiserver_admission_webhook_request_total{name=\"first.example.com.test\",operation=\"CREATE\",type=\"admit\",rejected=\"false\",code=\"200\"} 2";
    assert!(counted.contains(line), "{counted}");
    let answer = server
        .merge(&format!("{MAPS}/x"), json!({"data": {"c": "3"}}))
        .await;
    assert_eq!(answer.headers["warning"], "299 - \"be careful\"");
    answer.expect(200);
    // A patch that does not fit is this server's fault to tell.
    hook.paths();
    let bad = [hook.webhook("bad", &json!({}))];
    configure(&server, "MutatingWebhookConfiguration", "bad", &bad).await;
    let refused = server.post(MAPS, map("y")).await.expect(500);
    assert_eq!(refused["reason"], "InternalError");
    assert_eq!(server.get(&format!("{MAPS}/y")).await.code, 404);
}

#[tokio::test]
async fn webhooks_refuse_in_their_own_words() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let hook = Hook::serve(&server, |_, request| match request["name"].as_str() {
        Some("plain") => json!({"allowed": false}),
        Some("worded") => json!({"allowed": false, "status": {"code": 418, "reason": "Teapot", "message": "no tea"}}),
        _ if request["operation"] == "DELETE" => json!({"allowed": request["oldObject"]["data"].get("go").is_some()}),
        _ => json!({"allowed": true}),
    })
    .await;
    configure(
        &server,
        "ValidatingWebhookConfiguration",
        "v",
        &[hook.webhook("v", &json!({}))],
    )
    .await;
    let refused = server.post(MAPS, map("plain")).await.expect(403);
    assert_eq!(
        refused["message"],
        "configmaps \"plain\" is forbidden: admission webhook \"v.example.com.test\" denied the request without explanation"
    );
    let refused = server.post(MAPS, map("worded")).await.expect(418);
    assert_eq!(refused["reason"], "Teapot");
    assert_eq!(
        refused["message"],
        "configmaps \"worded\" is forbidden: admission webhook \"v.example.com.test\" denied the request: no tea"
    );
    server.post(MAPS, map("a")).await.expect(201);
    server
        .delete(&format!("{MAPS}/a"), json!({}))
        .await
        .expect(403);
    server
        .merge(&format!("{MAPS}/a"), json!({"data": {"go": "1"}}))
        .await
        .expect(200);
    server
        .delete(&format!("{MAPS}/a"), json!({}))
        .await
        .expect(200);
    let asked = std::mem::take(&mut *hook.asked.lock().unwrap());
    let deletion = &asked.last().unwrap()[1];
    assert_eq!(deletion["object"], Value::Null);
    assert_eq!(deletion["options"]["kind"], "DeleteOptions");
    assert_eq!(deletion["userInfo"]["username"], "test");
    assert_eq!(
        deletion["resource"],
        json!({"group": "", "version": "v1", "resource": "configmaps"})
    );
    // Nobody is asked about the configurations themselves.
    let everything = json!({"rules": [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"]}]});
    configure(
        &server,
        "ValidatingWebhookConfiguration",
        "all",
        &[hook.webhook("all", &everything)],
    )
    .await;
    server
        .delete(
            &format!("{GROUP}/validatingwebhookconfigurations/all"),
            json!({}),
        )
        .await
        .expect(200);
    assert!(hook.paths().is_empty());
}

#[tokio::test]
async fn silence_is_an_error_unless_it_may_be_ignored() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let hook = Hook::serve(&server, |_, _| Value::Null).await;
    for (name, policy) in [("open", "Ignore"), ("shut", "Fail")] {
        let impatient = hook.webhook(name, &json!({"timeoutSeconds": 1, "failurePolicy": policy}));
        configure(
            &server,
            "ValidatingWebhookConfiguration",
            name,
            &[impatient],
        )
        .await;
        let asked = server.post(MAPS, map(name));
        let answer = tokio::time::timeout(Duration::from_secs(20), asked)
            .await
            .unwrap();
        if policy == "Ignore" {
            answer.expect(201);
            continue;
        }
        let refused = answer.expect(500);
        let url = format!("https://localhost:{}/shut?timeout=1s", hook.port);
        assert_eq!(
            refused["message"],
            format!(
                "Internal error occurred: failed calling webhook \"shut.example.com.test\": failed to call webhook: Post \"{url}\": context deadline exceeded"
            )
        );
    }
}

#[tokio::test]
async fn conditions_and_dry_runs_are_minded() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let hook = Hook::serve(&server, |_, _| json!({"allowed": true})).await;
    let condition =
        |expression: &str| json!({"matchConditions": [{"name": "c", "expression": expression}]});
    let webhooks = [
        hook.webhook("always", &json!({})),
        hook.webhook("never", &condition("object.metadata.name == 'other'")),
    ];
    configure(&server, "ValidatingWebhookConfiguration", "v", &webhooks).await;
    server
        .post(&format!("{MAPS}?dryRun=All&fieldManager=me"), map("x"))
        .await
        .expect(201);
    let asked = std::mem::take(&mut *hook.asked.lock().unwrap());
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0][1]["dryRun"], true);
    assert_eq!(
        asked[0][1]["options"],
        json!({"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "dryRun": ["All"], "fieldManager": "me"})
    );
    let broken = hook.webhook("broken", &condition("object.data.missing == 'x'"));
    configure(
        &server,
        "ValidatingWebhookConfiguration",
        "broken",
        &[broken],
    )
    .await;
    let refused = server.post(MAPS, map("x")).await.expect(403);
    assert_eq!(
        refused["message"],
        "configmaps \"x\" is forbidden: expression 'object.data.missing == 'x'' resulted in error: no such key: data"
    );
}

#[tokio::test]
async fn mutating_policies_patch_and_lay_over() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let mutations = json!([
        {"patchType": "JSONPatch", "jsonPatch": {"expression":
            "has(object.metadata.labels) ? [] : [JSONPatch{op: 'add', path: '/metadata/labels', value: {'by': request.operation}}]"}},
        {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression":
            "Object{data: {'seen': object.metadata.labels.by}}"}}]);
    let policy = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy", "metadata": {"name": "p"},
        "spec": {"reinvocationPolicy": "Never", "mutations": mutations, "matchConstraints": {"resourceRules": [
            {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}]}}});
    server
        .post(&format!("{GROUP}/mutatingadmissionpolicies"), policy)
        .await
        .expect(201);
    let binding = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": "p"}, "spec": {"policyName": "p"}});
    server
        .post(&format!("{GROUP}/mutatingadmissionpolicybindings"), binding)
        .await
        .expect(201);
    let made = server.post(MAPS, map("x")).await.expect(201);
    assert_eq!(made["metadata"]["labels"], json!({"by": "CREATE"}));
    assert_eq!(made["data"], json!({"seen": "CREATE"}));
    // What policies add nobody manages.
    assert!(
        !made["metadata"]["managedFields"]
            .to_string()
            .contains("f:labels")
    );
    let mut labelled = map("y");
    labelled["metadata"]["labels"] = json!({"other": "1"});
    let refused = server.post(MAPS, labelled).await.expect(403);
    let why = refused["message"].as_str().unwrap();
    assert!(
        why.starts_with("policy 'p' with binding 'p' denied request: expression '"),
        "{why}"
    );
    assert!(why.ends_with("resulted in error: no such key: by"), "{why}");
}
