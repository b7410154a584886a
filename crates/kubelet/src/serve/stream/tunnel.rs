//! The bytes inside a WebSocket's messages as one stream: how SPDY reaches a server through proxies that know only
//! WebSocket.

use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::client::PIECE;

/// Carries bytes between `socket` and the other end of `inner` until both directions have ended.
pub(super) async fn carry<S: AsyncRead + AsyncWrite + Unpin>(
    socket: WebSocketStream<S>,
    inner: DuplexStream,
) -> Result<(), Error> {
    let (mut send, mut receive) = socket.split();
    let (mut from, mut to) = tokio::io::split(inner);
    let inwards = async {
        while let Some(message) = receive.next().await {
            if let Message::Binary(bytes) = message?
                && to.write_all(&bytes).await.is_err()
            {
                // Nobody reads any more; the client's answer to our close is still waited for.
                while let Some(Ok(_)) = receive.next().await {}
                break;
            }
        }
        // Its end is what the reader is to see.
        let _ = to.shutdown().await;
        Ok(())
    };
    let outwards = async {
        let mut piece = vec![0; PIECE];
        loop {
            let count = from.read(&mut piece).await?;
            if count == 0 {
                break;
            }
            send.send(Message::binary(piece[..count].to_vec())).await?;
        }
        let close = CloseFrame {
            code: CloseCode::Normal,
            reason: "".into(),
        };
        send.send(Message::Close(Some(close))).await
    };
    tokio::try_join!(inwards, outwards).map(drop)
}
