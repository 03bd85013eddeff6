//! The only locks: one short one per deployment, for the retry budget and for money. None is held
//! across an await.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

mod neighbours;

use router_core::attempt::Outcome;
use router_core::compiled::{BreakerPolicy, Compiled, DeploymentIdx, Limits, Reliability};
use router_core::failover::{Another, HedgeCredit, NotAdmitted, RetryBudget};
use router_core::health::{
    Ask, Change, Control, Controls, DeploymentHealth, Ending, HealthSnapshot, Permit, SavedHealth, Subject,
};
use router_core::limit::RateState;
use router_core::money::Usd;
use router_core::select::DeploymentView;
use router_core::time::Timestamp;

use router_providers::error as upstream;
use tokio::sync::Notify;

use crate::engine::Engine;

pub(crate) use neighbours::Neighbours;

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

    /// The provider's credentials, by their weights.
    pub(crate) fn set_credentials(&self, weights: &[u32]) {
        lock(&self.health).set_credentials(weights);
    }

    /// Takes it out by hand, or puts it back.
    pub(crate) fn set_control(&self, control: Option<Control>) {
        // First the mark: whoever sees it waits for the lock, and then sees the control.
        let mut health = lock(&self.health);
        self.used.store(self.used.load(Ordering::Acquire) || control.is_some(), Ordering::Release);
        health.set_control(control);
    }

    /// What holds by hand at this moment.
    pub(crate) fn control(&self, now: Timestamp) -> Option<Control> {
        lock(&self.health).control(now).cloned()
    }

    /// As if it had never failed.
    pub(crate) fn reset(&self, now: Timestamp) {
        lock(&self.health).reset(now);
    }

    /// What is worth keeping over a restart; `None`: nothing, and never was.
    pub(crate) fn saved(&self, now: Timestamp) -> Option<SavedHealth> {
        self.used.load(Ordering::Acquire).then(|| lock(&self.health).saved(now))
    }

    /// Goes on where a process before this one stood at `at`.
    pub(crate) fn restore(&self, now: Timestamp, at: Timestamp, saved: &SavedHealth) {
        self.used.store(true, Ordering::Release);
        lock(&self.health).restore(now, at, saved);
    }

    /// What the answer to an attempt said is left.
    pub(crate) fn learn(&self, now: Timestamp, permit: &Permit, said: &upstream::RateState) {
        let said = RateState {
            requests_left: said.requests_left,
            requests_reset_in: said.requests_reset_in,
            tokens_left: said.tokens_left,
            tokens_reset_in: said.tokens_reset_in,
        };
        if !said.is_empty() {
            lock(&self.health).learn(now, permit, &said);
        }
    }

    fn doubt(&self, now: Timestamp) {
        self.used.store(true, Ordering::Release);
        lock(&self.health).doubt(now);
    }

    fn hope(&self) {
        lock(&self.health).hope();
    }

    fn doubt_credential(&self, credential: u16) {
        self.used.store(true, Ordering::Release);
        lock(&self.health).doubt_credential(credential);
    }

    fn hope_credential(&self, credential: u16) {
        lock(&self.health).hope_credential(credential);
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

    /// Whether one call would tell if it still has to be out.
    pub(crate) fn awaits_probe(&self, now: Timestamp) -> bool {
        self.used.load(Ordering::Acquire) && lock(&self.health).awaits_probe(now)
    }

    /// The same as `admit` for a probe.
    ///
    /// # Errors
    /// It is not awaited, or has no place.
    pub(crate) fn admit_probe(&self, now: Timestamp, seed: u64, tokens: u64) -> Result<Permit, NotAdmitted> {
        lock(&self.health).admit_probe(now, seed, tokens)
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

    /// An attempt ended: what that means for the neighbours, and whether another credential may take its place, if it was
    /// its credential's failure.
    fn end(&self, now: Timestamp, permit: Permit, ending: &Ending) -> (Change, Option<Another>) {
        let of_credential = matches!(ending.outcome, Outcome::Failure(kind) if kind.is_of_one_credential());
        let (credential, tokens) = (permit.credential(), permit.tokens());
        let mut health = lock(&self.health);
        let change = health.end(now, permit, ending);
        (change, of_credential.then(|| health.another(now, credential, tokens)).flatten())
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
    /// What is taken out by hand.
    controls: Mutex<Controls>,
    /// Rung when somebody's standing changed, for whoever writes that down.
    pub(crate) changed: Notify,
}

impl State {
    /// Nothing used yet.
    pub(crate) fn new(reliability: &Reliability) -> Self {
        Self {
            retries: Mutex::new(RetryBudget::new(&reliability.retries)),
            hedges: Mutex::new(HedgeCredit::new(hedge_share_ppm(reliability))),
            spool_well: AtomicBool::new(true),
            controls: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// An attempt ended: for its deployment, and for those that share something with it. Whether another credential may
    /// take its place.
    pub(crate) fn end(
        &self,
        engine: &Engine,
        at: DeploymentIdx,
        (now, permit): (Timestamp, Permit),
        ending: &Ending,
    ) -> Option<Another> {
        let (change, another) = engine.slot(at).end(now, permit, ending);
        // What a success changes (a step back into rotation) is seen at the next look: only what takes out is urgent.
        if engine.neighbours.heard(&engine.slots, at, now, change) {
            self.changed.notify_one();
        }
        another
    }

    /// What is taken out by hand, all of it at once.
    pub(crate) fn set_controls(&self, engine: &Engine, controls: &Controls) {
        let before = std::mem::replace(&mut *lock(&self.controls), controls.clone());
        if before != *controls {
            put_on(engine, controls);
        }
    }

    /// One more, or one less.
    pub(crate) fn set_control(&self, engine: &Engine, subject: Subject, control: Option<Control>) {
        let mut controls = lock(&self.controls).clone();
        controls.set(subject, control);
        self.set_controls(engine, &controls);
    }

    /// The same for another configuration.
    pub(crate) fn controls_on(&self, engine: &Engine) {
        put_on(engine, &lock(&self.controls).clone());
    }

    /// What is taken out by hand.
    pub(crate) fn controls(&self) -> Controls {
        lock(&self.controls).clone()
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

/// Tells every deployment what holds for it.
pub(crate) fn put_on(engine: &Engine, controls: &Controls) {
    for (slot, deployment) in engine.slots.iter().zip(&engine.compiled.deployments) {
        slot.set_control(controls.of(&deployment.id, &deployment.provider).cloned());
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
