//! Tokens used, in one convention for all dialects.

use serde::{Deserialize, Serialize};

/// Tokens of one attempt or one request.
///
/// Convention: `input_tokens` and `output_tokens` are totals; every other class is a part of one of them
/// (cached, cache writes, audio and images of the input; reasoning and audio of the output). Dialects that count
/// beside instead of inside (Anthropic) convert at their edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Usage {
    /// All input tokens.
    pub input_tokens: u64,
    /// Of those, read from a prompt cache.
    pub cached_input_tokens: u64,
    /// Of those, written to a prompt cache (short-lived, 5 minutes where there is a choice).
    pub cache_write_tokens: u64,
    /// Of those, written to a prompt cache that lives an hour.
    pub cache_write_1h_tokens: u64,
    /// Of those, audio.
    pub audio_input_tokens: u64,
    /// Of the audio, read from a prompt cache (counted in `cached_input_tokens` as well).
    pub cached_audio_input_tokens: u64,
    /// Of the input, images, where a provider prices them apart.
    pub image_input_tokens: u64,
    /// All output tokens.
    pub output_tokens: u64,
    /// Of those, reasoning that may not be shown.
    pub reasoning_tokens: u64,
    /// Of the output, audio.
    pub audio_output_tokens: u64,
}

impl Usage {
    /// Adds another attempt's tokens, class by class, saturating.
    pub fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.input_tokens, other.input_tokens),
            (&mut self.cached_input_tokens, other.cached_input_tokens),
            (&mut self.cache_write_tokens, other.cache_write_tokens),
            (&mut self.cache_write_1h_tokens, other.cache_write_1h_tokens),
            (&mut self.audio_input_tokens, other.audio_input_tokens),
            (&mut self.cached_audio_input_tokens, other.cached_audio_input_tokens),
            (&mut self.image_input_tokens, other.image_input_tokens),
            (&mut self.output_tokens, other.output_tokens),
            (&mut self.reasoning_tokens, other.reasoning_tokens),
            (&mut self.audio_output_tokens, other.audio_output_tokens),
        ];
        for (mine, theirs) in pairs {
            *mine = mine.saturating_add(theirs);
        }
    }
}
