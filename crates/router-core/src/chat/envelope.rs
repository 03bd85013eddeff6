//! A request's own bytes plus ranges: all that rules, classification and pass-through need. Made by a dialect's `scan`.

use std::ops::Range;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::wishes::{Habits, ProviderWishes};
use crate::capability::Capabilities;
use crate::compiled::Allow;
use crate::money::Usd;
use crate::tokens::TextStats;

/// A byte range of [`Envelope::body`].
pub type Span = Range<usize>;

/// A wire format.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, Default,
)]
#[serde(rename_all = "snake_case")]
pub enum DialectId {
    /// OpenAI chat completions.
    #[default]
    OpenaiChat,
    /// OpenAI Responses.
    OpenaiResponses,
    /// Anthropic Messages.
    Anthropic,
    /// Gemini generateContent.
    Gemini,
    /// Bedrock Converse.
    Bedrock,
}

impl DialectId {
    /// The public name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenaiChat => "openai_chat",
            Self::OpenaiResponses => "openai_responses",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Bedrock => "bedrock",
        }
    }
}

/// Where a text stands in the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextKind {
    /// System or developer instruction.
    System,
    /// A user's text.
    User,
    /// An earlier answer.
    Assistant,
    /// A tool's result.
    ToolResult,
    /// Arguments of an earlier tool call (JSON inside a string).
    ToolArguments,
}

/// One text: the range of its JSON string's contents, without the quotes, escapes still in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextSpan {
    /// Index of the message it is part of.
    pub message: u32,
    /// Where it stands.
    pub kind: TextKind,
    /// Its bytes, still escaped.
    pub span: Span,
    /// It contains a backslash, so it must be unescaped before it is read.
    pub escaped: bool,
}

/// The client's output limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaxTokens {
    /// The smallest of the limits given (`max_tokens`, `max_completion_tokens`).
    pub value: u64,
    /// Each member given: the range from its key's opening quote to its value's end, and the value's own range.
    pub members: Vec<(Span, Span)>,
}

/// Routing wishes: the body object `router`, or headers `x-router-*`. Published as `schemas/request-options.schema.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RequestOptions {
    /// Capabilities the answering deployment must have, beside those the request itself shows it needs.
    pub required_capabilities: Capabilities,
    /// Expected total time wished for, in milliseconds; deployments slower than this at p95 come last.
    #[serde(deserialize_with = "whole")]
    #[schemars(range(min = 1))]
    pub latency_budget_ms: Option<u64>,
    /// Hard limit on the whole request, in milliseconds.
    #[serde(deserialize_with = "whole")]
    #[schemars(range(min = 1))]
    pub deadline_ms: Option<u64>,
    /// Most this request may cost over all attempts, in USD: a number or a decimal string.
    pub max_cost_usd: Option<Usd>,
    /// Predicted quality wanted, 0..=1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub quality: Option<f64>,
    /// Tier to choose from, in place of the one the rules would name.
    pub tier: Option<String>,
    /// Labels for rules, reports and logs. Budgets never count them.
    pub tags: Vec<String>,
    /// Requests of one session stay together where that pays.
    pub session_id: Option<String>,
    /// Models to fall back to.
    pub fallbacks: Vec<String>,
    /// `false`: only the first choice is tried.
    pub allow_fallbacks: Option<bool>,
    /// Regions the answering deployment may be in.
    pub regions: Vec<String>,
    /// Who may answer: a hard limit on every attempt, beside those of the key and the model.
    #[serde(skip_serializing_if = "Allow::is_empty")]
    pub allow: Allow,
    /// Most repeats that may be paid for; the configuration's `retries.attempts` stays the most there can be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_retries: Option<u32>,
    /// The same as the body's `provider`, in OpenRouter's words.
    #[serde(skip_serializing_if = "ProviderWishes::is_empty")]
    pub provider: ProviderWishes,
}

/// A whole number as JSON Schema has it: 100.0 is one.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(deserializer)? else { return Ok(None) };
    let integral = |f: &f64| f.fract() == 0.0 && (0.0..=MAX_EXACT).contains(f);
    let value = number.as_u64().or_else(|| number.as_f64().filter(integral).map(|f| f as u64));
    value.map(Some).ok_or_else(|| D::Error::custom(format!("{number} is not a whole number of 0 or more")))
}

/// Up to here every whole number is a float: 2^53.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// A scanned request.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The client's bytes, untouched.
    pub body: Bytes,
    /// The format they are in.
    pub dialect: DialectId,
    /// The model asked for.
    pub model: String,
    /// The range of the model's JSON value, quotes included; empty when the body names it elsewhere.
    pub model_span: Span,
    /// A streamed answer is wanted.
    pub stream: bool,
    /// The client asked for a usage event in the stream.
    pub include_usage: bool,
    /// The range of the value of `stream_options`, when given.
    pub stream_options_span: Option<Span>,
    /// Output limit, when given.
    pub max_tokens: Option<MaxTokens>,
    /// Sampling temperature, when given.
    pub temperature: Option<f64>,
    /// Answers wanted.
    pub n: u32,
    /// Every text, in order.
    pub texts: Vec<TextSpan>,
    /// Messages in the request.
    pub turns: u32,
    /// Tools offered.
    pub tools: u32,
    /// The range of the `tools` array.
    pub tools_span: Option<Span>,
    /// Images in the input.
    pub images: u32,
    /// The last message is a tool's result.
    pub after_tool_result: bool,
    /// Capabilities the request itself shows it needs.
    pub needs: Capabilities,
    /// Counts over all texts and tool definitions, for token estimates.
    pub stats: TextStats,
    /// Routing wishes from the body.
    pub options: RequestOptions,
    /// The same in other gateways' words, as far as it is not among the wishes yet.
    pub habits: Habits,
    /// Members of the top level that are ours (`router`, and those in other gateways' words): each from its key's quote to
    /// its value's end, ascending, to be cut before anything goes upstream.
    pub own_spans: Vec<Span>,
    /// The end user's id, when given.
    pub user: Option<String>,
    /// The service tier asked for (`default`, `flex`, `priority`), when given.
    pub service_tier: Option<String>,
    /// Top-level members that cannot be expressed in another dialect, for the gate.
    pub unmapped: Vec<String>,
    /// Just after the opening brace of the body: where a new first member can be put.
    pub insert_at: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_may_be_written_as_a_float() {
        let check = |text: &str, expected: Option<u64>| {
            let json = format!(r#"{{"latency_budget_ms":{text}}}"#);
            let read = serde_json::from_str::<RequestOptions>(&json);
            assert_eq!(read.ok().map(|options| options.latency_budget_ms), expected.map(Some), "{text}");
        };
        check("100", Some(100));
        check("100.0", Some(100));
        check("18446744073709551615", Some(u64::MAX));
        for wrong in ["100.5", "-1", "1e30", "\"100\"", "true"] {
            check(wrong, None);
        }
        let absent: RequestOptions = serde_json::from_str(r#"{"deadline_ms":null}"#).unwrap();
        assert_eq!(absent, RequestOptions::default());
    }
}
