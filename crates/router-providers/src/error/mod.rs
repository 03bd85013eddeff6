//! What a provider's error means: status, code and text to a `ReplyFault` by table; and what of its text may be shown.
//!
//! The code decides before the text, and the text before the status (OpenAI's guide: "inspect `error.code`"; a 429 may be
//! a rate or an empty account). Sources: OpenAI, DeepSeek, Mistral, Groq, OpenRouter and xAI error pages.

mod instant;
mod rate;
mod redact;
mod retry;

use router_core::attempt::FailureKind;
use serde::Deserialize;
use serde_json::Value;

pub(crate) use instant::MAX_WAIT;
pub use rate::RateState;
pub use redact::clean;
pub use retry::retry_after;

use crate::dialect::ReplyFault;

/// Most bytes of an error body that are read.
pub const MAX_ERROR_BYTES: usize = 64 * 1024;

/// Codes and types that say what happened, whatever the status.
const CODES: [(&str, FailureKind); 41] = [
    ("insufficient_quota", FailureKind::OutOfCredit),
    ("credit_balance_exhausted", FailureKind::OutOfCredit),
    ("billing_hard_limit_reached", FailureKind::OutOfCredit),
    ("billing_not_active", FailureKind::OutOfCredit),
    ("spend_limit_exceeded", FailureKind::OutOfCredit),
    ("spend_limit_reached", FailureKind::OutOfCredit),
    ("insufficient_balance", FailureKind::OutOfCredit),
    ("Arrearage", FailureKind::OutOfCredit),
    ("rate_limit_exceeded", FailureKind::RateLimited),
    ("rate_limit_error", FailureKind::RateLimited),
    // Google's, of its OpenAI-compatible API: every quota, whose text speaks of the plan and its billing.
    ("RESOURCE_EXHAUSTED", FailureKind::RateLimited),
    ("slow_down", FailureKind::RateLimited),
    ("limit_requests", FailureKind::RateLimited),
    ("limit_burst_rate", FailureKind::RateLimited),
    ("server_is_overloaded", FailureKind::Overloaded),
    ("overloaded_error", FailureKind::Overloaded),
    ("engine_overloaded", FailureKind::Overloaded),
    ("capacity_exceeded", FailureKind::Overloaded),
    ("server_error", FailureKind::Unavailable),
    ("internal_server_error", FailureKind::Unavailable),
    ("InternalServerError", FailureKind::Unavailable),
    ("internal_error", FailureKind::Unavailable),
    // What the model wrote was no call, or no JSON: it may be the next time (Groq, with status 400).
    ("tool_use_failed", FailureKind::BadReply),
    ("json_validate_failed", FailureKind::BadReply),
    ("invalid_api_key", FailureKind::Auth),
    ("InvalidApiKey", FailureKind::Auth),
    ("authentication_error", FailureKind::Auth),
    ("permission_error", FailureKind::Auth),
    ("account_deactivated", FailureKind::Auth),
    ("model_not_found", FailureKind::Unavailable),
    ("context_length_exceeded", FailureKind::TooLong),
    ("exceed_context_size_error", FailureKind::TooLong),
    ("string_above_max_length", FailureKind::TooLong),
    ("request_too_large", FailureKind::TooLong),
    ("tokens_limit_reached", FailureKind::TooLong),
    ("content_filter", FailureKind::Filtered),
    ("content_policy_violation", FailureKind::Filtered),
    // OpenAI, of prompts that its usage policy forbids.
    ("invalid_prompt", FailureKind::Filtered),
    ("data_inspection_failed", FailureKind::Filtered),
    ("DataInspectionFailed", FailureKind::Filtered),
    ("moderation_blocked", FailureKind::Filtered),
];

/// Phrases of a 4xx text, lower case, where a provider gives no code of its own.
const PHRASES: [(&str, FailureKind); 33] = [
    // What the text forbids goes before whose credentials it names: xAI answers 403 to both.
    ("requires moderation", FailureKind::Filtered),
    ("input was flagged", FailureKind::Filtered),
    ("content management policy", FailureKind::Filtered),
    ("violates usage guidelines", FailureKind::Filtered),
    ("content exists risk", FailureKind::Filtered),
    // The window, in the words of OpenAI, Mistral, DeepSeek, vLLM, SGLang, Fireworks and LM Studio; xAI; llama.cpp;
    // Anthropic; vLLM; Google; Together and TGI; Groq and Cerebras; DashScope; Moonshot; Bedrock; Zhipu.
    ("context length", FailureKind::TooLong),
    ("maximum prompt length", FailureKind::TooLong),
    ("context window", FailureKind::TooLong),
    ("context size", FailureKind::TooLong),
    ("prompt is too long", FailureKind::TooLong),
    ("maximum model length", FailureKind::TooLong),
    ("exceeds the maximum number of tokens", FailureKind::TooLong),
    ("`inputs` tokens + `max_new_tokens`", FailureKind::TooLong),
    ("reduce the length of the messages", FailureKind::TooLong),
    ("range of input length", FailureKind::TooLong),
    ("exceeded model token limit", FailureKind::TooLong),
    ("input is too long for requested model", FailureKind::TooLong),
    ("prompt exceeds max length", FailureKind::TooLong),
    ("insufficient balance", FailureKind::OutOfCredit),
    ("insufficient credits", FailureKind::OutOfCredit),
    ("exceeded your current quota", FailureKind::OutOfCredit),
    ("credit balance", FailureKind::OutOfCredit),
    ("out of credits", FailureKind::OutOfCredit),
    ("any credits yet", FailureKind::OutOfCredit),
    ("used all available credits", FailureKind::OutOfCredit),
    ("billing hard limit", FailureKind::OutOfCredit),
    ("spend limit", FailureKind::OutOfCredit),
    ("spending limit", FailureKind::OutOfCredit),
    // With status 400: xAI, Google.
    ("incorrect api key", FailureKind::Auth),
    ("invalid api key", FailureKind::Auth),
    ("api key not valid", FailureKind::Auth),
    ("api key expired", FailureKind::Auth),
    ("api key is invalid", FailureKind::Auth),
];

/// What a status means when nothing else says more.
///
/// 404 is a deployment that is configured wrongly or a model that is gone: it counts against its health, and others
/// answer. A redirect is never followed, and is such a mistake too. 409 and 425 pass by themselves; the SDKs retry them.
/// 498 is Groq's for capacity exceeded, 529 Anthropic's for overload, 520 to 526 a gateway's before the provider.
pub const fn by_status(status: u16) -> FailureKind {
    match status {
        402 => FailureKind::OutOfCredit,
        401 | 403 | 407 => FailureKind::Auth,
        408 => FailureKind::Timeout,
        413 => FailureKind::TooLong,
        429 => FailureKind::RateLimited,
        503 | 498 | 529 => FailureKind::Overloaded,
        504 | 524 => FailureKind::Timeout,
        404 | 405 | 409 | 410 | 424 | 425 | 300..=399 | 500..=599 => FailureKind::Unavailable,
        400..=499 => FailureKind::BadRequest,
        _ => FailureKind::BadReply,
    }
}

/// The error object of the OpenAI family, in the forms seen: `{"error": {...}}`, `{"error": "text"}`, the members at the top
/// (Mistral, vLLM), and an array of one of them (Google).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    error: Option<Value>,
    #[serde(flatten)]
    top: Fields,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Fields {
    message: Option<Value>,
    detail: Option<Value>,
    code: Option<Value>,
    #[serde(rename = "type")]
    kind: Option<Value>,
    /// Google's name of its code.
    status: Option<Value>,
    metadata: Option<Metadata>,
}

/// What OpenRouter says of the provider that failed behind it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    /// Its own error body, as text.
    raw: Option<Value>,
}

/// Reads an error answer of the OpenAI family: any status but 2xx, or an error object inside a 200 or a stream, for
/// which `status` is 200 and a numeric code stands for it (OpenRouter).
pub fn read(status: u16, body: &[u8]) -> ReplyFault {
    let fields = match parse(body) {
        Ok(Body { error: Some(Value::Object(error)), .. }) => {
            serde_json::from_value(Value::Object(error)).unwrap_or_default()
        }
        Ok(Body { error: Some(Value::String(text)), top }) => {
            Fields { message: Some(Value::String(text)), ..top }
        }
        Ok(Body { top, .. }) => top,
        Err(_) => Fields::default(),
    };
    let text = fields.message.as_ref().or(fields.detail.as_ref()).map(plain).unwrap_or_default();
    let named = [&fields.code, &fields.kind, &fields.status];
    let codes: Vec<String> = named.into_iter().flatten().map(plain).collect();
    let numeric =
        codes.iter().find_map(|code| code.parse::<u16>().ok()).filter(|code| (300..600).contains(code));
    let status = if status < 300 { numeric.unwrap_or(status) } else { status };
    let raw = fields.metadata.and_then(|metadata| metadata.raw).as_ref().map(plain).unwrap_or_default();
    let text = [text, raw].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": ");
    let kind = kind_of(status, &codes, &text);
    let message = match (clean(&text), status) {
        (text, 200..=299) if text.is_empty() => "the provider sent an error".to_owned(),
        (text, 300..=399) if text.is_empty() => {
            format!("the provider answered {status}: redirects are not followed")
        }
        (text, _) if text.is_empty() => format!("the provider answered {status}"),
        (text, 200..=299) => format!("the provider sent an error: {text}"),
        (text, _) => format!("the provider answered {status}: {text}"),
    };
    let code = codes.into_iter().find(|code| !code.is_empty()).map(|code| clean(&code));
    ReplyFault { kind, message, code }
}

fn parse(body: &[u8]) -> serde_json::Result<Body> {
    if !body.trim_ascii_start().starts_with(b"[") {
        return serde_json::from_slice(body);
    }
    serde_json::from_slice::<Vec<Body>>(body).map(|all| all.into_iter().next().unwrap_or_default())
}

fn kind_of(status: u16, codes: &[String], text: &str) -> FailureKind {
    let by_code = codes.iter().find_map(|code| CODES.iter().find(|(name, _)| name == code));
    if let Some((_, kind)) = by_code {
        return *kind;
    }
    // A 5xx is never the request's fault, whatever its text says.
    if status < 500 {
        let text = text.to_ascii_lowercase();
        if let Some((_, kind)) = PHRASES.iter().find(|(phrase, _)| text.contains(phrase)) {
            return *kind;
        }
    }
    // An error inside a success that says nothing known is the provider's.
    if status == 200 { FailureKind::Unavailable } else { by_status(status) }
}

/// A value as text: strings as they are, anything else as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
