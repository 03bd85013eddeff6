//! The suite on SQLite, in a file and in memory, and what only a file can go through.

use std::sync::Arc;

use router_core::attempt::Outcome;
use router_core::time::Timestamp;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, SqlSafeStr as _};

use crate::suite::{self, Fresh, close, open};
use crate::{Batch, By, ErrorKind, InstanceId, Ledger, ReportQuery, connect, connect_existing};

struct Memory;

impl Fresh for Memory {
    async fn fresh(&mut self, n: usize) -> Vec<Arc<dyn Ledger>> {
        // It has one connection, whoever asks.
        let ledger = connect("sqlite::memory:").await.unwrap();
        vec![ledger; n]
    }
}

struct Files(tempfile::TempDir, u32);

impl Fresh for Files {
    async fn fresh(&mut self, n: usize) -> Vec<Arc<dyn Ledger>> {
        self.1 += 1;
        suite::connected(&url(&self.0, &format!("{}.db", self.1)), n).await
    }
}

fn url(dir: &tempfile::TempDir, name: &str) -> String {
    format!("sqlite://{}/{name}", dir.path().display())
}

#[tokio::test]
async fn the_suite_in_memory() {
    suite::run(&mut Memory).await;
}

#[tokio::test]
async fn the_suite_in_a_file() {
    suite::run(&mut Files(tempfile::tempdir().unwrap(), 0)).await;
}

#[tokio::test]
async fn a_file_is_found_again_and_read_while_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let url = url(&dir, "router.db");
    let writing = connect(&url).await.unwrap();
    let reading = connect_existing(&url).await.unwrap();
    let process = writing.attach("a").await.unwrap().id;
    let mut batch = Batch::default();
    batch.push(process, open(1, 1));
    batch.push(process, close(1, 1, Outcome::Success, 3));
    writing.apply(&batch).await.unwrap();
    assert_eq!(reading.total_cost(Timestamp::ZERO).await.unwrap().nano(), 3);
    drop((writing, reading));
    let again = connect(&url).await.unwrap();
    assert_eq!(suite::rows(&*again).await, [(1, 1, "success", 3)]);
}

/// One written before there were budgets, keys and states.
#[tokio::test]
async fn an_old_ledger_is_migrated_in_place() {
    let dir = tempfile::tempdir().unwrap();
    let url = url(&dir, "router.db");
    let options: SqliteConnectOptions = url.parse().unwrap();
    let mut old = options.create_if_missing(true).connect().await.unwrap();
    let [(version, name, text), ..] = super::MIGRATIONS;
    let first = Migration::new(version, name.into(), MigrationType::Simple, text.into_sql_str(), false);
    Migrator::with_migrations(vec![first]).run(&mut old).await.unwrap();
    // Request 1 of the suite, answered by p/m.
    let id = "zeroblob(4) || x'03e8' || zeroblob(9) || x'01'";
    for statement in [
        "INSERT INTO instances (name) VALUES ('old')".to_owned(),
        format!(
            "INSERT INTO attempts (request, attempt, instance, at, deployment, provider, model, \
             ceiling_nanousd, price_version, simulated, ended_at, outcome, cost_nanousd, total_ms) \
             VALUES (CAST({id} AS BLOB), 1, 1, 1000000, 'p/m', 'p', 'auto', 9, 'v1', 0, 1100000, 'success', 7, 100)"
        ),
        format!(
            "INSERT INTO requests VALUES (CAST({id} AS BLOB), 1000000, 1100000, 'auto', NULL, NULL, NULL, 'p/m', \
             'success', 1, 7, 7, 20, 3, 0)"
        ),
    ] {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut old).await.unwrap();
    }
    old.close().await.unwrap();

    let ledger = connect(&url).await.unwrap();
    assert_eq!(suite::rows(&*ledger).await, [(1, 1, "success", 7)]);
    assert_eq!(ledger.attach("old").await.unwrap().id, InstanceId(1));
    let query = ReportQuery { since: Timestamp::ZERO, by: vec![By::Provider] };
    let rows = ledger.report(&query).await.unwrap().rows.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].group["provider"].as_deref(), Some("p"));
    assert_eq!((rows[0].figures.requests, rows[0].figures.cost_usd.nano()), (1, 7));
    assert_eq!(ledger.keys().await.unwrap(), []);
}

#[tokio::test]
async fn two_processes_may_make_the_same_file_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let url = url(&dir, "router.db");
    let (a, b) = tokio::join!(connect(&url), connect(&url));
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_ne!(a.attach("a").await.unwrap().id, b.attach("b").await.unwrap().id);
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let check = async |url: String, create: bool, kind: ErrorKind, part: &str| {
        let found = if create { connect(&url).await } else { connect_existing(&url).await };
        let error = found.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    };
    check(url(&dir, "none.db"), false, ErrorKind::Database, "none.db").await;
    check(url(&dir, "no/such/dir.db"), true, ErrorKind::Database, "no/such/dir.db").await;
    check("sqlite://x?mode=nonsense".into(), true, ErrorKind::Url, "nonsense").await;
    std::fs::write(dir.path().join("text.db"), "this is no database, and long enough to tell ".repeat(99))
        .unwrap();
    check(url(&dir, "text.db"), true, ErrorKind::Database, "text.db").await;
}
