//! A streamed answer: events forwarded or translated, what is visible noted, silence and early ends caught, the end held
//! back until the caller has booked it.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use router_core::attempt::FailureKind;
use router_core::chat::{FinishReason, Shown, Usage};
use router_core::failover::Seen;
use router_core::money::Usd;
use router_core::price::ServiceTier;
use tokio::time::Instant;

use super::flow::{Outgoing, Silence};
use super::translation::Translation;
use super::{Call, Cut, Fault, NoRescue, ReplyHeaders, empty, is_empty, late};
use crate::dialect::openai_chat::stream::{PassReader, Step, truncated};
use crate::dialect::{ReplyFault, client};
use crate::sse::{Event, Splitter};
use crate::transport::ByteStream;

/// Longest event taken: an image in a delta fits.
const MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;

/// Most bytes held while nothing is visible yet; pings and headers of a stream are far below.
const MAX_INVISIBLE_BYTES: usize = 1024 * 1024;

/// What one read brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// For the client; empty while nothing is visible yet, and for reads that bring nothing to forward.
    pub bytes: Bytes,
    /// What became visible first, in the one item in which something did.
    pub seen: Option<Seen>,
    /// About how many output tokens came: bytes of text / 4.
    pub tokens: u64,
}

/// A stream being answered. `next` until `None`, then `take_end`.
pub struct StreamReply {
    call: Call,
    source: ByteStream,
    splitter: Splitter,
    reader: Reader,
    shown: Shown,
    /// For the client, not handed over yet.
    held: Outgoing,
    tokens: u64,
    first_seen: Option<Seen>,
    visible: bool,
    ended: bool,
    clock: Silence,
    headers: ReplyHeaders,
}

enum Reader {
    Pass(Box<PassReader>),
    Translate(Box<Translation>),
    /// The client's dialect is not built; cannot be, since it scanned the request.
    None,
}

impl std::fmt::Debug for StreamReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamReply")
            .field("target", &self.call.target)
            .field("visible", &self.visible)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl StreamReply {
    pub(super) fn new(call: Call, source: ByteStream, started: Instant, headers: ReplyHeaders) -> Self {
        let envelope = call.request.envelope();
        let shown = call.goes_on.as_ref().map_or_else(Shown::default, |cut| cut.shown().clone());
        let reader = if call.target.dialect == envelope.dialect {
            Reader::Pass(Box::new(PassReader::new(envelope.n)))
        } else {
            client(envelope.dialect).map_or(Reader::None, |client| {
                let encoder = client.encoder(call.meta.clone());
                Reader::Translate(Box::new(Translation::new(call.target.upstream.decoder(), encoder)))
            })
        };
        Self {
            clock: Silence::new(started + call.limits.first_byte, call.limits.idle),
            call,
            source,
            splitter: Splitter::new(MAX_EVENT_BYTES),
            reader,
            shown,
            held: Outgoing::default(),
            tokens: 0,
            first_seen: None,
            visible: false,
            ended: false,
            headers,
        }
    }

    /// The next read; `None` once the answer is whole. Safe to drop and call again: nothing is lost.
    ///
    /// # Errors
    /// The stream is unusable from here: `Timeout` or `Stalled`, `Truncated`, `Empty`, `BadReply`, or what the provider
    /// says in it.
    pub async fn next(&mut self) -> Result<Option<Item>, Fault> {
        if self.ended {
            return Ok(self.rest());
        }
        let read = tokio::select! {
            biased;
            read = self.source.next() => read,
            () = self.clock.passed() => {
                if !self.is_whole() {
                    return Err(self.silent());
                }
                // The provider said why the answer ended and then forgot to end it.
                None
            }
        };
        match read {
            Some(Ok(chunk)) => {
                self.clock.heard();
                self.splitter.push(chunk);
                self.events()?;
            }
            Some(Err(error)) if self.is_whole() => {
                tracing::debug!(%error, "the stream broke off after its answer");
                self.end()?;
            }
            Some(Err(error)) => {
                return Err(Fault { kind: FailureKind::Truncated, ..Fault::from(error) });
            }
            None => {
                if let Some(event) = self.splitter.finish() {
                    self.event(event)?;
                }
                self.end()?;
            }
        }
        if self.ended {
            return Ok(self.rest());
        }
        Ok(Some(self.item()))
    }

    /// What is held when the answer has ended, once.
    fn rest(&mut self) -> Option<Item> {
        self.visible = true;
        let item = self.item();
        (item != Item::default()).then_some(item)
    }

    fn item(&mut self) -> Item {
        let bytes = if self.visible { self.held.take() } else { Bytes::new() };
        Item { bytes, seen: self.first_seen.take(), tokens: std::mem::take(&mut self.tokens) }
    }

    fn events(&mut self) -> Result<(), Fault> {
        while !self.ended {
            let next = self.splitter.next_event();
            let event = next.map_err(|error| Fault::new(FailureKind::BadReply, error.to_string()))?;
            let Some(event) = event else { break };
            self.event(event)?;
        }
        if !self.visible && self.held.len() > MAX_INVISIBLE_BYTES {
            return Err(Fault::new(FailureKind::BadReply, "the stream is long and shows nothing"));
        }
        Ok(())
    }

    fn event(&mut self, event: Event) -> Result<(), Fault> {
        let read = match &mut self.reader {
            Reader::Pass(reader) => reader.event(&event, &mut self.shown).map(|step| match step {
                Step::Forward(seen, tokens) => (seen, tokens, event.into_raw(), false),
                Step::Keep => (None, 0, Bytes::new(), false),
                Step::Done => (None, 0, Bytes::new(), true),
            }),
            Reader::Translate(translation) => translation.event(&event, &mut self.shown),
            Reader::None => Ok((None, 0, Bytes::new(), true)),
        };
        let (seen, tokens, bytes, done) = read.map_err(|fault| self.fault(fault))?;
        self.see(seen, tokens);
        self.held.push(bytes);
        if done { self.end() } else { Ok(()) }
    }

    fn see(&mut self, seen: Option<Seen>, tokens: u64) {
        self.tokens += tokens;
        if let Some(seen) = seen.filter(|_| !self.visible) {
            self.visible = true;
            self.first_seen = Some(seen);
        }
    }

    /// The bytes are over, or the terminal event came.
    fn end(&mut self) -> Result<(), Fault> {
        if self.ended {
            return Ok(());
        }
        match &mut self.reader {
            Reader::Pass(reader) if !reader.is_whole() => return Err(self.fault(truncated())),
            Reader::Translate(translation) => {
                let end = translation.end(&mut self.shown);
                let (seen, tokens, bytes, _) =
                    end.map_err(|fault| Fault::of_reply(fault, 200, &self.call.target))?;
                self.see(seen, tokens);
                self.held.push(bytes);
            }
            Reader::Pass(_) | Reader::None => {}
        }
        let envelope = self.call.request.envelope();
        if is_empty(envelope, self.visible, self.usage().as_ref(), self.finish()) {
            return Err(empty());
        }
        self.ended = true;
        drain(std::mem::replace(&mut self.source, Box::pin(stream::empty())));
        Ok(())
    }

    /// The answer has said why it ended, although its terminal event has not come.
    fn is_whole(&self) -> bool {
        match &self.reader {
            Reader::Pass(reader) => reader.is_whole(),
            Reader::Translate(translation) => translation.is_done(),
            Reader::None => false,
        }
    }

    fn fault(&self, fault: ReplyFault) -> Fault {
        Fault::of_reply(fault, 200, &self.call.target)
    }

    fn silent(&self) -> Fault {
        if self.clock.heard_once() {
            return Fault::new(FailureKind::Stalled, "the stream fell silent");
        }
        late(true)
    }

    /// Tokens, as last reported.
    pub fn usage(&self) -> Option<Usage> {
        match &self.reader {
            Reader::Pass(reader) => reader.usage,
            Reader::Translate(translation) => translation.usage,
            Reader::None => None,
        }
    }

    /// Why the answer ended.
    pub fn finish(&self) -> Option<FinishReason> {
        match &self.reader {
            Reader::Pass(reader) => reader.finish,
            Reader::Translate(translation) => translation.finish,
            Reader::None => None,
        }
    }

    /// The provider's own cost, when it gave one.
    pub fn provider_cost(&self) -> Option<Usd> {
        match &self.reader {
            Reader::Pass(reader) => reader.provider_cost,
            Reader::Translate(_) | Reader::None => None,
        }
    }

    /// The processing tier the provider used.
    pub fn service_tier(&self) -> ServiceTier {
        match &self.reader {
            Reader::Pass(reader) => {
                reader.service_tier.as_deref().map(ServiceTier::named).unwrap_or_default()
            }
            Reader::Translate(_) | Reader::None => ServiceTier::default(),
        }
    }

    /// What the client has seen, if it was given every item.
    pub fn shown(&self) -> &Shown {
        &self.shown
    }

    /// What is left behind if the answer has broken off: for after `next` failed, when the client was given every item.
    ///
    /// # Errors
    /// Why it cannot be gone on from.
    pub fn cut(&self) -> Result<Cut, NoRescue> {
        if self.is_whole() {
            return Err(NoRescue::Ended);
        }
        let meta = match &self.reader {
            Reader::Pass(reader) => reader.head(),
            Reader::Translate(_) | Reader::None => self.call.meta.clone(),
        };
        let cut = Cut::new(&self.call.request, &self.shown, meta)?;
        Ok(match &self.call.goes_on {
            Some(earlier) => Cut { meta: earlier.meta.clone(), usage: earlier.usage, ..cut },
            None => cut,
        })
    }

    /// What the headers said.
    pub fn headers(&self) -> &ReplyHeaders {
        &self.headers
    }

    /// The end that was held back: the usage event, when the client asked for one, with this cost, and the terminal event.
    /// For after `next` said `None`; written once.
    pub fn take_end(&mut self, cost: Option<Usd>) -> Bytes {
        let include_usage = self.call.request.envelope().include_usage;
        let end = match &mut self.reader {
            Reader::Pass(reader) => reader.end(include_usage, cost),
            Reader::Translate(translation) => translation.write_end(cost),
            Reader::None => Vec::new(),
        };
        Bytes::from(end)
    }
}

/// Reads what follows a whole answer, which is normally nothing: only a body read to its end gives its connection back to
/// the pool. Bounded, so that a provider that goes on costs no more than a moment.
fn drain(mut source: ByteStream) {
    const PATIENCE: Duration = Duration::from_secs(2);
    const MAX_CHUNKS: usize = 64;
    if matches!(source.next().now_or_never(), Some(None | Some(Err(_)))) {
        return;
    }
    let rest = async move {
        for _ in 0..MAX_CHUNKS {
            if !matches!(source.next().await, Some(Ok(_))) {
                break;
            }
        }
    };
    tokio::spawn(async move {
        let _ = tokio::time::timeout(PATIENCE, rest).await;
    });
}
