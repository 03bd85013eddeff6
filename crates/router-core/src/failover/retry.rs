//! The retry budget, which bounds a storm of repeats against sick deployments, and the backoff before the same deployment
//! is called again.
//!
//! A budget instead of a maximum per request: with a maximum of three, a deployment that fails everything gets three times
//! its load at the worst moment; with a budget of 20 % it gets 1.2 times. The form is that of Finagle's `RetryBudget`
//! (20 % of the requests of the last 10 s and 10 per second beside): deposits and withdrawals both expire after 10 s.

use std::time::Duration;

use super::window::WindowSum;
use crate::compiled::RetryPolicy;
use crate::time::Timestamp;

/// The window of 10 s, in slices of a second.
const SLICE_MICROS: u64 = 1_000_000;
const WINDOW_SECS: i128 = 10;

/// One repeat, in hundredths, so that a percentage is a whole number.
const REPEAT: i128 = 100;

/// Repeats that may still be made. One per process, or per runtime thread.
///
/// At every withdrawal: repeats of the window <= `budget_percent` of the requests of the window + 10 s x `per_sec`.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    per_request: i128,
    reserve: i128,
    window: WindowSum,
}

impl RetryBudget {
    /// A full reserve, no request yet.
    pub fn new(policy: &RetryPolicy) -> Self {
        let mut budget = Self { per_request: 0, reserve: 0, window: WindowSum::new(SLICE_MICROS) };
        budget.reconfigure(policy);
        budget
    }

    /// Other numbers from now on; what was used stays used.
    pub fn reconfigure(&mut self, policy: &RetryPolicy) {
        self.per_request = i128::from(policy.budget_percent);
        self.reserve = i128::from(policy.per_sec) * WINDOW_SECS * REPEAT;
    }

    /// A request began: call it once for each.
    pub fn deposit(&mut self, now: Timestamp) {
        self.window.add(now, self.per_request);
    }

    /// Takes one repeat, if there is one.
    pub fn try_withdraw(&mut self, now: Timestamp) -> bool {
        let enough = self.window.sum(now).saturating_add(self.reserve) >= REPEAT;
        if enough {
            self.window.add(now, -REPEAT);
        }
        enough
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
