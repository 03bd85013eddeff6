//! A stream read in the upstream's dialect and written in the client's; of an answer that is gone on from, only what the
//! client has not seen.

use bytes::Bytes;
use router_core::attempt::FailureKind;
use router_core::chat::{Delta, FinishReason, Shown, Usage};
use router_core::failover::Seen;
use router_core::money::Usd;
use router_core::price::ServiceTier;
use serde_json::Value;

use super::Cut;
use super::resume::is_structured;
use super::splice::{Join, Splice, Unjoined};
use crate::dialect::openai_chat::stream::Written;
use crate::dialect::{Decoder, Encoder, ReplyFault, Rescued};
use crate::sse::Event;

/// A stream of one dialect written in another: the deltas in between.
pub(super) struct Translation {
    decoder: Box<dyn Decoder>,
    encoder: Box<dyn Encoder>,
    joint: Option<Joint>,
    deltas: Vec<Delta>,
    out: Vec<u8>,
    pub(super) usage: Option<Usage>,
    pub(super) finish: Option<FinishReason>,
}

/// What joins a continuation to what was shown.
struct Joint {
    splice: Splice,
    /// The form structured output must have.
    form: Option<Form>,
}

/// What can be said of structured output without its whole schema.
struct Form {
    object: bool,
    required: Vec<String>,
}

/// What an event brought.
#[derive(Default)]
pub(super) struct Brought {
    /// What it shows.
    pub(super) seen: Option<Seen>,
    /// The bytes the model wrote in it.
    pub(super) written: Written,
    /// Its bytes for the client.
    pub(super) bytes: Bytes,
    /// The model wrote something, shown or not.
    pub(super) progress: bool,
}

impl Translation {
    pub(super) fn new(decoder: Box<dyn Decoder>, encoder: Box<dyn Encoder>) -> Self {
        Self { decoder, encoder, joint: None, deltas: Vec::new(), out: Vec::new(), usage: None, finish: None }
    }

    /// The same for the rest of an answer that broke off.
    pub(super) fn going_on(mut self, cut: &Cut, join: Join) -> Self {
        let structured = is_structured(cut);
        // A beginning that is not JSON makes no cut, see there.
        let splice = Splice::new(cut.shown.text(), join, structured);
        self.joint = splice.ok().map(|splice| Joint { splice, form: structured.then(|| Form::of(cut)) });
        self
    }

    /// The answer is whole: it has said why it ended.
    pub(super) fn is_whole(&self) -> bool {
        self.finish.is_some() || (self.joint.is_none() && self.decoder.is_done())
    }

    /// The terminal event came.
    pub(super) fn is_done(&self) -> bool {
        self.decoder.is_done()
    }

    /// The model has written something, shown or not.
    pub(super) fn wrote(&self) -> bool {
        self.joint.as_ref().is_some_and(|joint| joint.splice.wrote())
    }

    pub(super) fn service_tier(&self) -> ServiceTier {
        self.decoder.service_tier()
    }

    pub(super) fn provider_cost(&self) -> Option<Usd> {
        self.decoder.provider_cost()
    }

    /// Ends the answer here, for want of money: what says so, and these tokens for the end.
    pub(super) fn cut_short(&mut self, usage: Usage) -> Vec<u8> {
        if self.finish.is_none() {
            self.finish = Some(FinishReason::Length);
            self.encoder.delta(&Delta::Finish(FinishReason::Length), &mut self.out);
        }
        self.usage = Some(usage);
        std::mem::take(&mut self.out)
    }

    /// The end in the client's dialect.
    pub(super) fn write_end(
        &mut self,
        usage: Option<&Usage>,
        cost: Option<Usd>,
        rescued: Option<Rescued<'_>>,
    ) -> Vec<u8> {
        let mut out = Vec::new();
        self.encoder.end(usage, cost, rescued, &mut out);
        out
    }

    /// Reads one event. What it brought before it failed is the client's all the same.
    pub(super) fn event(&mut self, event: &Event, shown: &mut Shown) -> (Brought, Result<(), ReplyFault>) {
        let read = match event.data() {
            Some(data) => self.decoder.event(event.name(), data, &mut self.deltas),
            None => Ok(()),
        };
        match read {
            Ok(()) => self.write(shown),
            Err(fault) => (Brought::default(), Err(fault)),
        }
    }

    /// The bytes are over.
    pub(super) fn end(&mut self, shown: &mut Shown) -> (Brought, Result<(), ReplyFault>) {
        if let Err(fault) = self.decoder.end(&mut self.deltas) {
            return (Brought::default(), Err(fault));
        }
        let says_why = self.deltas.iter().any(|delta| matches!(delta, Delta::Finish(_)));
        if self.joint.is_some() && self.finish.is_none() && !says_why {
            // A provider that ends without a reason: the client is owed one.
            self.deltas.push(Delta::Finish(FinishReason::Stop));
        }
        self.write(shown)
    }

    /// Writes the deltas decoded, and notes what they show.
    fn write(&mut self, shown: &mut Shown) -> (Brought, Result<(), ReplyFault>) {
        let (mut brought, mut result) = (Brought::default(), Ok(()));
        for delta in std::mem::take(&mut self.deltas) {
            // What is not shown was written all the same, and is paid for.
            brought.progress |= count(&delta, &mut brought.written);
            match self.join(delta, shown) {
                Ok(deltas) => {
                    deltas.into_iter().flatten().for_each(|delta| self.show(&delta, shown, &mut brought));
                }
                Err(fault) => {
                    result = Err(fault);
                    break;
                }
            }
        }
        brought.bytes = Bytes::from(std::mem::take(&mut self.out));
        (brought, result)
    }

    /// Notes what one delta shows, and writes it.
    fn show(&mut self, delta: &Delta, shown: &mut Shown, brought: &mut Brought) {
        let what = match delta {
            Delta::Text(text) => {
                shown.push_text(text);
                Some(Seen::Text)
            }
            Delta::Refusal(_) => {
                shown.refusal = true;
                Some(Seen::Text)
            }
            Delta::Reasoning(_) => {
                shown.reasoning = true;
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
        brought.seen = brought.seen.or(what);
        brought.progress |= what.is_some();
        self.encoder.delta(delta, &mut self.out);
    }

    /// What of one delta is for the client: of a continuation, what it has not seen.
    fn join(&mut self, delta: Delta, shown: &Shown) -> Result<[Option<Delta>; 2], ReplyFault> {
        let Some(Joint { splice, form }) = &mut self.joint else { return Ok([Some(delta), None]) };
        let text = |text: String| (!text.is_empty()).then_some(Delta::Text(text));
        Ok(match delta {
            Delta::Text(more) => [text(splice.push(&more).map_err(unjoined)?), None],
            // It would think about the interruption, of which the client knows nothing.
            Delta::Reasoning(_) => [None, None],
            Delta::Refusal(_) => {
                return Err(bad_reply("the model refuses to go on with an answer that was begun"));
            }
            Delta::ToolStart { .. } | Delta::ToolArguments { .. } => {
                *form = None;
                [text(splice.flush().map_err(unjoined)?), Some(delta)]
            }
            Delta::Finish(reason) => {
                let rest = splice.flush().map_err(unjoined)?;
                if let Some(form) = form.as_ref().filter(|_| reason == FinishReason::Stop) {
                    if !splice.is_whole() {
                        return Err(unjoined(Unjoined::Unfinished));
                    }
                    // Of more text than is kept, only its grammar was checked, as it came.
                    if !shown.is_capped() {
                        form.check(&[shown.text(), &rest].concat()).map_err(unjoined)?;
                    }
                }
                [text(rest), Some(delta)]
            }
            Delta::Start { .. } | Delta::Usage(_) => [Some(delta), None],
        })
    }
}

/// Counts what the model wrote; whether it wrote anything.
fn count(delta: &Delta, written: &mut Written) -> bool {
    let (counter, text) = match delta {
        Delta::Text(text) | Delta::Refusal(text) | Delta::Reasoning(text) => (&mut written.text, text),
        Delta::ToolStart { name: text, .. } | Delta::ToolArguments { json: text, .. } => {
            (&mut written.calls, text)
        }
        Delta::Start { .. } | Delta::Usage(_) | Delta::Finish(_) => return false,
    };
    *counter += text.len() as u64;
    !text.is_empty()
}

fn bad_reply(message: impl Into<String>) -> ReplyFault {
    ReplyFault { kind: FailureKind::BadReply, message: message.into(), code: None }
}

fn unjoined(why: Unjoined) -> ReplyFault {
    bad_reply(why.to_string())
}

impl Form {
    fn of(cut: &Cut) -> Self {
        use router_core::chat::ResponseFormat as F;
        match cut.request.conversation().map(|all| &all.response_format) {
            Ok(F::JsonSchema { schema, .. }) => {
                let schema: Value = serde_json::from_str(schema.get()).unwrap_or_default();
                let names = schema.get("required").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                Self {
                    object: schema.get("type").and_then(Value::as_str) == Some("object"),
                    required: names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect(),
                }
            }
            Ok(F::JsonObject) => Self { object: true, required: Vec::new() },
            Ok(F::Text) | Err(_) => Self { object: false, required: Vec::new() },
        }
    }

    fn check(&self, text: &str) -> Result<(), Unjoined> {
        let value: Value = serde_json::from_str(text).map_err(|_| Unjoined::NotJson)?;
        let members = value.as_object();
        let lacks = |name: &String| members.is_some_and(|members| !members.contains_key(name));
        match (self.object && members.is_none()) || self.required.iter().any(lacks) {
            true => Err(Unjoined::Form),
            false => Ok(()),
        }
    }
}

/// Reads nothing: for an answer of which nothing is left to ask for, for this reason.
pub(super) struct NothingLeft(pub(super) FinishReason);

impl Decoder for NothingLeft {
    fn event(&mut self, _: Option<&str>, _: &[u8], _: &mut Vec<Delta>) -> Result<(), ReplyFault> {
        Ok(())
    }

    fn is_done(&self) -> bool {
        false
    }

    fn end(&mut self, out: &mut Vec<Delta>) -> Result<(), ReplyFault> {
        out.extend([Delta::Usage(Usage::default()), Delta::Finish(self.0)]);
        Ok(())
    }
}
