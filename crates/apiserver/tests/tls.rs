//! The API on a TLS socket: who may do what, over HTTP/1.1 and HTTP/2, and an orderly end.

mod support;

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use serde_json::Value;
use support::{Identity, Server};
use tokio::net::TcpStream;

async fn get(
    server: &Server,
    address: SocketAddr,
    identity: Option<Identity>,
    path: &str,
    h2: bool,
) -> Response<Incoming> {
    let mut tls = (*server.authority.client_tls(identity)).clone();
    tls.alpn_protocols = vec![if h2 {
        b"h2".to_vec()
    } else {
        b"http/1.1".to_vec()
    }];
    let socket = TcpStream::connect(address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(tls));
    let stream = connector
        .connect(ServerName::try_from("localhost").unwrap(), socket)
        .await
        .unwrap();
    let request = Request::get(if h2 {
        format!("https://localhost{path}")
    } else {
        path.to_owned()
    })
    .header("host", "localhost")
    .body(Empty::<Bytes>::new())
    .unwrap();
    if h2 {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    }
}

async fn text(response: Response<Incoming>) -> (u16, String) {
    let code = response.status().as_u16();
    (
        code,
        String::from_utf8(
            response
                .into_body()
                .collect()
                .await
                .unwrap()
                .to_bytes()
                .to_vec(),
        )
        .unwrap(),
    )
}

/// Invariant 7.
#[tokio::test]
async fn certificates_decide_who_may_do_what() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let (address, _shutdown, _task) = server.listen().await;
    let admin = || Some(server.authority.issue("admin", Some("system:masters")));
    let guest = || Some(server.authority.issue("guest", None));
    for h2 in [false, true] {
        let (code, body) =
            text(get(&server, address, admin(), "/api/v1/namespaces/default", h2).await).await;
        assert_eq!(code, 200, "{body}");
        let (code, body) = text(
            get(
                &server,
                address,
                guest(),
                "/api/v1/namespaces/default/pods",
                h2,
            )
            .await,
        )
        .await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (code, body["message"].as_str().unwrap()),
            (
                403,
                "pods is forbidden: User \"guest\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\""
            )
        );
        let (code, body) = text(get(&server, address, None, "/api/v1/pods", h2).await).await;
        assert_eq!(code, 403, "{body}");
        for open in ["/livez", "/readyz", "/healthz", "/version"] {
            assert_eq!(
                text(get(&server, address, None, open, h2).await).await.0,
                200,
                "{open}"
            );
        }
    }
}

#[tokio::test]
async fn the_server_ends_watches_and_returns_when_told_to_stop() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let (address, shutdown, task) = server.listen().await;
    let admin = server.authority.issue("admin", Some("system:masters"));
    let watch = get(
        &server,
        address,
        Some(admin),
        "/api/v1/namespaces?watch=true",
        true,
    )
    .await;
    assert_eq!(watch.status(), 200);
    shutdown.cancel();
    let (_, events) = text(watch).await;
    assert!(events.starts_with("{\"type\":\"ADDED\""), "{events}");
    task.await.unwrap();
    assert!(
        TcpStream::connect(address).await.is_err(),
        "the port is free again"
    );
}

#[tokio::test]
async fn large_answers_are_compressed_for_clients_that_ask() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    let (address, _shutdown, _task) = server.listen().await;
    let admin = || server.authority.issue("admin", Some("system:masters"));
    for n in 0..3 {
        let map = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("m{n}")}, "data": {"k": "x".repeat(100_000)}});
        server
            .post("/api/v1/namespaces/default/configmaps", map)
            .await
            .expect(201);
    }
    let mut tls = (*server.authority.client_tls(Some(admin()))).clone();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let socket = TcpStream::connect(address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(tls));
    let stream = connector
        .connect(ServerName::try_from("localhost").unwrap(), socket)
        .await
        .unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = Request::get("/api/v1/configmaps")
        .header("host", "localhost")
        .header("accept-encoding", "gzip")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(body.len() < 10_000, "{} bytes", body.len());
    let mut plain = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&body[..]), &mut plain)
        .unwrap();
    let list: Value = serde_json::from_str(&plain).unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 3);
}
