//! Gemini's reply objects: small, borrowed, unknown members ignored.

use router_core::chat::Usage;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dialect::common::Text;

/// A whole reply, or one chunk of a stream.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Chunk<'a> {
    #[serde(borrow)]
    pub(super) candidates: Option<Vec<Candidate<'a>>>,
    #[serde(borrow)]
    pub(super) prompt_feedback: Option<PromptFeedback<'a>>,
    pub(super) usage_metadata: Option<Tokens>,
    pub(super) model_version: Option<String>,
    pub(super) response_id: Option<String>,
    #[serde(borrow)]
    pub(super) error: Option<Problem<'a>>,
}

impl Chunk<'_> {
    /// Whether it has any member of the dialect.
    pub(super) fn is_known(&self) -> bool {
        let names = [&self.model_version, &self.response_id];
        self.candidates.is_some()
            || self.prompt_feedback.is_some()
            || self.usage_metadata.is_some()
            || names.iter().any(|name| name.is_some())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Candidate<'a> {
    #[serde(default)]
    pub(super) index: u32,
    #[serde(borrow)]
    pub(super) content: Option<Content<'a>>,
    #[serde(borrow)]
    pub(super) finish_reason: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) finish_message: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Content<'a> {
    #[serde(borrow)]
    pub(super) parts: Option<Vec<Part<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part<'a> {
    pub(super) text: Option<String>,
    /// The text is a thought.
    pub(super) thought: Option<bool>,
    #[serde(borrow)]
    pub(super) function_call: Option<FunctionCall<'a>>,
}

#[derive(Deserialize)]
pub(super) struct FunctionCall<'a> {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    #[serde(borrow)]
    pub(super) args: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PromptFeedback<'a> {
    #[serde(borrow)]
    pub(super) block_reason: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) block_reason_message: Option<Text<'a>>,
}

/// A `google.rpc.Status` as JSON.
#[derive(Deserialize)]
pub(super) struct Problem<'a> {
    pub(super) code: Option<u16>,
    #[serde(borrow)]
    pub(super) message: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) status: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) details: Option<Vec<Detail<'a>>>,
}

/// The members of `google.rpc` details that say something: `ErrorInfo.reason`, `QuotaFailure.violations`,
/// `RetryInfo.retryDelay`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Detail<'a> {
    #[serde(borrow)]
    pub(super) reason: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) violations: Option<Vec<Violation<'a>>>,
    #[serde(borrow)]
    pub(super) retry_delay: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Violation<'a> {
    #[serde(borrow)]
    pub(super) quota_id: Option<Text<'a>>,
}

/// Gemini's count: the cache inside the prompt, thoughts and results of the provider's own tools beside.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tokens {
    prompt_token_count: Option<u64>,
    cached_content_token_count: Option<u64>,
    tool_use_prompt_token_count: Option<u64>,
    candidates_token_count: Option<u64>,
    thoughts_token_count: Option<u64>,
    prompt_tokens_details: Option<Vec<OfModality>>,
    tool_use_prompt_tokens_details: Option<Vec<OfModality>>,
    cache_tokens_details: Option<Vec<OfModality>>,
    candidates_tokens_details: Option<Vec<OfModality>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfModality {
    modality: Option<Modality>,
    token_count: Option<u64>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
enum Modality {
    #[serde(rename = "AUDIO")]
    Audio,
    #[serde(rename = "IMAGE")]
    Image,
    #[serde(other)]
    Other,
}

fn of(details: Option<&[OfModality]>, modality: &Modality) -> u64 {
    let counts =
        details.unwrap_or_default().iter().filter(|detail| detail.modality.as_ref() == Some(modality));
    counts.fold(0, |sum: u64, detail| sum.saturating_add(detail.token_count.unwrap_or(0)))
}

impl Tokens {
    /// In core's convention: totals, and parts of them.
    pub(super) fn usage(&self) -> Usage {
        let count = |count: Option<u64>| count.unwrap_or(0);
        let input = |modality: &Modality| {
            let prompt = of(self.prompt_tokens_details.as_deref(), modality);
            prompt.saturating_add(of(self.tool_use_prompt_tokens_details.as_deref(), modality))
        };
        let thoughts = count(self.thoughts_token_count);
        Usage {
            input_tokens: count(self.prompt_token_count)
                .saturating_add(count(self.tool_use_prompt_token_count)),
            cached_input_tokens: count(self.cached_content_token_count),
            audio_input_tokens: input(&Modality::Audio),
            cached_audio_input_tokens: of(self.cache_tokens_details.as_deref(), &Modality::Audio),
            image_input_tokens: input(&Modality::Image),
            output_tokens: count(self.candidates_token_count).saturating_add(thoughts),
            reasoning_tokens: thoughts,
            audio_output_tokens: of(self.candidates_tokens_details.as_deref(), &Modality::Audio),
            ..Usage::default()
        }
    }
}
