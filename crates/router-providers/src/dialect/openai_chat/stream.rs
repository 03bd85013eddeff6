//! Streams that come from a chat completions upstream: read event by event for what passes through, or into deltas.

use router_core::attempt::FailureKind;
use router_core::chat::{Delta, FinishReason, Shown, Usage};
use router_core::failover::Seen;
use router_core::money::Usd;
use router_core::price::ServiceTier;
use serde::Deserialize;

use super::response::{
    bad_reply, costed, fault_of_finish, head, not_json, span_in, usage_object, without_choices,
};
use super::wire::{Choice, Content, Head, Message, Reply, Str, WireUsage, finish};
use crate::dialect::{Decoder, ReplyFault, ReplyMeta};
use crate::error;
use crate::sse::Event;

/// What to do with an event that passes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Forward it. What became visible by it, if anything, and its bytes of text and of calls.
    Forward(Option<Seen>, Written),
    /// Keep it from the client, now or for good.
    Keep,
    /// The answer is whole.
    Done,
}

/// Bytes that a model has written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Of text, refusals and reasoning.
    pub text: u64,
    /// Of tool calls: names, ids and arguments.
    pub calls: u64,
}

/// Reads the events of a stream that passes through, unchanged.
#[derive(Debug, Default)]
pub(crate) struct PassReader {
    /// Tokens, as last reported.
    pub usage: Option<Usage>,
    /// The provider's own cost.
    pub provider_cost: Option<Usd>,
    /// Why it ended.
    pub finish: Option<FinishReason>,
    /// The processing tier the provider says it used.
    pub service_tier: Option<String>,
    /// Choices that have ended.
    finished: u32,
    /// Choices wanted.
    choices: u32,
    /// `[DONE]` came.
    done: bool,
    /// Id, model and creation time of the first chunk.
    head: Option<ReplyMeta>,
    /// They are of a chunk with a choice in it. Azure opens a stream with one that has none, nor an id.
    headed: bool,
    /// The usage event, held until the cost is known.
    usage_event: Option<Event>,
}

/// The terminal event.
pub(super) const DONE: &[u8] = b"data: [DONE]\n\n";

impl PassReader {
    /// A reader for a request that wants so many choices.
    pub(crate) fn new(choices: u32) -> Self {
        Self { choices, ..Self::default() }
    }

    /// Reads one event; text shown by it is appended to `shown`.
    pub(crate) fn event(&mut self, event: &Event, shown: &mut Shown) -> Result<Step, ReplyFault> {
        let Some(data) = event.data() else { return Ok(Step::Forward(None, Written::default())) };
        if data.trim_ascii() == b"[DONE]" {
            self.done = true;
            return Ok(Step::Done);
        }
        let reply: Reply<'_> = serde_json::from_slice(data).map_err(|error| not_json(data, &error))?;
        if reply.error.is_some_and(|raw| raw.get() != "null") {
            return Err(error::read(200, data));
        }
        let with_choice = reply.choices.as_ref().is_some_and(|choices| choices.first.is_some());
        if self.head.is_none() || (with_choice && !self.headed) {
            self.head = Some(head_of(data));
            self.headed = with_choice;
        }
        if let Some(raw) = reply.usage {
            self.note_usage(raw.get());
            self.service_tier =
                reply.service_tier.map(|tier| tier.0.into_owned()).or(self.service_tier.take());
        }
        let Some(choices) = &reply.choices else {
            return if reply.usage.is_some() { Ok(self.hold(event)) } else { Err(without_choices(data)) };
        };
        if choices.first.is_none() && reply.usage.is_some() {
            return Ok(self.hold(event));
        }
        let (mut seen, mut written) = (None, Written::default());
        for choice in choices.iter() {
            // First: of an event that is a fault, the client sees nothing.
            self.note_finish(choice)?;
            if let Some(message) = &choice.message {
                written.text += show(message, shown, &mut seen);
                written.calls += message.call_bytes() as u64;
            }
        }
        Ok(Step::Forward(seen, written))
    }

    fn hold(&mut self, event: &Event) -> Step {
        self.usage_event = Some(event.clone());
        Step::Keep
    }

    fn note_usage(&mut self, text: &str) {
        let Ok(usage) = serde_json::from_str::<WireUsage<'_>>(text) else { return };
        self.usage = Some(usage.to_core());
        self.provider_cost = usage.cost().or(self.provider_cost);
    }

    fn note_finish(&mut self, choice: &Choice<'_>) -> Result<(), ReplyFault> {
        let reason = choice.finish_reason.as_ref().map_or("", |reason| &reason.0);
        if reason.is_empty() {
            return Ok(());
        }
        if let Some(fault) = fault_of_finish(reason) {
            return Err(fault);
        }
        self.finish = self.finish.or(Some(finish(reason)));
        self.finished += 1;
        Ok(())
    }

    /// Every choice has said why it ended, so the end of the bytes is the end of the answer.
    pub(crate) fn is_whole(&self) -> bool {
        self.done || self.finished >= self.choices.max(1)
    }

    /// What the chunks say of the answer they belong to.
    pub(crate) fn head(&self) -> ReplyMeta {
        self.head.clone().unwrap_or_else(|| head_of(b"{}"))
    }

    /// Ends every choice that has not ended, for want of money: the chunk that says so, and these tokens for the end.
    pub(crate) fn cut_short(&mut self, usage: Usage) -> Vec<u8> {
        let mut out = Vec::new();
        let all = self.choices.max(1);
        // Which of several has ended is not known; a second reason for one that has is the smaller harm.
        let ended = if all == 1 { self.finished.min(1) } else { 0 };
        for index in ended..all {
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(&head(&self.head(), "chat.completion.chunk"));
            let rest = format!(
                "\"choices\":[{{\"index\":{index},\"delta\":{{}},\"finish_reason\":\"length\"}}]}}\n\n"
            );
            out.extend_from_slice(rest.as_bytes());
        }
        (self.usage, self.usage_event, self.finish) = (Some(usage), None, Some(FinishReason::Length));
        out
    }

    /// The end as the client gets it: its usage event, if it asked for one, and the terminal event.
    pub(crate) fn end(&self, include_usage: bool, cost: Option<Usd>) -> Vec<u8> {
        let mut out = Vec::new();
        if include_usage {
            match (&self.usage_event, &self.usage) {
                (Some(event), _) => push_costed(event, cost, &mut out),
                (None, Some(usage)) => {
                    // The provider reports usage inside its last chunk; OpenAI's clients expect a chunk of its own.
                    out.extend_from_slice(b"data: ");
                    out.extend_from_slice(&head(&self.head(), "chat.completion.chunk"));
                    out.extend_from_slice(br#""choices":[],"usage":"#);
                    out.extend_from_slice(&usage_object(usage, cost));
                    out.extend_from_slice(b"}\n\n");
                }
                (None, None) => {}
            }
        }
        out.extend_from_slice(DONE);
        out
    }
}

/// Notes what a delta shows; returns its bytes.
fn show(delta: &Message<'_>, shown: &mut Shown, seen: &mut Option<Seen>) -> u64 {
    let (text, refusal, reasoning) = (delta.text(), delta.refusal(), delta.reasoning());
    let mut note = |what: Seen| *seen = seen.or(Some(what));
    if !text.is_empty() {
        shown.push_text(text);
        note(Seen::Text);
    }
    if !refusal.is_empty() {
        shown.refusal = true;
        note(Seen::Text);
    }
    if delta.calls() {
        shown.tool = true;
        note(Seen::Tool);
    }
    if !reasoning.is_empty() {
        shown.reasoning = true;
        note(Seen::Reasoning);
    }
    if delta.media() {
        shown.media = true;
        note(Seen::Text);
    }
    (text.len() + refusal.len() + reasoning.len()) as u64
}

fn head_of(data: &[u8]) -> ReplyMeta {
    let head: Head<'_> = serde_json::from_slice(data).unwrap_or_default();
    let of = |text: Option<Str<'_>>| text.map_or_else(String::new, |text| text.0.into_owned());
    let (id, model, created) = (of(head.id), of(head.model), head.created.unwrap_or(0));
    ReplyMeta { id, model, created, include_usage: false }
}

/// The provider's own usage event, with the cost in it when there is one.
fn push_costed(event: &Event, cost: Option<Usd>, out: &mut Vec<u8>) {
    let raw = event.raw();
    let data = event.data().unwrap_or_default();
    let usage = serde_json::from_slice::<Reply<'_>>(data).ok().and_then(|reply| reply.usage);
    let span = usage.and_then(|usage| span_in(data, usage.get()));
    match (cost, event.data_range(), span) {
        (Some(cost), Some(range), Some(span)) => {
            let (start, end) = (range.start + span.start, range.start + span.end);
            out.extend_from_slice(raw.get(..start).unwrap_or_default());
            out.extend_from_slice(&costed(raw.get(start..end).unwrap_or_default(), cost));
            out.extend_from_slice(raw.get(end..).unwrap_or_default());
        }
        _ => out.extend_from_slice(raw),
    }
}

#[derive(Deserialize)]
struct FullChunk<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(borrow, default)]
    choices: Option<Vec<FullChoice<'a>>>,
    #[serde(borrow, default)]
    usage: Option<WireUsage<'a>>,
}

#[derive(Deserialize)]
struct FullChoice<'a> {
    #[serde(borrow, default)]
    delta: Option<FullDelta<'a>>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct FullDelta<'a> {
    #[serde(borrow, default)]
    content: Option<Content<'a>>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    reasoning_content: Option<String>,
    #[serde(default)]
    reasoning: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<CallDelta>>,
}

#[derive(Deserialize)]
struct CallDelta {
    #[serde(default)]
    index: Option<u32>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: Option<FunctionDelta>,
}

#[derive(Deserialize)]
struct FunctionDelta {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<String>,
}

/// Turns a stream into deltas, for clients of another dialect.
#[derive(Debug, Default)]
pub(super) struct ChatDecoder {
    started: bool,
    /// The provider's indices of the calls begun, in order.
    calls: Vec<u32>,
    finished: bool,
    done: bool,
    provider_cost: Option<Usd>,
    service_tier: Option<String>,
}

impl Decoder for ChatDecoder {
    fn event(&mut self, _name: Option<&str>, data: &[u8], out: &mut Vec<Delta>) -> Result<(), ReplyFault> {
        if data.trim_ascii() == b"[DONE]" {
            self.done = true;
            return Ok(());
        }
        let outline: Reply<'_> = serde_json::from_slice(data).map_err(|error| not_json(data, &error))?;
        if outline.error.is_some_and(|raw| raw.get() != "null") {
            return Err(error::read(200, data));
        }
        if outline.choices.is_none() && outline.usage.is_none() {
            return Err(without_choices(data));
        }
        let chunk: FullChunk<'_> = serde_json::from_slice(data).map_err(|error| not_json(data, &error))?;
        if !std::mem::replace(&mut self.started, true) {
            out.push(Delta::Start { id: chunk.id, model: chunk.model });
        }
        if let Some(choice) = chunk.choices.into_iter().flatten().next() {
            if let Some(delta) = choice.delta {
                self.delta(delta, out)?;
            }
            if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
                if let Some(fault) = fault_of_finish(&reason) {
                    return Err(fault);
                }
                self.finished = true;
                out.push(Delta::Finish(finish(&reason)));
            }
        }
        if let Some(usage) = chunk.usage {
            self.provider_cost = usage.cost().or(self.provider_cost);
            self.service_tier =
                outline.service_tier.map(|tier| tier.0.into_owned()).or(self.service_tier.take());
            out.push(Delta::Usage(usage.to_core()));
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn end(&mut self, _out: &mut Vec<Delta>) -> Result<(), ReplyFault> {
        if self.done || self.finished {
            return Ok(());
        }
        Err(truncated())
    }

    fn service_tier(&self) -> ServiceTier {
        self.service_tier.as_deref().map(ServiceTier::named).unwrap_or_default()
    }

    fn provider_cost(&self) -> Option<Usd> {
        self.provider_cost
    }
}

/// The bytes ended before the answer did.
pub(crate) fn truncated() -> ReplyFault {
    ReplyFault {
        kind: FailureKind::Truncated,
        message: "the stream ended before the answer did".to_owned(),
        code: None,
    }
}

impl ChatDecoder {
    fn delta(&mut self, delta: FullDelta<'_>, out: &mut Vec<Delta>) -> Result<(), ReplyFault> {
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        out.extend(filled(delta.reasoning_content).or_else(|| filled(delta.reasoning)).map(Delta::Reasoning));
        out.extend(delta.content.map(|c| c.text.into_owned()).filter(|t| !t.is_empty()).map(Delta::Text));
        out.extend(filled(delta.refusal).map(Delta::Refusal));
        for call in delta.tool_calls.unwrap_or_default() {
            let theirs = call.index.unwrap_or(0);
            let function = call.function.unwrap_or(FunctionDelta { name: None, arguments: None });
            let known = self.calls.iter().position(|index| *index == theirs);
            let at = known.unwrap_or(self.calls.len());
            let index = u32::try_from(at).unwrap_or(u32::MAX);
            if known.is_none() {
                let Some(name) = filled(function.name) else {
                    return Err(bad_reply("a tool call begins without a name"));
                };
                self.calls.push(theirs);
                let id = filled(call.id).unwrap_or_else(|| format!("call_{index}"));
                out.push(Delta::ToolStart { index, id, name });
            }
            out.extend(filled(function.arguments).map(|json| Delta::ToolArguments { index, json }));
        }
        Ok(())
    }
}
