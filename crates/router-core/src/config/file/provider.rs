//! `providers`, `deployments` and `models` as written.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::capability::Capabilities;
use crate::catalog;
use crate::chat::DialectId;
use crate::compiled::{Allow, DataCollection, Limits};
use crate::config::Secret;
use crate::config::file::Strategy;
use crate::money::Usd;
use crate::price::Rates;

/// A company or kind of server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Provider {
    /// `false`: off. Default on: what is written is meant.
    pub enabled: bool,
    /// It must be on: without its key nothing starts.
    pub required: bool,
    /// The known host it is an instance of. Absent: the one it is named after, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Wire format. Needed only where the host is not a known one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialect: Option<DialectId>,
    /// Base URL, `http://` or `https://`. Needed only where the host has none of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// Its key. `null` (a variable that is not set): the provider is off.
    #[serde(deserialize_with = "written", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Secret>")]
    pub api_key: Option<Option<Secret>>,
    /// Several keys, used by weight. One that is refused, without credit or rate limited gives way to another within the same
    /// request, and is tried again after its cooldown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<ProviderKey>>,
    /// Where it runs, for `regions`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Whether it may keep what it is sent or train on it: `allow` or `deny`. Absent: not known, which counts as `allow`,
    /// so that requests with `provider.data_collection: deny` never go there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_collection: Option<DataCollection>,
    /// Simulated provider only: time to the first byte, in milliseconds. Default 200, a fast model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// Simulated provider only: speed of a stream. Default 100 tokens per second, a fast model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub tokens_per_sec: Option<u32>,
    /// Simulated provider only: tokens of an answer, where the request does not allow fewer. Default 48, a short
    /// paragraph.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub output_tokens: Option<u32>,
    /// Simulated provider only: price of what is asked for by name; what stands in for a real deployment has that
    /// one's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_usd_per_million: Option<Rates>,
    /// Simulated provider only: faults to make, for trying out failover.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub faults: Option<Faults>,
}

impl Default for Provider {
    fn default() -> Self {
        Self {
            enabled: true,
            required: false,
            host: None,
            dialect: None,
            base_url: None,
            api_key: None,
            keys: None,
            region: None,
            data_collection: None,
            latency_ms: None,
            tokens_per_sec: None,
            output_tokens: None,
            price_usd_per_million: None,
            faults: None,
        }
    }
}

/// Tells a member that is written as `null` from one that is not written.
fn written<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Secret>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// One of several keys of a provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderKey {
    /// The key. `null` (a variable that is not set): not used.
    pub api_key: Option<Secret>,
    /// Its share. Default 1: equal shares.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub weight: u32,
}

const fn one() -> u32 {
    1
}

/// Faults of the simulated provider, each as a share of its answers, together at most 1. Default none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Answers that are an error 500, before the first byte.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub error_rate: f64,
    /// Answers that are an error 429.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub rate_limit_rate: f64,
    /// Answers that break off half-way.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub cut_rate: f64,
}

/// One thing that can be called. Price, window and capabilities come from the catalog unless given here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// `provider/name`.
    pub id: String,
    /// The name the upstream knows the model by. Absent: the part of `id` after the first slash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_model: Option<String>,
    /// The catalog model it is an instance of: `model`, or `host/model` where several hosts have one of that name.
    /// Absent: `upstream_model`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Where it runs. Absent: as its provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Its share under `strategy: weighted`. Default 1: equal shares.
    #[serde(default = "one")]
    pub weight: u32,
    /// Negotiated price as a factor on the list price: on every class of tokens and on the fee per call. Absent: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 100.0))]
    pub price_factor: Option<f64>,
    /// Its whole price list, in place of the catalog's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_usd_per_million: Option<Rates>,
    /// Fee per call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_request_usd: Option<Usd>,
    /// Longest input in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_input_tokens: Option<u64>,
    /// Longest output in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_output_tokens: Option<u64>,
    /// What it can do, in place of the catalog's list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
    /// Prior quality, until measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub quality: Option<f64>,
    /// Limits that we keep. Default none: the provider's own answer is heeded in any case.
    #[serde(default)]
    pub limits: Limits,
    /// Its own time limits.
    #[serde(default)]
    pub time_limits: catalog::TimeLimits,
}

/// A name that clients can ask for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Model {
    /// Its deployments, by id. With `strategy: priority` an order, else a set.
    pub deployments: Vec<String>,
    /// How to spread over them. Absent: cheapest, as the promise of a router is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// Models to fall back to, in order. Default none: who names a model gets that model.
    pub fallbacks: Vec<String>,
    /// Models to go to when the request is too long for its own deployments and none of those has a longer window, in order.
    pub context_fallbacks: Vec<String>,
    /// Models to go to when a provider's content filter refuses the request, in order. Empty: the refusal is the answer.
    pub filter_fallbacks: Vec<String>,
    /// The rules decide, among its deployments. Default `false`.
    pub rules: bool,
    /// Decided like `auto`, with changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto: Option<Auto>,
    /// Time limits of requests for it.
    pub time_limits: catalog::TimeLimits,
    /// Who may answer requests for it: a hard limit on every attempt, its fallbacks included. Default everybody.
    #[serde(skip_serializing_if = "Allow::is_empty")]
    pub allow: Allow,
    /// `true`: requests of one session keep to one deployment, drawn by weight, whatever the strategy but `priority`;
    /// one that is out is left and returned to. `false`: they never do. Absent: only where it costs nothing, among
    /// near-equals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sticky: Option<bool>,
}

/// What a model that is decided like `auto` changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Auto {
    /// Predicted quality wanted.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub quality: Option<f64>,
}
