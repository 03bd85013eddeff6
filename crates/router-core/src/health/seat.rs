//! What crosses the board's counter: what an attempt asks, what it gets, how it ended, and what is shown of it all.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::breaker::{Pass, SavedBreaker};
use super::credentials::Use;
use super::silence::Place as WaitingPlace;
use crate::attempt::Outcome;
use crate::failover::Place;
use crate::time::Timestamp;

/// What an attempt asks of a deployment.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// The request's seed: the same as for the view, so that the ramp's draw is the same.
    pub seed: u64,
    /// Estimated tokens, input and output: reserved under a token rate.
    pub tokens: u64,
    /// A streamed answer is asked for.
    pub stream: bool,
    /// Nobody else is left: let in although the breaker, the ramp or silence speaks against it.
    pub last_resort: bool,
    /// How the rate is met.
    pub place: Place,
}

/// An admitted attempt: ticket, rate and concurrency together. Goes back by [`DeploymentHealth::end`] or
/// [`DeploymentHealth::retract`], exactly once.
#[derive(Debug)]
#[must_use = "a permit that does not come back blocks its place for ever"]
pub struct Permit {
    pub(super) seat: Seat,
    /// Until the first byte.
    pub(super) waiting: Option<WaitingPlace>,
}

impl Permit {
    /// Which of the provider's credentials it is to be made with, by index.
    pub fn credential(&self) -> usize {
        usize::from(self.seat.made.at)
    }

    /// Tokens it asked for.
    pub fn tokens(&self) -> u64 {
        self.seat.tokens
    }

    pub(super) fn into_parts(self) -> (Seat, Option<WaitingPlace>) {
        (self.seat, self.waiting)
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    pub(super) at: Timestamp,
    pub(super) tokens: u64,
    pub(super) pass: Pass,
    pub(super) made: Use,
    pub(super) stream: bool,
    /// How long it takes says something about others.
    pub(super) timed: bool,
}

/// How an attempt ended, as far as health and limits care.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    /// Its outcome.
    pub outcome: Outcome,
    /// Tokens used, input and output; `None`: unknown, the estimate stands.
    pub tokens: Option<u64>,
    /// What the provider said about coming back.
    pub retry_after: Option<Duration>,
}

/// What an attempt's end means for those that share something with its deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// It answered well a call begun then, made with this credential.
    Well {
        /// When the call began.
        began: Timestamp,
        /// Its credential, by index.
        credential: u16,
    },
    /// Its breaker opened.
    Opened,
    /// This credential was refused there, and is out.
    Refused {
        /// By index.
        credential: u16,
    },
}

/// What of a deployment's health is worth keeping over a restart. Refused credentials are not: a restart is how most
/// secrets are replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SavedHealth {
    /// Of this form; others are not read.
    pub version: u8,
    /// Its breaker, unless closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breaker: Option<SavedBreaker>,
    /// By credential: until when the provider ordered to stay away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held_until: Vec<Timestamp>,
}

impl SavedHealth {
    /// The form written now.
    pub const VERSION: u8 = 1;

    /// Nothing worth keeping.
    pub fn is_empty(&self) -> bool {
        self.breaker.is_none() && self.held_until.is_empty()
    }
}

/// The breaker as one number, for `router_breaker_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerGauge {
    /// In full rotation: 0.
    Closed,
    /// Half open, or on the ramp: 1.
    Returning,
    /// Out of rotation: 2.
    Open,
}

impl BreakerGauge {
    /// The metric's value.
    pub const fn value(self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::Returning => 1,
            Self::Open => 2,
        }
    }

    /// The public name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Returning => "returning",
            Self::Open => "open",
        }
    }
}

/// What metrics and the admin API show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthSnapshot {
    /// Breaker.
    pub breaker: BreakerGauge,
    /// Fallen silent.
    pub suspect: bool,
    /// Requests in the breaker's window.
    pub window_requests: u32,
    /// Failures in the breaker's window.
    pub window_failures: u32,
    /// Attempts in flight.
    pub in_flight: u32,
    /// p95 of total time in milliseconds; 0: too few samples.
    pub p95_total_ms: u32,
    /// p95 of the time to the first byte of streams in milliseconds; 0: too few samples.
    pub p95_first_byte_ms: u32,
    /// Milliseconds until it comes back by itself, when it is out; 0: now, or not known.
    pub returns_in_ms: u32,
    /// Its credentials.
    pub credentials: u16,
    /// Of those, refused.
    pub credentials_refused: u16,
}
