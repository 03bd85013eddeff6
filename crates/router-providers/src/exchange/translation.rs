//! A stream read in the upstream's dialect and written in the client's.

use bytes::Bytes;
use router_core::chat::{Delta, FinishReason, Shown, Usage};
use router_core::failover::Seen;
use router_core::money::Usd;

use crate::dialect::{Decoder, Encoder, ReplyFault};
use crate::sse::Event;

/// A stream of one dialect written in another: the deltas in between.
pub(super) struct Translation {
    decoder: Box<dyn Decoder>,
    encoder: Box<dyn Encoder>,
    deltas: Vec<Delta>,
    out: Vec<u8>,
    pub(super) usage: Option<Usage>,
    pub(super) finish: Option<FinishReason>,
}

/// What an event brought: what it shows, about how many tokens, its bytes for the client, and whether it was the last.
pub(super) type Brought = (Option<Seen>, u64, Bytes, bool);

impl Translation {
    pub(super) fn new(decoder: Box<dyn Decoder>, encoder: Box<dyn Encoder>) -> Self {
        Self { decoder, encoder, deltas: Vec::new(), out: Vec::new(), usage: None, finish: None }
    }

    /// The answer is whole.
    pub(super) fn is_done(&self) -> bool {
        self.decoder.is_done()
    }

    /// The end in the client's dialect.
    pub(super) fn write_end(&mut self, cost: Option<Usd>) -> Vec<u8> {
        let mut out = Vec::new();
        self.encoder.end(self.usage.as_ref(), cost, &mut out);
        out
    }

    pub(super) fn event(&mut self, event: &Event, shown: &mut Shown) -> Result<Brought, ReplyFault> {
        if let Some(data) = event.data() {
            self.decoder.event(event.name(), data, &mut self.deltas)?;
        }
        Ok(self.write(shown))
    }

    pub(super) fn end(&mut self, shown: &mut Shown) -> Result<Brought, ReplyFault> {
        self.decoder.end(&mut self.deltas)?;
        Ok(self.write(shown))
    }

    /// Writes the deltas decoded, and notes what they show.
    fn write(&mut self, shown: &mut Shown) -> Brought {
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
        let written = Bytes::from(std::mem::take(&mut self.out));
        (seen, (bytes as u64).div_ceil(4), written, self.decoder.is_done())
    }
}
