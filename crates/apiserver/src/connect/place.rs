//! Where a proxied request goes: names with schemes and ports looked up among pods, services and nodes.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use plinth_api::Status;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::read::live;
use crate::route::ResourcePath;
use crate::server::Core;

/// Whoever does not take a connection in this time is unreachable.
const PATIENCE: Duration = Duration::from_secs(30);
const ERROR_TEXT: usize = 4 << 10;

/// A connection to wherever.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Stream for T {}
pub(crate) type Connection = Pin<Box<dyn Stream>>;

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The node's own API.
    Node { name: String },
    /// A pod, which is reached through its node.
    Pod {
        namespace: String,
        name: String,
        node: String,
        ip: IpAddr,
        port: u16,
        tls: bool,
    },
    /// An address that this server reaches itself.
    Address { ip: IpAddr, port: u16, tls: bool },
}

/// `[scheme:]name[:port]`.
#[derive(Debug, PartialEq, Eq)]
struct Named<'a> {
    tls: bool,
    name: &'a str,
    port: &'a str,
}

impl<'a> Named<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let (scheme, name, port) = match parts.as_slice() {
            [name] => ("", *name, ""),
            [name, port] => ("", *name, *port),
            [scheme, name, port] => (*scheme, *name, *port),
            _ => return None,
        };
        let known = matches!(scheme, "" | "http" | "https") && !name.is_empty();
        known.then_some(Self {
            tls: scheme == "https",
            name,
            port,
        })
    }

    fn default_port(&self) -> u16 {
        if self.tls { 443 } else { 80 }
    }
}

/// Addresses that lead back into this host are none of a client's business.
fn allowed(text: Option<&str>) -> Result<IpAddr, Status> {
    let refused = || Status::bad_request("address not allowed");
    let ip: IpAddr = text.and_then(|t| t.parse().ok()).ok_or_else(refused)?;
    let local = match ip {
        IpAddr::V4(ip) => {
            ip.is_loopback()
                || ip.is_link_local()
                || ip.is_multicast()
                || ip.is_unspecified()
                || ip.is_broadcast()
        }
        IpAddr::V6(ip) => {
            ip.is_loopback()
                || ip.is_unicast_link_local()
                || ip.is_multicast()
                || ip.is_unspecified()
        }
    };
    if local { Err(refused()) } else { Ok(ip) }
}

impl Place {
    /// For the `Host` header.
    pub(super) fn host(&self) -> String {
        match self {
            Self::Node { name } => name.clone(),
            Self::Pod { ip, port, .. } | Self::Address { ip, port, .. } => {
                std::net::SocketAddr::from((*ip, *port)).to_string()
            }
        }
    }
}

impl Core {
    /// Where the proxy of this object leads.
    pub(super) fn place(&self, path: &ResourcePath) -> Result<Place, Status> {
        let (namespace, id) = (path.in_namespace(), path.object());
        let singular = path.kind.resource.singular;
        let named = Named::parse(id)
            .ok_or_else(|| Status::bad_request(format!("invalid {singular} request {id:?}")))?;
        match path.kind.resource.plural {
            "pods" => {
                let pod = self.object("pods", namespace, named.name)?;
                pod_place(&pod, &named)
            }
            "services" => self.service_place(namespace, id, &named),
            _ => self.node_place(&named),
        }
    }

    fn object(&self, plural: &str, namespace: &str, name: &str) -> Result<Value, Status> {
        let kind = self.kinds.core(plural);
        let kind = kind.ok_or_else(|| Status::internal(format!("{plural} are not served")))?;
        let object = live(&kind, namespace, name)?;
        serde_json::from_slice(&object.bytes).map_err(Status::internal)
    }

    fn node_place(&self, named: &Named<'_>) -> Result<Place, Status> {
        let node = self.object("nodes", "", named.name)?;
        let own = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].as_u64();
        let own = own.unwrap_or(10250).to_string();
        if named.port.is_empty() || named.port == own {
            return Ok(Place::Node {
                name: named.name.to_owned(),
            });
        }
        let addresses = node["status"]["addresses"].as_array().into_iter().flatten();
        let mut internal = addresses.filter(|address| address["type"] == "InternalIP");
        let port = named.port.parse();
        Ok(Place::Address {
            ip: allowed(internal.next().and_then(|a| a["address"].as_str()))?,
            port: port.map_err(|_| {
                Status::bad_request(format!("invalid node request {:?}", named.port))
            })?,
            tls: named.tls,
        })
    }

    fn service_place(&self, namespace: &str, id: &str, named: &Named<'_>) -> Result<Place, Status> {
        let name = named.name;
        let mut port_name = named.port.to_owned();
        if let Ok(number) = named.port.parse::<u64>() {
            let service = self.object("services", namespace, name)?;
            let ports = service["spec"]["ports"].as_array().into_iter().flatten();
            let found = ports.into_iter().find(|port| port["port"] == number);
            let missing = || {
                Status::service_unavailable(format!(
                    "no service port {number} found for service {name:?}"
                ))
            };
            let found = found.ok_or_else(missing)?;
            found["name"]
                .as_str()
                .unwrap_or_default()
                .clone_into(&mut port_name);
        }
        let endpoints = self.object("endpoints", namespace, name)?;
        let none = |what: &str| {
            Status::service_unavailable(format!("no endpoints available for service {what:?}"))
        };
        let subsets = endpoints["subsets"].as_array().filter(|s| !s.is_empty());
        let subsets = subsets.ok_or_else(|| none(name))?;
        let candidates: Vec<(&Value, u16)> = subsets
            .iter()
            .flat_map(|subset| {
                let ports = subset["ports"].as_array().into_iter().flatten();
                let mut ports =
                    ports.filter(|p| p["name"].as_str().unwrap_or_default() == port_name);
                let port = ports.next().and_then(|p| p["port"].as_u64());
                let port = port.and_then(|port| u16::try_from(port).ok());
                let addresses = subset["addresses"].as_array().into_iter().flatten();
                addresses.filter_map(move |address| Some((address, port?)))
            })
            .collect();
        if candidates.is_empty() {
            return Err(none(id));
        }
        let (address, port) = candidates[rand::random_range(0..candidates.len())];
        let ip = allowed(address["ip"].as_str())?;
        let target = &address["targetRef"];
        let pod = (target["kind"] == "Pod")
            .then(|| target["name"].as_str())
            .flatten()
            .and_then(|pod| self.object("pods", namespace, pod).ok());
        let on = pod
            .as_ref()
            .and_then(|pod| pod["spec"]["nodeName"].as_str());
        Ok(match (target["name"].as_str(), on) {
            (Some(pod), Some(node)) => Place::Pod {
                namespace: namespace.to_owned(),
                name: pod.to_owned(),
                node: node.to_owned(),
                ip,
                port,
                tls: named.tls,
            },
            _ => Place::Address {
                ip,
                port,
                tls: named.tls,
            },
        })
    }

    /// Connects to a place; the error is for a person.
    pub(super) async fn dial(&self, place: &Place) -> Result<Connection, String> {
        let (connection, ip, tls) = match place {
            Place::Node { .. } => return Err("a node is dialled by its name".to_owned()),
            Place::Address { ip, port, tls } => {
                let address = std::net::SocketAddr::from((*ip, *port));
                let connecting = TcpStream::connect(address);
                let stream = tokio::time::timeout(PATIENCE, connecting).await;
                let stream = stream
                    .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
                    .map_err(|error| format!("dial tcp {address}: {error}"))?;
                (Box::pin(stream) as Connection, ip, tls)
            }
            Place::Pod {
                namespace,
                name,
                node,
                ip,
                port,
                tls,
            } => {
                let path = format!("/connect/{namespace}/{name}/{port}");
                let through = self.through_node(node, &path);
                let stream = tokio::time::timeout(PATIENCE, through).await;
                (
                    stream.unwrap_or_else(|_| Err("i/o timeout".to_owned()))?,
                    ip,
                    tls,
                )
            }
        };
        if !tls {
            return Ok(connection);
        }
        let connector = tokio_rustls::TlsConnector::from(unverified()?);
        let stream = connector.connect(ServerName::IpAddress((*ip).into()), connection);
        Ok(Box::pin(stream.await.map_err(|error| error.to_string())?))
    }

    /// A plain connection to one of a node's pods.
    async fn through_node(&self, node: &str, path: &str) -> Result<Connection, String> {
        let (host, connection) = self
            .dial_node(node)
            .await
            .map_err(|status| status.message)?;
        let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(connection))
            .await
            .map_err(|error| error.to_string())?;
        let request = Request::get(path)
            .header(header::HOST, host)
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "tcp")
            .body(Empty::<bytes::Bytes>::new())
            .map_err(|error| error.to_string())?;
        // Ends with the upgrade, or with the sender.
        let driving = tokio::spawn(driver.with_upgrades());
        let response = sender
            .send_request(request)
            .await
            .map_err(|e| e.to_string())?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let body = Limited::new(response.into_body(), ERROR_TEXT)
                .collect()
                .await;
            let text = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned());
            driving.abort();
            return Err(text.unwrap_or_else(|error| error.to_string()));
        }
        let upgraded = hyper::upgrade::on(response)
            .await
            .map_err(|e| e.to_string())?;
        Ok(Box::pin(TokioIo::new(upgraded)))
    }
}

fn pod_place(pod: &Value, named: &Named<'_>) -> Result<Place, Status> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let port = if named.port.is_empty() {
        let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
        let mut first = containers.filter_map(|c| c["ports"][0]["containerPort"].as_u64());
        let first = first.next().and_then(|port| u16::try_from(port).ok());
        first.unwrap_or_else(|| named.default_port())
    } else {
        let port = named.port.parse().ok().filter(|port| *port > 0);
        port.ok_or_else(|| {
            Status::bad_request(format!("invalid pod request: port {:?}", named.port))
        })?
    };
    Ok(Place::Pod {
        namespace: text(&pod["metadata"]["namespace"]),
        name: text(&pod["metadata"]["name"]),
        node: text(&pod["spec"]["nodeName"]),
        ip: allowed(pod["status"]["podIP"].as_str())?,
        port,
        tls: named.tls,
    })
}

/// Trusts anybody: pods have certificates of their own making, and upstream asks for no better.
fn unverified() -> Result<Arc<ClientConfig>, String> {
    #[derive(Debug)]
    struct Anybody(Arc<rustls::crypto::CryptoProvider>);

    impl ServerCertVerifier for Anybody {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, rustls::Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_have_schemes_and_ports() {
        let of = |text| Named::parse(text).map(|n| (n.tls, n.name.to_owned(), n.port.to_owned()));
        let is = |tls, name: &str, port: &str| Some((tls, name.to_owned(), port.to_owned()));
        assert_eq!(of("web-0"), is(false, "web-0", ""));
        assert_eq!(of("web-0:8080"), is(false, "web-0", "8080"));
        assert_eq!(of("https:web:"), is(true, "web", ""));
        assert_eq!(of("http:web:admin"), is(false, "web", "admin"));
        assert_eq!(of("ftp:web:21"), None);
        assert_eq!(of("a:b:c:d"), None);
    }

    #[test]
    fn a_pods_first_port_is_meant_and_no_address_of_this_host() {
        let pod = |ip: &str| {
            json!({"metadata": {"namespace": "a", "name": "p"}, "status": {"podIP": ip},
                "spec": {"nodeName": "n", "containers": [{}, {"ports": [{"containerPort": 8080}]}]}})
        };
        let place = |text: &str, ip: &str| {
            pod_place(&pod(ip), &Named::parse(text).expect("a name")).map(|place| place.host())
        };
        assert_eq!(place("p", "10.0.0.5").expect("place"), "10.0.0.5:8080");
        assert_eq!(place("p:81", "10.0.0.5").expect("place"), "10.0.0.5:81");
        assert_eq!(
            place("https:p:443", "fd00::5").expect("place"),
            "[fd00::5]:443"
        );
        for ip in ["127.0.0.1", "169.254.1.1", "", "::1"] {
            assert_eq!(
                place("p", ip).unwrap_err().message,
                "address not allowed",
                "{ip}"
            );
        }
    }
}
