//! A ledger that is opened when it is first asked, and tried again after a failure. What it answers is the ledger's behind
//! it.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use router_core::budget::BudgetUse;
use router_core::money::Usd;
use router_core::time::Timestamp;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::batch::Batch;
use crate::budgets::{BudgetFigures, Draw};
use crate::error::{Error, ErrorKind};
use crate::keys::{KeyChange, KeyRow, NewKey};
use crate::ledger::{Answer, Attached, AttemptRow, Cursor, DeploymentStats, InstanceId, Ledger};
use crate::report::{Report, ReportQuery};

/// After a failure nobody tries again for so long: whoever asks is told at once, and does not queue behind those who
/// wait for a database that is away.
const PAUSE: Duration = Duration::from_millis(500);

/// A ledger, perhaps not open yet.
pub(crate) struct Lazy {
    url: String,
    open: RwLock<Option<Arc<dyn Ledger>>>,
    /// The last failure, and who may try now.
    failed: Mutex<Option<(Instant, ErrorKind, String)>>,
}

/// Without the URL, which may hold a password.
impl std::fmt::Debug for Lazy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lazy").field("open", &self.known()).finish_non_exhaustive()
    }
}

impl Lazy {
    pub(crate) fn new(url: &str) -> Self {
        Self { url: url.to_owned(), open: RwLock::default(), failed: Mutex::default() }
    }

    fn known(&self) -> Option<Arc<dyn Ledger>> {
        self.open.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The ledger, opened now if it was not.
    async fn ledger(&self) -> Result<Arc<dyn Ledger>, Error> {
        if let Some(ledger) = self.known() {
            return Ok(ledger);
        }
        let mut failed = self.failed.lock().await;
        if let Some(ledger) = self.known() {
            return Ok(ledger);
        }
        if let Some((at, kind, text)) = &*failed
            && at.elapsed() < PAUSE
        {
            return Err(Error::new(*kind, text.clone()));
        }
        match crate::connect(&self.url).await {
            Ok(ledger) => {
                *self.open.write().unwrap_or_else(PoisonError::into_inner) = Some(ledger.clone());
                *failed = None;
                Ok(ledger)
            }
            Err(error) => {
                *failed = Some((Instant::now(), error.kind(), error.to_string()));
                Err(error)
            }
        }
    }
}

/// Each method, asked of the ledger behind.
macro_rules! behind {
    ($(fn $name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {
        impl Ledger for Lazy {
            $(fn $name<'a>(&'a self, $($arg: $type),*) -> Answer<'a, $answer> {
                Box::pin(async move { self.ledger().await?.$name($($arg),*).await })
            })*
        }
    };
}

behind! {
    fn attach(instance: &'a str) -> Attached;
    fn apply(batch: &'a Batch) -> ();
    fn finish(instance: InstanceId) -> u64;
    fn report(query: &'a ReportQuery) -> Report;
    fn deployment_stats(since: Timestamp) -> Vec<DeploymentStats>;
    fn attempts(since: Timestamp, limit: u32, after: Option<Cursor>) -> Vec<AttemptRow>;
    fn total_cost(since: Timestamp) -> Usd;
    fn draw(instance: InstanceId, budget: &'a BudgetUse, ask: Draw) -> Usd;
    fn keep(instance: InstanceId, budget: &'a BudgetUse, amount: Usd) -> ();
    fn budget_figures(budgets: &'a [BudgetUse]) -> Vec<BudgetFigures>;
    fn keys() -> Vec<KeyRow>;
    fn keys_version() -> u64;
    fn create_key(key: &'a NewKey) -> KeyRow;
    fn update_key(id: &'a str, change: &'a KeyChange) -> Option<KeyRow>;
    fn rotate_key(id: &'a str, new_sha256: [u8; 32], old_valid_until: Timestamp) -> KeyRow;
    fn revoke_key(id: &'a str, at: Timestamp) -> ();
    fn put_state(kind: &'a str, id: &'a str, value: &'a str, at: Timestamp) -> ();
    fn delete_state(kind: &'a str, id: &'a str) -> ();
    fn states(kind: &'a str) -> Vec<(String, String, Timestamp)>;
}
