//! Routing wishes in the words of other gateways: OpenRouter's `models` and `provider`, LiteLLM's habits. As given; what
//! they mean here is said at each.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::compiled::DataCollection;
use crate::money::{PerMillion, Usd};

/// OpenRouter's `provider` object. Providers are meant by the name they have in the configuration or by their host's id,
/// in upper or lower case.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProviderWishes {
    /// Providers to try first, in this order; nothing else shares the load with them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<String>,
    /// Nobody else answers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// They do not answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<String>,
    /// `false`: with `order`, nobody outside it answers; without, only the first choice is tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_fallbacks: Option<bool>,
    /// Whether all that the request asks for must be taken. It always must: here a deployment that lacks a capability the
    /// request needs never answers, whatever is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_parameters: Option<bool>,
    /// What to go by, strictly, in place of the strategy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sort: Option<Sort>,
    /// Dearest price lists that may answer. One without a price may not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_price: Option<MaxPrice>,
    /// `deny`: only providers of which the configuration says that they collect nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_collection: Option<DataCollection>,
}

impl ProviderWishes {
    /// Nothing is wished.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The providers outside which nobody may answer, by `order`; empty: it is no limit.
    pub fn order_as_limit(&self) -> &[String] {
        if self.allow_fallbacks == Some(false) { &self.order } else { &[] }
    }

    /// Only the first choice may be tried.
    pub fn first_choice_only(&self) -> bool {
        self.allow_fallbacks == Some(false) && self.order.is_empty()
    }
}

/// What to go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SortBy {
    /// Expected cost.
    Price,
    /// Expected time to the end of the answer.
    Throughput,
    /// Expected time to the first byte of a stream, or to the end of a whole answer.
    Latency,
}

/// What to go by: a name, or OpenRouter's object `{by}`, within one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Sort(pub SortBy);

/// OpenRouter's object. Models are always tried in their order, so that is the only `partition`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SortObject {
    by: SortBy,
    #[serde(default, rename = "partition")]
    _partition: Option<Partition>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Partition {
    Model,
}

impl JsonSchema for Sort {
    fn schema_name() -> Cow<'static, str> {
        "Sort".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let by = generator.subschema_for::<SortBy>();
        json_schema!({
            "description": "What to go by, strictly: a name, or an object with the name as `by`.",
            "anyOf": [by, {
                "type": "object",
                "properties": { "by": by, "partition": { "const": "model" } },
                "required": ["by"],
                "additionalProperties": false
            }]
        })
    }
}

impl<'de> Deserialize<'de> for Sort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;

        impl<'de> Visitor<'de> for Form {
            type Value = Sort;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("price, throughput, latency, or an object with one of them as `by`")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Sort, E> {
                SortBy::deserialize(StrDeserializer::new(name)).map(Sort)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Sort, A::Error> {
                let object = SortObject::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Sort(object.by))
            }
        }

        deserializer.deserialize_any(Form)
    }
}

/// Dearest list prices that may answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MaxPrice {
    /// Of input, in USD per million tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<PerMillion>,
    /// Of output, in USD per million tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion: Option<PerMillion>,
    /// Fee per call, in USD.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<Usd>,
}

/// What stands beside the request proper at the top of a body, in other gateways' words. Taken out before anything goes
/// upstream, be it OpenRouter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Habits {
    /// OpenRouter: models in the order to try, after the one named as `model`. Where `model` is missing, the first of
    /// them is the model, and is not here any more.
    pub models: Vec<String>,
    /// The first of `models` became the model.
    pub first_is_model: bool,
    /// OpenRouter: its object.
    pub provider: Option<ProviderWishes>,
    /// LiteLLM: models to fall back to.
    pub fallbacks: Vec<String>,
    /// LiteLLM: `metadata.tags`.
    pub tags: Vec<String>,
    /// LiteLLM: repeats that may be paid for.
    pub num_retries: Option<u32>,
    /// LiteLLM: only the first choice is tried.
    pub disable_fallbacks: bool,
    /// OpenAI: `prompt_cache_key`, which goes upstream all the same. What shares it stays together.
    pub cache_key: Option<String>,
}

/// One entry of LiteLLM's `fallbacks`: a name, or an object that names a model and nothing else. What it would change of
/// the request (other messages) is not done here, and refused.
#[derive(Debug, PartialEq, Eq)]
pub struct FallbackName(pub String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FallbackObject {
    model: String,
}

impl<'de> Deserialize<'de> for FallbackName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;

        impl<'de> Visitor<'de> for Form {
            type Value = FallbackName;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a model's name, or an object with the name as `model`")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<FallbackName, E> {
                Ok(FallbackName(name.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FallbackName, A::Error> {
                let object = FallbackObject::deserialize(MapAccessDeserializer::new(map))?;
                Ok(FallbackName(object.model))
            }
        }

        deserializer.deserialize_any(Form)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sort_is_a_name_or_an_object() {
        let check = |text: &str, expected: Option<SortBy>| {
            let read = serde_json::from_str::<ProviderWishes>(&format!(r#"{{"sort":{text}}}"#));
            assert_eq!(read.ok().map(|w| w.sort.map(|s| s.0)), expected.map(Some), "{text}");
        };
        check(r#""price""#, Some(SortBy::Price));
        check(r#"{"by":"latency"}"#, Some(SortBy::Latency));
        check(r#"{"by":"throughput","partition":"model"}"#, Some(SortBy::Throughput));
        for wrong in [r#""speed""#, r#"{"by":"price","partition":"none"}"#, "{}", "5"] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_fallback_is_a_name_and_nothing_else() {
        let check = |text: &str, expected: Option<&str>| {
            let read = serde_json::from_str::<FallbackName>(text);
            assert_eq!(read.ok().map(|name| name.0).as_deref(), expected, "{text}");
        };
        check(r#""m""#, Some("m"));
        check(r#"{"model":"m"}"#, Some("m"));
        for wrong in [r#"{"model":"m","messages":[]}"#, "{}", "5", r#"{"m":["n"]}"#] {
            check(wrong, None);
        }
    }
}
