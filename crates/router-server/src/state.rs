//! The only locks: one short one per deployment, for the retry budget and for money. None is held
//! across an await.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use router_core::compiled::{BreakerPolicy, Compiled, Limits, Reliability};
use router_core::failover::{HedgeCredit, NotAdmitted, RetryBudget};
use router_core::health::{Ask, DeploymentHealth, Ending, HealthSnapshot, Permit};
use router_core::money::Usd;
use router_core::select::DeploymentView;
use router_core::time::Timestamp;

use crate::engine::Engine;

/// A lock whose holder panicked is still good: every change under it is a single step of core's.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Health and limits of one deployment; carried over a reload by the deployment's id.
#[derive(Debug)]
pub(crate) struct Slot {
    health: Mutex<DeploymentHealth>,
    /// Set by the first attempt: until then the view is the default one, and no lock is taken for it.
    used: AtomicBool,
}

impl Slot {
    /// Healthy and unused.
    pub(crate) fn new(id: &str, policy: &BreakerPolicy, limits: Limits) -> Self {
        Self { health: Mutex::new(DeploymentHealth::new(id, policy, limits)), used: AtomicBool::new(false) }
    }

    /// The same after a reload.
    pub(crate) fn reconfigure(&self, policy: &BreakerPolicy, limits: Limits, now: Timestamp) {
        lock(&self.health).reconfigure(policy, limits, now);
    }

    /// For metrics and the admin API.
    pub(crate) fn snapshot(&self, now: Timestamp) -> HealthSnapshot {
        lock(&self.health).snapshot(now)
    }

    /// Ticket, rate and concurrency, all or none.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn admit(&self, now: Timestamp, ask: &Ask) -> Result<Permit, NotAdmitted> {
        self.used.store(true, Ordering::Release);
        lock(&self.health).admit(now, ask)
    }

    /// Gives back what was admitted and not sent.
    pub(crate) fn retract(&self, now: Timestamp, permit: Permit) {
        lock(&self.health).retract(now, permit);
    }

    /// A place booked is not wanted any more.
    pub(crate) fn unbook(&self, tokens: u64) {
        lock(&self.health).unbook(tokens);
    }

    /// An attempt's first byte came.
    pub(crate) fn first_byte(&self, now: Timestamp, permit: &mut Permit) {
        lock(&self.health).first_byte(now, permit);
    }

    /// An attempt ended.
    pub(crate) fn end(&self, now: Timestamp, permit: Permit, ending: &Ending) {
        lock(&self.health).end(now, permit, ending);
    }

    fn view(&self, now: Timestamp, seed: u64) -> DeploymentView {
        if self.used.load(Ordering::Acquire) {
            lock(&self.health).view(now, seed)
        } else {
            DeploymentView::default()
        }
    }
}

/// What all requests share beside the configuration.
#[derive(Debug)]
pub(crate) struct State {
    retries: Mutex<RetryBudget>,
    hedges: Mutex<HedgeCredit>,
    spool_well: AtomicBool,
}

impl State {
    /// Nothing used yet.
    pub(crate) fn new(reliability: &Reliability) -> Self {
        Self {
            retries: Mutex::new(RetryBudget::new(&reliability.retries)),
            hedges: Mutex::new(HedgeCredit::new(hedge_share_ppm(reliability))),
            spool_well: AtomicBool::new(true),
        }
    }

    /// What a decision sees of every deployment.
    pub(crate) fn view(&self, engine: &Engine, seed: u64, now: Timestamp) -> Vec<DeploymentView> {
        engine.slots.iter().map(|slot| slot.view(now, seed)).collect()
    }

    /// The same after a reload.
    pub(crate) fn reconfigure(&self, reliability: &Reliability) {
        lock(&self.retries).reconfigure(&reliability.retries);
        lock(&self.hedges).reconfigure(hedge_share_ppm(reliability));
    }

    /// One of the requests whose share may be retried.
    pub(crate) fn deposit_retry(&self, now: Timestamp) {
        lock(&self.retries).deposit(now);
    }

    /// Whether a repeat may be made.
    pub(crate) fn withdraw_retry(&self, now: Timestamp) -> bool {
        lock(&self.retries).try_withdraw(now)
    }

    /// An answer cost so much: a share of it may be spent on hedges.
    pub(crate) fn earn_hedge(&self, now: Timestamp, cost: Usd) {
        lock(&self.hedges).earn(now, cost);
    }

    /// Whether a hedge that is expected to cost so much may be made.
    pub(crate) fn take_hedge(&self, now: Timestamp, expected: Usd) -> bool {
        lock(&self.hedges).try_take(now, expected)
    }

    /// It did cost so much more.
    pub(crate) fn settle_hedge(&self, now: Timestamp, expected: Usd, actual: Usd) {
        lock(&self.hedges).settle(now, expected, actual);
    }

    /// Says whether the last record could be written; true when that changed.
    pub(crate) fn spool_written(&self, well: bool) -> bool {
        // A plain load first: the line stays shared between threads as long as nothing changes.
        self.spool_well.load(Ordering::Relaxed) != well
            && self.spool_well.swap(well, Ordering::Relaxed) != well
    }

    /// Whether records can be written.
    pub(crate) fn spool_is_well(&self) -> bool {
        self.spool_well.load(Ordering::Relaxed)
    }
}

fn hedge_share_ppm(reliability: &Reliability) -> u32 {
    reliability.hedging.map_or(0, |hedging| hedging.max_extra_cost_ppm)
}

/// Slots of a new configuration: those of deployments it keeps are the old ones.
pub(crate) fn slots(compiled: &Compiled, old: Option<&Engine>, now: Timestamp) -> Vec<Arc<Slot>> {
    let policy = &compiled.reliability.breaker;
    let slot = |d: &router_core::compiled::Deployment| {
        let kept =
            old.and_then(|o| o.compiled.deployment_named(&d.id).map(|at| Arc::clone(&o.slots[at.get()])));
        match kept {
            Some(slot) => {
                slot.reconfigure(policy, d.limits, now);
                slot
            }
            None => Arc::new(Slot::new(&d.id, policy, d.limits)),
        }
    };
    compiled.deployments.iter().map(slot).collect()
}
