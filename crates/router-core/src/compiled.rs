//! A checked configuration in the form that serves requests: immutable, indexed, replaced whole by a reload.

mod allow;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::attributes::AttributeSet;
use crate::budget::{BudgetPolicy, Period};
use crate::capability::Capabilities;
use crate::catalog;
use crate::chat::DialectId;
use crate::money::Usd;
use crate::price::PriceList;
use crate::rules::Rule;
use crate::time::Timestamp;

pub use allow::{Allow, DataCollection};

/// Index of a deployment in [`Compiled::deployments`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeploymentIdx(pub u16);

impl DeploymentIdx {
    /// As a slice index.
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

/// One thing that can be called.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// `provider/model`, or the id the operator gave.
    pub id: Arc<str>,
    /// The provider's name in the configuration.
    pub provider: Arc<str>,
    /// Index into [`Compiled::providers`].
    pub provider_idx: u16,
    /// The name the upstream knows the model by.
    pub upstream_model: Arc<str>,
    /// The catalog model it is an instance of (without provider), for quality and reports.
    pub model: Arc<str>,
    /// Where it runs, when known.
    pub region: Option<Arc<str>>,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Longest input in tokens; `None`: unknown, not limited here.
    pub max_input_tokens: Option<u64>,
    /// Longest output in tokens; `None`: unknown.
    pub max_output_tokens: Option<u64>,
    /// Price list; `None`: unpriced.
    pub price: Option<PriceList>,
    /// Prior quality, 0..=1, by which deployments are compared until measured.
    pub quality: Option<f64>,
    /// Share under the weighted strategy.
    pub weight: u32,
    /// Own limits.
    pub limits: Limits,
    /// Own time limits, everything filled in.
    pub time_limits: TimeLimits,
    /// Input tokens of this deployment per o200k-equivalent estimated token, in parts per million.
    pub token_scale_ppm: u32,
    /// Answers by itself: `simulated`.
    pub simulated: bool,
}

/// Limits of one deployment. `None`: not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Requests per minute.
    pub rpm: Option<u64>,
    /// Tokens per minute (input and output).
    pub tpm: Option<u64>,
    /// Attempts in flight at once.
    pub concurrency: Option<u32>,
    /// Requests that may wait for one of these limits; one more goes elsewhere at once, or is refused with the time to come
    /// back. Default 1000: a burst is worked off, and a queue that no deadline would live to see the end of never forms.
    pub queue: Option<u32>,
}

/// Time limits of one deployment, in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimits {
    /// To connect, TLS included.
    pub connect: Duration,
    /// From sending a streamed request to the first byte of its body.
    pub first_byte: Duration,
    /// From sending a JSON request to its whole answer.
    pub answer: Duration,
    /// Between two bytes of a stream.
    pub idle: Duration,
}

impl TimeLimits {
    /// These, with what is written over them.
    #[must_use]
    pub fn under(self, over: catalog::TimeLimits) -> Self {
        let ms = |written: Option<u64>, own| written.map_or(own, Duration::from_millis);
        Self {
            connect: self.connect,
            first_byte: ms(over.first_byte_ms, self.first_byte),
            answer: ms(over.answer_ms, self.answer),
            idle: ms(over.idle_ms, self.idle),
        }
    }
}

/// A provider that is on.
#[derive(Clone, Debug)]
pub struct Provider {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// The known host it is an instance of, as in the provider table; `None`: any compatible address.
    pub host: Option<Arc<str>>,
    /// Wire format.
    pub dialect: DialectId,
    /// Base URL, without a slash at its end.
    pub base_url: Arc<str>,
    /// Names of credentials, in order; the secrets themselves are held by the server, never here.
    pub keys: u16,
    /// Answers by itself.
    pub simulated: bool,
    /// What the operator says it does with what it is sent; `None`: not said.
    pub data_collection: Option<DataCollection>,
}

/// How deployments are spread over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// By expected cost.
    #[default]
    Cheapest,
    /// By weight, at random.
    Weighted,
    /// In turn.
    RoundRobin,
    /// By attempts in flight relative to weight.
    LeastBusy,
    /// By expected time, the better of two drawn at random.
    LowestLatency,
    /// In the order given.
    Priority,
}

/// A name a client can ask for, from `models`.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Its deployments, in the order given. Empty for an `auto` model.
    pub deployments: Vec<DeploymentIdx>,
    /// How to spread over them.
    pub strategy: Strategy,
    /// Models to fall back to, in order.
    pub fallbacks: Vec<String>,
    /// ... only when the request was too long, in order.
    pub context_fallbacks: Vec<String>,
    /// ... only when a provider's content filter refused it, in order.
    pub filter_fallbacks: Vec<String>,
    /// The rules decide, within `deployments` when there are any.
    pub rules: bool,
    /// It is decided like `auto`, with this quality.
    pub auto_quality: Option<f64>,
    /// Decided like `auto`.
    pub auto: bool,
    /// Time limits of requests for it, in force over those of the deployment.
    pub time_limits: catalog::TimeLimits,
    /// Who may answer requests for it, its fallbacks included.
    pub allow: Allow,
    /// Whether a session keeps to one deployment; `None`: among near-equals only.
    pub sticky: Option<bool>,
}

/// A named set of deployments.
#[derive(Clone, Debug)]
pub struct Tier {
    /// Its name.
    pub name: Arc<str>,
    /// Its deployments, in the order given.
    pub deployments: Vec<DeploymentIdx>,
}

/// Selection defaults.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The tier when no rule matches; index into [`Compiled::tiers`]; `None`: all deployments on.
    pub default_tier: Option<u16>,
    /// Quality wanted when nothing else says so, 0..=1.
    pub quality: f64,
    /// What a second of expected total time is worth.
    pub usd_per_second: Usd,
    /// Deployments whose scores are within this share of the best are near-equal, and share the load, in parts per million.
    pub near_equal_ppm: u32,
}

/// The breaker's numbers (DESIGN D7).
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerPolicy {
    /// Off: nothing ever opens.
    pub enabled: bool,
    /// Length of the sliding window.
    pub window: Duration,
    /// Opens above this share of failures, 0..=1.
    pub error_rate: f64,
    /// ... with at least so many requests in the window
    pub min_requests: u32,
    /// ... and so many failures.
    pub min_failures: u32,
    /// Opens after so many failures in a row, whatever the traffic.
    pub consecutive: u32,
    /// First cooldown.
    pub cooldown: Duration,
    /// Longest cooldown.
    pub max_cooldown: Duration,
    /// Least time on one step of the ramp.
    pub ramp_step: Duration,
}

/// Retry numbers (DESIGN D6).
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Retries allowed per hundred requests.
    pub budget_percent: u32,
    /// ... plus so many per second.
    pub per_sec: u32,
    /// Most paid attempts per request, the first included. Free moves do not count.
    pub attempts: u32,
    /// First backoff; the n-th is uniform in 0..=min(cap, base x 2^n).
    pub backoff_base: Duration,
    /// Longest backoff.
    pub backoff_cap: Duration,
}

/// How failures are met.
#[derive(Clone, Debug)]
pub struct Reliability {
    /// Deadline of a request that names none.
    pub deadline: Duration,
    /// Retries.
    pub retries: RetryPolicy,
    /// Breaker.
    pub breaker: BreakerPolicy,
    /// How often the router itself tries a deployment that may be well again; `None`: clients' requests do.
    pub probe: Option<Duration>,
    /// A stream that breaks off is gone on with elsewhere.
    pub rescue: bool,
    /// A late first attempt is raced by a second one; `None`: never.
    pub hedging: Option<HedgePolicy>,
}

/// What hedging may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HedgePolicy {
    /// Most that it may add to what requests cost without it, in parts per million.
    pub max_extra_cost_ppm: u32,
}

/// A client key, from the configuration or the ledger: everything but its secret.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientKey {
    /// Its name.
    pub name: Arc<str>,
    /// Who owns it.
    pub owner: Option<Arc<str>>,
    /// Tags bound to it.
    pub tags: Vec<Arc<str>>,
    /// Models it may ask for and be answered by; empty: all.
    pub models: Vec<String>,
    /// Providers it may be answered by; empty: all.
    pub providers: Vec<String>,
    /// Regions it may be answered from; empty: all.
    pub regions: Vec<String>,
    /// Requests and tokens per minute, and requests in flight.
    pub limits: Limits,
    /// Who goes first when the server is full: higher before lower. Default 0.
    pub priority: i8,
    /// It is not accepted from then on.
    pub expires: Option<Timestamp>,
    /// Its own budget.
    pub budget: Option<KeyBudget>,
}

/// The budget of one client key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyBudget {
    /// Most it may spend in one period.
    pub limit: Usd,
    /// The period.
    pub period: Period,
}

/// The simulated provider's deployment for names of which it knows nothing.
pub const ANY: &str = "any";

/// Everything `decide` needs, checked. Cheap to share, never changed.
#[derive(Debug)]
pub struct Compiled {
    /// SHA-256 of the configuration's canonical JSON without secrets, first 16 hex digits.
    pub config_hash: Arc<str>,
    /// The same of the catalog.
    pub catalog_hash: Arc<str>,
    /// Providers that are on.
    pub providers: Vec<Provider>,
    /// Names by which a request may speak of a provider, in lower case and ascending: every provider of the configuration
    /// and every known host, be it off.
    pub provider_names: Vec<Arc<str>>,
    /// Deployments of those, ascending by id.
    pub deployments: Vec<Deployment>,
    /// Model names, without `auto`.
    pub models: BTreeMap<String, Model>,
    /// Tiers, in the order given.
    pub tiers: Vec<Tier>,
    /// Rules, in the order given.
    pub rules: Vec<Rule>,
    /// Every attribute some rule or the selection reads.
    pub reads: AttributeSet,
    /// Selection.
    pub selection: Selection,
    /// Reliability.
    pub reliability: Reliability,
    /// Client keys of the configuration, each with the SHA-256 of its secret.
    pub keys: Vec<([u8; 32], Arc<ClientKey>)>,
    /// Budgets, in the order given; those of keys are with the keys.
    pub budgets: Vec<Arc<BudgetPolicy>>,
}

impl Compiled {
    /// The deployment at an index.
    ///
    /// # Panics
    /// Never for an index of this very value; an index of another configuration may be out of range.
    pub fn deployment(&self, idx: DeploymentIdx) -> &Deployment {
        &self.deployments[idx.get()]
    }

    /// The deployment with this id. The simulated provider answers to every name: one of which it knows nothing is its
    /// deployment `any`.
    pub fn deployment_named(&self, id: &str) -> Option<DeploymentIdx> {
        let find = |id: &str| self.deployments.binary_search_by(|d| (*d.id).cmp(id)).ok();
        let at = find(id).or_else(|| {
            let (provider, _) = id.split_once('/').filter(|(_, name)| !name.is_empty())?;
            let simulated = self.providers.iter().any(|p| p.simulated && &*p.name == provider);
            find(&format!("{provider}/{ANY}")).filter(|_| simulated)
        })?;
        u16::try_from(at).ok().map(DeploymentIdx)
    }

    /// Whether anybody knows a provider of this name, in upper or lower case.
    pub fn knows_provider(&self, name: &str) -> bool {
        self.provider_names.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Whether a deployment is of the provider meant by this name: the one it has in the configuration or its host's id,
    /// in upper or lower case. What stands in for a provider's deployment counts as that one's, by its id.
    pub fn is_of(&self, deployment: &Deployment, provider: &str) -> bool {
        let own = self.providers.get(usize::from(deployment.provider_idx));
        let host = own.and_then(|own| own.host.as_deref());
        let stem = deployment.id.split_once('/').map(|(stem, _)| stem);
        [Some(&*deployment.provider), host, stem]
            .into_iter()
            .flatten()
            .any(|known| known.eq_ignore_ascii_case(provider))
    }

    /// Whether a limit to this provider lets a deployment answer: as [`Compiled::is_of`], but a name that a provider of the
    /// configuration has for itself means that one alone, not others at the same host.
    pub fn admits(&self, deployment: &Deployment, provider: &str) -> bool {
        let borne = self.providers.iter().any(|known| known.name.eq_ignore_ascii_case(provider));
        deployment.provider.eq_ignore_ascii_case(provider) || (!borne && self.is_of(deployment, provider))
    }

    /// Time limits of a request for a model (as in [`Compiled::models`], if it is one) on a deployment.
    pub fn time_limits(&self, model: &str, on: DeploymentIdx) -> TimeLimits {
        let over = self.models.get(model).map(|m| m.time_limits).unwrap_or_default();
        self.deployment(on).time_limits.under(over)
    }

    /// Tiers that have a name; one without stands for a rule that may use nothing.
    pub fn named_tiers(&self) -> impl Iterator<Item = &Tier> {
        self.tiers.iter().filter(|tier| !tier.name.is_empty())
    }

    /// The tier with this name.
    pub fn tier_named(&self, name: &str) -> Option<u16> {
        self.tiers
            .iter()
            .position(|t| &*t.name == name && !name.is_empty())
            .and_then(|at| u16::try_from(at).ok())
    }

    /// All indices.
    pub fn indices(&self) -> impl Iterator<Item = DeploymentIdx> + use<> {
        (0..u16::try_from(self.deployments.len()).unwrap_or(u16::MAX)).map(DeploymentIdx)
    }
}
