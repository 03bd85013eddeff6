//! Capabilities: bits a request needs and a deployment has; eligibility is one mask operation.

use bitflags::bitflags;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

bitflags! {
    /// What a request can need and a deployment can have. The names are the interface's.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Capabilities: u32 {
        /// Function calling.
        const TOOLS = 1 << 0;
        /// Several tool calls in one answer.
        const PARALLEL_TOOLS = 1 << 1;
        /// `response_format: json_object`.
        const JSON_OBJECT = 1 << 2;
        /// Output held to a JSON Schema.
        const JSON_SCHEMA = 1 << 3;
        /// Images in the input.
        const VISION = 1 << 4;
        /// PDF files in the input.
        const PDF = 1 << 5;
        /// Audio in the input.
        const AUDIO_IN = 1 << 6;
        /// Audio in the output.
        const AUDIO_OUT = 1 << 7;
        /// Video in the input.
        const VIDEO_IN = 1 << 8;
        /// Thinks before it answers; output is partly hidden.
        const REASONING = 1 << 9;
        /// Input read from a prompt cache is cheaper.
        const PROMPT_CACHE = 1 << 10;
        /// Continues a given beginning of the answer.
        const PREFILL = 1 << 11;
        /// Log-probabilities of the output.
        const LOGPROBS = 1 << 12;
        /// Honours a sampling seed.
        const SEED = 1 << 13;
        /// Writes tool calls and structure as XML-like tags.
        const XML_TAGS = 1 << 14;
        /// Makes embeddings.
        const EMBEDDINGS = 1 << 15;
    }
}

/// Each capability's public name, in bit order.
pub const NAMES: [(&str, Capabilities); 16] = [
    ("tools", Capabilities::TOOLS),
    ("parallel_tools", Capabilities::PARALLEL_TOOLS),
    ("json_object", Capabilities::JSON_OBJECT),
    ("json_schema", Capabilities::JSON_SCHEMA),
    ("vision", Capabilities::VISION),
    ("pdf", Capabilities::PDF),
    ("audio_in", Capabilities::AUDIO_IN),
    ("audio_out", Capabilities::AUDIO_OUT),
    ("video_in", Capabilities::VIDEO_IN),
    ("reasoning", Capabilities::REASONING),
    ("prompt_cache", Capabilities::PROMPT_CACHE),
    ("prefill", Capabilities::PREFILL),
    ("logprobs", Capabilities::LOGPROBS),
    ("seed", Capabilities::SEED),
    ("xml_tags", Capabilities::XML_TAGS),
    ("embeddings", Capabilities::EMBEDDINGS),
];

impl Capabilities {
    /// The capability with this public name.
    pub fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(n, _)| *n == name).map(|(_, bit)| *bit)
    }

    /// The public names of the bits set, in bit order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.iter().filter(move |(_, bit)| self.contains(*bit)).map(|(name, _)| *name)
    }
}

impl Serialize for Capabilities {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

impl<'de> Deserialize<'de> for Capabilities {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut all = Self::empty();
        for name in Vec::<String>::deserialize(deserializer)? {
            all |= Self::named(&name).ok_or_else(|| {
                let known = NAMES.map(|(n, _)| n).join(", ");
                serde::de::Error::custom(format!("unknown capability \"{name}\"; one of: {known}"))
            })?;
        }
        Ok(all)
    }
}

impl JsonSchema for Capabilities {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Capabilities".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "array", "uniqueItems": true,
            "items": { "type": "string", "enum": NAMES.map(|(n, _)| n) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_has_a_name_and_comes_back() {
        let all = Capabilities::all();
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<Capabilities>(&text).unwrap(), all);
        assert_eq!(all.names().count(), NAMES.len());
    }

    #[test]
    fn a_misspelt_name_is_refused_by_name() {
        let error = serde_json::from_str::<Capabilities>(r#"["tool"]"#).unwrap_err().to_string();
        assert!(error.contains("unknown capability \"tool\""), "{error}");
    }
}
