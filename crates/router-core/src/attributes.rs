//! Attributes: what rules see of a request. One without a value is absent, never null.

use bitflags::bitflags;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::capability::Capabilities;
use crate::chat::DialectId;

/// The values, as published in `schemas/request-attributes.schema.json`.
///
/// An attribute is in one of three states: has a value; has none although it was looked for (`None`, and its bit is in
/// the `computed` set beside it); was not looked for, because nothing in force reads it (`None`, bit not set).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("additionalProperties" = false))]
pub struct Attributes {
    /// The model asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The client's wire format.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialect: Option<DialectId>,
    /// Estimated input tokens, o200k-equivalent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Expected output tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_output_tokens: Option<u64>,
    /// The client's output limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// Sampling temperature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// A streamed answer is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
    /// Messages in the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turns: Option<u64>,
    /// Tools offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<u64>,
    /// Capabilities the request needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
    /// Language of the question, ISO 639-1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// What is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<Topic>,
    /// Difficulty, 0..=1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub complexity_score: Option<f64>,
    /// Confidence of the classification, 0..=1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub confidence: Option<f64>,
    /// Expected total time wished for, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_budget_ms: Option<u64>,
    /// Predicted quality wanted, 0..=1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub quality: Option<f64>,
    /// The request's and the key's tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// The client key's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The client key's owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Hour of the day in UTC, 0..=23.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 23))]
    pub hour_utc: Option<u8>,
    /// Day of the week in UTC, 1 = Monday .. 7 = Sunday.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 7))]
    pub weekday_utc: Option<u8>,
}

macro_rules! names {
    ($(#[$doc:meta])* $type:ident { $($(#[$vdoc:meta])* $variant:ident = $name:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum $type { $($(#[$vdoc])* #[serde(rename = $name)] $variant),+ }

        impl $type {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The public name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The value with this public name.
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|v| v.name() == name)
            }
        }
    };
}

names! {
    /// What is to be done.
    Task {
        /// Write, read or mend code.
        Code = "code",
        /// Calculate or prove.
        Math = "math",
        /// Think in several steps.
        Reasoning = "reasoning",
        /// Know a fact.
        Knowledge = "knowledge",
        /// Pull data out of a text.
        Extraction = "extraction",
        /// Shorten a text.
        Summarisation = "summarisation",
        /// Put a text into another language.
        Translation = "translation",
        /// Write a text.
        Writing = "writing",
        /// Sort into classes.
        Classification = "classification",
        /// Talk.
        Chat = "chat",
        /// Use tools.
        ToolUse = "tool_use",
        /// None of these.
        Other = "other",
    }
}

names! {
    /// What it is about.
    Topic {
        /// Law.
        Legal = "legal",
        /// Medicine.
        Medical = "medical",
        /// Money and markets.
        Finance = "finance",
        /// Natural sciences and mathematics.
        Science = "science",
        /// Computers and engineering.
        Technology = "technology",
        /// Companies and work.
        Business = "business",
        /// History, arts, language, philosophy.
        Humanities = "humanities",
        /// None of these.
        Other = "other",
    }
}

bitflags! {
    /// A set of attribute names: what rules read, what was computed.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
    pub struct AttributeSet: u32 {
        /// `model`
        const MODEL = 1 << 0;
        /// `dialect`
        const DIALECT = 1 << 1;
        /// `input_tokens`
        const INPUT_TOKENS = 1 << 2;
        /// `expected_output_tokens`
        const EXPECTED_OUTPUT_TOKENS = 1 << 3;
        /// `max_tokens`
        const MAX_TOKENS = 1 << 4;
        /// `temperature`
        const TEMPERATURE = 1 << 5;
        /// `stream`
        const STREAM = 1 << 6;
        /// `turns`
        const TURNS = 1 << 7;
        /// `tools`
        const TOOLS = 1 << 8;
        /// `capabilities`
        const CAPABILITIES = 1 << 9;
        /// `language`
        const LANGUAGE = 1 << 10;
        /// `task`
        const TASK = 1 << 11;
        /// `topic`
        const TOPIC = 1 << 12;
        /// `complexity_score`
        const COMPLEXITY_SCORE = 1 << 13;
        /// `confidence`
        const CONFIDENCE = 1 << 14;
        /// `latency_budget_ms`
        const LATENCY_BUDGET_MS = 1 << 15;
        /// `quality`
        const QUALITY = 1 << 16;
        /// `tags`
        const TAGS = 1 << 17;
        /// `key`
        const KEY = 1 << 18;
        /// `owner`
        const OWNER = 1 << 19;
        /// `session_id`
        const SESSION_ID = 1 << 20;
        /// `hour_utc`
        const HOUR_UTC = 1 << 21;
        /// `weekday_utc`
        const WEEKDAY_UTC = 1 << 22;
    }
}

impl AttributeSet {
    /// Those the classifier computes; all others come from the scan, the key and the clock.
    pub const CLASSIFIED: Self = Self::LANGUAGE
        .union(Self::TASK)
        .union(Self::TOPIC)
        .union(Self::COMPLEXITY_SCORE)
        .union(Self::CONFIDENCE)
        .union(Self::EXPECTED_OUTPUT_TOKENS);

    /// The attribute with this public name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all()
            .iter_names()
            .find(|(n, _)| n.eq_ignore_ascii_case(name) && name == name.to_ascii_lowercase())
            .map(|(_, b)| b)
    }

    /// The public names in the set.
    pub fn names(self) -> impl Iterator<Item = String> {
        self.iter_names().map(|(name, _)| name.to_ascii_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_a_bit_and_every_bit_a_field() {
        let schema = serde_json::to_value(schemars::schema_for!(Attributes)).unwrap();
        let mut fields: Vec<_> = schema["properties"].as_object().unwrap().keys().cloned().collect();
        let mut bits: Vec<_> = AttributeSet::all().names().collect();
        fields.sort();
        bits.sort();
        assert_eq!(fields, bits);
        assert!(AttributeSet::named("Model").is_none() && AttributeSet::named("hour_utc").is_some());
    }
}
