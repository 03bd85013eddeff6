//! The money of one budget in one period, in this process: what was drawn, what of it is held and spent, and what the
//! ledger knows. Values and arithmetic; the lock is the purse's.

use std::sync::Arc;
use std::time::Duration;

use router_core::budget::{Budget, BudgetPolicy, BudgetUse, size};
use router_core::money::Usd;
use router_core::time::Timestamp;
use smallvec::SmallVec;

/// How long an empty or unreachable ledger is believed to be so: others give money back, databases come back.
const BELIEVED: Duration = Duration::from_millis(250);

/// Of what is left in the ledger, the part that a process keeps without needing it, so that the next request need not
/// wait for a draw. Three idle processes keep little more than a hundredth of a budget from a fourth.
const FLOAT: i64 = 256;

/// A budget in one period.
#[derive(Debug)]
pub(super) struct Money {
    pub(super) start: Timestamp,
    /// Its limit is what was drawn.
    pub(super) budget: Budget,
    /// What the ledger said last, if it did.
    pub(super) ledger: Option<InLedger>,
    /// Asked for and not there: what a draw should bring at least. Zero: one ahead of need.
    wanted: Usd,
    /// A draw is under way, or asked for.
    pub(super) drawing: bool,
    /// Some is on its way back to the ledger, from where it can be drawn again.
    returning: bool,
    /// Some was drawn since the last round: whoever it was drawn for may not have come for it yet.
    fresh: bool,
    /// The ledger had no more, then.
    dry: Option<Timestamp>,
    /// The ledger could not be reached, then.
    away: Option<Timestamp>,
    /// Held since the last tick.
    asked: Usd,
    /// The most that was lately held between two ticks.
    pace: Usd,
    /// Spent beyond what was drawn, and not booked yet.
    owed: Usd,
    /// Shares passed, to be said.
    pub(super) to_say: SmallVec<[u32; 2]>,
    said_ppm: u32,
    /// A request was refused for it: to be said, once.
    pub(super) exceeded: Option<bool>,
}

/// What the ledger knows of a budget in one period.
#[derive(Clone, Copy, Debug)]
pub(super) struct InLedger {
    /// Nobody has drawn it.
    pub(super) left: Usd,
    /// What attempts have cost, over all processes, as far as written.
    settled: Usd,
    /// What they had before this process spent anything.
    before: Usd,
}

/// What the treasurer should do for a purse.
#[derive(Debug)]
pub(super) enum Job {
    Draw { on: BudgetUse, limit: Usd, needed: Usd, pace: Usd },
    GiveBack { on: BudgetUse, amount: Usd },
    Overdraw { on: BudgetUse, amount: Usd },
}

impl Money {
    pub(super) fn new(start: Timestamp) -> Self {
        Self {
            start,
            budget: Budget::new(Some(Usd::ZERO)),
            ledger: None,
            wanted: Usd::ZERO,
            drawing: false,
            returning: false,
            fresh: false,
            dry: None,
            away: None,
            asked: Usd::ZERO,
            pace: Usd::ZERO,
            owed: Usd::ZERO,
            to_say: SmallVec::new(),
            said_ppm: 0,
            exceeded: None,
        }
    }

    /// Drawn, neither held nor spent.
    pub(super) fn left(&self) -> Usd {
        self.budget.left().unwrap_or(Usd::ZERO)
    }

    /// The same, with what can still be drawn.
    pub(super) fn available(&self, limit: Usd) -> Usd {
        self.left() + self.ledger.map_or(limit, |ledger| ledger.left.max(Usd::ZERO))
    }

    /// Of the limit, neither spent nor held, as far as is known.
    pub(super) fn rest(&self, limit: Usd) -> Usd {
        (limit - self.settled() - self.budget.held()).max(Usd::ZERO)
    }

    /// There is something for the treasurer.
    pub(super) fn has_work(&self) -> bool {
        self.owed > Usd::ZERO || !self.to_say.is_empty()
    }

    /// Spent, over all processes as far as is known.
    pub(super) fn settled(&self) -> Usd {
        let own = self.budget.settled();
        self.ledger.map_or(own, |ledger| ledger.settled.max(ledger.before + own))
    }

    /// Asks for `needed` more than there is; whether it is under way.
    pub(super) fn want(&mut self, needed: Usd, now: Timestamp) -> bool {
        let recent = |at: Option<Timestamp>| at.is_some_and(|at| now.since(at) < BELIEVED);
        self.wanted = self.wanted.max(needed);
        if !self.drawing && !recent(self.dry) && !recent(self.away) {
            self.drawing = true;
        }
        self.drawing || self.returning
    }

    /// The ledger could not be reached lately.
    pub(super) fn is_away(&self) -> bool {
        self.away.is_some()
    }

    /// So much was held, and there may soon be too little for as much again.
    pub(super) fn held(&mut self, amount: Usd, now: Timestamp) {
        self.asked += amount;
        let known = self.ledger.is_some_and(|ledger| ledger.left > Usd::ZERO);
        if known && self.left() < amount.max(Usd::from_nano(self.pace.nano() / 2)) {
            self.pace = self.pace.max(amount);
            self.want(Usd::ZERO, now);
        }
    }

    /// Notes the shares that were passed.
    pub(super) fn notice(&mut self, policy: &BudgetPolicy) {
        let settled = self.settled();
        for share in policy.passed(Usd::from_nano(-1), settled) {
            if share > self.said_ppm {
                self.said_ppm = share;
                self.to_say.push(share);
            }
        }
        self.owed = self.owed.max(self.budget.uncovered());
    }

    pub(super) fn on(&self, budget: &Arc<str>) -> BudgetUse {
        BudgetUse { budget: Arc::clone(budget), start: self.start }
    }

    pub(super) fn job(&mut self, policy: &BudgetPolicy, line: usize) -> Option<Job> {
        let on = self.on(&policy.name);
        if self.owed > Usd::ZERO {
            let amount = std::mem::take(&mut self.owed);
            self.budget.draw(amount);
            return Some(Job::Overdraw { on, amount });
        }
        if !self.drawing {
            return None;
        }
        let needed = std::mem::take(&mut self.wanted);
        // Whoever waits behind needs about as much.
        let waiting = needed.times(i64::try_from(line).unwrap_or(i64::MAX));
        let pace = self.pace.max(self.asked).max(Usd::from_nano(waiting.nano() / 4));
        Some(Job::Draw { on, limit: policy.limit, needed, pace })
    }

    /// A while has passed: how much it needed in it.
    pub(super) fn tick(&mut self) {
        self.pace = self.asked.max(Usd::from_nano(self.pace.nano() / 2));
        self.asked = Usd::ZERO;
    }

    /// What the ledger said.
    pub(super) fn learn(&mut self, policy: &BudgetPolicy, (allotted, settled): (Usd, Usd)) {
        let before = self.ledger.map_or(settled, |ledger| ledger.before);
        self.ledger = Some(InLedger { left: policy.limit - allotted, settled, before });
        self.away = None;
        self.notice(policy);
    }

    /// A draw ended; `None`: the ledger could not be reached.
    pub(super) fn drawn(&mut self, needed: Usd, drawn: Option<Usd>, now: Timestamp) {
        self.drawing = false;
        let Some(amount) = drawn else {
            self.away = Some(now);
            return;
        };
        self.budget.draw(amount);
        self.fresh = true;
        let left = self.ledger.as_mut().map_or(Usd::ZERO, |ledger| {
            ledger.left = ledger.left - amount;
            ledger.left
        });
        self.dry = (amount < needed || left <= Usd::ZERO).then_some(now);
        self.away = None;
    }

    /// So much went back to the ledger; after an error nothing did, as far as is known.
    pub(super) fn returned(&mut self, amount: Usd) {
        self.returning = false;
        if let Some(ledger) = self.ledger.as_mut().filter(|_| amount > Usd::ZERO) {
            ledger.left += amount;
            self.dry = None;
        }
    }

    /// Another limit: by so much more, or less.
    pub(super) fn change(&mut self, more: Usd) {
        self.dry = None;
        if more < Usd::ZERO {
            // What was drawn under the higher one goes back at the next round.
            (self.pace, self.asked) = (Usd::ZERO, Usd::ZERO);
        }
        if let Some(ledger) = &mut self.ledger {
            ledger.left += more;
        }
    }

    /// Nothing is held, drawn, or to be done.
    pub(super) fn is_over(&self) -> bool {
        self.budget.held() == Usd::ZERO
            && self.left() == Usd::ZERO
            && !(self.drawing || self.returning)
            && self.owed == Usd::ZERO
    }

    /// What there is too much of, taken off.
    pub(super) fn surplus(
        &mut self,
        policy: &BudgetPolicy,
        (current, draining): (bool, bool),
    ) -> Option<Job> {
        let fresh = std::mem::take(&mut self.fresh);
        if self.drawing || self.returning || (fresh && !draining) {
            return None;
        }
        let float = self.ledger.map_or(Usd::ZERO, |ledger| Usd::from_nano(ledger.left.nano().max(0) / FLOAT));
        let amount = match (current && !draining, self.left()) {
            (true, left) if left <= float => Usd::ZERO,
            (true, left) => size::surplus(left, self.pace).min(left - float),
            (false, left) => left,
        };
        let amount = self.budget.give_back(amount);
        self.returning = amount > Usd::ZERO;
        self.returning.then(|| Job::GiveBack { on: self.on(&policy.name), amount })
    }
}
