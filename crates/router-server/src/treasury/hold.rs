//! Holds on all the budgets an attempt counts on, all or none: taken, waited for, extended, settled.

use std::pin::Pin;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use router_core::budget::{self, Budget, BudgetPolicy, BudgetUse, Hold};
use router_core::money::Usd;
use router_core::time::Timestamp;
use smallvec::SmallVec;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::Treasury;
use super::purse::{Inner, Purse};

/// So long a request waits for money that is held by others, or being drawn.
const PATIENCE: Duration = Duration::from_secs(3);

/// A budget that a request may count on, with its terms when the request began.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    /// The money.
    pub(super) purse: Arc<Purse>,
    /// The terms.
    pub(crate) policy: Arc<BudgetPolicy>,
}

/// The budgets of an attempt, in the order of locking.
pub(crate) type Accounts = SmallVec<[Account; 2]>;

/// How much to hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    /// All of it, if it is there.
    pub(crate) wanted: Usd,
    /// Less is no use.
    pub(crate) least: Usd,
}

/// Money held on every budget an attempt counts on. It must be settled.
#[derive(Debug)]
#[must_use = "money stays held until it is settled"]
pub(crate) struct Held {
    on: SmallVec<[(Arc<Purse>, Timestamp); 2]>,
    hold: Hold,
}

impl Held {
    /// How much.
    pub(crate) fn amount(&self) -> Usd {
        self.hold.amount()
    }

    /// What it is held on, for the record.
    pub(crate) fn uses(&self) -> Vec<BudgetUse> {
        self.on.iter().map(|(p, start)| BudgetUse { budget: Arc::clone(&p.name), start: *start }).collect()
    }
}

/// Why there is no money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Short {
    /// The budget.
    pub(crate) policy: Arc<BudgetPolicy>,
    /// What is left of it.
    pub(crate) left: Usd,
    /// What was needed.
    pub(crate) needed: Usd,
    /// When it begins anew; `None`: never.
    pub(crate) resets: Option<Timestamp>,
    /// What kind of shortage.
    pub(crate) why: Why,
}

/// What kind of shortage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It is spent.
    Spent,
    /// It is held for attempts under way: later there may be enough.
    Held,
    /// What this process had drawn is spent, and the ledger cannot be reached to draw more.
    Away,
    /// The deployment has no price, so that nobody can say what an attempt costs.
    Unpriced,
}

/// Whether more of an answer is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paid {
    /// It is held.
    Yes,
    /// Not yet: more is being drawn.
    Soon,
    /// There is no more.
    No,
}

/// What came of asking.
pub(crate) enum Taking {
    /// It is held.
    Held(Held),
    /// It may come: wait.
    Wait(Waiting),
    /// It is not there.
    Short(Short),
}

/// Waits for money. Dropping it gives up the place in line; nothing is held then.
pub(crate) type Waiting = Pin<Box<dyn Future<Output = Result<Held, Short>> + Send>>;

/// One look at the purses.
enum Look {
    Held(Held),
    /// At this one it may come.
    Wait(usize),
    Short(Short),
}

type Locked<'a> = SmallVec<[MutexGuard<'a, Inner>; 2]>;

fn lock(accounts: &[Account]) -> Locked<'_> {
    accounts.iter().map(|account| account.purse.lock()).collect()
}

impl Treasury {
    /// Holds money on all of these, or says that it must be waited for, or that there is none.
    pub(crate) fn take(self: &Arc<Self>, accounts: Accounts, ask: Ask) -> Taking {
        if accounts.is_empty() {
            return match budget::hold_all(&mut [], ask.wanted) {
                Ok(hold) => Taking::Held(Held { on: SmallVec::new(), hold }),
                Err(_) => Taking::Wait(Box::pin(std::future::pending())),
            };
        }
        match self.look(&accounts, ask, None) {
            Look::Held(held) => Taking::Held(held),
            Look::Short(short) => Taking::Short(short),
            Look::Wait(at) => Taking::Wait(Box::pin(wait(Arc::clone(self), accounts, ask, at))),
        }
    }

    fn look(&self, accounts: &[Account], ask: Ask, place: Option<(usize, u64)>) -> Look {
        let now = self.clock.now();
        let mut purses = lock(accounts);
        let behind = |(at, inner): (usize, &MutexGuard<'_, Inner>)| {
            inner.is_behind(place.filter(|(mine, _)| *mine == at).map(|(_, place)| place))
        };
        let left: SmallVec<[Usd; 2]> = purses.iter_mut().map(|inner| inner.roll(now).left()).collect();
        let least_left = left.iter().copied().min().unwrap_or(Usd::ZERO);
        if let Some(at) = purses.iter().enumerate().position(behind) {
            return Look::Wait(at);
        }
        if least_left >= ask.wanted {
            return self.held(accounts, purses, ask.wanted);
        }
        // Before less is taken, more is drawn where there is some.
        let mut drawing = None;
        for (at, (inner, left)) in purses.iter_mut().zip(&left).enumerate() {
            if *left < ask.wanted && inner.roll(now).want(ask.wanted - *left, now) {
                self.tell(&accounts[at].purse, inner);
                drawing = drawing.or(Some(at));
            }
        }
        if let Some(at) = drawing {
            return Look::Wait(at);
        }
        if least_left >= ask.least {
            return self.held(accounts, purses, least_left);
        }
        let at = left.iter().position(|left| *left < ask.least).unwrap_or(0);
        let money = purses[at].roll(now);
        if left[at] + money.budget.held() >= ask.least || self.may_return() {
            return Look::Wait(at);
        }
        let why = if money.is_away() { Why::Away } else { Why::Spent };
        let (left, needed) = (money.available(Usd::ZERO), ask.least);
        if why == Why::Spent && money.exceeded.is_none() {
            money.exceeded = Some(false);
            self.tell(&accounts[at].purse, &mut purses[at]);
        }
        Look::Short(Self::short(&accounts[at], (left, needed), why, now))
    }

    pub(super) fn short(account: &Account, (left, needed): (Usd, Usd), why: Why, now: Timestamp) -> Short {
        let policy = Arc::clone(&account.policy);
        Short { left, needed, resets: policy.period.end(now), policy, why }
    }

    fn held(&self, accounts: &[Account], mut purses: Locked<'_>, amount: Usd) -> Look {
        let now = self.clock.now();
        let on = accounts.iter().zip(&mut purses);
        let on = on.map(|(a, inner)| (Arc::clone(&a.purse), inner.roll(now).start)).collect();
        let mut budgets: SmallVec<[&mut Budget; 2]> =
            purses.iter_mut().map(|inner| &mut inner.roll(now).budget).collect();
        let hold = budget::hold_all(&mut budgets, amount);
        drop(budgets);
        match hold {
            Ok(hold) => {
                for (account, inner) in accounts.iter().zip(&mut purses) {
                    let money = inner.roll(now);
                    money.held(amount, now);
                    if money.drawing {
                        self.tell(&account.purse, inner);
                    }
                }
                Look::Held(Held { on, hold })
            }
            // It was there under the same locks.
            Err(refused) => Look::Wait(refused.budget),
        }
    }

    /// Holds more for the same attempt, if there is enough. What is missing is drawn meanwhile.
    pub(crate) fn extend(&self, held: &mut Held, more: Usd) -> Paid {
        let now = self.clock.now();
        let Held { on, hold } = held;
        let mut purses: Locked<'_> = on.iter().map(|(purse, _)| purse.lock()).collect();
        let mut budgets: SmallVec<[&mut Budget; 2]> = SmallVec::new();
        for (inner, (_, start)) in purses.iter_mut().zip(&*on) {
            budgets.extend(inner.money(*start).map(|money| &mut money.budget));
        }
        let extended = budget::extend_all(&mut budgets, hold, more).is_ok();
        drop(budgets);
        let mut paid = if extended { Paid::Yes } else { Paid::Soon };
        for (inner, (purse, start)) in purses.iter_mut().zip(&*on) {
            let Some(money) = inner.money(*start) else { continue };
            if extended {
                money.held(more, now);
            } else if money.left() < more && !money.want(more - money.left(), now) {
                paid = Paid::No;
            }
            if money.drawing {
                self.tell(purse, inner);
            }
        }
        paid
    }

    /// Resolves when the ledger has answered about any budget, after it was first polled.
    pub(crate) fn news(&self) -> Notified<'_> {
        self.news.notified()
    }

    /// The attempt cost so much. Returns what that is above what was held.
    pub(crate) fn settle(&self, held: Held, cost: Usd) -> Usd {
        let Held { on, hold } = held;
        let mut purses: Locked<'_> = on.iter().map(|(purse, _)| purse.lock()).collect();
        let mut budgets: SmallVec<[&mut Budget; 2]> = SmallVec::new();
        for (inner, (_, start)) in purses.iter_mut().zip(&on) {
            budgets.extend(inner.money(*start).map(|money| &mut money.budget));
        }
        let over = budget::settle_all(&mut budgets, hold, cost);
        drop(budgets);
        for (inner, (purse, start)) in purses.iter_mut().zip(&on) {
            let policy = Arc::clone(&inner.policy);
            if let Some(money) = inner.money(*start) {
                money.notice(&policy);
                if money.has_work() {
                    self.tell(purse, inner);
                }
            }
            inner.wake();
        }
        if on.is_empty() { Usd::ZERO } else { over }
    }
}

/// A place in a line: left when dropped, so that a client who goes blocks nobody.
struct Place {
    purse: Arc<Purse>,
    at: usize,
    place: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.purse.leave(self.place);
    }
}

async fn wait(treasury: Arc<Treasury>, accounts: Accounts, ask: Ask, at: usize) -> Result<Held, Short> {
    let until = tokio::time::Instant::now() + PATIENCE;
    let wake = Arc::new(Notify::new());
    let mut at = at;
    let mut line: Option<Place> = None;
    loop {
        if line.as_ref().is_none_or(|place| place.at != at) {
            drop(line.take());
            let purse = &accounts[at].purse;
            let Some(place) = purse.lock().join(&wake) else {
                return Err(treasury.kept_waiting(&accounts[at], ask));
            };
            line = Some(Place { purse: Arc::clone(purse), at, place });
            // What was awaited may have come before there was a place.
            wake.notify_one();
        }
        if tokio::time::timeout_at(until, wake.notified()).await.is_err() {
            return Err(treasury.kept_waiting(&accounts[at], ask));
        }
        match treasury.look(&accounts, ask, line.as_ref().map(|line| (line.at, line.place))) {
            Look::Held(held) => return Ok(held),
            Look::Short(short) => return Err(short),
            Look::Wait(where_) => at = where_,
        }
    }
}
