//! Appending: one record, or several that belong together, in one `write`. The files of one thread in order; reading them is the reader's business.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use router_core::record::LedgerRecord;

use super::{Durability, Place, Shared, closed, file_name, frame};
use crate::error::{Error, ErrorKind};

/// Where one runtime thread appends. Cheap to clone; may be used from any thread.
#[derive(Clone, Debug)]
pub struct Segment {
    spool: Arc<Shared>,
    series: Arc<Series>,
}

#[derive(Debug)]
pub(super) struct Series {
    number: u32,
    tail: Mutex<Tail>,
}

#[derive(Debug)]
struct Tail {
    file: File,
    seed: u32,
    end: Place,
    /// The frames being written; kept for their memory.
    frames: Vec<u8>,
}

impl Segment {
    pub(super) const fn new(spool: Arc<Shared>, series: Arc<Series>) -> Self {
        Self { spool, series }
    }

    /// Appends a record: when this returns, it survives what the spool's durability says. It blocks for one `write`
    /// (and one `fdatasync` for [`Durability::Power`]).
    ///
    /// # Errors
    /// `Full` at the spool's limit, `Io` when the file system refuses, `Invalid` for a record of more than 64 KiB,
    /// `Closed` after a clean stop. Whatever the error, nothing of the record is kept. When an `open` is refused, the
    /// records that would end that attempt must not be appended either.
    pub fn append(&self, record: &LedgerRecord) -> Result<(), Error> {
        self.append_all(std::slice::from_ref(record))
    }

    /// The same for several records: all of them, or none.
    ///
    /// # Errors
    /// As [`Segment::append`].
    pub fn append_all(&self, records: &[LedgerRecord]) -> Result<(), Error> {
        let mut tail = self.series.tail();
        if self.spool.closed.load(Ordering::Acquire) {
            return Err(closed());
        }
        let tail = &mut *tail;
        if tail.end.offset >= self.spool.options.segment_bytes {
            *tail = Tail::create(&self.spool, self.series.number, tail.end.file + 1)?;
        }
        tail.frames.clear();
        for record in records {
            if !frame::write(record, tail.seed, &mut tail.frames) {
                let text = format!("a ledger record makes {} bytes: too long", tail.frames.len());
                return Err(Error::new(ErrorKind::Invalid, text));
            }
        }
        self.spool.reserve(records, tail.frames.len() as u64)?;
        let done = tail.write(self.spool.options.durability);
        done.map_err(|e| {
            self.spool.bytes.fetch_sub(tail.frames.len() as u64, Ordering::Relaxed);
            let path = self.spool.dir.join(file_name(self.series.number, tail.end.file));
            tail.undo(&self.spool, self.series.number);
            Error::io("append to", &path, e)
        })
    }
}

impl Shared {
    /// Counts bytes about to be written, or refuses them.
    fn reserve(&self, records: &[LedgerRecord], len: u64) -> Result<(), Error> {
        let opens = records.iter().any(|record| matches!(record, LedgerRecord::Open(_)));
        let limit = if opens { self.options.max_bytes } else { self.options.max_bytes.saturating_mul(2) };
        if self.bytes.fetch_add(len, Ordering::Relaxed) + len <= limit {
            return Ok(());
        }
        self.bytes.fetch_sub(len, Ordering::Relaxed);
        Err(Error::new(ErrorKind::Full, format!("the spool holds its limit of {limit} bytes")))
    }
}

impl Series {
    pub(super) fn create(spool: &Shared, number: u32) -> Result<Self, Error> {
        Ok(Self { number, tail: Mutex::new(Tail::create(spool, number, Place::START.file)?) })
    }

    pub(super) fn end(&self) -> Place {
        self.tail().end
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tail {
    fn create(spool: &Shared, series: u32, file: u32) -> Result<Self, Error> {
        let name = file_name(series, file);
        let path = spool.dir.join(&name);
        let opened = OpenOptions::new().create_new(true).append(true).open(&path);
        let opened = opened.map_err(|e| Error::io("create", &path, e))?;
        if spool.options.durability == Durability::Power {
            let dir = File::open(&spool.dir).and_then(|dir| dir.sync_all());
            dir.map_err(|e| Error::io("sync", &spool.dir, e))?;
        }
        Ok(Self {
            file: opened,
            seed: frame::seed(&spool.instance, &name),
            end: Place { file, offset: 0 },
            frames: Vec::with_capacity(512),
        })
    }

    fn write(&mut self, durability: Durability) -> std::io::Result<()> {
        // `write_all` is one `write` unless the disk fills up in the middle of it.
        self.file.write_all(&self.frames)?;
        if durability == Durability::Power {
            self.file.sync_data()?;
        }
        self.end.offset += self.frames.len() as u64;
        Ok(())
    }

    /// Cuts off what a failed write left behind; failing that, leaves the file and goes on in the next one. (Failing
    /// that too, the remains are skipped by the reader as damage.)
    fn undo(&mut self, spool: &Shared, series: u32) {
        if self.file.set_len(self.end.offset).is_err()
            && let Ok(next) = Self::create(spool, series, self.end.file + 1)
        {
            *self = next;
        }
    }
}
