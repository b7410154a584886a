//! Calls somebody else's HTTPS endpoint with a review and reads its answer. Knows how endpoints are found and trusted,
//! not what is reviewed.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use crate::server::Core;

/// An answer is read up to this length.
const ANSWER: usize = 3 << 20;
/// Where Debian keeps the authorities everybody trusts.
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Where a webhook is and whom it must prove to be.
#[derive(Debug)]
pub(crate) struct Hook {
    /// `https://host:port/path`, for messages and requests.
    url: String,
    host: String,
    port: u16,
    path: String,
    /// Namespace and name, when the host is a Service's.
    service: Option<(String, String)>,
    tls: Arc<ClientConfig>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The endpoint could not be reached or did not answer as it should.
    #[error("Post {url:?}: {why}")]
    Failed {
        /// What was asked.
        url: String,
        /// What happened.
        why: String,
    },
    /// The endpoint said no.
    #[error("an error on the server ({0:?}) has prevented the request from succeeding")]
    Refused(String),
    /// What came is no review.
    #[error("{0}")]
    Unreadable(String),
}

impl Hook {
    /// Reads a `WebhookClientConfig` that was validated.
    pub(crate) fn read(client: &Value) -> Self {
        let service = &client["service"];
        let text = |name: &str| service[name].as_str().unwrap_or_default().to_owned();
        let (host, port, path, service) = if service.is_object() {
            let port = service["port"]
                .as_u64()
                .and_then(|port| u16::try_from(port).ok());
            let path = text("path");
            let path = if path.is_empty() {
                "/".to_owned()
            } else {
                path
            };
            let (namespace, name) = (text("namespace"), text("name"));
            let host = format!("{name}.{namespace}.svc");
            (host, port.unwrap_or(443), path, Some((namespace, name)))
        } else {
            let url = client["url"].as_str().unwrap_or_default();
            let rest = url.strip_prefix("https://").unwrap_or(url);
            let (place, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let path = if path.is_empty() { "/" } else { path };
            let (host, port) = match place.rsplit_once(':') {
                Some((host, port)) if port.parse::<u16>().is_ok() => {
                    (host, port.parse().unwrap_or(443))
                }
                _ => (place, 443),
            };
            let host = host.trim_start_matches('[').trim_end_matches(']');
            (host.to_owned(), port, path.to_owned(), None)
        };
        let shown = match &service {
            Some(_) => format!("https://{host}:{port}{path}"),
            None => client["url"].as_str().unwrap_or_default().to_owned(),
        };
        Self {
            url: shown,
            tls: tls(client["caBundle"].as_str().unwrap_or_default()),
            host,
            port,
            path,
            service,
        }
    }

    /// Sends a review and returns the review that comes back.
    pub(crate) async fn call(
        &self,
        core: &Core,
        review: &Value,
        limit: Duration,
    ) -> Result<Value, CallError> {
        let query = format!("?timeout={}s", limit.as_secs());
        let url = format!("{}{query}", self.url);
        let failed = |why: String| CallError::Failed {
            url: url.clone(),
            why,
        };
        let asked = tokio::time::timeout(limit, self.ask(core, review, &query)).await;
        let (code, body) = asked
            .map_err(|_| failed("context deadline exceeded".to_owned()))?
            .map_err(failed)?;
        if !code.is_success() {
            let text = String::from_utf8_lossy(&body);
            return Err(CallError::Refused(text.trim().to_owned()));
        }
        serde_json::from_slice(&body).map_err(|error| CallError::Unreadable(error.to_string()))
    }

    async fn ask(
        &self,
        core: &Core,
        review: &Value,
        query: &str,
    ) -> Result<(StatusCode, Bytes), String> {
        let address = self.address(core).await?;
        let stream = TcpStream::connect(address)
            .await
            .map_err(|error| format!("dial tcp {address}: connect: {}", go_error(&error)))?;
        let name = ServerName::try_from(self.host.clone()).map_err(|error| error.to_string())?;
        let stream = tokio_rustls::TlsConnector::from(self.tls.clone())
            .connect(name, stream)
            .await
            .map_err(|error| format!("tls: failed to verify certificate: {error}"))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        let _driven = AbortOnDropHandle::new(tokio::spawn(connection));
        let request = Request::post(format!("{}{query}", self.path))
            .header(HOST, format!("{}:{}", self.host, self.port))
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .body(Full::new(Bytes::from(review.to_string())))
            .map_err(|error| error.to_string())?;
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| error.to_string())?;
        let code = response.status();
        let body = Limited::new(response.into_body(), ANSWER).collect().await;
        Ok((code, body.map_err(|error| error.to_string())?.to_bytes()))
    }

    async fn address(&self, core: &Core) -> Result<SocketAddr, String> {
        if let Some((namespace, name)) = &self.service {
            return endpoint(core, namespace, name, self.port);
        }
        if let Ok(address) = self.host.parse::<IpAddr>() {
            return Ok((address, self.port).into());
        }
        let mut found = tokio::net::lookup_host((self.host.as_str(), self.port))
            .await
            .map_err(|error| format!("dial tcp: lookup {}: {error}", self.host))?;
        found
            .next()
            .ok_or_else(|| format!("dial tcp: lookup {}: no such host", self.host))
    }
}

/// Where a Service's port leads to: one of its ready endpoints.
fn endpoint(core: &Core, namespace: &str, name: &str, port: u16) -> Result<SocketAddr, String> {
    let object = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap_or_default();
    let services = core
        .kinds
        .core("services")
        .ok_or("services are not served")?;
    let service = services
        .cache
        .get(namespace, name)
        .ok_or_else(|| format!("service {name:?} not found"))?;
    let service = object(&service.bytes);
    let ports = service["spec"]["ports"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let port_name = ports
        .iter()
        .find(|entry| entry["port"] == u64::from(port))
        .map(|entry| entry["name"].as_str().unwrap_or_default().to_owned())
        .ok_or_else(|| format!("no service port {port} found for service {name:?}"))?;
    let slices = core
        .kinds
        .find("discovery.k8s.io", "v1", "endpointslices")
        .ok_or("endpoints are not served")?;
    let snapshot = slices.cache.snapshot(&core.clock);
    for slice in snapshot.tree.iter(Some(namespace), None) {
        let slice = object(&slice.bytes);
        if slice["metadata"]["labels"]["kubernetes.io/service-name"] != name {
            continue;
        }
        let target = slice["ports"]
            .as_array()
            .into_iter()
            .flatten()
            .find_map(|entry| {
                let own = entry["name"].as_str().unwrap_or_default();
                (own == port_name).then(|| entry["port"].as_u64()).flatten()
            });
        let ready = slice["endpoints"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|endpoint| endpoint["conditions"]["ready"] != false);
        let address = ready.and_then(|endpoint| endpoint["addresses"][0].as_str());
        if let (Some(address), Some(port)) =
            (address.and_then(|text| text.parse::<IpAddr>().ok()), target)
            && let Ok(port) = u16::try_from(port)
        {
            return Ok((address, port).into());
        }
    }
    Err(format!("no endpoints available for service {name:?}"))
}

fn go_error(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        _ => error.to_string(),
    }
}

/// Trust in the given authorities (PEM in base64), or in the system's when none are given.
fn tls(bundle: &str) -> Arc<ClientConfig> {
    let pem = if bundle.is_empty() {
        std::fs::read(SYSTEM_ROOTS).unwrap_or_default()
    } else {
        STANDARD.decode(bundle).unwrap_or_default()
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).flatten());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        // ring supports the default versions, so there is no case in which this fails.
        .unwrap_or_else(|error| unreachable!("{error}"))
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}
