//! Servers for tests: in process, and on a TLS socket of the loopback with an authority of their own.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test file uses its own part of this"
)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use plinth_apiserver::{
    ApiServer, ApiServerConfig, AuditLog, ClientCertificates, Credentials, EncryptionKeys,
    NodeClientTls, ResponseBody, UserInfo,
};
use plinth_store::{Options, Store};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// An authority, and certificates from it.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pub pem: String,
}

/// A certificate and its key.
pub struct Identity {
    pub certificate: CertificateDer<'static>,
    pub key: PrivateKeyDer<'static>,
    pub certificate_pem: String,
    pub key_pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "test authority");
        let certificate = params.self_signed(&key).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Self {
            issuer: Issuer::new(params, key),
            certificate: der,
            pem,
        }
    }

    pub fn issue(&self, name: &str, group: Option<&str>) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params
            .subject_alt_names
            .push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        if let Some(group) = group {
            params
                .distinguished_name
                .push(DnType::OrganizationName, group);
        }
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            certificate: certificate.der().clone(),
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        }
    }

    fn roots(&self) -> Arc<rustls::RootCertStore> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        Arc::new(roots)
    }

    pub fn client_certificates(&self) -> ClientCertificates {
        ClientCertificates::new((*self.roots()).clone()).unwrap()
    }

    pub fn server_tls(&self) -> Arc<rustls::ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = self.client_certificates().verifier();
        let identity = self.issue("localhost", None);
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![identity.certificate], identity.key)
            .unwrap();
        Arc::new(config)
    }

    pub fn client_tls(&self, identity: Option<Identity>) -> Arc<rustls::ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots());
        Arc::new(match identity {
            Some(identity) => builder
                .with_client_auth_cert(vec![identity.certificate], identity.key)
                .unwrap(),
            None => builder.with_no_client_auth(),
        })
    }
}

/// A server in this process.
pub struct Server {
    pub api: ApiServer,
    pub store: Store,
    pub authority: Authority,
}

impl Server {
    /// Starts a server on the data in a directory.
    pub async fn start(dir: &Path) -> Self {
        Self::start_audited(dir, None).await
    }

    /// The same, with an audit log.
    pub async fn start_audited(dir: &Path, audit: Option<AuditLog>) -> Self {
        let authority = Authority::new();
        let store = Store::open(dir, &Options::default()).unwrap();
        let api = ApiServer::new(ApiServerConfig {
            store: store.clone(),
            service_cidr: "10.96.0.0/16".to_owned(),
            advertise: (IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 6443),
            node_client: NodeClientTls {
                config: authority.client_tls(None),
            },
            credentials: Credentials {
                certificates: authority.client_certificates(),
                ..Credentials::internal().unwrap()
            },
            audit,
            encryption: EncryptionKeys::default(),
        })
        .await
        .unwrap();
        Self {
            api,
            store,
            authority,
        }
    }

    /// A typed client in this process.
    pub fn client(&self) -> kube::Client {
        kube::Client::new(self.api.service(UserInfo::internal("test")), "default")
    }

    /// One request in this process: method, path, content type and body.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        media: &str,
        body: impl Into<Bytes>,
    ) -> Answer {
        self.request_with(
            Request::builder()
                .method(method)
                .uri(path)
                .header("content-type", media),
            body,
        )
        .await
    }

    pub async fn request_with(
        &self,
        request: http::request::Builder,
        body: impl Into<Bytes>,
    ) -> Answer {
        let request = request.body(Full::new(body.into())).unwrap();
        let response = self
            .api
            .service(UserInfo::internal("test"))
            .oneshot(request)
            .await
            .unwrap();
        Answer::read(response).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, "", "").await
    }

    pub async fn post(&self, path: &str, object: Value) -> Answer {
        self.request(Method::POST, path, "application/json", object.to_string())
            .await
    }

    pub async fn put(&self, path: &str, object: Value) -> Answer {
        self.request(Method::PUT, path, "application/json", object.to_string())
            .await
    }

    pub async fn merge(&self, path: &str, patch: Value) -> Answer {
        self.request(
            Method::PATCH,
            path,
            "application/merge-patch+json",
            patch.to_string(),
        )
        .await
    }

    pub async fn delete(&self, path: &str, options: Value) -> Answer {
        self.request(
            Method::DELETE,
            path,
            "application/json",
            options.to_string(),
        )
        .await
    }

    /// An open watch.
    pub async fn watch(&self, path: &str, accept: &str) -> Watch {
        let request = Request::get(path)
            .header("accept", accept)
            .body(Full::new(Bytes::new()))
            .unwrap();
        let response = self
            .api
            .service(UserInfo::internal("test"))
            .oneshot(request)
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        Watch {
            body: response.into_body(),
            buffer: Vec::new(),
        }
    }

    /// Serves on a free port of the loopback until the token is cancelled.
    pub async fn listen(&self) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let (api, tls, stop) = (
            self.api.clone(),
            self.authority.server_tls(),
            shutdown.clone(),
        );
        (
            address,
            shutdown,
            tokio::spawn(async move { api.serve(listener, tls, stop).await }),
        )
    }
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub headers: http::HeaderMap,
    pub bytes: Bytes,
}

impl Answer {
    async fn read(response: http::Response<ResponseBody>) -> Self {
        let (parts, body) = response.into_parts();
        Self {
            code: parts.status.as_u16(),
            headers: parts.headers,
            bytes: body.collect().await.unwrap().to_bytes(),
        }
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.bytes))
    }

    /// The message of a Status.
    pub fn message(&self) -> String {
        self.json()["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    pub fn revision(&self) -> u64 {
        self.json()["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    }

    /// The object, if the answer has the code.
    #[track_caller]
    pub fn expect(self, code: u16) -> Value {
        assert_eq!(self.code, code, "{}", String::from_utf8_lossy(&self.bytes));
        self.json()
    }
}

/// An open watch.
pub struct Watch {
    body: ResponseBody,
    buffer: Vec<u8>,
}

impl Watch {
    /// The next event, `None` at the end.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = self.body.frame().await?.unwrap();
            self.buffer.extend_from_slice(&frame.into_data().unwrap());
        }
    }

    /// Type, name and one label of the next events.
    pub async fn take(&mut self, count: usize) -> Vec<String> {
        let mut seen = Vec::new();
        for _ in 0..count {
            let event = self.next().await.expect("the watch goes on");
            let metadata = &event["object"]["metadata"];
            seen.push(format!(
                "{} {}",
                event["type"].as_str().unwrap(),
                metadata["name"].as_str().unwrap_or_default()
            ));
        }
        seen
    }
}
