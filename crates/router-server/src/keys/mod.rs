//! Client keys in the form that serves: found by the hash of their secret, each with its own limits. How a request
//! carries its key is not here.

mod follow;
mod place;
mod ring;
pub(crate) mod secret;
mod snapshot;
pub(crate) mod wish;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use router_core::admission::Claimant;
use router_core::compiled::{ClientKey, Limits};
use router_core::failover::{NotAdmitted, Place as When};
use router_core::limit::{Left, Limiter};
use router_core::time::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

pub(crate) use follow::{Changes, Follower};
pub(crate) use place::Place;
pub(crate) use ring::{Keyring, LedgerKeys, config_id};
pub(crate) use snapshot::SnapshotFile;

use crate::error::ApiError;

/// When a place of a key's own is likely to be free again: nobody knows, but most answers take seconds.
const PLACE_WAIT: Duration = Duration::from_secs(1);

/// One client key.
#[derive(Debug)]
pub(crate) struct Key {
    /// What it is and may.
    pub(crate) spec: Arc<ClientKey>,
    /// Which key it is, for as long as this process lives.
    number: u64,
    gate: Arc<Gate>,
}

/// What is used of a key's limits; carried over when the key changes.
#[derive(Debug)]
struct Gate {
    limits: Mutex<Rates>,
    /// Seconds since the epoch; 0: not since this process started.
    last_used_secs: AtomicU64,
}

/// Requests are counted when the head has come, tokens when the body is known: two limiters, so that the second can
/// refuse without the first.
#[derive(Debug)]
struct Rates {
    requests: Limiter,
    tokens: Limiter,
}

impl Gate {
    fn new(limits: Limits) -> Self {
        let rates =
            Rates { requests: Limiter::new(of_requests(limits)), tokens: Limiter::new(of_tokens(limits)) };
        Self { limits: Mutex::new(rates), last_used_secs: AtomicU64::new(0) }
    }

    fn reconfigure(&self, limits: Limits) {
        let mut rates = self.rates();
        rates.requests.reconfigure(of_requests(limits));
        rates.tokens.reconfigure(of_tokens(limits));
    }

    /// A lock whose holder panicked is still good: every change under it is a single step of core's.
    fn rates(&self) -> MutexGuard<'_, Rates> {
        self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of_requests(limits: Limits) -> Limits {
    Limits { tpm: None, ..limits }
}

fn of_tokens(limits: Limits) -> Limits {
    Limits { tpm: limits.tpm, ..Limits::default() }
}

impl Key {
    /// Who it is to the server's own limit.
    pub(crate) fn claimant(&self) -> Claimant {
        Claimant { key: self.number, priority: self.spec.priority }
    }

    /// When it was last used since this process started.
    pub(crate) fn last_used(&self) -> Option<Timestamp> {
        let secs = self.gate.last_used_secs.load(Ordering::Relaxed);
        (secs > 0).then(|| Timestamp::from_millis(secs.saturating_mul(1_000)))
    }

    /// Takes one request and a place in flight.
    ///
    /// # Errors
    /// 429 with when to come back.
    fn enter(&self, now: Timestamp) -> Result<(), ApiError> {
        // A plain load first: the line stays shared between threads.
        if self.gate.last_used_secs.load(Ordering::Relaxed) != now.as_secs() {
            self.gate.last_used_secs.store(now.as_secs(), Ordering::Relaxed);
        }
        let entered = self.gate.rates().requests.enter(now, 0, When::Now);
        let limits = self.spec.limits;
        let (text, wait) = match entered {
            Ok(()) => return Ok(()),
            Err(NotAdmitted::Concurrency) => {
                let most = limits.concurrency.unwrap_or_default();
                (format!("this key has {most} requests in flight, as many as it may"), PLACE_WAIT)
            }
            Err(why) => {
                let rpm = limits.rpm.unwrap_or_default();
                (format!("this key's {rpm} requests per minute are spent"), wait(why, now))
            }
        };
        Err(ApiError::new("rate_limit_exceeded", text).retry_after(wait))
    }

    /// Takes the tokens a request is expected to use. Its place and its request stay taken.
    ///
    /// # Errors
    /// 429 with when to come back.
    fn book(&self, now: Timestamp, tokens: u64) -> Result<(), ApiError> {
        let Some(tpm) = self.spec.limits.tpm else { return Ok(()) };
        self.gate.rates().tokens.enter(now, tokens, When::Now).map_err(|why| {
            let text = format!(
                "this key's {tpm} tokens per minute are spent: this request counts as {tokens} until it has ended"
            );
            ApiError::new("rate_limit_exceeded", text).retry_after(wait(why, now))
        })
    }

    /// A request is over: its place is free, and what it was expected to use becomes what it used.
    fn leave(&self, now: Timestamp, booked_tokens: Option<u64>, used_tokens: u64) {
        let mut rates = self.gate.rates();
        rates.requests.leave(now, 0, 0);
        if let Some(booked) = booked_tokens {
            rates.tokens.leave(now, booked, used_tokens);
        }
    }

    /// Writes what is left of its rates, as OpenAI's API does; over those of the deployment, which are not its own.
    pub(crate) fn write_limits(&self, now: Timestamp, headers: &mut HeaderMap) {
        let limits = self.spec.limits;
        if limits.rpm.is_none() && limits.tpm.is_none() {
            return;
        }
        let (requests, tokens) = {
            let rates = self.gate.rates();
            (rates.requests.requests_left(now), rates.tokens.tokens_left(now))
        };
        for (left, names) in [(requests, REQUESTS), (tokens, TOKENS)] {
            let Some(Left { per_min, left, full_in }) = left else { continue };
            let [limit, remaining, reset] = names;
            headers.insert(limit, HeaderValue::from(per_min));
            headers.insert(remaining, HeaderValue::from(left));
            headers.insert(reset, crate::respond::value(&span(full_in)));
        }
    }
}

const REQUESTS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];
const TOKENS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];

/// A span as OpenAI writes it: `1h2m0s`, `6m0s`, `1.5s`, `20ms`, `0s`.
fn span(span: Duration) -> String {
    let ms = span.as_millis();
    let (hours, minutes, rest_ms) = (ms / 3_600_000, ms / 60_000 % 60, ms % 60_000);
    if ms > 0 && ms < 1_000 {
        return format!("{ms}ms");
    }
    let fraction = format!(".{:03}", rest_ms % 1_000);
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    let seconds = format!("{}{fraction}s", rest_ms / 1_000);
    match (hours, minutes) {
        (0, 0) => seconds,
        (0, minutes) => format!("{minutes}m{seconds}"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
    }
}

fn wait(why: NotAdmitted, now: Timestamp) -> Duration {
    match why {
        NotAdmitted::Rate(at) | NotAdmitted::Booked(at) => at.since(now),
        _ => PLACE_WAIT,
    }
}

/// What is known of who may ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Access {
    /// There are no keys and never were any: whoever is on this machine may ask.
    Open,
    /// A key is needed.
    #[default]
    Keys,
    /// The ledger's keys could not be read yet: a key that is not known may be good all the same.
    Unread,
}

/// One secret's hash, until when it is accepted, and whose it is.
#[derive(Clone, Debug)]
struct Entry {
    sha256: [u8; 32],
    until: Option<Timestamp>,
    key: Arc<Key>,
}

/// Client keys, sorted by hash: found by its first bytes, accepted by comparing all of it in constant time.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyTable {
    by_hash: Vec<Entry>,
    /// By the identity that a key keeps when it changes.
    by_id: BTreeMap<Arc<str>, Arc<Key>>,
    /// What a request without a known key is told.
    pub(crate) access: Access,
}

/// What a secret stands for.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// A key.
    Key(&'a Arc<Key>),
    /// A key, or a secret of one, whose time is over.
    Expired,
}

impl KeyTable {
    /// The key with this secret.
    pub(crate) fn find(&self, secret: &str, now: Timestamp) -> Option<Found<'_>> {
        let hash: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
        let from = self.by_hash.partition_point(|known| known.sha256[..8] < hash[..8]);
        let same_start = self.by_hash[from..].iter().take_while(|known| known.sha256[..8] == hash[..8]);
        let entry = same_start.filter(|known| known.sha256.ct_eq(&hash).into()).next()?;
        let over = |end: Option<Timestamp>| end.is_some_and(|end| end <= now);
        let expired = over(entry.until) || over(entry.key.spec.expires);
        Some(if expired { Found::Expired } else { Found::Key(&entry.key) })
    }

    /// A key by its identity.
    pub(crate) fn by_id(&self, id: &str) -> Option<&Arc<Key>> {
        self.by_id.get(id)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A table of keys of a configuration with these secrets, each its own name.
    pub(crate) fn table(secrets: &[&str], access: Access) -> KeyTable {
        let specs = secrets.iter().map(|secret| {
            let spec = ClientKey { name: Arc::from(*secret), ..ClientKey::default() };
            (Sha256::digest(secret.as_bytes()).into(), Arc::new(spec))
        });
        let ring = Keyring::new(&specs.collect::<Vec<_>>(), true);
        KeyTable { access, ..(*ring.load_full()).clone() }
    }

    #[test]
    fn spans_are_written_as_openai_does() {
        for (ms, expected) in [
            (0, "0s"),
            (20, "20ms"),
            (1_000, "1s"),
            (1_500, "1.5s"),
            (8_640, "8.64s"),
            (59_999, "59.999s"),
            (60_000, "1m0s"),
            (360_000, "6m0s"),
            (3_600_250, "1h0m0.25s"),
        ] {
            assert_eq!(span(Duration::from_millis(ms)), expected);
        }
    }

    /// Script: `r` a request, `tN` its N tokens, `lN` it ends having used N, `+S` seconds go by. Expected: what is left
    /// at the end, `requests/tokens`, and what was refused.
    fn check(limits: Limits, script: &str, refused: &[&str], left: &str) {
        let mut now = Timestamp::from_millis(1_795_348_200_000);
        let spec = Arc::new(ClientKey { limits, ..ClientKey::default() });
        let key = Key { spec, number: 1, gate: Arc::new(Gate::new(limits)) };
        let (mut said, mut booked) = (Vec::new(), None);
        for word in script.split_whitespace() {
            let (op, rest) = word.split_at(1);
            let number = || rest.parse::<u64>().unwrap();
            let done = match op {
                "r" => key.enter(now),
                "t" => key.book(now, number()).inspect(|()| booked = Some(number())),
                "l" => Ok(key.leave(now, booked.take(), number())),
                _ => Ok(now = now + Duration::from_secs(number())),
            };
            said.extend(done.err().map(|e| format!("{} {}", e.message, e.retry_after.unwrap().as_secs())));
        }
        assert_eq!(said.len(), refused.len(), "{script}: {said:?}");
        for (said, expected) in said.iter().zip(refused) {
            let (text, wait) = expected.split_once('|').unwrap();
            assert!(said.contains(text) && said.ends_with(&format!(" {wait}")), "{script}: {said}");
        }
        let mut headers = HeaderMap::new();
        key.write_limits(now, &mut headers);
        let remaining =
            |name: &str| headers.get(name).map_or("-".to_owned(), |value| value.to_str().unwrap().to_owned());
        let got = ["x-ratelimit-remaining-requests", "x-ratelimit-remaining-tokens"].map(remaining).join("/");
        assert_eq!(got, left, "{script}: {headers:?}");
    }

    #[test]
    fn a_keys_limits_are_counted_each_by_itself() {
        let limits = |rpm, tpm, concurrency| Limits { rpm, tpm, concurrency, ..Limits::default() };
        check(limits(None, None, None), "r r r t9 l9", &[], "-/-");
        check(limits(Some(2), None, None), "r l0 r l0 r", &["2 requests per minute|30"], "0/-");
        check(limits(Some(2), None, None), "r l0 r l0 +30 r l0", &[], "0/-");
        check(limits(None, None, Some(2)), "r r r l0 r", &["2 requests in flight|1"], "-/-");
        check(limits(None, Some(600), None), "r t600 r t60", &["600 tokens per minute|6"], "-/0");
        // What was not used comes back, what was used beyond is owed.
        check(limits(None, Some(600), None), "r t500 l100 r t500", &[], "-/0");
        check(limits(None, Some(600), None), "r t100 l700 r t10", &["600 tokens per minute|11"], "-/0");
        check(limits(Some(10), Some(600), Some(1)), "r t100 l50", &[], "9/550");
    }
}
