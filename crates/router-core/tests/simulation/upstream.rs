//! Scripted upstreams: what a call to a deployment leads to, and when.

use std::time::Duration;

use router_core::attempt::FailureKind;
use router_core::failover::{AttemptLimits, Seen};
use router_core::time::Timestamp;

/// How a deployment behaves for a while.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    /// Answers.
    Good,
    /// So many percent of its calls fail like this before anything is visible; the others are good.
    Failing(u32, FailureKind),
    /// Says nothing.
    Silent,
    /// Says that its limit is reached, and when to come back.
    Limiting(Option<Duration>),
    /// So many percent of its streams are cut after something was visible.
    Cutting(u32),
    /// So many percent of its streams fall silent after something was visible.
    Stalling(u32),
}

/// What the server notices of an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Notice {
    FirstByte,
    Visible(Seen),
    Ended,
    Failed(FailureKind, Option<Duration>),
}

/// A deployment's behaviour over time, and how fast it is.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    /// From when on; ascending, the first from the beginning.
    pub(crate) modes: Vec<(Timestamp, Mode)>,
    pub(crate) first_byte_ms: u64,
    pub(crate) total_ms: u64,
    /// Nano-USD per token.
    pub(crate) price: i64,
    pub(crate) prefill: bool,
    /// Its credentials: how each is refused, if it is.
    pub(crate) credentials: Vec<Option<FailureKind>>,
}

impl Upstream {
    pub(crate) fn good(first_byte_ms: u64, total_ms: u64) -> Self {
        Self {
            modes: vec![(Timestamp::ZERO, Mode::Good)],
            first_byte_ms,
            total_ms,
            price: 10,
            prefill: false,
            credentials: vec![None],
        }
    }

    /// What will be noticed of a call made with this credential, if it is refused.
    pub(crate) fn refusal(
        &self,
        now: Timestamp,
        limits: &AttemptLimits,
        credential: usize,
    ) -> Option<Vec<(Timestamp, Notice)>> {
        let kind = self.credentials[credential]?;
        let at = now + Duration::from_millis(self.first_byte_ms);
        let notice = if at > limits.answer_by {
            (limits.answer_by, Notice::Failed(FailureKind::Timeout, None))
        } else {
            (at, Notice::Failed(kind, None))
        };
        Some(vec![notice])
    }

    fn mode(&self, now: Timestamp) -> Mode {
        self.modes.iter().rev().find(|(from, _)| *from <= now).map_or(Mode::Good, |(_, mode)| *mode)
    }

    /// Everything that will be noticed of a call sent now, the limits enforced as the server does.
    pub(crate) fn call(
        &self,
        now: Timestamp,
        stream: bool,
        limits: &AttemptLimits,
        rng: &mut fastrand::Rng,
    ) -> Vec<(Timestamp, Notice)> {
        let after = |ms: u64, rng: &mut fastrand::Rng| now + Duration::from_millis(ms / 2 + rng.u64(0..=ms));
        let first = after(self.first_byte_ms, rng);
        let end = first.max(after(self.total_ms, rng));
        let struck = rng.u32(0..100);
        let mut notices = match self.mode(now) {
            Mode::Failing(percent, kind) if struck < percent => vec![(first, Notice::Failed(kind, None))],
            Mode::Silent => vec![],
            Mode::Limiting(wait) => vec![(first, Notice::Failed(FailureKind::RateLimited, wait))],
            Mode::Cutting(percent) if struck < percent && stream => vec![
                (first, Notice::FirstByte),
                (first, Notice::Visible(Seen::Text)),
                (end, Notice::Failed(FailureKind::Truncated, None)),
            ],
            Mode::Stalling(percent) if struck < percent && stream => vec![
                (first, Notice::FirstByte),
                (first, Notice::Visible(Seen::Text)),
                (first + limits.idle, Notice::Failed(FailureKind::Stalled, None)),
            ],
            _ if stream => vec![
                (first, Notice::FirstByte),
                (first, Notice::Visible(Seen::Reasoning)),
                (end, Notice::Visible(Seen::Text)),
                (end, Notice::Ended),
            ],
            _ => vec![(end, Notice::FirstByte), (end, Notice::Ended)],
        };
        let answered_by = notices.first().map(|(at, _)| *at);
        if answered_by.is_none_or(|at| at > limits.answer_by) {
            notices = vec![(limits.answer_by, Notice::Failed(FailureKind::Timeout, None))];
        }
        notices
    }
}
