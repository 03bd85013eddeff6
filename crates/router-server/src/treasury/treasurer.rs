//! The treasurer: a thread of its own that draws money ahead of need, gives back what is idle, books overruns and says
//! what is to be said. Requests never wait for it longer than they choose to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use router_core::budget::{BudgetUse, size};
use router_core::money::Usd;
use router_ledger::{Draw, InstanceId};
use tokio::sync::Notify;
use tokio::sync::mpsc::Receiver;

use super::alert::Alerts;
use super::money::Job;
use super::purse::Purse;
use super::{Treasury, alert};

/// How often he makes his round.
const ROUND: Duration = Duration::from_millis(500);

/// Every so many rounds the figures of idle money are read again.
const FIGURES_EVERY: u32 = 4;

/// So long the ledger may take for one answer.
const LEDGER_TIMEOUT: Duration = Duration::from_secs(3);

/// The thread's handle.
pub(crate) struct Treasurer {
    stop: Arc<AtomicBool>,
    wake: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl Treasurer {
    /// Starts it. `instance`: this process's name in the ledger.
    ///
    /// # Errors
    /// The thread or its runtime cannot be made.
    pub(crate) fn start(
        treasury: Arc<Treasury>,
        told: Receiver<Arc<Purse>>,
        instance: String,
    ) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, wake) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
        let office = Office {
            alerts: Alerts::new(Arc::clone(&treasury)),
            treasury,
            name: instance,
            instance: None,
            said_away: false,
        };
        let (stopped, woken) = (Arc::clone(&stop), Arc::clone(&wake));
        let work = move || {
            runtime.block_on(office.work(told, &stopped, &woken));
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("treasurer".into()).spawn(work)?;
        Ok(Self { stop, wake, thread: Some(thread) })
    }

    /// Ends it: nothing is drawn from then on. What is left goes back when the ledger finishes this process.
    pub(crate) fn stop(mut self) {
        self.end();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    fn end(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake.notify_one();
    }
}

/// Whoever drops it does not wait for it.
impl Drop for Treasurer {
    fn drop(&mut self) {
        self.end();
    }
}

struct Office {
    treasury: Arc<Treasury>,
    alerts: Alerts,
    name: String,
    /// This process in the ledger, once it is known there.
    instance: Option<InstanceId>,
    said_away: bool,
}

impl Office {
    async fn work(mut self, mut told: Receiver<Arc<Purse>>, stop: &AtomicBool, wake: &Notify) {
        let mut round = tokio::time::interval(ROUND);
        round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut rounds = 0_u32;
        while !stop.load(Ordering::Acquire) {
            tokio::select! {
                biased;
                () = wake.notified() => {}
                Some(purse) = told.recv() => self.visit(&purse).await,
                _ = round.tick() => {
                    rounds = rounds.wrapping_add(1);
                    self.round(rounds.is_multiple_of(FIGURES_EVERY), stop).await;
                }
            }
        }
    }

    /// Looks at every purse.
    async fn round(&mut self, figures: bool, stop: &AtomicBool) {
        let (all, draining) = (self.treasury.all(), self.treasury.draining.load(Ordering::Acquire));
        for purse in &all {
            for job in purse.tick(self.treasury.clock.now(), draining) {
                self.perform(purse, job).await;
            }
            self.visit(purse).await;
            if stop.load(Ordering::Acquire) {
                return;
            }
        }
        if figures {
            self.figures(&all).await;
        }
    }

    /// Does what there is to do for one purse.
    async fn visit(&mut self, purse: &Arc<Purse>) {
        // Bounded: what comes up meanwhile is told again.
        for _ in 0..8 {
            let Some(job) = purse.next_job(self.treasury.clock.now()) else { break };
            self.perform(purse, job).await;
        }
        for (start, share, settled) in purse.to_say() {
            let policy = Arc::clone(&purse.lock().policy);
            self.alerts.say(&alert::Said { policy, start, share, settled }).await;
        }
    }

    async fn perform(&mut self, purse: &Arc<Purse>, job: Job) {
        match job {
            Job::Draw { on, limit, needed, pace } => {
                let drawn = self.draw(purse, &on, (limit, needed, pace)).await;
                let drawn = self.told(drawn);
                purse.drawn(on.start, (needed, drawn), self.treasury.clock.now());
            }
            Job::Keep { on, amount, back } => {
                let kept = self.ask(|office, id| office.treasury.ledger.keep(id, &on, amount)).await;
                let back = self.told(kept).map(|()| back);
                purse.kept(on.start, back, self.treasury.clock.now());
            }
        }
        self.treasury.news.notify_waiters();
    }

    async fn draw(
        &mut self,
        purse: &Purse,
        on: &BudgetUse,
        (limit, needed, pace): (Usd, Usd, Usd),
    ) -> Result<Usd, String> {
        let asked = std::slice::from_ref(on);
        let figures = self.ask(|office, _| office.treasury.ledger.budget_figures(asked)).await?;
        let Some(figures) = figures.first() else { return Ok(Usd::ZERO) };
        purse.learn(on.start, (figures.allotted, figures.settled));
        let most = size::draw(limit - figures.allotted, needed, pace);
        if most <= Usd::ZERO {
            return Ok(Usd::ZERO);
        }
        let ask = Draw { limit: Some(limit), least: Usd::from_nano(1), most };
        purse.asks(on.start);
        self.ask(|office, id| office.treasury.ledger.draw(id, on, ask)).await
    }

    /// What others have drawn and spent meanwhile, of every budget of which money lies here.
    async fn figures(&mut self, all: &[Arc<Purse>]) {
        let uses: Vec<_> = all.iter().flat_map(|purse| purse.uses()).collect();
        if uses.is_empty() {
            return;
        }
        let figures = self.ask(|office, _| office.treasury.ledger.budget_figures(&uses)).await;
        for row in self.told(figures).unwrap_or_default() {
            if let Some(purse) = all.iter().find(|purse| purse.name == row.budget) {
                purse.learn(row.start, (row.allotted, row.settled));
            }
        }
    }

    /// One question to the ledger, as this process.
    async fn ask<'s, T>(
        &'s mut self,
        question: impl FnOnce(&'s Self, InstanceId) -> router_ledger::Answer<'s, T>,
    ) -> Result<T, String> {
        let late = |_| "no answer in time".to_owned();
        let failed = |error: router_ledger::Error| error.to_string();
        let instance = match self.instance {
            Some(instance) => instance,
            None => {
                let attached = self.treasury.ledger.attach(&self.name);
                tokio::time::timeout(LEDGER_TIMEOUT, attached).await.map_err(late)?.map_err(failed)?.id
            }
        };
        self.instance = Some(instance);
        tokio::time::timeout(LEDGER_TIMEOUT, question(self, instance)).await.map_err(late)?.map_err(failed)
    }

    /// Says, once, that the ledger cannot be reached, and that it can be again.
    fn told<T>(&mut self, answer: Result<T, String>) -> Option<T> {
        match answer {
            Ok(answer) => {
                if std::mem::take(&mut self.said_away) {
                    tracing::info!("the ledger is back: budgets are drawn from it again");
                }
                Some(answer)
            }
            Err(error) => {
                if !std::mem::replace(&mut self.said_away, true) {
                    tracing::error!(
                        error,
                        "the ledger cannot be reached: budgets go on until what was drawn is spent"
                    );
                }
                None
            }
        }
    }
}
