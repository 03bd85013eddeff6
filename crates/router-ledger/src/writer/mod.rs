//! The writer: a thread of its own that brings the spool into the ledger. This is its handle; the work is in `worker`.

mod worker;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::error::{Error, ErrorKind};
use crate::ledger::{InstanceId, Ledger};
use crate::spool::Spool;

/// The thread that empties the spool into the ledger, and books what dead processes left.
///
/// It works off its own process's records first; adoption goes on beside them and delays nothing. Dropping it without
/// [`Writer::stop`] ends the thread at its next step, and what is still in the spool is found at the next start.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// How the writer is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriterStatus {
    /// The thread is there.
    pub running: bool,
    /// The last attempt to reach the ledger failed, with this; it is tried again, and the spool grows meanwhile.
    pub failing: Option<String>,
    /// Bytes that wait for the ledger.
    pub spool_bytes: u64,
    /// Dead processes' directories not yet finished.
    pub adopting: u32,
    /// Records brought into the ledger.
    pub records: u64,
    /// Stretches of damage skipped.
    pub damaged: u64,
    /// Bytes of half-written last records of dead processes.
    pub torn_bytes: u64,
    /// Attempts of dead processes booked as lost.
    pub lost_attempts: u64,
    /// Directories left alone, because a newer build wrote them or they could not be read.
    pub left_alone: u32,
}

#[derive(Debug)]
struct Shared {
    spool: Spool,
    wake: Notify,
    /// Flushes asked for, and the last one answered.
    asked: AtomicU64,
    answered: watch::Sender<u64>,
    /// End cleanly: close the spool, empty it, finish this process.
    stop: AtomicBool,
    /// End at once.
    abort: AtomicBool,
    failing: watch::Sender<Option<String>>,
    /// This process, once the ledger has said its number.
    instance: OnceLock<InstanceId>,
    adopting: AtomicU32,
    left_alone: AtomicU32,
    records: AtomicU64,
    damaged: AtomicU64,
    torn_bytes: AtomicU64,
    lost_attempts: AtomicU64,
}

impl Shared {
    fn new(spool: Spool) -> Self {
        Self {
            spool,
            wake: Notify::new(),
            asked: AtomicU64::new(0),
            answered: watch::Sender::new(0),
            stop: AtomicBool::new(false),
            abort: AtomicBool::new(false),
            failing: watch::Sender::default(),
            instance: OnceLock::new(),
            // Until the worker has looked, there may be something to adopt.
            adopting: AtomicU32::new(1),
            left_alone: AtomicU32::new(0),
            records: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
            torn_bytes: AtomicU64::new(0),
            lost_attempts: AtomicU64::new(0),
        }
    }

    fn aborted(&self) -> bool {
        self.abort.load(Ordering::Acquire)
    }
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// `Io` when the thread or its runtime cannot be made.
    pub fn start(spool: &Spool, ledger: Arc<dyn Ledger>) -> Result<Self, Error> {
        let shared = Arc::new(Shared::new(spool.clone()));
        let failed = |e| Error::io("start the ledger writer for", spool.dir(), e);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(failed)?;
        let theirs = shared.clone();
        let thread = std::thread::Builder::new()
            .name("ledger-writer".into())
            .spawn(move || {
                runtime.block_on(worker::run(theirs.clone(), ledger));
                // Whoever waits for a flush learns that there will be none.
                theirs.answered.send_replace(u64::MAX);
            })
            .map_err(failed)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Waits until everything appended before this call, and everything dead processes left, is in the ledger. While the
    /// ledger cannot be reached this takes as long as that lasts.
    pub async fn flush(&self) {
        let mine = self.shared.asked.fetch_add(1, Ordering::AcqRel) + 1;
        let mut answered = self.shared.answered.subscribe();
        self.shared.wake.notify_one();
        // An error means that the thread is gone: there is nothing to wait for.
        let _ = answered.wait_for(|done| *done >= mine).await;
    }

    /// Ends cleanly: refuses further appends, waits for what [`Writer::flush`] waits for, books attempts still open as
    /// lost, and removes this process's directory. After `within` it gives up: the spool keeps the rest for the next
    /// start.
    ///
    /// # Errors
    /// `Database` when the time was not enough.
    pub async fn stop(mut self, within: Duration) -> Result<(), Error> {
        self.shared.stop.store(true, Ordering::Release);
        let mut answered = self.shared.answered.subscribe();
        self.shared.wake.notify_one();
        if tokio::time::timeout(within, answered.wait_for(|done| *done == u64::MAX)).await.is_err() {
            let (bytes, ms) = (self.shared.spool.bytes(), within.as_millis());
            let text = format!("the ledger was not reached within {ms} ms; {bytes} bytes stay in the spool");
            return Err(Error::new(ErrorKind::Database, text));
        }
        // The thread has said that it is done: joining it does not block.
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            return Err(Error::new(ErrorKind::Database, "the ledger writer died; the spool keeps the rest"));
        }
        Ok(())
    }

    /// How it is doing.
    pub fn status(&self) -> WriterStatus {
        self.watch().status()
    }

    /// For whoever asks how it is doing without owning it.
    pub fn watch(&self) -> WriterWatch {
        WriterWatch(Arc::clone(&self.shared))
    }
}

/// Looks at a writer from elsewhere.
#[derive(Clone, Debug)]
pub struct WriterWatch(Arc<Shared>);

impl WriterWatch {
    /// The ledger's number of this process; `None` until the ledger has been reached for the first time.
    pub fn instance(&self) -> Option<InstanceId> {
        self.0.instance.get().copied()
    }

    /// Waits until the ledger could not be reached.
    #[cfg(test)]
    pub(crate) async fn failed(&self) {
        // The sender lives as long as we do.
        let _ = self.0.failing.subscribe().wait_for(Option::is_some).await;
    }

    /// How the writer is doing.
    pub fn status(&self) -> WriterStatus {
        let shared = &*self.0;
        WriterStatus {
            running: shared.answered.borrow().ne(&u64::MAX),
            failing: shared.failing.borrow().clone(),
            spool_bytes: shared.spool.bytes(),
            adopting: shared.adopting.load(Ordering::Relaxed),
            records: shared.records.load(Ordering::Relaxed),
            damaged: shared.damaged.load(Ordering::Relaxed),
            torn_bytes: shared.torn_bytes.load(Ordering::Relaxed),
            lost_attempts: shared.lost_attempts.load(Ordering::Relaxed),
            left_alone: shared.left_alone.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.abort.store(true, Ordering::Release);
        self.shared.wake.notify_one();
    }
}

#[cfg(test)]
mod tests;
