//! Borrowed shapes of chat completions answers and chunks: only the members that are read, tolerant of null and absence.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use router_core::chat::{FinishReason, Usage};
use router_core::money::Usd;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A string, borrowed when it holds no escape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Str<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Str<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Read<'a> {
            type Value = Str<'a>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Str(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Str(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Read(PhantomData))
    }
}

/// Text of a message or delta: a string, null, or (Mistral's reasoning models) an array of typed parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Content<'a> {
    /// Its text.
    pub text: Cow<'a, str>,
    /// It holds something beside text: thinking, media.
    pub other: bool,
}

#[derive(Deserialize)]
struct ContentPart<'a> {
    #[serde(borrow, default)]
    text: Option<Str<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Read<'a> {
            type Value = Content<'a>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, null or an array of parts")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Content { text: Cow::Borrowed(text), other: false })
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Content { text: Cow::Owned(text.to_owned()), other: false })
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Content::default())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
                let mut content = Content::default();
                while let Some(part) = parts.next_element::<ContentPart<'_>>()? {
                    match part.text {
                        Some(text) => content.text.to_mut().push_str(&text.0),
                        None => content.other = true,
                    }
                }
                Ok(content)
            }
        }
        deserializer.deserialize_any(Read(PhantomData))
    }
}

/// Whether an array or object has anything in it, or a string any characters, and the bytes of the strings in it; null
/// has nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Filled(pub bool, pub usize);

impl<'de> Deserialize<'de> for Filled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Filled;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }
            fn visit_unit<E>(self) -> Result<Filled, E> {
                Ok(Filled(false, 0))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Filled, E> {
                Ok(Filled(value, 0))
            }
            fn visit_u64<E>(self, _: u64) -> Result<Filled, E> {
                Ok(Filled(true, 0))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Filled, E> {
                Ok(Filled(true, 0))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Filled, E> {
                Ok(Filled(true, 0))
            }
            fn visit_str<E>(self, text: &str) -> Result<Filled, E> {
                Ok(Filled(!text.is_empty(), text.len()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Filled, A::Error> {
                let mut all = Filled::default();
                while let Some(Filled(_, bytes)) = seq.next_element()? {
                    all = Filled(true, all.1 + bytes);
                }
                Ok(all)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Filled, A::Error> {
                let mut all = Filled::default();
                while let Some((IgnoredAny, Filled(_, bytes))) = map.next_entry()? {
                    all = Filled(true, all.1 + bytes);
                }
                Ok(all)
            }
        }
        deserializer.deserialize_any(Read)
    }
}

/// A message or a delta: the members are the same.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow, default)]
    pub content: Option<Content<'a>>,
    #[serde(borrow, default)]
    pub refusal: Option<Str<'a>>,
    /// DeepSeek, Qwen, xAI and vLLM.
    #[serde(borrow, default)]
    pub reasoning_content: Option<Str<'a>>,
    /// OpenRouter, Groq and newer vLLM.
    #[serde(borrow, default)]
    pub reasoning: Option<Str<'a>>,
    #[serde(default)]
    pub tool_calls: Option<Filled>,
    #[serde(default)]
    pub function_call: Option<Filled>,
    #[serde(default)]
    pub audio: Option<Filled>,
    #[serde(default)]
    pub images: Option<Filled>,
}

impl Message<'_> {
    pub(super) fn text(&self) -> &str {
        self.content.as_ref().map_or("", |content| &content.text)
    }

    pub(super) fn refusal(&self) -> &str {
        self.refusal.as_ref().map_or("", |text| &text.0)
    }

    pub(super) fn reasoning(&self) -> &str {
        let of = |text: &'_ Option<Str<'_>>| text.as_ref().is_some_and(|text| !text.0.is_empty());
        let chosen = if of(&self.reasoning_content) { &self.reasoning_content } else { &self.reasoning };
        chosen.as_ref().map_or("", |text| &text.0)
    }

    pub(super) fn calls(&self) -> bool {
        [self.tool_calls, self.function_call].into_iter().flatten().any(|filled| filled.0)
    }

    /// Bytes of everything that is written of calls: their names, ids and arguments.
    pub(super) fn call_bytes(&self) -> usize {
        [self.tool_calls, self.function_call].into_iter().flatten().map(|filled| filled.1).sum()
    }

    pub(super) fn media(&self) -> bool {
        self.content.as_ref().is_some_and(|content| content.other)
            || [self.audio, self.images].into_iter().flatten().any(|filled| filled.0)
    }
}

/// One choice of an answer or a chunk.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Choice<'a> {
    #[serde(borrow, default, alias = "delta")]
    pub message: Option<Message<'a>>,
    #[serde(borrow, default)]
    pub finish_reason: Option<Str<'a>>,
}

/// Choices, the first of which needs no allocation: nearly every chunk has one.
#[derive(Debug, Default)]
pub(super) struct Choices<'a> {
    pub first: Option<Choice<'a>>,
    pub rest: Vec<Choice<'a>>,
}

impl<'a> Choices<'a> {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Choice<'a>> {
        self.first.iter().chain(&self.rest)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Choices<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read<'a>(PhantomData<&'a ()>);
        impl<'de: 'a, 'a> Visitor<'de> for Read<'a> {
            type Value = Choices<'a>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of choices")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut choices = Choices { first: seq.next_element()?, rest: Vec::new() };
                while let Some(choice) = seq.next_element()? {
                    choices.rest.push(choice);
                }
                Ok(choices)
            }
        }
        deserializer.deserialize_seq(Read(PhantomData))
    }
}

/// A whole answer or one chunk of a stream.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Reply<'a> {
    #[serde(borrow, default)]
    pub choices: Option<Choices<'a>>,
    #[serde(borrow, default)]
    pub usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub service_tier: Option<Str<'a>>,
}

/// What a chunk says of the answer it belongs to.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Head<'a> {
    #[serde(borrow, default)]
    pub id: Option<Str<'a>>,
    #[serde(borrow, default)]
    pub model: Option<Str<'a>>,
    #[serde(default)]
    pub created: Option<u64>,
}

/// A count that some servers write as a float, or as null.
#[derive(Clone, Copy, Debug, Default)]
struct Count(u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = Option::<f64>::deserialize(deserializer)?.unwrap_or(0.0);
        // Saturating by definition of `as`; counts above 2^53 do not occur.
        Ok(Self(number.max(0.0) as u64))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    cached_tokens: Count,
    /// OpenRouter.
    cache_write_tokens: Count,
    audio_tokens: Count,
    /// xAI.
    image_tokens: Count,
    reasoning_tokens: Count,
}

/// The `usage` object.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WireUsage<'a> {
    prompt_tokens: Count,
    completion_tokens: Count,
    total_tokens: Count,
    prompt_tokens_details: Option<Details>,
    completion_tokens_details: Option<Details>,
    /// DeepSeek, beside `prompt_tokens_details` or instead of it.
    prompt_cache_hit_tokens: Count,
    /// Moonshot and compatible servers.
    cached_tokens: Count,
    /// OpenRouter: what the call cost, in USD.
    #[serde(borrow)]
    cost: Option<&'a RawValue>,
}

impl WireUsage<'_> {
    /// In core's convention: totals with classes inside, as OpenAI counts.
    ///
    /// xAI documents `total_tokens` = prompt + completion + reasoning, with reasoning beside the completion; whoever
    /// counts so is known by that sum.
    pub(super) fn to_core(&self) -> Usage {
        let none = Details::default();
        let input = self.prompt_tokens_details.as_ref().unwrap_or(&none);
        let output = self.completion_tokens_details.as_ref().unwrap_or(&none);
        let reasoning = output.reasoning_tokens.0;
        let parts = self.prompt_tokens.0.saturating_add(self.completion_tokens.0);
        let beside = reasoning > 0 && self.total_tokens.0 == parts.saturating_add(reasoning);
        let cached = [input.cached_tokens, self.prompt_cache_hit_tokens, self.cached_tokens];
        Usage {
            input_tokens: self.prompt_tokens.0,
            cached_input_tokens: cached.map(|count| count.0).into_iter().max().unwrap_or(0),
            cache_write_tokens: input.cache_write_tokens.0,
            audio_input_tokens: input.audio_tokens.0,
            image_input_tokens: input.image_tokens.0,
            output_tokens: self.completion_tokens.0.saturating_add(if beside { reasoning } else { 0 }),
            reasoning_tokens: reasoning,
            audio_output_tokens: output.audio_tokens.0,
            ..Usage::default()
        }
    }

    /// The provider's own cost, when it gave one.
    pub(super) fn cost(&self) -> Option<Usd> {
        let text = self.cost?.get();
        text.parse().ok().or_else(|| {
            let usd: f64 = text.parse().ok()?;
            Some(Usd::from_nano((usd * 1e9).round() as i64))
        })
    }
}

/// Why an answer ended, or the fault behind a reason that is one.
pub(super) fn finish(reason: &str) -> FinishReason {
    match reason {
        "length" | "max_tokens" | "model_length" => FinishReason::Length,
        "tool_calls" | "function_call" => FinishReason::ToolCalls,
        // The second is Z.ai's.
        "content_filter" | "sensitive" => FinishReason::ContentFilter,
        _ => FinishReason::Stop,
    }
}

/// The name of a reason.
pub(super) const fn finish_name(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::ContentFilter => "content_filter",
    }
}
