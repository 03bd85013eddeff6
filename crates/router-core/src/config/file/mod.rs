//! The configuration file, every section as written: plain data, nothing resolved. The published schema is made from
//! these types, so a default is given here once, with its reason.

mod provider;
mod reliability;
mod rule;
mod server;
mod tenant;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use provider::{Auto, Deployment, Faults, Model, Provider, ProviderKey};
pub use reliability::{Breaker, Hedging, Probe, Reliability, Rescue, Retries, TimeLimits};
pub use rule::{Arm, Rule, Split, Strategy, Use};
pub use server::{Compat, Durability, Ledger, OnFull, Runtime, Server};
pub use tenant::{Budget, BudgetMatch, Classifier, Key, Passthrough, Record, Webhook, WebhookEvent};

/// A whole configuration file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "LLM Router configuration")]
pub struct File {
    /// Where and within which bounds to listen.
    pub server: Server,
    /// Where what happened is kept.
    pub ledger: Ledger,
    /// Where the decision log goes, one JSON object per line: a path, `stdout` or `off`. Default `stdout`, which every
    /// supervisor and container collects; other messages go to standard error.
    pub decision_log: String,
    /// Providers by name. A known host's name needs no more than a key.
    pub providers: BTreeMap<String, Provider>,
    /// Deployments to add or change.
    pub deployments: Vec<Deployment>,
    /// Names of your own that clients can ask for.
    pub models: BTreeMap<String, Model>,
    /// Named sets of deployments, by deployment id.
    pub tiers: BTreeMap<String, Vec<String>>,
    /// For `auto` and models with `rules: true`; the first whose `when` holds decides.
    pub rules: Vec<Rule>,
    /// How to choose where nothing else says so.
    pub selection: Selection,
    /// How failures are met.
    pub reliability: Reliability,
    /// What may be spent, by whom and on what.
    pub budgets: Vec<Budget>,
    /// Who is told when a budget is spent, or nearly.
    pub webhooks: Vec<Webhook>,
    /// Client keys, read-only from the API.
    pub keys: Vec<Key>,
    /// How requests are classified.
    pub classifier: Classifier,
    /// Routes handed through to a provider. Not available in this version.
    pub passthrough: Vec<Passthrough>,
}

impl Default for File {
    fn default() -> Self {
        Self {
            server: Server::default(),
            ledger: Ledger::default(),
            decision_log: "stdout".into(),
            providers: BTreeMap::new(),
            deployments: Vec::new(),
            models: BTreeMap::new(),
            tiers: BTreeMap::new(),
            rules: Vec::new(),
            selection: Selection::default(),
            reliability: Reliability::default(),
            budgets: Vec::new(),
            webhooks: Vec::new(),
            keys: Vec::new(),
            classifier: Classifier::default(),
            passthrough: Vec::new(),
        }
    }
}

/// How to choose where nothing else says so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Selection {
    /// The tier when no rule matches. Absent: all deployments that are on.
    pub default_tier: Option<String>,
    /// Predicted quality wanted when nothing else says so. Default 0.7: a cheap model's ordinary answer is good enough,
    /// a poor one is not.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub quality: f64,
    /// What a second of expected time is worth, in USD. Default 0.0001 (36 cents an hour): it parts deployments of
    /// nearly the same price, and never buys a dearer class of model.
    pub usd_per_sec: crate::money::Usd,
    /// Deployments whose scores are within this share of the best one share the load. Default 5: a burst does not hit
    /// one rate limit, and costs a few percent at most.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub near_equal_percent: f64,
}

impl Default for Selection {
    fn default() -> Self {
        Self {
            default_tier: None,
            quality: 0.7,
            usd_per_sec: crate::money::Usd::from_nano(100_000),
            near_equal_percent: 5.0,
        }
    }
}
