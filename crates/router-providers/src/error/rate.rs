//! What a provider says is left of its rate limits, in its answers' headers.

use std::time::Duration;

/// What is left of a deployment's rate limits, as far as an answer's headers say. Learned from, never enforced here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateState {
    /// Requests allowed per period.
    pub requests_limit: Option<u64>,
    /// Requests left in the period.
    pub requests_left: Option<u64>,
    /// Until all requests are there again; at most a day.
    pub requests_reset_in: Option<Duration>,
    /// Tokens allowed per period.
    pub tokens_limit: Option<u64>,
    /// Tokens left in the period; where input and output are counted apart, the smaller rest.
    pub tokens_left: Option<u64>,
    /// Until all tokens are there again; at most a day.
    pub tokens_reset_in: Option<Duration>,
}
