//! One budget in this process: what was drawn from the ledger for it, what of that is held and spent, and who waits for
//! more. One short lock each; nothing here waits or does IO.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use router_core::budget::{BudgetPolicy, BudgetUse};
use router_core::money::Usd;
use router_core::time::Timestamp;
use smallvec::SmallVec;
use tokio::sync::Notify;

use super::money::{Job, Money};

/// Requests that wait for the money of one budget; more are refused at once.
pub(super) const MAX_LINE: usize = 1_024;

/// One budget.
#[derive(Debug)]
pub(crate) struct Purse {
    /// The budget's name.
    pub(crate) name: Arc<str>,
    /// The order in which several are locked.
    pub(super) serial: u64,
    inner: Mutex<Inner>,
}

/// What is under the lock.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) policy: Arc<BudgetPolicy>,
    /// Of each period that still has money in it; the last one is the current one.
    pub(super) periods: SmallVec<[Money; 1]>,
    /// Who waits, first come first served.
    line: VecDeque<(u64, Arc<Notify>)>,
    next_place: u64,
    /// The treasurer was told to look here.
    pub(super) told: bool,
}

impl Purse {
    pub(super) fn new(policy: Arc<BudgetPolicy>, serial: u64) -> Self {
        let name = Arc::clone(&policy.name);
        let inner =
            Inner { policy, periods: SmallVec::new(), line: VecDeque::new(), next_place: 0, told: false };
        Self { name, serial, inner: Mutex::new(inner) }
    }

    /// A lock whose holder panicked is still good: every change under it is a single step of core's.
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves the line.
    pub(super) fn leave(&self, place: u64) {
        let mut inner = self.lock();
        let was_first = inner.line.front().is_some_and(|(first, _)| *first == place);
        inner.line.retain(|(waiting, _)| *waiting != place);
        if was_first {
            inner.wake();
        }
    }

    /// The next thing to do for it.
    pub(super) fn next_job(&self, now: Timestamp) -> Option<Job> {
        let mut inner = self.lock();
        inner.told = false;
        let line = inner.line.len();
        let Inner { policy, periods, .. } = &mut *inner;
        periods.iter_mut().find_map(|money| money.job(policy, line, now))
    }

    /// A while has passed: paces are taken, and what nobody needs is to be given back.
    pub(super) fn tick(&self, now: Timestamp, draining: bool) -> SmallVec<[Job; 1]> {
        let mut inner = self.lock();
        inner.roll(now);
        let waits = !inner.line.is_empty();
        let last = inner.periods.len().saturating_sub(1);
        let Inner { policy, periods, .. } = &mut *inner;
        let mut jobs = SmallVec::new();
        for (at, money) in periods.iter_mut().enumerate() {
            money.tick();
            if waits && at == last {
                // Somebody waits: what is empty or away may not be so any more.
                money.want(Usd::ZERO, now);
            } else {
                jobs.extend(money.surplus(policy, (at == last, draining)));
            }
        }
        if last > 0 {
            inner.forget_past();
        }
        jobs
    }

    /// What the ledger said of it, after a draw or without one.
    pub(super) fn learn(&self, start: Timestamp, (allotted, settled): (Usd, Usd)) {
        let mut inner = self.lock();
        let Inner { policy, periods, .. } = &mut *inner;
        let Some(money) = periods.iter_mut().find(|money| money.start == start) else { return };
        money.learn(policy, (allotted, settled));
    }

    /// A draw ended; `None`: the ledger could not be reached.
    pub(super) fn drawn(&self, start: Timestamp, (needed, drawn): (Usd, Option<Usd>), now: Timestamp) {
        let mut inner = self.lock();
        if let Some(money) = inner.money(start) {
            money.drawn(needed, drawn, now);
        }
        inner.wake();
    }

    /// A draw is on its way to the ledger.
    pub(super) fn asks(&self, start: Timestamp) {
        if let Some(money) = self.lock().money(start) {
            money.asking = true;
        }
    }

    /// The ledger knows what is kept, and so much went back to it; `None`: it could not be reached.
    pub(super) fn kept(&self, start: Timestamp, back: Option<Usd>, now: Timestamp) {
        let mut inner = self.lock();
        if let Some(money) = inner.money(start) {
            money.kept(back, now);
        }
        inner.wake();
    }

    /// The periods whose figures are worth knowing: those with money in them.
    pub(super) fn uses(&self) -> SmallVec<[BudgetUse; 1]> {
        let inner = self.lock();
        let with_money = inner.periods.iter().filter(|money| money.left() > Usd::ZERO);
        with_money.map(|money| money.on(&self.name)).collect()
    }

    /// What is to be said of it, once.
    pub(super) fn to_say(&self) -> SmallVec<[(Timestamp, Option<u32>, Usd); 2]> {
        let mut inner = self.lock();
        let mut all = SmallVec::new();
        for money in &mut inner.periods {
            let (start, settled) = (money.start, money.settled());
            all.extend(money.to_say.drain(..).map(|share| (start, Some(share), settled)));
            if money.exceeded == Some(false) {
                money.exceeded = Some(true);
                all.push((start, None, settled));
            }
        }
        all
    }
}

impl Inner {
    /// The money of the period that `now` lies in.
    pub(super) fn roll(&mut self, now: Timestamp) -> &mut Money {
        let start = self.policy.period.start(now);
        let at = match self.periods.iter().position(|money| money.start == start) {
            Some(at) => at,
            None => {
                self.periods.push(Money::new(start));
                self.periods.len() - 1
            }
        };
        // The current one is the last: a period that was changed and changed back may be among the older ones.
        let last = self.periods.len() - 1;
        self.periods.swap(at, last);
        &mut self.periods[last]
    }

    /// The money of a period that still has some.
    pub(super) fn money(&mut self, start: Timestamp) -> Option<&mut Money> {
        self.periods.iter_mut().find(|money| money.start == start)
    }

    /// Periods that are over, in which nothing is held any more and everything is given back.
    fn forget_past(&mut self) {
        let last = self.periods.last().map(|money| money.start);
        self.periods.retain(|money| Some(money.start) == last || !money.is_over());
    }

    /// Another limit, period or name of what counts.
    pub(super) fn set_policy(&mut self, policy: Arc<BudgetPolicy>) {
        let more = policy.limit - self.policy.limit;
        self.periods.iter_mut().for_each(|money| money.change(more));
        self.policy = policy;
        self.wake();
    }

    /// Whoever is first in line tries again.
    pub(super) fn wake(&self) {
        if let Some((_, first)) = self.line.front() {
            first.notify_one();
        }
    }

    /// Whether somebody waits who came before this one.
    pub(super) fn is_behind(&self, place: Option<u64>) -> bool {
        self.line.front().is_some_and(|(first, _)| Some(*first) != place)
    }

    /// A place at the end of the line; `None`: it is full.
    pub(super) fn join(&mut self, wake: &Arc<Notify>) -> Option<u64> {
        if self.line.len() >= MAX_LINE {
            return None;
        }
        self.next_place += 1;
        self.line.push_back((self.next_place, Arc::clone(wake)));
        Some(self.next_place)
    }
}

#[cfg(test)]
mod tests {
    use router_core::budget::{Match, Period, WhenLow};

    use super::*;

    #[test]
    fn what_was_held_before_midnight_is_settled_in_the_day_that_is_over() {
        let (usd, hour) = (Usd::from_nano, |hours: u64| Timestamp::from_millis(hours * 3_600_000));
        let policy = BudgetPolicy {
            name: "b".into(),
            matches: Match::default(),
            limit: usd(100),
            period: Period::Day,
            alert_at_ppm: Vec::new(),
            when_low: WhenLow::Clamp,
        };
        let purse = Purse::new(Arc::new(policy), 0);
        let (today, tomorrow) = (hour(0), hour(24));
        purse.lock().roll(hour(23)).drawn(usd(80), Some(usd(80)), hour(23));
        let hold = purse.lock().roll(hour(23)).budget.hold(usd(60)).unwrap();
        assert_eq!(purse.lock().roll(hour(25)).left(), Usd::ZERO, "nothing of it is tomorrow's");
        let round = || {
            // A clock that was set back finds the old day again, and changes nothing.
            let _ = purse.lock().roll(hour(23));
            let jobs = purse.tick(hour(25), false);
            jobs.into_iter().map(|job| match job {
                Job::Keep { on, amount, back } => {
                    purse.kept(on.start, Some(back), hour(25));
                    (on.start, amount, back)
                }
                Job::Draw { .. } => (tomorrow, Usd::ZERO, Usd::ZERO),
            })
        };
        assert_eq!(round().count(), 0, "it was just drawn");
        assert_eq!(round().collect::<Vec<_>>(), [(today, usd(60), usd(20))], "what is free goes back");
        purse.lock().money(today).unwrap().budget.settle(hold, usd(45));
        assert_eq!(purse.lock().roll(hour(25)).settled(), Usd::ZERO);
        assert_eq!(round().collect::<Vec<_>>(), [(today, usd(45), usd(15))], "the rest when it is settled");
        let _ = purse.tick(hour(25), false);
        assert!(purse.lock().money(today).is_none() && purse.lock().money(tomorrow).is_some());
    }
}
