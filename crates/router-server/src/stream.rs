//! The body of an answer: whole, or the reading end of a bounded channel whose closing tells the request's task that
//! the client has left.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use smallvec::SmallVec;
use tokio::sync::mpsc;

/// Chunks that may wait for a slow client before its upstream is no longer read.
const CHANNEL_CHUNKS: usize = 32;

/// A response body.
#[derive(Debug)]
pub(crate) enum Body {
    /// Pieces known when the head is sent.
    Whole(SmallVec<[Bytes; 4]>),
    /// Pieces that come.
    Channel(mpsc::Receiver<Bytes>),
}

impl Body {
    /// A body of one piece.
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(SmallVec::from_iter([bytes.into()]))
    }

    /// A streamed body and its writing end.
    pub(crate) fn channel() -> (mpsc::Sender<Bytes>, Self) {
        let (sender, receiver) = mpsc::channel(CHANNEL_CHUNKS);
        (sender, Self::Channel(receiver))
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(pieces) if pieces.is_empty() => Poll::Ready(None),
            Self::Whole(pieces) => Poll::Ready(Some(Ok(Frame::data(pieces.remove(0))))),
            Self::Channel(receiver) => receiver.poll_recv(cx).map(|bytes| bytes.map(|b| Ok(Frame::data(b)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(pieces) if pieces.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(pieces) => SizeHint::with_exact(pieces.iter().map(|p| p.len() as u64).sum()),
            Self::Channel(_) => SizeHint::new(),
        }
    }
}
