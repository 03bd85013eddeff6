//! What a provider says is left of its rate limits, in its answers' headers.

use std::time::{Duration, SystemTime};

use hyper::HeaderMap;

use super::instant::until;

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
    /// Tokens left in the period; where input and output are counted apart, of the scarcer one.
    pub tokens_left: Option<u64>,
    /// Until all tokens are there again; at most a day.
    pub tokens_reset_in: Option<Duration>,
}

/// One limit: how much there is, how much is left, and when it is whole again.
#[derive(Clone, Copy, Debug, Default)]
struct Limit {
    limit: Option<u64>,
    left: Option<u64>,
    reset_in: Option<Duration>,
}

/// Names of one limit's headers: limit, remaining, reset.
type Names = [&'static str; 3];

/// Requests, by OpenAI (and all who follow it), Anthropic, and hosts with one limit for all. The first that says what is
/// left or how much there is counts.
const REQUESTS: [Names; 3] = [
    ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"],
    [
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
    ],
    ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"],
];

/// Tokens. Anthropic's first is the most restrictive of the limits in force; of input and output the scarcer one counts.
const TOKENS: [Names; 4] = [
    ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"],
    [
        "anthropic-ratelimit-tokens-limit",
        "anthropic-ratelimit-tokens-remaining",
        "anthropic-ratelimit-tokens-reset",
    ],
    [
        "anthropic-ratelimit-input-tokens-limit",
        "anthropic-ratelimit-input-tokens-remaining",
        "anthropic-ratelimit-input-tokens-reset",
    ],
    [
        "anthropic-ratelimit-output-tokens-limit",
        "anthropic-ratelimit-output-tokens-remaining",
        "anthropic-ratelimit-output-tokens-reset",
    ],
];

/// A header's text, if it is one.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
}

impl Limit {
    fn of(headers: &HeaderMap, names: &Names, now: SystemTime) -> Self {
        let [limit, left, reset] = names.map(|name| text(headers, name));
        let count = |text: Option<&str>| text.and_then(|text| text.parse().ok());
        Self { limit: count(limit), left: count(left), reset_in: reset.and_then(|text| until(text, now)) }
    }

    const fn is_said(&self) -> bool {
        self.limit.is_some() || self.left.is_some() || self.reset_in.is_some()
    }
}

impl RateState {
    /// What these headers say. Absurd numbers are none; no wait is longer than a day.
    pub fn of(headers: &HeaderMap, now: SystemTime) -> Self {
        // Most answers of most hosts say nothing: one look at each name is all they cost.
        if !headers.keys().any(|name| name.as_str().contains("ratelimit-")) {
            return Self::default();
        }
        let all = |names: &[Names]| {
            let said = names.iter().map(|names| Limit::of(headers, names, now)).filter(Limit::is_said);
            said.collect::<Vec<_>>()
        };
        let requests = all(&REQUESTS).first().copied().unwrap_or_default();
        let tokens = all(&TOKENS);
        let scarcest = tokens.iter().min_by_key(|limit| limit.left.unwrap_or(u64::MAX));
        let tokens = scarcest.copied().unwrap_or_default();
        Self {
            requests_limit: requests.limit,
            requests_left: requests.left,
            requests_reset_in: requests.reset_in,
            tokens_limit: tokens.limit,
            tokens_left: tokens.left,
            tokens_reset_in: tokens.reset_in,
        }
    }

    /// Nothing was said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// When asking again makes sense: the reset of what is used up, or else the sooner one.
    pub(super) fn reset_in(&self) -> Option<Duration> {
        let limits = [(self.requests_left, self.requests_reset_in), (self.tokens_left, self.tokens_reset_in)];
        let resets = |spent: bool| {
            limits
                .into_iter()
                .filter(move |(left, _)| !spent || *left == Some(0))
                .filter_map(|(_, reset)| reset)
        };
        resets(true).max().or_else(|| resets(false).min())
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    /// Limit, left and seconds until the reset, of requests and of tokens.
    type Said = (Option<u64>, Option<u64>, Option<f64>);

    #[track_caller]
    fn check(headers: &[(&str, &str)], requests: Said, tokens: Said) {
        let map: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap()))
            .collect();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let state = RateState::of(&map, now);
        let secs = |wait: Option<Duration>| wait.map(|wait| wait.as_secs_f64());
        let seen = (
            (state.requests_limit, state.requests_left, secs(state.requests_reset_in)),
            (state.tokens_limit, state.tokens_left, secs(state.tokens_reset_in)),
        );
        assert_eq!(seen, (requests, tokens), "{headers:?}");
    }

    const NONE: Said = (None, None, None);

    #[test]
    fn what_is_left() {
        check(&[("content-type", "text/plain")], NONE, NONE);
        check(
            &[
                ("x-ratelimit-limit-requests", "500"),
                ("x-ratelimit-remaining-requests", "499"),
                ("x-ratelimit-reset-requests", "120ms"),
                ("x-ratelimit-limit-tokens", "30000"),
                ("x-ratelimit-remaining-tokens", "0"),
                ("x-ratelimit-reset-tokens", "6m0s"),
            ],
            (Some(500), Some(499), Some(0.12)),
            (Some(30_000), Some(0), Some(360.0)),
        );
        check(
            &[
                ("anthropic-ratelimit-requests-limit", "50"),
                ("anthropic-ratelimit-requests-remaining", "49"),
                ("anthropic-ratelimit-requests-reset", "2027-01-15T08:00:01Z"),
                ("anthropic-ratelimit-input-tokens-limit", "30000"),
                ("anthropic-ratelimit-input-tokens-remaining", "29000"),
                ("anthropic-ratelimit-input-tokens-reset", "2027-01-15T08:00:02Z"),
                ("anthropic-ratelimit-output-tokens-limit", "8000"),
                ("anthropic-ratelimit-output-tokens-remaining", "1000"),
                ("anthropic-ratelimit-output-tokens-reset", "2027-01-15T08:00:30Z"),
            ],
            (Some(50), Some(49), Some(1.0)),
            (Some(8000), Some(1000), Some(30.0)),
        );
        // OpenRouter: milliseconds since the epoch.
        check(
            &[
                ("x-ratelimit-limit", "20"),
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", "1800000009000"),
            ],
            (Some(20), Some(0), Some(9.0)),
            NONE,
        );
        // Absurd ones say nothing, or a day.
        check(&[("x-ratelimit-remaining-requests", "-5"), ("x-ratelimit-limit-tokens", "1e400")], NONE, NONE);
        check(&[("x-ratelimit-reset-tokens", "99999999h")], NONE, (None, None, Some(86_400.0)));
    }
}
