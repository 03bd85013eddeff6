//! What budgets need of the ledger, as values: drawing an allotment, and the figures of a budget. The arithmetic of holds
//! is core's, the statements are `store`'s.

use std::sync::Arc;

use router_core::money::Usd;
use router_core::time::Timestamp;

/// How much to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// The budget's limit in one period; `None`: unlimited, only counted.
    pub limit: Option<Usd>,
    /// What is needed now: less is no use.
    pub least: Usd,
    /// What is wanted, so as not to ask again soon.
    pub most: Usd,
}

impl Draw {
    /// What this gets from a budget of which `allotted` is taken: all that is left, but not above `most`; nothing when
    /// not even `least` is left.
    pub fn grant(self, allotted: Usd) -> Usd {
        let least = self.least.max(Usd::ZERO);
        let most = self.most.max(least);
        let left = match self.limit {
            Some(limit) => limit - allotted,
            // What is only counted still has to be a number.
            None => Usd::MAX - allotted,
        };
        if left < least { Usd::ZERO } else { left.min(most).max(Usd::ZERO) }
    }
}

/// A budget in one period, over all processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetFigures {
    /// Its name.
    pub budget: Arc<str>,
    /// When the period began.
    pub start: Timestamp,
    /// Taken from it by processes: spent, or theirs to spend.
    pub allotted: Usd,
    /// What attempts have cost, as far as they are in the ledger; lost ones at their ceiling.
    pub settled: Usd,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn usd(nano: i64) -> Usd {
        Usd::from_nano(nano)
    }

    #[test]
    fn a_grant_is_all_or_what_is_left_or_nothing() {
        let check = |limit: Option<i64>, least, most, allotted, expected| {
            let draw = Draw { limit: limit.map(usd), least: usd(least), most: usd(most) };
            assert_eq!(draw.grant(usd(allotted)), usd(expected), "{draw:?} of {allotted}");
        };
        check(Some(100), 10, 50, 0, 50);
        check(Some(100), 10, 50, 70, 30);
        check(Some(100), 10, 50, 90, 10);
        check(Some(100), 10, 50, 91, 0);
        check(Some(100), 10, 50, 100, 0);
        check(Some(100), 0, 50, 150, 0);
        check(Some(100), 10, 5, 0, 10);
        check(Some(100), -5, -5, 0, 0);
        check(Some(0), 0, 50, 0, 0);
        check(None, 10, 50, 1_000, 50);
        check(None, 10, 50, i64::MAX - 20, 20);
    }

    proptest! {
        #[test]
        fn a_grant_never_passes_the_limit(limit: i64, least: i64, most: i64, allotted in 0..i64::MAX) {
            let draw = Draw { limit: Some(usd(limit)), least: usd(least), most: usd(most) };
            let grant = draw.grant(usd(allotted));
            prop_assert!(grant >= Usd::ZERO);
            prop_assert!(grant == Usd::ZERO || allotted.checked_add(grant.nano()).is_some_and(|sum| sum <= limit));
            prop_assert!(grant == Usd::ZERO || grant >= usd(least));
        }
    }
}
