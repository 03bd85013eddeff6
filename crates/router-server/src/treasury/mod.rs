//! Money: the budgets a request counts on, what this process has drawn of them from the ledger, holds on that, and who is
//! told when it runs out (DESIGN D8). The arithmetic is core's; what is drawn for good is the ledger's.
//!
//! A budget is spent only from what was drawn: requests hold and settle under one short lock per budget, in memory, and
//! the treasurer, a thread of its own, draws ahead of need and gives back what is idle. So several processes share a limit
//! without asking each other, and a database that is away is missed only when what was drawn is spent.

mod alert;
mod hold;
mod money;
mod purse;
mod treasurer;
mod usage;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use router_core::budget::{BudgetPolicy, Payer, of_payer};
use router_core::compiled::{ClientKey, Compiled, Deployment};
use router_core::config::file::Webhook;
use router_core::money::Usd;
use router_ledger::{Ledger, WriterWatch};
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, Receiver, Sender};

pub(crate) use hold::{Account, Accounts, Ask, Held, Paid, Short, Taking, Waiting, Why};
pub(crate) use treasurer::Treasurer;

use crate::clock::Clock;
use purse::{Inner, Purse};

/// Purses that wait for the treasurer; more are found when he makes his round.
const QUEUE: usize = 1_024;

/// The money of this process.
#[derive(Debug)]
pub(crate) struct Treasury {
    clock: Clock,
    /// By the budget's name; those of keys begin with `key:`. Made when first needed, and kept: there are as many as the
    /// configuration and the ledger have budgets and keys with one.
    purses: RwLock<HashMap<Arc<str>, Arc<Purse>>>,
    queue: Sender<Arc<Purse>>,
    ledger: Arc<dyn Ledger>,
    writer: WriterWatch,
    webhooks: Mutex<Arc<[Webhook]>>,
    /// The ledger has answered.
    news: Notify,
    /// The server ends: nothing is drawn ahead any more, and what is free goes back.
    draining: AtomicBool,
}

impl Treasury {
    /// No money yet; with what the treasurer works from.
    pub(crate) fn new(
        clock: Clock,
        ledger: Arc<dyn Ledger>,
        writer: WriterWatch,
    ) -> (Arc<Self>, Receiver<Arc<Purse>>) {
        let (queue, told) = mpsc::channel(QUEUE);
        let treasury = Self {
            clock,
            purses: RwLock::default(),
            queue,
            ledger,
            writer,
            webhooks: Mutex::new(Arc::new([])),
            news: Notify::new(),
            draining: AtomicBool::new(false),
        };
        (Arc::new(treasury), told)
    }

    /// Another configuration: who is told, and the terms of budgets in use.
    pub(crate) fn reconfigure(&self, compiled: &Compiled, webhooks: &[Webhook]) {
        *self.webhooks.lock().unwrap_or_else(PoisonError::into_inner) = webhooks.into();
        for policy in &compiled.budgets {
            self.account(policy);
        }
    }

    /// From now on what is free goes back to the ledger.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// The budgets a request may count on. Nothing is locked and nothing allocated where there are none.
    pub(crate) fn accounts(&self, compiled: &Compiled, key: Option<&ClientKey>, model: &str) -> Accounts {
        let of_key = key.filter(|key| key.budget.is_some()).and_then(|key| self.account_of_key(key));
        let mut accounts: Accounts = of_key.into_iter().collect();
        if !compiled.budgets.is_empty() {
            let payer = Payer { key, model };
            accounts.extend(of_payer(&compiled.budgets, &payer).map(|policy| self.account(policy)));
            accounts.sort_unstable_by_key(|account| account.purse.serial);
        }
        accounts
    }

    fn account(&self, policy: &Arc<BudgetPolicy>) -> Account {
        let purse = self.purse(&policy.name, || Arc::clone(policy));
        let mut inner = purse.lock();
        if !Arc::ptr_eq(&inner.policy, policy) && inner.policy != *policy {
            inner.set_policy(Arc::clone(policy));
        }
        drop(inner);
        Account { purse, policy: Arc::clone(policy) }
    }

    fn account_of_key(&self, key: &ClientKey) -> Option<Account> {
        let budget = key.budget?;
        let policy = BudgetPolicy::of_key(key)?;
        let purse = self.purse(&policy.name, || Arc::new(policy.clone()));
        let mut inner = purse.lock();
        if inner.policy.limit != budget.limit || inner.policy.period != budget.period {
            inner.set_policy(Arc::new(policy));
        }
        let policy = Arc::clone(&inner.policy);
        drop(inner);
        Some(Account { purse, policy })
    }

    fn purse(&self, name: &Arc<str>, policy: impl FnOnce() -> Arc<BudgetPolicy>) -> Arc<Purse> {
        let known = self.purses.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        known.unwrap_or_else(|| {
            let mut purses = self.purses.write().unwrap_or_else(PoisonError::into_inner);
            let serial = purses.len() as u64;
            Arc::clone(
                purses.entry(Arc::clone(name)).or_insert_with(|| Arc::new(Purse::new(policy(), serial))),
            )
        })
    }

    /// All purses there are.
    fn all(&self) -> Vec<Arc<Purse>> {
        let mut all: Vec<_> =
            self.purses.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        all.sort_unstable_by_key(|purse| purse.serial);
        all
    }

    /// Tells the treasurer to look at a purse, once.
    fn tell(&self, purse: &Arc<Purse>, inner: &mut Inner) {
        if !inner.told {
            inner.told = self.queue.try_send(Arc::clone(purse)).is_ok();
        }
    }

    /// What dead processes had drawn may still come back.
    fn may_return(&self) -> bool {
        let status = self.writer.status();
        status.adopting > 0 && status.failing.is_none()
    }

    /// The money that an attempt on these may come by: of the one that has least, here and in the ledger. `None`: there is
    /// no limit.
    pub(crate) fn available(&self, accounts: &[Account]) -> Option<Usd> {
        let now = self.clock.now();
        let of = |account: &Account| {
            let mut inner = account.purse.lock();
            let limit = inner.policy.limit;
            inner.roll(now).available(limit)
        };
        accounts.iter().map(of).min()
    }

    /// What is neither spent nor held of the tightest of these, as far as is known; `None`: there is no limit.
    pub(crate) fn left(&self, accounts: &[Account]) -> Option<Usd> {
        let now = self.clock.now();
        let of = |account: &Account| {
            let mut inner = account.purse.lock();
            let limit = inner.policy.limit;
            inner.roll(now).rest(limit)
        };
        accounts.iter().map(of).min()
    }

    /// The same of those that every deployment counts on: what a decision sees.
    pub(crate) fn left_anywhere(&self, accounts: &[Account]) -> Option<Usd> {
        if accounts.is_empty() {
            return None;
        }
        let anywhere = accounts.iter().filter(|account| account.policy.matches.any_deployment());
        self.left(&anywhere.cloned().collect::<Accounts>())
    }

    /// The rest of every budget in use, for the metrics.
    pub(crate) fn rests(&self) -> Vec<(Arc<str>, Usd)> {
        let now = self.clock.now();
        let of = |purse: &Arc<Purse>| {
            let mut inner = purse.lock();
            let limit = inner.policy.limit;
            (Arc::clone(&purse.name), inner.roll(now).rest(limit))
        };
        self.all().iter().map(of).collect()
    }

    fn kept_waiting(&self, account: &Account, ask: Ask) -> Short {
        let now = self.clock.now();
        let mut inner = account.purse.lock();
        let money = inner.roll(now);
        let why = if money.is_away() { Why::Away } else { Why::Held };
        let left = money.available(Usd::ZERO);
        drop(inner);
        Self::short(account, (left, ask.least), why, now)
    }

    /// A deployment without a price cannot be called where money is kept.
    pub(crate) fn unpriced(&self, account: &Account) -> Short {
        Self::short(account, (Usd::ZERO, Usd::ZERO), Why::Unpriced, self.clock.now())
    }
}

/// Those of a request's accounts that a call of this deployment counts on.
pub(crate) fn counting(accounts: &[Account], deployment: &Deployment) -> Accounts {
    accounts.iter().filter(|account| account.policy.matches.counts(deployment)).cloned().collect()
}

#[cfg(test)]
mod tests;
