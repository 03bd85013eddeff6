//! A request's accounts: opened before an attempt's first byte goes upstream, closed before the client sees the end,
//! concluded once. They outlive a panic of the code that serves.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use router_core::attempt::Outcome;
use router_core::compiled::DeploymentIdx;
use router_core::cost::DEFAULT_OUTPUT_TOKENS;
use router_core::failover::{Another, AttemptNo};
use router_core::health::Ending;
use router_core::money::Usd;
use router_core::price::ServiceTier;
use router_core::record::log::LogEvent;
use router_core::record::{CloseRecord, LedgerRecord, OpenRecord, RequestRecord};
use router_core::select::Decision;
use router_core::time::Timestamp;
use router_providers::error as upstream;

use super::admit::Taken;
use super::metered::OpenAttempt;
use super::money::Funded;
use super::spent::{Closed, Settled, Spent};
use crate::engine::Engine;
use crate::ingress::Asked;
use crate::telemetry::metrics::RequestDone;
use crate::treasury::Accounts;
use crate::worker::Worker;

/// Words of every request's records, made once.
static SUCCESS: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from("success"));
static NOTHING: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(""));

/// An attempt's end on its way to the spool.
struct Ended {
    record: CloseRecord,
    /// It belongs there: an attempt whose `open` could not be written has no `close` either.
    written: bool,
    another: Option<Another>,
}

/// One request's accounts.
pub(super) struct Books {
    pub(super) worker: Arc<Worker>,
    pub(super) engine: Arc<Engine>,
    request: RequestRecord,
    key_tags: Vec<Arc<str>>,
    pub(super) service_tier: ServiceTier,
    /// As asked; `None`: the provider chooses.
    pub(super) tier_asked: Option<ServiceTier>,
    pub(super) answers: u32,
    /// The budgets it may count on.
    pub(super) accounts: Accounts,
    pub(super) expected_output: u64,
    /// The limit that money set on the answer that was whole.
    pub(super) cap: Option<u64>,
    pub(super) open: Vec<OpenAttempt>,
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
            ..RequestRecord::default()
        };
        let tier = asked.envelope().service_tier.as_deref();
        let payer = key.map(|key| &**key);
        Self {
            key_tags: key.map(|k| k.tags.clone()).unwrap_or_default(),
            service_tier: tier.map(ServiceTier::named).unwrap_or_default(),
            tier_asked: tier.and_then(ServiceTier::asked),
            accounts: worker.shared.treasury.accounts(&engine.compiled, payer, &asked.envelope().model),
            answers: asked.envelope().n.max(1),
            waited: asked.body_time,
            ..Self::of(worker, engine, request)
        }
    }

    fn of(worker: &Arc<Worker>, engine: &Arc<Engine>, request: RequestRecord) -> Self {
        Self {
            worker: Arc::clone(worker),
            engine: Arc::clone(engine),
            request,
            key_tags: Vec::new(),
            service_tier: ServiceTier::default(),
            tier_asked: Some(ServiceTier::default()),
            accounts: Accounts::new(),
            expected_output: DEFAULT_OUTPUT_TOKENS,
            cap: None,
            answers: 1,
            open: Vec::new(),
            sent_at: None,
            waited: Duration::ZERO,
            price_version: None,
            concluded: false,
        }
    }

    /// Of a call that nobody asked for: attempts without a request.
    pub(super) fn unasked(worker: &Arc<Worker>, engine: &Arc<Engine>, request: RequestRecord) -> Self {
        Self { concluded: true, ..Self::of(worker, engine, request) }
    }

    /// What was decided.
    pub(super) fn decided(&mut self, decision: &Decision) {
        self.request.rule.clone_from(&decision.rule);
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

    /// The attempt's first byte came, with what the provider said is left of its limits.
    pub(super) fn first_byte(&mut self, attempt: AttemptNo, said: Option<&upstream::RateState>) {
        let now = self.worker.shared.clock.now();
        let Some(open) = self.open.iter_mut().find(|o| o.record.attempt == attempt.0) else { return };
        if open.first_byte.is_none() {
            open.first_byte = Some(now);
            self.engine.slot(open.deployment).first_byte(now, &mut open.permit);
            if let Some(said) = said {
                self.learn(attempt, said);
            }
        }
    }

    /// The provider said what is left of its limits.
    pub(super) fn learn(&self, attempt: AttemptNo, said: &upstream::RateState) {
        let Some(open) = self.open.iter().find(|o| o.record.attempt == attempt.0) else { return };
        self.engine.slot(open.deployment).learn(self.worker.shared.clock.now(), &open.permit, said);
    }

    /// Writes the attempt's end: usage, cost and outcome, to the spool, the board, the log and the metrics.
    pub(super) fn close(
        &mut self,
        attempt: AttemptNo,
        outcome: Outcome,
        spent: Spent,
        retry_after: Option<Duration>,
    ) -> Closed {
        let Some(Ended { record, written, another }) = self.end(attempt, outcome, spent, retry_after) else {
            return Closed::default();
        };
        let closed = Closed { usage: record.usage, cost: record.cost, another };
        if written {
            self.append(&[LedgerRecord::Close(record)]);
        }
        closed
    }

    /// Everything of `close` but the record in the spool.
    fn end(
        &mut self,
        attempt: AttemptNo,
        outcome: Outcome,
        spent: Spent,
        retry_after: Option<Duration>,
    ) -> Option<Ended> {
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
        let another = shared.state.end(&engine, at, (now, permit), &ending);
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
        Some(Ended { record, written, another })
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
        let closed = closed.and_then(|ended| ended.written.then_some(ended.record));
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
    pub(super) fn append(&self, records: &[LedgerRecord]) -> bool {
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
