//! The writer through deaths at every step, two processes beside each other, a ledger that fails, and its own thread.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use router_core::attempt::Outcome;
use router_core::budget::BudgetUse;
use router_core::money::Usd;
use router_core::record::{LedgerRecord, OpenRecord};
use router_core::time::Timestamp;

use super::worker::{Aborted, Next, Worker};
use super::{Shared, Writer};
use crate::spool::list;
use crate::suite::{budget, close, open, open_record, request, rows};
use crate::{
    Answer, Attached, AttemptRow, Batch, BudgetFigures, Cursor, DeploymentStats, Draw, Error, ErrorKind,
    InstanceId, KeyChange, KeyRow, Ledger, NewKey, Report, ReportQuery, Segment, Spool, SpoolOptions,
    connect, connect_lazily,
};

const NEVER: u8 = 0;
const BEFORE: u8 = 1;
const AFTER: u8 = 2;

/// A real ledger whose next write fails: before anything is written, or after it is committed, as a connection does that
/// breaks while the answer is on its way.
#[derive(Debug)]
struct Faulty {
    inner: Arc<dyn Ledger>,
    fault: AtomicU8,
}

impl Faulty {
    fn write<'a, T: Send + 'a>(&'a self, write: Answer<'a, T>) -> Answer<'a, T> {
        let broken = || Err(Error::new(ErrorKind::Database, "planted"));
        Box::pin(async move {
            match self.fault.swap(NEVER, Ordering::Relaxed) {
                BEFORE => broken(),
                AFTER => write.await.and_then(|_| broken()),
                _ => write.await,
            }
        })
    }
}

impl Ledger for Faulty {
    fn attach<'a>(&'a self, instance: &'a str) -> Answer<'a, Attached> {
        self.inner.attach(instance)
    }

    fn apply<'a>(&'a self, batch: &'a Batch) -> Answer<'a, ()> {
        self.write(self.inner.apply(batch))
    }

    fn finish(&self, instance: InstanceId) -> Answer<'_, u64> {
        self.write(self.inner.finish(instance))
    }

    fn report<'a>(&'a self, query: &'a ReportQuery) -> Answer<'a, Report> {
        self.inner.report(query)
    }

    fn deployment_stats(&self, since: Timestamp) -> Answer<'_, Vec<DeploymentStats>> {
        self.inner.deployment_stats(since)
    }

    fn attempts(&self, since: Timestamp, limit: u32, after: Option<Cursor>) -> Answer<'_, Vec<AttemptRow>> {
        self.inner.attempts(since, limit, after)
    }

    fn total_cost(&self, since: Timestamp) -> Answer<'_, Usd> {
        self.inner.total_cost(since)
    }

    fn draw<'a>(&'a self, instance: InstanceId, budget: &'a BudgetUse, ask: Draw) -> Answer<'a, Usd> {
        self.inner.draw(instance, budget, ask)
    }

    fn keep<'a>(&'a self, instance: InstanceId, budget: &'a BudgetUse, amount: Usd) -> Answer<'a, ()> {
        self.inner.keep(instance, budget, amount)
    }

    fn budget_figures<'a>(&'a self, budgets: &'a [BudgetUse]) -> Answer<'a, Vec<BudgetFigures>> {
        self.inner.budget_figures(budgets)
    }

    fn keys(&self) -> Answer<'_, Vec<KeyRow>> {
        self.inner.keys()
    }

    fn keys_version(&self) -> Answer<'_, u64> {
        self.inner.keys_version()
    }

    fn create_key<'a>(&'a self, key: &'a NewKey) -> Answer<'a, KeyRow> {
        self.inner.create_key(key)
    }

    fn update_key<'a>(&'a self, id: &'a str, change: &'a KeyChange) -> Answer<'a, Option<KeyRow>> {
        self.inner.update_key(id, change)
    }

    fn rotate_key<'a>(&'a self, id: &'a str, sha256: [u8; 32], old: Timestamp) -> Answer<'a, KeyRow> {
        self.inner.rotate_key(id, sha256, old)
    }

    fn revoke_key<'a>(&'a self, id: &'a str, at: Timestamp) -> Answer<'a, ()> {
        self.inner.revoke_key(id, at)
    }

    fn put_state<'a>(&'a self, kind: &'a str, id: &'a str, value: &'a str, at: Timestamp) -> Answer<'a, ()> {
        self.inner.put_state(kind, id, value, at)
    }

    fn delete_state<'a>(&'a self, kind: &'a str, id: &'a str) -> Answer<'a, ()> {
        self.inner.delete_state(kind, id)
    }

    fn states<'a>(&'a self, kind: &'a str) -> Answer<'a, Vec<(String, String, Timestamp)>> {
        self.inner.states(kind)
    }
}

/// An attempt's beginning that counts on a budget.
fn counted(id: u128) -> LedgerRecord {
    LedgerRecord::Open(OpenRecord { budgets: vec![budget("team")], ..open_record(id, 1) })
}

/// A process: dropping it is its death.
struct Process {
    spool: Spool,
    segments: [Segment; 2],
    shared: Arc<Shared>,
    worker: Worker,
    /// Attempts it opened and has not closed.
    running: Vec<u128>,
}

/// A machine with a spool, a ledger that outlives processes, and what must be in it.
struct Machine {
    root: tempfile::TempDir,
    ledger: Arc<Faulty>,
    processes: u32,
    next: u128,
    /// Attempt -> outcome and cost; what is still open in a process that dies becomes lost.
    expected: BTreeMap<u128, (&'static str, i64)>,
    /// The last thing done was to append: the length of that file before it, and how to forget it.
    torn: Option<(u64, u32, Undo)>,
}

type Undo = (u128, Option<(&'static str, i64)>);

#[derive(Clone, Debug)]
enum Step {
    Open,
    Close,
    Work,
    /// Dies, the last record torn at this share of its bytes if the writer has not seen it.
    Die(prop::sample::Index),
    /// Dies at its next write to the ledger, before or after the commit.
    DieInWrite(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Open),
        3 => Just(Step::Close),
        2 => Just(Step::Work),
        1 => any::<prop::sample::Index>().prop_map(Step::Die),
        1 => any::<bool>().prop_map(Step::DieInWrite),
    ]
}

const LOST: (&str, i64) = ("lost", 5_000_000_000);

impl Machine {
    async fn new() -> Self {
        let inner = connect("sqlite::memory:").await.unwrap();
        Self {
            root: tempfile::tempdir().unwrap(),
            ledger: Arc::new(Faulty { inner, fault: AtomicU8::new(NEVER) }),
            processes: 0,
            next: 1,
            expected: BTreeMap::new(),
            torn: None,
        }
    }

    async fn start(&mut self) -> Process {
        self.processes += 1;
        let options = SpoolOptions { segment_bytes: 300, ..SpoolOptions::default() };
        let spool = Spool::open(self.root.path(), &format!("p{}", self.processes), options).unwrap();
        let shared = Arc::new(Shared::new(spool.clone()));
        let worker = Worker::start(shared.clone(), self.ledger.clone()).await.unwrap();
        let segments = [spool.segment(0).unwrap(), spool.segment(1).unwrap()];
        Process { spool, segments, shared, worker, running: Vec::new() }
    }

    fn append(&mut self, process: &Process, id: u128, record: &LedgerRecord) {
        let series = u32::try_from(id % 2).unwrap();
        let place = |process: &Process| process.spool.ends()[series as usize].1;
        let before = place(process);
        process.segments[series as usize].append(record).unwrap();
        let from = if place(process).file == before.file { before.offset } else { 0 };
        self.torn = Some((from, series, (id, self.expected.get(&id).copied())));
    }

    fn open(&mut self, process: &mut Process) {
        let id = self.next;
        self.next += 1;
        self.append(process, id, &counted(id));
        self.expected.insert(id, LOST);
        process.running.push(id);
    }

    fn close(&mut self, process: &mut Process) {
        let Some(id) = process.running.pop() else { return };
        let nano = i64::try_from(id).unwrap();
        self.append(process, id, &close(id, 1, Outcome::Success, nano));
        self.expected.insert(id, ("success", nano));
    }

    /// The process dies in the middle of its last `write`.
    fn die_torn(&mut self, process: Process, at: prop::sample::Index) {
        let dir = process.spool.dir().to_owned();
        drop(process);
        let Some((from, series, (id, before))) = self.torn.take() else { return };
        let files = list(&dir).unwrap();
        let (_, _, path) = files.iter().rfind(|(s, _, _)| *s == series).unwrap();
        let len = path.metadata().unwrap().len();
        let kept = from + at.index((len - from) as usize) as u64;
        OpenOptions::new().write(true).open(path).unwrap().set_len(kept).unwrap();
        match before {
            Some(before) => self.expected.insert(id, before),
            None => self.expected.remove(&id),
        };
    }

    async fn check(&self) {
        let rows = rows(&*self.ledger.inner).await;
        let seen: Vec<_> = rows.into_iter().map(|(id, _, outcome, nano)| (id, (outcome, nano))).collect();
        let expected: Vec<_> = self.expected.clone().into_iter().collect();
        assert_eq!(seen, expected);
        let sum: i64 = self.expected.values().map(|(_, nano)| nano).sum();
        assert_eq!(self.ledger.total_cost(Timestamp::ZERO).await.unwrap().nano(), sum);
        let figures = self.ledger.budget_figures(&[budget("team")]).await.unwrap();
        assert_eq!(figures[0].settled.nano(), sum, "spent exactly once");
    }
}

impl Process {
    async fn work(&mut self) -> Result<(), Aborted> {
        while self.worker.work().await? == Next::More {}
        Ok(())
    }
}

async fn live_through(steps: Vec<Step>) {
    let mut machine = Machine::new().await;
    // Another process lives all the while, with an attempt running that must never be booked.
    let mut other = machine.start().await;
    let theirs = 1_000_000;
    machine.append(&other, theirs, &counted(theirs));
    other.work().await.unwrap();
    machine.expected.insert(theirs, ("open", 0));
    let mut process = machine.start().await;
    machine.torn = None;
    for step in steps {
        match step {
            Step::Open => machine.open(&mut process),
            Step::Close => machine.close(&mut process),
            Step::Work => {
                process.work().await.unwrap();
                machine.torn = None;
            }
            Step::Die(at) => {
                machine.die_torn(process, at);
                process = machine.start().await;
            }
            Step::DieInWrite(after) => {
                machine.ledger.fault.store(if after { AFTER } else { BEFORE }, Ordering::Relaxed);
                process.shared.abort.store(true, Ordering::Relaxed);
                let _ = process.work().await;
                machine.ledger.fault.store(NEVER, Ordering::Relaxed);
                machine.torn = None;
                drop(process);
                process = machine.start().await;
            }
        }
    }
    drop(process);
    let mut last = machine.start().await;
    last.work().await.unwrap();
    machine.check().await;
    assert_eq!(last.spool.bytes(), 0, "nothing is left to bring in");
    let left =
        std::fs::read_dir(machine.root.path()).unwrap().filter(|e| e.as_ref().unwrap().path().is_dir());
    assert_eq!(left.count(), 2, "only the living have directories");
    // The other one dies at last.
    drop((last, other));
    machine.expected.insert(theirs, LOST);
    machine.start().await.work().await.unwrap();
    machine.check().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_attempt_is_booked_exactly_once_whatever_dies(steps in prop::collection::vec(step(), 0..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(live_through(steps));
    }
}

#[tokio::test]
async fn adoption_brings_in_more_than_a_batch() {
    let mut machine = Machine::new().await;
    let mut process = machine.start().await;
    for _ in 0..6_000 {
        machine.open(&mut process);
    }
    drop(process);
    let mut next = machine.start().await;
    assert_eq!(next.worker.work().await, Ok(Next::More));
    // Our own records do not wait for that.
    machine.open(&mut next);
    let own = machine.next - 1;
    assert_eq!(next.worker.work().await, Ok(Next::More));
    assert!(rows(&*machine.ledger).await.iter().any(|row| row.0 == own));
    next.work().await.unwrap();
    machine.expected.insert(own, ("open", 0));
    machine.check().await;
    assert_eq!(next.shared.lost_attempts.load(Ordering::Relaxed), 6_000);
}

#[tokio::test]
async fn a_spool_of_a_newer_build_is_left_alone() {
    let mut machine = Machine::new().await;
    let mut process = machine.start().await;
    machine.open(&mut process);
    let dir = process.spool.dir().to_owned();
    drop(process);
    let (_, _, path) = list(&dir).unwrap().into_iter().find(|f| f.2.metadata().unwrap().len() > 0).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let mut newer = bytes.clone();
    newer[8] = 99;
    let seed = crate::spool::frame::seed("p1", path.file_name().unwrap().to_str().unwrap());
    let sum = crc32c::crc32c_append(crc32c::crc32c_append(seed, &newer[..4]), &newer[8..]);
    newer[4..8].copy_from_slice(&sum.to_le_bytes());
    bytes.extend(newer);
    std::fs::write(&path, bytes).unwrap();
    for _ in 0..2 {
        let mut next = machine.start().await;
        next.work().await.unwrap();
        assert_eq!(next.shared.left_alone.load(Ordering::Relaxed), 1);
        assert!(path.exists());
        assert_eq!(next.spool.bytes(), 0, "what waits for another build does not fill this one's spool");
        assert_eq!(rows(&*machine.ledger).await, [(1, 1, "open", 0)]);
    }
}

#[tokio::test]
async fn a_ledger_that_fails_is_asked_again_and_nothing_is_lost() {
    let mut machine = Machine::new().await;
    let mut process = machine.start().await;
    for fault in [BEFORE, AFTER] {
        machine.open(&mut process);
        machine.close(&mut process);
        machine.ledger.fault.store(fault, Ordering::Relaxed);
        // As a flush does; so the pause before the next try is none.
        process.shared.wake.notify_one();
        process.work().await.unwrap();
        assert_eq!(*process.shared.failing.borrow(), None);
        machine.check().await;
    }
}

#[tokio::test]
async fn the_thread_flushes_stops_and_leaves_nothing_behind() {
    let root = tempfile::tempdir().unwrap();
    let ledger = connect("sqlite::memory:").await.unwrap();
    let dead = Spool::open(root.path(), "dead", SpoolOptions::default()).unwrap();
    dead.segment(0).unwrap().append(&open(1, 1)).unwrap();
    drop(dead);

    let spool = Spool::open(root.path(), "me", SpoolOptions::default()).unwrap();
    let segment = spool.segment(0).unwrap();
    let writer = Writer::start(&spool, ledger.clone()).unwrap();
    segment.append(&open(2, 1)).unwrap();
    segment.append(&close(2, 1, Outcome::Success, 4)).unwrap();
    segment.append(&request(2, 5, "success")).unwrap();
    writer.flush().await;
    assert_eq!(rows(&*ledger).await, [(1, 1, "lost", 5_000_000_000), (2, 1, "success", 4)]);
    let status = writer.status();
    assert!(status.running && status.failing.is_none());
    assert_eq!((status.spool_bytes, status.adopting, status.records, status.lost_attempts), (0, 0, 4, 1));

    segment.append(&open(3, 1)).unwrap();
    writer.stop(Duration::from_secs(60)).await.unwrap();
    assert_eq!(segment.append(&open(4, 1)).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(rows(&*ledger).await[2], (3, 1, "lost", 5_000_000_000));
    let left: Vec<_> = std::fs::read_dir(root.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, [".lock"]);
}

#[tokio::test]
async fn a_ledger_that_is_not_there_yet_is_opened_when_it_comes() {
    let root = tempfile::tempdir().unwrap();
    let later = root.path().join("later");
    let url = format!("sqlite://{}/router.db", later.display());
    let ledger = connect_lazily(&url).unwrap();
    let spool = Spool::open(&root.path().join("spool"), "me", SpoolOptions::default()).unwrap();
    let segment = spool.segment(0).unwrap();
    let writer = Writer::start(&spool, ledger.clone()).unwrap();
    segment.append(&counted(1)).unwrap();
    segment.append(&close(1, 1, Outcome::Success, 3)).unwrap();
    writer.watch().failed().await;
    assert_eq!(writer.watch().instance(), None);
    assert!(writer.status().failing.unwrap().contains("later/router.db"));
    std::fs::create_dir(&later).unwrap();
    writer.flush().await;
    assert_eq!(rows(&*ledger).await, [(1, 1, "success", 3)]);
    assert_eq!(writer.watch().instance(), Some(ledger.attach("me").await.unwrap().id));
    assert_eq!(connect_lazily("mysql://x").unwrap_err().kind(), ErrorKind::Url);
    writer.stop(Duration::from_secs(60)).await.unwrap();
}

#[tokio::test]
async fn stopping_gives_up_on_a_ledger_that_is_gone() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("router.db");
    let url = format!("sqlite://{}", file.display());
    let ledger = connect(&url).await.unwrap();
    let spool = Spool::open(&root.path().join("spool"), "me", SpoolOptions::default()).unwrap();
    let segment = spool.segment(0).unwrap();
    let faulty = Arc::new(Faulty { inner: ledger.clone(), fault: AtomicU8::new(NEVER) });
    let writer = Writer::start(&spool, faulty.clone()).unwrap();
    writer.flush().await;
    faulty.fault.store(BEFORE, Ordering::Relaxed);
    segment.append(&open(1, 1)).unwrap();
    let error = writer.stop(Duration::ZERO).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Database);
}
