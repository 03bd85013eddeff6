//! A streamed answer: events forwarded or translated, what is visible noted, silence and early ends caught, the end held
//! back until the caller has booked it.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use router_core::attempt::FailureKind;
use router_core::chat::{FinishReason, Shown, Usage};
use router_core::failover::Seen;
use router_core::money::Usd;
use router_core::price::ServiceTier;
use tokio::time::Instant;

use super::flow::{Awaited, Heard, Outgoing, Silence, drain};
use super::reader::Reader;
use super::translation::{Brought, NothingLeft};
use super::{Call, Cut, Fault, NoRescue, ReplyHeaders, empty, is_empty, late, resume};
use crate::dialect::openai_chat::stream::{Step, truncated};
use crate::dialect::{ReplyFault, Rescued};
use crate::sse::{Event, Splitter};
use crate::transport::ByteStream;

/// Longest event taken: an image in a delta fits.
const MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;

/// Most bytes held while nothing is visible yet: what comes first is what matters, the role and identity of the answer. Of a
/// model that reasons unseen for minutes, with an empty delta for each token, the rest is dropped.
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
    /// Bytes that the model has written, calls included: a byte-level tokenizer makes a token of one or more, so it was
    /// no more tokens.
    pub written_bytes: u64,
}

/// A stream being answered. `next` until `None`, then `take_end`.
pub struct StreamReply {
    call: Box<Call>,
    source: ByteStream,
    splitter: Splitter,
    reader: Reader,
    /// What the client has seen, if it was given every item, and what is held for it.
    shown: Shown,
    /// For the client, not handed over yet.
    held: Outgoing,
    tokens: u64,
    written_bytes: u64,
    tokens_in_all: u64,
    first_seen: Option<Seen>,
    visible: bool,
    ended: bool,
    /// How it failed, while what came before is on its way to the client.
    failed: Option<Fault>,
    /// Bytes of this attempt were handed over.
    handed: bool,
    /// An item was handed over and nobody has read since.
    away: bool,
    /// What the chunk being read brought.
    heard: Heard,
    clock: Silence,
    headers: ReplyHeaders,
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
        let reader = Reader::of(&call, call.target.upstream.decoder());
        let clock = Silence::new(started, &call.limits);
        Self::reading(call, (source, reader), clock, headers)
    }

    /// The end, for this reason, of an answer of which nothing is left to ask for.
    pub(super) fn nothing_left(call: Call, reason: FinishReason) -> Self {
        let reader = Reader::translating(&call, Box::new(NothingLeft(reason)));
        let clock = Silence::new(Instant::now(), &call.limits);
        Self::reading(call, (Box::pin(stream::empty()), reader), clock, ReplyHeaders::default())
    }

    fn reading(call: Call, from: (ByteStream, Reader), clock: Silence, headers: ReplyHeaders) -> Self {
        Self {
            shown: seen_before(&call),
            clock,
            call: Box::new(call),
            source: from.0,
            splitter: Splitter::new(MAX_EVENT_BYTES),
            reader: from.1,
            held: Outgoing::default(),
            tokens: 0,
            written_bytes: 0,
            tokens_in_all: 0,
            first_seen: None,
            visible: false,
            ended: false,
            failed: None,
            handed: false,
            away: false,
            heard: Heard::default(),
            headers,
        }
    }

    /// The next read; `None` once the answer is whole. Safe to drop and call again: nothing is lost.
    ///
    /// # Errors
    /// The stream is unusable from here: `Timeout` or `Stalled`, `Truncated`, `Empty`, `BadReply`, or what the provider
    /// says in it. What it said before that was handed over; [`StreamReply::cut`] is what is left behind.
    pub async fn next(&mut self) -> Result<Option<Item>, Fault> {
        if let Some(fault) = self.failed.take() {
            return Err(fault);
        }
        if self.ended {
            return Ok(self.rest());
        }
        if std::mem::take(&mut self.away) {
            self.clock.listen();
        }
        let was_visible = self.visible;
        let read = self.read().await;
        self.away = true;
        match read {
            Ok(()) if self.ended => Ok(self.rest()),
            Ok(()) => Ok(Some(self.item())),
            Err(fault) if was_visible && self.held.len() > 0 => {
                self.failed = Some(fault);
                Ok(Some(self.item()))
            }
            Err(fault) => {
                if !was_visible {
                    // Nothing of this attempt has reached the client, nor will it.
                    self.shown = seen_before(&self.call);
                }
                Err(fault)
            }
        }
    }

    /// Reads one chunk, and the events that are whole with it.
    async fn read(&mut self) -> Result<(), Fault> {
        let read = tokio::select! {
            biased;
            read = self.source.next() => read,
            awaited = self.clock.passed() => {
                if !self.reader.is_whole() {
                    return Err(silent(awaited));
                }
                // The provider said why the answer ended and then forgot to end it.
                None
            }
        };
        match read {
            Some(Ok(chunk)) => {
                self.heard = Heard::default();
                self.splitter.push(chunk);
                let read = self.events();
                let (visible, whole) = (self.visible, self.reader.is_whole());
                self.clock.heard(Heard { visible, whole, ..self.heard });
                match read {
                    Err(fault) if whole => self.end_despite(&fault),
                    read => read,
                }
            }
            Some(Err(error)) if self.reader.is_whole() => self.end_despite(&Fault::from(error)),
            Some(Err(error)) => Err(Fault { kind: FailureKind::Truncated, ..Fault::from(error) }),
            None => {
                if let Some(event) = self.splitter.finish() {
                    // Half an event is no bad one.
                    let broken = self.fault(truncated());
                    let half = |fault: Fault| match fault.kind {
                        FailureKind::BadReply | FailureKind::Empty => broken,
                        _ => fault,
                    };
                    match self.event(event) {
                        Err(fault) if self.reader.is_whole() => return self.end_despite(&fault),
                        read => read.map_err(half)?,
                    }
                }
                self.end()
            }
        }
    }

    /// The answer had said why it ended before the stream broke.
    fn end_despite(&mut self, fault: &Fault) -> Result<(), Fault> {
        tracing::debug!(%fault, "the stream broke off after its answer");
        self.end()
    }

    /// What is held when the answer has ended, once.
    fn rest(&mut self) -> Option<Item> {
        self.visible = true;
        let item = self.item();
        (item != Item::default()).then_some(item)
    }

    fn item(&mut self) -> Item {
        let bytes = if self.visible { self.held.take() } else { Bytes::new() };
        self.handed |= !bytes.is_empty();
        Item {
            bytes,
            seen: self.first_seen.take(),
            tokens: std::mem::take(&mut self.tokens),
            written_bytes: std::mem::take(&mut self.written_bytes),
        }
    }

    fn events(&mut self) -> Result<(), Fault> {
        while !self.ended {
            let next = self.splitter.next_event();
            let event = next.map_err(|error| Fault::new(FailureKind::BadReply, error.to_string()))?;
            let Some(event) = event else { break };
            self.event(event)?;
        }
        Ok(())
    }

    fn event(&mut self, event: Event) -> Result<(), Fault> {
        let done = match &mut self.reader {
            Reader::Pass(reader) => match reader.event(&event, &mut self.shown) {
                Ok(Step::Forward(seen, written)) => {
                    let (bytes, progress) = (event.into_raw(), seen.is_some());
                    self.bring(Brought { seen, written, bytes, progress });
                    false
                }
                Ok(Step::Keep) => false,
                Ok(Step::Done) => true,
                Err(fault) => return Err(self.fault(fault).told(&self.call.target, event.data())),
            },
            Reader::Translate(translation) => {
                let (brought, read) = translation.event(&event, &mut self.shown);
                let done = translation.is_done();
                self.bring(brought);
                read.map_err(|fault| self.fault(fault).told(&self.call.target, event.data()))?;
                done
            }
            Reader::None => true,
        };
        if done { self.end() } else { Ok(()) }
    }

    fn bring(&mut self, brought: Brought) {
        let tokens = brought.written.text.div_ceil(4);
        self.tokens += tokens;
        self.tokens_in_all += tokens;
        self.written_bytes += brought.written.text + brought.written.calls;
        self.heard.progress |= brought.progress;
        if let Some(seen) = brought.seen.filter(|_| !self.visible) {
            self.visible = true;
            self.first_seen = Some(seen);
        }
        if self.visible || self.held.len() + brought.bytes.len() <= MAX_INVISIBLE_BYTES {
            self.held.push(brought.bytes);
        }
    }

    /// The bytes are over, or the terminal event came.
    fn end(&mut self) -> Result<(), Fault> {
        if self.ended {
            return Ok(());
        }
        let mut wrote = false;
        match &mut self.reader {
            Reader::Pass(reader) if !reader.is_whole() => return Err(self.fault(truncated())),
            Reader::Translate(translation) => {
                let (brought, end) = translation.end(&mut self.shown);
                wrote = translation.wrote();
                self.bring(brought);
                end.map_err(|fault| self.fault(fault))?;
            }
            Reader::Pass(_) | Reader::None => {}
        }
        let envelope = self.call.request.envelope();
        let owed = self.call.goes_on.as_deref().and_then(resume::nothing_left).is_none();
        if owed && is_empty(envelope, self.visible || wrote, self.usage().as_ref(), self.finish()) {
            return Err(empty());
        }
        self.ended = true;
        drain(std::mem::replace(&mut self.source, Box::pin(stream::empty())));
        Ok(())
    }

    fn fault(&self, fault: ReplyFault) -> Fault {
        Fault::of_reply(fault, 200, &self.call.target)
    }

    /// Tokens of this attempt, as last reported.
    pub fn usage(&self) -> Option<Usage> {
        self.reader.usage()
    }

    /// Why the answer ended.
    pub fn finish(&self) -> Option<FinishReason> {
        self.reader.finish()
    }

    /// The provider's own cost, when it gave one.
    pub fn provider_cost(&self) -> Option<Usd> {
        self.reader.provider_cost()
    }

    /// The processing tier the provider used.
    pub fn service_tier(&self) -> ServiceTier {
        self.reader.service_tier()
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
        if self.handed && self.reader.is_whole() {
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

    /// Ends the answer here, because there is no money for more of it: lets the provider go, and returns what tells the
    /// client so, finish reason `length` in its dialect. `usage`: tokens of this attempt, as they will be booked. The end
    /// follows by [`StreamReply::take_end`], as after a whole answer.
    pub fn cut_short(&mut self, usage: Usage) -> Bytes {
        self.source = Box::pin(stream::empty());
        (self.ended, self.visible) = (true, true);
        let mut out = self.held.take().to_vec();
        out.extend(match &mut self.reader {
            Reader::Pass(reader) => reader.cut_short(usage),
            Reader::Translate(translation) => translation.cut_short(usage),
            Reader::None => Vec::new(),
        });
        out.into()
    }

    /// What the headers said.
    pub fn headers(&self) -> &ReplyHeaders {
        &self.headers
    }

    /// The end that was held back: the usage event, when the client asked for one, with this cost and, of an answer that
    /// was gone on with, what came of it; and the terminal event. For after `next` said `None`; written once.
    pub fn take_end(&mut self, cost: Option<Usd>, rescued: Option<Rescued<'_>>) -> Bytes {
        let include_usage = self.call.request.envelope().include_usage;
        let sum = self.usage_in_all();
        Bytes::from(match &mut self.reader {
            Reader::Pass(reader) => reader.end(include_usage, cost),
            Reader::Translate(translation) => translation.write_end(sum.as_ref(), cost, rescued),
            Reader::None => Vec::new(),
        })
    }

    /// Tokens of all attempts of the answer.
    fn usage_in_all(&self) -> Option<Usage> {
        let own = self.usage();
        let Some(cut) = &self.call.goes_on else { return own };
        let mut sum = cut.usage;
        // Nobody counted them: what was seen is better than nothing.
        sum.add(&own.unwrap_or(Usage { output_tokens: self.tokens_in_all, ..Usage::default() }));
        Some(sum)
    }
}

/// What the client has seen of the answer's earlier attempts.
fn seen_before(call: &Call) -> Shown {
    call.goes_on.as_ref().map_or_else(Shown::default, |cut| cut.shown().clone())
}

fn silent(awaited: Awaited) -> Fault {
    match awaited {
        Awaited::FirstByte => late(true),
        Awaited::Show => Fault::new(FailureKind::Timeout, "the stream shows nothing within its time limit"),
        Awaited::Byte | Awaited::End => Fault::new(FailureKind::Stalled, "the stream fell silent"),
        Awaited::More => Fault::new(FailureKind::Stalled, "the stream goes on without its answer"),
    }
}
