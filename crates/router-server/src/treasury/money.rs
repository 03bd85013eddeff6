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
    /// What the ledger has as drawn may be something else than what this has: a question to it may have got lost, or more
    /// was spent than was drawn. It is told before anything else.
    unsure: bool,
    /// The ledger was asked for more, and has not answered.
    pub(super) asking: bool,
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
    Draw {
        on: BudgetUse,
        limit: Usd,
        needed: Usd,
        pace: Usd,
    },
    /// `amount`: everything drawn, spent money included. `back`: what is less than before, and goes back.
    Keep {
        on: BudgetUse,
        amount: Usd,
        back: Usd,
    },
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
            unsure: false,
            asking: false,
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
        self.unsure || !self.to_say.is_empty()
    }

    /// Spent, over all processes as far as is known.
    pub(super) fn settled(&self) -> Usd {
        let own = self.budget.settled();
        self.ledger.map_or(own, |ledger| ledger.settled.max(ledger.before + own))
    }

    /// Drawn: spent, held and left.
    fn drawn_in_all(&self) -> Usd {
        self.budget.limit().unwrap_or(Usd::ZERO)
    }

    /// Asks for `needed` more than there is; whether it is under way.
    pub(super) fn want(&mut self, needed: Usd, now: Timestamp) -> bool {
        self.wanted = self.wanted.max(needed);
        if !self.drawing && !recent(self.dry, now) && !recent(self.away, now) {
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
        let over = self.budget.uncovered();
        if over > Usd::ZERO {
            self.budget.draw(over);
            self.unsure = true;
        }
    }

    pub(super) fn on(&self, budget: &Arc<str>) -> BudgetUse {
        BudgetUse { budget: Arc::clone(budget), start: self.start }
    }

    pub(super) fn job(&mut self, policy: &BudgetPolicy, line: usize, now: Timestamp) -> Option<Job> {
        let on = self.on(&policy.name);
        if self.unsure {
            if recent(self.away, now) {
                return None;
            }
            // What comes up while it is told is told after it.
            self.unsure = false;
            self.returning = true;
            return Some(Job::Keep { on, amount: self.drawn_in_all(), back: Usd::ZERO });
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
        let asked = std::mem::take(&mut self.asking);
        let Some(amount) = drawn else {
            self.unsure |= asked;
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

    /// The ledger knows what is kept, and so much went back; `None`: it could not be reached, and is told again.
    pub(super) fn kept(&mut self, back: Option<Usd>, now: Timestamp) {
        self.returning = false;
        let Some(back) = back else {
            self.unsure = true;
            self.drawing = false;
            self.away = Some(now);
            return;
        };
        self.away = None;
        if let Some(ledger) = self.ledger.as_mut().filter(|_| back > Usd::ZERO) {
            ledger.left += back;
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
            && !self.unsure
    }

    /// What there is too much of, taken off.
    pub(super) fn surplus(
        &mut self,
        policy: &BudgetPolicy,
        (current, draining): (bool, bool),
    ) -> Option<Job> {
        let fresh = std::mem::take(&mut self.fresh);
        // While the ledger is away, or is to be told of something else, what is here is of more use here.
        if self.drawing || self.returning || self.unsure || self.is_away() || (fresh && !draining) {
            return None;
        }
        let float = self.ledger.map_or(Usd::ZERO, |ledger| Usd::from_nano(ledger.left.nano().max(0) / FLOAT));
        let amount = match (current && !draining, self.left()) {
            (true, left) if left <= float && self.above_limit() == Usd::ZERO => Usd::ZERO,
            (true, left) => {
                size::surplus(left, self.pace).min(left - float).max(self.above_limit().min(left))
            }
            (false, left) => left,
        };
        let amount = self.budget.give_back(amount);
        self.returning = amount > Usd::ZERO;
        let (on, all) = (self.on(&policy.name), self.drawn_in_all());
        self.returning.then_some(Job::Keep { on, amount: all, back: amount })
    }

    /// What is drawn in all above the limit, because that was lowered: nobody should spend it.
    fn above_limit(&self) -> Usd {
        self.ledger.map_or(Usd::ZERO, |ledger| (Usd::ZERO - ledger.left).max(Usd::ZERO))
    }
}

fn recent(at: Option<Timestamp>, now: Timestamp) -> bool {
    at.is_some_and(|at| now.since(at) < BELIEVED)
}

#[cfg(test)]
mod tests {
    use router_core::budget::{Match, Period, WhenLow};

    use super::*;

    fn usd(nano: i64) -> Usd {
        Usd::from_nano(nano)
    }

    fn policy(limit: i64) -> BudgetPolicy {
        BudgetPolicy {
            name: "b".into(),
            matches: Match::default(),
            limit: usd(limit),
            period: Period::Total,
            alert_at_ppm: Vec::new(),
            when_low: WhenLow::Clamp,
        }
    }

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    /// What it would have the treasurer do.
    fn job(money: &mut Money, limit: i64, now: Timestamp) -> String {
        said(&money.job(&policy(limit), 0, now))
    }

    fn said(job: &Option<Job>) -> String {
        match job {
            None => "-".to_owned(),
            Some(Job::Draw { needed, .. }) => format!("draw {}", needed.nano()),
            Some(Job::Keep { amount, back, .. }) => format!("keep {} back {}", amount.nano(), back.nano()),
        }
    }

    #[test]
    fn a_question_that_got_lost_is_cleared_up_before_more_is_drawn() {
        let mut money = Money::new(Timestamp::ZERO);
        assert!(money.want(usd(10), at(0)));
        assert_eq!(job(&mut money, 100, at(0)), "draw 10");
        money.asking = true;
        money.drawn(usd(10), None, at(0));
        // It may be drawn there, and is not here: the ledger is told, as soon as it can be.
        assert!(!money.is_over());
        assert_eq!(job(&mut money, 100, at(1)), "-");
        assert!(!money.want(usd(10), at(1)));
        assert_eq!(job(&mut money, 100, at(500)), "keep 0 back 0");
        money.kept(None, at(500));
        assert_eq!(job(&mut money, 100, at(501)), "-");
        assert!(money.want(usd(10), at(1_000)));
        assert_eq!(job(&mut money, 100, at(1_000)), "keep 0 back 0");
        assert!(!money.is_over());
        money.kept(Some(Usd::ZERO), at(1_000));
        assert_eq!(job(&mut money, 100, at(1_000)), "draw 10");
    }

    #[test]
    fn an_overrun_is_told_until_the_ledger_has_it() {
        let mut money = Money::new(Timestamp::ZERO);
        money.drawn(usd(10), Some(usd(10)), at(0));
        let hold = money.budget.hold(usd(10)).unwrap();
        money.budget.settle(hold, usd(25));
        money.notice(&policy(100));
        money.notice(&policy(100));
        assert!(money.has_work());
        assert_eq!(job(&mut money, 100, at(0)), "keep 25 back 0");
        money.kept(None, at(0));
        assert_eq!(job(&mut money, 100, at(500)), "keep 25 back 0");
        // Another one, while it is told.
        let hold = money.budget.hold(Usd::ZERO).unwrap();
        money.budget.settle(hold, usd(5));
        money.notice(&policy(100));
        money.kept(Some(Usd::ZERO), at(500));
        assert_eq!(job(&mut money, 100, at(500)), "keep 30 back 0");
        money.kept(Some(Usd::ZERO), at(500));
        assert_eq!(job(&mut money, 100, at(500)), "-");
    }

    #[test]
    fn nothing_is_given_back_while_the_ledger_is_away() {
        let (mut money, policy) = (Money::new(Timestamp::ZERO), policy(1_000));
        money.drawn(usd(500), Some(usd(500)), at(0));
        let surplus = |money: &mut Money| said(&money.surplus(&policy, (true, false)));
        assert_eq!(surplus(&mut money), "-", "it is fresh");
        assert_eq!(surplus(&mut money), "keep 0 back 500");
        // It may have happened or not: nobody counts on it any more, and the ledger hears it again.
        money.kept(None, at(10));
        assert_eq!((money.left(), surplus(&mut money)), (Usd::ZERO, "-".to_owned()));
        assert_eq!(job(&mut money, 1_000, at(500)), "keep 0 back 0");
        money.kept(Some(Usd::ZERO), at(500));
        money.drawn(usd(500), Some(usd(500)), at(500));
        money.drawn(usd(500), None, at(500));
        let _ = surplus(&mut money);
        assert_eq!((surplus(&mut money).as_str(), money.left()), ("-", usd(500)));
    }

    #[test]
    fn what_is_drawn_above_a_lowered_limit_goes_back_though_it_is_in_use() {
        let (mut money, wide, narrow) = (Money::new(Timestamp::ZERO), policy(1_000), policy(300));
        money.learn(&wide, (Usd::ZERO, Usd::ZERO));
        money.drawn(usd(500), Some(usd(500)), at(0));
        let hold = money.budget.hold(usd(100)).unwrap();
        money.held(usd(100), at(0));
        money.drawing = false;
        money.tick();
        let _ = money.surplus(&wide, (true, false));
        assert_eq!(said(&money.surplus(&wide, (true, false))), "-", "it is in use");
        money.change(narrow.limit - wide.limit);
        money.held(usd(100), at(0));
        money.drawing = false;
        money.tick();
        assert_eq!(said(&money.surplus(&narrow, (true, false))), "keep 300 back 200");
        money.budget.release(hold);
    }
}
