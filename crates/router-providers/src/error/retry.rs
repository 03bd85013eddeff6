//! When a provider says to come back: `retry-after`, `retry-after-ms` and the rate limit headers, in their many spellings.

use std::time::{Duration, SystemTime};

use hyper::HeaderMap;

/// Longest wait believed: daily quotas name up to a day.
const MAX: Duration = Duration::from_secs(24 * 3600);

/// How long the provider asks to wait, at most a day; `None` when it does not say.
///
/// `retry-after-ms` (OpenAI, Azure) is finer than `retry-after` (seconds or an HTTP date, RFC 9110) and comes first. Only
/// without both do the rate limit headers count: the reset of the limit of which nothing is left, or the soonest one.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let wait = text("retry-after-ms")
        .and_then(|ms| seconds(ms).map(|ms| ms / 1000.0))
        .and_then(duration)
        .or_else(|| text("retry-after").and_then(|value| after(value, now)))
        .or_else(|| resets(&text, now));
    wait.map(|wait| wait.min(MAX))
}

fn after(value: &str, now: SystemTime) -> Option<Duration> {
    if let Some(wait) = seconds(value).and_then(duration) {
        return Some(wait);
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

fn resets<'a>(text: &impl Fn(&str) -> Option<&'a str>, now: SystemTime) -> Option<Duration> {
    let mut soonest: Option<Duration> = None;
    let mut spent: Option<Duration> = None;
    for unit in ["requests", "tokens"] {
        let Some(reset) = text(&format!("x-ratelimit-reset-{unit}")).and_then(span) else { continue };
        soonest = Some(soonest.map_or(reset, |other| other.min(reset)));
        if text(&format!("x-ratelimit-remaining-{unit}")) == Some("0") {
            spent = Some(spent.map_or(reset, |other| other.max(reset)));
        }
    }
    spent.or(soonest).or_else(|| text("x-ratelimit-reset").and_then(|value| moment(value, now)))
}

/// Seconds since the epoch, milliseconds since the epoch, or seconds from now: told apart by their size.
fn moment(value: &str, now: SystemTime) -> Option<Duration> {
    let number = seconds(value)?;
    let seconds = match number {
        n if n > 1e11 => n / 1000.0,
        n if n > 1e9 => n,
        n => return duration(n),
    };
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Some(duration(seconds)?.saturating_sub(now))
}

/// OpenAI's spans: `1s`, `6m0s`, `20ms`, `1h2m3.5s`; a bare number is seconds.
fn span(value: &str) -> Option<Duration> {
    if let Some(wait) = seconds(value) {
        return duration(wait);
    }
    let (mut rest, mut total) = (value, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let number: f64 = rest.get(..digits)?.parse().ok()?;
        let tail = rest.get(digits..)?;
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, next) = tail.split_at(letters);
        total += number
            * match unit {
                "d" => 86_400.0,
                "h" => 3_600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = next;
    }
    duration(total)
}

fn seconds(value: &str) -> Option<f64> {
    let plain = value.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if plain { value.parse().ok() } else { None }
}

fn duration(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds.min(1e10)).ok()
}
