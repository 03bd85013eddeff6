//! The body of an answer: whole, or the reading end of a bounded channel whose closing tells the request's task that
//! the client has left. A channel that closes before its last piece ends the connection, never the answer.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use smallvec::SmallVec;
use tokio::sync::mpsc;

/// Pieces that may wait for a slow client before its upstream is no longer read.
const CHANNEL_PIECES: usize = 32;

/// One piece of a streamed body.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Others follow.
    More(Bytes),
    /// The answer ends with it.
    Last(Bytes),
}

/// The writing end vanished in the middle of an answer.
#[derive(Debug, thiserror::Error)]
#[error("the answer was cut off")]
pub(crate) struct Cut;

/// A response body.
#[derive(Debug)]
pub(crate) enum Body {
    /// Pieces known when the head is sent.
    Whole(SmallVec<[Bytes; 1]>),
    /// Pieces that come.
    Channel(mpsc::Receiver<Piece>),
}

impl Body {
    /// A body of one piece.
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(SmallVec::from_iter([bytes.into()]))
    }

    /// A streamed body and its writing end.
    pub(crate) fn channel() -> (mpsc::Sender<Piece>, Self) {
        let (sender, receiver) = mpsc::channel(CHANNEL_PIECES);
        (sender, Self::Channel(receiver))
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let receiver = match &mut *self {
            Self::Whole(pieces) if pieces.is_empty() => return Poll::Ready(None),
            Self::Whole(pieces) => return Poll::Ready(Some(Ok(Frame::data(pieces.remove(0))))),
            Self::Channel(receiver) => receiver,
        };
        let piece = std::task::ready!(receiver.poll_recv(cx));
        Poll::Ready(match piece {
            Some(Piece::More(bytes)) => Some(Ok(Frame::data(bytes))),
            Some(Piece::Last(bytes)) => {
                *self = Self::Whole(SmallVec::new());
                (!bytes.is_empty()).then(|| Ok(Frame::data(bytes)))
            }
            None => Some(Err(Cut)),
        })
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use http_body_util::BodyExt;

    use super::*;

    /// Script: `m` a piece, `l` the last one, `.` the writer vanishes. Expected: what the client reads.
    fn check(script: &str, expected: &str) {
        let (sender, body) = Body::channel();
        for piece in script.chars() {
            let bytes = Bytes::from(piece.to_string());
            let piece = match piece {
                'm' => Piece::More(bytes),
                'l' => Piece::Last(bytes),
                'e' => Piece::Last(Bytes::new()),
                _ => break,
            };
            sender.try_send(piece).unwrap();
        }
        drop(sender);
        let read = body.collect().now_or_never().unwrap();
        let read = read.map_or("cut".to_owned(), |all| String::from_utf8(all.to_bytes().to_vec()).unwrap());
        assert_eq!(read, expected, "{script}");
    }

    #[test]
    fn only_a_last_piece_ends_an_answer() {
        check("mml", "mml");
        check("l", "l");
        check("mme", "mm");
        check("mm.", "cut");
        check(".", "cut");
    }
}
