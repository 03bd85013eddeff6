//! Reading a series back, live or dead: whole frames up to a known end, a torn tail cut, damage skipped and counted.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use router_core::record::LedgerRecord;

use super::frame::{self, Found};
use super::{Place, file_name, list};
use crate::codec::{self, Names, Unreadable};
use crate::error::Error;

/// Bytes read at once: enough for the longest frame several times over.
const CHUNK_BYTES: u64 = 4 * frame::MAX_FRAME_BYTES as u64;

/// Memory shared by all readers of a writer.
#[derive(Default)]
pub(crate) struct Scratch {
    bytes: Vec<u8>,
    names: Names,
}

/// What one read found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Bytes gone past, damage included.
    pub(crate) bytes: u64,
    /// Stretches of damage passed over.
    pub(crate) damaged: u64,
    /// Bytes cut off the end of a dead series.
    pub(crate) torn_bytes: u64,
    /// A frame of a version this build does not know stands next; nothing after it was read.
    pub(crate) unreadable: Option<Unreadable>,
    /// The end was reached.
    pub(crate) at_end: bool,
}

/// A place in a series, moving forward.
pub(crate) struct Reader {
    dir: PathBuf,
    instance: String,
    series: u32,
    at: Place,
    open: Option<(u32, u32, File)>,
    /// Where the stretch we are in stopped being frames.
    damage_from: Option<u64>,
    /// Files read to their end; deleted once the ledger has them.
    passed: Vec<u32>,
    live: bool,
}

impl Reader {
    /// Of a series somebody appends to: every byte before the end given is whole.
    pub(crate) fn live(dir: &Path, instance: &str, series: u32) -> Self {
        Self::new(dir, instance, (series, Place::START), true)
    }

    /// Of a series nobody appends to any more, from a place on.
    pub(crate) fn dead(dir: &Path, instance: &str, from: (u32, Place)) -> Self {
        Self::new(dir, instance, from, false)
    }

    fn new(dir: &Path, instance: &str, (series, at): (u32, Place), live: bool) -> Self {
        let (dir, instance) = (dir.to_owned(), instance.to_owned());
        Self { dir, instance, series, at, open: None, damage_from: None, passed: Vec::new(), live }
    }

    pub(crate) const fn series(&self) -> u32 {
        self.series
    }

    /// Everything before this place has been read.
    pub(crate) const fn at(&self) -> Place {
        self.at
    }

    /// Bytes between here and `end`, as far as the files' lengths tell.
    pub(crate) fn bytes_before(&self, end: Place) -> u64 {
        let between = self.at.file..=end.file;
        let files = list(&self.dir).unwrap_or_default().into_iter();
        let ours = files.filter(|(series, file, _)| *series == self.series && between.contains(file));
        let lens = ours.map(|(_, file, path)| {
            let len = if file == end.file { end.offset } else { path.metadata().map_or(0, |m| m.len()) };
            len.saturating_sub(if file == self.at.file { self.at.offset } else { 0 })
        });
        lens.sum()
    }

    /// Reads at most a chunk of what stands before `end`, handing over its records in order.
    pub(crate) fn read(
        &mut self,
        end: Place,
        scratch: &mut Scratch,
        sink: &mut impl FnMut(LedgerRecord),
    ) -> Result<Reading, Error> {
        loop {
            if self.at >= end {
                return Ok(Reading { at_end: true, ..Reading::default() });
            }
            let Some(seed) = self.open_file()? else {
                if !self.next_file(end)? {
                    return Ok(Reading { at_end: true, ..Reading::default() });
                }
                continue;
            };
            let file_end = if self.at.file == end.file { end.offset } else { self.file_len()? };
            if self.at.offset < file_end {
                let last = !self.live && self.at.file == end.file;
                self.fill(file_end, &mut scratch.bytes)?;
                return Ok(self.parse(Region { seed, end: file_end, last }, scratch, sink));
            }
            if self.at.file == end.file || !self.next_file(end)? {
                return Ok(Reading { at_end: true, ..Reading::default() });
            }
        }
    }

    /// Deletes the files that are wholly behind; call it once the ledger has everything before [`Self::at`].
    pub(crate) fn forget_passed(&mut self) -> Result<(), Error> {
        while let Some(file) = self.passed.last() {
            let path = self.path(*file);
            match fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", &path, e));
                }
                _ => self.passed.pop(),
            };
        }
        Ok(())
    }

    fn path(&self, file: u32) -> PathBuf {
        self.dir.join(file_name(self.series, file))
    }

    /// Opens the file we are in, if it is there, and returns its seed.
    fn open_file(&mut self) -> Result<Option<u32>, Error> {
        if let Some((file, seed, _)) = &self.open
            && *file == self.at.file
        {
            return Ok(Some(*seed));
        }
        let path = self.path(self.at.file);
        match File::open(&path) {
            Ok(file) => {
                let seed = frame::seed(&self.instance, &file_name(self.series, self.at.file));
                self.open = Some((self.at.file, seed, file));
                Ok(Some(seed))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("open", &path, e)),
        }
    }

    fn file_len(&self) -> Result<u64, Error> {
        let Some((_, _, file)) = &self.open else { return Ok(0) };
        let meta = file.metadata().map_err(|e| Error::io("read", &self.path(self.at.file), e))?;
        Ok(meta.len())
    }

    /// Goes to the start of the next file that exists, if that is not behind the end.
    fn next_file(&mut self, end: Place) -> Result<bool, Error> {
        let later = |(series, file, _): &(u32, u32, PathBuf)| *series == self.series && *file > self.at.file;
        let Some((_, file, _)) = list(&self.dir)?.into_iter().find(later) else { return Ok(false) };
        if file > end.file {
            return Ok(false);
        }
        self.passed.push(self.at.file);
        self.at = Place { file, offset: 0 };
        Ok(true)
    }

    fn fill(&mut self, end: u64, bytes: &mut Vec<u8>) -> Result<(), Error> {
        bytes.clear();
        let (at, path) = (self.at, self.path(self.at.file));
        let Some((_, _, file)) = &mut self.open else { return Ok(()) };
        file.seek(SeekFrom::Start(at.offset))
            .and_then(|_| file.take(CHUNK_BYTES.min(end - at.offset)).read_to_end(bytes))
            .map_err(|e| Error::io("read", &path, e))?;
        Ok(())
    }

    fn parse(
        &mut self,
        region: Region,
        scratch: &mut Scratch,
        sink: &mut impl FnMut(LedgerRecord),
    ) -> Reading {
        let Scratch { bytes, names } = scratch;
        let start = self.at.offset;
        // Nothing stands behind these bytes, so what looks like the start of a frame will never get its end. (A short
        // read means the same: the file has become shorter since its length was taken.)
        let whole = start + bytes.len() as u64 >= region.end || (bytes.len() as u64) < CHUNK_BYTES;
        let mut reading = Reading::default();
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let here = start + at as u64;
            match frame::find(rest, region.seed) {
                Found::Frame { version, payload, len } => {
                    self.end_damage(here, &mut reading);
                    match codec::decode(version, payload, names) {
                        Ok(record) => sink(record),
                        // We wrote it ourselves a moment ago, so waiting for a newer build is no use.
                        Err(_) if self.live => self.damage_from = Some(here),
                        Err(unreadable) => {
                            reading.unreadable = Some(unreadable);
                            break;
                        }
                    }
                    at += len;
                }
                Found::Partial if !whole => break,
                Found::Partial | Found::Nothing => {
                    self.damage_from.get_or_insert(here);
                    at += 1;
                }
            }
        }
        self.at.offset = start + at as u64;
        if whole && reading.unreadable.is_none() {
            self.at.offset = region.end;
            self.end_file(&region, &mut reading);
        }
        reading.bytes = self.at.offset - start;
        reading
    }

    /// Damage that lasts to the end of a dead series' last file is the record its process died in.
    fn end_file(&mut self, region: &Region, reading: &mut Reading) {
        match self.damage_from {
            Some(from) if region.last => {
                self.damage_from = None;
                reading.torn_bytes = region.end - from;
            }
            _ => self.end_damage(region.end, reading),
        }
    }

    fn end_damage(&mut self, end: u64, reading: &mut Reading) {
        let Some(from) = self.damage_from.take() else { return };
        reading.damaged += 1;
        let file = self.path(self.at.file);
        tracing::warn!(file = %file.display(), from, bytes = end - from, "skipped damage in the ledger spool");
    }
}

/// What is being read: to where, with which seed, and whether it is the very end of a dead series.
#[derive(Clone, Copy)]
struct Region {
    seed: u32,
    end: u64,
    last: bool,
}
