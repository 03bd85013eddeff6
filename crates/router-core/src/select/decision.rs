//! The result of `decide`: a plan, and a verdict for every deployment considered.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::input::DeploymentState;
use crate::capability::Capabilities;
use crate::chat::DialectId;
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

impl Reason {
    /// The public name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotInSet => "not_in_set",
            Self::NotAllowed => "not_allowed",
            Self::RegionNotAllowed => "region_not_allowed",
            Self::Simulated => "simulated",
            Self::CapabilityMissing => "capability_missing",
            Self::DialectCannotExpress => "dialect_cannot_express",
            Self::ContextTooLong => "context_too_long",
            Self::OverCostCeiling => "over_cost_ceiling",
            Self::Unpriced => "unpriced",
            Self::BreakerOpen => "breaker_open",
            Self::Suspect => "suspect",
            Self::RateSpent => "rate_spent",
            Self::ConcurrencySpent => "concurrency_spent",
            Self::TooSlow => "too_slow",
            Self::BelowQuality => "below_quality",
            Self::QualityNotReached => "quality_not_reached",
        }
    }
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

/// What exactly a reason is about: the capability, the limit and the value. Text only when it is read.
#[derive(Clone, Debug, PartialEq)]
pub enum Detail {
    /// The capabilities missing.
    Capabilities(Capabilities),
    /// The dialect that cannot express the request.
    Dialect(DialectId),
    /// Where it runs; `None`: not known.
    Region(Option<Arc<str>>),
    /// Input tokens expected, over the longest input.
    Tokens {
        /// Longest input.
        limit: u64,
        /// Expected.
        value: u64,
    },
    /// Cost expected, over the most the request may cost.
    Cost {
        /// Most it may cost.
        limit: Usd,
        /// Expected.
        value: Usd,
    },
    /// p95 of total time in milliseconds, over the latency budget.
    Millis {
        /// Latency budget.
        limit: u64,
        /// p95 of total time.
        value: u64,
    },
    /// Predicted quality, below the quality wanted.
    Quality {
        /// Wanted.
        limit: f64,
        /// Predicted.
        value: f64,
    },
    /// Where its breaker stands, and milliseconds until it may be called again (0: not known).
    State(DeploymentState, u32),
    /// Milliseconds until its limit has room again (0: not known).
    Back(u32),
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capabilities(missing) => {
                for (at, name) in missing.names().enumerate() {
                    write!(f, "{}{name}", if at == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
            Self::Dialect(dialect) => f.write_str(dialect.name()),
            Self::Region(Some(region)) => write!(f, "it runs in {region}"),
            Self::Region(None) => f.write_str("where it runs is not known"),
            Self::Tokens { limit, value } => write!(f, "{value} input tokens, at most {limit}"),
            Self::Cost { limit, value } => write!(f, "{value} USD expected, at most {limit}"),
            Self::Millis { limit, value } => write!(f, "p95 {value} ms, wanted {limit} ms"),
            Self::Quality { limit, value } => write!(f, "{value:.3}, wanted {limit:.3}"),
            Self::State(state, 0) => f.write_str(state.name()),
            Self::State(state, ms) => write!(f, "{}, back in {ms} ms", state.name()),
            Self::Back(0) => f.write_str("back as soon as there is room"),
            Self::Back(ms) => write!(f, "back in {ms} ms"),
        }
    }
}

impl Serialize for Detail {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
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
    pub detail: Option<Detail>,
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
    /// Called only after the request was found too long for another: the model's `context_fallbacks`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after_too_long: Vec<DeploymentIdx>,
    /// Called only after another's content filter refused the request: the model's `filter_fallbacks`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after_filtered: Vec<DeploymentIdx>,
}

impl RoutePlan {
    /// All that are tried whatever happens, in the order to try them.
    pub fn iter(&self) -> impl Iterator<Item = DeploymentIdx> + '_ {
        self.ranked.iter().chain(&self.deferred).copied()
    }
}

/// What was decided and why.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decision {
    /// The rule that matched; `None`: none, or the model is decided without rules.
    pub rule: Option<Arc<str>>,
    /// The tier chosen from, if any.
    pub tier: Option<Arc<str>>,
    /// The order to try. With `no_fallbacks` it holds one deployment at most.
    pub plan: RoutePlan,
    /// One per candidate, each once: the model's own in the order given, then those of its fallbacks. Every deployment
    /// that is not here was refused as [`Reason::NotInSet`].
    pub verdicts: Vec<Verdict>,
    /// Hard limit from the rule, in milliseconds, if tighter than the request's.
    pub deadline_ms: Option<u64>,
    /// Only the first deployment may be tried.
    pub no_fallbacks: bool,
    /// Most the request may cost.
    pub max_cost: Option<Usd>,
}

impl Decision {
    /// The verdict on a deployment; `None`: refused as [`Reason::NotInSet`].
    pub fn verdict(&self, deployment: DeploymentIdx) -> Option<&Verdict> {
        self.verdicts.iter().find(|verdict| verdict.deployment == deployment)
    }
}
