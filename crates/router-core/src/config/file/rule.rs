//! `rules` as written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::money::Usd;

/// One rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name, as in headers, logs and reports.
    #[schemars(length(min = 1))]
    pub name: String,
    /// When it holds; empty: always.
    #[schemars(schema_with = "crate::rules::when_schema")]
    pub when: Map<String, Value>,
    /// What to use then.
    #[serde(rename = "use")]
    pub then: Use,
}

/// What to use. Names are deployment ids, model or tier names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Use {
    /// The tier to choose from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// What to choose from, in place of a tier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// Ranked before all others.
    pub prefer: Vec<String>,
    /// Ranked after all others.
    pub avoid: Vec<String>,
    /// A hard limit: nothing else answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only: Option<Vec<String>>,
    /// How to spread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,
    /// Predicted quality wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub quality: Option<f64>,
    /// Most the request may cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_cost_usd: Option<Usd>,
    /// Expected total time wanted, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub latency_budget_ms: Option<u64>,
    /// Hard limit on the whole request, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub deadline_ms: Option<u64>,
    /// Models to fall back to, in order.
    pub fallbacks: Vec<String>,
    /// Regions that may answer.
    pub regions: Vec<String>,
    /// `true`: requests of one session keep to one deployment, drawn by weight, whatever the strategy but `priority`;
    /// one that is out is left and returned to. `false`: they never do. Absent: as the model says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sticky: Option<bool>,
    /// An experiment. Not available in this version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
}

/// How to spread over deployments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// By expected cost.
    Cheapest,
    /// By weight, at random.
    Weighted,
    /// In turn.
    RoundRobin,
    /// Fewest attempts in flight for its weight first; of those alike, by expected cost.
    LeastBusy,
    /// Shortest expected time first, the better of two drawn at random: to the first byte of a stream, or to the end of
    /// a whole answer, times what is in flight there.
    LowestLatency,
    /// In the order given.
    Priority,
}

/// An experiment: shares of traffic go different ways.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// Its name in reports.
    pub experiment: String,
    /// What stays together: `session`, `key`, `user` or `request`.
    pub by: String,
    /// The ways.
    pub arms: Vec<Arm>,
}

/// One way of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// Deployment id, model or tier name.
    pub to: String,
    /// Its share.
    pub percent: f64,
}
