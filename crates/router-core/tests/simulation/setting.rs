//! The numbers of the default configuration, and the requests of a world.

use std::time::Duration;

use router_core::attempt::FailureKind;
use router_core::compiled::{BreakerPolicy, DeploymentIdx, RetryPolicy};
use router_core::config::file::{Breaker, Retries};
use router_core::money::Usd;
use router_core::time::Timestamp;

pub(crate) const START: Timestamp = Timestamp::from_millis(1_795_348_200_000);

pub(crate) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) fn retry_policy() -> RetryPolicy {
    RetryPolicy::from(&Retries::default())
}

pub(crate) fn breaker_policy() -> BreakerPolicy {
    BreakerPolicy::from(&Breaker::default())
}

/// A request to come.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) at: Timestamp,
    pub(crate) deadline: Duration,
    pub(crate) stream: bool,
    pub(crate) tokens: u64,
    /// The client's patience, if it ends.
    pub(crate) leaves_after: Option<Duration>,
    /// Its deployments in order of preference.
    pub(crate) wanted: Vec<DeploymentIdx>,
    pub(crate) no_fallbacks: bool,
    /// Called only after this kind of failure.
    pub(crate) kept: [(FailureKind, Vec<DeploymentIdx>); 2],
    /// What it shows can be gone on with.
    pub(crate) can_go_on: bool,
    /// Most that all its attempts may cost.
    pub(crate) max_cost: Option<Usd>,
    /// The budgets it counts on, by number.
    pub(crate) budgets: Vec<usize>,
}

impl Request {
    /// A streamed request at this time that wants these deployments, and nothing special.
    pub(crate) fn plain(at: Timestamp, wanted: Vec<DeploymentIdx>) -> Self {
        Self {
            at,
            deadline: secs(60),
            stream: true,
            tokens: 100,
            leaves_after: None,
            wanted,
            no_fallbacks: false,
            kept: [(FailureKind::TooLong, vec![]), (FailureKind::Filtered, vec![])],
            can_go_on: true,
            max_cost: None,
            budgets: vec![0],
        }
    }
}

/// What the operator has switched on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) rescue: bool,
    /// The share that hedging may cost, in parts per million; `None`: off.
    pub(crate) hedging: Option<u32>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { rescue: true, hedging: None }
    }
}

/// Kinds an upstream fails with before anything is visible.
pub(crate) const KINDS: [FailureKind; 10] = [
    FailureKind::Overloaded,
    FailureKind::Unavailable,
    FailureKind::BadReply,
    FailureKind::Empty,
    FailureKind::Auth,
    FailureKind::OutOfCredit,
    FailureKind::TooLong,
    FailureKind::BadRequest,
    FailureKind::Filtered,
    FailureKind::Inexpressible,
];
