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
use crate::dialect::{Decoder, Encoder, ReplyFault};
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
    /// About how many tokens.
    pub(super) tokens: u64,
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

    /// The end in the client's dialect.
    pub(super) fn write_end(&mut self, usage: Option<&Usage>, cost: Option<Usd>) -> Vec<u8> {
        let mut out = Vec::new();
        self.encoder.end(usage, cost, &mut out);
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
        let mut bytes = 0;
        for delta in std::mem::take(&mut self.deltas) {
            let written = match &mut self.joint {
                None => self.show(&delta, shown, &mut brought),
                Some(_) => match self.join(delta, shown) {
                    Ok(deltas) => {
                        brought.progress |= deltas.1;
                        deltas.0.into_iter().flatten().map(|d| self.show(&d, shown, &mut brought)).sum()
                    }
                    Err(fault) => {
                        result = Err(fault);
                        break;
                    }
                },
            };
            bytes += written;
        }
        brought.tokens = (bytes as u64).div_ceil(4);
        brought.bytes = Bytes::from(std::mem::take(&mut self.out));
        (brought, result)
    }

    /// Notes what one delta shows, and writes it; returns the bytes of text in it.
    fn show(&mut self, delta: &Delta, shown: &mut Shown, brought: &mut Brought) -> usize {
        let mut length = 0;
        let what = match delta {
            Delta::Text(text) => {
                shown.push_text(text);
                length = text.len();
                Some(Seen::Text)
            }
            Delta::Refusal(text) => {
                shown.refusal = true;
                length = text.len();
                Some(Seen::Text)
            }
            Delta::Reasoning(text) => {
                shown.reasoning = true;
                length = text.len();
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
        length
    }

    /// What of one delta of a continuation is for the client, and whether the model wrote something by it.
    fn join(&mut self, delta: Delta, shown: &Shown) -> Result<([Option<Delta>; 2], bool), ReplyFault> {
        let Some(Joint { splice, form }) = &mut self.joint else { return Ok(([Some(delta), None], false)) };
        let text = |text: String| (!text.is_empty()).then_some(Delta::Text(text));
        Ok(match delta {
            Delta::Text(more) => ([text(splice.push(&more).map_err(unjoined)?), None], true),
            // It would think about the interruption, of which the client knows nothing.
            Delta::Reasoning(_) => ([None, None], true),
            Delta::Refusal(_) => {
                return Err(bad_reply("the model refuses to go on with an answer that was begun"));
            }
            Delta::ToolStart { .. } | Delta::ToolArguments { .. } => {
                *form = None;
                ([text(splice.flush().map_err(unjoined)?), Some(delta)], true)
            }
            Delta::Finish(reason) => {
                let rest = splice.flush().map_err(unjoined)?;
                if let Some(form) = form.as_ref().filter(|_| reason == FinishReason::Stop) {
                    if !splice.is_whole() {
                        return Err(unjoined(Unjoined::Unfinished));
                    }
                    form.check(&[shown.text(), &rest].concat()).map_err(unjoined)?;
                }
                ([text(rest), Some(delta)], false)
            }
            Delta::Start { .. } | Delta::Usage(_) => ([Some(delta), None], false),
        })
    }
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
        let (mut object, mut required) = (true, Vec::new());
        if let Ok(F::JsonSchema { schema, .. }) = cut.request.conversation().map(|all| &all.response_format) {
            let schema: Value = serde_json::from_str(schema.get()).unwrap_or_default();
            object = schema.get("type").and_then(Value::as_str) == Some("object");
            let names = schema.get("required").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            required = names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect();
        }
        Self { object, required }
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

/// Reads nothing: for an answer of which the client's own limit leaves nothing to ask for.
pub(super) struct NothingLeft;

impl Decoder for NothingLeft {
    fn event(&mut self, _: Option<&str>, _: &[u8], _: &mut Vec<Delta>) -> Result<(), ReplyFault> {
        Ok(())
    }

    fn is_done(&self) -> bool {
        false
    }

    fn end(&mut self, out: &mut Vec<Delta>) -> Result<(), ReplyFault> {
        out.extend([Delta::Usage(Usage::default()), Delta::Finish(FinishReason::Length)]);
        Ok(())
    }
}
