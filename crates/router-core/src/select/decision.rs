//! The result of `decide`: a plan, and a verdict for every deployment.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::compiled::DeploymentIdx;
use crate::money::Usd;

/// Why a deployment is refused or deferred; the first reason found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Not among the deployments that may answer this request (its model, tier, rule).
    NotInSet,
    /// The key or the request does not allow its model or provider.
    NotAllowed,
    /// The key or the request does not allow its region.
    RegionNotAllowed,
    /// A simulated deployment never stands in for a real one.
    Simulated,
    /// It lacks a capability the request needs.
    CapabilityMissing,
    /// Its dialect cannot express this request.
    DialectCannotExpress,
    /// The input, with the output asked for, does not fit its window.
    ContextTooLong,
    /// Its expected cost is over the request's cost ceiling.
    OverCostCeiling,
    /// It has no price, and a budget or a cost ceiling must be kept.
    Unpriced,
    /// Deferred: its breaker is open, or half open with the one ticket taken, or this request is outside its ramp.
    BreakerOpen,
    /// Deferred: it has fallen silent.
    Suspect,
    /// Deferred: its rate limit is spent.
    RateSpent,
    /// Deferred: its concurrency limit is spent.
    ConcurrencySpent,
    /// Deferred: its p95 of total time is over the latency budget.
    TooSlow,
    /// Ranked, although its predicted quality is below the target (none reaches it).
    BelowQuality,
    /// Ranked after those that reach the quality wanted.
    QualityNotReached,
}

/// The three classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerdictKind {
    /// May answer.
    Ranked,
    /// May answer when no ranked one is left.
    Deferred,
    /// May not answer.
    Refused,
}

/// What a ranked deployment's score is made of, in USD. Lower is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct ScoreParts {
    /// Expected tokens at list price.
    pub cost: f64,
    /// What the expected time is worth.
    pub latency: f64,
    /// What leaving a warm prompt cache loses.
    pub cache: f64,
    /// The sum.
    pub total: f64,
}

/// One deployment's verdict.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// Which.
    pub deployment: DeploymentIdx,
    /// Class.
    pub kind: VerdictKind,
    /// The first reason against it, if any.
    pub reason: Option<Reason>,
    /// What exactly: the capability, the limit and the value.
    pub detail: Option<String>,
    /// Score of a ranked or deferred one.
    pub score: Option<ScoreParts>,
    /// Expected cost, when priced.
    pub cost: Option<Usd>,
    /// Predicted quality, when known.
    pub quality: Option<f64>,
    /// Probability with which this request would have chosen it first.
    pub propensity: f64,
    /// Expected input tokens on this deployment.
    pub input_tokens: u64,
}

/// The order to try deployments in.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RoutePlan {
    /// Ranked ones, best first.
    pub ranked: Vec<DeploymentIdx>,
    /// Deferred ones, soonest return first.
    pub deferred: Vec<DeploymentIdx>,
}

/// What was decided and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decision {
    /// The rule that matched; `None`: none, or the model is decided without rules.
    pub rule: Option<Arc<str>>,
    /// The tier chosen from, if any.
    pub tier: Option<Arc<str>>,
    /// Rules passed over, each with the path of the first condition that failed.
    pub rules_passed_over: Vec<(Arc<str>, String)>,
    /// The order to try.
    pub plan: RoutePlan,
    /// One per deployment of the configuration.
    pub verdicts: Vec<Verdict>,
    /// Hard limit from the rule, in milliseconds, if tighter than the request's.
    pub deadline_ms: Option<u64>,
    /// Only the first deployment may be tried.
    pub no_fallbacks: bool,
    /// Most the request may cost.
    pub max_cost: Option<Usd>,
}
