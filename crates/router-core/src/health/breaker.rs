//! The breaker of one deployment (DESIGN D7): closed, open, half open, ramp.
//!
//! One that has failed on its way back is *cautious* the next time: its ticket is for the first share of requests alone,
//! and a step of the ramp is judged from its first result on. Else one that fails 30 % of its calls passes three probes a
//! third of the time, and at 6 requests a minute so many of them go to it that it keeps 8 % of all calls (see
//! `tests/breaker`: with this, 4 %).
//! Refused credentials are no matter of its: see `credentials`. When a provider's other deployments fail (see
//! `correlation`), a closed one is *doubted*: half open at once, and one success closes it, for nothing of its own was bad.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::window::{Counts, Window};
use crate::attempt::HealthEffect;
use crate::compiled::BreakerPolicy;
use crate::select::DeploymentState;
use crate::time::Timestamp;

/// Successes, one after the other, that lead from half open to the ramp.
const PROBES: u32 = 3;

/// Shares of requests on the way back, in percent. After the last comes all of them: closed.
const RAMP_PERCENT: [u8; 3] = [10, 25, 50];

/// Outcomes a step of the ramp is judged by, at least.
const STEP_OUTCOMES: u32 = 5;

/// Failures a step may have, in percent of its outcomes.
const STEP_FAILURES_PERCENT: u32 = 20;

/// After so long closed, the next cooldown is the first again.
const FORGIVEN_AFTER: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, Debug)]
enum State {
    Closed { since: Timestamp },
    Open { until: Timestamp },
    HalfOpen { successes: u32, ticket_out: bool, doubted: bool },
    Ramp { step: usize, since: Timestamp, seen: Counts },
}

/// How an attempt counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counting {
    /// In the window, or in the ramp's step.
    Traffic,
    /// It holds the half-open ticket.
    Ticket,
    /// Let in as the last resort: it says nothing.
    Not,
}

/// Where a breaker that is not closed stands, for a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Standing {
    Open { until: Timestamp },
    HalfOpen { doubted: bool },
    Ramp { step: u8 },
}

/// What of a breaker is worth keeping over a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedBreaker {
    standing: Standing,
    /// Openings since it was last closed for long.
    openings: u32,
}

/// Leave to try, to be brought back with the result.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    generation: u32,
    counting: Counting,
}

/// The breaker's state, window and memory of past openings.
#[derive(Clone, Debug)]
pub struct Breaker {
    policy: BreakerPolicy,
    window: Window,
    state: State,
    consecutive: u32,
    /// Goes up with each opening: results of attempts from before it are not for now.
    generation: u32,
    /// Openings since it was last closed for long.
    openings: u32,
}

impl Breaker {
    /// Closed, as if for long.
    pub fn new(policy: BreakerPolicy) -> Self {
        Self {
            window: Window::new(policy.window),
            policy,
            state: State::Closed { since: Timestamp::ZERO },
            consecutive: 0,
            generation: 0,
            openings: 0,
        }
    }

    /// Another policy from now on. Where it stands is kept; one that is switched off closes.
    pub fn reconfigure(&mut self, policy: &BreakerPolicy, now: Timestamp) {
        if policy.window != self.policy.window {
            self.window = Window::new(policy.window);
        }
        self.policy = policy.clone();
        if !policy.enabled {
            self.reset(now);
        }
        if let State::Open { until } = &mut self.state {
            *until = (*until).min(now + policy.max_cooldown);
        }
    }

    /// Closes, and forgets everything: the window, past openings, attempts in flight.
    pub fn reset(&mut self, now: Timestamp) {
        self.generation = self.generation.wrapping_add(1);
        self.close(now);
        self.openings = 0;
    }

    /// Others that share its address fail: one attempt at a time, until one succeeds. Those in flight count as well. One on
    /// the ramp was bad itself: it begins its way back anew.
    pub fn doubt(&mut self, now: Timestamp) {
        self.tick(now);
        let doubted = match self.state {
            State::Closed { .. } => true,
            State::Ramp { .. } => false,
            State::Open { .. } | State::HalfOpen { .. } => return,
        };
        if self.policy.enabled {
            self.state = State::HalfOpen { successes: 0, ticket_out: false, doubted };
            self.consecutive = 0;
        }
    }

    /// Others that share its address have come back: its cooldown is over.
    pub fn hope(&mut self) {
        if let State::Open { .. } = self.state {
            self.state = State::HalfOpen { successes: 0, ticket_out: false, doubted: false };
        }
    }

    /// What is worth keeping over a restart; `None`: it is closed.
    pub fn saved(&mut self, now: Timestamp) -> Option<SavedBreaker> {
        self.tick(now);
        let standing = match self.state {
            State::Closed { .. } => return None,
            State::Open { until } => Standing::Open { until },
            State::HalfOpen { doubted, .. } => Standing::HalfOpen { doubted },
            State::Ramp { step, .. } => Standing::Ramp { step: u8::try_from(step).unwrap_or(0) },
        };
        Some(SavedBreaker { standing, openings: self.openings })
    }

    /// Goes on where a process before this one stood at `at`: cooldowns by wall time; a step of the ramp begins anew. What
    /// is older than the longest cooldown says nothing any more.
    pub fn restore(&mut self, now: Timestamp, at: Timestamp, saved: &SavedBreaker) {
        let end = match saved.standing {
            Standing::Open { until } => until,
            Standing::HalfOpen { .. } | Standing::Ramp { .. } => at,
        };
        if !self.policy.enabled || now.since(end) > self.policy.max_cooldown {
            return;
        }
        self.openings = saved.openings;
        self.generation = self.generation.wrapping_add(1);
        self.state = match saved.standing {
            Standing::Open { until } => State::Open { until: until.min(now + self.policy.max_cooldown) },
            Standing::HalfOpen { doubted } => State::HalfOpen { successes: 0, ticket_out: false, doubted },
            Standing::Ramp { step } => {
                let step = usize::from(step).min(RAMP_PERCENT.len() - 1);
                State::Ramp { step, since: now, seen: Counts::default() }
            }
        };
    }

    /// Where it stands for a request with this draw (0..=99; inside the ramp's share when below it).
    pub fn state(&mut self, now: Timestamp, draw: u8) -> DeploymentState {
        self.tick(now);
        match self.state {
            State::Closed { .. } => DeploymentState::Closed,
            State::Open { .. } => DeploymentState::Open,
            State::HalfOpen { doubted: false, .. } if self.is_cautious() && draw >= share(0) => {
                DeploymentState::RampHeld
            }
            State::HalfOpen { ticket_out: false, .. } => DeploymentState::HalfOpen,
            State::HalfOpen { ticket_out: true, .. } => DeploymentState::HalfOpenBusy,
            State::Ramp { step, .. } if draw < share(step) => DeploymentState::Ramp,
            State::Ramp { .. } => DeploymentState::RampHeld,
        }
    }

    /// Time until it lets somebody in again; zero when it does now, or when that hangs on a result.
    pub fn returns_in(&self, now: Timestamp) -> Duration {
        match self.state {
            State::Open { until } => until.since(now),
            State::Ramp { since, .. } => (since + self.policy.ramp_step).since(now),
            State::Closed { .. } | State::HalfOpen { .. } => Duration::ZERO,
        }
    }

    /// Requests and failures in the window.
    pub fn counts(&mut self, now: Timestamp) -> Counts {
        self.window.counts(now)
    }

    /// Lets an attempt in, whatever the state: the caller has asked [`Breaker::state`]. Takes the ticket when there is one.
    pub fn enter(&mut self, now: Timestamp) -> Pass {
        self.tick(now);
        let counting = match &mut self.state {
            State::Closed { .. } | State::Ramp { .. } => Counting::Traffic,
            State::HalfOpen { ticket_out: free @ false, .. } => {
                *free = true;
                Counting::Ticket
            }
            State::HalfOpen { .. } | State::Open { .. } => Counting::Not,
        };
        Pass { generation: self.generation, counting }
    }

    /// An attempt's result. What says nothing about the machine ([`HealthEffect::None`], and [`HealthEffect::Open`], which
    /// is the credential's) gives a ticket back and counts nowhere. Whether it opened by it.
    pub fn leave(&mut self, now: Timestamp, pass: Pass, effect: HealthEffect) -> bool {
        self.tick(now);
        let stale = pass.generation != self.generation || pass.counting == Counting::Not;
        if stale || !self.policy.enabled {
            return false;
        }
        let ticket = pass.counting == Counting::Ticket;
        match effect {
            HealthEffect::None | HealthEffect::Open if ticket => self.give_ticket_back(),
            HealthEffect::None | HealthEffect::Open => {}
            HealthEffect::Success => self.count(now, ticket, false),
            HealthEffect::Failure => self.count(now, ticket, true),
        }
        pass.generation != self.generation
    }

    fn give_ticket_back(&mut self) {
        if let State::HalfOpen { ticket_out, .. } = &mut self.state {
            *ticket_out = false;
        }
    }

    /// It has failed on its way back, not long ago.
    const fn is_cautious(&self) -> bool {
        self.openings > 1
    }

    fn count(&mut self, now: Timestamp, ticket: bool, failed: bool) {
        let cautious = self.is_cautious();
        self.consecutive = if failed { self.consecutive.saturating_add(1) } else { 0 };
        match &mut self.state {
            State::Closed { .. } => {
                self.window.record(now, failed);
                if self.is_too_sick(now) {
                    self.open(now);
                }
            }
            State::Ramp { seen, .. } => {
                seen.requests += 1;
                seen.failures += u32::from(failed);
                let judged = cautious || seen.requests >= STEP_OUTCOMES;
                if (judged && !is_good_step(*seen)) || self.consecutive >= self.policy.consecutive {
                    self.open(now);
                } else {
                    self.tick(now);
                }
            }
            State::HalfOpen { doubted, .. } if (ticket || *doubted) && failed => self.open(now),
            State::HalfOpen { doubted: true, ticket_out, .. } => {
                if *ticket_out && !ticket {
                    // The ticket's holder is not to be one of two when it is doubted again.
                    self.generation = self.generation.wrapping_add(1);
                }
                self.close(now);
            }
            State::HalfOpen { successes, ticket_out, .. } if ticket => {
                *ticket_out = false;
                *successes += 1;
                if *successes >= PROBES {
                    self.state = State::Ramp { step: 0, since: now, seen: Counts::default() };
                }
            }
            State::HalfOpen { .. } | State::Open { .. } => {}
        }
    }

    fn is_too_sick(&mut self, now: Timestamp) -> bool {
        let Counts { requests, failures } = self.window.counts(now);
        let policy = &self.policy;
        let often = f64::from(failures) > policy.error_rate * f64::from(requests);
        let enough = requests >= policy.min_requests && failures >= policy.min_failures;
        (often && enough) || self.consecutive >= policy.consecutive
    }

    fn open(&mut self, now: Timestamp) {
        if let State::Closed { since } = self.state
            && now.since(since) >= FORGIVEN_AFTER
        {
            self.openings = 0;
        }
        let doubled = self.policy.cooldown.saturating_mul(1 << self.openings.min(20));
        self.state = State::Open { until: now + doubled.min(self.policy.max_cooldown) };
        self.openings = self.openings.saturating_add(1);
        self.generation = self.generation.wrapping_add(1);
        self.consecutive = 0;
        self.window.clear();
    }

    fn close(&mut self, now: Timestamp) {
        self.state = State::Closed { since: now };
        self.consecutive = 0;
        self.window.clear();
    }

    /// What time alone changes.
    fn tick(&mut self, now: Timestamp) {
        match self.state {
            State::Open { until } if now >= until => {
                self.state = State::HalfOpen { successes: 0, ticket_out: false, doubted: false };
            }
            State::Ramp { step, since, seen } => {
                let long_enough = now.since(since) >= self.policy.ramp_step;
                if !long_enough || seen.requests < STEP_OUTCOMES || !is_good_step(seen) {
                    return;
                }
                if step + 1 < RAMP_PERCENT.len() {
                    self.state = State::Ramp { step: step + 1, since: now, seen: Counts::default() };
                } else {
                    self.close(now);
                }
            }
            _ => {}
        }
    }
}

fn share(step: usize) -> u8 {
    RAMP_PERCENT.get(step).copied().unwrap_or(100)
}

fn is_good_step(seen: Counts) -> bool {
    seen.failures * 100 <= seen.requests * STEP_FAILURES_PERCENT
}

#[cfg(test)]
pub(super) mod tests;
