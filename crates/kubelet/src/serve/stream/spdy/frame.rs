//! SPDY/3.1 frames, read and written.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::sync::mpsc;

use super::headers::{Deflate, Inflate, Pairs};
use crate::serve::stream::client::PIECE;

/// The first bit of a frame that is not data.
const CONTROL: u32 = 1 << 31;
const VERSION: u16 = 3;
const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;
const FLAG_FIN: u8 = 1;
/// A control frame is read whole, so it may not be longer.
const MAX_CONTROL: usize = 64 << 10;
/// RST_STREAM's word for a stream that is not wanted.
const REFUSED: u32 = 3;

/// What a client sends.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum Frame {
    /// Opens a stream.
    Open {
        stream: u32,
        headers: Pairs,
        fin: bool,
    },
    /// A piece of a stream's data; long frames come in several.
    Data {
        stream: u32,
        bytes: Bytes,
        fin: bool,
    },
    /// Gives up a stream.
    Reset { stream: u32 },
    /// Wants to hear the same.
    Ping(u32),
    /// Will open no more streams.
    GoAway,
}

/// What a client is sent.
#[derive(Debug)]
pub(in super::super) enum Reply {
    /// The stream is accepted.
    Accept(u32),
    /// The stream is not.
    Refuse(u32),
    /// A piece of a stream; `fin` with the last.
    Data {
        stream: u32,
        bytes: Bytes,
        fin: bool,
    },
    /// The answer to a ping.
    Pong(u32),
    /// Nothing follows.
    End,
}

/// Reads a client's frames.
pub(in super::super) struct Reader<R> {
    from: BufReader<R>,
    inflate: Inflate,
    /// Stream, bytes left and final flag of a data frame that is being read.
    data: Option<(u32, usize, bool)>,
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("SPDY: {what}"))
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(in super::super) fn new(from: R) -> Self {
        Self {
            from: BufReader::with_capacity(PIECE, from),
            inflate: Inflate::new(),
            data: None,
        }
    }

    /// The next frame that means something; `None` at the end of the connection. Not to be cut off in the middle.
    pub(in super::super) async fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some((stream, left, last)) = self.data.take() {
                return self.data(stream, left, last).await.map(Some);
            }
            let mut head = [0; 8];
            match self.from.read_exact(&mut head).await {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                Err(error) => return Err(error),
            }
            let word = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
            let length = u32::from_be_bytes([0, head[5], head[6], head[7]]);
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let (flags, kind) = (head[4], u16::from_be_bytes([head[2], head[3]]));
            if word & CONTROL == 0 {
                self.data = Some((word, length, flags & FLAG_FIN != 0));
                continue;
            }
            if u16::from_be_bytes([head[0] & 0x7f, head[1]]) != VERSION {
                return Err(bad("not version 3"));
            }
            if length > MAX_CONTROL {
                return Err(bad("a control frame is too long"));
            }
            let mut content = vec![0; length];
            self.from.read_exact(&mut content).await?;
            if let Some(frame) = self.control(kind, flags, &content)? {
                return Ok(Some(frame));
            }
        }
    }

    async fn data(&mut self, stream: u32, left: usize, last: bool) -> io::Result<Frame> {
        let mut piece = vec![0; left.min(PIECE)];
        let count = if piece.is_empty() {
            0
        } else {
            self.from.read(&mut piece).await?
        };
        if count == 0 && left > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        piece.truncate(count);
        let left = left - count;
        if left > 0 {
            self.data = Some((stream, left, last));
        }
        Ok(Frame::Data {
            stream,
            bytes: piece.into(),
            fin: last && left == 0,
        })
    }

    fn control(&mut self, kind: u16, flags: u8, content: &[u8]) -> io::Result<Option<Frame>> {
        let number = |at: usize| {
            let bytes = content.get(at..at + 4).and_then(|b| b.first_chunk::<4>());
            bytes
                .map(|b| u32::from_be_bytes(*b))
                .ok_or_else(|| bad("a control frame is too short"))
        };
        Ok(match kind {
            SYN_STREAM => {
                let block = content
                    .get(10..)
                    .ok_or_else(|| bad("a control frame is too short"))?;
                Some(Frame::Open {
                    stream: number(0)? & 0x7fff_ffff,
                    headers: self.inflate.block(block)?,
                    fin: flags & FLAG_FIN != 0,
                })
            }
            // Their headers do not matter here, but belong to the connection's compression.
            SYN_REPLY | HEADERS => {
                let block = content
                    .get(4..)
                    .ok_or_else(|| bad("a control frame is too short"))?;
                self.inflate.block(block)?;
                None
            }
            RST_STREAM => Some(Frame::Reset {
                stream: number(0)? & 0x7fff_ffff,
            }),
            PING => Some(Frame::Ping(number(0)?)),
            GOAWAY => Some(Frame::GoAway),
            // Settings, windows and what a later version may add.
            _ => None,
        })
    }
}

/// Writes replies up to [`Reply::End`], then ends the connection's sending side.
pub(in super::super) async fn write<W: AsyncWrite + Unpin>(
    mut to: W,
    mut from: mpsc::Receiver<Reply>,
) -> io::Result<()> {
    let mut deflate = Deflate::new()?;
    while let Some(reply) = from.recv().await {
        let (head, content): (Vec<u8>, Bytes) = match reply {
            Reply::Accept(stream) => {
                let mut content = stream.to_be_bytes().to_vec();
                content.extend(deflate.block(&[])?);
                control(SYN_REPLY, content)
            }
            Reply::Refuse(stream) => {
                let content = [stream.to_be_bytes(), REFUSED.to_be_bytes()].concat();
                control(RST_STREAM, content)
            }
            Reply::Pong(id) => control(PING, id.to_be_bytes().to_vec()),
            Reply::End => break,
            Reply::Data { stream, bytes, fin } => {
                let mut head = stream.to_be_bytes().to_vec();
                head.extend(length(&bytes, u8::from(fin) * FLAG_FIN));
                (head, bytes)
            }
        };
        to.write_all(&head).await?;
        to.write_all(&content).await?;
        if from.is_empty() {
            to.flush().await?;
        }
    }
    to.shutdown().await
}

fn control(kind: u16, content: Vec<u8>) -> (Vec<u8>, Bytes) {
    let mut head = (VERSION | 0x8000).to_be_bytes().to_vec();
    head.extend(kind.to_be_bytes());
    head.extend(length(&content, 0));
    (head, content.into())
}

/// Flags and length. Pieces are far shorter than the 24 bits there are.
fn length(content: &[u8], flags: u8) -> [u8; 4] {
    let [_, x, y, z] = u32::try_from(content.len())
        .unwrap_or(u32::MAX)
        .to_be_bytes();
    [flags, x, y, z]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(deflate: &mut Deflate, stream: u32, headers: &[(&str, &str)]) -> Vec<u8> {
        let mut content = [stream.to_be_bytes(), [0; 4]].concat();
        content.extend([0, 0]);
        content.extend(deflate.block(headers).expect("block"));
        let (head, content) = control(SYN_STREAM, content);
        [head, content.to_vec()].concat()
    }

    #[tokio::test]
    async fn a_clients_frames_are_read() {
        let mut deflate = Deflate::new().expect("deflate");
        let mut bytes = open(&mut deflate, 1, &[("streamType", "data"), ("port", "80")]);
        bytes.extend(open(&mut deflate, 3, &[("streamType", "error")]));
        let (ping, id) = control(PING, vec![0, 0, 0, 7]);
        bytes.extend([ping, id.to_vec()].concat());
        let long = vec![b'x'; PIECE + 10];
        bytes.extend([1u32.to_be_bytes(), length(&long, FLAG_FIN)].concat());
        bytes.extend(&long);
        let mut reader = Reader::new(&bytes[..]);
        let mut frames = Vec::new();
        while let Some(frame) = reader.next().await.expect("frame") {
            frames.push(frame);
        }
        let pairs = |list: &[(&str, &str)]| {
            list.iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect::<Pairs>()
        };
        let headers = pairs(&[("streamtype", "data"), ("port", "80")]);
        assert_eq!(
            frames[0],
            Frame::Open {
                stream: 1,
                headers,
                fin: false
            }
        );
        let headers = pairs(&[("streamtype", "error")]);
        assert_eq!(
            frames[1],
            Frame::Open {
                stream: 3,
                headers,
                fin: false
            }
        );
        assert_eq!(frames[2], Frame::Ping(7));
        let (mut total, mut fins) = (0, 0);
        for frame in &frames[3..] {
            let Frame::Data {
                stream: 1,
                bytes,
                fin,
            } = frame
            else {
                panic!("{frame:?}");
            };
            (total, fins) = (total + bytes.len(), fins + usize::from(*fin));
        }
        assert_eq!((total, fins), (long.len(), 1));
    }

    #[tokio::test]
    async fn what_is_no_frame_is_refused() {
        for bytes in [
            &b"\x80\x02\0\x01\0\0\0\0"[..],
            b"\x80\x03\0\x01\0\xff\xff\xff",
            b"\x80\x03\0\x01\0\0\0\0",
        ] {
            assert!(Reader::new(bytes).next().await.is_err(), "{bytes:?}");
        }
    }
}
