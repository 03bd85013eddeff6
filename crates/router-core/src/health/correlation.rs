//! When trouble is not one deployment's own: several that share something (an address, a credential) fail at once.
//!
//! The rule: two different members fail within 60 s of each other, and no member has answered well in between. One model's
//! own trouble never spreads: as long as any other member answers, there is nothing to tell about the rest. It is over with
//! the first good answer to a call begun since.

use std::time::Duration;

use smallvec::SmallVec;

use crate::time::Timestamp;

/// Failures farther apart are two troubles.
const AT_ONCE: Duration = Duration::from_secs(60);

/// So many members make it everybody's trouble.
const SEVERAL: usize = 2;

/// What is known of the members' common trouble. Failures are those that take a member out of rotation.
#[derive(Clone, Debug, Default)]
pub struct Correlation {
    /// Members that failed, with when, since anybody answered.
    failed: SmallVec<[(u16, Timestamp); 4]>,
    /// Everybody is suspected since then.
    spread: Option<Timestamp>,
}

impl Correlation {
    /// A member failed. Whether all the others are to be suspected from now on.
    pub fn failed(&mut self, now: Timestamp, member: u16) -> bool {
        self.failed.retain(|(other, at)| *other != member && now.since(*at) <= AT_ONCE);
        self.failed.push((member, now));
        let spreads = self.spread.is_none() && self.failed.len() >= SEVERAL;
        if spreads {
            self.spread = Some(now);
        }
        spreads
    }

    /// A member answered well a call begun then. Whether the others are to be given another chance now.
    pub fn answered(&mut self, began: Timestamp) -> bool {
        match self.spread {
            // The answer to a call from before says nothing about now.
            Some(since) if began < since => false,
            Some(_) => {
                *self = Self::default();
                true
            }
            None => {
                self.failed.clear();
                false
            }
        }
    }

    /// Whether an answer would make a difference.
    pub fn is_watching(&self) -> bool {
        self.spread.is_some() || !self.failed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Script words: `xN` member N fails, `.` somebody answers a call just begun, `oS` a call begun S seconds ago, `+S` S
    /// seconds pass. Expected, a letter for each failure and answer: `S` the others are suspected, `H` they get another
    /// chance, `-` nothing.
    fn check(script: &str, expected: &str) {
        let (mut correlation, mut now) = (Correlation::default(), Timestamp::from_millis(1_795_348_200_000));
        let mut said = String::new();
        for word in script.split_whitespace() {
            let number = || word[1..].parse::<u64>().unwrap();
            match &word[..1] {
                "+" => now = now + Duration::from_secs(number()),
                "x" => said.push(if correlation.failed(now, number() as u16) { 'S' } else { '-' }),
                "." => said.push(if correlation.answered(now) { 'H' } else { '-' }),
                _ => {
                    let began = now - Duration::from_secs(number());
                    said.push(if correlation.answered(began) { 'H' } else { '-' });
                }
            }
        }
        assert_eq!(said, expected, "{script}");
    }

    #[test]
    fn scripts() {
        check("x1 x2 x3 x4 . .", "-S--H-");
        // One alone, however often, is its own trouble; so are two with an answer in between.
        check("x1 x1 +5 x1", "---");
        check("x1 . x2 . x1", "-----");
        check("x1 +61 x2 +59 x3", "--S");
        // Recovery is shown by calls begun since, once; then it all begins anew.
        check("x1 x2 +9 o10 o8 .", "-S-H-");
        check("x1 x2 . x1 x2", "-SH-S");
    }

    proptest! {
        /// Whatever happens: suspicion takes two members with no answer between, ends with one answer, and alternates.
        #[test]
        fn it_takes_two_and_silence(steps in prop::collection::vec((0u8..3, 0u16..4, 0u64..90), 1..200)) {
            let mut correlation = Correlation::default();
            let mut now = Timestamp::from_millis(1_795_348_200_000);
            let (mut since_answer, mut spread): (Vec<(u16, Timestamp)>, bool) = (vec![], false);
            for (what, member, secs) in steps {
                match what {
                    0 => now = now + Duration::from_secs(secs),
                    1 => {
                        let others = since_answer.iter().any(|(m, at)| *m != member && now.since(*at) <= AT_ONCE);
                        let said = correlation.failed(now, member);
                        prop_assert_eq!(said, others && !spread);
                        spread |= said;
                        since_answer.retain(|(m, _)| *m != member);
                        since_answer.push((member, now));
                    }
                    _ => {
                        prop_assert_eq!(correlation.answered(now), spread);
                        (spread, since_answer) = (false, vec![]);
                    }
                }
                prop_assert!(correlation.is_watching() || !spread);
            }
        }
    }
}
