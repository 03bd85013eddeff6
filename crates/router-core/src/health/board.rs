//! One deployment's entry on the board: breaker, silence, latency and limits behind four calls, each O(1) and without
//! allocation, so that a short lock can be held around them.

use std::time::Duration;

use super::breaker::{Breaker, Pass};
use super::latency::Latency;
use super::peak::Peak;
use super::silence::{Place as WaitingPlace, Silence};
use crate::attempt::{FailureKind, HealthEffect, Outcome};
use crate::compiled::{BreakerPolicy, Limits};
use crate::failover::{NotAdmitted, Place};
use crate::limit::Limiter;
use crate::select::{DeploymentState, DeploymentView};
use crate::time::Timestamp;

/// How long a good answer proves a deployment (DESIGN D6).
const PROVEN_FOR: Duration = Duration::from_secs(5);

/// Health and limits of one deployment.
#[derive(Clone, Debug)]
pub struct DeploymentHealth {
    /// From the deployment's id, so that a request's draws on different deployments are independent.
    salt: u64,
    /// `enabled` of the breaker's policy; off: silence does not defer either.
    enabled: bool,
    breaker: Breaker,
    silence: Silence,
    limiter: Limiter,
    total: Latency,
    first_byte: Latency,
    peak: Peak,
    /// Last good answer, with no failure since.
    good_at: Option<Timestamp>,
}

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
    seat: Seat,
    /// Until the first byte.
    waiting: Option<WaitingPlace>,
}

impl Permit {
    fn into_parts(self) -> (Seat, Option<WaitingPlace>) {
        (self.seat, self.waiting)
    }
}

#[derive(Clone, Copy, Debug)]
struct Seat {
    at: Timestamp,
    tokens: u64,
    pass: Pass,
    stream: bool,
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
}

impl DeploymentHealth {
    /// Healthy, unused. `id`: the deployment's.
    pub fn new(id: &str, policy: &BreakerPolicy, limits: Limits) -> Self {
        Self {
            salt: id.bytes().fold(0, |salt, byte| mix(salt ^ u64::from(byte))),
            enabled: policy.enabled,
            breaker: Breaker::new(policy.clone()),
            silence: Silence::default(),
            limiter: Limiter::new(limits),
            total: Latency::default(),
            first_byte: Latency::default(),
            peak: Peak::default(),
            good_at: None,
        }
    }

    /// A reload: other policy and limits; health, use and samples are carried over.
    pub fn reconfigure(&mut self, policy: &BreakerPolicy, limits: Limits, now: Timestamp) {
        self.enabled = policy.enabled;
        self.breaker.reconfigure(policy, now);
        self.limiter.reconfigure(limits);
    }

    /// What a decision for the request with this seed sees.
    pub fn view(&mut self, now: Timestamp, seed: u64) -> DeploymentView {
        let state = self.state(now, seed);
        let free_at = self.limiter.free_at(now, 1);
        let returns_in = self.breaker.returns_in(now).max(free_at.since(now));
        DeploymentView {
            state,
            rate_spent: free_at > now,
            concurrency_spent: self.limiter.is_full(),
            proven: self.good_at.is_some_and(|at| now.since(at) <= PROVEN_FOR),
            in_flight: u16::try_from(self.limiter.in_flight()).unwrap_or(u16::MAX),
            p95_first_byte_cs: u16::try_from(self.first_byte.p95_millis(now).div_ceil(10))
                .unwrap_or(u16::MAX),
            returns_in_ms: u32::try_from(returns_in.as_micros().div_ceil(1_000)).unwrap_or(u32::MAX),
            p95_total_ms: self.total.p95_millis(now),
            mean_total_ms: self.total.mean_millis(),
            ewma_first_byte_ms: self.peak.millis(now),
        }
    }

    /// Ticket, rate and concurrency together, or none of them (but for a booking, when asked for).
    ///
    /// # Errors
    /// Why not. A booking brought along is given back then.
    pub fn admit(&mut self, now: Timestamp, ask: &Ask) -> Result<Permit, NotAdmitted> {
        if !ask.last_resort && is_out(self.state(now, ask.seed)) {
            if ask.place == Place::Booked {
                self.limiter.unbook(ask.tokens);
            }
            return Err(NotAdmitted::Ticket);
        }
        self.limiter.enter(now, ask.tokens, ask.place)?;
        let p95_millis =
            if ask.stream { self.first_byte.p95_millis(now) } else { self.total.p95_millis(now) };
        let pass = self.breaker.enter(now);
        Ok(Permit {
            seat: Seat { at: now, tokens: ask.tokens, pass, stream: ask.stream },
            waiting: Some(self.silence.begin(now, p95_millis)),
        })
    }

    /// A place booked is not wanted any more. `tokens`: as asked for.
    pub fn unbook(&mut self, tokens: u64) {
        self.limiter.unbook(tokens);
    }

    /// An admitted attempt is not sent after all (no retry budget, no money): as if it had never been.
    pub fn retract(&mut self, now: Timestamp, permit: Permit) {
        let (Seat { tokens, pass, .. }, waiting) = permit.into_parts();
        self.limiter.retract(tokens);
        self.breaker.leave(now, pass, HealthEffect::None);
        if let Some(place) = waiting {
            self.silence.end(now, place, false);
        }
    }

    /// The first byte of the body came. Later calls do nothing.
    pub fn first_byte(&mut self, now: Timestamp, permit: &mut Permit) {
        if let Some(place) = permit.waiting.take() {
            self.silence.end(now, place, true);
            if permit.seat.stream {
                let took = now.since(permit.seat.at);
                self.first_byte.record(now, took);
                self.peak.record(now, millis(took));
            }
        }
    }

    /// The attempt ended.
    pub fn end(&mut self, now: Timestamp, permit: Permit, ending: &Ending) {
        if ending.outcome == Outcome::Failure(FailureKind::Inexpressible) {
            // Nothing was sent.
            return self.retract(now, permit);
        }
        let (Seat { at, tokens, pass, stream }, waiting) = permit.into_parts();
        self.limiter.leave(now, tokens, ending.tokens.unwrap_or(tokens));
        if let Some(place) = waiting {
            let answered = is_an_answer(ending.outcome);
            self.silence.end(now, place, answered);
            // A first byte waited for in vain took at least so long.
            if stream && !answered && matches!(ending.outcome, Outcome::Failure(_)) {
                self.peak.record(now, millis(now.since(at)));
            }
        }
        let effect = match ending.outcome {
            Outcome::Success => HealthEffect::Success,
            Outcome::Failure(kind) => kind.policy().health,
            Outcome::Cancelled | Outcome::Lost => HealthEffect::None,
        };
        self.breaker.leave(now, pass, effect);
        match ending.outcome {
            Outcome::Success => {
                self.total.record(now, now.since(at));
                self.good_at = Some(now);
            }
            Outcome::Failure(_) if effect != HealthEffect::Success => self.good_at = None,
            _ => {}
        }
        if let (Outcome::Failure(FailureKind::RateLimited), Some(wait)) = (ending.outcome, ending.retry_after)
        {
            self.limiter.hold(now, wait);
        }
    }

    /// For metrics and the admin API.
    pub fn snapshot(&mut self, now: Timestamp) -> HealthSnapshot {
        let breaker = match self.breaker.state(now, 0) {
            DeploymentState::Closed | DeploymentState::Suspect => BreakerGauge::Closed,
            DeploymentState::Open => BreakerGauge::Open,
            _ => BreakerGauge::Returning,
        };
        let counts = self.breaker.counts(now);
        HealthSnapshot {
            breaker,
            suspect: self.enabled && self.silence.is_suspect(now),
            window_requests: counts.requests,
            window_failures: counts.failures,
            in_flight: self.limiter.in_flight(),
            p95_total_ms: self.total.p95_millis(now),
            p95_first_byte_ms: self.first_byte.p95_millis(now),
        }
    }

    fn state(&mut self, now: Timestamp, seed: u64) -> DeploymentState {
        // In range: a remainder of 100.
        let draw = (mix(seed ^ self.salt) % 100) as u8;
        match self.breaker.state(now, draw) {
            state if is_out(state) => state,
            _ if self.enabled && self.silence.is_suspect(now) => DeploymentState::Suspect,
            state => state,
        }
    }
}

/// States in which a request goes elsewhere, as long as there is an elsewhere.
pub(crate) const fn is_out(state: DeploymentState) -> bool {
    match state {
        DeploymentState::Closed | DeploymentState::HalfOpen | DeploymentState::Ramp => false,
        DeploymentState::Open
        | DeploymentState::HalfOpenBusy
        | DeploymentState::RampHeld
        | DeploymentState::Suspect => true,
    }
}

/// The deployment said something, be it an error; a refused connection is no silence either.
const fn is_an_answer(outcome: Outcome) -> bool {
    !matches!(
        outcome,
        Outcome::Failure(FailureKind::Timeout | FailureKind::Stalled) | Outcome::Cancelled | Outcome::Lost
    )
}

fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}

/// SplitMix64's finalizer (Steele, Lea, Flood 2014): every input bit reaches every output bit.
const fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
