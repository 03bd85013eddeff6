//! The money of a request's attempts under way: which budgets they count on, what more of an answer costs, and whether there
//! is money for it.

use router_core::budget::size::{LEAD_TOKENS, Meter, Reading};
use router_core::compiled::DeploymentIdx;
use router_core::cost::{DEFAULT_OUTPUT_TOKENS, Dearest};
use router_core::failover::AttemptNo;
use router_core::health::Permit;
use router_core::money::Usd;
use router_core::price::ServiceTier;
use router_core::record::{LedgerRecord, OpenRecord};
use router_core::time::Timestamp;

use super::books::Books;
use super::spent::{Settled, Spent, Terms};
use crate::treasury::{Account, Held, Paid};

/// An attempt in flight.
pub(super) struct OpenAttempt {
    pub(super) record: OpenRecord,
    pub(super) deployment: DeploymentIdx,
    pub(super) permit: Permit,
    pub(super) held: Held,
    /// What more of its output costs.
    pub(super) dearest: Dearest,
    pub(super) meter: Option<Meter>,
    /// The limit on the wire, where money set it.
    pub(super) cap: Option<u64>,
    pub(super) unseen: bool,
    pub(super) first_byte: Option<Timestamp>,
    pub(super) input_bound: u64,
    /// Its beginning is in the spool; if it is not, its end has no place there either.
    pub(super) written: bool,
}

/// What the attempts of one request are opened with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    /// Most input tokens.
    pub(super) input_tokens: u64,
    /// Most output tokens of one answer.
    pub(super) output_tokens: u64,
}

impl Books {
    /// So many output tokens are expected of one answer.
    pub(super) fn expect(&mut self, tokens: Option<u64>) {
        self.expected_output = tokens.unwrap_or(DEFAULT_OUTPUT_TOKENS);
    }

    /// Output tokens expected of one answer.
    pub(super) fn expected_output(&self) -> u64 {
        self.expected_output
    }

    /// The budgets the request may count on.
    pub(super) fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// The service tier asked for; `None`: the provider chooses.
    pub(super) fn tier_asked(&self) -> Option<ServiceTier> {
        self.tier_asked
    }

    /// Answers asked for.
    pub(super) fn answers(&self) -> u64 {
        u64::from(self.answers)
    }

    /// What is left of the tightest of its budgets; `None`: it has none.
    pub(super) fn budget_left(&self) -> Option<Usd> {
        self.worker.shared.treasury.left(&self.accounts)
    }

    /// The limit that money set on an attempt's answer, while it is under way or when it was the one.
    pub(super) fn cap(&self, at: DeploymentIdx) -> Option<u64> {
        self.open.iter().find(|open| open.deployment == at).map_or(self.cap, |open| open.cap)
    }

    /// An attempt has written so many bytes more. Whether there is money for it to go on.
    pub(super) fn metered(&mut self, attempt: AttemptNo, bytes: u64) -> Paid {
        let Some(at) = self.open.iter().position(|o| o.record.attempt == attempt.0) else { return Paid::Yes };
        let open = &mut self.open[at];
        let Some(meter) = &mut open.meter else { return Paid::Yes };
        let (more, needed) = match meter.saw(bytes) {
            Reading::Enough => return Paid::Yes,
            Reading::Wanted(more) => (more, false),
            Reading::Needed(more) => (more, true),
        };
        let amount = open.dearest.ceiling(meter.held().saturating_add(more)) - open.held.amount();
        match self.worker.shared.treasury.extend(&mut open.held, amount) {
            Paid::Yes => {}
            short if needed => return short,
            Paid::Soon | Paid::No => return Paid::Yes,
        }
        open.record.ceiling = open.held.amount();
        // Known to the ledger before it is relied on: what a killed process leaves open is booked at this.
        let raised = open.written.then(|| LedgerRecord::Open(open.record.clone()));
        let known = raised.is_none_or(|raised| self.append(&[raised]));
        if !known && self.worker.shared.refuse_without_ledger {
            return if needed { Paid::No } else { Paid::Yes };
        }
        if let Some(meter) = self.open.get_mut(at).and_then(|open| open.meter.as_mut()) {
            meter.extend(more);
        }
        Paid::Yes
    }

    /// The tokens and the cost so far of an attempt that ends for want of money, as they will be booked.
    pub(super) fn so_far(&self, attempt: AttemptNo, spent: Spent) -> Settled {
        let open = self.open.iter().find(|open| open.record.attempt == attempt.0);
        open.map_or_else(|| Spent::Nothing.settle(&Terms::default()), |open| spent.settle(&self.terms(open)))
    }

    pub(super) fn terms<'a>(&'a self, open: &OpenAttempt) -> Terms<'a> {
        Terms {
            price: self.engine.compiled.deployment(open.deployment).price.as_ref(),
            tier: self.service_tier,
            input_bound: open.input_bound,
            ceiling: open.record.ceiling,
            ahead: if open.meter.is_some() { LEAD_TOKENS } else { 0 },
            unseen: open.unseen,
        }
    }
}
