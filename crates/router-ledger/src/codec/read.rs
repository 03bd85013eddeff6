//! Bytes as a record: the fields in the order in which they were written; `None` as soon as one cannot be read.

use std::sync::Arc;

use router_core::budget::BudgetUse;
use router_core::chat::Usage;
use router_core::money::Usd;
use router_core::record::{CloseRecord, LedgerRecord, OpenRecord, RequestId, RequestRecord};
use router_core::time::Timestamp;

use super::{BEFORE, CLOSE, Names, OPEN, REQUEST, outcome, usage};

/// What is left to read.
pub(super) struct Input<'a> {
    pub(super) left: &'a [u8],
    pub(super) names: &'a mut Names,
    pub(super) version: u8,
}

impl Input<'_> {
    pub(super) fn record(&mut self) -> Option<LedgerRecord> {
        match self.byte()? {
            OPEN => self.open().map(LedgerRecord::Open),
            CLOSE => self.close().map(LedgerRecord::Close),
            REQUEST => self.request().map(LedgerRecord::Request),
            _ => None,
        }
    }

    fn open(&mut self) -> Option<OpenRecord> {
        Some(OpenRecord {
            request: self.id()?,
            attempt: self.small()?,
            at: self.time()?,
            deployment: self.label()?,
            provider: self.label()?,
            model: self.label()?,
            key: self.optional_label()?,
            tags: self.tags()?,
            rule: self.optional_label()?,
            ceiling: self.money()?,
            price_version: self.label()?,
            simulated: self.flag()?,
            budgets: if self.version == BEFORE { Vec::new() } else { self.budgets()? },
        })
    }

    fn close(&mut self) -> Option<CloseRecord> {
        Some(CloseRecord {
            request: self.id()?,
            attempt: self.small()?,
            at: self.time()?,
            outcome: outcome(self.text()?)?,
            usage: self.usage()?,
            cost: self.money()?,
            estimated: self.flag()?,
            first_byte_ms: self.optional()?,
            total_ms: self.small()?,
            provider_cost: if self.flag()? { Some(self.money()?) } else { None },
        })
    }

    fn request(&mut self) -> Option<RequestRecord> {
        Some(RequestRecord {
            request: self.id()?,
            at: self.time()?,
            ended: self.time()?,
            model: self.label()?,
            key: self.optional_label()?,
            // Unique to its request: not worth remembering.
            client_request_id: self.optional_text()?.map(Arc::from),
            rule: self.optional_label()?,
            deployment: self.optional_label()?,
            outcome: self.label()?,
            attempts: self.small()?,
            usage: self.usage()?,
            cost: self.money()?,
            reference_cost: self.money()?,
            first_byte_ms: self.optional()?,
            overhead_us: self.small()?,
            simulated: self.flag()?,
        })
    }

    fn take(&mut self, n: usize) -> Option<&[u8]> {
        let (taken, left) = self.left.split_at_checked(n)?;
        self.left = left;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, left) = self.left.split_first()?;
        self.left = left;
        Some(*byte)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn id(&mut self) -> Option<RequestId> {
        Some(RequestId(u128::from_le_bytes(self.take(16)?.try_into().ok()?)))
    }

    fn number(&mut self) -> Option<u64> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            n |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(n);
            }
        }
        None
    }

    fn small(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    fn optional(&mut self) -> Option<Option<u32>> {
        match self.number()? {
            0 => Some(None),
            n => u32::try_from(n - 1).ok().map(Some),
        }
    }

    fn time(&mut self) -> Option<Timestamp> {
        self.number().map(Timestamp::from_micros)
    }

    fn money(&mut self) -> Option<Usd> {
        let zigzag = self.number()?;
        Some(Usd::from_nano((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed()))
    }

    fn usage(&mut self) -> Option<Usage> {
        let mut classes = [0; 10];
        for tokens in &mut classes {
            *tokens = self.number()?;
        }
        Some(usage(classes))
    }

    fn text(&mut self) -> Option<&str> {
        let len = usize::try_from(self.number()?).ok()?;
        std::str::from_utf8(self.take(len)?).ok()
    }

    fn optional_text(&mut self) -> Option<Option<&str>> {
        let Some(len) = self.number()?.checked_sub(1) else {
            return Some(None);
        };
        std::str::from_utf8(self.take(usize::try_from(len).ok()?)?).ok().map(Some)
    }

    fn label(&mut self) -> Option<Arc<str>> {
        let len = usize::try_from(self.number()?).ok()?;
        self.shared(len)
    }

    fn optional_label(&mut self) -> Option<Option<Arc<str>>> {
        let Some(len) = self.number()?.checked_sub(1) else {
            return Some(None);
        };
        self.shared(usize::try_from(len).ok()?).map(Some)
    }

    fn shared(&mut self, len: usize) -> Option<Arc<str>> {
        let (text, left) = self.left.split_at_checked(len)?;
        self.left = left;
        Some(self.names.share(std::str::from_utf8(text).ok()?))
    }

    fn tags(&mut self) -> Option<Vec<Arc<str>>> {
        let count = self.number()?;
        (0..count).map(|_| self.label()).collect()
    }

    fn budgets(&mut self) -> Option<Vec<BudgetUse>> {
        let count = self.number()?;
        (0..count).map(|_| Some(BudgetUse { budget: self.label()?, start: self.time()? })).collect()
    }
}
