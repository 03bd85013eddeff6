//! A sum over a sliding window, in slices: what a budget that forgets is kept in.

use crate::time::Timestamp;

/// Slices of a window.
const SLICES: usize = 10;

/// What was added within the last ten slices, the running one included.
#[derive(Clone, Debug)]
pub(super) struct WindowSum {
    slice_micros: u64,
    newest: u64,
    ring: [i128; SLICES],
    sum: i128,
}

impl WindowSum {
    /// Nothing added yet. The window is ten of these slices long.
    pub(super) const fn new(slice_micros: u64) -> Self {
        Self { slice_micros, newest: 0, ring: [0; SLICES], sum: 0 }
    }

    /// Adds, or takes away, now.
    pub(super) fn add(&mut self, now: Timestamp, amount: i128) {
        self.slide(now);
        let slice = &mut self.ring[(self.newest % SLICES as u64) as usize];
        *slice = slice.saturating_add(amount);
        self.sum = self.sum.saturating_add(amount);
    }

    /// The sum now.
    pub(super) fn sum(&mut self, now: Timestamp) -> i128 {
        self.slide(now);
        self.sum
    }

    fn slide(&mut self, now: Timestamp) {
        let slice = now.as_micros() / self.slice_micros;
        if slice <= self.newest {
            return;
        }
        if slice - self.newest >= SLICES as u64 {
            self.ring = [0; SLICES];
            self.sum = 0;
        } else {
            for gone in self.newest + 1..=slice {
                self.sum -= std::mem::take(&mut self.ring[(gone % SLICES as u64) as usize]);
            }
        }
        self.newest = slice;
    }
}
