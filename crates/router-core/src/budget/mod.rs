//! Budget arithmetic on a value: money held for attempts under way, money settled, and what is left (DESIGN D8). Where
//! budgets live, who counts on which and how they are shared between processes is not here.

mod period;
mod policy;
pub mod size;

use serde::{Deserialize, Serialize};

use crate::money::Usd;

pub use period::{BudgetUse, Period};
pub use policy::{BudgetPolicy, Match, Payer, WhenLow, of_payer};

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

    /// Money drawn for it from where several processes share it: the limit of this one's part.
    pub fn draw(&mut self, amount: Usd) {
        self.limit = self.limit.map(|limit| limit + amount.max(Usd::ZERO));
    }

    /// Takes back what may be given to others: `amount`, but no more than is neither spent nor held. Returns how much.
    pub fn give_back(&mut self, amount: Usd) -> Usd {
        let given = amount.max(Usd::ZERO).min(self.left().unwrap_or(Usd::ZERO));
        self.limit = self.limit.map(|limit| limit - given);
        given
    }

    /// What is spent and held beyond the limit, because an attempt cost more than was held for it.
    pub fn uncovered(&self) -> Usd {
        self.limit.map_or(Usd::ZERO, |limit| (self.settled + self.held - limit).max(Usd::ZERO))
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
mod tests;
