//! The ledger in SQLite, for one machine: WAL, one writing connection, a few reading ones. Its SQL text is in `sql`.

mod bind;
mod read;
mod report;

use std::path::Path;
use std::str::FromStr;
use std::sync::Mutex;
use std::time::Duration;

use router_core::money::Usd;
use router_core::time::Timestamp;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Row, SqlSafeStr, Sqlite, SqliteConnection, SqlitePool, Transaction};

use crate::batch::Batch;
use crate::error::{Error, ErrorKind};
use crate::ledger::{Answer, Attached, AttemptRow, Cursor, DeploymentStats, InstanceId, Ledger, Position};
use crate::report::{Report, ReportQuery};
use crate::sql;

/// Migrations: number, name, text.
const MIGRATIONS: [(i64, &str, &str); 1] =
    [(1, "ledger", include_str!("../../../../migrations/sqlite/0001_ledger.sql"))];
/// How long a statement waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Tries to open and migrate: another process may be doing the same to a new file.
const OPEN_TRIES: u32 = 5;

/// A SQLite database.
#[derive(Debug)]
pub(crate) struct SqliteLedger {
    write: SqlitePool,
    read: SqlitePool,
    /// A memory database lasts as long as a connection to it. Pools lose theirs when a runtime ends; this one stays.
    _anchor: Option<Mutex<SqliteConnection>>,
}

impl SqliteLedger {
    /// Opens, makes if allowed, and migrates.
    pub(crate) async fn connect(url: &str, create: bool) -> Result<Self, Error> {
        let options = SqliteConnectOptions::from_str(url)
            .map_err(|e| Error::new(ErrorKind::Url, format!("ledger url {url:?}: {e}")))?;
        let memory = url.contains(":memory:") || url.contains("mode=memory");
        let file = options.get_filename().to_owned();
        if !create && !memory && !file.exists() {
            return Err(Error::new(ErrorKind::Database, format!("there is no ledger at {}", file.display())));
        }
        let options = options
            .create_if_missing(create)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(BUSY_TIMEOUT)
            .thread_name(|_| "ledger-sqlite".to_owned())
            .disable_statement_logging();
        let mut tries = 0;
        loop {
            tries += 1;
            match Self::open(&options, memory).await {
                Err(e) if tries < OPEN_TRIES && !memory => {
                    tracing::debug!(error = %e, "opening the ledger again");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(e) => return Err(Error::database(&open_text(&file), e)),
                Ok(ledger) => return Ok(ledger),
            }
        }
    }

    async fn open(options: &SqliteConnectOptions, memory: bool) -> Result<Self, sqlx::Error> {
        let anchor = if memory { Some(Mutex::new(options.connect().await?)) } else { None };
        // Connections are kept for good: SQLite's cost nothing.
        let pool = |connections| {
            SqlitePoolOptions::new()
                .max_connections(connections)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
        };
        let write = pool(1).connect_with(options.clone()).await?;
        let mut migrations = Vec::new();
        for (version, name, text) in MIGRATIONS {
            let text = text.into_sql_str();
            migrations.push(Migration::new(version, name.into(), MigrationType::Simple, text, false));
        }
        Migrator::with_migrations(migrations).run(&write).await?;
        let read = if memory { write.clone() } else { pool(4).connect_with(options.clone()).await? };
        Ok(Self { write, read, _anchor: anchor })
    }

    /// A transaction that will write: it takes the lock now, while `busy_timeout` can still wait for it.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.write.begin_with("BEGIN IMMEDIATE").await
    }

    async fn write_batch(&self, batch: &Batch) -> Result<(), sqlx::Error> {
        let mut tx = self.begin().await?;
        bind::write(&mut tx, batch).await?;
        for position in &batch.positions {
            sqlx::query(sql::REACH)
                .bind(position.instance.0)
                .bind(position.series)
                .bind(position.file)
                .bind(bind::whole(position.offset))
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await
    }

    async fn known(&self, name: &str) -> Result<Attached, sqlx::Error> {
        let mut tx = self.begin().await?;
        sqlx::query("INSERT INTO instances (name) VALUES (?) ON CONFLICT (name) DO NOTHING")
            .bind(name)
            .execute(&mut *tx)
            .await?;
        let (id, finished): (i64, bool) = sqlx::query_as("SELECT id, finished FROM instances WHERE name = ?")
            .bind(name)
            .fetch_one(&mut *tx)
            .await?;
        let rows = sqlx::query("SELECT series, file, byte_offset FROM positions WHERE instance = ?")
            .bind(id)
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        let id = InstanceId(id);
        let mut positions = Vec::new();
        for row in rows {
            let (series, file) = (row.try_get(0)?, row.try_get(1)?);
            let offset = row.try_get::<i64, _>(2)?.cast_unsigned();
            positions.push(Position { instance: id, series, file, offset });
        }
        Ok(Attached { id, finished, positions })
    }

    async fn end(&self, instance: InstanceId) -> Result<u64, sqlx::Error> {
        let mut tx = self.begin().await?;
        let (open, last): (Option<Vec<u8>>, Option<Vec<u8>>) =
            sqlx::query_as(sql::UNENDED).bind(instance.0).fetch_one(&mut *tx).await?;
        let lost = sqlx::query(sql::BOOK_LOST).bind(instance.0).execute(&mut *tx).await?.rows_affected();
        if let Some(last) = last {
            let from = unended_from(open, &last);
            sqlx::query(sql::END_REQUESTS.as_str()).bind(instance.0).bind(from).execute(&mut *tx).await?;
        }
        sqlx::query("UPDATE instances SET finished = 1 WHERE id = ?")
            .bind(instance.0)
            .execute(&mut *tx)
            .await?;
        sqlx::query("DELETE FROM positions WHERE instance = ?").bind(instance.0).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(lost)
    }
}

fn open_text(file: &Path) -> String {
    format!("open the ledger {}", file.display())
}

/// Where to look for requests that a dead process left without an end: from the oldest with an attempt still open; in any
/// case among those of its last ten minutes, for one whose attempts had all ended was about to be recorded itself.
fn unended_from(open: Option<Vec<u8>>, last: &[u8]) -> Vec<u8> {
    let last =
        last.first_chunk().map_or(0, |ms: &[u8; 6]| ms.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)));
    let recent = bind::id(sql::id_at(last.saturating_sub(600_000)));
    open.map_or(recent.clone(), |open| open.min(recent))
}

/// Runs a question, and says what it was about when it fails.
async fn ask<T>(
    doing: &str,
    question: impl Future<Output = Result<T, sqlx::Error>> + Send,
) -> Result<T, Error> {
    question.await.map_err(|e| Error::database(doing, e))
}

impl Ledger for SqliteLedger {
    fn attach<'a>(&'a self, instance: &'a str) -> Answer<'a, Attached> {
        Box::pin(ask("find a process in the ledger", self.known(instance)))
    }

    fn apply<'a>(&'a self, batch: &'a Batch) -> Answer<'a, ()> {
        Box::pin(ask("write to the ledger", self.write_batch(batch)))
    }

    fn finish(&self, instance: InstanceId) -> Answer<'_, u64> {
        Box::pin(ask("end a process in the ledger", self.end(instance)))
    }

    fn report<'a>(&'a self, query: &'a ReportQuery) -> Answer<'a, Report> {
        Box::pin(ask("report from the ledger", report::report(&self.read, query)))
    }

    fn deployment_stats(&self, since: Timestamp) -> Answer<'_, Vec<DeploymentStats>> {
        Box::pin(ask("read the ledger", read::deployment_stats(&self.read, since)))
    }

    fn attempts(&self, since: Timestamp, limit: u32, after: Option<Cursor>) -> Answer<'_, Vec<AttemptRow>> {
        Box::pin(ask("read the ledger", read::attempts(&self.read, since, limit, after)))
    }

    fn total_cost(&self, since: Timestamp) -> Answer<'_, Usd> {
        Box::pin(ask("read the ledger", read::total_cost(&self.read, since)))
    }
}

#[cfg(test)]
mod tests;
