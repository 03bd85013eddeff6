//! How long answers take: a moving mean and the p95 of recent samples.
//!
//! The mean is `m += a (sample - m)` with `a = max(1/8, 1 - exp(-dt / 30 s))`, `dt` the time since the last sample: the
//! 1/8 is TCP's smoothed round-trip time (RFC 6298), the exponential is the time decay of Finagle's and linkerd's
//! peak-EWMA, so that after a pause the newest sample says most. Not the peak part: the total time of an answer from a
//! model varies with its length, and one long answer is no bad sign.
//! The p95 is exact (nearest rank) over the last 128 samples not older than five minutes; older ones are forgotten, so
//! that a deployment passed over for being slow gets another chance.

use std::time::Duration;

use crate::time::Timestamp;

const SAMPLES: usize = 128;
const MAX_AGE: Duration = Duration::from_secs(300);
const DECAY_SECS: f64 = 30.0;
const LEAST_WEIGHT: f64 = 1.0 / 8.0;

/// Fewer say nothing about a tail.
const MIN_SAMPLES: usize = 10;

/// Up to so many samples the p95 is computed anew with each; above, with each eighth, and once a second at most.
const FEW_SAMPLES: usize = 32;

#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    at: Timestamp,
    millis: u32,
}

/// Times of one kind (total, or to the first byte) of one deployment.
#[derive(Clone, Debug)]
pub struct Latency {
    ring: [Sample; SAMPLES],
    /// Samples ever taken.
    taken: u64,
    mean_millis: f64,
    p95_millis: u32,
    /// Samples the p95 does not know yet.
    pending: u32,
    /// When the p95 is to be computed again even without new samples.
    due: Timestamp,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            ring: [Sample::default(); SAMPLES],
            taken: 0,
            mean_millis: 0.0,
            p95_millis: 0,
            pending: 0,
            due: Timestamp::ZERO,
        }
    }
}

impl Latency {
    /// Takes a sample.
    pub fn record(&mut self, now: Timestamp, time: Duration) {
        let millis = u32::try_from(time.as_millis()).unwrap_or(u32::MAX).max(1);
        let weight = match self.last() {
            None => 1.0,
            Some(last) => {
                let aged = 1.0 - libm::exp(-now.since(last.at).as_secs_f64() / DECAY_SECS);
                aged.max(LEAST_WEIGHT)
            }
        };
        self.mean_millis += weight * (f64::from(millis) - self.mean_millis);
        self.ring[(self.taken % SAMPLES as u64) as usize] = Sample { at: now, millis };
        self.taken += 1;
        self.pending += 1;
    }

    /// The moving mean in milliseconds; 0: no sample yet.
    pub fn mean_millis(&self) -> u32 {
        // In range: a weighted mean of samples from 1 to `u32::MAX`.
        if self.taken == 0 { 0 } else { (self.mean_millis as u32).max(1) }
    }

    /// The p95 in milliseconds; 0: too few samples. Computed in about half a microsecond, and seldom.
    pub fn p95_millis(&mut self, now: Timestamp) -> u32 {
        let few = self.taken <= FEW_SAMPLES as u64;
        if now >= self.due || self.pending >= 8 || (few && self.pending > 0) {
            self.p95_millis = self.p95_of_recent(now);
            self.pending = 0;
            self.due = now + Duration::from_secs(1);
        }
        self.p95_millis
    }

    fn last(&self) -> Option<Sample> {
        let newest = self.taken.checked_sub(1)?;
        self.ring.get((newest % SAMPLES as u64) as usize).copied()
    }

    fn p95_of_recent(&self, now: Timestamp) -> u32 {
        let filled = usize::try_from(self.taken).unwrap_or(SAMPLES).min(SAMPLES);
        let (mut recent, mut n) = ([0u32; SAMPLES], 0);
        for sample in self.ring.iter().take(filled).filter(|s| now.since(s.at) <= MAX_AGE) {
            recent[n] = sample.millis;
            n += 1;
        }
        if n < MIN_SAMPLES {
            return 0;
        }
        let rank = (n * 95).div_ceil(100) - 1;
        *recent[..n].select_nth_unstable(rank).1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `(at_ms, took_ms)` samples, then mean and p95 at a time.
    fn check(samples: &[(u64, u64)], at_ms: u64, mean: u32, p95: u32) {
        let mut latency = Latency::default();
        for (at, took) in samples {
            latency.record(Timestamp::from_millis(*at), Duration::from_millis(*took));
        }
        let p95_found = latency.p95_millis(Timestamp::from_millis(at_ms));
        assert_eq!((latency.mean_millis(), p95_found), (mean, p95), "{samples:?}");
    }

    #[test]
    fn means_and_tails() {
        check(&[], 0, 0, 0);
        check(&[(0, 0)], 0, 1, 0);
        check(&[(0, 800), (0, 1_600)], 0, 900, 0);
        // After a long pause the newest sample counts nearly alone.
        check(&[(0, 800), (3_000_000, 1_600)], 3_000_000, 1_600, 0);
        let ten: Vec<_> = (1..=10).map(|n| (0, n * 100)).collect();
        check(&ten, 300_000, 510, 1_000);
        check(&ten, 300_001, 510, 0);
        let mut many: Vec<_> = (0..128).map(|_| (0, 100)).collect();
        many.extend([(0, 9_000); 6]);
        check(&many, 0, 5_005, 100);
        many.push((0, 9_000));
        check(&many, 0, 5_505, 9_000);
    }

    proptest! {
        #[test]
        fn p95_is_that_of_a_sorted_list(times in prop::collection::vec(1u64..100_000, 0..300)) {
            let mut latency = Latency::default();
            for time in &times {
                latency.record(Timestamp::from_millis(5), Duration::from_millis(*time));
            }
            let mut last: Vec<_> = times.iter().rev().take(128).copied().collect();
            last.sort_unstable();
            let rank = (last.len() * 95).div_ceil(100);
            let expected = if last.len() < 10 { 0 } else { last[rank - 1] as u32 };
            prop_assert_eq!(latency.p95_millis(Timestamp::from_millis(5)), expected);
        }
    }
}
