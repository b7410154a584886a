//! Connections into a pod over WebSocket channels, as client libraries open them: for the n-th port asked for, channel
//! 2n carries data and 2n+1 the error.

use std::future::pending;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::client::QUEUE;
use super::forward::{Pod, inwards, outwards};
use super::websocket::Protocol;

/// A channel's number is one byte, and 255 means something else.
const MAX_PORTS: usize = 127;
/// After the last word a client closes in this time or is cut off.
const LINGER: Duration = Duration::from_secs(5);

/// The ports of a request's `ports` parameters.
pub(super) fn ports(pairs: &[(String, String)]) -> Result<Vec<u16>, String> {
    let texts = pairs
        .iter()
        .filter(|(key, _)| key == "ports" || key == "port");
    let texts = texts.flat_map(|(_, value)| value.split(','));
    let mut ports = Vec::new();
    for text in texts {
        let port = text.parse::<u16>().ok().filter(|port| *port > 0);
        ports.push(port.ok_or_else(|| format!("port {text:?} is not valid"))?);
    }
    match ports.len() {
        0 => Err("at least one port must be specified in the query parameter \"ports\"".to_owned()),
        count if count > MAX_PORTS => Err("too many ports".to_owned()),
        _ => Ok(ports),
    }
}

/// Serves a client until it is gone, or all its connections have ended.
pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    socket: WebSocketStream<S>,
    protocol: Protocol,
    ports: Vec<u16>,
    pod: &Pod,
) -> Result<(), Error> {
    let (mut send, mut receive) = socket.split();
    let (messages, mut queue) = mpsc::channel::<Message>(QUEUE);
    let mut writers = Vec::new();
    let mut connections = Vec::new();
    for (channel, port) in (0u8..).step_by(2).zip(ports) {
        let (writer, data) = mpsc::channel(QUEUE);
        writers.push(writer);
        let messages = messages.clone();
        connections.push(async move {
            for channel in [channel, channel + 1] {
                let port = protocol.message(channel, &port.to_le_bytes());
                // The writer ends only when the connection has.
                let _ = messages.send(port).await;
            }
            match pod.connect(port).await {
                Ok(inside) => {
                    let wrap = |bytes: Bytes, _| {
                        (!bytes.is_empty()).then(|| protocol.message(channel, &bytes))
                    };
                    let (read, write) = inside.into_split();
                    let inwards = async {
                        inwards(write, data).await;
                        pending::<()>().await;
                    };
                    // A channel cannot be closed by itself: a connection is over when the pod has said its last.
                    tokio::select! {
                        () = outwards(read, &messages, wrap) => {}
                        () = inwards => {}
                    }
                }
                Err(why) => {
                    let why = protocol.message(channel + 1, why.as_bytes());
                    let _ = messages.send(why).await;
                }
            }
        });
    }
    drop(messages);
    let reading = async {
        while let Some(message) = receive.next().await {
            let Some((channel, bytes)) = protocol.open(&message?) else {
                continue;
            };
            if channel % 2 == 0
                && let Some(writer) = writers.get(usize::from(channel / 2))
                && !bytes.is_empty()
            {
                // Its connection has ended; the others may go on.
                let _ = writer.send(bytes).await;
            }
        }
        Ok(())
    };
    let writing = async {
        while let Some(message) = queue.recv().await {
            send.send(message).await?;
        }
        let close = CloseFrame {
            code: CloseCode::Normal,
            reason: "".into(),
        };
        send.send(Message::Close(Some(close))).await
    };
    tokio::pin!(reading);
    let talking = async { tokio::join!(futures::future::join_all(connections), writing).1 };
    tokio::select! {
        gone = &mut reading => gone,
        told = talking => {
            told?;
            tokio::time::timeout(LINGER, reading).await.unwrap_or(Ok(()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ports;

    #[test]
    fn ports_come_once_or_several_times() {
        let of = |values: &[&str]| {
            let pairs: Vec<_> = values
                .iter()
                .map(|v| ("ports".to_owned(), (*v).to_owned()))
                .collect();
            ports(&pairs)
        };
        assert_eq!(of(&["80", "443,8080"]), Ok(vec![80, 443, 8080]));
        for wrong in [&[][..], &["0"], &["http"], &["70000"]] {
            assert!(of(wrong).is_err(), "{wrong:?}");
        }
    }
}
