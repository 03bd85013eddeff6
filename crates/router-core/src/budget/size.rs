//! How much to hold: the slices of a metered attempt, the cap of an unmetered one, the share a process draws at a time.
//! Functions of numbers.

use crate::money::Usd;

/// Output tokens that a metered attempt holds at first: a short answer needs no second slice.
pub const FIRST_SLICE_TOKENS: u64 = 512;

/// The longest slice. Each is twice as long as the one before, so that a long answer is not extended a hundred times.
pub const LONGEST_SLICE_TOKENS: u64 = 4_096;

/// A metered answer ends when less than this is held ahead of what was seen: what the provider has put out and we have
/// not read yet, a second or more of any current model.
pub const LEAD_TOKENS: u64 = 128;

/// An unmetered attempt is not worth making for fewer output tokens.
pub const FLOOR_TOKENS: u64 = 256;

/// ... of a deployment that thinks before it answers: the least that Anthropic's thinking budget may be.
pub const REASONING_FLOOR_TOKENS: u64 = 1_024;

/// How much longer than expected one answer in a hundred is: e^(2.33 x 0.6), for lengths that are log-normal with a
/// deviation of 0.6, as answers to prompts of one kind are on the public sets.
const P99_OVER_MEAN: u64 = 4;

/// ... with thinking in it, which varies over an order of magnitude.
const REASONING_P99_TOKENS: u64 = 8_192;

/// An attempt takes no more than this part of the money there is, unless it is expected to need more: others ask too.
const SHARE: u64 = 8;

/// A metered attempt's meter: how many output tokens it has money for, and how many may have been put out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meter {
    /// Tokens held for.
    held: u64,
    /// No more than this can come: the limit on the wire, over all answers.
    most: u64,
    /// At most so many were seen: a token is a byte or more.
    seen: u64,
    slice: u64,
}

/// What a meter says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Enough is held.
    Enough,
    /// So many tokens more should be held for; the answer may go on if they cannot be.
    Wanted(u64),
    /// So many tokens more must be held for, or the answer ends here.
    Needed(u64),
}

impl Meter {
    /// A meter of an attempt that can put out `most` tokens.
    pub fn new(most: u64) -> Self {
        Self { held: FIRST_SLICE_TOKENS.min(most), most, seen: 0, slice: FIRST_SLICE_TOKENS }
    }

    /// A meter of an attempt that holds for `held` tokens already.
    pub fn holding(held: u64, most: u64) -> Self {
        Self { held: held.min(most), ..Self::new(most) }
    }

    /// Tokens held for.
    pub const fn held(&self) -> u64 {
        self.held
    }

    /// So many more may have come.
    pub fn saw(&mut self, tokens: u64) -> Reading {
        self.seen = self.seen.saturating_add(tokens);
        let ahead = self.held.saturating_sub(self.seen);
        if self.held >= self.most || ahead >= self.slice / 2 {
            return Reading::Enough;
        }
        let next = self.slice.saturating_mul(2).min(LONGEST_SLICE_TOKENS);
        let more = self.seen.saturating_add(next).min(self.most).saturating_sub(self.held);
        if ahead >= LEAD_TOKENS { Reading::Wanted(more) } else { Reading::Needed(more) }
    }

    /// So many more are held for.
    pub fn extend(&mut self, tokens: u64) {
        self.held = self.held.saturating_add(tokens);
        self.slice = self.slice.saturating_mul(2).min(LONGEST_SLICE_TOKENS);
    }
}

/// What an unmetered attempt asks money for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    /// Output tokens worth asking for at once.
    pub wanted: u64,
    /// Fewer are not worth the call.
    pub least: u64,
}

/// The cap of an unmetered attempt (DESIGN D8): the smaller of what the client and the deployment allow (`most`), and the
/// larger of what one answer in a hundred needs and an eighth of what the money left buys (`affordable`).
pub fn cap(most: u64, affordable: u64, expected: u64, reasoning: bool) -> Cap {
    let (floor, thinking) =
        if reasoning { (REASONING_FLOOR_TOKENS, REASONING_P99_TOKENS) } else { (FLOOR_TOKENS, 0) };
    let p99 = expected.saturating_mul(P99_OVER_MEAN).saturating_add(thinking);
    Cap { wanted: most.min(p99.max(affordable / SHARE).max(floor)), least: most.min(floor) }
}

/// How much a process draws from a budget at once: what is needed now; beyond that what it has lately needed in
/// `pace`'s time four times over, but no more than an eighth of what is left there, because others draw from it too.
pub fn draw(left: Usd, needed: Usd, pace: Usd) -> Usd {
    let ahead = needed.times(4).max(pace.times(4)).min(Usd::from_nano(left.nano() / 8));
    ahead.max(needed).min(left).max(Usd::ZERO)
}

/// How much of what a process has drawn and not spent it gives back: what is more than eight times what it has lately
/// needed, down to four times that. All of it, when it needs nothing any more.
pub fn surplus(left: Usd, pace: Usd) -> Usd {
    if left <= pace.times(8) { Usd::ZERO } else { left - pace.times(4) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is seen, step by step, and what is read: `.` enough, `?n` wanted and granted, `!n` needed and granted.
    fn check(most: u64, seen: &[u64], expected: &str) {
        let mut meter = Meter::new(most);
        let mut read = String::new();
        for tokens in seen {
            let text = match meter.saw(*tokens) {
                Reading::Enough => ".".to_owned(),
                Reading::Wanted(more) => {
                    meter.extend(more);
                    format!("?{more}")
                }
                Reading::Needed(more) => {
                    meter.extend(more);
                    format!("!{more}")
                }
            };
            read.push_str(&text);
        }
        assert_eq!(read, expected, "{most} {seen:?}");
    }

    #[test]
    fn slices_are_held_ahead_and_double() {
        check(100, &[50, 50, 50], "...");
        check(100_000, &[200, 100, 300, 300], ".?812.?1624");
        check(100_000, &[512], "!1024");
        check(100_000, &[511, 1_400, 3_000], "!1023!2424!5048");
        check(600, &[300, 400], "?88.");
    }

    #[test]
    fn a_cap_leaves_money_for_others_and_room_for_an_answer() {
        for (most, affordable, expected, reasoning, wanted, least) in [
            (100, 1_000_000, 256, false, 100, 100),
            (100_000, 1_000_000, 256, false, 100_000, 256),
            (100_000, 80_000, 256, false, 10_000, 256),
            (100_000, 80, 256, false, 1_024, 256),
            (100_000, 80, 10, false, 256, 256),
            (100_000, 80, 256, true, 9_216, 1_024),
            (500, 0, 256, true, 500, 500),
        ] {
            assert_eq!(cap(most, affordable, expected, reasoning), Cap { wanted, least });
        }
    }

    #[test]
    fn a_process_draws_what_it_needs_and_a_little_ahead() {
        let usd = Usd::from_nano;
        for (left, needed, pace, expected) in [
            (8_000, 10, 0, 40),
            (8_000, 10, 100, 400),
            (8_000, 10, 1_000, 1_000),
            (80, 10, 1_000, 10),
            (8, 10, 1_000, 8),
            (0, 10, 10, 0),
            (80, 0, 0, 0),
        ] {
            assert_eq!(draw(usd(left), usd(needed), usd(pace)), usd(expected), "{left} {needed} {pace}");
        }
        for (left, pace, expected) in [(80, 10, 0), (81, 10, 41), (5, 0, 5), (0, 0, 0)] {
            assert_eq!(surplus(usd(left), usd(pace)), usd(expected), "{left} {pace}");
        }
    }

    proptest! {
        #[test]
        fn a_meter_that_is_granted_what_it_asks_is_always_ahead(
            most in 0_u64..50_000, seen in prop::collection::vec(0_u64..5_000, 0..50),
        ) {
            let mut meter = Meter::new(most);
            for tokens in seen {
                if let Reading::Wanted(more) | Reading::Needed(more) = meter.saw(tokens) {
                    prop_assert!(more > 0);
                    meter.extend(more);
                }
                prop_assert!(meter.held >= most || meter.held >= meter.seen + LEAD_TOKENS);
                prop_assert!(meter.held <= most);
            }
        }
    }
}
