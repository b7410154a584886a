//! Connections into a pod over SPDY (`portforward.k8s.io`): for each a stream of data and one for its error, paired by
//! the header `requestid`.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use plinth_runtime::{Runtime, SandboxId};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::client::{PIECE, QUEUE};
use super::spdy::{Frame, Reader, Reply, write};

/// The protocol's name in `X-Stream-Protocol-Version`, and after `SPDY/3.1+` as that of a WebSocket.
pub(super) const PROTOCOL: &str = "portforward.k8s.io";
/// More connections at once through one client are refused.
const MAX_PAIRS: usize = 1024;
/// A connection that is not accepted in this time is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where connections go.
#[derive(Clone)]
pub(in super::super) struct Pod {
    pub(in super::super) runtime: Runtime,
    pub(in super::super) sandbox: SandboxId,
    pub(in super::super) uid: String,
}

impl Pod {
    /// Connects to a port inside; the error is what upstream tells a user.
    pub(super) async fn connect(&self, port: u16) -> Result<TcpStream, String> {
        let connecting = self.runtime.connect(&self.sandbox, port);
        let failed = match tokio::time::timeout(PATIENCE, connecting).await {
            Ok(Ok(stream)) => {
                // Pieces are what the client sends at once.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => match std::error::Error::source(&error) {
                Some(why) if why.to_string().contains("refused") => {
                    format!("dial tcp4 127.0.0.1:{port}: connect: connection refused")
                }
                _ => error.to_string(),
            },
            Err(_) => format!("dial tcp4 127.0.0.1:{port}: i/o timeout"),
        };
        Err(format!(
            "error forwarding port {port} to pod {}, uid {}: failed to connect to localhost:{port} inside the pod's network: {failed}",
            self.sandbox, self.uid
        ))
    }
}

/// One connection in the making: what of its pair has been opened.
#[derive(Default)]
struct Half {
    error: Option<u32>,
    data: Option<(u32, mpsc::Receiver<Bytes>)>,
}

/// Serves a client until it is gone.
pub(super) async fn run<S: AsyncRead + AsyncWrite>(connection: S, pod: Pod) -> io::Result<()> {
    let (from, to) = tokio::io::split(connection);
    let (replies, queue) = mpsc::channel(QUEUE);
    let reading = Forwarder {
        pod,
        replies,
        halves: HashMap::new(),
        writers: HashMap::new(),
        connections: JoinSet::new(),
    }
    .read(Reader::new(from));
    tokio::select! {
        ended = reading => ended,
        failed = write(to, queue) => failed,
    }
}

struct Forwarder {
    pod: Pod,
    replies: mpsc::Sender<Reply>,
    halves: HashMap<String, Half>,
    /// Where a stream's data goes; its removal is the end of that direction.
    writers: HashMap<u32, mpsc::Sender<Bytes>>,
    connections: JoinSet<u32>,
}

impl Forwarder {
    async fn read<R: AsyncRead + Unpin>(mut self, mut reader: Reader<R>) -> io::Result<()> {
        while let Some(frame) = reader.next().await? {
            while let Some(ended) = self.connections.try_join_next() {
                if let Ok(stream) = ended {
                    self.writers.remove(&stream);
                }
            }
            match frame {
                Frame::Open {
                    stream, headers, ..
                } => self.open(stream, &headers).await,
                Frame::Data { stream, bytes, fin } => {
                    if let Some(writer) = self.writers.get(&stream)
                        && !bytes.is_empty()
                        && writer.send(bytes).await.is_err()
                    {
                        self.writers.remove(&stream);
                    }
                    if fin {
                        self.writers.remove(&stream);
                    }
                }
                Frame::Reset { stream } => drop(self.writers.remove(&stream)),
                // The writer ends only when the connection has.
                Frame::Ping(id) => drop(self.replies.send(Reply::Pong(id)).await),
                Frame::GoAway => {}
            }
        }
        Ok(())
    }

    async fn open(&mut self, stream: u32, headers: &[(String, String)]) {
        let header = |name: &str| {
            let found = headers.iter().find(|(n, _)| n == name);
            found.map(|(_, value)| value.as_str()).unwrap_or_default()
        };
        let port = header("port").parse::<u16>().ok().filter(|port| *port > 0);
        // Clients of old had one connection at a time and no number for it.
        let request = header("requestid").to_owned();
        let kind = header("streamtype");
        let room = self.connections.len() + self.halves.len() < MAX_PAIRS;
        let (Some(port), true, "error" | "data") = (port, room, kind) else {
            let _ = self.replies.send(Reply::Refuse(stream)).await;
            return;
        };
        let half = self.halves.entry(request.clone()).or_default();
        if kind == "error" {
            half.error = Some(stream);
        } else {
            let (writer, data) = mpsc::channel(QUEUE);
            self.writers.insert(stream, writer);
            half.data = Some((stream, data));
        }
        let _ = self.replies.send(Reply::Accept(stream)).await;
        if let Half {
            error: Some(error),
            data: Some(_),
        } = half
            && let error = *error
            && let Some(Half {
                data: Some((stream, data)),
                ..
            }) = self.halves.remove(&request)
        {
            let (pod, replies) = (self.pod.clone(), self.replies.clone());
            self.connections.spawn(async move {
                forward(&pod, port, stream, error, data, &replies).await;
                stream
            });
        }
    }
}

/// One connection from its beginning to its end.
async fn forward(
    pod: &Pod,
    port: u16,
    stream: u32,
    error: u32,
    data: mpsc::Receiver<Bytes>,
    replies: &mpsc::Sender<Reply>,
) {
    let piece = |stream: u32, bytes: Bytes, fin: bool| Reply::Data { stream, bytes, fin };
    let mut last = vec![piece(error, Bytes::new(), true)];
    match pod.connect(port).await {
        Ok(inside) => {
            copy(inside, data, replies, |bytes, fin| {
                Some(piece(stream, bytes, fin))
            })
            .await;
        }
        Err(why) => {
            tracing::debug!(port, %why, "a port is not forwarded");
            last.insert(0, piece(stream, Bytes::new(), true));
            last.insert(0, piece(error, why.into(), false));
        }
    }
    for reply in last {
        // The writer ends only when the connection has.
        let _ = replies.send(reply).await;
    }
}

/// Carries a connection's bytes until both directions have ended.
async fn copy<M>(
    inside: TcpStream,
    data: mpsc::Receiver<Bytes>,
    to: &mpsc::Sender<M>,
    wrap: impl Fn(Bytes, bool) -> Option<M>,
) {
    let (read, write) = inside.into_split();
    tokio::join!(inwards(write, data), outwards(read, to, wrap));
}

/// Carries what the client sends until it has ended, or the pod takes no more.
pub(super) async fn inwards(mut write: OwnedWriteHalf, mut data: mpsc::Receiver<Bytes>) {
    while let Some(bytes) = data.recv().await {
        if let Err(error) = write.write_all(&bytes).await {
            // What the pod still has to say is said all the same.
            tracing::debug!(%error, "a pod does not take more of a forwarded connection");
            return;
        }
    }
    // Gone already: what we want.
    let _ = write.shutdown().await;
}

/// Carries what the pod says until it has ended, as `wrap` makes it, the last piece marked as such.
pub(super) async fn outwards<M>(
    mut read: OwnedReadHalf,
    to: &mpsc::Sender<M>,
    wrap: impl Fn(Bytes, bool) -> Option<M>,
) {
    let mut piece = vec![0; PIECE];
    loop {
        // A connection that was reset has ended too.
        let count = read.read(&mut piece).await.unwrap_or(0);
        let bytes = Bytes::copy_from_slice(&piece[..count]);
        if let Some(message) = wrap(bytes, count == 0)
            && to.send(message).await.is_err()
        {
            return;
        }
        if count == 0 {
            return;
        }
    }
}
