//! A bounded number of records on their way into the ledger, an attempt's open and close made one row where they meet.

use std::collections::HashMap;

use router_core::record::{CloseRecord, LedgerRecord, OpenRecord, RequestId, RequestRecord};

use crate::ledger::{InstanceId, Position};

/// Records and the positions they reach, applied together or not at all.
#[derive(Debug, Default)]
pub struct Batch {
    pub(crate) opened: Vec<Opened>,
    /// Closes whose open is in the ledger already.
    pub(crate) closed: Vec<(InstanceId, CloseRecord)>,
    pub(crate) requests: Vec<RequestRecord>,
    pub(crate) positions: Vec<Position>,
    records: u64,
    /// Where an attempt's open stands in `opened`.
    open_at: HashMap<(RequestId, u32), usize>,
}

/// An attempt that began in this batch.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) instance: InstanceId,
    pub(crate) open: OpenRecord,
    pub(crate) close: Option<CloseRecord>,
}

impl Batch {
    /// Adds a record read from a process's spool.
    pub fn push(&mut self, instance: InstanceId, record: LedgerRecord) {
        self.records += 1;
        match record {
            LedgerRecord::Open(open) => {
                self.open_at.insert((open.request, open.attempt), self.opened.len());
                self.opened.push(Opened { instance, open, close: None });
            }
            LedgerRecord::Close(close) => {
                let at = self.open_at.get(&(close.request, close.attempt));
                match at.and_then(|at| self.opened.get_mut(*at)) {
                    Some(opened) => opened.close = Some(close),
                    None => self.closed.push((instance, close)),
                }
            }
            LedgerRecord::Request(request) => self.requests.push(request),
        }
    }

    /// Says how far a series is read with this batch; the last word counts.
    pub fn reach(&mut self, position: Position) {
        let same = |p: &&mut Position| (p.instance, p.series) == (position.instance, position.series);
        match self.positions.iter_mut().find(same) {
            Some(known) => *known = position,
            None => self.positions.push(position),
        }
    }

    /// Rows to write.
    pub const fn len(&self) -> usize {
        self.opened.len() + self.closed.len() + self.requests.len()
    }

    /// Records taken in.
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// Neither a row nor a position.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0 && self.positions.is_empty()
    }

    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.opened.clear();
        self.closed.clear();
        self.requests.clear();
        self.positions.clear();
        self.open_at.clear();
        self.records = 0;
    }
}
