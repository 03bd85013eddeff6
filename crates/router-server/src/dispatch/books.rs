//! A request's accounts: opened before an attempt's first byte goes upstream, closed before the client sees the end,
//! concluded once. They outlive a panic of the code that serves.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use router_core::attempt::Outcome;
use router_core::budget::size::{LEAD_TOKENS, Meter, Reading};
use router_core::chat::Usage;
use router_core::compiled::DeploymentIdx;
use router_core::cost::{DEFAULT_OUTPUT_TOKENS, Dearest};
use router_core::failover::AttemptNo;
use router_core::health::{Ending, Permit};
use router_core::money::Usd;
use router_core::price::ServiceTier;
use router_core::record::log::LogEvent;
use router_core::record::{CloseRecord, LedgerRecord, OpenRecord, RequestRecord};
use router_core::select::Decision;
use router_core::time::Timestamp;

use super::admit::Taken;
use super::money::Funded;
use super::spent::{Settled, Spent, Terms};
use crate::engine::Engine;
use crate::ingress::Asked;
use crate::telemetry::metrics::RequestDone;
use crate::treasury::{Account, Accounts, Held};
use crate::worker::Worker;

/// Words of every request's records, made once.
static SUCCESS: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("success"));
static NOTHING: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(""));

/// An attempt in flight.
struct OpenAttempt {
    record: OpenRecord,
    deployment: DeploymentIdx,
    permit: Permit,
    held: Held,
    /// What more of its output costs.
    dearest: Dearest,
    meter: Option<Meter>,
    /// The limit on the wire, where money set it.
    cap: Option<u64>,
    unseen: bool,
    first_byte: Option<Timestamp>,
    input_bound: u64,
    /// Its beginning is in the spool; if it is not, its end has no place there either.
    written: bool,
}

/// What the attempts of one request are opened with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    /// Most input tokens.
    pub(super) input_tokens: u64,
    /// Most output tokens of one answer.
    pub(super) output_tokens: u64,
}

/// One request's accounts.
pub(super) struct Books {
    worker: Arc<Worker>,
    engine: Arc<Engine>,
    request: RequestRecord,
    key_tags: Vec<Arc<str>>,
    service_tier: ServiceTier,
    /// As asked; `None`: the provider chooses.
    tier_asked: Option<ServiceTier>,
    answers: u32,
    /// The budgets it may count on.
    accounts: Accounts,
    expected_output: u64,
    /// The limit that money set on the answer that was whole.
    cap: Option<u64>,
    open: Vec<OpenAttempt>,
    sent_at: Option<Timestamp>,
    /// Time until the first attempt that was not ours: the client's to send its body, or spent in line for a place.
    waited: Duration,
    /// Of the attempt that answered.
    price_version: Option<Arc<str>>,
    concluded: bool,
}

impl Books {
    /// Begins.
    pub(super) fn begin(worker: &Arc<Worker>, engine: &Arc<Engine>, asked: &Asked) -> Self {
        worker.shared.metrics.request_started();
        let key = asked.key.as_ref().map(|key| &key.spec);
        let request = RequestRecord {
            request: asked.arrival.id,
            at: asked.arrival.received,
            ended: asked.arrival.received,
            model: engine.known_model(&asked.envelope().model),
            key: key.map(|k| Arc::clone(&k.name)),
            client_request_id: asked.client_request_id.clone(),
            rule: None,
            deployment: None,
            outcome: Arc::clone(&NOTHING),
            attempts: 0,
            usage: Usage::default(),
            cost: Usd::ZERO,
            reference_cost: Usd::ZERO,
            first_byte_ms: None,
            overhead_us: 0,
            simulated: false,
        };
        let tier = asked.envelope().service_tier.as_deref();
        let payer = key.map(|key| &**key);
        Self {
            worker: Arc::clone(worker),
            engine: Arc::clone(engine),
            request,
            key_tags: key.map(|k| k.tags.clone()).unwrap_or_default(),
            service_tier: tier.map(ServiceTier::named).unwrap_or_default(),
            tier_asked: (tier != Some("auto")).then(|| tier.map(ServiceTier::named).unwrap_or_default()),
            accounts: worker.shared.treasury.accounts(&engine.compiled, payer, &asked.envelope().model),
            expected_output: DEFAULT_OUTPUT_TOKENS,
            cap: None,
            answers: asked.envelope().n.max(1),
            open: Vec::new(),
            sent_at: None,
            waited: asked.body_time,
            price_version: None,
            concluded: false,
        }
    }

    /// What was decided.
    pub(super) fn decided(&mut self, decision: &Decision) {
        self.request.rule.clone_from(&decision.rule);
    }

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

    /// An attempt has written so many bytes. Whether there is money for it to go on.
    pub(super) fn metered(&mut self, attempt: AttemptNo, bytes: u64) -> bool {
        let Some(at) = self.open.iter().position(|o| o.record.attempt == attempt.0) else { return true };
        let open = &mut self.open[at];
        let Some(meter) = &mut open.meter else { return true };
        let (more, needed) = match meter.saw(bytes) {
            Reading::Enough => return true,
            Reading::Wanted(more) => (more, false),
            Reading::Needed(more) => (more, true),
        };
        let amount = open.dearest.ceiling(meter.held().saturating_add(more)) - open.held.amount();
        if !self.worker.shared.treasury.extend(&mut open.held, amount) {
            return !needed;
        }
        meter.extend(more);
        open.record.ceiling = open.held.amount();
        // Known to the ledger before it is relied on: what a killed process leaves open is booked at this.
        let raised = LedgerRecord::Open(open.record.clone());
        if open.written {
            self.append(&[raised]);
        }
        true
    }

    /// The tokens and the cost so far of an attempt that ends for want of money, as they will be booked.
    pub(super) fn so_far(&self, attempt: AttemptNo, spent: Spent) -> Settled {
        let open = self.open.iter().find(|open| open.record.attempt == attempt.0);
        open.map_or_else(|| Spent::Nothing.settle(&Terms::default()), |open| spent.settle(&self.terms(open)))
    }

    fn terms<'a>(&'a self, open: &OpenAttempt) -> Terms<'a> {
        Terms {
            price: self.engine.compiled.deployment(open.deployment).price.as_ref(),
            tier: self.service_tier,
            input_bound: open.input_bound,
            ceiling: open.record.ceiling,
            ahead: if open.meter.is_some() { LEAD_TOKENS } else { 0 },
            unseen: open.unseen,
        }
    }

    /// Writes an attempt into the spool, before anything of it goes upstream.
    ///
    /// # Errors
    /// The spool cannot be written and `ledger.on_full` is `refuse`; the attempt must not be sent.
    pub(super) fn open(
        &mut self,
        attempt: AttemptNo,
        at: DeploymentIdx,
        taken: Taken,
    ) -> Result<(), Refused> {
        let now = self.worker.shared.clock.now();
        let deployment = self.engine.compiled.deployment(at);
        let record = OpenRecord {
            request: self.request.request,
            attempt: attempt.0,
            at: now,
            deployment: Arc::clone(&deployment.id),
            provider: Arc::clone(&deployment.provider),
            model: Arc::clone(&self.request.model),
            key: self.request.key.clone(),
            tags: self.key_tags.clone(),
            budgets: taken.money.held.uses(),
            rule: self.request.rule.clone(),
            ceiling: taken.money.held.amount(),
            price_version: deployment
                .price
                .as_ref()
                .map_or_else(|| Arc::clone(&NOTHING), |p| Arc::clone(&p.version)),
            simulated: deployment.simulated,
        };
        let written = self.append(&[LedgerRecord::Open(record.clone())]);
        let Taken { permit, money } = taken;
        let Funded { held, bound, dearest, meter, cap, unseen } = money;
        if !written && self.worker.shared.refuse_without_ledger {
            self.engine.slot(at).retract(now, permit);
            self.worker.shared.treasury.settle(held, Usd::ZERO);
            return Err(Refused);
        }
        let (first_byte, input_bound) = (None, bound.input_tokens);
        self.open.push(OpenAttempt {
            record,
            deployment: at,
            permit,
            held,
            dearest,
            meter,
            cap,
            unseen,
            first_byte,
            input_bound,
            written,
        });
        self.sent_at.get_or_insert(now);
        self.request.attempts = attempt.0;
        Ok(())
    }

    /// Time went by that was not ours.
    pub(super) fn waited(&mut self, span: Duration) {
        if self.sent_at.is_none() {
            self.waited += span;
        }
    }

    /// The attempt's first byte came.
    pub(super) fn first_byte(&mut self, attempt: AttemptNo) {
        let now = self.worker.shared.clock.now();
        let Some(open) = self.open.iter_mut().find(|o| o.record.attempt == attempt.0) else { return };
        if open.first_byte.is_none() {
            open.first_byte = Some(now);
            self.engine.slot(open.deployment).first_byte(now, &mut open.permit);
        }
    }

    /// What a usage costs on a deployment, all earlier attempts included: what the client is told.
    pub(super) fn cost_with(
        &self,
        deployment: DeploymentIdx,
    ) -> impl Fn(&Usage, ServiceTier) -> Option<Usd> + Send + Sync + use<> {
        let (engine, before) = (Arc::clone(&self.engine), self.request.cost);
        move |usage, tier| {
            let price = engine.compiled.deployment(deployment).price.as_ref()?;
            Some(before + price.cost(usage, tier))
        }
    }

    /// Writes the attempt's end: usage, cost and outcome, to the spool, the board, the log and the metrics. Returns the
    /// tokens booked.
    pub(super) fn close(
        &mut self,
        attempt: AttemptNo,
        outcome: Outcome,
        spent: Spent,
        retry_after: Option<Duration>,
    ) -> Usage {
        let Some((record, written)) = self.end(attempt, outcome, spent, retry_after) else {
            return Usage::default();
        };
        let usage = record.usage;
        if written {
            self.append(&[LedgerRecord::Close(record)]);
        }
        usage
    }

    /// Everything of `close` but the record in the spool, which it returns, with whether it belongs there: an attempt whose
    /// `open` could not be written has no `close` either.
    fn end(
        &mut self,
        attempt: AttemptNo,
        outcome: Outcome,
        spent: Spent,
        retry_after: Option<Duration>,
    ) -> Option<(CloseRecord, bool)> {
        let place = self.open.iter().position(|o| o.record.attempt == attempt.0)?;
        let open = self.open.swap_remove(place);
        let now = self.worker.shared.clock.now();
        let engine = Arc::clone(&self.engine);
        let deployment = engine.compiled.deployment(open.deployment);
        let Settled { usage, cost, estimated } = spent.settle(&self.terms(&open));
        let tokens = (!estimated).then(|| usage.input_tokens.saturating_add(usage.output_tokens));
        let shared = Arc::clone(&self.worker.shared);
        let ending = Ending { outcome, tokens, retry_after };
        let OpenAttempt { record: opened, deployment: at, permit, held, cap, first_byte, written, .. } = open;
        engine.slot(at).end(now, permit, &ending);
        let over = shared.treasury.settle(held, cost);
        if over > Usd::ZERO {
            shared.metrics.overrun(over);
            tracing::warn!(
                request = %self.request.request, attempt = attempt.0, deployment = &*deployment.id, %over,
                "an attempt cost more than it could have: booked in full"
            );
        }
        let record = CloseRecord {
            request: self.request.request,
            attempt: attempt.0,
            at: now,
            outcome,
            usage,
            cost,
            estimated,
            first_byte_ms: first_byte.map(|at| millis(at.since(opened.at))),
            total_ms: millis(now.since(opened.at)),
            provider_cost: None,
        };
        let failure = if outcome == Outcome::Success { "" } else { outcome.name() };
        shared.metrics.attempt_done(&deployment.id, failure);
        if shared.log.is_on() {
            shared.log.append(&LogEvent::attempt(&opened, &record));
        }
        self.request.usage.add(&usage);
        self.request.cost += cost;
        self.request.simulated |= opened.simulated;
        if outcome == Outcome::Success {
            self.cap = cap;
            self.request.deployment = Some(Arc::clone(&deployment.id));
            self.price_version = Some(Arc::clone(&opened.price_version));
            self.request.first_byte_ms = first_byte.map(|at| millis(at.since(self.request.at)));
        }
        Some((record, written))
    }

    /// Cost of all attempts so far.
    pub(super) fn cost(&self) -> Usd {
        self.request.cost
    }

    /// Tokens of all attempts so far.
    pub(super) fn tokens(&self) -> u64 {
        self.request.usage.input_tokens.saturating_add(self.request.usage.output_tokens)
    }

    /// Attempts sent so far.
    pub(super) fn attempts(&self) -> u32 {
        self.request.attempts
    }

    /// The rule that matched.
    pub(super) fn rule(&self) -> Option<&str> {
        self.request.rule.as_deref()
    }

    /// Our own time until the first attempt was sent.
    pub(super) fn overhead(&self) -> Duration {
        let until = self.sent_at.unwrap_or_else(|| self.worker.shared.clock.now());
        until.since(self.request.at).saturating_sub(self.waited)
    }

    /// Writes the attempt that answered and the request's end, which happened when the provider's last byte had come.
    /// Before the client sees the end of its answer.
    pub(super) fn succeed(&mut self, attempt: AttemptNo, spent: Spent, last_byte: Timestamp) {
        let closed = self.end(attempt, Outcome::Success, spent, None);
        let closed = closed.and_then(|(record, written)| written.then_some(record));
        self.write_end(&SUCCESS, Some(last_byte), closed);
    }

    /// Writes the end of a request that got no answer. Before the client sees it.
    pub(super) fn conclude(&mut self, outcome: &str) {
        self.write_end(&Arc::from(outcome), None, None);
    }

    /// Once per request.
    fn write_end(&mut self, outcome: &Arc<str>, last_byte: Option<Timestamp>, closed: Option<CloseRecord>) {
        if std::mem::replace(&mut self.concluded, true) {
            return;
        }
        let shared = Arc::clone(&self.worker.shared);
        self.request.ended = shared.clock.now();
        self.request.outcome = Arc::clone(outcome);
        let after = last_byte.map_or(Duration::ZERO, |at| self.request.ended.since(at));
        let overhead = self.overhead() + after;
        self.request.overhead_us = u32::try_from(overhead.as_micros()).unwrap_or(u32::MAX);
        self.request.reference_cost = self.engine.reference_cost(&self.request, self.service_tier);
        let request = LedgerRecord::Request(self.request.clone());
        match closed {
            Some(closed) => self.append(&[LedgerRecord::Close(closed), request]),
            None => self.append(&[request]),
        };
        if shared.log.is_on() {
            shared.log.append(&LogEvent::request(&self.request, self.price_version.as_deref()));
        }
        shared.metrics.request_done(&RequestDone {
            model: &self.request.model,
            deployment: self.request.deployment.as_ref().unwrap_or(&NOTHING),
            outcome: &self.request.outcome,
            seconds: self.request.ended.since(self.request.at).as_secs_f64(),
            first_byte_seconds: self.request.first_byte_ms.map(|ms| f64::from(ms) / 1e3),
            overhead_seconds: overhead.as_secs_f64(),
            // As in the report: simulated answers cost nothing.
            cost: if self.request.simulated { Usd::ZERO } else { self.request.cost },
            usage: &self.request.usage,
        });
    }

    /// After a panic: everything open is closed at its bound, and the request ends. Whether that was still to be done.
    pub(super) fn abandon(&mut self) -> bool {
        let unended = !self.concluded || !self.open.is_empty();
        while let Some(open) = self.open.last() {
            let attempt = AttemptNo(open.record.attempt);
            self.close(
                attempt,
                Outcome::Cancelled,
                Spent::Unknown { seen_output_tokens: None, so_far: None },
                None,
            );
        }
        self.conclude("internal_error");
        unended
    }

    /// Whether the records are in the spool.
    fn append(&self, records: &[LedgerRecord]) -> bool {
        match self.worker.segment.append_all(records) {
            Ok(()) => {
                self.worker.shared.state.spool_written(true);
                true
            }
            Err(error) => {
                if self.worker.shared.state.spool_written(false) {
                    tracing::error!(%error, "the ledger's spool cannot be written");
                }
                false
            }
        }
    }
}

/// The ledger cannot take the attempt.
#[derive(Debug)]
pub(super) struct Refused;

fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}
