//! A streamed answer: events forwarded or translated, what is visible noted, silence and early ends caught, the end held
//! back until the caller has booked it.

use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use router_core::attempt::FailureKind;
use router_core::chat::{Delta, FinishReason, Shown, Usage};
use router_core::failover::Seen;
use router_core::money::Usd;
use router_core::price::ServiceTier;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{Call, Fault, ReplyHeaders, empty, is_empty, late};
use crate::dialect::openai_chat::stream::{PassReader, Step, truncated};
use crate::dialect::{Decoder, Encoder, ReplyFault, client};
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

struct Translation {
    decoder: Box<dyn Decoder>,
    encoder: Box<dyn Encoder>,
    deltas: Vec<Delta>,
    out: Vec<u8>,
    usage: Option<Usage>,
    finish: Option<FinishReason>,
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
        let reader = if call.target.dialect == envelope.dialect {
            Reader::Pass(Box::new(PassReader::new(envelope.n)))
        } else {
            client(envelope.dialect).map_or(Reader::None, |client| {
                Reader::Translate(Box::new(Translation {
                    decoder: call.target.upstream.decoder(),
                    encoder: client.encoder(call.meta.clone()),
                    deltas: Vec::new(),
                    out: Vec::new(),
                    usage: None,
                    finish: None,
                }))
            })
        };
        Self {
            clock: Silence::new(started + call.limits.first_byte, call.limits.idle),
            call,
            source,
            splitter: Splitter::new(MAX_EVENT_BYTES),
            reader,
            shown: Shown::default(),
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
            () = self.clock.passed() => return Err(self.silent()),
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
        let step = match &mut self.reader {
            Reader::Pass(reader) => reader.event(&event, &mut self.shown),
            Reader::Translate(translation) => translation.event(&event, &mut self.shown),
            Reader::None => Ok(Step::Done),
        };
        match step.map_err(|fault| self.fault(fault))? {
            Step::Forward(seen, tokens) => {
                self.see(seen, tokens);
                let bytes = match &mut self.reader {
                    Reader::Translate(translation) => Bytes::from(std::mem::take(&mut translation.out)),
                    Reader::Pass(_) | Reader::None => event.into_raw(),
                };
                self.held.push(bytes);
                Ok(())
            }
            Step::Keep => Ok(()),
            Step::Done => self.end(),
        }
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
                let step = translation
                    .end(&mut self.shown)
                    .map_err(|fault| Fault::of_reply(fault, 200, &self.call.target))?;
                let bytes = Bytes::from(std::mem::take(&mut translation.out));
                if let Step::Forward(seen, tokens) = step {
                    self.see(seen, tokens);
                }
                self.held.push(bytes);
            }
            Reader::Pass(_) | Reader::None => {}
        }
        let envelope = self.call.request.envelope();
        if is_empty(envelope, self.visible, self.usage().as_ref(), self.finish()) {
            return Err(empty());
        }
        self.ended = true;
        Ok(())
    }

    /// The answer has said why it ended, although its terminal event has not come.
    fn is_whole(&self) -> bool {
        match &self.reader {
            Reader::Pass(reader) => reader.is_whole(),
            Reader::Translate(translation) => translation.decoder.is_done(),
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
            Reader::Translate(translation) => {
                let mut out = Vec::new();
                translation.encoder.end(translation.usage.as_ref(), cost, &mut out);
                out
            }
            Reader::None => Vec::new(),
        };
        Bytes::from(end)
    }
}

impl Translation {
    fn event(&mut self, event: &Event, shown: &mut Shown) -> Result<Step, ReplyFault> {
        let Some(data) = event.data() else { return Ok(Step::Keep) };
        self.decoder.event(event.name(), data, &mut self.deltas)?;
        let step = self.write(shown);
        Ok(if self.decoder.is_done() { self.done(step) } else { step })
    }

    /// The terminal event may bring deltas of its own; they are written before the end.
    fn done(&mut self, step: Step) -> Step {
        if self.out.is_empty() { Step::Done } else { step }
    }

    fn end(&mut self, shown: &mut Shown) -> Result<Step, ReplyFault> {
        self.decoder.end(&mut self.deltas)?;
        Ok(self.write(shown))
    }

    /// Writes the deltas decoded, and notes what they show.
    fn write(&mut self, shown: &mut Shown) -> Step {
        let (mut seen, mut bytes) = (None, 0);
        for delta in self.deltas.drain(..) {
            let what = match &delta {
                Delta::Text(text) => {
                    shown.push_text(text);
                    bytes += text.len();
                    Some(Seen::Text)
                }
                Delta::Refusal(text) => {
                    shown.refusal = true;
                    bytes += text.len();
                    Some(Seen::Text)
                }
                Delta::Reasoning(text) => {
                    shown.reasoning = true;
                    bytes += text.len();
                    Some(Seen::Reasoning)
                }
                Delta::ToolStart { .. } | Delta::ToolArguments { .. } => {
                    shown.tool = true;
                    Some(Seen::Tool)
                }
                Delta::Usage(usage) => {
                    self.usage = Some(*usage);
                    None
                }
                Delta::Finish(reason) => {
                    self.finish = Some(*reason);
                    None
                }
                Delta::Start { .. } => None,
            };
            seen = seen.or(what);
            self.encoder.delta(&delta, &mut self.out);
        }
        Step::Forward(seen, (bytes as u64).div_ceil(4))
    }
}

/// Bytes on their way to the client: one slice uncopied, several joined.
#[derive(Default)]
struct Outgoing {
    one: Bytes,
    joined: BytesMut,
}

impl Outgoing {
    fn len(&self) -> usize {
        self.one.len() + self.joined.len()
    }

    fn push(&mut self, bytes: Bytes) {
        if self.len() == 0 {
            self.one = bytes;
            return;
        }
        self.joined.extend_from_slice(&std::mem::take(&mut self.one));
        self.joined.extend_from_slice(&bytes);
    }

    fn take(&mut self) -> Bytes {
        if self.joined.is_empty() { std::mem::take(&mut self.one) } else { self.joined.split().freeze() }
    }
}

/// Silence, measured with one timer that is set again only when it rings: noting a chunk costs one reading of the clock.
struct Silence {
    timer: Pin<Box<Sleep>>,
    deadline: Instant,
    idle: std::time::Duration,
    heard: bool,
}

impl Silence {
    fn new(first: Instant, idle: std::time::Duration) -> Self {
        Self { timer: Box::pin(sleep_until(first)), deadline: first, idle, heard: false }
    }

    fn heard(&mut self) {
        self.deadline = Instant::now() + self.idle;
        // A timer that rings later than the deadline must be set at once: only the first byte's limit can be longer.
        if !std::mem::replace(&mut self.heard, true) && self.timer.deadline() > self.deadline {
            self.timer.as_mut().reset(self.deadline);
        }
    }

    fn heard_once(&self) -> bool {
        self.heard
    }

    async fn passed(&mut self) {
        loop {
            self.timer.as_mut().await;
            if Instant::now() >= self.deadline {
                return;
            }
            self.timer.as_mut().reset(self.deadline);
        }
    }
}
