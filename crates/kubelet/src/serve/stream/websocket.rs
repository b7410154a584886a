//! Sessions over WebSocket: every message begins with the number of its channel (`v4.channel.k8s.io`,
//! `v5.channel.k8s.io`; the `base64` forms carry text for browsers).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{
    CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode,
};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::client::{Incoming, Outgoing, Size};

/// A longer message is refused. kubectl sends 32 KiB; libraries send what they are given at once.
const MAX_MESSAGE: usize = 16 << 20;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
/// The next byte names the channel that is closed (v5).
const CLOSE: u8 = 255;

/// A protocol of channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Protocol {
    pub(super) name: &'static str,
    /// Messages are text: the channel as a digit, then base64.
    text: bool,
    /// The outcome is a Status, otherwise text that is only sent of a failure.
    status: bool,
}

/// The protocols there are, best first.
pub(super) const PROTOCOLS: &[Protocol] = &[
    Protocol {
        name: "v5.channel.k8s.io",
        text: false,
        status: true,
    },
    Protocol {
        name: "v4.channel.k8s.io",
        text: false,
        status: true,
    },
    Protocol {
        name: "v4.base64.channel.k8s.io",
        text: true,
        status: true,
    },
    Protocol {
        name: "channel.k8s.io",
        text: false,
        status: false,
    },
    Protocol {
        name: "base64.channel.k8s.io",
        text: true,
        status: false,
    },
];

/// What clients speak that name no protocol: the first there was.
pub(super) const UNNAMED: Protocol = PROTOCOLS[3];

/// Speaks WebSocket over a connection that has been upgraded.
pub(super) async fn server<S: AsyncRead + AsyncWrite + Unpin>(connection: S) -> WebSocketStream<S> {
    let mut config = WebSocketConfig::default();
    config.max_message_size = Some(MAX_MESSAGE);
    config.max_frame_size = Some(MAX_MESSAGE);
    WebSocketStream::from_raw_socket(connection, Role::Server, Some(config)).await
}

impl Protocol {
    /// A message for a channel.
    pub(super) fn message(self, channel: u8, bytes: &[u8]) -> Message {
        if self.text {
            let mut text = String::with_capacity(1 + bytes.len().div_ceil(3) * 4);
            text.push(char::from(b'0' + channel));
            STANDARD.encode_string(bytes, &mut text);
            return Message::text(text);
        }
        let mut message = Vec::with_capacity(1 + bytes.len());
        message.push(channel);
        message.extend_from_slice(bytes);
        Message::binary(message)
    }

    /// Channel and content of a client's message; `None` if it has neither.
    pub(super) fn open(self, message: &Message) -> Option<(u8, Bytes)> {
        let bytes = match message {
            Message::Binary(bytes) => bytes.clone(),
            Message::Text(text) => Bytes::copy_from_slice(text.as_bytes()),
            _ => return None,
        };
        let channel = *bytes.first()?;
        let rest = bytes.slice(1..);
        if !self.text {
            return Some((channel, rest));
        }
        let channel = channel.checked_sub(b'0')?;
        Some((channel, STANDARD.decode(&rest).ok()?.into()))
    }

    fn incoming(self, message: &Message) -> Option<Incoming> {
        let (channel, rest) = self.open(message)?;
        match channel {
            STDIN => Some(Incoming::Stdin(rest)),
            RESIZE => serde_json::from_slice::<Size>(&rest)
                .ok()
                .map(Incoming::Resize),
            CLOSE if rest.first() == Some(&STDIN) => Some(Incoming::StdinEnd),
            _ => None,
        }
    }

    fn outgoing(self, what: &Outgoing) -> Option<Message> {
        Some(match what {
            Outgoing::Stdout(bytes) => self.message(STDOUT, bytes),
            Outgoing::Stderr(bytes) => self.message(STDERR, bytes),
            Outgoing::End(outcome) if self.status => self.message(ERROR, &outcome.status()),
            Outgoing::End(outcome) => {
                let text = outcome.text();
                return (!text.is_empty()).then(|| self.message(ERROR, text.as_bytes()));
            }
        })
    }
}

/// Hands on what the client says until it is gone.
pub(super) async fn read<S: AsyncRead + AsyncWrite + Unpin>(
    mut from: SplitStream<WebSocketStream<S>>,
    to: mpsc::Sender<Incoming>,
    protocol: Protocol,
) {
    while let Some(Ok(message)) = from.next().await {
        if let Some(incoming) = protocol.incoming(&message)
            && to.send(incoming).await.is_err()
        {
            // The session is over; what the client still says is read so that it hears our last words.
            while let Some(Ok(_)) = from.next().await {}
            return;
        }
    }
}

/// Sends what the client is to hear, and an orderly end.
pub(super) async fn write<S: AsyncRead + AsyncWrite + Unpin>(
    mut to: SplitSink<WebSocketStream<S>, Message>,
    mut from: mpsc::Receiver<Outgoing>,
    protocol: Protocol,
) -> Result<(), Error> {
    // As upstream: something on a channel tells clients that all channels are there.
    to.send(protocol.message(STDOUT, b"")).await?;
    while let Some(what) = from.recv().await {
        if let Some(message) = protocol.outgoing(&what) {
            to.send(message).await?;
        }
    }
    // Without a code kubectl takes the end for a failure.
    let close = CloseFrame {
        code: CloseCode::Normal,
        reason: "".into(),
    };
    to.send(Message::Close(Some(close))).await
}

#[cfg(test)]
mod tests {
    use super::super::client::Outcome;
    use super::*;

    #[test]
    fn channels_are_told_apart_and_closed() {
        let v5 = PROTOCOLS[0];
        let of = |bytes: &'static [u8]| v5.incoming(&Message::binary(bytes));
        assert_eq!(
            of(b"\x00abc"),
            Some(Incoming::Stdin(Bytes::from_static(b"abc")))
        );
        assert_eq!(of(b"\xff\x00"), Some(Incoming::StdinEnd));
        assert_eq!(of(b"\xff\x01"), None);
        assert_eq!(
            of(b"\x04{\"Width\":80,\"Height\":24}"),
            Some(Incoming::Resize(Size {
                width: 80,
                height: 24
            }))
        );
        assert_eq!(of(b""), None);
        let base64 = PROTOCOLS[2];
        assert_eq!(
            base64.incoming(&Message::text("0YWJj")),
            Some(Incoming::Stdin(Bytes::from_static(b"abc")))
        );
        assert_eq!(base64.message(1, b"abc"), Message::text("1YWJj"));
    }

    #[test]
    fn old_clients_hear_of_failures_only_and_in_words() {
        let old = PROTOCOLS[3];
        assert_eq!(old.outgoing(&Outgoing::End(Outcome::Success)), None);
        let failed = Outgoing::End(Outcome::Failed("no".into()));
        assert_eq!(
            old.outgoing(&failed),
            Some(Message::binary(&b"\x03Internal error occurred: no"[..]))
        );
    }
}
