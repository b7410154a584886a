//! Kinds that users bring: served as soon as their definition is established, by the same rules as built-in ones, and
//! gone with it.

#![expect(
    clippy::needless_pass_by_value,
    reason = "values are made where they are passed"
)]

mod support;

use std::convert::Infallible;
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

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const THINGS: &str = "/apis/test.example.com/v1/namespaces/default/things";

fn version(name: &str, storage: bool, spec: Value) -> Value {
    json!({"name": name, "served": true, "storage": storage, "schema": {"openAPIV3Schema": {"type": "object",
           "properties": {"spec": spec}}}, "subresources": {"status": {}}})
}

fn definition(versions: Vec<Value>) -> Value {
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
           "metadata": {"name": "things.test.example.com"},
           "spec": {"group": "test.example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
                    "versions": versions}})
}

fn plain() -> Value {
    let spec = json!({"type": "object", "required": ["size"], "properties": {
        "size": {"type": "integer", "minimum": 1}, "color": {"type": "string", "default": "red"}},
        "x-kubernetes-validations": [{"rule": "self.size >= oldSelf.size", "message": "size only grows"}]});
    version("v1", true, spec)
}

fn thing(name: &str, version: &str, spec: Value) -> Value {
    json!({"apiVersion": format!("test.example.com/{version}"), "kind": "Thing", "metadata": {"name": name}, "spec": spec})
}

/// Waits until a path answers with this code.
async fn until(server: &Server, path: &str, code: u16) {
    let waiting = async {
        loop {
            if server.get(path).await.code == code {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting)
        .await
        .expect("the path answers in time");
}

async fn define(server: &Server, versions: Vec<Value>) {
    server
        .post(DEFINITIONS, definition(versions))
        .await
        .expect(201);
    until(server, THINGS, 200).await;
}

#[tokio::test]
async fn a_definition_is_served_pruned_defaulted_judged_and_removed_with_its_objects() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    define(&server, vec![plain()]).await;
    let made = server
        .post(THINGS, thing("a", "v1", json!({"size": 2, "odd": 1})))
        .await;
    assert_eq!(made.expect(201)["spec"], json!({"size": 2, "color": "red"}));
    let refused = server
        .post(THINGS, thing("b", "v1", json!({"size": 0})))
        .await;
    let message = "Thing.test.example.com \"b\" is invalid: spec.size: Invalid value: 0: spec.size in body should be \
                   greater than or equal to 1";
    assert_eq!((refused.code, refused.message().as_str()), (422, message));
    let place = format!("{THINGS}/a");
    let refused = server.merge(&place, json!({"spec": {"size": 1}})).await;
    let message = "Thing.test.example.com \"a\" is invalid: spec: Invalid value: size only grows";
    assert_eq!((refused.code, refused.message().as_str()), (422, message));
    let grown = server
        .merge(&place, json!({"spec": {"size": 3}, "status": {"x": 1}}))
        .await
        .expect(200);
    assert_eq!(
        (&grown["metadata"]["generation"], &grown["status"]),
        (&json!(2), &Value::Null)
    );

    let document = server
        .get("/openapi/v3/apis/test.example.com/v1")
        .await
        .expect(200);
    let schema = &document["components"]["schemas"]["com.example.test.v1.Thing"];
    assert_eq!(
        schema["properties"]["spec"]["properties"]["color"]["default"],
        "red"
    );

    let from = server.get(THINGS).await.revision();
    let mut watch = server
        .watch(
            &format!("{THINGS}?watch=true&resourceVersion={from}"),
            "application/json",
        )
        .await;
    server
        .delete(&format!("{DEFINITIONS}/things.test.example.com"), json!({}))
        .await
        .expect(200);
    until(
        &server,
        &format!("{DEFINITIONS}/things.test.example.com"),
        404,
    )
    .await;
    until(&server, THINGS, 404).await;
    assert_eq!(watch.take(1).await, ["DELETED a"]);
    assert_eq!(watch.next().await, None, "the watch ends with its kind");

    define(&server, vec![plain()]).await;
    assert_eq!(server.get(THINGS).await.expect(200)["items"], json!([]));
}

#[tokio::test]
async fn versions_share_their_objects_and_a_new_default_is_seen_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let free = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    define(
        &server,
        vec![plain(), version("v1beta1", false, free.clone())],
    )
    .await;
    let beta = THINGS.replace("/v1/", "/v1beta1/");
    let from = server.get(&beta).await.revision();
    let mut watch = server
        .watch(
            &format!("{beta}?watch=true&resourceVersion={from}"),
            "application/json",
        )
        .await;
    let made = server
        .post(&beta, thing("a", "v1beta1", json!({"size": 1, "odd": 1})))
        .await
        .expect(201);
    assert_eq!(
        (&made["apiVersion"], &made["spec"]),
        (
            &json!("test.example.com/v1beta1"),
            &json!({"size": 1, "color": "red"})
        )
    );
    assert_eq!(
        watch.next().await.unwrap()["object"]["apiVersion"],
        "test.example.com/v1beta1"
    );
    assert_eq!(
        server.get(&format!("{THINGS}/a")).await.expect(200)["apiVersion"],
        "test.example.com/v1"
    );

    let mut wider = plain();
    wider["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["shape"] =
        json!({"type": "string", "default": "round"});
    let place = format!("{DEFINITIONS}/things.test.example.com");
    server
        .merge(
            &place,
            json!({"spec": {"versions": [wider, version("v1beta1", false, free)]}}),
        )
        .await
        .expect(200);
    let waiting = async {
        while server.get(&format!("{THINGS}/a")).await.expect(200)["spec"]["shape"] != "round" {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting)
        .await
        .expect("the new default is seen");
}

#[tokio::test]
async fn a_webhook_converts_between_versions() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = tokio_rustls::TlsAcceptor::from(server.authority.server_tls());
    let hook = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let stream = acceptor.accept(stream).await.unwrap();
            let service = service_fn(|request: http::Request<hyper::body::Incoming>| async move {
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let answer = converted(&serde_json::from_slice(&body).unwrap());
                Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from(
                    answer.to_string(),
                ))))
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    let spec = |field: &str| json!({"type": "object", "properties": {field: {"type": "string"}}});
    let mut hooked = definition(vec![
        version("v1", true, spec("host")),
        version("v2", false, spec("address")),
    ]);
    hooked["spec"]["conversion"] = json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"],
        "clientConfig": {"url": format!("https://localhost:{port}/convert"), "caBundle": STANDARD.encode(&server.authority.pem)}}});
    server.post(DEFINITIONS, hooked).await.expect(201);
    until(&server, THINGS, 200).await;
    server
        .post(THINGS, thing("a", "v1", json!({"host": "h"})))
        .await
        .expect(201);
    let newer = THINGS.replace("/v1/", "/v2/");
    let listed = server.get(&newer).await.expect(200);
    assert_eq!(listed["items"][0]["spec"], json!({"address": "h"}));
    let changed = server
        .merge(&format!("{newer}/a"), json!({"spec": {"address": "i"}}))
        .await
        .expect(200);
    assert_eq!(
        (&changed["apiVersion"], &changed["spec"]),
        (&json!("test.example.com/v2"), &json!({"address": "i"}))
    );
    assert_eq!(
        server.get(&format!("{THINGS}/a")).await.expect(200)["spec"],
        json!({"host": "i"})
    );
    hook.abort();
    assert!(hook.await.unwrap_err().is_cancelled());
    let failed = server.get(&format!("{newer}/a")).await;
    assert_eq!(failed.code, 500);
    assert!(
        failed
            .message()
            .starts_with("conversion webhook for test.example.com/v1, Kind=Thing failed: Post"),
        "{}",
        failed.message()
    );
}

/// What a webhook answers that calls one field `host` in v1 and `address` in v2.
fn converted(review: &Value) -> Value {
    let request = &review["request"];
    let wanted = &request["desiredAPIVersion"];
    let objects = request["objects"].as_array().unwrap().iter().map(|object| {
        let mut object = object.clone();
        let (from, to) = if *wanted == "test.example.com/v2" {
            ("host", "address")
        } else {
            ("address", "host")
        };
        let value = object["spec"][from].take();
        object["spec"] = json!({to: value});
        object["apiVersion"] = wanted.clone();
        object
    });
    json!({"kind": "ConversionReview", "apiVersion": review["apiVersion"],
           "response": {"uid": request["uid"], "result": {"status": "Success"}, "convertedObjects": objects.collect::<Vec<_>>()}})
}

#[tokio::test]
async fn kinds_and_objects_are_there_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    define(&server, vec![plain()]).await;
    let made = server
        .post(THINGS, thing("a", "v1", json!({"size": 2})))
        .await
        .expect(201);
    let store = server.store.clone();
    drop(server);
    store.close().await;
    let server = Server::start(dir.path()).await;
    assert_eq!(server.get(&format!("{THINGS}/a")).await.expect(200), made);
}
