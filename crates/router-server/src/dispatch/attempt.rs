//! One attempt in flight: sending, then perhaps streaming. Dropping it closes the provider's connection.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use router_core::chat::Usage;
use router_core::compiled::DeploymentIdx;
use router_core::failover::AttemptNo;
use router_providers::exchange::{self, Call, Fault, Item, JsonReply, StreamReply};
use router_providers::transport::Transport;

use crate::worker::Worker;

/// What happened next.
pub(super) enum Step {
    /// A whole answer came.
    Whole(Box<JsonReply>),
    /// Bytes of a stream came.
    Item(Item),
    /// The stream is whole; its end is held back.
    Done,
    /// It failed.
    Failed(Fault),
}

/// Where an attempt goes.
pub(super) struct Destination {
    pub(super) deployment: DeploymentIdx,
    pub(super) simulated: bool,
}

enum Stage {
    Sending(Pin<Box<dyn Future<Output = Result<exchange::Reply, Fault>> + Send>>),
    Streaming(Box<StreamReply>),
    Over,
}

/// One attempt.
pub(super) struct Live {
    pub(super) attempt: AttemptNo,
    pub(super) deployment: DeploymentIdx,
    /// Output tokens seen in a stream, about.
    pub(super) seen_tokens: u64,
    /// It was asked for its first step: before that nothing went out.
    pub(super) begun: bool,
    /// It was ended by us, because there was no money for more.
    pub(super) cut_short: bool,
    /// The first visible bytes of its stream, until it is committed.
    pub(super) held: Option<Item>,
    stage: Stage,
}

impl Live {
    /// Sends; nothing goes out before the first `step`.
    pub(super) fn send(worker: &Arc<Worker>, attempt: AttemptNo, to: &Destination, call: Call) -> Self {
        let (worker, simulated, deployment) = (Arc::clone(worker), to.simulated, to.deployment);
        let sending = Box::pin(async move {
            let transport: &dyn Transport = match &worker.simulated {
                Some(transport) if simulated => transport,
                _ => &worker.http,
            };
            exchange::send(transport, call).await
        });
        Self {
            attempt,
            deployment,
            seen_tokens: 0,
            begun: false,
            cut_short: false,
            held: None,
            stage: Stage::Sending(sending),
        }
    }

    /// Waits for what happens next. Nothing is lost when this future is dropped and called again.
    pub(super) async fn step(&mut self) -> Step {
        self.begun = true;
        loop {
            match &mut self.stage {
                Stage::Sending(sending) => match sending.as_mut().await {
                    Ok(exchange::Reply::Json(reply)) => {
                        self.stage = Stage::Over;
                        return Step::Whole(reply);
                    }
                    Ok(exchange::Reply::Stream(reply)) => self.stage = Stage::Streaming(reply),
                    Err(fault) => {
                        self.stage = Stage::Over;
                        return Step::Failed(fault);
                    }
                },
                Stage::Streaming(reply) => {
                    return match reply.next().await {
                        Ok(Some(item)) => {
                            self.seen_tokens += item.tokens;
                            Step::Item(item)
                        }
                        Ok(None) => Step::Done,
                        Err(fault) => Step::Failed(fault),
                    };
                }
                Stage::Over => return std::future::pending().await,
            }
        }
    }

    /// Ends its stream here: what the client gets for it.
    pub(super) fn cut_short(&mut self, usage: Usage) -> Bytes {
        self.cut_short = true;
        self.stream().map(|stream| stream.cut_short(usage)).unwrap_or_default()
    }

    /// The stream being read, if it is one.
    pub(super) fn stream(&mut self) -> Option<&mut StreamReply> {
        match &mut self.stage {
            Stage::Streaming(reply) => Some(reply),
            Stage::Sending(_) | Stage::Over => None,
        }
    }
}
