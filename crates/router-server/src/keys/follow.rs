//! Keeps the keys in force those of the ledger: looks for changes about every second and whenever asked, and keeps the
//! local snapshot.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use router_ledger::{Error, Ledger};
use tokio::sync::{mpsc, oneshot};

use super::{LedgerKeys, SnapshotFile};
use crate::worker::Shared;

/// How often it looks: a revoked key stops within twice that, on every replica.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A look that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);
/// Changes that may wait to be looked for.
const WAITING: usize = 64;

/// Follows one ledger.
pub(crate) struct Follower {
    shared: Arc<Shared>,
    ledger: Arc<dyn Ledger>,
    snapshot: Option<SnapshotFile>,
    asked: mpsc::Receiver<oneshot::Sender<()>>,
    known: Option<u64>,
    failing: bool,
    /// The snapshot on disk is not the last one: it could not be written.
    unwritten: bool,
}

/// The way to ask for a look.
#[derive(Clone, Debug)]
pub(crate) struct Changes(mpsc::Sender<oneshot::Sender<()>>);

impl Changes {
    /// Something was changed: returns when it counts in this process.
    pub(crate) async fn made(&self) {
        let (done, seen) = oneshot::channel();
        if self.0.send(done).await.is_ok() {
            let _ = seen.await;
        }
    }
}

impl Follower {
    /// Not looked yet. Without a snapshot file, nothing is kept.
    pub(crate) fn new(
        shared: Arc<Shared>,
        ledger: Arc<dyn Ledger>,
        snapshot: Option<SnapshotFile>,
    ) -> (Self, Changes) {
        let (sender, asked) = mpsc::channel(WAITING);
        let (known, failing, unwritten) = (None, false, false);
        (Self { shared, ledger, snapshot, asked, known, failing, unwritten }, Changes(sender))
    }

    /// Looks until nobody can ask any more; says when it has looked for the first time.
    pub(crate) async fn run(mut self, first: Sender<()>) {
        self.look().await;
        let _ = first.send(());
        drop(first);
        let mut every = tokio::time::interval(LOOK_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let asked = tokio::select! {
                _ = every.tick() => None,
                asked = self.asked.recv() => match asked {
                    Some(asked) => Some(asked),
                    None => return,
                },
            };
            self.look().await;
            if let Some(done) = asked {
                let _ = done.send(());
            }
        }
    }

    async fn look(&mut self) {
        let read = tokio::time::timeout(PATIENCE, newer(&*self.ledger, self.known)).await;
        let why = match read {
            Ok(Ok(keys)) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the ledger's client keys can be read again");
                }
                return self.take(keys);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
        };
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(why, "the ledger's client keys cannot be read: those last known stay in force");
            self.shared.restore_keys(self.snapshot.as_ref());
        }
    }

    fn take(&mut self, newer: Option<LedgerKeys>) {
        if let Some(keys) = newer {
            tracing::info!(version = keys.version, keys = keys.rows.len(), "client keys of the ledger");
            self.known = Some(keys.version);
            // A ledger that never had a key leaves no file behind; one that lost them must not leave the old one.
            self.unwritten = keys.version > 0 || self.snapshot.as_ref().is_some_and(|s| s.path().exists());
            self.shared.keys.read(keys);
        }
        let (Some(file), true) = (&self.snapshot, self.unwritten) else { return };
        let (version, rows) = (self.known.unwrap_or_default(), self.shared.keys.listed().1);
        match file.write(&LedgerKeys { version, rows }, self.shared.clock.now()) {
            Ok(()) => self.unwritten = false,
            Err(error) => {
                tracing::error!(%error, file = %file.path().display(), "the snapshot of the client keys cannot be written");
            }
        }
    }
}

/// The keys, if they are not those of this version.
async fn newer(ledger: &dyn Ledger, known: Option<u64>) -> Result<Option<LedgerKeys>, Error> {
    let version = ledger.keys_version().await?;
    if known == Some(version) {
        return Ok(None);
    }
    // Read after the version: they are at least that new.
    let rows = ledger.keys().await?;
    Ok(Some(LedgerKeys { version, rows }))
}

impl Shared {
    /// The ledger is away: if its keys were not read yet, those of the snapshot count.
    pub(crate) fn restore_keys(&self, snapshot: Option<&SnapshotFile>) {
        if self.keys.origin() != super::ring::UNREAD {
            return;
        }
        let Some(file) = snapshot else { return };
        match file.read() {
            Ok(Some((keys, taken_at))) => {
                let count = keys.rows.len();
                if self.keys.restore(keys, taken_at) {
                    tracing::warn!(
                        keys = count, taken_at = %taken_at.rfc3339(),
                        "the ledger is away: client keys are those of the local snapshot"
                    );
                }
            }
            Ok(None) => tracing::error!(
                "the ledger is away and there is no local snapshot of its client keys: only keys of the configuration \
                 are accepted"
            ),
            Err(why) => tracing::error!(
                why, file = %file.path().display(),
                "the ledger is away and the local snapshot of its client keys cannot be used: only keys of the \
                 configuration are accepted"
            ),
        }
    }
}
