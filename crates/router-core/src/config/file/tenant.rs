//! `keys`, `budgets`, `webhooks`, `classifier` and `passthrough` as written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::budget::{Period, WhenLow};
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

/// A budget. What counts on it never costs more than its limit in one period, at any concurrency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Its name, as in metrics, errors and the ledger: another name is another budget, which begins at nothing spent.
    pub name: String,
    /// What counts on it; all members given must match. Default everything.
    #[serde(default, rename = "match")]
    pub matches: BudgetMatch,
    /// Most that may be spent in one period, in USD.
    #[schemars(range(min = 0.0))]
    pub limit_usd: Usd,
    /// How long it lasts, by the UTC calendar. Default a month, as bills have it.
    #[serde(default)]
    pub period: Period,
    /// Shares of the limit at which to say so, in the log and to `webhooks`, once per period. Default none.
    #[serde(default)]
    #[schemars(inner(range(min = 0.0, max = 1.0)))]
    pub alert_at: Vec<f64>,
    /// What happens when it is nearly spent. Default `clamp`: a short answer is worth more than none.
    #[serde(default)]
    pub when_low: WhenLow,
}

/// What counts on a budget.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetMatch {
    /// The client key's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The client key's owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// A tag bound to the client key; tags that a client claims in a request do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The model asked for, as `models` or a deployment names it, or `auto`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The provider called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The deployment called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<String>,
}

/// An address of yours that is told what happens to budgets: a POST with a JSON body, tried again for a while when it
/// does not answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Where; `http` or `https`. It is kept like a secret, because such addresses often hold one.
    pub url: Secret,
    /// What it is told. Default everything.
    #[serde(default)]
    pub events: Vec<WebhookEvent>,
}

/// What a webhook can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WebhookEvent {
    /// A share of a budget's `alert_at` is spent; once per period.
    BudgetAlert,
    /// A request was refused because a budget is spent; once per period.
    BudgetExceeded,
}

impl WebhookEvent {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::BudgetAlert, Self::BudgetExceeded];

    /// Its public name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BudgetAlert => "budget_alert",
            Self::BudgetExceeded => "budget_exceeded",
        }
    }
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
