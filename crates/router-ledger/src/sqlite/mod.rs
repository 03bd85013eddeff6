//! The ledger in SQLite, for one machine: WAL, one writing connection, a few reading ones. What it is asked is in `store`.

use std::path::Path;
use std::str::FromStr;
use std::sync::Mutex;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{
    Arguments as _, ConnectOptions, Row as _, SqlSafeStr, SqlStr, SqliteConnection, SqlitePool, Transaction,
};

use crate::error::{Error, ErrorKind};
use crate::store::sql::Flavor;
use crate::store::{self, Arg, Args, Backend, Bound, Tx};

/// Migrations: number, name, text.
const MIGRATIONS: [(i64, &str, &str); 2] = [
    (1, "ledger", include_str!("../../../../migrations/sqlite/0001_ledger.sql")),
    (2, "budgets keys states", include_str!("../../../../migrations/sqlite/0002_budgets_keys_states.sql")),
];
/// How long a statement waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Tries to open and migrate: another process may be doing the same to a new file.
const OPEN_TRIES: u32 = 5;

/// A SQLite database.
#[derive(Debug)]
pub(crate) struct Sqlite {
    write: SqlitePool,
    read: SqlitePool,
    /// A memory database lasts as long as a connection to it. Pools lose theirs when a runtime ends; this one stays.
    _anchor: Option<Mutex<SqliteConnection>>,
}

impl Sqlite {
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
}

fn open_text(file: &Path) -> String {
    format!("open the ledger {}", file.display())
}

impl Backend for Sqlite {
    type Tx = Transaction<'static, sqlx::Sqlite>;

    /// It takes the lock now, while `busy_timeout` can still wait for it.
    async fn write(&self) -> Result<Self::Tx, sqlx::Error> {
        self.write.begin_with("BEGIN IMMEDIATE").await
    }

    async fn read(&self) -> Result<Self::Tx, sqlx::Error> {
        self.read.begin().await
    }
}

impl Args for SqliteArguments {
    fn put(&mut self, arg: Arg<'_>) -> Bound {
        match arg {
            Arg::Int(n) => self.add(n),
            Arg::Flag(flag) => self.add(flag),
            Arg::Text(text) => self.add(text),
            Arg::Shared(text) => self.add(text.cloned()),
            Arg::Bytes(bytes) => self.add(bytes),
        }
    }

    fn room(&mut self, more: usize) {
        self.reserve(more, 0);
    }
}

impl store::Row for SqliteRow {
    fn int(&self, at: usize) -> Result<Option<i64>, sqlx::Error> {
        self.try_get(at)
    }

    fn flag(&self, at: usize) -> Result<bool, sqlx::Error> {
        self.try_get(at)
    }

    fn text(&self, at: usize) -> Result<Option<&str>, sqlx::Error> {
        self.try_get(at)
    }

    fn bytes(&self, at: usize) -> Result<Option<&[u8]>, sqlx::Error> {
        self.try_get(at)
    }
}

impl Tx for Transaction<'static, sqlx::Sqlite> {
    type Args = SqliteArguments;
    type Row = SqliteRow;

    const FLAVOR: Flavor = Flavor::Sqlite;

    async fn run_with(&mut self, text: SqlStr, args: Self::Args) -> Result<u64, sqlx::Error> {
        Ok(sqlx::query_with(text, args).execute(&mut **self).await?.rows_affected())
    }

    async fn rows_with(&mut self, text: SqlStr, args: Self::Args) -> Result<Vec<Self::Row>, sqlx::Error> {
        sqlx::query_with(text, args).fetch_all(&mut **self).await
    }

    async fn commit(self) -> Result<(), sqlx::Error> {
        Transaction::commit(self).await
    }
}

#[cfg(test)]
mod tests;
