//! The daemon's end of the socket to one shim. Knows nothing of what the requests mean.

use std::collections::HashMap;
use std::path::Path;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use crate::protocol::{self, Answer, Call, Message, Request};
use crate::record::RunRecord;
use crate::types::ContainerId;

/// Requests that wait to be sent to one shim.
const QUEUE: usize = 64;

type Reply = oneshot::Sender<Result<Answer, String>>;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The shim is gone, or cut the connection.
    #[error("the connection to the shim is lost")]
    Lost,
    /// The shim's words.
    #[error("{0}")]
    Refused(String),
}

/// What comes over a connection without being asked for.
pub(crate) trait Listener: Send + 'static {
    /// A container's record changed.
    fn changed(&mut self, container: ContainerId, run: RunRecord);
    /// The connection ended; nothing follows.
    fn lost(self);
}

/// A connection; it ends when the last of its clones is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    requests: mpsc::Sender<(Call, Reply)>,
    task: AbortHandle,
}

impl Connection {
    /// Connects to the shim that listens at `socket`. Must be called inside a tokio runtime.
    pub(crate) fn open(socket: &Path, listener: impl Listener) -> std::io::Result<Self> {
        let stream = protocol::connect(socket)?;
        stream.set_nonblocking(true)?;
        let stream = UnixStream::from_std(stream)?;
        let (requests, queue) = mpsc::channel(QUEUE);
        // Ends with the connection, with the last sender, or with `close`.
        let task = tokio::spawn(converse(stream, queue, listener)).abort_handle();
        Ok(Self { requests, task })
    }

    /// Asks and waits for the answer. If the caller stops waiting, the request is carried out all the same.
    pub(crate) async fn call(&self, call: Call) -> Result<Answer, CallError> {
        let (reply, answer) = oneshot::channel();
        self.requests
            .send((call, reply))
            .await
            .map_err(|_| CallError::Lost)?;
        answer
            .await
            .map_err(|_| CallError::Lost)?
            .map_err(CallError::Refused)
    }

    /// Ends the connection without telling the listener.
    pub(crate) fn close(&self) {
        self.task.abort();
    }
}

async fn converse(
    stream: UnixStream,
    mut queue: mpsc::Receiver<(Call, Reply)>,
    mut listener: impl Listener,
) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut waiting = HashMap::<u64, Reply>::new();
    let mut number = 0;
    loop {
        tokio::select! {
            line = lines.next_line() => {
                let Ok(Some(line)) = line else { break };
                match serde_json::from_str::<Message>(&line) {
                    Ok(Message::Changed { container, run }) => listener.changed(container, run),
                    Ok(Message::Answer { number, result }) => {
                        if let Some(reply) = waiting.remove(&number) {
                            let _ = reply.send(result); // the asker may have gone
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a shim's message cannot be read");
                        break;
                    }
                }
            }
            request = queue.recv() => {
                let Some((call, reply)) = request else { return };
                number += 1;
                waiting.insert(number, reply);
                if write.write_all(&protocol::encode(&Request { number, call })).await.is_err() {
                    break;
                }
            }
        }
    }
    drop(waiting);
    drop(queue);
    listener.lost();
}
