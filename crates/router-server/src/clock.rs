//! The only `now()`: wall time at start plus monotonic time since, so a clock that is set back never makes time run backwards.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use router_core::time::Timestamp;

/// A source of timestamps for the life of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    wall_at_start: Timestamp,
}

impl Clock {
    /// Reads the wall clock once.
    pub(crate) fn new() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { start: Instant::now(), wall_at_start: Timestamp::ZERO + wall }
    }

    /// Now.
    pub(crate) fn now(&self) -> Timestamp {
        self.wall_at_start + self.start.elapsed()
    }

    /// The runtime's instant for a timestamp, for timers.
    pub(crate) fn instant(&self, at: Timestamp) -> tokio::time::Instant {
        (self.start + at.since(self.wall_at_start)).into()
    }
}
