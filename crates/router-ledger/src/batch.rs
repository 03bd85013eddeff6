//! A bounded number of records on their way into the ledger, an attempt's open and close made one row where they meet.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

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
    /// Where an attempt's close stands in `closed`.
    close_at: HashMap<(RequestId, u32), usize>,
    /// Where a request stands in `requests`.
    request_at: HashMap<RequestId, usize>,
}

/// An attempt that began in this batch.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) instance: InstanceId,
    pub(crate) open: OpenRecord,
    pub(crate) close: Option<CloseRecord>,
}

impl Batch {
    /// Adds a record read from a process's spool. One that is there twice, which no process writes, counts once: no
    /// database takes two of a key in one statement.
    pub fn push(&mut self, instance: InstanceId, record: LedgerRecord) {
        self.records += 1;
        match record {
            LedgerRecord::Open(open) => {
                let attempt = (open.request, open.attempt);
                let opened = Opened { instance, open, close: None };
                keep(&mut self.opened, &mut self.open_at, attempt, opened);
            }
            LedgerRecord::Close(close) => {
                let attempt = (close.request, close.attempt);
                match self.open_at.get(&attempt).and_then(|at| self.opened.get_mut(*at)) {
                    Some(opened) => opened.close = Some(close),
                    None => keep(&mut self.closed, &mut self.close_at, attempt, (instance, close)),
                }
            }
            LedgerRecord::Request(request) => {
                let id = request.request;
                keep(&mut self.requests, &mut self.request_at, id, request);
            }
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

    /// The processes whose records these are, with the last request of each. A request's own record does not say whose it
    /// is: it belongs to whose positions this batch reaches.
    pub(crate) fn instances(&self) -> BTreeMap<InstanceId, Option<RequestId>> {
        let ended = self.requests.iter().map(|request| request.request).max();
        let mut last: BTreeMap<_, _> = self.positions.iter().map(|p| (p.instance, ended)).collect();
        let opened = self.opened.iter().map(|row| (row.instance, row.open.request));
        let closed = self.closed.iter().map(|(instance, close)| (*instance, close.request));
        for (instance, request) in opened.chain(closed) {
            let last = last.entry(instance).or_default();
            *last = (*last).max(Some(request));
        }
        last
    }

    /// The provider of the deployment that answered a request, if that attempt began in this batch.
    pub(crate) fn provider(&self, request: &RequestRecord) -> Option<&Arc<str>> {
        let deployment = request.deployment.as_ref()?;
        // The last attempts are the likeliest.
        (1..=request.attempts).rev().find_map(|attempt| {
            let at = self.open_at.get(&(request.request, attempt))?;
            let open = &self.opened.get(*at)?.open;
            (open.deployment == *deployment).then_some(&open.provider)
        })
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
        self.close_at.clear();
        self.request_at.clear();
        self.records = 0;
    }
}

/// Puts a row in the place of the one with its key, or behind all.
fn keep<K: Hash + Eq, R>(rows: &mut Vec<R>, places: &mut HashMap<K, usize>, key: K, row: R) {
    let place = *places.entry(key).or_insert(rows.len());
    match rows.get_mut(place) {
        Some(known) => *known = row,
        None => rows.push(row),
    }
}
