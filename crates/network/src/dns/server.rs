//! The sockets of the DNS server and the way of one question: own zone or forward.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use hickory_proto::op::{Metadata, ResponseCode};
use hickory_proto::rr::{Record, RecordType};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::{Time, TokioRuntimeProvider};
use hickory_resolver::net::{DnsError as LookupError, NetError};
use hickory_server::Server;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::sync::CancellationToken;

use super::zone::{Answer, ServiceRecords, Zone};

/// How long a TCP client may take for a question.
const TCP_TIMEOUT: Duration = Duration::from_secs(5);
/// Answers a TCP client may leave unread before it is cut.
const TCP_BACKLOG: usize = 32;

/// Why the DNS server did not start.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// The zone's name is no DNS name.
    #[error("cluster domain {0:?} is not a DNS name")]
    Domain(String),
    /// A socket could not be opened.
    #[error("listening for DNS on {address}: {source}")]
    Listen {
        /// The address and port.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// The forwarder could not be made.
    #[error("setting up the forwarder to {upstreams:?}: {reason}")]
    Forwarder {
        /// The host's resolvers.
        upstreams: Vec<IpAddr>,
        /// What the resolver library said.
        reason: String,
    },
}

/// A running DNS server. Clones share it; changes take effect for the next question.
#[derive(Clone, Debug)]
pub struct DnsServer {
    zone: Arc<RwLock<Zone>>,
}

impl DnsServer {
    /// Listens on UDP and TCP on every address of `listen` and answers for `domain` until `shutdown`.
    /// Other names are asked of `upstreams`; without any they are answered with SERVFAIL (rule N-30).
    pub async fn start(
        listen: &[SocketAddr],
        domain: &str,
        upstreams: Vec<IpAddr>,
        shutdown: CancellationToken,
    ) -> Result<Self, DnsError> {
        let zone = Zone::new(domain).map_err(|_| DnsError::Domain(domain.to_owned()))?;
        let zone = Arc::new(RwLock::new(zone));
        let handler = Handler {
            zone: Arc::clone(&zone),
            forwarder: forwarder(upstreams)?,
            rotation: AtomicUsize::new(0),
        };
        let mut server = Server::new(handler);
        for address in listen {
            let failed = |source| DnsError::Listen {
                address: *address,
                source,
            };
            server.register_socket(UdpSocket::bind(address).await.map_err(failed)?);
            server.register_listener(
                TcpListener::bind(address).await.map_err(failed)?,
                TCP_TIMEOUT,
                TCP_BACKLOG,
            );
        }
        tokio::spawn(async move {
            shutdown.cancelled().await;
            if let Err(error) = server.shutdown_gracefully().await {
                tracing::warn!(%error, "DNS server did not stop cleanly");
            }
        });
        Ok(Self { zone })
    }

    /// Puts `service` in place of whatever was known under its name.
    pub fn set_service(&self, service: ServiceRecords) {
        self.zone
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .set_service(service);
    }

    /// Forgets a service.
    pub fn remove_service(&self, namespace: &str, name: &str) {
        self.zone
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove_service(namespace, name);
    }

    /// Tells which namespaces exist: names below others are refused.
    pub fn set_namespaces(&self, namespaces: BTreeSet<String>) {
        self.zone
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .set_namespaces(namespaces);
    }
}

fn forwarder(upstreams: Vec<IpAddr>) -> Result<Option<TokioResolver>, DnsError> {
    if upstreams.is_empty() {
        return Ok(None);
    }
    let servers = upstreams
        .iter()
        .copied()
        .map(NameServerConfig::udp_and_tcp)
        .collect();
    let config = ResolverConfig::from_name_servers(servers);
    TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        .build()
        .map(Some)
        .map_err(|error| DnsError::Forwarder {
            upstreams,
            reason: error.to_string(),
        })
}

struct Handler {
    zone: Arc<RwLock<Zone>>,
    forwarder: Option<TokioResolver>,
    /// Turns the order of answers, so that clients that take the first one spread over the members.
    rotation: AtomicUsize,
}

/// A reply before it is put on the wire.
struct Reply {
    code: ResponseCode,
    authoritative: bool,
    answers: Vec<Record>,
    soa: Option<Record>,
    additional: Vec<Record>,
}

impl Reply {
    fn code(code: ResponseCode) -> Self {
        Self {
            code,
            authoritative: false,
            answers: Vec::new(),
            soa: None,
            additional: Vec::new(),
        }
    }
}

impl Handler {
    async fn reply(&self, request: &Request) -> Reply {
        let Ok(info) = request.request_info() else {
            return Reply::code(ResponseCode::FormErr);
        };
        let (name, kind) = (info.query.original().name(), info.query.query_type());
        let answer = {
            let zone = self.zone.read().unwrap_or_else(PoisonError::into_inner);
            zone.owns(name)
                .then(|| (zone.answer(name, kind), zone.soa()))
        };
        let Some((answer, soa)) = answer else {
            return self.forward(name.to_string(), kind).await;
        };
        let refusal = |code| Reply {
            authoritative: true,
            soa: Some(soa.clone()),
            ..Reply::code(code)
        };
        match answer {
            Answer::NoName => refusal(ResponseCode::NXDomain),
            Answer::NoData => refusal(ResponseCode::NoError),
            Answer::Records {
                mut answers,
                additional,
            } => {
                let turn = self.rotation.fetch_add(1, Ordering::Relaxed) % answers.len().max(1);
                answers.rotate_left(turn);
                Reply {
                    authoritative: true,
                    answers,
                    additional,
                    ..Reply::code(ResponseCode::NoError)
                }
            }
            Answer::Alias(alias) => {
                let target = alias.data.to_string();
                let mut reply = match kind {
                    RecordType::CNAME => Reply::code(ResponseCode::NoError),
                    _ => self.forward(target, kind).await,
                };
                reply.answers.insert(0, *alias);
                reply
            }
        }
    }

    async fn forward(&self, name: String, kind: RecordType) -> Reply {
        let Some(forwarder) = &self.forwarder else {
            return Reply::code(ResponseCode::ServFail);
        };
        match forwarder.lookup(name, kind).await {
            Ok(found) => Reply {
                answers: found.answers().to_vec(),
                ..Reply::code(ResponseCode::NoError)
            },
            Err(NetError::Dns(LookupError::NoRecordsFound(none))) => Reply {
                soa: none.soa.map(|soa| soa.into_record_of_rdata()),
                ..Reply::code(none.response_code)
            },
            Err(error) => {
                tracing::debug!(%error, "forwarding a DNS question failed");
                Reply::code(ResponseCode::ServFail)
            }
        }
    }
}

#[async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut handle: R,
    ) -> ResponseInfo {
        let reply = self.reply(request).await;
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = reply.code;
        metadata.authoritative = reply.authoritative;
        metadata.recursion_available = self.forwarder.is_some();
        let response = MessageResponseBuilder::from_message_request(request).build(
            metadata,
            &reply.answers,
            [],
            &reply.soa,
            &reply.additional,
        );
        match handle.send_response(response).await {
            Ok(info) => info,
            Err(error) => {
                tracing::debug!(%error, "sending a DNS answer failed");
                metadata.response_code = ResponseCode::ServFail;
                hickory_proto::op::Header {
                    metadata,
                    counts: hickory_proto::op::HeaderCounts::default(),
                }
                .into()
            }
        }
    }
}
