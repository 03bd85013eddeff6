//! One budget in this process: what was drawn from the ledger for it, what of that is held and spent, and who waits for
//! more. One short lock each; nothing here waits or does IO.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use router_core::budget::{Budget, BudgetPolicy, BudgetUse, size};
use router_core::money::Usd;
use router_core::time::Timestamp;
use smallvec::SmallVec;
use tokio::sync::Notify;

/// How long an empty or unreachable ledger is believed to be so: others give money back, databases come back.
const BELIEVED: Duration = Duration::from_millis(250);

/// Requests that wait for the money of one budget; more are refused at once.
pub(super) const MAX_LINE: usize = 1_024;

/// Of what is left in the ledger, the part that a process keeps without needing it, so that the next request need not
/// wait for a draw. Three idle processes keep little more than a hundredth of a budget from a fourth.
const FLOAT: i64 = 256;

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
    fn new(start: Timestamp) -> Self {
        Self {
            start,
            budget: Budget::new(Some(Usd::ZERO)),
            ledger: None,
            wanted: Usd::ZERO,
            drawing: false,
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
        self.drawing
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

    fn on(&self, budget: &Arc<str>) -> BudgetUse {
        BudgetUse { budget: Arc::clone(budget), start: self.start }
    }

    fn job(&mut self, policy: &BudgetPolicy, line: usize) -> Option<Job> {
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

    /// What there is too much of, taken off.
    fn surplus(&mut self, policy: &BudgetPolicy, (current, draining): (bool, bool)) -> Option<Job> {
        if self.drawing {
            return None;
        }
        let float = self.ledger.map_or(Usd::ZERO, |ledger| Usd::from_nano(ledger.left.nano().max(0) / FLOAT));
        let amount = match (current && !draining, self.left()) {
            (true, left) if left <= float => Usd::ZERO,
            (true, left) => size::surplus(left, self.pace).min(left - float),
            (false, left) => left,
        };
        let amount = self.budget.give_back(amount);
        (amount > Usd::ZERO).then(|| Job::GiveBack { on: self.on(&policy.name), amount })
    }
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
    pub(super) fn next_job(&self) -> Option<Job> {
        let mut inner = self.lock();
        inner.told = false;
        let line = inner.line.len();
        let Inner { policy, periods, .. } = &mut *inner;
        periods.iter_mut().find_map(|money| money.job(policy, line))
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
            money.pace = money.asked.max(Usd::from_nano(money.pace.nano() / 2));
            money.asked = Usd::ZERO;
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
        let before = money.ledger.map_or(settled, |ledger| ledger.before);
        money.ledger = Some(InLedger { left: policy.limit - allotted, settled, before });
        money.away = None;
        money.notice(policy);
    }

    /// A draw ended; `None`: the ledger could not be reached.
    pub(super) fn drawn(&self, start: Timestamp, (needed, drawn): (Usd, Option<Usd>), now: Timestamp) {
        let mut inner = self.lock();
        if let Some(money) = inner.money(start) {
            money.drawing = false;
            match drawn {
                Some(amount) => {
                    money.budget.draw(amount);
                    let left = money.ledger.as_mut().map_or(Usd::ZERO, |ledger| {
                        ledger.left = ledger.left - amount;
                        ledger.left
                    });
                    money.dry = (amount < needed || left <= Usd::ZERO).then_some(now);
                    money.away = None;
                }
                None => money.away = Some(now),
            }
        }
        inner.wake();
    }

    /// Money went back to the ledger.
    pub(super) fn returned(&self, start: Timestamp, amount: Usd) {
        if let Some(ledger) = self.lock().money(start).and_then(|money| money.ledger.as_mut()) {
            ledger.left += amount;
        }
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
        self.periods.retain(|money| {
            let idle = money.budget.held() == Usd::ZERO && money.left() == Usd::ZERO;
            Some(money.start) == last || !idle || money.drawing || money.owed > Usd::ZERO
        });
    }

    /// Another limit, period or name of what counts.
    pub(super) fn set_policy(&mut self, policy: Arc<BudgetPolicy>) {
        let more = policy.limit - self.policy.limit;
        for money in &mut self.periods {
            money.dry = None;
            if more < Usd::ZERO {
                // What was drawn under the higher one goes back at the next round.
                (money.pace, money.asked) = (Usd::ZERO, Usd::ZERO);
            }
            if let Some(ledger) = &mut money.ledger {
                ledger.left = ledger.left + more;
            }
        }
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
