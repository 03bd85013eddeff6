//! How an attempt ends: its outcome, the kinds of failure, and what each kind means for health, retry and failover.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The provider's rate limit (429).
    RateLimited,
    /// The provider says it is overloaded (503, 529).
    Overloaded,
    /// No connection, no first byte or no answer in time.
    Timeout,
    /// A stream fell silent.
    Stalled,
    /// A stream ended before its answer did.
    Truncated,
    /// A success with nothing in it.
    Empty,
    /// Refused, reset, 500, 502, DNS or TLS failure.
    Unavailable,
    /// An answer that is not what the dialect promises.
    BadReply,
    /// The provider refuses our credentials.
    Auth,
    /// The account at the provider has no money.
    OutOfCredit,
    /// The request is longer than the deployment's window.
    TooLong,
    /// The provider's content filter refused it.
    Filtered,
    /// The provider says that the request itself is wrong.
    BadRequest,
    /// The request cannot be written in the deployment's dialect; nothing was sent, so it is no attempt that counts.
    Inexpressible,
}

/// What happens with health after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthEffect {
    /// Counts as a failure in the breaker's window.
    Failure,
    /// Opens the breaker at once, until the configuration changes or a probe succeeds.
    Open,
    /// Says nothing about health.
    None,
    /// The deployment answered: counts as a success for health (the request was the problem).
    Success,
}

/// Where the request may go after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another deployment, or the same one again by the retry budget.
    Anywhere,
    /// Another deployment only.
    Elsewhere,
    /// Only a deployment with a longer window.
    LongerWindow,
    /// Nowhere: the client gets the error.
    Nowhere,
}

/// One row of the table of policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailurePolicy {
    /// Effect on health.
    pub health: HealthEffect,
    /// Where to go next.
    pub next: Next,
}

impl FailureKind {
    /// All kinds.
    pub const ALL: [Self; 14] = [
        Self::RateLimited,
        Self::Overloaded,
        Self::Timeout,
        Self::Stalled,
        Self::Truncated,
        Self::Empty,
        Self::Unavailable,
        Self::BadReply,
        Self::Auth,
        Self::OutOfCredit,
        Self::TooLong,
        Self::Filtered,
        Self::BadRequest,
        Self::Inexpressible,
    ];

    /// The table of policies (DESIGN D6). `Filtered` fails over only by an explicit content-filter fallback, which is
    /// not there yet, so it goes nowhere.
    pub const fn policy(self) -> FailurePolicy {
        use HealthEffect as H;
        let (health, next) = match self {
            Self::RateLimited => (H::None, Next::Anywhere),
            Self::Overloaded
            | Self::Timeout
            | Self::Stalled
            | Self::Truncated
            | Self::Empty
            | Self::Unavailable
            | Self::BadReply => (H::Failure, Next::Anywhere),
            Self::Auth | Self::OutOfCredit => (H::Open, Next::Elsewhere),
            Self::Inexpressible => (H::None, Next::Elsewhere),
            Self::TooLong => (H::Success, Next::LongerWindow),
            Self::Filtered | Self::BadRequest => (H::Success, Next::Nowhere),
        };
        FailurePolicy { health, next }
    }

    /// What was refused is the credential of the call, or what is left for it: another one may well be taken.
    pub const fn is_of_one_credential(self) -> bool {
        matches!(self, Self::RateLimited | Self::Auth | Self::OutOfCredit)
    }

    /// The public name, as in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::Timeout => "timeout",
            Self::Stalled => "stalled",
            Self::Truncated => "truncated",
            Self::Empty => "empty",
            Self::Unavailable => "unavailable",
            Self::BadReply => "bad_reply",
            Self::Auth => "auth",
            Self::OutOfCredit => "out_of_credit",
            Self::TooLong => "too_long",
            Self::Filtered => "filtered",
            Self::BadRequest => "bad_request",
            Self::Inexpressible => "inexpressible",
        }
    }
}

/// How an attempt ended. Every admitted attempt gets exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind", content = "failure")]
pub enum Outcome {
    /// A whole answer.
    Success,
    /// A failure.
    Failure(FailureKind),
    /// We stopped it: the client left, the deadline came, or another attempt won.
    Cancelled,
    /// The process died before it could say; found at the next start.
    Lost,
}

impl Outcome {
    /// The public name: `success`, the failure's name, `cancelled`, `lost`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure(kind) => kind.name(),
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
        }
    }
}
