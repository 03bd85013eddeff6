//! The breaker as it is described, written as plainly as possible: every result that can still matter is kept, one by one.

use std::collections::VecDeque;
use std::time::Duration;

use router_core::health::BreakerGauge;
use router_core::time::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Closed,
    Open { until: Timestamp },
    HalfOpen { good: u32, ticket_out: bool },
    Ramp { step: usize, since: Timestamp },
}

/// How a call was let in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Entry {
    Counted { epoch: u32 },
    Ticket { epoch: u32 },
    Ignored,
}

#[derive(Clone, Debug)]
pub(crate) struct Model {
    phase: Phase,
    /// Results since it closed, with their buckets; what has left the window is taken off at the front.
    window: VecDeque<(u64, bool)>,
    /// Failures among them.
    failures: u32,
    /// Results of this step of the ramp.
    step: Vec<bool>,
    /// The last five results since it last opened or closed, whatever came between.
    last: VecDeque<bool>,
    /// Goes up with each opening.
    epoch: u32,
    openings: u32,
    closed_since: Timestamp,
}

const WINDOW_BUCKETS: u64 = 30;
const BUCKET_MICROS: u64 = 10_000_000;

fn bucket_of(at: Timestamp) -> u64 {
    at.as_micros() / BUCKET_MICROS
}

impl Model {
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Closed,
            window: VecDeque::new(),
            failures: 0,
            step: Vec::new(),
            last: VecDeque::new(),
            epoch: 0,
            openings: 0,
            closed_since: Timestamp::ZERO,
        }
    }

    pub(crate) fn gauge(&mut self, now: Timestamp) -> BreakerGauge {
        self.pass_time(now);
        match self.phase {
            Phase::Closed => BreakerGauge::Closed,
            Phase::Open { .. } => BreakerGauge::Open,
            Phase::HalfOpen { .. } | Phase::Ramp { .. } => BreakerGauge::Returning,
        }
    }

    /// The step of the ramp it is on.
    pub(crate) fn step(&self) -> Option<usize> {
        match self.phase {
            Phase::Ramp { step, .. } => Some(step),
            _ => None,
        }
    }

    /// Requests and failures in the window.
    pub(crate) fn counts(&mut self, now: Timestamp) -> (u32, u32) {
        while let Some((_, failed)) =
            self.window.pop_front_if(|(bucket, _)| *bucket + WINDOW_BUCKETS <= bucket_of(now))
        {
            self.failures -= u32::from(failed);
        }
        (self.window.len() as u32, self.failures)
    }

    pub(crate) fn enter(&mut self, now: Timestamp) -> Entry {
        self.pass_time(now);
        match &mut self.phase {
            Phase::Closed | Phase::Ramp { .. } => Entry::Counted { epoch: self.epoch },
            Phase::HalfOpen { ticket_out: out @ false, .. } => {
                *out = true;
                Entry::Ticket { epoch: self.epoch }
            }
            Phase::HalfOpen { .. } | Phase::Open { .. } => Entry::Ignored,
        }
    }

    pub(crate) fn leave(&mut self, now: Timestamp, entry: Entry, failed: bool) {
        self.pass_time(now);
        let (Entry::Counted { epoch } | Entry::Ticket { epoch }) = entry else { return };
        if epoch != self.epoch {
            return;
        }
        self.last.push_back(failed);
        if self.last.len() > 5 {
            self.last.pop_front();
        }
        match self.phase {
            Phase::Closed => {
                self.window.push_back((bucket_of(now), failed));
                self.failures += u32::from(failed);
                let (requests, failures) = self.counts(now);
                let sick =
                    requests >= 20 && failures >= 5 && f64::from(failures) > 0.05 * f64::from(requests);
                if sick || self.five_in_a_row() {
                    self.open(now);
                }
            }
            Phase::HalfOpen { .. } if failed => self.open(now),
            Phase::HalfOpen { good, .. } if good + 1 == 3 => self.to(Phase::Ramp { step: 0, since: now }),
            Phase::HalfOpen { good, .. } => {
                self.phase = Phase::HalfOpen { good: good + 1, ticket_out: false }
            }
            Phase::Ramp { .. } => {
                self.step.push(failed);
                let (requests, failures) = self.of_step();
                let judged = requests >= 5 || self.openings > 1;
                if (judged && failures * 5 > requests) || self.five_in_a_row() {
                    self.open(now);
                }
            }
            Phase::Open { .. } => {}
        }
        self.pass_time(now);
    }

    fn of_step(&self) -> (usize, usize) {
        (self.step.len(), self.step.iter().filter(|failed| **failed).count())
    }

    fn five_in_a_row(&self) -> bool {
        self.last.len() == 5 && self.last.iter().all(|failed| *failed)
    }

    fn forget(&mut self) {
        self.window.clear();
        self.last.clear();
        self.failures = 0;
    }

    fn open(&mut self, now: Timestamp) {
        if self.phase == Phase::Closed && now.since(self.closed_since) >= Duration::from_secs(300) {
            self.openings = 0;
        }
        let cooldown = Duration::from_secs(30 << self.openings.min(10)).min(Duration::from_secs(600));
        self.openings += 1;
        self.epoch += 1;
        self.forget();
        self.to(Phase::Open { until: now + cooldown });
    }

    fn to(&mut self, phase: Phase) {
        self.step.clear();
        self.phase = phase;
    }

    fn pass_time(&mut self, now: Timestamp) {
        match self.phase {
            Phase::Open { until } if now >= until => self.to(Phase::HalfOpen { good: 0, ticket_out: false }),
            Phase::Ramp { step, since } => {
                let (requests, failures) = self.of_step();
                let good = requests >= 5 && failures * 5 <= requests;
                if good && now.since(since) >= Duration::from_secs(10) {
                    if step == 2 {
                        self.forget();
                        self.closed_since = now;
                        self.to(Phase::Closed);
                    } else {
                        self.to(Phase::Ramp { step: step + 1, since: now });
                    }
                }
            }
            _ => {}
        }
    }
}
