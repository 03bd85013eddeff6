//! The client's side of a request: an answer's head, its bytes as they come, or an error; and whether anybody listens.

use bytes::Bytes;
use hyper::Response;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use tokio::sync::mpsc;

use super::Reply;
use crate::error::ApiError;
use crate::ingress::Asked;
use crate::respond;
use crate::stream::Body;

/// Nobody listens any more.
#[derive(Debug)]
pub(super) struct Gone;

/// Where an answer is in its life.
enum Phase {
    /// Nothing was sent.
    Waiting(Reply),
    /// The head was sent, the body is being written.
    Streaming(mpsc::Sender<Bytes>),
    /// Over.
    Done,
}

/// One answer.
pub(super) struct Answer {
    phase: Phase,
}

impl Answer {
    pub(super) fn new(reply: Reply) -> Self {
        Self { phase: Phase::Waiting(reply) }
    }

    /// Resolves when the client has left; never after the answer is over.
    pub(super) async fn gone(&mut self) {
        match &mut self.phase {
            Phase::Waiting(reply) => reply.closed().await,
            Phase::Streaming(body) => body.closed().await,
            Phase::Done => std::future::pending().await,
        }
    }

    /// The same once a stream was started, while it is being sent.
    pub(super) async fn left(&self) {
        match &self.phase {
            Phase::Streaming(body) => body.closed().await,
            Phase::Waiting(_) | Phase::Done => std::future::pending().await,
        }
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

    /// Bytes of a streamed answer; waits while the client is slow.
    pub(super) async fn send(&self, bytes: Bytes) -> Result<(), Gone> {
        let Phase::Streaming(body) = &self.phase else { return Err(Gone) };
        if bytes.is_empty() {
            return Ok(());
        }
        match body.try_send(bytes) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(bytes)) => body.send(bytes).await.map_err(|_| Gone),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Gone),
        }
    }

    /// The last bytes of a streamed answer.
    pub(super) async fn end(&mut self, bytes: Bytes) -> Result<(), Gone> {
        let sent = self.send(bytes).await;
        self.phase = Phase::Done;
        sent
    }

    /// An error: its own answer when nothing was sent yet, else the dialect's error event, and no clean end.
    pub(super) async fn fail(&mut self, asked: &Asked, error: ApiError) {
        match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Waiting(reply) => {
                let _ = reply.send(Ok(respond::error(asked.arrival.client, &error, asked.arrival.id)));
            }
            Phase::Streaming(body) => {
                let event = asked.arrival.client.error_event(&respond::client_error(&error));
                let _ = body.send(event.into()).await;
            }
            Phase::Done => {}
        }
    }
}
