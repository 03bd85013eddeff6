//! Requests and failures of the last while: exact counts in a ring of buckets that slides, never tumbles.

use std::time::Duration;

use crate::time::Timestamp;

/// Buckets of a window; the default of 300 s has buckets of 10 s.
const BUCKETS: usize = 30;

/// What a window has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests with a verdict on health.
    pub requests: u32,
    /// Of those, failures.
    pub failures: u32,
}

/// A sliding window. It covers the bucket of now and the 29 before it: with 300 s, between 290 and 300 s. What leaves is
/// subtracted, so the counts are exact at any traffic.
#[derive(Clone, Debug)]
pub struct Window {
    bucket_micros: u64,
    /// Number of the newest bucket since the epoch.
    newest: u64,
    ring: [Counts; BUCKETS],
    total: Counts,
}

impl Window {
    /// An empty window of this length.
    pub fn new(length: Duration) -> Self {
        let micros = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        Self {
            bucket_micros: (micros / BUCKETS as u64).max(1),
            newest: 0,
            ring: [Counts::default(); BUCKETS],
            total: Counts::default(),
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.ring = [Counts::default(); BUCKETS];
        self.total = Counts::default();
    }

    /// Counts one request. A time before the newest bucket counts as now: threads may be a little apart.
    pub fn record(&mut self, now: Timestamp, failed: bool) {
        self.slide(now);
        let at = (self.newest % BUCKETS as u64) as usize;
        for counts in [&mut self.ring[at], &mut self.total] {
            counts.requests = counts.requests.saturating_add(1);
            counts.failures = counts.failures.saturating_add(u32::from(failed));
        }
    }

    /// What the window holds at this moment.
    pub fn counts(&mut self, now: Timestamp) -> Counts {
        self.slide(now);
        self.total
    }

    fn slide(&mut self, now: Timestamp) {
        let bucket = now.as_micros() / self.bucket_micros;
        if bucket <= self.newest {
            return;
        }
        if bucket - self.newest >= BUCKETS as u64 {
            self.clear();
        } else {
            for gone in self.newest + 1..=bucket {
                let counts = std::mem::take(&mut self.ring[(gone % BUCKETS as u64) as usize]);
                self.total.requests = self.total.requests.saturating_sub(counts.requests);
                self.total.failures = self.total.failures.saturating_sub(counts.failures);
            }
        }
        self.newest = bucket;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a model that keeps every request.
        #[test]
        fn counts_are_those_of_a_log(
            length_secs in 1u64..400,
            steps in prop::collection::vec((0u64..40_000, any::<bool>(), any::<bool>()), 1..300),
        ) {
            let mut window = Window::new(Duration::from_secs(length_secs));
            let mut log: VecDeque<(u64, bool)> = VecDeque::new();
            let bucket_micros = length_secs * 1_000_000 / 30;
            let mut now = Timestamp::from_millis(1_795_348_200_000);
            for (step_ms, record, failed) in steps {
                now = now + Duration::from_millis(step_ms);
                let bucket = now.as_micros() / bucket_micros;
                if record {
                    window.record(now, failed);
                    log.push_back((bucket, failed));
                }
                while log.front().is_some_and(|(b, _)| b + 30 <= bucket) {
                    log.pop_front();
                }
                let failures = log.iter().filter(|(_, failed)| *failed).count() as u32;
                prop_assert_eq!(window.counts(now), Counts { requests: log.len() as u32, failures });
            }
        }
    }

    #[test]
    fn a_thread_that_is_late_counts_as_now() {
        let mut window = Window::new(Duration::from_secs(300));
        window.record(Timestamp::from_millis(100_000), true);
        window.record(Timestamp::from_millis(80_000), false);
        let counts = window.counts(Timestamp::from_millis(390_000 - 1));
        assert_eq!(counts, Counts { requests: 2, failures: 1 });
        assert_eq!(window.counts(Timestamp::from_millis(400_000)), Counts::default());
    }
}
