//! The spool: what must not be lost, in files, before it is in the database. It knows frames and files, no SQL.
//!
//! Each process has `DIR/<instance>/`, held by a lock on the file `lock` in it for as long as it lives, and in it one
//! series of segment files per runtime thread. A process that starts claims the directories whose lock is free. Making,
//! claiming and removing a directory all happen under one short lock on `DIR/.lock`, so that a directory is never seen
//! between its creation and its locking.

pub(crate) mod frame;
pub(crate) mod reader;
mod segment;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub use segment::Segment;
use segment::Series;

use crate::error::{Error, ErrorKind};

/// What a record in the spool survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The death of the process: one `write` per record, nothing more.
    #[default]
    Process,
    /// A power cut too: `fdatasync` after each record.
    Power,
}

/// How a spool behaves.
#[derive(Clone, Copy, Debug)]
pub struct SpoolOptions {
    /// A segment file is followed by a new one at this size, and deleted when all of it is in the ledger.
    pub segment_bytes: u64,
    /// Most bytes that may wait for the ledger, adopted ones included. At the limit an `open` is refused with
    /// [`ErrorKind::Full`]; what ends an attempt or request already opened is still taken, up to twice the limit.
    pub max_bytes: u64,
    /// What a record survives.
    pub durability: Durability,
}

/// 16 MiB per segment file, 1 GiB in all (some five million records), safe against the death of the process.
impl Default for SpoolOptions {
    fn default() -> Self {
        Self { segment_bytes: 16 << 20, max_bytes: 1 << 30, durability: Durability::Process }
    }
}

/// This process's spool. Cheap to clone; the directory is let go with the last clone, segment and writer.
#[derive(Clone, Debug)]
pub struct Spool(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    root: PathBuf,
    pub(crate) dir: PathBuf,
    pub(crate) instance: String,
    pub(crate) options: SpoolOptions,
    pub(crate) bytes: AtomicU64,
    pub(crate) closed: AtomicBool,
    series: Mutex<BTreeMap<u32, Arc<Series>>>,
    /// Held open for its lock alone.
    _lock: File,
}

const LOCK: &str = "lock";

impl Spool {
    /// Makes and locks `dir/<instance>/`. `instance` must never have been used before in this directory: a UUID.
    ///
    /// # Errors
    /// `Invalid` when the name is not 1 to 64 letters, digits, `-` or `_`, or exists already; `Io` when the directory
    /// cannot be made or locked.
    pub fn open(dir: &Path, instance: &str, options: SpoolOptions) -> Result<Self, Error> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !(1..=64).contains(&instance.len()) || !instance.bytes().all(allowed) {
            let text = format!("spool instance {instance:?}: 1 to 64 letters, digits, - or _ are needed");
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        fs::create_dir_all(dir).map_err(|e| Error::io("create the spool directory", dir, e))?;
        let _guard = lock_root(dir)?;
        let own = dir.join(instance);
        fs::create_dir(&own).map_err(|e| match e.kind() {
            std::io::ErrorKind::AlreadyExists => Error::new(
                ErrorKind::Invalid,
                format!("spool instance {instance:?} exists already in {}", dir.display()),
            ),
            _ => Error::io("create the spool directory", &own, e),
        })?;
        let lock = try_lock(&own)?.ok_or_else(|| {
            Error::new(ErrorKind::Invalid, format!("{} is locked by another process", own.display()))
        })?;
        Ok(Self(Arc::new(Shared {
            root: dir.to_owned(),
            dir: own,
            instance: instance.to_owned(),
            options,
            bytes: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            series: Mutex::default(),
            _lock: lock,
        })))
    }

    /// The segment of a runtime thread; the same one for the same number.
    ///
    /// # Errors
    /// `Io` when its file cannot be made, `Closed` after a clean stop.
    pub fn segment(&self, thread: u32) -> Result<Segment, Error> {
        if self.is_closed() {
            return Err(closed());
        }
        let mut all = self.0.series.lock().unwrap_or_else(PoisonError::into_inner);
        let series = match all.get(&thread) {
            Some(series) => series.clone(),
            None => {
                let series = Arc::new(Series::create(&self.0, thread)?);
                all.insert(thread, series.clone());
                series
            }
        };
        Ok(Segment::new(self.0.clone(), series))
    }

    /// Bytes that wait for the ledger, adopted ones included: the metric `router_spool_bytes`. The files themselves may
    /// be longer by up to one segment per thread, because they are deleted whole.
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// This process's name in the spool.
    pub fn instance(&self) -> &str {
        &self.0.instance
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.0.dir
    }

    fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }

    /// Each series with the end of what has been appended to it.
    pub(crate) fn ends(&self) -> Vec<(u32, Place)> {
        let all = self.0.series.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(number, series)| (*number, series.end())).collect()
    }

    /// Refuses appends from now on; when this returns, none is under way.
    pub(crate) fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
        // An append holds its series' lock while it looks at the flag and writes.
        self.ends();
    }

    pub(crate) fn consumed(&self, bytes: u64) {
        self.0.bytes.fetch_sub(bytes.min(self.bytes()), Ordering::Relaxed);
    }

    pub(crate) fn adopted(&self, bytes: u64) {
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Claims the directories of dead processes: those whose lock is free.
    pub(crate) fn claim_dead(&self) -> Result<Vec<Claim>, Error> {
        let root = &self.0.root;
        let _guard = lock_root(root)?;
        let mut claims = Vec::new();
        for entry in fs::read_dir(root).map_err(|e| Error::io("read", root, e))? {
            let entry = entry.map_err(|e| Error::io("read", root, e))?;
            let is_dir = entry.file_type().is_ok_and(|t| t.is_dir());
            let (Ok(instance), true) = (entry.file_name().into_string(), is_dir) else { continue };
            if instance.starts_with('.') || instance == self.0.instance {
                continue;
            }
            let dir = entry.path();
            if let Some(lock) = try_lock(&dir)? {
                claims.push(Claim { dir, instance, _lock: lock });
            }
        }
        claims.sort_by(|a, b| a.instance.cmp(&b.instance));
        Ok(claims)
    }

    /// Removes a directory of which everything is in the ledger: our own after `close`, or a claimed one.
    pub(crate) fn remove(&self, dir: &Path) -> Result<(), Error> {
        let _guard = lock_root(&self.0.root)?;
        for (_, _, path) in list(dir)? {
            fs::remove_file(&path).map_err(|e| Error::io("remove", &path, e))?;
        }
        let lock = dir.join(LOCK);
        fs::remove_file(&lock).map_err(|e| Error::io("remove", &lock, e))?;
        fs::remove_dir(dir).map_err(|e| Error::io("remove", dir, e))
    }
}

/// A dead process's directory, locked by us.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) dir: PathBuf,
    pub(crate) instance: String,
    _lock: File,
}

/// A place in a series: a file's number and a byte in it. Places are ordered as records were appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) file: u32,
    pub(crate) offset: u64,
}

impl Place {
    pub(crate) const START: Self = Self { file: 1, offset: 0 };
}

pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the spool is closed")
}

pub(crate) fn file_name(series: u32, file: u32) -> String {
    format!("{series:03}-{file:010}.log")
}

/// The segment files of a directory: series, number, path; ascending.
pub(crate) fn list(dir: &Path) -> Result<Vec<(u32, u32, PathBuf)>, Error> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(|e| Error::io("read", dir, e))? {
        let path = entry.map_err(|e| Error::io("read", dir, e))?.path();
        let stem = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_suffix(".log"));
        let Some((series, file)) = stem.and_then(|s| s.split_once('-')) else { continue };
        if let (Ok(series), Ok(file)) = (series.parse(), file.parse()) {
            files.push((series, file, path));
        }
    }
    files.sort();
    Ok(files)
}

/// Waits for the lock that guards making, claiming and removing directories; it is only ever held for those.
fn lock_root(root: &Path) -> Result<File, Error> {
    let path = root.join(".lock");
    let file = open_lock(&path)?;
    file.lock().map_err(|e| Error::io("lock", &path, e))?;
    Ok(file)
}

/// The directory's lock, if nobody living holds it.
fn try_lock(dir: &Path) -> Result<Option<File>, Error> {
    let path = dir.join(LOCK);
    let file = open_lock(&path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) => Err(Error::io("lock", &path, e)),
    }
}

fn open_lock(path: &Path) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    options.open(path).map_err(|e| Error::io("open", path, e))
}

#[cfg(test)]
mod tests;
