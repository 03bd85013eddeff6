//! Peak-EWMA of a latency: up at once with a slow answer, down by degrees. What `lowest_latency` compares.
//!
//! Finagle's formula, as in tower's `PeakEwma`: a sample above the estimate replaces it; one below moves it by
//! `1 - exp(-dt / 10 s)` of the way, `dt` the time since the last change. Read later, the estimate has moved towards zero
//! by as much: a deployment passed over for one slow answer is tried again.

use crate::time::Timestamp;

/// Finagle's decay time.
const DECAY_SECS: f64 = 10.0;

/// The estimate and when it last changed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peak {
    at: Timestamp,
    millis: f64,
    sampled: bool,
}

impl Peak {
    /// Takes a sample.
    pub(super) fn record(&mut self, now: Timestamp, millis: u32) {
        let sample = f64::from(millis.max(1));
        let kept = self.kept(now);
        self.millis = if sample >= self.millis { sample } else { self.millis * kept + sample * (1.0 - kept) };
        self.at = self.at.max(now);
        self.sampled = true;
    }

    /// Milliseconds, at least 1; 0: no sample yet.
    pub(super) fn millis(&self, now: Timestamp) -> u32 {
        // In range: never above a sample.
        if self.sampled { ((self.millis * self.kept(now)) as u32).max(1) } else { 0 }
    }

    fn kept(&self, now: Timestamp) -> f64 {
        libm::exp(-now.since(self.at).as_secs_f64() / DECAY_SECS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(at_ms, sample_ms)`, then the estimate at a time.
    fn check(samples: &[(u64, u32)], at_ms: u64, expected: u32) {
        let mut peak = Peak::default();
        for (at, millis) in samples {
            peak.record(Timestamp::from_millis(*at), *millis);
        }
        assert_eq!(peak.millis(Timestamp::from_millis(at_ms)), expected, "{samples:?}");
    }

    #[test]
    fn up_at_once_and_down_by_degrees() {
        check(&[], 0, 0);
        check(&[(0, 0)], 0, 1);
        check(&[(0, 100), (0, 900)], 0, 900);
        // Samples of the same moment have no weight against the peak; ten seconds later 1 - 1/e of the way is gone.
        check(&[(0, 900), (0, 100)], 0, 900);
        check(&[(0, 900), (10_000, 100)], 10_000, 394);
        check(&[(0, 900)], 10_000, 331);
        check(&[(0, 900)], 1_000_000, 1);
        check(&[(5_000, 900), (4_000, 100)], 5_000, 900);
    }
}
