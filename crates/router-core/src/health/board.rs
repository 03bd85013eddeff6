//! One deployment's entry on the board: breaker, silence, latency and limits behind four calls, each O(1) and without
//! allocation, so that a short lock can be held around them.

mod probe;

use std::time::Duration;

use super::breaker::Breaker;
use super::control::Control;
use super::credentials::{Credentials, Use, Verdict};
use super::latency::Latency;
use super::peak::Peak;
use super::seat::{Ask, BreakerGauge, Change, Ending, HealthSnapshot, Permit, SavedHealth, Seat};
use super::silence::Silence;
use crate::attempt::{FailureKind, HealthEffect, Outcome};
use crate::compiled::{BreakerPolicy, Limits};
use crate::failover::{Another, NotAdmitted, Place};
use crate::limit::{Limiter, Queue, RateState};
use crate::select::{DeploymentState, DeploymentView};
use crate::time::Timestamp;

/// How long a good answer proves a deployment (DESIGN D6).
const PROVEN_FOR: Duration = Duration::from_secs(5);

/// So long a credential rests after a 429 that names no time, when there are others: a tenth of what a minute's limit takes
/// to have room again at 6 requests per minute, the least that is sold.
const BARE_LIMIT: Duration = Duration::from_secs(1);

/// Health and limits of one deployment.
#[derive(Clone, Debug)]
pub struct DeploymentHealth {
    /// From the deployment's id, so that a request's draws on different deployments are independent.
    salt: u64,
    /// `enabled` of the breaker's policy; off: silence does not defer either.
    enabled: bool,
    /// Taken out by hand.
    control: Option<Control>,
    breaker: Breaker,
    credentials: Credentials,
    silence: Silence,
    limiter: Limiter,
    queue: Queue,
    total: Latency,
    first_byte: Latency,
    peak: Peak,
    /// Last good answer, with no failure since.
    good_at: Option<Timestamp>,
}

impl DeploymentHealth {
    /// Healthy, unused. `id`: the deployment's.
    pub fn new(id: &str, policy: &BreakerPolicy, limits: Limits) -> Self {
        Self {
            salt: id.bytes().fold(0, |salt, byte| mix(salt ^ u64::from(byte))),
            enabled: policy.enabled,
            control: None,
            breaker: Breaker::new(policy.clone()),
            credentials: Credentials::new(policy),
            silence: Silence::default(),
            limiter: Limiter::new(limits),
            queue: Queue::new(limits.queue),
            total: Latency::default(),
            first_byte: Latency::default(),
            peak: Peak::default(),
            good_at: None,
        }
    }

    /// The provider's credentials, by their weights; none: one all the same.
    pub fn set_credentials(&mut self, weights: &[u32]) {
        self.credentials.weigh(weights);
    }

    /// A reload: other policy and limits; health, use and samples are carried over. Refused credentials may have been
    /// replaced: they are in again.
    pub fn reconfigure(&mut self, policy: &BreakerPolicy, limits: Limits, now: Timestamp) {
        self.enabled = policy.enabled;
        self.breaker.reconfigure(policy, now);
        self.credentials.reconfigure(policy);
        self.limiter.reconfigure(limits);
        self.queue.reconfigure(limits.queue);
    }

    /// Takes it out by hand, or puts it back.
    pub fn set_control(&mut self, control: Option<Control>) {
        self.control = control;
    }

    /// What holds by hand at this moment.
    pub fn control(&self, now: Timestamp) -> Option<&Control> {
        self.control.as_ref().filter(|control| control.holds(now))
    }

    /// As if it had never failed: breaker, window, silence, credentials and what was learned of their limits. Use, latency
    /// and what was done by hand stay.
    pub fn reset(&mut self, now: Timestamp) {
        self.breaker.reset(now);
        self.credentials.reset();
        self.silence.reset(now);
    }

    /// What is worth keeping over a restart.
    pub fn saved(&mut self, now: Timestamp) -> SavedHealth {
        let breaker = self.breaker.saved(now);
        SavedHealth { version: SavedHealth::VERSION, breaker, held_until: self.credentials.holds(now) }
    }

    /// Goes on where a process before this one stood at `at`.
    pub fn restore(&mut self, now: Timestamp, at: Timestamp, saved: &SavedHealth) {
        if saved.version != SavedHealth::VERSION {
            return;
        }
        if let Some(breaker) = &saved.breaker {
            self.breaker.restore(now, at, breaker);
        }
        self.credentials.restore_holds(now, &saved.held_until);
    }

    /// Others at its address fail.
    pub fn doubt(&mut self, now: Timestamp) {
        self.breaker.doubt(now);
    }

    /// Others at its address have come back.
    pub fn hope(&mut self) {
        self.breaker.hope();
    }

    /// The provider refuses this credential at other deployments.
    pub fn doubt_credential(&mut self, credential: u16) {
        self.credentials.doubt(credential);
    }

    /// The provider accepts it again at another deployment.
    pub fn hope_credential(&mut self, credential: u16) {
        self.credentials.hope(credential);
    }

    /// What a decision for the request with this seed sees.
    pub fn view(&mut self, now: Timestamp, seed: u64) -> DeploymentView {
        let (state, back) = self.state(now, seed);
        let free_at = self.limiter.free_at(now, 1).max(self.credentials.free_at(now, 1));
        DeploymentView {
            state,
            rate_spent: free_at > now,
            concurrency_spent: self.limiter.is_full(),
            proven: self.good_at.is_some_and(|at| now.since(at) <= PROVEN_FOR),
            in_flight: u16::try_from(self.limiter.in_flight()).unwrap_or(u16::MAX),
            p95_first_byte_cs: u16::try_from(self.first_byte.p95_millis(now).div_ceil(10))
                .unwrap_or(u16::MAX),
            returns_in_ms: millis_up(back.max(free_at.since(now))),
            p95_total_ms: self.total.p95_millis(now),
            mean_total_ms: self.total.mean_millis(),
            ewma_first_byte_ms: self.peak.millis(now),
        }
    }

    /// Ticket, rate, concurrency and a credential together, or none of them (but for a booking, when asked for).
    ///
    /// # Errors
    /// Why not. A booking brought along is given back then.
    pub fn admit(&mut self, now: Timestamp, ask: &Ask) -> Result<Permit, NotAdmitted> {
        if ask.place == Place::Booked {
            self.credentials.unbook();
            self.queue.unbook();
        }
        let state = self.state(now, ask.seed).0;
        if state == DeploymentState::Disabled || (!ask.last_resort && is_out(state)) {
            if ask.place == Place::Booked {
                self.limiter.unbook(ask.tokens);
            }
            let by_hand = state == DeploymentState::Disabled;
            return Err(if by_hand { NotAdmitted::Disabled } else { NotAdmitted::Ticket });
        }
        let from = match ask.place {
            Place::Now => self.credentials.free_at(now, ask.tokens),
            Place::Book { .. } => self.credentials.bookable_at(now, ask.tokens),
            Place::Booked => self.credentials.held_until(),
        };
        if let Err(why) = self.limiter.enter_from(now, ask.tokens, ask.place, from) {
            let mean = Duration::from_millis(self.total.mean_millis().into());
            let told = self.queue.line_up(now, ask.seed, why, mean);
            match (why, told) {
                (NotAdmitted::Booked(_), NotAdmitted::Booked(_)) => self.credentials.book(),
                (NotAdmitted::Booked(_), _) => self.limiter.unbook(ask.tokens),
                _ => {}
            }
            return Err(told);
        }
        self.queue.leave(ask.seed);
        let p95_millis =
            if ask.stream { self.first_byte.p95_millis(now) } else { self.total.p95_millis(now) };
        let pass = self.breaker.enter(now);
        let made = self.credentials.draw(now, ask.tokens, ask.seed);
        Ok(Permit {
            seat: Seat { at: now, tokens: ask.tokens, pass, made, stream: ask.stream, timed: true },
            waiting: Some(self.silence.begin(now, p95_millis)),
        })
    }

    /// What the answer to this attempt, or its error, says the provider has left for its credential.
    pub fn learn(&mut self, now: Timestamp, permit: &Permit, said: &RateState) {
        self.credentials.learn(now, permit.seat.made, said);
    }

    /// A place booked is not wanted any more. `tokens`: as asked for.
    pub fn unbook(&mut self, tokens: u64) {
        self.queue.unbook();
        self.credentials.unbook();
        self.limiter.unbook(tokens);
    }

    /// An admitted attempt is not sent after all (no retry budget, no money): as if it had never been.
    pub fn retract(&mut self, now: Timestamp, permit: Permit) {
        let (Seat { tokens, pass, made, .. }, waiting) = permit.into_parts();
        self.limiter.retract(tokens);
        self.breaker.leave(now, pass, HealthEffect::None);
        self.credentials.retract(now, made, tokens);
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

    /// The attempt ended. What that means for its neighbours.
    pub fn end(&mut self, now: Timestamp, permit: Permit, ending: &Ending) -> Change {
        if ending.outcome == Outcome::Failure(FailureKind::Inexpressible) {
            // Nothing was sent.
            self.retract(now, permit);
            return Change::None;
        }
        let (seat, waiting) = permit.into_parts();
        self.limiter.leave(now, seat.tokens, ending.tokens.unwrap_or(seat.tokens));
        let took = now.since(seat.at);
        if let Some(place) = waiting {
            let answered = is_an_answer(ending.outcome);
            self.silence.end(now, place, answered);
            // A first byte waited for in vain took at least so long.
            if seat.stream && !answered && matches!(ending.outcome, Outcome::Failure(_)) {
                self.peak.record(now, millis(took));
            }
        }
        let effect = effect(ending.outcome);
        let opened = self.breaker.leave(now, seat.pass, effect);
        let refused = self.credentials.leave(now, seat.made, verdict(effect));
        match ending.outcome {
            Outcome::Success => {
                if seat.timed {
                    self.total.record(now, took);
                }
                self.good_at = Some(now);
            }
            Outcome::Failure(_) if effect != HealthEffect::Success => self.good_at = None,
            _ => {}
        }
        if ending.outcome == Outcome::Failure(FailureKind::RateLimited) {
            self.limited(now, seat.made, ending.retry_after);
        }
        let credential = seat.made.at;
        match ending.outcome {
            Outcome::Success => Change::Well { began: seat.at, credential },
            _ if opened => Change::Opened,
            _ if refused => Change::Refused { credential },
            _ => Change::None,
        }
    }

    /// After a call of so many tokens with this credential was refused: whether there is another to make it with.
    pub fn another(&mut self, now: Timestamp, credential: usize, tokens: u64) -> Option<Another> {
        let ready_in = self.credentials.another(now, credential, tokens)?;
        Some(Another { ready_in, credentials: u16::try_from(self.credentials.len()).unwrap_or(u16::MAX) })
    }

    /// A 429 takes its credential away until the time told; one without a time for a moment, if there are others. Without
    /// others the request's own backoff is enough.
    fn limited(&mut self, now: Timestamp, made: Use, retry_after: Option<Duration>) {
        let wait = retry_after.or((self.credentials.len() > 1).then_some(BARE_LIMIT));
        if let Some((learned, wait)) = self.credentials.learned(made).zip(wait) {
            learned.hold(now, wait);
        }
    }

    /// For metrics and the admin API.
    pub fn snapshot(&mut self, now: Timestamp) -> HealthSnapshot {
        let (state, back) = match self.breaker.state(now, 0) {
            state if is_out(state) => (state, self.breaker.returns_in(now)),
            state => self.credentials.lack(now).unwrap_or((state, Duration::ZERO)),
        };
        let breaker = match state {
            DeploymentState::Closed | DeploymentState::Suspect | DeploymentState::Disabled => {
                BreakerGauge::Closed
            }
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
            returns_in_ms: millis_up(back),
            credentials: u16::try_from(self.credentials.len()).unwrap_or(u16::MAX),
            credentials_refused: u16::try_from(self.credentials.refused(now)).unwrap_or(u16::MAX),
        }
    }

    /// Where it stands for a request with this seed, and after what time that changes by itself.
    fn state(&mut self, now: Timestamp, seed: u64) -> (DeploymentState, Duration) {
        if let Some(control) = self.control(now) {
            let back = control.until.map_or(Duration::ZERO, |until| until.since(now));
            return (DeploymentState::Disabled, back);
        }
        // In range: a remainder of 100.
        let draw = (mix(seed ^ self.salt) % 100) as u8;
        let state = self.breaker.state(now, draw);
        let back = self.breaker.returns_in(now);
        if is_out(state) {
            return (state, back);
        }
        match self.credentials.lack(now) {
            Some(lack) if is_out(lack.0) => lack,
            _ if self.enabled && self.silence.is_suspect(now) => (DeploymentState::Suspect, back),
            Some((half_open, _)) if state == DeploymentState::Closed => (half_open, back),
            _ => (state, back),
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
        | DeploymentState::Suspect
        | DeploymentState::Disabled => true,
    }
}

const fn effect(outcome: Outcome) -> HealthEffect {
    match outcome {
        Outcome::Success => HealthEffect::Success,
        Outcome::Failure(kind) => kind.policy().health,
        Outcome::Cancelled | Outcome::Lost => HealthEffect::None,
    }
}

/// What an effect on health says about the credential: a failure of the machine says nothing.
const fn verdict(effect: HealthEffect) -> Verdict {
    match effect {
        HealthEffect::Success => Verdict::Accepted,
        HealthEffect::Open => Verdict::Refused,
        HealthEffect::Failure | HealthEffect::None => Verdict::Unknown,
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

fn millis_up(span: Duration) -> u32 {
    u32::try_from(span.as_micros().div_ceil(1_000)).unwrap_or(u32::MAX)
}

/// SplitMix64's finalizer (Steele, Lea, Flood 2014): every input bit reaches every output bit.
pub(super) const fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests;
