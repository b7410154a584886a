//! Bodies of answers: shared pieces of bytes, or a stream; and the reading of request bodies with a limit.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures::{Stream, StreamExt};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use plinth_api::Status;

/// The largest request body, as upstream's.
const LIMIT: usize = 3 << 20;
/// A body that takes longer than this is given up.
const PATIENCE: Duration = Duration::from_mins(1);
/// How much more of a body that is too large is taken, and for how long.
const DISCARDED: usize = 32 << 20;
const LINGER: Duration = Duration::from_secs(5);

/// An error in the middle of a streamed body.
pub(crate) type StreamError = Box<dyn std::error::Error + Send + Sync>;
type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, StreamError>> + Send>>;

/// The body of an answer.
pub struct ResponseBody(Inner);

enum Inner {
    /// These pieces one after the other.
    Pieces(VecDeque<Bytes>),
    /// Pieces as they come.
    Stream(Pieces),
}

impl ResponseBody {
    /// No body.
    pub(crate) fn empty() -> Self {
        Self(Inner::Pieces(VecDeque::new()))
    }

    /// One piece.
    pub(crate) fn full(bytes: impl Into<Bytes>) -> Self {
        Self::pieces(VecDeque::from([bytes.into()]))
    }

    /// Pieces that are sent without being copied together.
    pub(crate) fn pieces(pieces: VecDeque<Bytes>) -> Self {
        Self(Inner::Pieces(pieces))
    }

    /// Pieces that come over time.
    pub(crate) fn stream(
        stream: impl Stream<Item = Result<Bytes, StreamError>> + Send + 'static,
    ) -> Self {
        Self(Inner::Stream(Box::pin(stream)))
    }

    /// The body of an answer that goes on: something else lives as long as it does.
    #[must_use]
    pub(crate) fn holding(self, guard: impl Send + 'static) -> Self {
        match self.0 {
            Inner::Pieces(_) => self,
            Inner::Stream(stream) => Self::stream(stream.inspect(move |_| {
                let _held = &guard;
            })),
        }
    }

    /// The pieces, if the body is complete.
    pub(crate) fn complete(&self) -> Option<&VecDeque<Bytes>> {
        match &self.0 {
            Inner::Pieces(pieces) => Some(pieces),
            Inner::Stream(_) => None,
        }
    }

    fn left(pieces: &VecDeque<Bytes>) -> usize {
        pieces.iter().map(Bytes::len).sum()
    }

    /// How many bytes a complete body has.
    pub(crate) fn len(&self) -> Option<usize> {
        self.complete().map(Self::left)
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        match &mut self.0 {
            Inner::Pieces(pieces) => {
                Poll::Ready(pieces.pop_front().map(|piece| Ok(Frame::data(piece))))
            }
            Inner::Stream(stream) => stream
                .as_mut()
                .poll_next(cx)
                .map(|next| next.map(|piece| piece.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.0, Inner::Pieces(pieces) if pieces.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Pieces(pieces) => SizeHint::with_exact(Self::left(pieces) as u64),
            Inner::Stream(_) => SizeHint::default(),
        }
    }
}

/// Reads a whole request body, if it is not too large and does not take too long.
pub(crate) async fn read<B>(body: B) -> Result<Bytes, Status>
where
    B: Body,
    B::Error: std::fmt::Display,
{
    let mut body = std::pin::pin!(body);
    let whole = if body.size_hint().lower() > LIMIT as u64 {
        Err(too_large())
    } else {
        tokio::time::timeout(PATIENCE, collect(body.as_mut()))
            .await
            .unwrap_or_else(|_| Err(Status::timeout("the request body took too long to arrive")))
    };
    if whole.as_ref().is_err_and(|status| status.code == 413) {
        // Many clients look for an answer only after they have sent all, and see none on a connection that is closed
        // before. Who goes on for too long is not listened to.
        let _ = tokio::time::timeout(LINGER, discard(body)).await;
    }
    whole
}

/// Takes what still comes, up to a limit, and forgets it.
async fn discard<B: Body + Unpin>(mut body: B) {
    let mut left = DISCARDED;
    while let Some(Ok(frame)) = body.frame().await
        && left > 0
    {
        let length = frame.data_ref().map_or(0, Buf::remaining);
        left = left.saturating_sub(length);
    }
}

async fn collect<B>(body: B) -> Result<Bytes, Status>
where
    B: Body,
    B::Error: std::fmt::Display,
{
    let mut body = std::pin::pin!(body);
    let mut whole = BytesMut::new();
    let mut first: Option<Bytes> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Status::bad_request(format!("cannot read the request body: {error}"))
        })?;
        let Ok(mut data) = frame.into_data() else {
            continue;
        };
        if whole.len() + first.as_ref().map_or(0, Bytes::len) + data.remaining() > LIMIT {
            return Err(too_large());
        }
        let piece = data.copy_to_bytes(data.remaining());
        match first.take() {
            None if whole.is_empty() => first = Some(piece),
            held => {
                whole.extend_from_slice(&held.unwrap_or_default());
                whole.extend_from_slice(&piece);
            }
        }
    }
    Ok(first.unwrap_or_else(|| whole.freeze()))
}

fn too_large() -> Status {
    Status::too_large(format!("Request entity too large: limit is {LIMIT}"))
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused() {
        assert_eq!(
            read(Full::new(Bytes::from(vec![b'x'; LIMIT])))
                .await
                .unwrap()
                .len(),
            LIMIT
        );
        assert_eq!(
            read(Full::new(Bytes::from(vec![b'x'; LIMIT + 1])))
                .await
                .unwrap_err()
                .code,
            413
        );
    }

    #[tokio::test]
    async fn a_body_in_pieces_is_put_together() {
        let pieces = ResponseBody::pieces(["ab", "", "cd", "e"].map(Bytes::from).into());
        assert_eq!(&read(pieces).await.unwrap()[..], b"abcde");
    }
}
