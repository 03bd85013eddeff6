//! The retry budget, which bounds a storm of repeats against sick deployments, and the backoff before the same deployment
//! is called again.
//!
//! A budget instead of a maximum per request: with a maximum of three, a deployment that fails everything gets three times
//! its load at the worst moment; with a budget of 20 % it gets 1.2 times. The form is that of Finagle's `RetryBudget`
//! (20 % of the requests of the last 10 s and 10 per second beside): deposits and withdrawals both expire after 10 s.

use std::time::Duration;

use crate::compiled::RetryPolicy;
use crate::time::Timestamp;

/// The window of 10 s, in slices of a second.
const SLICES: usize = 10;
const SLICE_MICROS: u64 = 1_000_000;

/// One repeat, in hundredths, so that a percentage is a whole number.
const REPEAT: i64 = 100;

/// Repeats that may still be made. One per process, or per runtime thread.
///
/// At every withdrawal: repeats of the window <= `budget_percent` of the requests of the window + 10 s x `per_sec`.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    per_request: i64,
    reserve: i64,
    newest: u64,
    ring: [i64; SLICES],
    sum: i64,
}

impl RetryBudget {
    /// A full reserve, no request yet.
    pub fn new(policy: &RetryPolicy) -> Self {
        let mut budget = Self { per_request: 0, reserve: 0, newest: 0, ring: [0; SLICES], sum: 0 };
        budget.reconfigure(policy);
        budget
    }

    /// Other numbers from now on; what was used stays used.
    pub fn reconfigure(&mut self, policy: &RetryPolicy) {
        self.per_request = i64::from(policy.budget_percent);
        self.reserve = i64::from(policy.per_sec) * SLICES as i64 * REPEAT;
    }

    /// A request began: call it once for each.
    pub fn deposit(&mut self, now: Timestamp) {
        self.add(now, self.per_request);
    }

    /// Takes one repeat, if there is one.
    pub fn try_withdraw(&mut self, now: Timestamp) -> bool {
        self.slide(now);
        let enough = self.sum.saturating_add(self.reserve) >= REPEAT;
        if enough {
            self.add(now, -REPEAT);
        }
        enough
    }

    fn add(&mut self, now: Timestamp, amount: i64) {
        self.slide(now);
        let slice = &mut self.ring[(self.newest % SLICES as u64) as usize];
        *slice = slice.saturating_add(amount);
        self.sum = self.sum.saturating_add(amount);
    }

    fn slide(&mut self, now: Timestamp) {
        let slice = now.as_micros() / SLICE_MICROS;
        if slice <= self.newest {
            return;
        }
        if slice - self.newest >= SLICES as u64 {
            self.ring = [0; SLICES];
            self.sum = 0;
        } else {
            for gone in self.newest + 1..=slice {
                self.sum -= std::mem::take(&mut self.ring[(gone % SLICES as u64) as usize]);
            }
        }
        self.newest = slice;
    }
}

/// Full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter"): uniform in 0..=min(cap, base x 2^n), with n
/// failures there before this one.
pub(super) fn backoff(policy: &RetryPolicy, failures_before: u32, rng: &mut fastrand::Rng) -> Duration {
    let most = policy.backoff_base.saturating_mul(1 << failures_before.min(30)).min(policy.backoff_cap);
    Duration::from_micros(rng.u64(0..=u64::try_from(most.as_micros()).unwrap_or(u64::MAX)))
}

/// The wait before a full deployment, or a spent retry budget, is asked again: uniform in the upper half of
/// min(1 s, 20 ms x 2^n). A place may be free at any moment; who comes first gets it.
pub(super) fn poll(asked_before: u32, rng: &mut fastrand::Rng) -> Duration {
    let most_millis = (20u64 << asked_before.min(10)).min(1_000);
    Duration::from_micros(rng.u64(most_millis * 500..=most_millis * 1_000))
}
