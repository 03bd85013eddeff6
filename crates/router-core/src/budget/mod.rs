//! Budget arithmetic on a value: money held for attempts under way, money settled, and what is left (DESIGN D8). Where
//! budgets live, who counts on which and how they are shared between processes is not here.

mod period;

use serde::{Deserialize, Serialize};

use crate::money::Usd;

pub use period::{BudgetUse, Period};

/// Money of one budget in one period.
///
/// Invariant: `settled + held <= limit`, as long as no attempt costs more than was held for it; otherwise the excess is
/// exactly [`Budget::overrun`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Most that may be spent; `None`: unlimited, only counted.
    limit: Option<Usd>,
    settled: Usd,
    held: Usd,
    overrun: Usd,
    overruns: u64,
}

/// Money set aside for one attempt. It must be settled or released on the budgets it was taken from.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "money stays held until it is settled or released"]
pub struct Hold(Usd);

impl Hold {
    /// How much.
    pub const fn amount(&self) -> Usd {
        self.0
    }

    fn spend(self) -> Usd {
        self.0
    }
}

/// The money left does not cover it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{left} USD left, {wanted} USD wanted")]
pub struct NotCovered {
    /// What was to be held.
    pub wanted: Usd,
    /// What there is.
    pub left: Usd,
    /// Which of the budgets, by its place in the list given.
    pub budget: usize,
}

impl Budget {
    /// Nothing spent, nothing held.
    pub fn new(limit: Option<Usd>) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Goes on from what was settled before (a restart). Nothing is held.
    pub fn restored(limit: Option<Usd>, settled: Usd) -> Self {
        Self { limit, settled, ..Self::default() }
    }

    /// The limit; `None`: unlimited.
    pub const fn limit(&self) -> Option<Usd> {
        self.limit
    }

    /// Another limit from now on. Below what is spent and held, it only refuses new holds.
    pub fn set_limit(&mut self, limit: Option<Usd>) {
        self.limit = limit;
    }

    /// Spent.
    pub const fn settled(&self) -> Usd {
        self.settled
    }

    /// Set aside for attempts under way.
    pub const fn held(&self) -> Usd {
        self.held
    }

    /// Charged above what was held, summed up; it is part of [`Budget::settled`].
    pub const fn overrun(&self) -> Usd {
        self.overrun
    }

    /// How often that happened.
    pub const fn overruns(&self) -> u64 {
        self.overruns
    }

    /// What a new hold may take; `None`: unlimited. Never negative.
    pub fn left(&self) -> Option<Usd> {
        self.limit.map(|limit| (limit - self.settled - self.held).max(Usd::ZERO))
    }

    /// Sets `ceiling` aside.
    ///
    /// # Errors
    /// [`NotCovered`]; nothing is held then.
    pub fn hold(&mut self, ceiling: Usd) -> Result<Hold, NotCovered> {
        hold_all(&mut [self], ceiling)
    }

    /// Sets `more` aside for the same attempt (a metered stream's next slice).
    ///
    /// # Errors
    /// [`NotCovered`]; the hold is as it was.
    pub fn extend(&mut self, hold: &mut Hold, more: Usd) -> Result<(), NotCovered> {
        extend_all(&mut [self], hold, more)
    }

    /// The attempt cost `actual`. Returns what that is above the hold, zero if nothing.
    pub fn settle(&mut self, hold: Hold, actual: Usd) -> Usd {
        settle_all(&mut [self], hold, actual)
    }

    /// The attempt cost nothing.
    pub fn release(&mut self, hold: Hold) {
        settle_all(&mut [self], hold, Usd::ZERO);
    }

    fn covers(&self, amount: Usd) -> bool {
        self.left().is_none_or(|left| amount <= left)
    }
}

/// Sets `ceiling` aside on every budget, or on none. A negative ceiling is none.
///
/// # Errors
/// The first budget that does not cover it.
pub fn hold_all(budgets: &mut [&mut Budget], ceiling: Usd) -> Result<Hold, NotCovered> {
    let mut hold = Hold(Usd::ZERO);
    extend_all(budgets, &mut hold, ceiling)?;
    Ok(hold)
}

/// Sets `more` aside on every budget, or on none.
///
/// # Errors
/// The first budget that does not cover it.
pub fn extend_all(budgets: &mut [&mut Budget], hold: &mut Hold, more: Usd) -> Result<(), NotCovered> {
    let more = more.max(Usd::ZERO);
    if let Some(at) = budgets.iter().position(|b| !b.covers(more)) {
        let left = budgets.get(at).and_then(|b| b.left()).unwrap_or(Usd::ZERO);
        return Err(NotCovered { wanted: more, left, budget: at });
    }
    for budget in budgets {
        budget.held += more;
    }
    hold.0 += more;
    Ok(())
}

/// Settles one attempt on every budget it was held on: the same budgets, in any order. Returns what it cost above the
/// hold, zero if nothing. A negative cost is none.
pub fn settle_all(budgets: &mut [&mut Budget], hold: Hold, actual: Usd) -> Usd {
    let held = hold.spend();
    let actual = actual.max(Usd::ZERO);
    let over = (actual - held).max(Usd::ZERO);
    for budget in budgets {
        budget.held = (budget.held - held).max(Usd::ZERO);
        budget.settled += actual;
        if over > Usd::ZERO {
            budget.overrun += over;
            budget.overruns += 1;
        }
    }
    over
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn usd(nano: i64) -> Usd {
        Usd::from_nano(nano)
    }

    #[test]
    fn all_or_none() {
        let (mut wide, mut narrow) = (Budget::new(Some(usd(100))), Budget::new(Some(usd(10))));
        let refused = hold_all(&mut [&mut wide, &mut narrow], usd(11)).unwrap_err();
        assert_eq!(refused, NotCovered { wanted: usd(11), left: usd(10), budget: 1 });
        assert_eq!((wide.held(), narrow.held()), (Usd::ZERO, Usd::ZERO));
        let mut hold = hold_all(&mut [&mut wide, &mut narrow], usd(8)).unwrap();
        assert!(extend_all(&mut [&mut wide, &mut narrow], &mut hold, usd(3)).is_err());
        assert_eq!((hold.amount(), wide.held()), (usd(8), usd(8)));
        settle_all(&mut [&mut wide, &mut narrow], hold, usd(5));
        assert_eq!((wide.left(), narrow.left(), narrow.held()), (Some(usd(95)), Some(usd(5)), Usd::ZERO));
    }

    #[test]
    fn an_overrun_is_booked_in_full_and_counted() {
        let mut budget = Budget::new(Some(usd(10)));
        let hold = budget.hold(usd(10)).unwrap();
        assert_eq!(budget.settle(hold, usd(13)), usd(3));
        assert_eq!((budget.settled(), budget.overrun(), budget.overruns()), (usd(13), usd(3), 1));
        assert_eq!(budget.left(), Some(Usd::ZERO));
        let nothing = budget.hold(Usd::ZERO).unwrap();
        budget.release(nothing);
        assert!(budget.hold(usd(1)).is_err());
    }

    #[test]
    fn an_unlimited_budget_counts_and_a_restored_one_goes_on() {
        let mut unlimited = Budget::default();
        let hold = unlimited.hold(usd(i64::MAX / 2)).unwrap();
        assert_eq!(unlimited.settle(hold, usd(7)), Usd::ZERO);
        assert_eq!((unlimited.left(), unlimited.settled()), (None, usd(7)));
        let text = serde_json::to_string(&unlimited).unwrap();
        assert_eq!(serde_json::from_str::<Budget>(&text).unwrap(), unlimited);
        assert_eq!(Budget::restored(Some(usd(9)), usd(4)).left(), Some(usd(5)));
    }

    proptest! {
        /// Any interleaving of holds, extensions and settlements on three budgets.
        #[test]
        fn settled_and_held_stay_within_the_limit(
            limits in prop::array::uniform3(0i64..2_000),
            steps in prop::collection::vec((0usize..4, 0usize..8, -50i64..400), 1..200),
        ) {
            let mut budgets = limits.map(|limit| Budget::new(Some(usd(limit))));
            let mut holds: Vec<Hold> = Vec::new();
            let mut over = [0i64; 3];
            let mut spent = 0;
            for (what, which, amount) in steps {
                let mut all: Vec<&mut Budget> = budgets.iter_mut().collect();
                match what {
                    0 => holds.extend(hold_all(&mut all, usd(amount)).ok()),
                    1 => if let Some(hold) = holds.get_mut(which) {
                        let before = hold.amount();
                        let more = extend_all(&mut all, hold, usd(amount)).is_ok();
                        prop_assert_eq!(hold.amount() - before, usd(if more { amount.max(0) } else { 0 }));
                    },
                    _ if which < holds.len() => {
                        let hold = holds.swap_remove(which);
                        let ceiling = hold.amount().nano();
                        // One kind of settlement honours the ceiling, the other may not.
                        let actual = if what == 2 { amount.clamp(0, ceiling) } else { amount.max(0) };
                        spent += actual;
                        let excess = settle_all(&mut all, hold, usd(actual)).nano();
                        prop_assert_eq!(excess, (actual - ceiling).max(0));
                        over.iter_mut().for_each(|o| *o += excess);
                    }
                    _ => {}
                }
                for (budget, over) in budgets.iter().zip(over) {
                    let used = budget.settled().nano() + budget.held().nano();
                    prop_assert!(used <= budget.limit().unwrap().nano() + over);
                    prop_assert_eq!(budget.overrun().nano(), over);
                    prop_assert_eq!(budget.settled().nano(), spent);
                    prop_assert_eq!(budget.held().nano(), holds.iter().map(|h| h.amount().nano()).sum::<i64>());
                }
            }
        }
    }
}
