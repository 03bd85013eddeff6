//! Bytes and time of a stream: what is on its way to the client, and how long nothing has come.

use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, Sleep, sleep_until};

use super::Limits;
use crate::transport::ByteStream;

/// Bytes on their way to the client: one slice uncopied, several joined.
#[derive(Default)]
pub(super) struct Outgoing {
    one: Bytes,
    joined: BytesMut,
}

impl Outgoing {
    pub(super) fn len(&self) -> usize {
        self.one.len() + self.joined.len()
    }

    pub(super) fn push(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        if self.len() == 0 {
            self.one = bytes;
            return;
        }
        self.joined.extend_from_slice(&std::mem::take(&mut self.one));
        self.joined.extend_from_slice(&bytes);
    }

    pub(super) fn take(&mut self) -> Bytes {
        if self.joined.is_empty() { std::mem::take(&mut self.one) } else { self.joined.split().freeze() }
    }
}

/// So many times the idle limit a stream may go on after something visible without its model writing anything more. A
/// model that reasons unseen between two parts of its answer, or whose host gathers the arguments of a call before it sends
/// them, is silent for longer than one that has died; the limit's default of 60 s makes it 3 minutes.
const TRICKLE_IDLES: u32 = 3;

/// How long the terminal event, and the usage before it, are waited for when the answer has said why it ended.
const END_PATIENCE: Duration = Duration::from_secs(5);

/// What is being waited for, and too long when the time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// The first byte; a ping is one.
    FirstByte,
    /// Any byte.
    Byte,
    /// Something the client can see; bytes come.
    Show,
    /// Something more that the model writes; bytes come.
    More,
    /// The terminal event.
    End,
}

/// What is known of a stream when a chunk of it has been read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heard {
    /// The model wrote something in it: text, reasoning, a part of a tool call; shown or not.
    pub(super) progress: bool,
    /// Something was visible, in it or before.
    pub(super) visible: bool,
    /// The answer has said why it ended.
    pub(super) whole: bool,
}

/// When a stream counts as silent.
///
/// 1. Until its first byte: after the first-byte limit. A ping is a byte.
/// 2. From then on: when no byte has come for the idle limit.
/// 3. Bytes alone do not keep a stream alive for ever. Before anything is visible they do until the limit of a whole
///    answer, because a healthy model may reason unseen for minutes and only ping. After that they do for
///    [`TRICKLE_IDLES`] idle limits from the last thing the model wrote: pings, empty deltas and events that come a byte at
///    a time are no progress.
/// 4. When the answer has said why it ended, its end is waited for no longer than [`END_PATIENCE`].
#[derive(Clone, Copy, Debug)]
struct Rule {
    idle: Duration,
    show_by: Instant,
    /// When the model last wrote something.
    progress: Instant,
    whole_since: Option<Instant>,
    /// When the last byte came.
    heard_at: Instant,
    /// Until when what is waited for.
    due: (Instant, Awaited),
}

impl Rule {
    fn new(started: Instant, limits: &Limits) -> Self {
        Self {
            idle: limits.idle,
            show_by: started + limits.show.max(limits.first_byte),
            progress: started,
            whole_since: None,
            heard_at: started,
            due: (started + limits.first_byte, Awaited::FirstByte),
        }
    }

    fn heard(&mut self, what: Heard, now: Instant) {
        self.heard_at = now;
        if what.progress {
            self.progress = now;
        }
        let bound = match what {
            Heard { whole: true, .. } => {
                let since = *self.whole_since.get_or_insert(now);
                (since + self.idle.min(END_PATIENCE), Awaited::End)
            }
            Heard { visible: true, .. } => (self.progress + self.idle * TRICKLE_IDLES, Awaited::More),
            Heard { visible: false, .. } => (self.show_by, Awaited::Show),
        };
        let idle = (now + self.idle, Awaited::Byte);
        self.due = if bound.0 < idle.0 { bound } else { idle };
    }

    /// Somebody reads again: silence that nobody listened to, because the client was slow, is none. Time that was over when
    /// the last byte came was over for somebody who listened: a trickle gets no more of it.
    fn listen(&mut self, now: Instant) {
        if now >= self.due.0 && self.heard_at < self.due.0 {
            self.progress = now;
            self.due = (now + self.idle, Awaited::Byte);
        }
    }
}

/// Silence, measured with one timer that is set again only when it rings: noting a chunk costs one reading of the clock.
pub(super) struct Silence {
    timer: Pin<Box<Sleep>>,
    rule: Rule,
}

impl Silence {
    pub(super) fn new(started: Instant, limits: &Limits) -> Self {
        let rule = Rule::new(started, limits);
        Self { timer: Box::pin(sleep_until(rule.due.0)), rule }
    }

    pub(super) fn heard(&mut self, what: Heard) {
        self.rule.heard(what, Instant::now());
        // A timer that would ring later than that must be set at once.
        if self.timer.deadline() > self.rule.due.0 {
            self.timer.as_mut().reset(self.rule.due.0);
        }
    }

    pub(super) fn listen(&mut self) {
        self.rule.listen(Instant::now());
    }

    /// What was waited for too long, once it was.
    pub(super) async fn passed(&mut self) -> Awaited {
        loop {
            self.timer.as_mut().await;
            let (until, awaited) = self.rule.due;
            if Instant::now() >= until {
                return awaited;
            }
            self.timer.as_mut().reset(until);
        }
    }
}

/// Reads what follows a whole answer, which is normally nothing: only a body read to its end gives its connection back to
/// the pool. Bounded, so that a provider that goes on costs no more than a moment.
pub(super) fn drain(mut source: ByteStream) {
    const PATIENCE: Duration = Duration::from_secs(2);
    const MAX_CHUNKS: usize = 64;
    if matches!(source.next().now_or_never(), Some(None | Some(Err(_)))) {
        return;
    }
    let rest = async move {
        for _ in 0..MAX_CHUNKS {
            if !matches!(source.next().await, Some(Ok(_))) {
                break;
            }
        }
    };
    tokio::spawn(async move {
        let _ = tokio::time::timeout(PATIENCE, rest).await;
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A script of what is heard and when, in seconds: `.` a ping, `v` something visible, `w` something written unseen,
    /// `e` why the answer ended; `|` somebody reads again after a while; `!` a ping just after the time is over. First byte within 30 s, idle 60 s, shown within 600.
    #[track_caller]
    fn check(script: &[(u64, char)], expected: (u64, Awaited)) {
        let secs = Duration::from_secs;
        let limits = Limits {
            connect: secs(3),
            first_byte: secs(30),
            answer: secs(600),
            show: secs(600),
            idle: secs(60),
        };
        let started = Instant::now();
        let mut rule = Rule::new(started, &limits);
        let mut heard = Heard::default();
        for (at, what) in script {
            let now = started + secs(*at);
            heard.progress = matches!(what, 'v' | 'w');
            heard.visible |= *what == 'v';
            heard.whole |= *what == 'e';
            match what {
                '|' => rule.listen(now),
                _ => {
                    assert_eq!(rule.due.0 <= now, *what == '!', "{what} at {at}");
                    rule.heard(heard, now);
                }
            }
        }
        assert_eq!(((rule.due.0 - started).as_secs(), rule.due.1), expected, "{script:?}");
    }

    #[test]
    fn silence() {
        check(&[], (30, Awaited::FirstByte));
        check(&[(5, '.')], (65, Awaited::Byte));
        check(&[(5, 'v')], (65, Awaited::Byte));
        // A model that reasons unseen for minutes is healthy as long as it pings; for the time of an answer.
        let pings: Vec<_> = (1..60).map(|n| (n * 10, '.')).collect();
        check(&pings[..12], (180, Awaited::Byte));
        check(&pings, (600, Awaited::Show));
        // After something visible, pings alone are a trickle.
        let trickle: Vec<_> = [(5, 'v')].into_iter().chain((1..18).map(|n| (5 + n * 10, '.'))).collect();
        check(&trickle[..10], (155, Awaited::Byte));
        check(&trickle, (185, Awaited::More));
        // ... whenever the last of them comes.
        let late: Vec<_> = trickle.iter().copied().chain([(185, '!'), (185, '|')]).collect();
        check(&late, (185, Awaited::More));
        // What the model writes is progress, seen or not.
        check(&[(5, 'v'), (60, '.'), (115, 'w'), (170, '.')], (230, Awaited::Byte));
        // The end is not waited for long, whatever else comes.
        check(&[(5, 'v'), (6, 'e')], (11, Awaited::End));
        check(&[(5, 'v'), (6, 'e'), (9, '.')], (11, Awaited::End));
        // A slow client.
        check(&[(5, 'v'), (300, '|')], (360, Awaited::Byte));
        check(&[(5, 'v'), (300, '|'), (301, '.')], (361, Awaited::Byte));
    }
}
