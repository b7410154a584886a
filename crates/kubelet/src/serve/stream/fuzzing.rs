//! Doors for the fuzzer to what reads clients' bytes. Built for it alone.

use futures::executor::block_on;
use tokio_tungstenite::tungstenite::Message;

use super::spdy::Reader;
use super::websocket::PROTOCOLS;

/// Reads a client's frames to their end.
pub fn spdy(mut bytes: &[u8]) {
    let mut reader = Reader::new(&mut bytes);
    while let Ok(Some(_)) = block_on(reader.next()) {}
}

/// Opens a message, as bytes and as text, in every protocol, and makes the same of what was in it.
pub fn channels(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).ok().map(Message::text);
    for message in [Some(Message::binary(bytes.to_vec())), text]
        .into_iter()
        .flatten()
    {
        for protocol in PROTOCOLS {
            let Some((channel, content)) = protocol.open(&message) else {
                continue;
            };
            if channel < 10 {
                let again = protocol.open(&protocol.message(channel, &content));
                assert_eq!(again, Some((channel, content)));
            }
        }
    }
}
