//! When a provider says to come back: `retry-after`, `retry-after-ms`, or else the resets of the rate limits.

use std::time::{Duration, SystemTime};

use hyper::HeaderMap;

use super::instant::{MAX_WAIT, millis, until};
use super::rate::{RateState, text};

/// How long the provider asks to wait, at most a day; `None` when it does not say.
///
/// `retry-after-ms` (OpenAI, Azure) is finer than `retry-after` (seconds or an HTTP date, RFC 9110) and comes first. Only
/// without both do the rate limits count: the reset of the one of which nothing is left, or else the soonest one.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    text(headers, "retry-after-ms")
        .and_then(millis)
        .or_else(|| text(headers, "retry-after").and_then(|value| until(value, now)))
        .or_else(|| RateState::of(headers, now).reset_in())
        .map(|wait| wait.min(MAX_WAIT))
}
