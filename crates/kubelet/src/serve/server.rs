//! Accepts connections and routes requests of the node API.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
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
use plinth_runtime::{ContainerId, ContainerState, PodSandbox, Runtime};
use rustls::pki_types::CertificateDer;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::logs::Reading;
use super::query::{LogQuery, decode};
use super::stream::{Forwarded, Program, Streams};
use super::{find, query};

/// The group whose members may do everything with a node.
const MASTERS: &str = "system:masters";

/// What the node API shows.
pub(crate) struct NodeApi {
    pub(crate) pods: Informer<Pod>,
    pub(crate) runtime: Runtime,
    pub(crate) streams: Streams,
}

type Body = BoxBody<Bytes, io::Error>;

/// Why a request is not served.
struct Refusal(StatusCode, String);

impl Refusal {
    fn answer(self) -> Response<Body> {
        text(self.0, &self.1)
    }
}

/// Serves until `shutdown`. The TLS configuration demands client certificates of the cluster's authority.
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
        let acceptor = acceptor.clone();
        let connection = connect(Arc::clone(&api), acceptor, stream, peer);
        let shutdown = shutdown.clone();
        connections.spawn(async move { shutdown.run_until_cancelled(connection).await });
    }
    connections.close();
    connections.wait().await;
    api.streams.finish().await;
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
    let certificate = stream.get_ref().1.peer_certificates();
    let allowed = certificate.is_some_and(|chain| chain.first().is_some_and(|c| is_master(c)));
    let service = service_fn(move |request| {
        let api = Arc::clone(&api);
        async move {
            // Whoever gets further may run programs in every container.
            Ok::<_, Infallible>(if allowed {
                api.answer(request).await
            } else {
                text(StatusCode::FORBIDDEN, "Forbidden")
            })
        }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    if let Err(error) = builder
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .await
    {
        debug!(%peer, %error, "node API: connection ended");
    }
}

impl NodeApi {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path: Vec<String> = request
            .uri()
            .path()
            .split('/')
            .skip(1)
            .map(decode)
            .collect();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let query = request.uri().query().unwrap_or_default().to_owned();
        match (request.method(), path.as_slice()) {
            (&Method::GET | &Method::POST, ["exec", namespace, pod, container]) => {
                let command = query::pairs(&query).into_iter();
                let command = command.filter(|(name, _)| name == "command");
                let command = command.map(|(_, word)| word).collect();
                self.session(request, (namespace, pod, container), |container| {
                    Program::Exec { container, command }
                })
                .await
            }
            (&Method::GET | &Method::POST, ["attach", namespace, pod, container]) => {
                self.session(request, (namespace, pod, container), |container| {
                    Program::Attach { container }
                })
                .await
            }
            (&Method::GET | &Method::POST, ["portForward", namespace, pod]) => {
                let pairs = query::pairs(&query);
                match self.forwarded(namespace, pod).await {
                    Ok(pod) => answer(self.streams.forward(request, &pairs, pod)),
                    Err(refusal) => refusal.answer(),
                }
            }
            // Not upstream's: how the API server reaches pods that it has no route to.
            (&Method::GET, ["connect", namespace, pod, port]) => {
                let Ok(port) = port.parse() else {
                    return text(StatusCode::BAD_REQUEST, "no port");
                };
                match self.address(namespace, pod) {
                    Ok(address) => match self.streams.connect(request, (address, port)).await {
                        Ok(response) => response,
                        Err(message) => text(StatusCode::BAD_GATEWAY, &message),
                    },
                    Err(refusal) => refusal.answer(),
                }
            }
            (&Method::GET, ["healthz"]) => text(StatusCode::OK, "ok"),
            (&Method::GET, ["pods"]) => self.pods(),
            (&Method::GET, ["containerLogs", namespace, pod, container]) => {
                self.logs(namespace, pod, container, &query).await
            }
            (&Method::GET, _) => text(StatusCode::NOT_FOUND, "404 page not found"),
            _ => text(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed"),
        }
    }

    fn pod(&self, namespace: &str, name: &str) -> Result<Arc<Pod>, Refusal> {
        let missing = || {
            Refusal(
                StatusCode::NOT_FOUND,
                format!("pod \"{name}\" does not exist"),
            )
        };
        self.pods.get(Some(namespace), name).ok_or_else(missing)
    }

    /// The sandbox in which the pod lives now.
    async fn sandbox(&self, pod: &Pod) -> Option<PodSandbox> {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let all = self.runtime.pod_sandboxes().await;
        all.into_iter().find(|s| s.ready && s.config.uid == uid)
    }

    async fn session(
        &self,
        request: Request<Incoming>,
        (namespace, pod, name): (&str, &str, &str),
        program: impl FnOnce(ContainerId) -> Program,
    ) -> Response<Body> {
        let pod = match self.pod(namespace, pod) {
            Ok(pod) => pod,
            Err(refusal) => return refusal.answer(),
        };
        // What runs is the runtime's to say: the pod's status is always a moment old.
        let mut running = None;
        if let Some(sandbox) = self.sandbox(&pod).await {
            let all = self.runtime.containers().await.into_iter();
            let mut own = all.filter(|c| c.sandbox == sandbox.id && c.name == name);
            running = own.find(|c| c.state == ContainerState::Running);
        }
        let Some(container) = running else {
            let message = format!("container not found (\"{name}\")");
            return text(StatusCode::NOT_FOUND, &message);
        };
        let program = program(container.id);
        if matches!(&program, Program::Exec { command, .. } if command.is_empty()) {
            return text(StatusCode::BAD_REQUEST, "command must be specified");
        }
        let pairs = query::pairs(request.uri().query().unwrap_or_default());
        answer(
            self.streams
                .session(request, &pairs, self.runtime.clone(), program),
        )
    }

    async fn forwarded(&self, namespace: &str, name: &str) -> Result<Forwarded, Refusal> {
        let pod = self.pod(namespace, name)?;
        let sandbox = self.sandbox(&pod).await.ok_or_else(|| {
            let message = format!("pod \"{name}\" is not running");
            Refusal(StatusCode::INTERNAL_SERVER_ERROR, message)
        })?;
        Ok(Forwarded {
            runtime: self.runtime.clone(),
            sandbox: sandbox.id,
            uid: sandbox.config.uid,
        })
    }

    /// Where the pod is reached from this node.
    fn address(&self, namespace: &str, name: &str) -> Result<IpAddr, Refusal> {
        let pod = self.pod(namespace, name)?;
        let ip = pod
            .status
            .as_ref()
            .and_then(|status| status.pod_ip.as_deref());
        ip.and_then(|ip| ip.parse().ok()).ok_or_else(|| {
            let message = format!("pod \"{name}\" has no address");
            Refusal(StatusCode::SERVICE_UNAVAILABLE, message)
        })
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
        let found = match self.pod(namespace, pod) {
            Ok(found) => found,
            Err(refusal) => return refusal.answer(),
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

/// Whether a certificate names the group that may do everything.
fn is_master(certificate: &CertificateDer<'_>) -> bool {
    use x509_parser::prelude::FromDer as _;
    x509_parser::certificate::X509Certificate::from_der(certificate).is_ok_and(
        |(_, certificate)| {
            let mut groups = certificate.subject().iter_organization();
            groups.any(|group| group.as_str().is_ok_and(|name| name == MASTERS))
        },
    )
}

fn answer(upgraded: Result<Response<Body>, String>) -> Response<Body> {
    upgraded.unwrap_or_else(|message| text(StatusCode::BAD_REQUEST, &message))
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

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    #[test]
    fn only_certificates_of_masters_are_let_in() {
        let allowed = |groups: &[&str]| {
            let mut name = DistinguishedName::new();
            name.push(DnType::CommonName, "somebody");
            for group in groups {
                name.push(DnType::OrganizationName, *group);
            }
            let mut params = CertificateParams::default();
            params.distinguished_name = name;
            let key = KeyPair::generate().expect("key");
            let certificate = params.self_signed(&key).expect("certificate");
            is_master(certificate.der())
        };
        assert!(allowed(&["system:masters"]));
        for groups in [&[][..], &["system:nodes"], &["developers"]] {
            assert!(!allowed(groups), "{groups:?}");
        }
        assert!(!is_master(&CertificateDer::from(&b"nonsense"[..])));
    }
}
