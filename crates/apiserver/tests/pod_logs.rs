//! A pod's log comes from its node, as a stream; what the node refuses is refused in the API's words (K-43).

mod support;

use std::convert::Infallible;
use std::net::Ipv4Addr;

use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use plinth_apiserver::UserInfo;
use serde_json::json;
use support::Server;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

/// A node API with one container, whose log is what comes through the channel.
async fn node(server: &Server, lines: mpsc::Receiver<&'static str>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let tls = TlsAcceptor::from(server.authority.server_tls());
    tokio::spawn(async move {
        let mut lines = Some(lines);
        while let Ok((socket, _)) = listener.accept().await {
            let stream = tls.accept(socket).await.unwrap();
            let taken = std::sync::Mutex::new(None);
            let service = service_fn(|request: Request<Incoming>| {
                let path = request.uri().to_string();
                let (code, body) = if path.contains("previous") {
                    let (refusal, body) = mpsc::channel(1);
                    refusal
                        .try_send("previous terminated container \"c\" in pod \"p\" not found")
                        .unwrap();
                    (StatusCode::BAD_REQUEST, body)
                } else {
                    assert_eq!(
                        path,
                        "/containerLogs/default/p/c?follow=true&sinceTime=2026-01-01T00%3A00%3A00Z"
                    );
                    (StatusCode::OK, taken.lock().unwrap().take().unwrap())
                };
                let body =
                    futures::stream::unfold(body, |mut body: mpsc::Receiver<&'static str>| async {
                        let line = body.recv().await?;
                        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(line))), body))
                    });
                let response = Response::builder()
                    .status(code)
                    .body(StreamBody::new(body.boxed()))
                    .unwrap();
                async move { Ok::<_, Infallible>(response) }
            });
            *taken.lock().unwrap() = lines.take();
            let connection = hyper::server::conn::http1::Builder::new();
            // The caller hangs up when it has read enough.
            let _ = connection
                .serve_connection(TokioIo::new(stream), service)
                .await;
            lines = taken.lock().unwrap().take();
        }
    });
    port
}

#[tokio::test]
async fn a_log_is_streamed_from_the_node_while_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let (write, lines) = mpsc::channel(4);
    let port = node(&server, lines).await;
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}});
    server.post("/api/v1/nodes", node).await.expect(201);
    let status = json!({"status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                                   "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}});
    server
        .merge("/api/v1/nodes/n/status", status)
        .await
        .expect(200);
    let pods = "/api/v1/namespaces/default/pods";
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
                     "spec": {"containers": [{"name": "c", "image": "i"}]}});
    server.post(pods, pod).await.expect(201);
    let silent = server.get(&format!("{pods}/p/log")).await;
    assert_eq!(
        (silent.code, silent.bytes.len()),
        (200, 0),
        "a pod without a node has said nothing"
    );
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"},
                         "target": {"kind": "Node", "name": "n"}});
    server
        .post(&format!("{pods}/p/binding"), binding)
        .await
        .expect(201);

    let refused = server.get(&format!("{pods}/p/log?previous=true")).await;
    let message = "previous terminated container \"c\" in pod \"p\" not found";
    assert_eq!((refused.code, refused.message().as_str()), (400, message));

    let request = Request::get(format!(
        "{pods}/p/log?follow=true&sinceTime=2026-01-01T00:00:00Z&bogus=1"
    ))
    .body(http_body_util::Empty::<Bytes>::new())
    .unwrap();
    let response = server
        .api
        .service(UserInfo::internal("test"))
        .oneshot(request)
        .await
        .unwrap();
    assert_eq!(
        (response.status(), &response.headers()["content-type"]),
        (StatusCode::OK, &"text/plain".parse().unwrap())
    );
    let mut body = response.into_body();
    for line in ["first\n", "second\n"] {
        write.send(line).await.unwrap();
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), line);
    }
    drop(write);
    assert!(
        body.frame().await.is_none(),
        "the log ends when the container does"
    );
}
