//! Who waits for one deployment, counted, so that there is an end to it: those with a place booked under a rate, each until
//! the place is used or given back, and those who found every place in flight taken and ask again.
//!
//! The latter do not say when they stop asking (another deployment answered, the client left, the deadline came), so each is
//! remembered until it has not asked for [`PATIENCE`]: the count may be too high for a moment, and never too low.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::time::Timestamp;

/// Who waits asks again within a second (see `failover`'s `poll`); twice that is long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many may wait when the configuration does not say: at a second each, more than a quarter of an hour of one place in
/// flight; and some 100 KB of memory of those that wait.
pub const DEFAULT_QUEUE: u32 = 1_000;

/// Those who wait.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    most: u32,
    booked: u32,
    /// When each last asked in vain, by the request's seed.
    asking: BTreeMap<u64, Timestamp>,
}

impl Queue {
    /// Nobody waits yet.
    pub(crate) fn new(most: Option<u32>) -> Self {
        Self { most: most.unwrap_or(DEFAULT_QUEUE), booked: 0, asking: BTreeMap::new() }
    }

    /// Another bound from now on. Who waits already goes on.
    pub(crate) fn reconfigure(&mut self, most: Option<u32>) {
        self.most = most.unwrap_or(DEFAULT_QUEUE);
    }

    /// One more with a place booked, if there is room.
    pub(crate) fn book(&mut self, now: Timestamp) -> bool {
        let room = self.has_room(now);
        self.booked += u32::from(room);
        room
    }

    /// A place booked is used, or not wanted any more.
    pub(crate) const fn unbook(&mut self) {
        self.booked = self.booked.saturating_sub(1);
    }

    /// This request asked in vain and will ask again, if there is room for it to wait.
    pub(crate) fn ask(&mut self, now: Timestamp, request: u64) -> bool {
        let waits = self.asking.contains_key(&request) || self.has_room(now);
        if waits {
            self.asking.insert(request, now);
        }
        waits
    }

    /// This request waits no more.
    pub(crate) fn leave(&mut self, request: u64) {
        // Most of the time nobody waits.
        if !self.asking.is_empty() {
            self.asking.remove(&request);
        }
    }

    /// Those who have given up are forgotten only when their place is wanted.
    fn has_room(&mut self, now: Timestamp) -> bool {
        if self.waiting() >= self.most {
            self.asking.retain(|_, asked| now.since(*asked) <= PATIENCE);
        }
        self.waiting() < self.most
    }

    fn waiting(&self) -> u32 {
        u32::try_from(self.asking.len()).unwrap_or(u32::MAX).saturating_add(self.booked)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Script words: `+MS` advance, `b` book, `u` unbook, `aN` request N asks in vain, `lN` it leaves. Answers: `in`, `out`.
    fn check(most: u32, script: &str, expected: &str) {
        let mut queue = Queue::new(Some(most));
        let (mut now, mut said) = (Timestamp::from_millis(1_000_000), Vec::new());
        for word in script.split_whitespace() {
            let (op, rest) = word.split_at(1);
            let number = || rest.parse::<u64>().unwrap();
            let waits = match op {
                "+" => {
                    now = now + Duration::from_millis(number());
                    continue;
                }
                "u" => {
                    queue.unbook();
                    continue;
                }
                "l" => {
                    queue.leave(number());
                    continue;
                }
                "b" => queue.book(now),
                _ => queue.ask(now, number()),
            };
            said.push(if waits { "in" } else { "out" });
            assert!(queue.waiting() <= most, "{script}");
        }
        assert_eq!(said.join(" "), expected, "{script}");
    }

    #[test]
    fn there_is_an_end_to_waiting() {
        check(2, "b b b u b", "in in out in");
        check(2, "a1 a2 a3 a1 a2 l1 a3", "in in out in in in");
        check(2, "a1 b a2 u a2", "in in out in");
        check(0, "b a1", "out out");
        // Who does not ask any more is forgotten after a while.
        check(1, "a1 +2000 a2 +1 a2 a1", "in out in out");
        check(1, "a1 +1900 a1 +1900 a2 a1", "in in out in");
    }

    proptest! {
        #[test]
        fn never_more_than_may_wait(most in 0_u32..5, steps in prop::collection::vec((0_u8..4, 0_u64..9, 0_u64..900), 0..80)) {
            let mut queue = Queue::new(Some(most));
            let mut now = Timestamp::from_millis(1_000_000);
            let (mut booked, mut asked) = (0_u32, BTreeMap::new());
            for (what, who, step_ms) in steps {
                now = now + Duration::from_millis(step_ms);
                match what {
                    0 => booked += u32::from(queue.book(now)),
                    1 if booked > 0 => {
                        queue.unbook();
                        booked -= 1;
                    }
                    2 => {
                        if queue.ask(now, who) {
                            asked.insert(who, now);
                        }
                    }
                    _ => {
                        queue.leave(who);
                        asked.remove(&who);
                    }
                }
                let patient = asked.values().filter(|at| now.since(**at) <= PATIENCE).count();
                prop_assert!(booked + u32::try_from(patient).unwrap() <= most, "those who wait for certain");
                prop_assert!(queue.waiting() <= most);
            }
        }
    }
}
