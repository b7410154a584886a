//! A small client of any Kubernetes API: requests with a client certificate, and watches line by line.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How to reach an API.
#[derive(Clone)]
pub(crate) struct Api {
    address: String,
    tls: TlsConnector,
}

#[derive(Deserialize)]
struct Kubeconfig {
    clusters: Vec<NamedCluster>,
    users: Vec<NamedUser>,
}

#[derive(Deserialize)]
struct NamedCluster {
    cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority_data: String,
}

#[derive(Deserialize)]
struct NamedUser {
    user: User,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    client_certificate_data: String,
    client_key_data: String,
}

impl Api {
    /// Reads the first cluster and user of the kubeconfig at `path`.
    pub(crate) fn from_kubeconfig(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let config: Kubeconfig = serde_saphyr::from_str(&text)?;
        let (cluster, user) = (config.clusters.first(), config.users.first());
        let (Some(NamedCluster { cluster }), Some(NamedUser { user })) = (cluster, user) else {
            bail!("{} names no cluster or no user", path.display());
        };
        let mut roots = RootCertStore::empty();
        for certificate in
            CertificateDer::pem_slice_iter(&STANDARD.decode(&cluster.certificate_authority_data)?)
        {
            roots.add(certificate?)?;
        }
        let chain =
            CertificateDer::pem_slice_iter(&STANDARD.decode(&user.client_certificate_data)?)
                .collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(&STANDARD.decode(&user.client_key_data)?)?;
        let tls = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        let address = cluster
            .server
            .strip_prefix("https://")
            .context("the API is not on https")?
            .to_owned();
        Ok(Self {
            address,
            tls: TlsConnector::from(Arc::new(tls)),
        })
    }

    /// Opens a connection of its own, for many requests one after the other.
    pub(crate) async fn connect(&self) -> Result<Connection> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let host = self
            .address
            .rsplit_once(':')
            .map_or(self.address.as_str(), |(host, _)| host)
            .to_owned();
        let stream = self
            .tls
            .connect(ServerName::try_from(host)?, stream)
            .await?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the sender and the last response's body; an error shows there.
        tokio::spawn(connection);
        Ok(Connection {
            sender,
            host: self.address.clone(),
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        body: String,
    ) -> Result<Response<Incoming>> {
        let mut connection = self.connect().await?;
        connection.send(method, path, kind, body.into()).await
    }

    /// Sends one request and returns the answer's body; an answer other than 2xx is an error.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        body: String,
    ) -> Result<Value> {
        let response = self.send(method.clone(), path, kind, body).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            bail!(
                "{method} {path}: {status}: {}",
                String::from_utf8_lossy(&body)
            );
        }
        Ok(serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// Creates an object in the collection at `path`.
    pub(crate) async fn create(&self, path: &str, object: &Value) -> Result<Value> {
        self.call(Method::POST, path, "application/json", object.to_string())
            .await
    }

    /// Reads the object or list at `path`.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.call(Method::GET, path, "application/json", String::new())
            .await
    }

    /// Merges `patch` into the object at `path`.
    pub(crate) async fn merge(&self, path: &str, patch: &Value) -> Result<Value> {
        self.call(
            Method::PATCH,
            path,
            "application/merge-patch+json",
            patch.to_string(),
        )
        .await
    }

    /// Deletes the object at `path`.
    pub(crate) async fn delete(&self, path: &str) -> Result<Value> {
        self.call(Method::DELETE, path, "application/json", String::new())
            .await
    }

    /// Watches the collection at `path` from its present state on.
    pub(crate) async fn watch(&self, path: &str) -> Result<Watch> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{separator}watch=true");
        let response = self
            .send(Method::GET, &path, "application/json", String::new())
            .await?;
        if !response.status().is_success() {
            bail!("watching {path}: {}", response.status());
        }
        Ok(Watch {
            body: response.into_body(),
            buffer: BytesMut::new(),
        })
    }
}

/// One connection to an API.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Connection {
    async fn send(
        &mut self,
        method: Method,
        path: &str,
        kind: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.host)
            .header("content-type", kind)
            .header("accept", "application/json")
            .body(Full::new(body))?;
        self.sender.ready().await?;
        Ok(self.sender.send_request(request).await?)
    }

    /// Sends a request with a JSON body (or none), and counts the bytes of the answer, which must be 2xx.
    pub(crate) async fn exchange(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<usize> {
        let response = self.send(method, path, "application/json", body).await?;
        let status = response.status();
        let mut body = response.into_body();
        let mut size = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame?;
            let chunk = frame.data_ref();
            ensure!(
                status.is_success(),
                "{path}: {status}: {}",
                String::from_utf8_lossy(chunk.map_or(&[][..], |chunk| chunk))
            );
            size += chunk.map_or(0, Bytes::len);
        }
        ensure!(status.is_success(), "{path}: {status}");
        Ok(size)
    }

    /// Watches what is at `path`, and counts events as they come.
    pub(crate) async fn count_events(mut self, path: &str) -> Result<Counted> {
        let response = self
            .send(Method::GET, path, "application/json", Bytes::new())
            .await?;
        ensure!(
            response.status().is_success(),
            "watching {path}: {}",
            response.status()
        );
        Ok(Counted {
            body: response.into_body(),
        })
    }
}

/// A watch whose events are only counted.
pub(crate) struct Counted {
    body: Incoming,
}

impl Counted {
    /// Waits for this many events.
    #[expect(
        clippy::naive_bytecount,
        reason = "a crate for this one line would be too much"
    )]
    pub(crate) async fn receive(&mut self, events: usize) -> Result<()> {
        let mut seen = 0;
        while seen < events {
            let frame = self.body.frame().await.context("the watch ended")??;
            if let Some(chunk) = frame.data_ref() {
                seen += chunk.iter().filter(|byte| **byte == b'\n').count();
            }
        }
        Ok(())
    }
}

/// A stream of watch events.
pub(crate) struct Watch {
    body: Incoming,
    buffer: BytesMut,
}

impl Watch {
    /// The object of the next event that `wanted` accepts.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&str, &Value) -> bool) -> Result<Value> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let event: Value = serde_json::from_slice(&self.buffer.split_to(end + 1))?;
                let kind = event["type"].as_str().unwrap_or_default();
                if wanted(kind, &event["object"]) {
                    return Ok(event["object"].clone());
                }
            }
            let frame = self.body.frame().await.context("the watch ended")??;
            if let Ok(chunk) = frame.into_data() {
                self.buffer.extend_from_slice(&chunk);
            }
        }
    }
}
