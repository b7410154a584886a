//! A recorder writes an Event once and counts its repetitions; it never makes its caller wait.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{Client, client::Body};
use plinth_client::{EventKind, Recorder};
use serde_json::{Value, json};

/// Method, path and body of what arrived.
type Arrived = Arc<Mutex<Vec<(String, String, Value)>>>;

/// Accepts every POST, and a PATCH only while `known`.
fn server(known: bool) -> (Client, Arrived) {
    let arrived = Arrived::default();
    let seen = Arc::clone(&arrived);
    let service = tower::service_fn(move |request: Request<Body>| {
        let seen = Arc::clone(&seen);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.expect("in memory").to_bytes();
            let body: Value = serde_json::from_slice(&body).expect("JSON");
            let method = head.method.to_string();
            let path = head.uri.path().to_owned();
            let (code, answer) = if method == "PATCH" && !known {
                let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
                    "reason": "NotFound", "code": 404, "message": "gone"});
                (404, status)
            } else {
                (
                    200,
                    json!({"metadata": {"name": "e"}, "involvedObject": {}}),
                )
            };
            seen.lock().unwrap().push((method, path, body));
            let body = Full::new(Bytes::from(answer.to_string()));
            let response = Response::builder().status(code).body(body);
            Ok::<_, std::convert::Infallible>(response.expect("a response"))
        }
    });
    (Client::new(service, "default"), arrived)
}

fn pod() -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".to_owned()),
        namespace: Some("ns".to_owned()),
        name: Some("web-0".to_owned()),
        uid: Some("u".to_owned()),
        ..ObjectReference::default()
    }
}

async fn wait_for(arrived: &Arrived, count: usize) -> Vec<(String, String, Value)> {
    loop {
        let now = arrived.lock().unwrap().clone();
        if now.len() >= count {
            return now;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn repetitions_are_counted_in_one_event() {
    let (client, arrived) = server(true);
    let recorder = Recorder::new(client, "kubelet", "n1");
    for _ in 0..3 {
        recorder.event(&pod(), EventKind::Warning, "BackOff", "again");
    }
    recorder.event(&pod(), EventKind::Normal, "Started", "other");
    let arrived = wait_for(&arrived, 4).await;
    let methods: Vec<_> = arrived.iter().map(|(method, ..)| method.as_str()).collect();
    assert_eq!(methods, ["POST", "PATCH", "PATCH", "POST"]);
    let (_, path, event) = &arrived[0];
    assert_eq!(path, "/api/v1/namespaces/ns/events");
    assert!(
        event["metadata"]["name"]
            .as_str()
            .unwrap()
            .starts_with("web-0.")
    );
    assert_eq!(event["count"], 1);
    assert_eq!(event["type"], "Warning");
    assert_eq!(
        event["source"],
        json!({"component": "kubelet", "host": "n1"})
    );
    assert_eq!(event["involvedObject"]["uid"], "u");
    assert_eq!(arrived[2].2["count"], 3);
}

#[tokio::test]
async fn an_event_that_has_expired_begins_anew() {
    let (client, arrived) = server(false);
    let recorder = Recorder::new(client, "kubelet", "n1");
    recorder.event(&pod(), EventKind::Warning, "BackOff", "again");
    recorder.event(&pod(), EventKind::Warning, "BackOff", "again");
    let arrived = wait_for(&arrived, 3).await;
    let methods: Vec<_> = arrived.iter().map(|(method, ..)| method.as_str()).collect();
    assert_eq!(methods, ["POST", "PATCH", "POST"]);
    assert_eq!(arrived[2].2["count"], 1);
}
