//! The suite on SQLite, in a file and in memory, and what only a file can go through.

use std::sync::Arc;

use router_core::attempt::Outcome;
use router_core::time::Timestamp;

use crate::suite::{self, Fresh, close, open};
use crate::{Batch, ErrorKind, Ledger, connect, connect_existing};

struct Memory;

impl Fresh for Memory {
    async fn fresh(&self) -> Arc<dyn Ledger> {
        connect("sqlite::memory:").await.unwrap()
    }
}

struct Files(tempfile::TempDir, std::cell::Cell<u32>);

impl Fresh for Files {
    async fn fresh(&self) -> Arc<dyn Ledger> {
        self.1.set(self.1.get() + 1);
        connect(&url(&self.0, &format!("{}.db", self.1.get()))).await.unwrap()
    }
}

fn url(dir: &tempfile::TempDir, name: &str) -> String {
    format!("sqlite://{}/{name}", dir.path().display())
}

#[tokio::test]
async fn the_suite_in_memory() {
    suite::run(&Memory).await;
}

#[tokio::test]
async fn the_suite_in_a_file() {
    suite::run(&Files(tempfile::tempdir().unwrap(), 0.into())).await;
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
    check("postgres://db/router".into(), true, ErrorKind::Unsupported, "not there yet").await;
    std::fs::write(dir.path().join("text.db"), "this is no database, and long enough to tell ".repeat(99))
        .unwrap();
    check(url(&dir, "text.db"), true, ErrorKind::Database, "text.db").await;
}
