//! Who is in rotation, kept in the ledger's table of states: what is taken out by hand, which every replica follows, and
//! where breakers stand, so that a restart goes on from there.
//!
//! Three kinds of rows: `control` (one per subject taken out), `reset` (one per subject, its time is the order) and
//! `health` (one per deployment that is not as good as new). With the ledger away, orders given here hold here and are
//! written when it is back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use router_core::health::{Control, Controls, SavedHealth, Subject};
use router_core::time::Timestamp;
use router_ledger::{Error, Ledger};
use tokio::sync::watch;

use crate::engine::Engine;
use crate::worker::Shared;

/// Kind of the rows that say what is taken out by hand.
pub(crate) const CONTROL: &str = "control";
/// Kind of the rows that order a reset.
pub(crate) const RESET: &str = "reset";
/// Kind of the rows that keep where breakers stand.
pub(crate) const HEALTH: &str = "health";

/// How often other replicas' orders are looked for.
const POLL: Duration = Duration::from_secs(2);
/// How often standings are compared with what is written, beside the times somebody rings.
const LOOK: Duration = Duration::from_millis(500);
/// A server that starts waits so long for the table.
const START_PATIENCE: Duration = Duration::from_secs(3);
/// An order waits so long to be written before it is answered as not stored yet.
const ORDER_PATIENCE: Duration = Duration::from_secs(3);

/// An order of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Take it out.
    Remove(Control),
    /// Put it back.
    Enable,
    /// As if it had never failed.
    Reset,
}

/// A row to write, or (without a value) to delete, under its kind and id.
type Write = ((&'static str, String), Option<(String, Timestamp)>);

/// The row that carries an order to the other replicas.
pub(crate) fn row(subject: &Subject, order: &Order, now: Timestamp) -> Write {
    let id = subject.text();
    match order {
        Order::Remove(control) => {
            let value = serde_json::to_string(control).unwrap_or_default();
            ((CONTROL, id), Some((value, now)))
        }
        Order::Enable => ((CONTROL, id), None),
        Order::Reset => ((RESET, id), Some(("{}".to_owned(), now))),
    }
}

/// Writes a row.
pub(crate) async fn write(ledger: &dyn Ledger, ((kind, id), value): &Write) -> Result<(), Error> {
    match value {
        Some((value, at)) => ledger.put_state(kind, id, value, *at).await,
        None => ledger.delete_state(kind, id).await,
    }
}

/// What is taken out, from its rows. One that cannot be read is left out, and said.
pub(crate) fn controls(rows: &[(String, String, Timestamp)]) -> Controls {
    let read = |(id, value, _): &(String, String, Timestamp)| {
        let read = Subject::parse(id).zip(serde_json::from_str::<Control>(value).ok());
        if read.is_none() {
            tracing::warn!(id, "an order in the ledger cannot be read: it is not followed");
        }
        read
    };
    rows.iter().filter_map(read).collect()
}

/// Returns when it is told to stop, or nobody is left to tell.
pub(crate) async fn told(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

/// Follows and keeps.
pub(crate) struct Rotation {
    shared: Arc<Shared>,
    ledger: Arc<dyn Ledger>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Orders given here that could not be written yet.
    unwritten: BTreeMap<(&'static str, String), Option<(String, Timestamp)>>,
    /// Resets followed, by subject. `None`: the table was never read.
    resets: Option<BTreeMap<String, Timestamp>>,
    /// Rows of health as they are in the table, as far as is known.
    health: BTreeMap<String, SavedHealth>,
    /// The table cannot be reached, and that was said.
    away: bool,
}

impl Rotation {
    /// For this server.
    pub(crate) fn new(shared: Arc<Shared>, ledger: Arc<dyn Ledger>) -> Self {
        Self { shared, ledger, known: Mutex::default() }
    }

    /// Before anything is served: what is out stays out, and breakers go on where they stood.
    pub(crate) async fn resume(&self) {
        let reading = async {
            self.follow().await?;
            self.restore(&self.ledger.states(HEALTH).await?);
            Ok(())
        };
        let done: Result<(), Error> = match tokio::time::timeout(START_PATIENCE, reading).await {
            Ok(done) => done,
            Err(_) => {
                return tracing::warn!("the ledger is slow: what is taken out by hand is not known yet");
            }
        };
        if let Err(error) = done {
            tracing::warn!(%error, "what is taken out by hand is not known yet");
        }
    }

    /// Follows other replicas and writes down our own standings until told to stop, and once more then.
    pub(crate) async fn run(&self, mut stop: watch::Receiver<bool>) {
        // Told to stop, it leaves what it was doing: a ledger that does not answer must not hold up the end.
        tokio::select! {
            () = told(&mut stop) => {}
            () = self.go_on() => {}
        }
        let last = tokio::time::timeout(ORDER_PATIENCE, self.keep()).await;
        self.say(last.unwrap_or(Ok(())));
    }

    /// Follows and writes for ever. Every step may be left half done: what is not known to be written is written again.
    async fn go_on(&self) {
        let (mut poll, mut look) = (tokio::time::interval(POLL), tokio::time::interval(LOOK));
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                _ = poll.tick() => self.follow().await,
                _ = look.tick() => self.keep().await,
                () = self.shared.state.changed.notified() => self.keep().await,
            };
            self.say(done);
        }
    }

    /// Gives an order: it holds here at once, and elsewhere when they next look. Whether it is written.
    pub(crate) async fn order(&self, subject: &Subject, order: Order) -> bool {
        let (now, engine) = (self.shared.clock.now(), self.shared.engine.load_full());
        let row = row(subject, &order, now);
        tracing::info!(subject = subject.text(), ?order, "an operator has ordered");
        match order {
            Order::Remove(control) => self.shared.state.set_control(&engine, subject.clone(), Some(control)),
            Order::Enable => self.shared.state.set_control(&engine, subject.clone(), None),
            Order::Reset => self.reset(subject, now),
        }
        {
            let mut known = self.known();
            if let (RESET, Some(resets)) = (row.0.0, &mut known.resets) {
                resets.insert(row.0.1.clone(), now);
            }
            // Until it is written it stands before what the table says.
            known.unwritten.insert(row.0.clone(), row.1.clone());
        }
        let written = tokio::time::timeout(ORDER_PATIENCE, self.flush()).await;
        matches!(written, Ok(Ok(())))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reset(&self, subject: &Subject, now: Timestamp) {
        let engine = self.shared.engine.load_full();
        for (slot, deployment) in engine.slots.iter().zip(&engine.compiled.deployments) {
            if subject.covers(&deployment.id, &deployment.provider) {
                slot.reset(now);
            }
        }
    }

    /// Writes what could not be written before.
    async fn flush(&self) -> Result<(), Error> {
        loop {
            let next = self.known().unwritten.iter().next().map(|(key, value)| (key.clone(), value.clone()));
            let Some(row) = next else { return Ok(()) };
            write(&*self.ledger, &row).await?;
            let mut known = self.known();
            // Another order on the same subject may have come meanwhile: that one is still to be written.
            if known.unwritten.get(&row.0) == Some(&row.1) {
                known.unwritten.remove(&row.0);
            }
        }
    }

    /// Does what the table says.
    async fn follow(&self) -> Result<(), Error> {
        self.flush().await?;
        let (rows, resets) = (self.ledger.states(CONTROL).await?, self.ledger.states(RESET).await?);
        let mut due = Vec::new();
        {
            let mut known = self.known();
            if !known.unwritten.is_empty() {
                // An order was given while the table was read: it is newer.
                return Ok(());
            }
            let first = known.resets.is_none();
            let seen = known.resets.get_or_insert_default();
            for (id, _, at) in resets {
                // What was ordered before this process began is done with: it began anew.
                if seen.insert(id.clone(), at) != Some(at) && !first {
                    due.extend(Subject::parse(&id));
                }
            }
            // Under the lock: an order given from now on comes after what was read.
            self.shared.state.set_controls(&self.shared.engine.load_full(), &controls(&rows));
        }
        for subject in due {
            tracing::info!(subject = subject.text(), "reset, as ordered elsewhere");
            self.reset(&subject, self.shared.clock.now());
        }
        Ok(())
    }

    fn restore(&self, rows: &[(String, String, Timestamp)]) {
        let (now, engine) = (self.shared.clock.now(), self.shared.engine.load_full());
        let mut known = self.known();
        for (id, value, at) in rows {
            let Some(place) = engine.compiled.deployments.iter().position(|d| *d.id == **id) else {
                continue;
            };
            let saved: SavedHealth = serde_json::from_str(value).unwrap_or_default();
            if let Some(slot) = engine.slots.get(place) {
                slot.restore(now, *at, &saved);
            }
            known.health.insert(id.clone(), saved);
        }
    }

    /// Writes down whose standing is another than what is written.
    async fn keep(&self) -> Result<(), Error> {
        let (now, engine) = (self.shared.clock.now(), self.shared.engine.load_full());
        for (slot, deployment) in engine.slots.iter().zip(&engine.compiled.deployments) {
            let Some(saved) = slot.saved(now) else { continue };
            let id = &*deployment.id;
            let written = self.known().health.get(id).cloned();
            if saved.is_empty() {
                if written.is_some() {
                    self.ledger.delete_state(HEALTH, id).await?;
                    self.known().health.remove(id);
                }
            } else if written.as_ref() != Some(&saved) {
                let value = serde_json::to_string(&saved).unwrap_or_default();
                self.ledger.put_state(HEALTH, id, &value, now).await?;
                self.known().health.insert(id.to_owned(), saved);
            }
        }
        self.forget(&engine).await
    }

    /// Rows of deployments that the configuration has no more: nobody would ever delete them.
    async fn forget(&self, engine: &Engine) -> Result<(), Error> {
        let is_there = |id: &str| engine.compiled.deployments.iter().any(|d| &*d.id == id);
        let gone: Vec<_> = self.known().health.keys().filter(|id| !is_there(id)).cloned().collect();
        for id in gone {
            self.ledger.delete_state(HEALTH, &id).await?;
            self.known().health.remove(&id);
        }
        Ok(())
    }

    /// Says once that the table is away, and once that it is back.
    fn say(&self, done: Result<(), Error>) {
        let mut known = self.known();
        match done {
            Err(error) if !known.away => {
                known.away = true;
                tracing::warn!(%error, "the ledger's table of states cannot be reached");
            }
            Ok(()) if known.away => {
                known.away = false;
                tracing::info!("the ledger's table of states is back");
            }
            _ => {}
        }
    }
}
