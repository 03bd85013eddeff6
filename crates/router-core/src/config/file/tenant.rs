//! `keys`, `budgets`, `classifier` and `passthrough` as written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::budget::Period;
use crate::config::Secret;
use crate::money::Usd;

/// A client key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Key {
    /// Its name, as in logs and reports.
    pub name: String,
    /// SHA-256 of the secret, 64 hex digits. This or `secret`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The secret itself. This or `sha256`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// Who owns it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Labels bound to it.
    pub tags: Vec<String>,
    /// What it may ask for and be answered by. Default all.
    pub models: Vec<String>,
    /// Providers it may be answered by. Default all.
    pub providers: Vec<String>,
    /// Regions it may be answered from. Default all.
    pub regions: Vec<String>,
    /// Requests per minute. Default not limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub rpm: Option<u64>,
    /// Tokens per minute, input and output. Default not limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub tpm: Option<u64>,
    /// Requests in flight at once. Default not limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub concurrency: Option<u32>,
    /// Who goes first when the server is nearly full: higher before lower. Default 0.
    pub priority: i8,
    /// Most it may spend in one `period`. Default not limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_usd: Option<Usd>,
    /// The period of its budget, by the UTC calendar. Default `month`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<Period>,
    /// From when on it is not accepted: an RFC 3339 date-time, or a date, whose midnight in UTC is meant. Default never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

/// A budget. Not available in this version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Its name.
    pub name: String,
    /// What counts on it: `tag`, `key`, `owner`, `model` ... and the value.
    #[serde(default, rename = "match")]
    pub matches: BTreeMap<String, String>,
    /// Its limit.
    pub limit_usd: Usd,
    /// `day`, `week`, `month` ...
    pub period: String,
    /// Shares of the limit at which to say so.
    #[serde(default)]
    pub alert_at: Vec<f64>,
    /// What happens when it is nearly spent: `clamp` ...
    #[serde(default)]
    pub when_low: Option<String>,
}

/// How requests are classified.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Classifier {
    /// Which attributes are recorded. Default `read`: those that the rules read, which are computed anyway.
    pub record: Record,
    /// Labelled examples of your own. Not available in this version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub examples: Option<String>,
    /// Directory of a trained model. Not available in this version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_dir: Option<String>,
}

/// Which attributes are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// Those read.
    #[default]
    Read,
    /// All, of one request in twenty. Not available in this version.
    Sample,
    /// All. Not available in this version.
    All,
}

/// Routes handed through to a provider. Not available in this version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Passthrough {
    /// The provider.
    pub provider: String,
    /// Paths.
    pub routes: Vec<String>,
}
