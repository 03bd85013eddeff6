//! What the writer's thread does: read, apply, only then forget; own records first, dead processes' beside them.
//!
//! Every step may be the last one this process takes. Positions are committed with the rows they stand for, files are
//! deleted after the positions that pass them, a directory after its process is finished in the ledger.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Shared;
use crate::batch::Batch;
use crate::error::Error;
use crate::ledger::{Answer, Attached, InstanceId, Ledger, Position};
use crate::spool::reader::{Reader, Reading, Scratch};
use crate::spool::{Claim, Place, list};

/// How often the spool is looked at when nobody wakes us, and so how far the ledger lags behind. A pause this long lets
/// the ends of many attempts meet their beginnings in one batch, which halves what they cost.
const POLL: Duration = Duration::from_millis(500);
/// A batch is applied when it has so many rows. With one chunk of the spool on top, this bounds the writer's memory.
const BATCH_ROWS: usize = 4096;
/// Pause after the first failure of the ledger, doubled by each further one, up to the longest.
const BACKOFF: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Told to end at once.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Aborted;

/// The thread's whole life.
pub(super) async fn run(shared: Arc<Shared>, ledger: Arc<dyn Ledger>) {
    let Ok(mut worker) = Worker::start(shared, ledger).await else { return };
    loop {
        match worker.work().await {
            Ok(Next::More) => {}
            Ok(Next::Idle) => {
                let _ = tokio::time::timeout(POLL, worker.shared.wake.notified()).await;
            }
            Ok(Next::Ended) | Err(Aborted) => return,
        }
        if worker.shared.aborted() {
            return;
        }
    }
}

/// What comes after a step.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another, at once.
    More,
    /// A pause: everything known of is in the ledger.
    Idle,
    /// Nothing: ended cleanly.
    Ended,
}

pub(super) struct Worker {
    shared: Arc<Shared>,
    ledger: Arc<dyn Ledger>,
    instance: InstanceId,
    readers: BTreeMap<u32, Reader>,
    dead: Vec<Dead>,
    batch: Batch,
    /// Bytes of the spool that the batch stands for.
    batch_bytes: u64,
    scratch: Scratch,
}

/// A dead process's directory, being brought in.
struct Dead {
    claim: Claim,
    instance: InstanceId,
    /// Each series with its end.
    series: Vec<(Reader, Place)>,
}

impl Worker {
    pub(super) async fn start(shared: Arc<Shared>, ledger: Arc<dyn Ledger>) -> Result<Self, Aborted> {
        let instance = retry(&shared, || ledger.attach(shared.spool.instance())).await?.id;
        let instance = *shared.instance.get_or_init(|| instance);
        let mut worker = Self {
            shared,
            ledger,
            instance,
            readers: BTreeMap::new(),
            dead: Vec::new(),
            batch: Batch::default(),
            batch_bytes: 0,
            scratch: Scratch::default(),
        };
        worker.claim().await?;
        Ok(worker)
    }

    /// Everything of our own, then one batch of a dead process's.
    pub(super) async fn work(&mut self) -> Result<Next, Aborted> {
        let stopping = self.shared.stop.load(Ordering::Acquire);
        if stopping {
            self.shared.spool.close();
        }
        // Read before the ends of our series are: what was appended before a flush asked is then behind them.
        let asked = self.shared.asked.load(Ordering::Acquire);
        self.own().await?;
        if let Some(dead) = self.dead.pop() {
            self.adopt(dead).await?;
            self.count_dead();
            return Ok(Next::More);
        }
        self.shared.answered.send_replace(asked);
        if stopping {
            self.finish_self().await?;
            return Ok(Next::Ended);
        }
        Ok(Next::Idle)
    }

    /// Brings in what this process had appended when this began.
    async fn own(&mut self) -> Result<(), Aborted> {
        for (series, end) in self.shared.spool.ends() {
            let (dir, name) = (self.shared.spool.dir(), self.shared.spool.instance());
            let known = self.readers.remove(&series);
            let mut reader = known.unwrap_or_else(|| Reader::live(dir, name, series));
            self.read_to(&mut reader, end).await?;
            self.readers.insert(series, reader);
        }
        self.apply().await?;
        for reader in self.readers.values_mut() {
            if let Err(error) = reader.forget_passed() {
                tracing::warn!(%error, "the ledger spool keeps a file that is done with");
            }
        }
        Ok(())
    }

    /// Reads a series to a place, applying a batch whenever there is one.
    async fn read_to(&mut self, reader: &mut Reader, end: Place) -> Result<(), Aborted> {
        let (instance, before) = (self.instance, reader.at());
        loop {
            let batch = &mut self.batch;
            let read = reader.read(end, &mut self.scratch, &mut |record| batch.push(instance, record));
            if reader.at() != before {
                self.batch.reach(position(instance, reader.series(), reader.at()));
            }
            // What cannot be read now is tried again at the next step.
            if self.noted(read).is_none_or(|reading| reading.at_end) {
                return Ok(());
            }
            if self.batch.len() >= BATCH_ROWS {
                self.apply().await?;
            }
        }
    }

    /// Claims dead processes' directories and finds out how far each is in the ledger.
    async fn claim(&mut self) -> Result<(), Aborted> {
        let claims = match self.shared.spool.claim_dead() {
            Ok(claims) => claims,
            Err(error) => {
                tracing::error!(%error, "dead processes' ledger spools are left for the next start");
                Vec::new()
            }
        };
        for claim in claims {
            let attached = retry(&self.shared, || self.ledger.attach(&claim.instance)).await?;
            if attached.finished {
                self.remove(&claim);
                continue;
            }
            match Dead::new(claim, &attached) {
                Ok(dead) => {
                    self.shared.spool.adopted(dead.bytes());
                    self.dead.push(dead);
                }
                Err(error) => self.leave_alone(&error.to_string()),
            }
        }
        self.count_dead();
        Ok(())
    }

    fn count_dead(&self) {
        let left = u32::try_from(self.dead.len()).unwrap_or(u32::MAX);
        self.shared.adopting.store(left, Ordering::Relaxed);
    }

    /// Brings in one batch of a dead process's records; when there is no more, finishes the process.
    async fn adopt(&mut self, mut dead: Dead) -> Result<(), Aborted> {
        let instance = dead.instance;
        while let Some((reader, end)) = dead.series.last_mut() {
            let batch = &mut self.batch;
            let read = reader.read(*end, &mut self.scratch, &mut |record| batch.push(instance, record));
            self.batch.reach(position(instance, reader.series(), reader.at()));
            let Some(reading) = self.noted(read) else {
                self.apply().await?;
                self.shared.spool.consumed(dead.bytes());
                self.leave_alone(&format!("{} could not be read", dead.claim.dir.display()));
                return Ok(());
            };
            if let Some(unreadable) = reading.unreadable {
                self.apply().await?;
                self.shared.spool.consumed(dead.bytes());
                let (dir, version) = (dead.claim.dir.display(), unreadable.version);
                self.leave_alone(&format!("{dir} holds records of version {version}, unknown to this build"));
                return Ok(());
            }
            if reading.at_end {
                dead.series.pop();
            }
            if self.batch.len() >= BATCH_ROWS {
                self.apply().await?;
                self.dead.push(dead);
                return Ok(());
            }
        }
        self.apply().await?;
        let lost = retry(&self.shared, || self.ledger.finish(instance)).await?;
        self.shared.lost_attempts.fetch_add(lost, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(
                process = dead.claim.instance,
                lost,
                "attempts of a dead process booked at their ceiling"
            );
        }
        self.remove(&dead.claim);
        Ok(())
    }

    /// After a clean stop nothing of this process is left to find.
    async fn finish_self(&self) -> Result<(), Aborted> {
        let lost = retry(&self.shared, || self.ledger.finish(self.instance)).await?;
        if lost > 0 {
            tracing::warn!(lost, "attempts still running at the end booked at their ceiling");
        }
        self.shared.lost_attempts.fetch_add(lost, Ordering::Relaxed);
        if let Err(error) = self.shared.spool.remove(self.shared.spool.dir()) {
            tracing::warn!(%error, "the ledger spool's directory is left for the next start");
        }
        Ok(())
    }

    fn remove(&self, claim: &Claim) {
        if let Err(error) = self.shared.spool.remove(&claim.dir) {
            tracing::warn!(%error, "a finished process's ledger spool is left for the next start");
        }
    }

    fn leave_alone(&self, why: &str) {
        self.shared.left_alone.fetch_add(1, Ordering::Relaxed);
        tracing::error!(why, "a dead process's ledger spool is left alone, its open attempts are not booked");
    }

    /// Counts what a read found; `None` when it failed, which is said.
    fn noted(&mut self, read: Result<Reading, Error>) -> Option<Reading> {
        match read {
            Ok(reading) => {
                self.batch_bytes += reading.bytes;
                self.shared.damaged.fetch_add(reading.damaged, Ordering::Relaxed);
                self.shared.torn_bytes.fetch_add(reading.torn_bytes, Ordering::Relaxed);
                Some(reading)
            }
            Err(error) => {
                tracing::error!(%error, "the ledger spool cannot be read");
                None
            }
        }
    }

    /// Applies the batch, again and again until it is in the ledger.
    async fn apply(&mut self) -> Result<(), Aborted> {
        if self.batch.is_empty() {
            return Ok(());
        }
        retry(&self.shared, || self.ledger.apply(&self.batch)).await?;
        self.shared.records.fetch_add(self.batch.records(), Ordering::Relaxed);
        self.shared.spool.consumed(self.batch_bytes);
        self.batch.clear();
        self.batch_bytes = 0;
        Ok(())
    }
}

impl Dead {
    fn new(claim: Claim, attached: &Attached) -> Result<Self, Error> {
        let mut series: Vec<(Reader, Place)> = Vec::new();
        for (number, file, path) in list(&claim.dir)? {
            let len = path.metadata().map_err(|e| Error::io("read", &path, e))?.len();
            let end = Place { file, offset: len };
            match series.iter_mut().find(|(reader, _)| reader.series() == number) {
                Some((_, last)) => *last = end,
                None => {
                    let reached = attached.positions.iter().find(|p| p.series == number);
                    let from = reached.map_or(Place::START, |p| Place { file: p.file, offset: p.offset });
                    series.push((Reader::dead(&claim.dir, &claim.instance, (number, from)), end));
                }
            }
        }
        Ok(Self { claim, instance: attached.id, series })
    }

    /// Bytes still to be brought in, as far as the files' lengths tell.
    fn bytes(&self) -> u64 {
        let left = |(reader, end): &(Reader, Place)| reader.bytes_before(*end);
        self.series.iter().map(left).sum()
    }
}

const fn position(instance: InstanceId, series: u32, at: Place) -> Position {
    Position { instance, series, file: at.file, offset: at.offset }
}

/// Asks the ledger until it answers, with growing pauses.
async fn retry<'a, T>(shared: &Shared, ask: impl Fn() -> Answer<'a, T>) -> Result<T, Aborted> {
    let mut pause = BACKOFF;
    loop {
        let answer = ask().await;
        note(shared, answer.as_ref().err());
        if let Ok(value) = answer {
            return Ok(value);
        }
        if shared.aborted() {
            return Err(Aborted);
        }
        // Woken by a flush it tries again at once, which is what whoever flushes wants.
        let _ = tokio::time::timeout(pause, shared.wake.notified()).await;
        if shared.aborted() {
            return Err(Aborted);
        }
        pause = (pause * 2).min(BACKOFF_MAX);
    }
}

/// Keeps the state the status shows. The ledger's going and its coming back are said once each.
fn note(shared: &Shared, error: Option<&Error>) {
    let failing = shared.failing.borrow().is_some();
    match (error, failing) {
        (Some(error), false) => {
            tracing::error!(%error, "the ledger cannot be reached; the spool keeps what is recorded");
        }
        (None, true) => tracing::info!("the ledger is back"),
        _ => {}
    }
    if failing || error.is_some() {
        shared.failing.send_replace(error.map(ToString::to_string));
    }
}
