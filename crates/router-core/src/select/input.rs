//! Everything `decide` may look at, as one value: what is logged and replayed.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::attributes::{AttributeSet, Attributes};
use crate::chat::RequestOptions;
use crate::money::Usd;
use crate::time::Timestamp;
use crate::tokens::TextStats;

/// What one deployment's board said at the moment of the decision. At most 24 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentView {
    /// Breaker state.
    pub state: DeploymentState,
    /// Its rate limit has no room for another request now.
    pub rate_spent: bool,
    /// Its concurrency limit has no room now.
    pub concurrency_spent: bool,
    /// Answered well within the last 5 s, with no failure since: moving here is free.
    pub proven: bool,
    /// Attempts in flight.
    pub in_flight: u16,
    /// p95 of the time to the first byte of streams in units of 10 ms, rounded up, for hedging; 0: too few samples.
    pub p95_first_byte_cs: u16,
    /// Milliseconds until it may be called again, when it is deferred (breaker, rate); 0 otherwise.
    pub returns_in_ms: u32,
    /// p95 of total time in milliseconds; 0: too few samples.
    pub p95_total_ms: u32,
    /// EWMA of total time in milliseconds; 0: no sample.
    pub mean_total_ms: u32,
    /// Peak-EWMA of the time to the first byte of streams in milliseconds, for `lowest_latency`; 0: no sample.
    pub ewma_first_byte_ms: u32,
}

impl Default for DeploymentView {
    fn default() -> Self {
        Self {
            state: DeploymentState::Closed,
            rate_spent: false,
            concurrency_spent: false,
            proven: false,
            in_flight: 0,
            p95_first_byte_cs: 0,
            returns_in_ms: 0,
            p95_total_ms: 0,
            mean_total_ms: 0,
            ewma_first_byte_ms: 0,
        }
    }
}

/// Where a deployment stands with its breaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentState {
    /// In full rotation.
    #[default]
    Closed,
    /// Out of rotation until its cooldown ends.
    Open,
    /// One ticket is free: one request may try it.
    HalfOpen,
    /// The one ticket is taken.
    HalfOpenBusy,
    /// Coming back: this request's draw falls inside the ramp's share.
    Ramp,
    /// Coming back: this request's draw falls outside the ramp's share.
    RampHeld,
    /// Silent: its oldest attempts wait longer than they should.
    Suspect,
}

impl DeploymentState {
    /// The public name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::HalfOpenBusy => "half_open_busy",
            Self::Ramp => "ramp",
            Self::RampHeld => "ramp_held",
            Self::Suspect => "suspect",
        }
    }
}

/// Which configuration, catalog and model made a decision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Hashes {
    /// Configuration.
    pub config: Arc<str>,
    /// Catalog.
    pub catalog: Arc<str>,
    /// Decision model; empty: heuristics only.
    pub model: Arc<str>,
}

/// All `decide` sees beside the configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DecisionInput {
    /// From our request id.
    pub seed: u64,
    /// When.
    pub now: Timestamp,
    /// Which configuration, catalog and model.
    pub hashes: Hashes,
    /// The request's attributes.
    pub attributes: Attributes,
    /// Those that were computed (a computed one may still be absent).
    pub computed: AttributeSet,
    /// For token estimates per deployment.
    pub stats: TextStats,
    /// Images in the input.
    pub images: u32,
    /// Answers wanted.
    pub n: u32,
    /// The client's routing wishes.
    pub options: RequestOptions,
    /// Models the key may use; empty: all.
    pub key_models: Vec<String>,
    /// Regions the key may be answered from; empty: all.
    pub key_regions: Vec<String>,
    /// Capabilities lost in translation: dialects that cannot express this request.
    pub barred_dialects: Vec<crate::chat::DialectId>,
    /// Counts up by one with each decision of the same model or tier, for `round_robin`.
    pub turn: u64,
    /// Money left in the tightest budget; `None`: no budget.
    pub budget_left: Option<Usd>,
    /// The board, one entry per deployment of the configuration, by index.
    pub board: Vec<DeploymentView>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_at_most_24_bytes() {
        assert!(size_of::<DeploymentView>() <= 24);
    }
}
