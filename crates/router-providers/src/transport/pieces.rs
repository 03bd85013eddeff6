//! A body made of a few pieces, written to the socket as they lie, or as one when they are small.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use hyper::body::{Frame, SizeHint};
use smallvec::SmallVec;

/// Pieces of a body, in order.
pub type Pieces = SmallVec<[Bytes; 8]>;

/// Up to so many bytes, copying pieces together costs less than each further piece costs on its way to the socket: a
/// queue's entry and a kernel's, a tenth of a microsecond.
const SMALL_BYTES: usize = 8 * 1024;

/// The same bytes for the socket: small ones in one piece, large ones as they lie.
pub fn joined(pieces: Pieces) -> SmallVec<[Bytes; 1]> {
    let length = pieces.iter().map(Bytes::len).sum();
    if pieces.len() < 2 || length > SMALL_BYTES {
        return pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
    }
    let mut one = BytesMut::with_capacity(length);
    pieces.iter().for_each(|piece| one.extend_from_slice(piece));
    SmallVec::from_buf([one.freeze()])
}

/// A body of known length that hands out its pieces.
#[derive(Debug)]
pub struct Body {
    pieces: smallvec::IntoIter<[Bytes; 1]>,
    left: u64,
}

impl From<Pieces> for Body {
    fn from(pieces: Pieces) -> Self {
        let left = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self { pieces: joined(pieces).into_iter(), left }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.find(|piece| !piece.is_empty());
        self.left -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_become_one_and_large_ones_stay() {
        let check = |lengths: &[usize], expected: &[usize]| {
            let pieces: Pieces =
                lengths.iter().zip(1u8..).map(|(len, byte)| Bytes::from(vec![byte; *len])).collect();
            let bytes = pieces.concat();
            let joined = joined(pieces);
            assert_eq!(joined.concat(), bytes, "{lengths:?}");
            assert_eq!(joined.iter().map(Bytes::len).collect::<Vec<_>>(), expected, "{lengths:?}");
        };
        check(&[], &[]);
        check(&[5], &[5]);
        check(&[0], &[]);
        check(&[5, 0, 7], &[12]);
        check(&[SMALL_BYTES - 1, 1], &[SMALL_BYTES]);
        check(&[SMALL_BYTES, 0, 1], &[SMALL_BYTES, 1]);
    }
}
