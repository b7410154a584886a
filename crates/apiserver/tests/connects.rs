//! Requests into pods go through their node: what it agrees to is agreed, what it refuses is refused in the API's words,
//! and bytes pass untouched.

mod support;

use std::convert::Infallible;
use std::net::Ipv4Addr;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::json;
use support::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const PODS: &str = "/api/v1/namespaces/default/pods";

/// Says what was asked of it.
async fn asked(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let length = body.collect().await.unwrap().to_bytes().len();
    let private = parts.headers.contains_key(header::AUTHORIZATION);
    let text = format!("{} {} {length} {private}", parts.method, parts.uri);
    Response::builder()
        .header(header::LOCATION, "/elsewhere")
        .body(Full::from(text))
        .unwrap()
}

/// A node API: refuses what is `gone`, agrees to all other upgrades and echoes what comes then; `/connect` leads to an
/// HTTP server.
async fn node(server: &Server) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let tls = TlsAcceptor::from(server.authority.server_tls());
    let service = service_fn(|mut request: Request<Incoming>| async move {
        let path = request.uri().to_string();
        if path.contains("gone") {
            let text = Full::from("container not found (\"gone\")");
            let refusal = Response::builder().status(StatusCode::NOT_FOUND).body(text);
            return Ok::<_, Infallible>(refusal.unwrap());
        }
        let Some(to) = request.headers().get(header::UPGRADE).cloned() else {
            return Ok(asked(request).await);
        };
        tokio::spawn(async move {
            let stream = hyper::upgrade::on(&mut request).await.unwrap();
            let mut stream = TokioIo::new(stream);
            if path.starts_with("/connect/") {
                assert_eq!(path, "/connect/default/p/8080");
                let service = service_fn(|r| async { Ok::<_, Infallible>(asked(r).await) });
                let http = hyper::server::conn::http1::Builder::new();
                let _ = http.serve_connection(TokioIo::new(stream), service).await;
                return;
            }
            stream.write_all(path.as_bytes()).await.unwrap();
            let (mut from, mut to) = tokio::io::split(stream);
            tokio::io::copy(&mut from, &mut to).await.unwrap();
            to.shutdown().await.unwrap();
        });
        let agreed = Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, to)
            .header("x-stream-protocol-version", "v4.channel.k8s.io");
        Ok(agreed.body(Full::default()).unwrap())
    });
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                let stream = tls.accept(socket).await.unwrap();
                let http = hyper::server::conn::http1::Builder::new();
                // The caller hangs up when it likes.
                let _ = http
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades()
                    .await;
            });
        }
    });
    port
}

async fn cluster(server: &Server) {
    let port = node(server).await;
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}});
    server.post("/api/v1/nodes", node).await.expect(201);
    let status = json!({"status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
                                   "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}});
    let path = "/api/v1/nodes/n/status";
    server.merge(path, status).await.expect(200);
    for (name, node) in [("p", Some("n")), ("idle", None)] {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 8080}]},
                                                      {"name": "gone", "image": "i"}]}});
        server.post(PODS, pod).await.expect(201);
    }
    let address = json!({"status": {"podIP": "10.0.0.5", "podIPs": [{"ip": "10.0.0.5"}]}});
    let path = format!("{PODS}/p/status");
    server.merge(&path, address).await.expect(200);
}

#[tokio::test]
async fn what_cannot_be_connected_is_refused_as_upstream_refuses_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    cluster(&server).await;
    for (path, code, message) in [
        ("none/exec?command=a", 404, "pods \"none\" not found"),
        (
            "p/exec?command=a",
            400,
            "a container name must be specified for pod p, choose one of: [c gone]",
        ),
        (
            "p/exec?command=a&container=x",
            400,
            "container x is not valid for pod p",
        ),
        (
            "idle/exec?command=a&container=c",
            400,
            "pod idle does not have a host assigned",
        ),
        (
            "idle/portforward",
            400,
            "pod idle does not have a host assigned",
        ),
        ("p/attach?container=c", 400, "Upgrade request required"),
        ("idle/proxy/", 400, "address not allowed"),
        ("ftp:p:21/proxy/", 400, "invalid pod request \"ftp:p:21\""),
    ] {
        let answer = server.get(&format!("{PODS}/{path}")).await;
        assert_eq!(
            (answer.code, answer.message().as_str()),
            (code, message),
            "{path}"
        );
    }
    let method = server.delete(&format!("{PODS}/p/exec"), json!({})).await;
    assert_eq!(method.code, 405);
}

#[tokio::test]
async fn a_client_and_a_node_speak_through_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    cluster(&server).await;
    let (address, shutdown, serving) = server.listen().await;
    let identity = server.authority.issue("admin", Some("system:masters"));
    let connector = TlsConnector::from(server.authority.client_tls(Some(identity)));
    let name = ServerName::try_from("localhost").unwrap();
    let ask = async |container: &str| {
        let socket = TcpStream::connect(address).await.unwrap();
        let stream = connector.connect(name.clone(), socket).await.unwrap();
        let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(driver.with_upgrades());
        let path = format!(
            "{PODS}/p/exec?command=sh&command=-c&command=a%20b&container={container}&stdin=true&stderr=false"
        );
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "SPDY/3.1")
            .body(Empty::<Bytes>::new())
            .unwrap();
        sender.send_request(request).await.unwrap()
    };
    let refused = ask("gone").await;
    assert_eq!(refused.status(), StatusCode::NOT_FOUND);
    let body = refused.into_body().collect().await.unwrap().to_bytes();
    let status: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(status["message"], "container not found (\"gone\")");

    let agreed = ask("c").await;
    assert_eq!(agreed.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(
        agreed.headers()["x-stream-protocol-version"],
        "v4.channel.k8s.io"
    );
    let mut stream = TokioIo::new(hyper::upgrade::on(agreed).await.unwrap());
    stream.write_all(b" and back").await.unwrap();
    let wanted = "/exec/default/p/c?input=1&output=1&command=sh&command=-c&command=a%20b and back";
    let mut said = vec![0; wanted.len()];
    stream.read_exact(&mut said).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&said), wanted);

    // The server's end ends the conversation, and waits for nobody.
    shutdown.cancel();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
    serving.await.unwrap();
}

#[tokio::test]
async fn a_proxy_passes_on_what_is_asked_and_keeps_to_itself_who_asks() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path()).await;
    cluster(&server).await;
    let request = Request::builder()
        .method(Method::PUT)
        .uri(format!("{PODS}/p/proxy/a%2Fb?c=d"))
        .header(header::AUTHORIZATION, "Bearer secret");
    let answer = server.request_with(request, "12345").await;
    assert_eq!(
        String::from_utf8_lossy(&answer.bytes),
        "PUT /a%2Fb?c=d 5 false"
    );
    assert_eq!(
        answer.headers[header::LOCATION],
        format!("{PODS}/p/proxy/elsewhere").as_str()
    );

    let node = server.get("/api/v1/nodes/n/proxy/stats?x=1").await;
    assert_eq!(
        String::from_utf8_lossy(&node.bytes),
        "GET /stats?x=1 0 false"
    );
    let bare = server.get(&format!("{PODS}/p/proxy?x=1")).await;
    assert_eq!(
        (bare.code, bare.headers[header::LOCATION].to_str().unwrap()),
        (301, format!("{PODS}/p/proxy/?x=1").as_str())
    );
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
        "spec": {"ports": [{"name": "http", "port": 80}]}});
    server
        .post("/api/v1/namespaces/default/services", service)
        .await
        .expect(201);
    let services = "/api/v1/namespaces/default/services";
    for (name, code, message) in [
        ("s:81", 503, "no service port 81 found for service \"s\""),
        ("s:80", 404, "endpoints \"s\" not found"),
    ] {
        let answer = server.get(&format!("{services}/{name}/proxy/")).await;
        assert_eq!((answer.code, answer.message().as_str()), (code, message));
    }
    let endpoints = json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "s"},
        "subsets": [{"ports": [{"name": "http", "port": 8080}],
                     "addresses": [{"ip": "10.0.0.5", "targetRef": {"kind": "Pod", "name": "p", "namespace": "default"}}]}]});
    server
        .post("/api/v1/namespaces/default/endpoints", endpoints)
        .await
        .expect(201);
    for name in ["s:http", "s:80", "http:s:80"] {
        let answer = server.get(&format!("{services}/{name}/proxy/x")).await;
        assert_eq!(
            String::from_utf8_lossy(&answer.bytes),
            "GET /x 0 false",
            "{name}"
        );
    }
}
