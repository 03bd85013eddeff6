//! Whole answers: read for what routing and accounting need, given their cost, or turned into core's form; and written.

use bytes::Bytes;
use router_core::attempt::FailureKind;
use router_core::chat::{Answer, FinishReason, Part, Span, Usage};
use router_core::money::Usd;
use serde::{Deserialize, Serialize};

use super::wire::{Content, Reply, Str, WireUsage, finish, finish_name};
use crate::dialect::{ReplyFault, ReplyMeta};
use crate::error;
use crate::json::{Cursor, Kind};
use crate::transport::Pieces;

/// What an answer passed through says.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    /// Tokens, when reported.
    pub usage: Option<Usage>,
    /// Where the `usage` object stands.
    pub usage_span: Option<Span>,
    /// The provider's own cost.
    pub provider_cost: Option<Usd>,
    /// Why it ended; the first choice's reason.
    pub finish: Option<FinishReason>,
    /// There is something in it: text, a call, a refusal, reasoning, media.
    pub visible: bool,
    /// The processing tier the provider says it used.
    pub service_tier: Option<String>,
}

/// A fault that nothing but the text describes.
pub(super) fn bad_reply(message: impl Into<String>) -> ReplyFault {
    ReplyFault { kind: FailureKind::BadReply, message: message.into(), code: None }
}

/// Finish reasons that are faults: OpenRouter's `error`, what vLLM, SGLang and Z.ai say of an answer that they gave up in the
/// middle, Z.ai's broken connection, DeepSeek's interruption for lack of capacity. The answer has not ended.
pub(super) fn fault_of_finish(reason: &str) -> Option<ReplyFault> {
    let kind = match reason {
        "error" | "abort" | "network_error" => FailureKind::Unavailable,
        "insufficient_system_resource" => FailureKind::Overloaded,
        _ => return None,
    };
    let message = format!("the provider ended the answer with \"{reason}\"");
    Some(ReplyFault { kind, message, code: Some(reason.to_owned()) })
}

/// What bytes that are not the expected JSON are.
pub(super) fn not_json(body: &[u8], error: &serde_json::Error) -> ReplyFault {
    let start = body.iter().find(|byte| !byte.is_ascii_whitespace());
    match start {
        None => {
            ReplyFault { kind: FailureKind::Empty, message: "a reply without a body".to_owned(), code: None }
        }
        Some(b'<') => bad_reply("the answer is a web page, not JSON"),
        Some(_) if error.is_eof() => ReplyFault {
            kind: FailureKind::Truncated,
            message: "the answer ends before its JSON does".to_owned(),
            code: None,
        },
        Some(_) => bad_reply(format!("the answer is not a chat completion (byte {})", error.column())),
    }
}

/// Reads an answer that is passed through.
pub(crate) fn read_whole(body: &[u8]) -> Result<Whole, ReplyFault> {
    let reply: Reply<'_> = serde_json::from_slice(body).map_err(|error| not_json(body, &error))?;
    if let Some(fault) = reply.error.filter(|raw| raw.get() != "null").map(|_| error::read(200, body)) {
        return Err(fault);
    }
    let Some(choices) = reply.choices else { return Err(without_choices(body)) };
    let mut whole =
        Whole { service_tier: reply.service_tier.map(|tier| tier.0.into_owned()), ..Whole::default() };
    for choice in choices.iter() {
        if let Some(message) = &choice.message {
            whole.visible |= !message.text().is_empty()
                || !message.refusal().is_empty()
                || !message.reasoning().is_empty()
                || message.calls()
                || message.media();
        }
        let reason = choice.finish_reason.as_ref().map_or("", |reason| &reason.0);
        if let Some(fault) = fault_of_finish(reason) {
            return Err(fault);
        }
        if whole.finish.is_none() && !reason.is_empty() {
            whole.finish = Some(finish(reason));
        }
    }
    if let Some(raw) = reply.usage.filter(|raw| raw.get() != "null") {
        let usage: WireUsage<'_> = serde_json::from_str(raw.get())
            .map_err(|_| bad_reply("the answer's usage is not an object of counts"))?;
        whole.usage = Some(usage.to_core());
        whole.provider_cost = usage.cost();
        whole.usage_span = span_in(body, raw.get());
    }
    Ok(whole)
}

/// Where a borrowed part stands in the text it was borrowed from.
pub(super) fn span_in(whole: &[u8], part: &str) -> Option<Span> {
    let start = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize)?;
    let end = start.checked_add(part.len())?;
    (end <= whole.len()).then_some(start..end)
}

/// JSON without choices: an error in another form, or something else altogether.
pub(super) fn without_choices(body: &[u8]) -> ReplyFault {
    #[derive(Deserialize)]
    struct Other<'a> {
        #[serde(borrow)]
        object: Option<Str<'a>>,
        message: Option<serde::de::IgnoredAny>,
        detail: Option<serde::de::IgnoredAny>,
    }
    match serde_json::from_slice::<Other<'_>>(body) {
        Ok(other)
            if other.object.as_ref().is_some_and(|object| object.0 == "error")
                || other.message.is_some()
                || other.detail.is_some() =>
        {
            error::read(200, body)
        }
        _ => bad_reply("the answer has no choices"),
    }
}

/// The answer with its cost in `usage`; unchanged when there is nothing to add or nowhere to add it.
pub(crate) fn with_cost(body: &Bytes, usage: Option<&Span>, cost: Option<Usd>) -> Pieces {
    let (Some(span), Some(cost)) = (usage, cost) else {
        return Pieces::from_iter([body.clone()]);
    };
    let object = costed(body.get(span.clone()).unwrap_or_default(), cost);
    Pieces::from_iter([body.slice(..span.start), Bytes::from(object), body.slice(span.end..)])
}

/// A `usage` object with our cost in place of any the provider gave.
pub(super) fn costed(object: &[u8], cost: Usd) -> Vec<u8> {
    let mut text = Vec::with_capacity(object.len() + 96);
    text.push(b'{');
    let mut cursor = Cursor::new(object, usize::MAX);
    if cursor.kind() == Ok(Kind::Object) && cursor.enter().is_ok() {
        let mut first = true;
        while let Ok(Some(key)) = cursor.key(&mut first) {
            let Ok(value) = cursor.skip() else { break };
            if !matches!(&*cursor.unescape(&key), "cost" | "cost_details") {
                text.extend_from_slice(object.get(key.span.start - 1..value.end).unwrap_or_default());
                text.push(b',');
            }
        }
    }
    push_cost(&mut text, cost);
    text.push(b'}');
    text
}

/// `cost` is a number, as OpenRouter's; `cost_details` says what of it was paid upstream, which for us is all.
fn push_cost(text: &mut Vec<u8>, cost: Usd) {
    text.extend_from_slice(
        format!(r#""cost":{cost},"cost_details":{{"upstream_inference_cost":{cost}}}"#).as_bytes(),
    );
}

/// A `usage` object for these counts.
pub(super) fn usage_object(usage: &Usage, cost: Option<Usd>) -> Vec<u8> {
    let total = usage.input_tokens.saturating_add(usage.output_tokens);
    let writes = usage.cache_write_tokens.saturating_add(usage.cache_write_1h_tokens);
    let mut text = format!(
        concat!(
            r#"{{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},"#,
            r#""prompt_tokens_details":{{"cached_tokens":{},"cache_write_tokens":{},"audio_tokens":{}}},"#,
            r#""completion_tokens_details":{{"reasoning_tokens":{},"audio_tokens":{}}}"#
        ),
        usage.input_tokens,
        usage.output_tokens,
        total,
        usage.cached_input_tokens,
        writes,
        usage.audio_input_tokens,
        usage.reasoning_tokens,
        usage.audio_output_tokens,
    )
    .into_bytes();
    if let Some(cost) = cost {
        text.push(b',');
        push_cost(&mut text, cost);
    }
    text.push(b'}');
    text
}

#[derive(Deserialize)]
struct FullReply<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(borrow)]
    choices: Vec<FullChoice<'a>>,
    #[serde(borrow, default)]
    usage: Option<WireUsage<'a>>,
}

#[derive(Deserialize)]
struct FullChoice<'a> {
    #[serde(borrow)]
    message: FullMessage<'a>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct FullMessage<'a> {
    #[serde(borrow, default)]
    content: Option<Content<'a>>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    reasoning_content: Option<String>,
    #[serde(default)]
    reasoning: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<Call>>,
}

/// A tool call of an answer or a message.
#[derive(Deserialize)]
pub(super) struct Call {
    #[serde(default)]
    pub id: String,
    pub function: CallFunction,
}

#[derive(Deserialize)]
pub(super) struct CallFunction {
    pub name: String,
    #[serde(default)]
    pub arguments: String,
}

impl From<Call> for Part {
    fn from(call: Call) -> Self {
        Self::ToolCall { id: call.id, name: call.function.name, arguments: call.function.arguments }
    }
}

/// Reads an answer into core's form: its first choice.
pub(super) fn read_answer(body: &[u8]) -> Result<Answer, ReplyFault> {
    read_whole(body)?;
    let reply: FullReply<'_> = serde_json::from_slice(body).map_err(|error| not_json(body, &error))?;
    let Some(choice) = reply.choices.into_iter().next() else {
        return Err(bad_reply("the answer has no choices"));
    };
    let message = choice.message;
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    let mut parts = Vec::new();
    parts.extend(message.content.map(|c| c.text.into_owned()).filter(|t| !t.is_empty()).map(Part::Text));
    parts.extend(filled(message.refusal).map(Part::Refusal));
    parts.extend(message.tool_calls.unwrap_or_default().into_iter().map(Part::from));
    Ok(Answer {
        id: reply.id,
        model: reply.model,
        parts,
        reasoning: filled(message.reasoning_content).or_else(|| filled(message.reasoning)),
        finish: choice.finish_reason.as_deref().filter(|reason| !reason.is_empty()).map(finish),
        usage: reply.usage.as_ref().map(WireUsage::to_core),
        extra: None,
    })
}

#[derive(Serialize)]
struct OutMessage<'a> {
    role: &'static str,
    content: Option<String>,
    refusal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<OutCall<'a>>,
}

/// A tool call as it is written.
#[derive(Serialize)]
pub(super) struct OutCall<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: OutFunction<'a>,
}

#[derive(Serialize)]
struct OutFunction<'a> {
    name: &'a str,
    arguments: &'a str,
}

impl<'a> OutCall<'a> {
    pub(super) fn new(id: &'a str, name: &'a str, arguments: &'a str) -> Self {
        // OpenAI's clients parse arguments; a call without any is an empty object.
        let arguments = if arguments.is_empty() { "{}" } else { arguments };
        Self { id, kind: "function", function: OutFunction { name, arguments } }
    }
}

/// Texts of one kind, joined; `None` when there are none.
pub(super) fn joined<'a>(texts: impl Iterator<Item = &'a str>) -> Option<String> {
    texts.map(str::to_owned).reduce(|all, next| all + &next)
}

/// Writes an answer.
pub(super) fn write_answer(answer: &Answer, meta: &ReplyMeta, cost: Option<Usd>) -> Vec<u8> {
    let calls: Vec<OutCall<'_>> = answer
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::ToolCall { id, name, arguments } => Some(OutCall::new(id, name, arguments)),
            _ => None,
        })
        .collect();
    let of_text = |part: &'_ Part| if let Part::Text(text) = part { Some(text.clone()) } else { None };
    let of_refusal = |part: &'_ Part| if let Part::Refusal(text) = part { Some(text.clone()) } else { None };
    let default = if calls.is_empty() { FinishReason::Stop } else { FinishReason::ToolCalls };
    let finish = finish_name(answer.finish.unwrap_or(default));
    let message = OutMessage {
        role: "assistant",
        content: answer.parts.iter().filter_map(of_text).reduce(|all, next| all + &next),
        refusal: answer.parts.iter().filter_map(of_refusal).reduce(|all, next| all + &next),
        reasoning_content: answer.reasoning.as_deref(),
        tool_calls: calls,
    };
    let mut text = head(meta, "chat.completion");
    text.extend_from_slice(br#""choices":[{"index":0,"message":"#);
    // Writing plain data into memory cannot fail.
    let _ = serde_json::to_writer(&mut text, &message);
    text.extend_from_slice(format!(r#","logprobs":null,"finish_reason":"{finish}"}}]"#).as_bytes());
    if let Some(usage) = &answer.usage {
        text.extend_from_slice(br#","usage":"#);
        text.extend_from_slice(&usage_object(usage, cost));
    }
    text.push(b'}');
    text
}

/// The members an answer and each of its chunks begin with, a comma at the end.
pub(super) fn head(meta: &ReplyMeta, object: &str) -> Vec<u8> {
    let (id, model) = (crate::json::quoted(&meta.id), crate::json::quoted(&meta.model));
    format!(r#"{{"id":{id},"object":"{object}","created":{},"model":{model},"#, meta.created).into_bytes()
}
