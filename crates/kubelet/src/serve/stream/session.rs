//! Joins a client to a program's streams, until the program or the client is gone.

use bytes::Bytes;
use plinth_runtime::Session;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

use super::client::{Client, Incoming, Outgoing, PIECE};

/// Carries everything both ways. The exit code, or why it is not known; `None` if the client left first, and what was
/// executed for it has been killed.
pub(super) async fn join(session: Session, client: &mut Client) -> Option<Result<i32, String>> {
    let Session {
        mut stdin,
        stdout,
        stderr,
        mut terminal,
        mut ending,
    } = session;
    let Client { incoming, outgoing } = client;
    let input = async {
        while let Some(said) = incoming.recv().await {
            match said {
                Incoming::Stdin(bytes) => {
                    // A program that does not read any more is no reason to end.
                    if let Some(pipe) = &mut stdin
                        && pipe.write_all(&bytes).await.is_err()
                    {
                        stdin = None;
                    }
                }
                Incoming::StdinEnd => stdin = None,
                Incoming::Resize(size) => {
                    if terminal.set(size.width, size.height).await.is_err() {
                        tracing::debug!("a size came after the end");
                    }
                }
            }
        }
    };
    let output = async {
        tokio::try_join!(
            copy(stdout, outgoing, Outgoing::Stdout),
            copy(stderr, outgoing, Outgoing::Stderr),
        )?;
        ending.wait().await
    };
    tokio::select! {
        () = input => None,
        ended = output => Some(ended.map_err(|error| error.to_string())),
    }
}

async fn copy(
    from: Option<pipe::Receiver>,
    to: &mpsc::Sender<Outgoing>,
    wrap: fn(Bytes) -> Outgoing,
) -> std::io::Result<()> {
    let Some(mut from) = from else {
        return Ok(());
    };
    let mut piece = vec![0; PIECE];
    loop {
        let count = from.read(&mut piece).await?;
        if count == 0 {
            return Ok(());
        }
        let bytes = Bytes::copy_from_slice(&piece[..count]);
        if to.send(wrap(bytes)).await.is_err() {
            // The client is gone, which the other direction notices too.
            return std::future::pending().await;
        }
    }
}
