//! The ledger in SQL, whatever the database: what is asked, in which order, in which transaction. How to reach a database
//! is its backend's: `sqlite`, `postgres`.

mod budgets;
mod keys;
mod read;
mod report;
mod rows;
pub(crate) mod sql;
mod states;
mod tx;
mod write;

use router_core::budget::BudgetUse;
use router_core::money::Usd;
use router_core::record::RequestId;
use router_core::time::Timestamp;

use crate::batch::Batch;
use crate::budgets::{BudgetFigures, Draw};
use crate::error::Error;
use crate::keys::{KeyChange, KeyRow, NewKey};
use crate::ledger::{Answer, Attached, AttemptRow, Cursor, DeploymentStats, InstanceId, Ledger, Position};
use crate::report::{Report, ReportQuery};

pub(crate) use tx::{Arg, Args, Bound, Row, Tx};

/// A database.
pub(crate) trait Backend: std::fmt::Debug + Send + Sync + 'static {
    /// Its transactions.
    type Tx: Tx;

    /// Begins a transaction that will write.
    fn write(&self) -> impl Future<Output = Result<Self::Tx, sqlx::Error>> + Send;

    /// Begins one that only reads: what is written meanwhile is in all of its answers or in none.
    fn read(&self) -> impl Future<Output = Result<Self::Tx, sqlx::Error>> + Send;

    /// Sees to it that an answer comes: where it is worked out, and how long that may take.
    fn place<'a, T: 'a>(&'a self, answer: Answer<'a, T>, _length: Length) -> Answer<'a, T> {
        answer
    }
}

/// How long an answer may well take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// A few rows, or a batch.
    Short,
    /// A look at every row of a window.
    Long,
}

/// A ledger in a database.
#[derive(Debug)]
pub(crate) struct Store<B>(pub(crate) B);

/// An answer of the database, or why there is none.
type Answered<T> = Result<T, sqlx::Error>;

impl<B: Backend> Store<B> {
    /// Asks the database, and says what it was about when that fails.
    fn ask<'a, T: Send + 'a>(
        &'a self,
        doing: &'static str,
        question: impl Future<Output = Answered<T>> + Send + 'a,
    ) -> Answer<'a, T> {
        self.place(Length::Short, async move { question.await.map_err(|e| Error::database(doing, e)) })
    }

    /// The same, for a question about many rows.
    fn look<'a, T: Send + 'a>(
        &'a self,
        question: impl Future<Output = Answered<T>> + Send + 'a,
    ) -> Answer<'a, T> {
        let question = async move { question.await.map_err(|e| Error::database("read the ledger", e)) };
        self.place(Length::Long, question)
    }

    fn place<'a, T: Send + 'a>(
        &'a self,
        length: Length,
        answer: impl Future<Output = Result<T, Error>> + Send + 'a,
    ) -> Answer<'a, T> {
        self.0.place(Box::pin(answer), length)
    }

    async fn known(&self, name: &str) -> Answered<Attached> {
        let mut tx = self.0.write().await?;
        let args = [Arg::from(name)];
        tx.run("INSERT INTO instances (name) VALUES ($1) ON CONFLICT (name) DO NOTHING", &args).await?;
        let row = tx.one("SELECT id, finished FROM instances WHERE name = $1", &args).await?;
        let mut cells = row.cells();
        let (id, finished) = (cells.int()?, cells.flag()?);
        let id = InstanceId(id);
        // Whoever goes on where a dead process was must see its last batch, should that still be on its way to the commit.
        lock(&mut tx, id, None).await?;
        let text = "SELECT series, file, byte_offset FROM positions WHERE instance = $1";
        let rows = tx.rows(text, &[id.0.into()]).await?;
        tx.commit().await?;
        let mut positions = Vec::new();
        for row in &rows {
            let mut cells = row.cells();
            let (series, file, offset) = (cells.small()?, cells.small()?, cells.int()?.cast_unsigned());
            positions.push(Position { instance: id, series, file, offset });
        }
        Ok(Attached { id, finished, positions })
    }

    async fn write_batch(&self, batch: &Batch) -> Answered<()> {
        let mut tx = self.0.write().await?;
        for (instance, last) in batch.instances() {
            lock(&mut tx, instance, last).await?;
        }
        if reached(&mut tx, &batch.positions).await? {
            return Ok(());
        }
        write::write(&mut tx, batch).await?;
        for p in &batch.positions {
            let place = [p.instance.0, p.series.into(), p.file.into(), rows::whole(p.offset)];
            tx.run(sql::REACH, &place.map(Arg::from)).await?;
        }
        tx.commit().await
    }

    async fn end(&self, instance: InstanceId) -> Answered<u64> {
        let mut tx = self.0.write().await?;
        lock(&mut tx, instance, None).await?;
        let lost = write::end(&mut tx, instance).await?;
        budgets::finish(&mut tx, instance).await?;
        let args = [Arg::from(instance.0)];
        tx.run("UPDATE instances SET finished = true WHERE id = $1", &args).await?;
        tx.run("DELETE FROM positions WHERE instance = $1", &args).await?;
        tx.commit().await?;
        Ok(lost)
    }
}

/// Waits for any other transaction about the same process: one whose connection broke may still be on its way to the
/// commit while the same is tried again, and must be seen then. Notes the process's last request on the way.
async fn lock<T: Tx>(tx: &mut T, instance: InstanceId, last: Option<RequestId>) -> Answered<()> {
    let last = last.map(rows::id);
    let last = last.as_ref().map_or(Arg::Bytes(None), Arg::from);
    let text = "UPDATE instances SET last_request = \
         CASE WHEN last_request > $2 THEN last_request ELSE coalesce($2, last_request) END WHERE id = $1";
    tx.run(text, &[instance.0.into(), last]).await?;
    Ok(())
}

/// Whether all these positions are in the ledger: then so is what was read up to them.
async fn reached<T: Tx>(tx: &mut T, positions: &[Position]) -> Answered<bool> {
    for p in positions {
        let text = "SELECT file, byte_offset FROM positions WHERE instance = $1 AND series = $2";
        let known = tx.maybe(text, &[p.instance.0.into(), i64::from(p.series).into()]).await?;
        let Some(row) = known else { return Ok(false) };
        let mut cells = row.cells();
        if (cells.int()?, cells.int()?) < (i64::from(p.file), rows::whole(p.offset)) {
            return Ok(false);
        }
    }
    Ok(!positions.is_empty())
}

impl<B: Backend> Ledger for Store<B> {
    fn attach<'a>(&'a self, instance: &'a str) -> Answer<'a, Attached> {
        self.ask("find a process in the ledger", self.known(instance))
    }

    fn apply<'a>(&'a self, batch: &'a Batch) -> Answer<'a, ()> {
        self.ask("write to the ledger", self.write_batch(batch))
    }

    fn finish(&self, instance: InstanceId) -> Answer<'_, u64> {
        let doing = "end a process in the ledger";
        let end = async move { self.end(instance).await.map_err(|e| Error::database(doing, e)) };
        self.place(Length::Long, end)
    }

    fn report<'a>(&'a self, query: &'a ReportQuery) -> Answer<'a, Report> {
        self.look(report::report(&self.0, query))
    }

    fn deployment_stats(&self, since: Timestamp) -> Answer<'_, Vec<DeploymentStats>> {
        self.look(read::deployment_stats(&self.0, since))
    }

    fn attempts(&self, since: Timestamp, limit: u32, after: Option<Cursor>) -> Answer<'_, Vec<AttemptRow>> {
        self.look(read::attempts(&self.0, since, limit, after))
    }

    fn total_cost(&self, since: Timestamp) -> Answer<'_, Usd> {
        self.look(read::total_cost(&self.0, since))
    }

    fn draw<'a>(&'a self, instance: InstanceId, budget: &'a BudgetUse, ask: Draw) -> Answer<'a, Usd> {
        self.ask("draw from a budget", budgets::draw(&self.0, instance, budget, ask))
    }

    fn keep<'a>(&'a self, instance: InstanceId, budget: &'a BudgetUse, amount: Usd) -> Answer<'a, ()> {
        self.ask("keep a part of a budget", budgets::keep(&self.0, instance, budget, amount))
    }

    fn budget_figures<'a>(&'a self, budgets: &'a [BudgetUse]) -> Answer<'a, Vec<BudgetFigures>> {
        self.ask("read budgets", budgets::figures(&self.0, budgets))
    }

    fn keys(&self) -> Answer<'_, Vec<KeyRow>> {
        self.ask("read the keys", keys::all(&self.0))
    }

    fn keys_version(&self) -> Answer<'_, u64> {
        self.ask("read the keys' version", keys::version(&self.0))
    }

    fn create_key<'a>(&'a self, key: &'a NewKey) -> Answer<'a, KeyRow> {
        self.place(Length::Short, keys::create(&self.0, key))
    }

    fn update_key<'a>(&'a self, id: &'a str, change: &'a KeyChange) -> Answer<'a, Option<KeyRow>> {
        self.place(Length::Short, keys::update(&self.0, id, change))
    }

    fn rotate_key<'a>(
        &'a self,
        id: &'a str,
        new_sha256: [u8; 32],
        old_valid_until: Timestamp,
    ) -> Answer<'a, KeyRow> {
        self.place(Length::Short, keys::rotate(&self.0, id, new_sha256, old_valid_until))
    }

    fn revoke_key<'a>(&'a self, id: &'a str, at: Timestamp) -> Answer<'a, ()> {
        self.place(Length::Short, keys::revoke(&self.0, id, at))
    }

    fn put_state<'a>(&'a self, kind: &'a str, id: &'a str, value: &'a str, at: Timestamp) -> Answer<'a, ()> {
        self.ask("remember a state", states::put(&self.0, [kind, id, value], at))
    }

    fn delete_state<'a>(&'a self, kind: &'a str, id: &'a str) -> Answer<'a, ()> {
        self.ask("forget a state", states::delete(&self.0, kind, id))
    }

    fn states<'a>(&'a self, kind: &'a str) -> Answer<'a, Vec<(String, String, Timestamp)>> {
        self.ask("read states", states::all(&self.0, kind))
    }
}
