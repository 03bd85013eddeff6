//! The client's side of a request: an answer's head, its bytes as they come, or an error; and whether anybody listens.

use bytes::Bytes;
use hyper::Response;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};

use super::Reply;
use crate::error::ApiError;
use crate::ingress::Asked;
use crate::respond;
use crate::stream::{Body, Piece};

/// Nobody listens any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gone;

/// Where an answer is in its life.
enum Phase {
    /// Nothing was sent.
    Waiting(Reply),
    /// The head was sent, the body is being written.
    Streaming(mpsc::Sender<Piece>),
    /// Over.
    Done,
}

/// One answer.
pub(super) struct Answer {
    phase: Phase,
    /// Of a streamed answer, what a slow client has no room for yet: nothing more is read for it meanwhile.
    waiting: Option<Bytes>,
    /// The server ends: nobody is waited for any more.
    abort: watch::Receiver<bool>,
}

impl Answer {
    pub(super) fn new(reply: Reply, abort: watch::Receiver<bool>) -> Self {
        Self { phase: Phase::Waiting(reply), waiting: None, abort }
    }

    /// Whether its head was sent.
    pub(super) fn has_begun(&self) -> bool {
        !matches!(self.phase, Phase::Waiting(_))
    }

    /// Whether bytes wait for the client.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.is_some()
    }

    /// Resolves with an error when the client has left, and without one when what waited for it is on its way; otherwise
    /// never. Nothing is lost when this future is dropped.
    pub(super) async fn moved(&mut self) -> Result<(), Gone> {
        match &mut self.phase {
            Phase::Waiting(reply) => reply.closed().await,
            Phase::Streaming(body) if self.waiting.is_none() => body.closed().await,
            Phase::Streaming(body) => {
                let place = body.reserve().await.map_err(|_| Gone)?;
                place.send(Piece::More(self.waiting.take().unwrap_or_default()));
                return Ok(());
            }
            Phase::Done => std::future::pending().await,
        }
        Err(Gone)
    }

    /// A whole answer.
    pub(super) fn whole(&mut self, response: Response<Body>) -> Result<(), Gone> {
        match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Waiting(reply) => reply.send(Ok(response)).map_err(|_| Gone),
            Phase::Streaming(_) | Phase::Done => Err(Gone),
        }
    }

    /// The head of a streamed answer.
    pub(super) fn start(&mut self, mut response: Response<Body>) -> Result<(), Gone> {
        let Phase::Waiting(reply) = std::mem::replace(&mut self.phase, Phase::Done) else { return Err(Gone) };
        let (sender, body) = Body::channel();
        *response.body_mut() = body;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        self.phase = Phase::Streaming(sender);
        reply.send(Ok(response)).map_err(|_| Gone)
    }

    /// Bytes of a streamed answer. When the client is slow they wait, and [`Answer::moved`] says when they do not any more:
    /// whoever sends waits for that among everything else that may happen.
    pub(super) fn send(&mut self, bytes: Bytes) -> Result<(), Gone> {
        let Phase::Streaming(body) = &self.phase else { return Err(Gone) };
        if bytes.is_empty() {
            return Ok(());
        }
        match body.try_send(Piece::More(bytes)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(Piece::More(bytes) | Piece::Last(bytes))) => {
                self.waiting = Some(bytes);
                Ok(())
            }
            Err(TrySendError::Closed(_)) => Err(Gone),
        }
    }

    /// The last bytes of a streamed answer.
    pub(super) async fn end(&mut self, bytes: Bytes) -> Result<(), Gone> {
        let Phase::Streaming(body) = std::mem::replace(&mut self.phase, Phase::Done) else {
            return Err(Gone);
        };
        let before = self.waiting.take();
        let sent = async {
            if let Some(bytes) = before {
                body.send(Piece::More(bytes)).await.map_err(|_| Gone)?;
            }
            body.send(Piece::Last(bytes)).await.map_err(|_| Gone)
        };
        tokio::select! {
            biased;
            sent = sent => sent,
            // Its connection ends without the end of its answer: it cannot take this for a whole one.
            _ = self.abort.wait_for(|abort| *abort) => Err(Gone),
        }
    }

    /// An error: its own answer when nothing was sent yet, else the dialect's error event, and no clean end.
    pub(super) async fn fail(&mut self, asked: &Asked, error: ApiError) {
        match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Waiting(reply) => {
                let _ = reply.send(Ok(respond::error(asked.arrival.client, &error)));
            }
            streaming @ Phase::Streaming(_) => {
                self.phase = streaming;
                let event = asked.arrival.client.error_event(&respond::client_error(&error));
                let _ = self.end(event.into()).await;
            }
            Phase::Done => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use http_body_util::BodyExt;
    use smallvec::SmallVec;
    use tokio::sync::oneshot;

    use super::*;

    /// An answer whose head was sent, its body, and the server's word to end.
    fn streaming() -> (Answer, Body, watch::Sender<bool>) {
        let (abort, aborted) = watch::channel(false);
        let (reply, head) = oneshot::channel();
        let mut answer = Answer::new(reply, aborted);
        answer.start(Response::new(Body::Whole(SmallVec::new()))).unwrap();
        let body = head.now_or_never().unwrap().unwrap().unwrap().into_body();
        (answer, body, abort)
    }

    fn fill(answer: &mut Answer) -> usize {
        let mut sent = 0;
        while !answer.is_full() {
            answer.send(Bytes::from_static(b"x")).unwrap();
            sent += 1;
        }
        sent
    }

    #[test]
    fn what_a_slow_client_has_no_room_for_waits_and_is_not_lost() {
        let (mut answer, mut body, _abort) = streaming();
        let sent = fill(&mut answer);
        assert_eq!(answer.moved().now_or_never(), None);
        assert!(body.frame().now_or_never().is_some());
        assert_eq!(answer.moved().now_or_never(), Some(Ok(())));
        assert!(!answer.is_full());
        assert!(body.frame().now_or_never().is_some());
        assert_eq!(answer.end(Bytes::from_static(b"end")).now_or_never(), Some(Ok(())));
        let rest = body.collect().now_or_never().unwrap().unwrap().to_bytes();
        assert_eq!(rest.len(), sent - 2 + 3);
    }

    #[test]
    fn a_client_that_left_while_bytes_waited_is_noticed() {
        let (mut answer, body, _abort) = streaming();
        fill(&mut answer);
        drop(body);
        assert_eq!(answer.moved().now_or_never(), Some(Err(Gone)));
    }

    #[test]
    fn the_end_of_the_server_waits_for_no_slow_client_and_ends_no_answer_cleanly() {
        let (mut answer, body, abort) = streaming();
        fill(&mut answer);
        assert_eq!(answer.end(Bytes::from_static(b"end")).now_or_never(), None);
        let (mut answer, body_too, abort_too) = {
            drop((answer, body, abort));
            streaming()
        };
        fill(&mut answer);
        abort_too.send(true).unwrap();
        assert_eq!(answer.end(Bytes::from_static(b"end")).now_or_never(), Some(Err(Gone)));
        assert!(body_too.collect().now_or_never().unwrap().is_err());
    }
}
