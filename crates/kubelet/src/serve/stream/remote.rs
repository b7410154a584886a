//! Sessions over SPDY: a stream each for errors, the three standard streams and the terminal's size, named by the header
//! `streamtype`.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};

use super::client::{Client, Incoming, Outgoing, QUEUE, Wanted, take_sizes};
use super::spdy::{Frame, Reader, Reply, write};

/// A client opens its streams in this time or is let go.
const STREAMS: Duration = Duration::from_secs(30);
/// After the last word a client closes the connection in this time or is cut off.
pub(super) const LINGER: Duration = Duration::from_secs(5);
/// A terminal's size has fewer bytes.
const MAX_SIZE: usize = 4096;

/// What the client can read, by `X-Stream-Protocol-Version`, best first.
pub(super) const PROTOCOLS: &[&str] = &[
    "v4.channel.k8s.io",
    "v3.channel.k8s.io",
    "v2.channel.k8s.io",
    "channel.k8s.io",
];

/// The streams of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Error,
    Stdin,
    Stdout,
    Stderr,
    Resize,
}

impl Kind {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "error" => Self::Error,
            "stdin" => Self::Stdin,
            "stdout" => Self::Stdout,
            "stderr" => Self::Stderr,
            "resize" => Self::Resize,
            _ => return None,
        })
    }
}

/// The streams that clients of a protocol open.
fn expected(wanted: Wanted, protocol: &str) -> Vec<Kind> {
    let streams = wanted.streams;
    let resizes = wanted.tty && matches!(protocol, "v4.channel.k8s.io" | "v3.channel.k8s.io");
    let all = [
        (true, Kind::Error),
        (streams.stdin, Kind::Stdin),
        (streams.stdout, Kind::Stdout),
        (streams.stderr, Kind::Stderr),
        (resizes, Kind::Resize),
    ];
    all.into_iter()
        .filter(|(is, _)| *is)
        .map(|(_, kind)| kind)
        .collect()
}

/// Serves one session: once the client has opened its streams, `serve` is its other side.
pub(super) async fn run<S, F>(
    connection: S,
    wanted: Wanted,
    protocol: &'static str,
    serve: impl FnOnce(Client) -> F,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite,
    F: Future<Output = ()>,
{
    let (from, to) = tokio::io::split(connection);
    let (replies, queue) = mpsc::channel(QUEUE);
    let (said, incoming) = mpsc::channel(QUEUE);
    let (opened, complete) = oneshot::channel();
    let streams = Streams {
        reader: Reader::new(from),
        replies: replies.clone(),
        kinds: HashMap::new(),
        expected: expected(wanted, protocol),
        opened: Some(opened),
        sizes: Vec::new(),
    };
    let reading = streams.read(said);
    let serving = async {
        let Ok(Ok(streams)) = tokio::time::timeout(STREAMS, complete).await else {
            let _ = replies.send(Reply::End).await;
            return;
        };
        let (outgoing, hears) = mpsc::channel(QUEUE);
        let telling = tell(streams, hears, replies, protocol == PROTOCOLS[0]);
        tokio::join!(serve(Client { incoming, outgoing }), telling);
    };
    let writing = write(to, queue);
    tokio::pin!(reading);
    let talking = async { tokio::join!(serving, writing).1 };
    tokio::select! {
        gone = &mut reading => gone,
        told = talking => {
            told?;
            // What we said last is lost if the connection is torn down before the client has read it.
            tokio::time::timeout(LINGER, reading).await.unwrap_or(Ok(()))
        }
    }
}

struct Streams<R> {
    reader: Reader<R>,
    replies: mpsc::Sender<Reply>,
    kinds: HashMap<u32, Kind>,
    expected: Vec<Kind>,
    opened: Option<oneshot::Sender<HashMap<u32, Kind>>>,
    sizes: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Streams<R> {
    /// Hands on what the client says until it is gone.
    async fn read(mut self, said: mpsc::Sender<Incoming>) -> io::Result<()> {
        while let Some(frame) = self.reader.next().await? {
            let (kind, bytes, fin) = match frame {
                Frame::Open {
                    stream,
                    headers,
                    fin,
                } => {
                    let name = headers.iter().find(|(name, _)| name == "streamtype");
                    let kind = name.and_then(|(_, value)| Kind::parse(value));
                    self.open(stream, kind).await;
                    let Some(kind) = kind else { continue };
                    (kind, Bytes::new(), fin)
                }
                Frame::Data { stream, bytes, fin } => match self.kinds.get(&stream) {
                    Some(kind) => (*kind, bytes, fin),
                    None => continue,
                },
                Frame::Reset { stream } => match self.kinds.get(&stream) {
                    Some(kind) => (*kind, Bytes::new(), true),
                    None => continue,
                },
                Frame::Ping(id) => {
                    // Nobody hears it once the session is over.
                    let _ = self.replies.send(Reply::Pong(id)).await;
                    continue;
                }
                Frame::GoAway => continue,
            };
            let mut all = Vec::new();
            match kind {
                Kind::Stdin if !bytes.is_empty() => all.push(Incoming::Stdin(bytes)),
                Kind::Resize if self.sizes.len() + bytes.len() <= MAX_SIZE => {
                    self.sizes.extend_from_slice(&bytes);
                    all.extend(take_sizes(&mut self.sizes).map(Incoming::Resize));
                }
                _ => {}
            }
            if kind == Kind::Stdin && fin {
                all.push(Incoming::StdinEnd);
            }
            for one in all {
                // Nobody hears it once the session is over.
                let _ = said.send(one).await;
            }
        }
        Ok(())
    }

    async fn open(&mut self, stream: u32, kind: Option<Kind>) {
        let position = self.expected.iter().position(|e| Some(*e) == kind);
        let (Some(kind), Some(position)) = (kind, position) else {
            let _ = self.replies.send(Reply::Refuse(stream)).await;
            return;
        };
        self.expected.swap_remove(position);
        self.kinds.insert(stream, kind);
        let _ = self.replies.send(Reply::Accept(stream)).await;
        if self.expected.is_empty()
            && let Some(opened) = self.opened.take()
        {
            // Nobody waits any more: it took too long.
            let _ = opened.send(self.kinds.clone());
        }
    }
}

/// Sends what the client is to hear on its streams.
async fn tell(
    streams: HashMap<u32, Kind>,
    mut hears: mpsc::Receiver<Outgoing>,
    replies: mpsc::Sender<Reply>,
    status: bool,
) {
    let of = |kind: Kind| streams.iter().find(|(_, k)| **k == kind).map(|(id, _)| *id);
    let send = async |kind: Kind, bytes: Bytes, fin: bool| {
        if let Some(stream) = of(kind) {
            // The writer ends only when the connection has.
            let _ = replies.send(Reply::Data { stream, bytes, fin }).await;
        }
    };
    while let Some(what) = hears.recv().await {
        match what {
            Outgoing::Stdout(bytes) => send(Kind::Stdout, bytes, false).await,
            Outgoing::Stderr(bytes) => send(Kind::Stderr, bytes, false).await,
            Outgoing::End(outcome) => {
                send(Kind::Stdout, Bytes::new(), true).await;
                send(Kind::Stderr, Bytes::new(), true).await;
                let words = if status {
                    outcome.status()
                } else {
                    outcome.text().into_bytes()
                };
                send(Kind::Error, words.into(), true).await;
            }
        }
    }
    let _ = replies.send(Reply::End).await;
}
