//! Interactive requests to this node: running programs in containers, joining containers, reaching pods' ports. Each
//! turns its HTTP connection into WebSocket or SPDY and ends with it.

mod channels;
mod client;
mod forward;
#[cfg(fuzzing)]
pub mod fuzzing;
mod remote;
mod session;
mod spdy;
mod tunnel;
mod upgrade;
mod websocket;

use std::future::Future;
use std::net::{IpAddr, SocketAddr};

use futures::StreamExt as _;
use http::{Request, Response};
use hyper::body::Incoming as RequestBody;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use plinth_runtime::{ContainerId, ExecConfig, Runtime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use client::{Client, Outcome, Outgoing, QUEUE, Wanted};
pub(super) use forward::Pod as Forwarded;
use upgrade::Upgrade;
use websocket::Protocol;

/// Connections that have become streams.
#[derive(Clone, Default)]
pub(crate) struct Streams {
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

/// Whose streams a client is joined to.
#[derive(Clone)]
pub(super) enum Program {
    /// A new program in a running container.
    Exec {
        container: ContainerId,
        command: Vec<String>,
    },
    /// The container's own.
    Attach { container: ContainerId },
}

type Connection = TokioIo<Upgraded>;

/// Pairs of a query.
pub(super) type Pairs = [(String, String)];

impl Streams {
    /// Streams end with `shutdown`.
    pub(crate) fn new(shutdown: CancellationToken) -> Self {
        Self {
            tasks: TaskTracker::new(),
            shutdown,
        }
    }

    /// Waits until all have ended.
    pub(crate) async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Serves what the connection becomes once `answer` has been sent on it.
    fn upgrade<F>(
        &self,
        mut request: Request<RequestBody>,
        serve: impl FnOnce(Connection) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send,
    {
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(async move {
            let served = async {
                match hyper::upgrade::on(&mut request).await {
                    Ok(connection) => serve(TokioIo::new(connection)).await,
                    Err(error) => debug!(%error, "node API: an upgrade failed"),
                }
            };
            shutdown.run_until_cancelled(served).await;
        });
    }

    /// Joins the client to a program's streams. The error is a bad request's.
    pub(super) fn session<B: Default>(
        &self,
        request: Request<RequestBody>,
        pairs: &Pairs,
        runtime: Runtime,
        program: Program,
    ) -> Result<Response<B>, String> {
        let wanted = Wanted::parse(pairs)?;
        let headers = request.headers().clone();
        let upgrade = asked(&request)?;
        let offers = upgrade.offers(&headers);
        let serve = move |client| session(runtime, program, wanted, client);
        match upgrade {
            Upgrade::WebSocket => {
                let protocol = of_channels(&offers)?;
                let answer =
                    upgrade.accept(&headers, (!offers.is_empty()).then_some(protocol.name))?;
                self.upgrade(request, move |connection| {
                    over_websocket(connection, protocol, serve)
                });
                Ok(answer)
            }
            Upgrade::Spdy => {
                let offered = |name: &&&str| offers.iter().any(|offer| offer == **name);
                // Clients without the header speak the first version there was.
                let protocol = if offers.is_empty() {
                    remote::PROTOCOLS.last()
                } else {
                    remote::PROTOCOLS.iter().find(offered)
                };
                let protocol = *protocol.ok_or_else(|| unknown(&offers, remote::PROTOCOLS))?;
                let answer = upgrade.accept(&headers, Some(protocol))?;
                self.upgrade(request, move |connection| async move {
                    if let Err(error) = remote::run(connection, wanted, protocol, serve).await {
                        debug!(%error, "node API: a SPDY session ended early");
                    }
                });
                Ok(answer)
            }
            Upgrade::Tcp => Err(MISSING.to_owned()),
        }
    }

    /// Lets the client reach the pod's ports. The error is a bad request's.
    pub(super) fn forward<B: Default>(
        &self,
        request: Request<RequestBody>,
        pairs: &Pairs,
        pod: Forwarded,
    ) -> Result<Response<B>, String> {
        const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
        let headers = request.headers().clone();
        let upgrade = asked(&request)?;
        let offers = upgrade.offers(&headers);
        match upgrade {
            Upgrade::WebSocket if offers.iter().any(|offer| offer == TUNNEL) => {
                let answer = upgrade.accept(&headers, Some(TUNNEL))?;
                self.upgrade(request, move |connection| async move {
                    let socket = websocket::server(connection).await;
                    let (outer, inner) = tokio::io::duplex(client::PIECE);
                    let (carried, ()) =
                        tokio::join!(tunnel::carry(socket, outer), ports(inner, pod));
                    if let Err(error) = carried {
                        debug!(%error, "node API: a tunnel ended early");
                    }
                });
                Ok(answer)
            }
            Upgrade::WebSocket => {
                let ports = channels::ports(pairs)?;
                let protocol = of_channels(&offers)?;
                let answer =
                    upgrade.accept(&headers, (!offers.is_empty()).then_some(protocol.name))?;
                self.upgrade(request, move |connection| async move {
                    let socket = websocket::server(connection).await;
                    if let Err(error) = channels::run(socket, protocol, ports, &pod).await {
                        debug!(%error, "node API: forwarding of ports ended early");
                    }
                });
                Ok(answer)
            }
            Upgrade::Spdy => {
                if !offers.is_empty() && !offers.iter().any(|offer| offer == forward::PROTOCOL) {
                    return Err(unknown(&offers, &[forward::PROTOCOL]));
                }
                let answer = upgrade.accept(&headers, Some(forward::PROTOCOL))?;
                self.upgrade(request, move |connection| ports(connection, pod));
                Ok(answer)
            }
            Upgrade::Tcp => Err(MISSING.to_owned()),
        }
    }

    /// Hands the connection through to `address` as it is. The inner error is the pod's.
    pub(super) async fn connect<B: Default>(
        &self,
        request: Request<RequestBody>,
        address: (IpAddr, u16),
    ) -> Result<Response<B>, String> {
        let upgrade = asked(&request)?;
        if upgrade != Upgrade::Tcp {
            return Err(MISSING.to_owned());
        }
        let answer = upgrade.accept(request.headers(), None)?;
        let address = SocketAddr::from(address);
        let mut inside = TcpStream::connect(address)
            .await
            .map_err(|error| format!("dial tcp {address}: {}", dialling(&error)))?;
        inside
            .set_nodelay(true)
            .map_err(|error| error.to_string())?;
        self.upgrade(request, move |mut connection| async move {
            if let Err(error) = tokio::io::copy_bidirectional(&mut connection, &mut inside).await {
                debug!(%error, "node API: a connection to a pod ended early");
            }
        });
        Ok(answer)
    }
}

/// Forwards ports over SPDY until the client is gone.
async fn ports(connection: impl AsyncRead + AsyncWrite, pod: Forwarded) {
    if let Err(error) = forward::run(connection, pod).await {
        debug!(%error, "node API: forwarding of ports ended early");
    }
}

/// A failure to connect in the words of upstream.
fn dialling(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        std::io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        std::io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
        _ => error.to_string(),
    }
}

const MISSING: &str = "unable to upgrade: missing upgrade headers in request";

fn asked(request: &Request<RequestBody>) -> Result<Upgrade, String> {
    Upgrade::asked(request.headers()).ok_or_else(|| MISSING.to_owned())
}

fn unknown(offers: &[String], known: &[&str]) -> String {
    format!(
        "unable to upgrade: unable to negotiate protocol: client supports {offers:?}, server accepts {known:?}"
    )
}

/// The best protocol of channels that a client offers; clients that offer none speak the first there was.
fn of_channels(offers: &[String]) -> Result<Protocol, String> {
    let known = websocket::PROTOCOLS;
    if offers.is_empty() {
        return Ok(websocket::UNNAMED);
    }
    let best = known
        .iter()
        .find(|p| offers.iter().any(|offer| offer == p.name));
    best.copied().ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|protocol| protocol.name).collect();
        unknown(offers, &names)
    })
}

/// Serves one session over WebSocket.
async fn over_websocket<F: Future<Output = ()>>(
    connection: Connection,
    protocol: Protocol,
    serve: impl FnOnce(Client) -> F,
) {
    let (to, from) = websocket::server(connection).await.split();
    let (said, incoming) = mpsc::channel(QUEUE);
    let (outgoing, hears) = mpsc::channel(QUEUE);
    let reading = websocket::read(from, said, protocol);
    let talking = async {
        let client = Client { incoming, outgoing };
        tokio::join!(serve(client), websocket::write(to, hears, protocol)).1
    };
    tokio::pin!(reading);
    tokio::select! {
        () = &mut reading => {}
        told = talking => match told {
            // What we said last is lost if the connection is torn down before the client has read it.
            Ok(()) => drop(tokio::time::timeout(remote::LINGER, reading).await),
            Err(error) => debug!(%error, "node API: a WebSocket session ended early"),
        }
    }
}

/// A session from its beginning to its last word.
async fn session(runtime: Runtime, program: Program, wanted: Wanted, mut client: Client) {
    let begun = match &program {
        Program::Exec { container, command } => {
            let config = ExecConfig {
                command: command.clone(),
                tty: wanted.tty,
                streams: wanted.streams,
            };
            runtime.exec(container, config).await
        }
        Program::Attach { container } => runtime.attach(container, wanted.streams).await,
    };
    let outcome = match begun {
        Ok(session) => match session::join(session, &mut client).await {
            Some(ended) => program.outcome(ended),
            None => return,
        },
        Err(error) => program.outcome(Err(error.to_string())),
    };
    if client.outgoing.send(Outgoing::End(outcome)).await.is_err() {
        debug!("node API: a client left before it was told the end");
    }
}

impl Program {
    fn outcome(self, ended: Result<i32, String>) -> Outcome {
        match (self, ended) {
            (Self::Exec { command, .. }, Ok(code)) if code != 0 => {
                Outcome::ExitCode { code, command }
            }
            // The container's exit code is in its status.
            (_, Ok(_)) => Outcome::Success,
            (Self::Exec { .. }, Err(error)) => {
                Outcome::Failed(format!("error executing command in container: {error}"))
            }
            (Self::Attach { .. }, Err(error)) => {
                Outcome::Failed(format!("error attaching to container: {error}"))
            }
        }
    }
}
