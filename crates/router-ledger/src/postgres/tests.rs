//! The suite on a real PostgreSQL, and what only a server can go through.

use std::sync::Arc;
use std::time::Duration;

use router_core::attempt::Outcome;
use router_core::record::{LedgerRecord, OpenRecord};
use router_core::time::Timestamp;
use router_test_postgres::Postgres as Server;
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

use crate::store::Store;
use crate::suite::{self, Fresh, budget, close, open, open_record};
use crate::{
    Batch, ErrorKind, Ledger, Spool, SpoolOptions, Writer, connect, connect_existing, connect_lazily,
};

impl Fresh for Server {
    async fn fresh(&mut self, n: usize) -> Vec<Arc<dyn Ledger>> {
        suite::connected(&self.fresh_database().unwrap(), n).await
    }
}

#[tokio::test]
async fn the_suite() {
    suite::run(&mut Server::start().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_may_start_at_once_and_share_a_database() {
    let mut server = Server::start().unwrap();
    let url = server.fresh_database().unwrap();
    let mut starting = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let url = url.clone();
        starting.spawn(async move { connect(&url).await.unwrap() });
    }
    let ledgers = starting.join_all().await;
    let mut ids = Vec::new();
    for (n, ledger) in ledgers.iter().enumerate() {
        ids.push(ledger.attach(&format!("p{n}")).await.unwrap().id);
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 6);
    let found = connect_existing(&url).await.unwrap();
    assert_eq!(found.attach("p0").await.unwrap(), ledgers[0].attach("p0").await.unwrap());
}

#[tokio::test]
async fn what_is_not_there_is_said_without_the_password() {
    let mut server = Server::start().unwrap();
    let url = server.fresh_database().unwrap();
    let error = connect_existing(&url).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Database);
    assert!(error.to_string().contains("there is no ledger in it"), "{error}");
    // Nobody listens there.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = connect(&format!("postgres://ledger:hunter2@{nobody}/router")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Database);
    assert!(error.to_string().contains(&format!("open the ledger \"router\" at {nobody}")), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

/// The ledger is opened on a runtime that ends at once, and asked from one without IO.
#[test]
fn any_runtime_may_ask() {
    let mut server = Server::start().unwrap();
    let url = server.fresh_database().unwrap();
    let plain = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let ledger = plain().block_on(connect(&url)).unwrap();
    let asked = plain().block_on(ledger.attach("a")).unwrap();
    assert_eq!(plain().block_on(ledger.attach("a")).unwrap(), asked);
    // An answer nobody waits for, given up outside any runtime.
    let mut late = ledger.attach("b");
    let polled = plain().block_on(async { look(&mut late).await });
    assert!(polled.is_pending());
    drop(late);
    assert_eq!(plain().block_on(ledger.attach("a")).unwrap(), asked);
}

/// One look at a future.
async fn look<T>(future: &mut crate::Answer<'_, T>) -> std::task::Poll<()> {
    std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context).map(drop))).await
}

/// A host that is gone without a word looks like this: the connection is there, and no answer comes.
#[tokio::test]
async fn a_silent_database_is_given_up_and_found_again() {
    let mut server = Server::start().unwrap();
    let url = server.fresh_database().unwrap();
    let patience = super::Patience { short: Duration::from_millis(50), ..super::PATIENCE };
    let mut ledger = Store(super::Postgres::patient(&url, true, patience).await.unwrap());
    let mut other = url.parse::<PgConnectOptions>().unwrap().connect().await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE states").execute(&mut other).await.unwrap();
    // More than there are connections.
    for _ in 0..20 {
        let error = ledger.put_state("a", "b", "c", Timestamp::ZERO).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot wait any longer for the ledger: no answer");
    }
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    ledger.0.patience = super::PATIENCE;
    ledger.put_state("a", "b", "d", Timestamp::ZERO).await.unwrap();
    assert_eq!(ledger.states("a").await.unwrap().len(), 1);
}

/// An attempt's beginning that counts on a budget.
fn counted(id: u128) -> LedgerRecord {
    LedgerRecord::Open(OpenRecord { budgets: vec![budget("team")], ..open_record(id, 1) })
}

/// The server starts with the database away, loses it while it runs, and gets it back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_goes_and_comes_back_costs_nothing() {
    let mut server = Server::own().unwrap();
    let url = server.fresh_database().unwrap();
    let root = tempfile::tempdir().unwrap();
    let spool = Spool::open(root.path(), "me", SpoolOptions::default()).unwrap();
    let segment = spool.segment(0).unwrap();
    server.stop().unwrap();

    let ledger = connect_lazily(&url).unwrap();
    let error = ledger.keys_version().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Database);
    let writer = Writer::start(&spool, ledger.clone()).unwrap();
    for id in 1..=500 {
        segment.append(&counted(id)).unwrap();
        segment.append(&close(id, 1, Outcome::Success, 1)).unwrap();
    }
    writer.watch().failed().await;
    assert!(writer.status().running && writer.status().spool_bytes > 0);
    assert_eq!(writer.watch().instance(), None);
    server.start_again().unwrap();
    writer.flush().await;
    assert_eq!(writer.status().failing, None);
    let me = writer.watch().instance();
    assert_eq!(me, Some(ledger.attach("me").await.unwrap().id));
    assert_eq!(ledger.total_cost(Timestamp::ZERO).await.unwrap().nano(), 500);

    // Away again, in the midst of writing.
    server.stop().unwrap();
    for id in 501..=1_000 {
        segment.append(&counted(id)).unwrap();
        segment.append(&close(id, 1, Outcome::Success, 1)).unwrap();
    }
    let mut batch = Batch::default();
    batch.push(me.unwrap(), open(5_000, 1));
    assert_eq!(ledger.apply(&batch).await.unwrap_err().kind(), ErrorKind::Database);
    writer.watch().failed().await;
    server.start_again().unwrap();
    writer.flush().await;
    let rows = suite::rows(&*ledger).await;
    assert_eq!(rows.len(), 1_000);
    assert!(rows.iter().all(|(_, _, outcome, nano)| (*outcome, *nano) == ("success", 1)));
    let figures = ledger.budget_figures(&[budget("team")]).await.unwrap();
    assert_eq!(figures[0].settled.nano(), 1_000);
    writer.stop(Duration::from_secs(60)).await.unwrap();
}
