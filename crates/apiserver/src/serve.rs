//! The API on a TLS socket: HTTP/1.1 and HTTP/2, client certificates, an orderly end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::server::{ApiServer, Caller, Core};

/// A client that has not shaken hands by then is let go.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// A client that has not sent its headers by then is let go.
const HEADERS: Duration = Duration::from_secs(30);
/// An HTTP/2 client that is silent this long is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(30);
/// A client that is silent this long is asked by its network whether it is still there, up to nine times.
const SILENCE: Duration = Duration::from_secs(15);
/// Requests under way when the server stops have this long to end.
const GRACE: Duration = Duration::from_secs(5);
/// After a failed accept, as with too many open files, the next is tried after this.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl ApiServer {
    /// Serves until `shutdown` is cancelled, then ends watches, lets other requests end and returns. Client
    /// certificates are whatever `tls` verifies; who shows none may show a token, or is anonymous.
    pub async fn serve(
        &self,
        listener: TcpListener,
        tls: Arc<rustls::ServerConfig>,
        shutdown: CancellationToken,
    ) {
        let tls = TlsAcceptor::from(with_protocols(tls));
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(ended) = connections.join_next(), if !connections.is_empty() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a connection's task failed");
                    }
                }
                accepted = listener.accept() => match accepted {
                    Ok((socket, peer)) => {
                        tracing::trace!(%peer, "connection");
                        connections.spawn(connection(self.core.clone(), tls.clone(), (socket, peer), graceful.watcher()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        self.stop();
        if tokio::time::timeout(GRACE, graceful.shutdown())
            .await
            .is_err()
        {
            tracing::warn!("some requests did not end in time and are cut");
        }
        connections.shutdown().await;
        self.core.upgraded.close();
        self.core.upgraded.wait().await;
    }
}

/// The configuration with the protocols this server speaks.
fn with_protocols(tls: Arc<rustls::ServerConfig>) -> Arc<rustls::ServerConfig> {
    if !tls.alpn_protocols.is_empty() {
        return tls;
    }
    let mut own = (*tls).clone();
    own.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(own)
}

/// A client that vanished without a word is noticed, even on a connection that is a stream by now; as Go does.
fn ask_whether_alive(socket: &TcpStream) -> rustix::io::Result<()> {
    use rustix::net::sockopt;
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, SILENCE)?;
    sockopt::set_tcp_keepintvl(socket, SILENCE)?;
    sockopt::set_tcp_keepcnt(socket, 9)
}

async fn connection(
    core: Arc<Core>,
    tls: TlsAcceptor,
    (socket, peer): (TcpStream, SocketAddr),
    watcher: Watcher,
) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "a socket cannot be set to send at once");
    }
    if let Err(error) = ask_whether_alive(&socket) {
        tracing::debug!(%error, "a socket cannot be set to notice a lost client");
    }
    let stream = match tokio::time::timeout(HANDSHAKE, tls.accept(socket)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => return tracing::debug!("a TLS handshake took too long"),
    };
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let caller = Caller::Remote {
        shown: core.authenticator.shown(chain),
        peer: peer.ip(),
    };
    let service = service_fn(move |request| {
        let (core, caller) = (core.clone(), caller.clone());
        async move { Ok::<_, Infallible>(core.handle(&caller, request).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .max_concurrent_streams(1000);
    let serving = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(serving).await {
        tracing::debug!(%error, "a connection ended with an error");
    }
}
