//! The catalog of models: prices, windows, capabilities and time limits, as written in `config/catalog.yaml`. It says
//! what exists; which of it is used is the configuration's to say.

mod check;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::capability::Capabilities;
use crate::money::Usd;
use crate::price::{LongContext, Rates, ServiceTier};

pub use check::check;

/// A whole catalog. Immutable, replaced whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    /// Where the figures come from and under which licence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// The day the figures were taken, `YYYY-MM-DD`.
    #[schemars(regex(pattern = r"^\d{4}-\d{2}-\d{2}$"))]
    pub date: String,
    /// Time limits of every entry that has the capability `reasoning` and none of its own.
    #[serde(default = "TimeLimits::reasoning")]
    pub reasoning: TimeLimits,
    /// The models.
    pub entries: Vec<Entry>,
}

/// One model of one host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The host, as in the table of providers.
    #[schemars(length(min = 1))]
    pub provider: String,
    /// The model, as the host knows it.
    #[schemars(length(min = 1))]
    pub model: String,
    /// List prices in USD per million tokens. Absent: unpriced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_usd_per_million: Option<Rates>,
    /// Prices of the whole request once its input is longer than a bound, ascending by bound.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub long_context: Vec<LongContext>,
    /// Prices of processing tiers other than `standard`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub service_tiers: BTreeMap<ServiceTier, Rates>,
    /// Fee per call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_request_usd: Option<Usd>,
    /// Longest input in tokens. Absent: unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_input_tokens: Option<u64>,
    /// Longest output in tokens. Absent: unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_output_tokens: Option<u64>,
    /// What it can do.
    #[serde(default)]
    pub capabilities: Capabilities,
    /// Its own time limits, where it needs others than its kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_limits: Option<TimeLimits>,
    /// Prior quality, until measured on the operator's own traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<Quality>,
    /// The day the host turns it off or did so, `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^\d{4}-\d{2}-\d{2}$"))]
    pub deprecated_on: Option<String>,
    /// The page the figures are from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// A prior quality with where it is from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quality {
    /// Share of requests answered well, 0..=1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub value: f64,
    /// The measurement or page.
    #[schemars(length(min = 1))]
    pub source: String,
    /// Its day, `YYYY-MM-DD`.
    #[schemars(regex(pattern = r"^\d{4}-\d{2}-\d{2}$"))]
    pub date: String,
}

/// Time limits of a model or a deployment, in milliseconds; what is absent is as in `reliability.time_limits`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "OwnTimeLimits")]
pub struct TimeLimits {
    /// From sending a streamed request to the first byte of its body. A ping counts as a byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub first_byte_ms: Option<u64>,
    /// From sending a JSON request to its whole answer. The request's deadline still holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub answer_ms: Option<u64>,
    /// Between two bytes of a stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub idle_ms: Option<u64>,
}

impl TimeLimits {
    /// Those of reasoning models: a healthy one may think for two minutes before its first token, in silence and also
    /// after a first empty event, so first byte and idle are 180 s; a whole answer may take half an hour where the
    /// deadline allows it.
    pub const fn reasoning() -> Self {
        Self { first_byte_ms: Some(180_000), answer_ms: Some(1_800_000), idle_ms: Some(180_000) }
    }

    /// These, with `base` filling what is absent.
    #[must_use]
    pub fn or(self, base: Self) -> Self {
        Self {
            first_byte_ms: self.first_byte_ms.or(base.first_byte_ms),
            answer_ms: self.answer_ms.or(base.answer_ms),
            idle_ms: self.idle_ms.or(base.idle_ms),
        }
    }
}

impl Catalog {
    /// The entries of one host.
    pub fn of_host<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(move |e| e.provider == host)
    }

    /// A model of one host.
    pub fn entry(&self, host: &str, model: &str) -> Option<&Entry> {
        self.entries.iter().find(|e| e.provider == host && e.model == model)
    }

    /// Time limits of an entry: its own, then its kind's.
    pub fn time_limits(&self, entry: &Entry) -> TimeLimits {
        let own = entry.time_limits.unwrap_or_default();
        if entry.capabilities.contains(Capabilities::REASONING) { own.or(self.reasoning) } else { own }
    }
}
