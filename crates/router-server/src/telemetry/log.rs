//! The decision log: one JSON object per line. Requests append to a bounded buffer; one thread writes it out, so that
//! a slow disk never holds a request up. What does not fit is counted and said.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;

/// Longest a line waits to be written.
const FLUSH_EVERY: Duration = Duration::from_millis(100);
/// Bytes buffered before lines are dropped: some 10,000 requests.
const BUFFER_BYTES: usize = 16 * 1024 * 1024;

/// Where the log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// Appended to a file.
    File(PathBuf),
}

struct State {
    buffer: Vec<u8>,
    stop: bool,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    dropped: AtomicU64,
}

/// The appending side; cheap to clone.
#[derive(Clone)]
pub(crate) struct DecisionLog {
    shared: Option<Arc<Shared>>,
}

/// The writing side; joined at shutdown, after the last line.
pub(crate) struct LogWriter {
    shared: Option<Arc<Shared>>,
    thread: Option<JoinHandle<()>>,
}

impl DecisionLog {
    /// Opens the destination and starts its writer.
    ///
    /// # Errors
    /// The file cannot be opened for appending, or the thread cannot be started.
    pub(crate) fn start(destination: &Destination) -> io::Result<(Self, LogWriter)> {
        let mut out = match destination {
            Destination::Off => return Ok((Self { shared: None }, LogWriter { shared: None, thread: None })),
            Destination::Stdout => Out::Stdout(io::stdout()),
            Destination::File(path) => Out::File { path: path.clone(), file: open(path)? },
        };
        let state = Mutex::new(State { buffer: Vec::new(), stop: false });
        let shared = Arc::new(Shared { state, wake: Condvar::new(), dropped: AtomicU64::new(0) });
        let writing = Arc::clone(&shared);
        let thread =
            std::thread::Builder::new().name("decision-log".into()).spawn(move || writing.run(&mut out))?;
        Ok((
            Self { shared: Some(Arc::clone(&shared)) },
            LogWriter { shared: Some(shared), thread: Some(thread) },
        ))
    }

    /// Whether anybody listens: making an event costs something.
    pub(crate) fn is_on(&self) -> bool {
        self.shared.is_some()
    }

    /// Appends one event as one line.
    pub(crate) fn append(&self, event: &impl Serialize) {
        let Some(shared) = &self.shared else { return };
        let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        let length = state.buffer.len();
        if length > BUFFER_BYTES {
            shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if serde_json::to_writer(&mut state.buffer, event).is_err() {
            state.buffer.truncate(length);
            shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.buffer.push(b'\n');
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// What is written to.
enum Out {
    Stdout(io::Stdout),
    File { path: PathBuf, file: File },
}

impl Out {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.write_all(lines).and_then(|()| out.flush()),
            Self::File { path, file } => {
                if was_moved(path, file) {
                    *file = open(path)?;
                }
                file.write_all(lines)
            }
        }
    }
}

/// Another file lies there now, or none: it was rotated away. One look per flush, so that nobody has to tell us.
fn was_moved(path: &Path, file: &File) -> bool {
    let place = |of: std::fs::Metadata| (of.dev(), of.ino());
    match (std::fs::metadata(path), file.metadata()) {
        (Ok(there), Ok(ours)) => place(there) != place(ours),
        (Err(error), _) => error.kind() == io::ErrorKind::NotFound,
        (Ok(_), Err(_)) => false,
    }
}

impl Shared {
    fn run(&self, out: &mut Out) {
        let mut spare = Vec::new();
        loop {
            let stop = {
                let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                let waited = self.wake.wait_timeout_while(state, FLUSH_EVERY, |s| !s.stop);
                let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
                std::mem::swap(&mut state.buffer, &mut spare);
                state.stop
            };
            let written = if spare.is_empty() { Ok(()) } else { out.write(&spare) };
            if let Err(error) = written {
                tracing::error!(%error, bytes = spare.len(), "decision log cannot be written: these lines are lost");
            }
            spare.clear();
            let dropped = self.dropped.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                tracing::warn!(dropped, "decision log is written too slowly: events were dropped");
            }
            if stop {
                return;
            }
        }
    }
}

impl LogWriter {
    /// Writes what is buffered and ends the thread.
    pub(crate) fn stop(mut self) {
        self.end();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    fn end(&self) {
        if let Some(shared) = &self.shared {
            shared.state.lock().unwrap_or_else(PoisonError::into_inner).stop = true;
            shared.wake.notify_all();
        }
    }
}

/// A server that did not start leaves no thread behind.
impl Drop for LogWriter {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_one_line_in_order_and_nothing_is_lost_at_stop() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("decisions.jsonl");
        let (log, writer) = DecisionLog::start(&Destination::File(path.clone())).unwrap();
        for n in 0..1_000 {
            log.append(&serde_json::json!({ "n": n, "text": "two\nlines" }));
        }
        writer.stop();
        let text = std::fs::read_to_string(path).unwrap();
        let numbers: Vec<_> = text
            .lines()
            .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()["n"].as_u64().unwrap())
            .collect();
        assert_eq!(numbers, (0..1_000).collect::<Vec<_>>());
    }

    #[test]
    fn a_file_that_was_rotated_away_is_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let (path, old) = (dir.path().join("log"), dir.path().join("log.1"));
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        let mut out = Out::File { path: path.clone(), file: open(&path).unwrap() };
        out.write(b"1\n").unwrap();
        std::fs::rename(&path, &old).unwrap();
        out.write(b"2\n").unwrap();
        out.write(b"3\n").unwrap();
        assert_eq!((read(&old).as_str(), read(&path).as_str()), ("1\n", "2\n3\n"), "moved away");
        std::fs::rename(&path, &old).unwrap();
        std::fs::write(&path, "theirs\n").unwrap();
        out.write(b"4\n").unwrap();
        assert_eq!(read(&path), "theirs\n4\n", "and another put there");
    }

    #[test]
    fn off_costs_nothing_and_says_so() {
        let (log, writer) = DecisionLog::start(&Destination::Off).unwrap();
        assert!(!log.is_on());
        log.append(&1);
        writer.stop();
    }
}
