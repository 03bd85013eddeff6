//! Rate and concurrency limits of one deployment, as values: requests and tokens per minute, attempts in flight, and
//! places booked ahead for those who wait.
//!
//! Each rate is a token bucket that holds one minute's worth and refills continuously, which is how Anthropic and
//! OpenAI describe theirs. It is kept as GCRA (ITU-T I.371): one number, the theoretical arrival time, and no timer.
//! Who finds the bucket empty may book: the place is paid for at once and its time is returned. So every waiting request
//! has a time of its own, in the order of arrival; nobody polls, and newcomers come after those who wait.
//!
//! What a provider itself says about its limits is `learned`, and stands before these: never in their place.

mod learned;
mod queue;

use std::time::Duration;

use crate::compiled::Limits;
use crate::failover::{NotAdmitted, Place};
use crate::time::Timestamp;

pub use learned::{Learned, Mark, RateState};
pub use queue::DEFAULT_QUEUE;
pub(crate) use queue::Queue;

const MINUTE_NANOS: u64 = 60_000_000_000;

/// One rate, as GCRA.
#[derive(Clone, Debug)]
struct Bucket {
    per_min: u64,
    /// Theoretical arrival time, nanoseconds since the epoch. Up to a minute ahead of now: the bucket is not empty.
    tat_nanos: u64,
}

impl Bucket {
    fn cost_nanos(&self, units: u64) -> u64 {
        let nanos = u128::from(units) * u128::from(MINUTE_NANOS) / u128::from(self.per_min.max(1));
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }

    /// When `units` can be taken. More than a full bucket is let in when the bucket is full, and leaves a debt.
    fn free_at_nanos(&self, now_nanos: u64, units: u64) -> u64 {
        let cost = self.cost_nanos(units).min(MINUTE_NANOS);
        self.tat_nanos.max(now_nanos).saturating_add(cost).saturating_sub(MINUTE_NANOS).max(now_nanos)
    }

    fn left(&self, now_nanos: u64) -> Left {
        let ahead = self.tat_nanos.saturating_sub(now_nanos);
        let left = u128::from(self.per_min) * u128::from(MINUTE_NANOS.saturating_sub(ahead))
            / u128::from(MINUTE_NANOS);
        let left = u64::try_from(left).unwrap_or(u64::MAX);
        Left { per_min: self.per_min, left, full_in: Duration::from_nanos(ahead) }
    }

    fn take(&mut self, now_nanos: u64, units: u64) {
        self.tat_nanos = self.tat_nanos.max(now_nanos).saturating_add(self.cost_nanos(units));
    }

    fn give_back(&mut self, units: u64) {
        self.tat_nanos = self.tat_nanos.saturating_sub(self.cost_nanos(units));
    }
}

/// What is left of one rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// The rate.
    pub per_min: u64,
    /// What can be taken at once.
    pub left: u64,
    /// Until all of it can be.
    pub full_in: Duration,
}

/// The limits of one deployment and what is used of them.
#[derive(Clone, Debug)]
pub struct Limiter {
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    concurrency: Option<u32>,
    in_flight: u32,
}

impl Limiter {
    /// Nothing used yet.
    pub fn new(limits: Limits) -> Self {
        let bucket = |per_min| Bucket { per_min, tat_nanos: 0 };
        Self {
            requests: limits.rpm.map(bucket),
            tokens: limits.tpm.map(bucket),
            concurrency: limits.concurrency,
            in_flight: 0,
        }
    }

    /// Other limits from now on. What is used stays used.
    pub fn reconfigure(&mut self, limits: Limits) {
        for (bucket, per_min) in [(&mut self.requests, limits.rpm), (&mut self.tokens, limits.tpm)] {
            let tat_nanos = bucket.as_ref().map_or(0, |b| b.tat_nanos);
            *bucket = per_min.map(|per_min| Bucket { per_min, tat_nanos });
        }
        self.concurrency = limits.concurrency;
    }

    /// Attempts in flight.
    pub const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// No place for another attempt.
    pub fn is_full(&self) -> bool {
        self.concurrency.is_some_and(|limit| self.in_flight >= limit)
    }

    /// What is left of the requests per minute; `None`: not limited.
    pub fn requests_left(&self, now: Timestamp) -> Option<Left> {
        Some(self.requests.as_ref()?.left(nanos(now)))
    }

    /// What is left of the tokens per minute; `None`: not limited.
    pub fn tokens_left(&self, now: Timestamp) -> Option<Left> {
        Some(self.tokens.as_ref()?.left(nanos(now)))
    }

    /// When the rates have room for one more request of `tokens`, those who booked first being served; `now` when at
    /// once. Concurrency is not asked.
    pub fn free_at(&self, now: Timestamp, tokens: u64) -> Timestamp {
        let now_nanos = nanos(now);
        let requests = self.requests.as_ref().map_or(now_nanos, |b| b.free_at_nanos(now_nanos, 1));
        let tokens = self.tokens.as_ref().map_or(now_nanos, |b| b.free_at_nanos(now_nanos, tokens));
        Timestamp::from_micros(requests.max(tokens).div_ceil(1_000))
    }

    /// Takes a place in flight, one request and `tokens`; all or none.
    ///
    /// # Errors
    /// [`NotAdmitted::Rate`], [`NotAdmitted::Booked`] (asked for with [`Place::Book`]) or [`NotAdmitted::Concurrency`].
    /// A booking brought along is used up, and given back when the answer is an error. How many may wait is not asked here.
    pub fn enter(&mut self, now: Timestamp, tokens: u64, place: Place) -> Result<(), NotAdmitted> {
        self.enter_from(now, tokens, place, Timestamp::ZERO)
    }

    /// The same, and not before `from`, whatever the rates say.
    ///
    /// # Errors
    /// As [`Limiter::enter`].
    pub fn enter_from(
        &mut self,
        now: Timestamp,
        tokens: u64,
        place: Place,
        from: Timestamp,
    ) -> Result<(), NotAdmitted> {
        if place == Place::Booked {
            if from > now || self.is_full() {
                self.unbook(tokens);
                return Err(if from > now { NotAdmitted::Rate(from) } else { NotAdmitted::Concurrency });
            }
            self.in_flight += 1;
            return Ok(());
        }
        let free_at = self.free_at(now, tokens).max(from);
        if free_at > now {
            return Err(match place {
                Place::Book { by } if free_at < by => {
                    self.take(now, tokens);
                    NotAdmitted::Booked(free_at)
                }
                _ => NotAdmitted::Rate(free_at),
            });
        }
        if self.is_full() {
            return Err(NotAdmitted::Concurrency);
        }
        self.take(now, tokens);
        self.in_flight += 1;
        Ok(())
    }

    /// An attempt ended: its place is free, and the tokens reserved become those used.
    pub fn leave(&mut self, now: Timestamp, reserved_tokens: u64, used_tokens: u64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(bucket) = &mut self.tokens {
            if used_tokens > reserved_tokens {
                bucket.take(nanos(now), used_tokens - reserved_tokens);
            } else {
                bucket.give_back(reserved_tokens - used_tokens);
            }
        }
    }

    /// An admitted attempt was not sent after all: everything comes back.
    pub fn retract(&mut self, tokens: u64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.unbook(tokens);
    }

    /// A booking is not used.
    pub fn unbook(&mut self, tokens: u64) {
        if let Some(bucket) = &mut self.requests {
            bucket.give_back(1);
        }
        if let Some(bucket) = &mut self.tokens {
            bucket.give_back(tokens);
        }
    }

    fn take(&mut self, now: Timestamp, tokens: u64) {
        let now = nanos(now);
        if let Some(bucket) = &mut self.requests {
            bucket.take(now, 1);
        }
        if let Some(bucket) = &mut self.tokens {
            bucket.take(now, tokens);
        }
    }
}

const fn nanos(at: Timestamp) -> u64 {
    at.as_micros().saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const START_MILLIS: u64 = 1_795_348_200_000;

    /// Script words: `+MS` advance, `tN` take N tokens now, `bN` book, `wN` come with a booking, `lN/M` leave with M of
    /// N reserved used, `u` give a booking of one token back, `hMS` not before that from now on. Answers: `ok`, `full`,
    /// `rate@MS`, `booked@MS`.
    fn check(limits: Limits, script: &str, expected: &str) {
        let start = Timestamp::from_millis(START_MILLIS);
        let mut limiter = Limiter::new(limits);
        let (mut now, mut from) = (start, start);
        let mut said = Vec::new();
        for word in script.split_whitespace() {
            let (op, rest) = word.split_at(1);
            let number = || rest.parse::<u64>().unwrap();
            let result = match op {
                "+" => {
                    now = now + Duration::from_millis(number());
                    continue;
                }
                "t" => limiter.enter_from(now, number(), Place::Now, from),
                "b" => {
                    let place = Place::Book { by: start + Duration::from_secs(600) };
                    limiter.enter_from(now, number(), place, from)
                }
                "w" => limiter.enter_from(now, number(), Place::Booked, from),
                "l" => {
                    let (reserved, used) = rest.split_once('/').unwrap();
                    limiter.leave(now, reserved.parse().unwrap(), used.parse().unwrap());
                    continue;
                }
                "u" => {
                    limiter.unbook(1);
                    continue;
                }
                _ => {
                    from = now + Duration::from_millis(number());
                    continue;
                }
            };
            let ms = |t: Timestamp| t.since(start).as_micros().div_ceil(1_000);
            said.push(match result {
                Ok(()) => "ok".to_owned(),
                Err(NotAdmitted::Concurrency) => "full".to_owned(),
                Err(NotAdmitted::Rate(t)) => format!("rate@{}", ms(t)),
                Err(NotAdmitted::Booked(t)) => format!("booked@{}", ms(t)),
                Err(other) => format!("{other:?}"),
            });
        }
        assert_eq!(said.join(" "), expected, "{script}");
    }

    fn rpm(rpm: u64) -> Limits {
        Limits { rpm: Some(rpm), ..Limits::default() }
    }

    fn tpm(tpm: u64) -> Limits {
        Limits { tpm: Some(tpm), ..Limits::default() }
    }

    #[test]
    fn scripts() {
        let busy = Limits { concurrency: Some(1), ..rpm(2) };
        for (limits, script, expected) in [
            (Limits::default(), "t9 t9 t9 +0 t9", "ok ok ok ok"),
            (rpm(3), "t1 t1 t1 t1 +19999 t1 +1 t1 t1", "ok ok ok rate@20000 rate@20000 ok rate@40000"),
            (rpm(2), "t1 t1 b1 b1 b1 t1", "ok ok booked@30000 booked@60000 booked@90000 rate@120000"),
            (rpm(2), "t1 t1 b1 +30000 w1 t1", "ok ok booked@30000 ok rate@60000"),
            (rpm(2), "t1 t1 b1 u b1", "ok ok booked@30000 booked@30000"),
            (
                rpm(1),
                "t1 b1 b1 b1 b1 b1 b1 b1 b1 b1 b1",
                "ok booked@60000 booked@120000 booked@180000 booked@240000 booked@300000 booked@360000 booked@420000 booked@480000 booked@540000 rate@600000",
            ),
            (tpm(600), "t600 t1 +100 t1 t1", "ok rate@100 ok rate@200"),
            (tpm(600), "t500 l500/0 t600", "ok ok"),
            (tpm(600), "t100 l100/600 t1", "ok rate@100"),
            (tpm(600), "t6000 t1", "ok rate@540100"),
            (tpm(600), "t1 t6000 +100 t6000", "ok rate@100 ok"),
            (busy, "t1 t1 l1/1 t1 l1/1 t1 b1 +30000 w1 w1", "ok full ok rate@30000 booked@30000 ok full"),
            (Limits::default(), "h500 t1 b1 b1 +500 w1 w1 t1", "rate@500 booked@500 booked@500 ok ok ok"),
            (rpm(2), "t1 t1 b1 +29000 h5000 +1000 w1", "ok ok booked@30000 rate@34000"),
        ] {
            check(limits, script, expected);
        }
    }

    #[test]
    fn other_limits_keep_what_is_used() {
        let now = Timestamp::from_millis(START_MILLIS);
        let mut limiter = Limiter::new(rpm(1));
        assert_eq!(limiter.enter(now, 1, Place::Now), Ok(()));
        limiter.reconfigure(Limits { concurrency: Some(2), ..rpm(1) });
        assert_eq!(limiter.in_flight(), 1);
        assert!(matches!(limiter.enter(now, 1, Place::Now), Err(NotAdmitted::Rate(_))));
        limiter.reconfigure(Limits::default());
        assert_eq!(limiter.enter(now, 1, Place::Now), Ok(()));
    }

    proptest! {
        /// In any stretch of time, no more than one bucket and what flows in meanwhile; booked places included.
        #[test]
        fn never_more_than_the_rate(per_min in 1u64..300, asks in prop::collection::vec((0u64..2_000, any::<bool>()), 1..200)) {
            let mut limiter = Limiter::new(rpm(per_min));
            let start = Timestamp::from_millis(START_MILLIS);
            let (mut now, mut served) = (start, Vec::new());
            for (step_ms, book) in asks {
                now = now + Duration::from_millis(step_ms);
                let place = if book { Place::Book { by: now + Duration::from_secs(3_600) } } else { Place::Now };
                match limiter.enter(now, 1, place) {
                    Ok(()) => served.push(now),
                    Err(NotAdmitted::Booked(t)) => { prop_assert!(t > now); served.push(t); }
                    Err(why) => prop_assert!(matches!(why, NotAdmitted::Rate(t) if t > now)),
                }
            }
            served.sort();
            for (i, from) in served.iter().enumerate() {
                for (j, to) in served.iter().enumerate().skip(i) {
                    let inflow = to.since(*from).as_secs_f64() * per_min as f64 / 60.0;
                    prop_assert!((j - i + 1) as f64 <= per_min as f64 + inflow + 1.0);
                }
            }
        }
    }
}
