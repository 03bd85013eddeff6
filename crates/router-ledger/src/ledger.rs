//! The seam between what is remembered and where: the `Ledger` trait, and the values that cross it. No SQL here.

use std::future::Future;
use std::pin::Pin;

use router_core::budget::BudgetUse;
use router_core::money::Usd;
use router_core::record::{CloseRecord, OpenRecord, RequestId};
use router_core::time::Timestamp;

use crate::batch::Batch;
use crate::budgets::{BudgetFigures, Draw};
use crate::error::Error;
use crate::keys::{KeyChange, KeyRow, NewKey};
use crate::report::{Report, ReportQuery};

/// What every method of [`Ledger`] returns.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// A store of attempts and requests, of client keys, of what processes have drawn from budgets, and of what the server
/// must know again after a restart. Two backends: SQLite and PostgreSQL; `suite` runs on each.
///
/// A method that fails may still have happened: the connection can break after the commit. What that means for money is
/// said at each.
pub trait Ledger: Send + Sync + std::fmt::Debug {
    /// Makes a process known, or finds it again, with the positions reached in its spool.
    fn attach<'a>(&'a self, instance: &'a str) -> Answer<'a, Attached>;

    /// Writes a batch, what it spends of budgets, and the positions it reaches in one transaction: all of it, or nothing.
    /// A batch whose positions the ledger has reached already is passed over, so applying one again changes nothing.
    fn apply<'a>(&'a self, batch: &'a Batch) -> Answer<'a, ()>;

    /// Ends a dead process in one transaction: what it opened and never closed is booked at its ceiling, lost and
    /// estimated; a request it left without an end gets one (`success` if an attempt answered, else `lost`); what it had
    /// drawn from budgets and not spent goes back to them. Returns the number of attempts lost. Nothing happens the
    /// second time.
    fn finish(&self, instance: InstanceId) -> Answer<'_, u64>;

    /// Figures over a window.
    fn report<'a>(&'a self, query: &'a ReportQuery) -> Answer<'a, Report>;

    /// How each deployment did with the attempts begun since then.
    fn deployment_stats(&self, since: Timestamp) -> Answer<'_, Vec<DeploymentStats>>;

    /// Attempts begun since then in the order of their requests, at most `limit`, after a cursor.
    fn attempts(&self, since: Timestamp, limit: u32, after: Option<Cursor>) -> Answer<'_, Vec<AttemptRow>>;

    /// The sum of what attempts begun since then have cost, simulated ones left out.
    fn total_cost(&self, since: Timestamp) -> Answer<'_, Usd>;

    /// Takes money from a budget for a process to spend: as [`Draw::grant`] says, zero when there is not enough. Over all
    /// processes, what is drawn never passes the limit. After an error it may have been drawn: it is then not to be
    /// spent, and goes back with the next [`Ledger::keep`], or when the process ends.
    fn draw<'a>(&'a self, instance: InstanceId, budget: &'a BudgetUse, ask: Draw) -> Answer<'a, Usd>;

    /// Says how much of what it has drawn, spent money included, a process keeps. The rest goes back, and the caller must
    /// have stopped counting on it before it asks; what is more than it had drawn is an overrun, and is booked whatever
    /// the limit. Asking twice is asking once: after an error it is asked again before the process draws more.
    fn keep<'a>(&'a self, instance: InstanceId, budget: &'a BudgetUse, amount: Usd) -> Answer<'a, ()>;

    /// What is drawn from budgets and what is spent, in the order asked; zeros for one nobody has used.
    fn budget_figures<'a>(&'a self, budgets: &'a [BudgetUse]) -> Answer<'a, Vec<BudgetFigures>>;

    /// All keys that are not revoked, by name. Expired ones and hashes are among them.
    fn keys(&self) -> Answer<'_, Vec<KeyRow>>;

    /// Grows with every change of a key. Read it before [`Ledger::keys`]: those are then at least that new.
    fn keys_version(&self) -> Answer<'_, u64>;

    /// Makes a key. Fails with `NameTaken`, or `HashKnown` when its secret, or its id, belongs or belonged to a key.
    fn create_key<'a>(&'a self, key: &'a NewKey) -> Answer<'a, KeyRow>;

    /// Changes a key; `None` when no such key lives. Fails with `NameTaken`.
    fn update_key<'a>(&'a self, id: &'a str, change: &'a KeyChange) -> Answer<'a, Option<KeyRow>>;

    /// Gives a key a new secret; its older ones are accepted until `old_valid_until`, or until they would have ended
    /// anyway. Fails with `NoSuchKey`, `HashKnown`.
    fn rotate_key<'a>(
        &'a self,
        id: &'a str,
        new_sha256: [u8; 32],
        old_valid_until: Timestamp,
    ) -> Answer<'a, KeyRow>;

    /// Ends a key for good. Fails with `NoSuchKey`.
    fn revoke_key<'a>(&'a self, id: &'a str, at: Timestamp) -> Answer<'a, ()>;

    /// Remembers a value under a kind and an id, in place of the one before.
    fn put_state<'a>(&'a self, kind: &'a str, id: &'a str, value: &'a str, at: Timestamp) -> Answer<'a, ()>;

    /// Forgets it.
    fn delete_state<'a>(&'a self, kind: &'a str, id: &'a str) -> Answer<'a, ()>;

    /// All of a kind, by id: id, value, when it was put.
    fn states<'a>(&'a self, kind: &'a str) -> Answer<'a, Vec<(String, String, Timestamp)>>;
}

/// A process, as the ledger numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub i64);

/// What the ledger knows of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Its number.
    pub id: InstanceId,
    /// It was finished: whatever is left of its spool is in the ledger.
    pub finished: bool,
    /// How far each of its series is in the ledger.
    pub positions: Vec<Position>,
}

/// How far a series of a process is in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The process.
    pub instance: InstanceId,
    /// The series: its runtime thread.
    pub series: u32,
    /// The segment file's number.
    pub file: u32,
    /// Bytes of that file.
    pub offset: u64,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRow {
    /// How it began. Of an attempt whose `open` was lost to damage: empty names, no ceiling.
    pub open: OpenRecord,
    /// How it ended; `None`: it has not, yet. A lost one ended when it began, for all we know.
    pub close: Option<CloseRecord>,
}

/// Where a listing goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The last request listed.
    pub request: RequestId,
    /// Its last attempt listed.
    pub attempt: u32,
}

impl AttemptRow {
    /// The place just after this row.
    pub const fn cursor(&self) -> Cursor {
        Cursor { request: self.open.request, attempt: self.open.attempt }
    }
}

/// How a deployment did.
#[derive(Clone, Debug, PartialEq)]
pub struct DeploymentStats {
    /// Deployment id.
    pub deployment: String,
    /// Attempts that ended, cancelled ones left out.
    pub attempts: u64,
    /// Share of those that failed or were lost, 0..=1.
    pub error_rate: f64,
    /// Median of the total time of successes, in milliseconds; exact, nearest rank.
    pub p50_ms: Option<u64>,
    /// 95th percentile of the same.
    pub p95_ms: Option<u64>,
}
