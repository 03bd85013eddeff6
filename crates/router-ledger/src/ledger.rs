//! The seam between what is remembered and where: the `Ledger` trait, and the values that cross it. No SQL here.

use std::future::Future;
use std::pin::Pin;

use router_core::money::Usd;
use router_core::record::{CloseRecord, OpenRecord, RequestId};
use router_core::time::Timestamp;

use crate::batch::Batch;
use crate::error::Error;
use crate::report::{Report, ReportQuery};

/// What every method of [`Ledger`] returns.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// A store of attempts and requests. Two backends: SQLite, later PostgreSQL; `suite` runs on each.
pub trait Ledger: Send + Sync + std::fmt::Debug {
    /// Makes a process known, or finds it again, with the positions reached in its spool.
    fn attach<'a>(&'a self, instance: &'a str) -> Answer<'a, Attached>;

    /// Writes a batch and the positions it reaches in one transaction: all of it, or nothing. Applying the same batch
    /// again changes nothing.
    fn apply<'a>(&'a self, batch: &'a Batch) -> Answer<'a, ()>;

    /// Ends a dead process in one transaction: what it opened and never closed is booked at its ceiling, lost and
    /// estimated; a request it left without an end gets one (`success` if an attempt answered, else `lost`). Returns the
    /// number of attempts lost. Nothing happens the second time.
    fn finish(&self, instance: InstanceId) -> Answer<'_, u64>;

    /// Figures over a window.
    fn report<'a>(&'a self, query: &'a ReportQuery) -> Answer<'a, Report>;

    /// How each deployment did with the attempts begun since then.
    fn deployment_stats(&self, since: Timestamp) -> Answer<'_, Vec<DeploymentStats>>;

    /// Attempts begun since then in the order of their requests, at most `limit`, after a cursor.
    fn attempts(&self, since: Timestamp, limit: u32, after: Option<Cursor>) -> Answer<'_, Vec<AttemptRow>>;

    /// The sum of what attempts begun since then have cost, simulated ones left out.
    fn total_cost(&self, since: Timestamp) -> Answer<'_, Usd>;
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
