//! An informer follows a server through changes, disconnections and lost history, and tells every
//! change once. The server is a script: each request takes the next answer.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Client, ResourceExt, client::Body};
use plinth_client::{Change, Informers};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt, wrappers::UnboundedReceiverStream};

enum Answer {
    Whole(Value),
    Watch(mpsc::UnboundedReceiver<Value>),
}

#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Script {
    fn list(&self, revision: &str, items: &[Value]) {
        let list = json!({"kind": "ConfigMapList", "apiVersion": "v1",
            "metadata": {"resourceVersion": revision}, "items": items});
        self.answers.lock().unwrap().push_back(Answer::Whole(list));
    }

    fn watch(&self) -> mpsc::UnboundedSender<Value> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.answers
            .lock()
            .unwrap()
            .push_back(Answer::Watch(receiver));
        sender
    }

    fn client(&self) -> Client {
        let script = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            script.asked.lock().unwrap().push(request.uri().to_string());
            let answer = script.answers.lock().unwrap().pop_front();
            async move {
                let Some(answer) = answer else {
                    std::future::pending::<()>().await;
                    unreachable!()
                };
                let body: BoxBody<Bytes, Infallible> = match answer {
                    Answer::Whole(value) => {
                        http_body_util::Full::new(Bytes::from(value.to_string())).boxed()
                    }
                    Answer::Watch(lines) => {
                        let frames = UnboundedReceiverStream::new(lines).map(|line| {
                            Ok(http_body::Frame::data(Bytes::from(format!("{line}\n"))))
                        });
                        BodyExt::boxed(StreamBody::new(frames))
                    }
                };
                Ok::<_, Infallible>(Response::new(body))
            }
        });
        Client::new(service, "default")
    }
}

fn map(name: &str, uid: &str, revision: &str) -> Value {
    json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata":
        {"namespace": "ns", "name": name, "uid": uid, "resourceVersion": revision}})
}

fn event(kind: &str, object: &Value) -> Value {
    json!({"type": kind, "object": object})
}

/// Writes changes down as `+name`, `~name`, `-name`.
fn diary(informer: &plinth_client::Informer<ConfigMap>) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let written = Arc::clone(&lines);
    informer.on_change(move |change: &Change<ConfigMap>| {
        let sign = match (&change.old, &change.new) {
            (None, _) => '+',
            (_, None) => '-',
            _ => '~',
        };
        let version = change.latest().resource_version().unwrap();
        let line = format!("{sign}{}@{version}", change.latest().name_any());
        written.lock().unwrap().push(line);
    });
    lines
}

fn take(lines: &Mutex<Vec<String>>) -> Vec<String> {
    std::mem::take(&mut *lines.lock().unwrap())
}

#[tokio::test]
async fn changes_are_told_once_and_late_listeners_get_what_exists() {
    let script = Script::default();
    script.list("5", &[map("a", "1", "3"), map("b", "2", "5")]);
    let watch = script.watch();
    let informers = Informers::new(script.client());
    let informer = informers.of::<ConfigMap>();
    let early = diary(&informer);
    informer.synced().await;
    assert_eq!(take(&early), ["+a@3", "+b@5"]);

    watch.send(event("MODIFIED", &map("a", "1", "6"))).unwrap();
    watch.send(event("DELETED", &map("b", "2", "7"))).unwrap();
    informer.seen(7).await;
    assert_eq!(take(&early), ["~a@6", "-b@7"]);
    let late = diary(&informer);
    assert_eq!(take(&late), ["+a@6"]);
    assert!(informer.get(Some("ns"), "b").is_none());

    let same = informers.of::<ConfigMap>();
    assert_eq!(same.in_namespace("ns").len(), 1, "one informer is shared");
    informers.shutdown().await;
}

#[tokio::test]
async fn a_closed_watch_continues_from_the_last_revision() {
    let script = Script::default();
    script.list("5", &[map("a", "1", "3")]);
    let first = script.watch();
    let second = script.watch();
    let informers = Informers::new(script.client());
    let informer = informers.of::<ConfigMap>();
    let lines = diary(&informer);
    informer.synced().await;
    first
        .send(event(
            "BOOKMARK",
            &json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"resourceVersion": "40"}}),
        ))
        .unwrap();
    informer.seen(40).await;
    drop(first);
    second.send(event("ADDED", &map("b", "2", "41"))).unwrap();
    informer.seen(41).await;
    assert_eq!(take(&lines), ["+a@3", "+b@41"]);
    let asked = script.asked.lock().unwrap().clone();
    assert!(asked[2].contains("resourceVersion=40"), "{asked:?}");
    informers.shutdown().await;
}

#[tokio::test]
async fn lost_history_is_listed_again_and_only_the_difference_is_told() {
    let script = Script::default();
    script.list("5", &[map("a", "1", "3"), map("b", "2", "5")]);
    let watch = script.watch();
    script.list("90", &[map("a", "1", "3"), map("c", "9", "88")]);
    let again = script.watch();
    let informers = Informers::new(script.client());
    let informer = informers.of::<ConfigMap>();
    let lines = diary(&informer);
    informer.synced().await;
    take(&lines);
    let expired = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
        "message": "too old resource version", "reason": "Expired", "code": 410});
    watch.send(event("ERROR", &expired)).unwrap();
    informer.seen(90).await;
    assert_eq!(take(&lines), ["-b@5", "+c@88"]);
    drop(again);
    informers.shutdown().await;
}

#[tokio::test]
async fn an_object_that_does_not_decode_hides_no_other() {
    let script = Script::default();
    let bad =
        json!({"metadata": {"namespace": "ns", "name": "bad", "resourceVersion": "6"}, "data": 7});
    script.list("6", &[map("a", "1", "3"), bad.clone(), map("b", "2", "5")]);
    let watch = script.watch();
    let informers = Informers::new(script.client());
    let informer = informers.of::<ConfigMap>();
    informer.synced().await;
    assert_eq!(informer.list().len(), 2);
    watch.send(event("MODIFIED", &bad)).unwrap();
    watch.send(event("ADDED", &map("c", "3", "8"))).unwrap();
    informer.seen(8).await;
    assert_eq!(informer.list().len(), 3);
    informers.shutdown().await;
}
