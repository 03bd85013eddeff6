//! Anthropic's reply objects: small, borrowed, unknown members ignored.

use router_core::chat::Usage;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dialect::common::Text;

/// A `message`, or an `error` in its place.
#[derive(Deserialize)]
pub(super) struct Reply<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Text<'a>>,
    pub(super) id: Option<String>,
    pub(super) model: Option<String>,
    #[serde(borrow)]
    pub(super) content: Option<Vec<Block<'a>>>,
    #[serde(borrow)]
    pub(super) stop_reason: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) stop_details: Option<StopDetails<'a>>,
    pub(super) usage: Option<Tokens>,
    #[serde(borrow)]
    pub(super) error: Option<Problem<'a>>,
}

/// A content block, whole or as a stream opens it.
#[derive(Deserialize)]
pub(super) struct Block<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Text<'a>,
    pub(super) text: Option<String>,
    pub(super) thinking: Option<String>,
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    #[serde(borrow)]
    pub(super) input: Option<&'a RawValue>,
}

/// Why a refusal was one.
#[derive(Deserialize)]
pub(super) struct StopDetails<'a> {
    #[serde(borrow)]
    pub(super) category: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) explanation: Option<Text<'a>>,
}

/// The `error` member of an error.
#[derive(Deserialize)]
pub(super) struct Problem<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) message: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) details: Option<ProblemDetails<'a>>,
}

/// Newer errors name their exact cause here.
#[derive(Deserialize)]
pub(super) struct ProblemDetails<'a> {
    #[serde(borrow)]
    pub(super) error_code: Option<Text<'a>>,
}

/// An event of a stream.
#[derive(Deserialize)]
pub(super) struct Event<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Text<'a>>,
    pub(super) index: Option<u32>,
    pub(super) message: Option<Opening>,
    #[serde(borrow)]
    pub(super) content_block: Option<Block<'a>>,
    #[serde(borrow)]
    pub(super) delta: Option<Change<'a>>,
    pub(super) usage: Option<Tokens>,
    #[serde(borrow)]
    pub(super) error: Option<Problem<'a>>,
}

/// The message as a stream opens it.
#[derive(Deserialize)]
pub(super) struct Opening {
    pub(super) id: Option<String>,
    pub(super) model: Option<String>,
    pub(super) usage: Option<Tokens>,
}

/// The `delta` of a block or of the message.
#[derive(Deserialize)]
pub(super) struct Change<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Text<'a>>,
    pub(super) text: Option<String>,
    pub(super) thinking: Option<String>,
    pub(super) partial_json: Option<String>,
    #[serde(borrow)]
    pub(super) stop_reason: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) stop_details: Option<StopDetails<'a>>,
}

/// Anthropic's count: the caches beside `input_tokens`, thinking inside `output_tokens`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Tokens {
    input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_creation: Option<Written>,
    output_tokens: Option<u64>,
    output_tokens_details: Option<OutputDetails>,
}

/// Cache writes by how long they live.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Written {
    ephemeral_5m_input_tokens: Option<u64>,
    ephemeral_1h_input_tokens: Option<u64>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct OutputDetails {
    thinking_tokens: Option<u64>,
}

impl Tokens {
    /// Takes over what a later event says; its numbers are cumulative, and it may leave out what has not changed.
    pub(super) fn update(&mut self, later: &Self) {
        self.input_tokens = later.input_tokens.or(self.input_tokens);
        self.cache_read_input_tokens = later.cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.cache_creation_input_tokens =
            later.cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.cache_creation = later.cache_creation.or(self.cache_creation);
        self.output_tokens = later.output_tokens.or(self.output_tokens);
        self.output_tokens_details = later.output_tokens_details.or(self.output_tokens_details);
    }

    /// In core's convention: totals, and parts of them.
    pub(super) fn usage(&self) -> Usage {
        let split = |of: fn(&Written) -> Option<u64>| self.cache_creation.as_ref().and_then(of).unwrap_or(0);
        let (short, long) = (split(|w| w.ephemeral_5m_input_tokens), split(|w| w.ephemeral_1h_input_tokens));
        let written = self.cache_creation_input_tokens.unwrap_or(0).max(short.saturating_add(long));
        let read = self.cache_read_input_tokens.unwrap_or(0);
        let output_tokens = self.output_tokens.unwrap_or(0);
        let thinking = self.output_tokens_details.and_then(|details| details.thinking_tokens).unwrap_or(0);
        Usage {
            input_tokens: self.input_tokens.unwrap_or(0).saturating_add(read).saturating_add(written),
            cached_input_tokens: read,
            cache_write_tokens: written - long.min(written),
            cache_write_1h_tokens: long,
            output_tokens,
            reasoning_tokens: thinking.min(output_tokens),
            ..Usage::default()
        }
    }
}
