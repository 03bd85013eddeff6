//! The ledger in PostgreSQL, for several processes: a bounded pool of connections. What it is asked is in `store`.
//!
//! Connections live on a small runtime of the ledger's own: the server asks from several runtimes, of which some end
//! before the ledger does, and the writer's has no IO.

use std::pin::Pin;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::{
    Arguments as _, ConnectOptions, Connection as _, PgPool, Row as _, SqlSafeStr, SqlStr, Transaction,
};
use tokio::runtime::{Handle, Runtime};
use tokio::time::Sleep;

use crate::error::{Error, ErrorKind};
use crate::ledger::Answer;
use crate::store::sql::Flavor;
use crate::store::{self, Arg, Args, Backend, Bound, Length, Tx};

/// Migrations: number, name, text. The numbers are SQLite's.
const MIGRATIONS: [(i64, &str, &str); 2] = [
    (1, "ledger", include_str!("../../../../migrations/postgres/0001_ledger.sql")),
    (2, "budgets keys states", include_str!("../../../../migrations/postgres/0002_budgets_keys_states.sql")),
];
/// Connections of one process: the writer's, and a few for questions and draws.
const CONNECTIONS: u32 = 8;
/// How long a question waits for a connection, be it that all are busy or that the database is away.
const CONNECT: Duration = Duration::from_secs(3);
/// A connection is not used for longer, so that a proxy or a failover in front of the database is noticed.
const LIFETIME: Duration = Duration::from_secs(1800);

/// How long the database may be silent before a question is given up.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// In answering what is soon answered.
    short: Duration,
    /// In answering what may take a while.
    long: Duration,
}

const PATIENCE: Patience = Patience { short: Duration::from_secs(30), long: Duration::from_secs(600) };

/// A PostgreSQL database.
#[derive(Debug)]
pub(crate) struct Postgres {
    /// Replaced when the database has been silent for too long: its connections may all lead to a host that is gone,
    /// which TCP alone finds out after a quarter of an hour.
    pool: RwLock<PgPool>,
    options: PgConnectOptions,
    patience: Patience,
    /// It could not be reached when it was last asked.
    away: AtomicBool,
    runtime: Option<Runtime>,
    handle: Handle,
}

impl Postgres {
    /// Connects, and migrates. Without `create`, a database that holds no ledger is an error.
    pub(crate) async fn connect(url: &str, create: bool) -> Result<Self, Error> {
        Self::patient(url, create, PATIENCE).await
    }

    async fn patient(url: &str, create: bool, patience: Patience) -> Result<Self, Error> {
        let options = options(url)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("ledger-postgres")
            .enable_all()
            .build()
            .map_err(|e| Error::database("start a thread for the ledger", e))?;
        let handle = runtime.handle().clone();
        let pool = RwLock::new(pool(&handle, &options));
        let ledger =
            Self { pool, options, patience, away: AtomicBool::new(false), runtime: Some(runtime), handle };
        let opened: Answer<'_, ()> = Box::pin(async {
            ledger.migrate(create).await.map_err(|e| Error::database(&ledger.opening(), e))
        });
        ledger.place(opened, Length::Long).await?;
        Ok(ledger)
    }

    /// Processes that start at once take turns: the migrator holds an advisory lock.
    async fn migrate(&self, create: bool) -> Result<(), sqlx::Error> {
        let mut connection = self.alone().await?;
        let text = "SELECT to_regclass('attempts') IS NOT NULL";
        let known: bool = sqlx::query_scalar(text).fetch_one(&mut connection).await?;
        connection.close().await?;
        if !create && !known {
            return Err(sqlx::Error::Configuration("there is no ledger in it".into()));
        }
        let mut migrations = Vec::new();
        for (version, name, text) in MIGRATIONS {
            let text = text.into_sql_str();
            migrations.push(Migration::new(version, name.into(), MigrationType::Simple, text, false));
        }
        Ok(Migrator::with_migrations(migrations).run(&self.pool()).await?)
    }

    fn pool(&self) -> PgPool {
        self.pool.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Leaves all connections to their fate and begins with new ones.
    fn renew(&self) {
        let fresh = pool(&self.handle, &self.options);
        let old = std::mem::replace(&mut *self.pool.write().unwrap_or_else(PoisonError::into_inner), fresh);
        self.handle.spawn(async move { old.close().await });
    }

    /// A connection beside the pool: of what went wrong, that only tells that it has waited.
    async fn alone(&self) -> Result<sqlx::PgConnection, sqlx::Error> {
        let late = |_| std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer");
        tokio::time::timeout(CONNECT, self.options.connect()).await.map_err(late)?
    }

    /// Begins a transaction. While the database is away, nobody waits in the pool, which tries for as long as it may and
    /// does not say why: what refuses at once is then said at once.
    async fn begin(&self, text: &'static str) -> Result<Transaction<'static, sqlx::Postgres>, sqlx::Error> {
        if self.away.load(Ordering::Relaxed) {
            self.alone().await?.close().await?;
        }
        let begun = match self.pool().begin_with(text).await {
            // A pool that was replaced meanwhile.
            Err(sqlx::Error::PoolClosed) => self.pool().begin_with(text).await,
            other => other,
        };
        let away = matches!(begun, Err(sqlx::Error::PoolTimedOut | sqlx::Error::Io(_)));
        self.away.store(away, Ordering::Relaxed);
        if matches!(begun, Err(sqlx::Error::PoolTimedOut)) {
            self.alone().await?.close().await?;
        }
        begun
    }

    /// Where it is, without who one is there.
    fn opening(&self) -> String {
        let (host, port) = (self.options.get_host(), self.options.get_port());
        let database = self.options.get_database().unwrap_or_default();
        match self.options.get_socket() {
            Some(socket) => format!("open the ledger {database:?} at {}", socket.display()),
            None => format!("open the ledger {database:?} at {host}:{port}"),
        }
    }
}

fn pool(handle: &Handle, options: &PgConnectOptions) -> PgPool {
    let _here = handle.enter();
    PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(CONNECT)
        .max_lifetime(LIFETIME)
        .connect_lazy_with(options.clone())
}

/// The runtime must not end in the midst of another one, where waiting for it is not allowed.
impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What a URL says. An error does not repeat it: it may hold a password.
pub(crate) fn options(url: &str) -> Result<PgConnectOptions, Error> {
    let options = PgConnectOptions::from_str(url)
        .map_err(|e| Error::new(ErrorKind::Url, format!("ledger url \"postgres://...\": {e}")))?;
    Ok(options.application_name("llm-router").disable_statement_logging())
}

impl Backend for Postgres {
    type Tx = Transaction<'static, sqlx::Postgres>;

    async fn write(&self) -> Result<Self::Tx, sqlx::Error> {
        self.begin("BEGIN").await
    }

    async fn read(&self) -> Result<Self::Tx, sqlx::Error> {
        self.begin("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
    }

    /// Whoever polls, sockets and timers are those of the ledger's own runtime.
    fn place<'a, T: 'a>(&'a self, answer: Answer<'a, T>, length: Length) -> Answer<'a, T> {
        let patience = match length {
            Length::Short => self.patience.short,
            Length::Long => self.patience.long,
        };
        let _here = self.handle.enter();
        let given_up = Box::pin(tokio::time::sleep(patience));
        Box::pin(Placed { answer: Some(answer), given_up, ledger: self })
    }
}

/// An answer that is worked out, and given up, on another runtime than that of whoever waits for it.
struct Placed<'a, T> {
    answer: Option<Answer<'a, T>>,
    given_up: Pin<Box<Sleep>>,
    ledger: &'a Postgres,
}

impl<T> Future for Placed<'_, T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let _here = self.ledger.handle.enter();
        if let Some(answer) = &mut self.answer
            && let Poll::Ready(answer) = answer.as_mut().poll(context)
        {
            self.answer = None;
            return Poll::Ready(answer);
        }
        ready!(self.given_up.as_mut().poll(context));
        self.answer = None;
        self.ledger.renew();
        let silent = std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer");
        Poll::Ready(Err(Error::database("wait any longer for the ledger", silent)))
    }
}

impl<T> Drop for Placed<'_, T> {
    fn drop(&mut self) {
        let _here = self.ledger.handle.enter();
        self.answer = None;
    }
}

impl Args for PgArguments {
    fn put(&mut self, arg: Arg<'_>) -> Bound {
        match arg {
            Arg::Int(n) => self.add(n),
            Arg::Flag(flag) => self.add(flag),
            Arg::Text(text) => put_text(self, text),
            Arg::Shared(text) => put_text(self, text.map(|text| &**text)),
            Arg::Bytes(bytes) => self.add(bytes),
        }
    }

    fn room(&mut self, more: usize) {
        self.reserve(more, more * 16);
    }
}

/// PostgreSQL takes any text but one with NUL, which a client may well have sent.
fn put_text(args: &mut PgArguments, text: Option<&str>) -> Bound {
    match text {
        Some(text) if text.contains('\0') => args.add(text.replace('\0', "\u{fffd}")),
        text => args.add(text),
    }
}

impl store::Row for PgRow {
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

impl Tx for Transaction<'static, sqlx::Postgres> {
    type Args = PgArguments;
    type Row = PgRow;

    const FLAVOR: Flavor = Flavor::Postgres;

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
