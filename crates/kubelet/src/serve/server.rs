//! Accepts connections and routes requests of the node API.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use http::{Method, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use plinth_client::Informer;
use plinth_runtime::Runtime;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::find;
use super::logs::Reading;
use super::query::{LogQuery, decode};

/// What the node API shows.
pub(crate) struct NodeApi {
    pub(crate) pods: Informer<Pod>,
    pub(crate) runtime: Runtime,
}

type Body = BoxBody<Bytes, io::Error>;

/// Serves until `shutdown`. The TLS configuration demands client certificates: whoever gets here may read everything.
pub(crate) async fn serve(
    api: Arc<NodeApi>,
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    shutdown: CancellationToken,
) {
    let acceptor = TlsAcceptor::from(tls);
    let connections = TaskTracker::new();
    while let Some(accepted) = shutdown.run_until_cancelled(listener.accept()).await {
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                debug!(%error, "node API: a connection could not be accepted");
                continue;
            }
        };
        let (api, acceptor) = (Arc::clone(&api), acceptor.clone());
        let connection = connect(api, acceptor, stream, peer);
        let shutdown = shutdown.clone();
        connections.spawn(async move { shutdown.run_until_cancelled(connection).await });
    }
    connections.close();
    connections.wait().await;
}

async fn connect(
    api: Arc<NodeApi>,
    acceptor: TlsAcceptor,
    stream: tokio::net::TcpStream,
    peer: SocketAddr,
) {
    let stream = match acceptor.accept(stream).await {
        Ok(stream) => stream,
        Err(error) => return debug!(%peer, %error, "node API: TLS handshake failed"),
    };
    let service = service_fn(move |request| {
        let api = Arc::clone(&api);
        async move { Ok::<_, Infallible>(api.answer(&request).await) }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    if let Err(error) = builder
        .serve_connection(TokioIo::new(stream), service)
        .await
    {
        debug!(%peer, %error, "node API: connection ended");
    }
}

impl NodeApi {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        if request.method() != Method::GET {
            return text(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed");
        }
        let path: Vec<String> = request
            .uri()
            .path()
            .split('/')
            .skip(1)
            .map(decode)
            .collect();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["healthz"] => text(StatusCode::OK, "ok"),
            ["pods"] => self.pods(),
            ["containerLogs", namespace, pod, container] => {
                let query = request.uri().query().unwrap_or_default();
                self.logs(namespace, pod, container, query).await
            }
            _ => text(StatusCode::NOT_FOUND, "404 page not found"),
        }
    }

    fn pods(&self) -> Response<Body> {
        let items: Vec<Arc<Pod>> = self.pods.list();
        let list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items});
        match serde_json::to_vec(&list) {
            Ok(bytes) => respond(
                StatusCode::OK,
                "application/json",
                Full::from(bytes).map_err(|e| match e {}).boxed(),
            ),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }

    async fn logs(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        query: &str,
    ) -> Response<Body> {
        let query = match LogQuery::parse(query, Timestamp::now()) {
            Ok(query) => query,
            Err(message) => return text(StatusCode::BAD_REQUEST, &message),
        };
        let Some(found) = self.pods.get(Some(namespace), pod) else {
            return text(
                StatusCode::NOT_FOUND,
                &format!("pod \"{pod}\" does not exist"),
            );
        };
        let id = match find::container(&found, container, query.previous) {
            Ok(id) => id,
            Err(message) => return text(StatusCode::BAD_REQUEST, &message),
        };
        let path = match self.runtime.container_status(&id).await {
            Ok(status) => status.log_path,
            Err(error) => return text(StatusCode::NOT_FOUND, &error.to_string()),
        };
        if let Err(error) = tokio::fs::metadata(&path).await {
            return text(
                StatusCode::NOT_FOUND,
                &format!("log of container \"{container}\": {error}"),
            );
        }
        let (to, from) = mpsc::channel(4);
        let reading = Reading {
            runtime: self.runtime.clone(),
            container: id,
            path,
            query,
            to,
        };
        // Ends when the body is dropped: its sender sees that the receiver is gone.
        tokio::spawn(reading.run());
        let frames = stream::unfold(from, |mut from| async move {
            let piece: io::Result<Bytes> = from.recv().await?;
            Some((piece.map(Frame::data), from))
        });
        respond(
            StatusCode::OK,
            "text/plain",
            BodyExt::boxed(StreamBody::new(frames)),
        )
    }
}

fn text(status: StatusCode, message: &str) -> Response<Body> {
    let body = Full::from(message.to_owned())
        .map_err(|e| match e {})
        .boxed();
    respond(status, "text/plain; charset=utf-8", body)
}

fn respond(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
