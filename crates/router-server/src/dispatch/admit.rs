//! An attempt's beginning and its early end: taking what it needs, sending it, giving it back.

use std::sync::Arc;

use router_core::attempt::{FailureKind, Outcome};
use router_core::compiled::DeploymentIdx;
use router_core::failover::{AttemptLimits, AttemptNo, Event, Failure, NotAdmitted};
use router_core::health::{Ask, Permit};
use router_core::money::Usd;
use router_providers::dialect::ReplyMeta;
use router_providers::exchange::{Call, Limits, Target};

use super::attempt::{Destination, Live};
use super::money::{Funded, UNKNOWN_OUTPUT, Waits};
use super::run::{End, Performed, Run};
use super::spent::Spent;
use crate::ingress::Asked;
use crate::respond;

/// An attempt between being asked for and being sent.
pub(super) struct Admission {
    pub(super) attempt: AttemptNo,
    pub(super) deployment: DeploymentIdx,
    /// Tokens asked for: what a booking gives back.
    pub(super) tokens: u64,
    /// What was taken; `None`: a place is booked, or nothing yet.
    pub(super) taken: Option<Taken>,
    /// Money is waited for.
    pub(super) waits: Option<Box<Waits>>,
}

/// What an admitted attempt holds.
pub(super) struct Taken {
    pub(super) permit: Permit,
    pub(super) money: Funded,
}

impl Run<'_> {
    /// Money, ticket, rate, concurrency and retry budget, all or none. `None`: the money is waited for.
    pub(super) fn admit(
        &mut self,
        attempt: AttemptNo,
        deployment: DeploymentIdx,
        ask: &Ask,
        draws: bool,
    ) -> Option<Event> {
        self.admission =
            Some(Admission { attempt, deployment, tokens: ask.tokens, taken: None, waits: None });
        self.fund(attempt, deployment, ask, draws)
    }

    /// Everything but money, which is there.
    pub(super) fn place(
        &mut self,
        attempt: AttemptNo,
        deployment: DeploymentIdx,
        (ask, draws): (&Ask, bool),
        money: Funded,
    ) -> Event {
        let (shared, slot) = (&self.worker.shared, self.engine.slot(deployment));
        let now = shared.clock.now();
        let permit = match slot.admit(now, ask) {
            Ok(permit) if draws && !shared.state.withdraw_retry(now) => {
                slot.retract(now, permit);
                Err(NotAdmitted::RetryBudget)
            }
            admitted => admitted,
        };
        match permit {
            Ok(permit) => {
                let taken = Some(Taken { permit, money });
                let tokens = ask.tokens;
                self.admission = Some(Admission { attempt, deployment, tokens, taken, waits: None });
                Event::Admitted(attempt)
            }
            Err(why) => {
                shared.treasury.settle(money.held, Usd::ZERO);
                Event::NotAdmitted(attempt, why)
            }
        }
    }

    /// Tokens an attempt is expected to use, for token rates: of its output not more than the deployment can write, or a
    /// client's absurd limit would keep all others away while its call lasts.
    pub(super) fn tokens(&self, at: DeploymentIdx) -> u64 {
        let input = self.decision.as_ref().and_then(|d| d.verdict(at)).map_or(0, |v| v.input_tokens);
        let longest = self.engine.compiled.deployment(at).max_output_tokens.unwrap_or(UNKNOWN_OUTPUT);
        let output = self.asked.envelope().max_tokens.as_ref().map_or(0, |m| m.value.min(longest));
        input.saturating_add(output)
    }

    pub(super) fn send(&mut self, attempt: AttemptNo, limits: AttemptLimits) -> Performed {
        let Some(Admission { deployment, taken: Some(taken), .. }) =
            self.admission.take_if(|a| a.attempt == attempt)
        else {
            return Performed::Done;
        };
        let credential = taken.permit.credential();
        let cap = taken.money.cap;
        if self.books.open(attempt, deployment, taken).is_err() {
            return self.not_opened(attempt);
        }
        let to = Destination { deployment, simulated: self.engine.compiled.deployment(deployment).simulated };
        let target = self.engine.target(deployment, credential);
        let call = Call { max_tokens: cap, ..self.call(attempt, deployment, target, limits) };
        let place = if self.live.is_none() { &mut self.live } else { &mut self.rival };
        *place = Some(Live::send(self.worker, attempt, &to, call));
        Performed::Done
    }

    /// The ledger cannot take the attempt: that ends the request, unless another attempt of it is under way.
    fn not_opened(&mut self, attempt: AttemptNo) -> Performed {
        if self.live.is_none() && self.rival.is_none() {
            return Performed::End(End::LedgerUnavailable);
        }
        self.lost(attempt, Usd::ZERO, false);
        let failure =
            Failure { kind: FailureKind::Unavailable, retry_after: None, can_go_on: false, another: None };
        Performed::Event(Event::Failed(attempt, failure))
    }

    fn call(
        &self,
        attempt: AttemptNo,
        deployment: DeploymentIdx,
        target: Arc<Target>,
        limits: AttemptLimits,
    ) -> Call {
        let Asked { arrival, request, .. } = self.asked;
        let now = self.worker.shared.clock.now();
        let answer = limits.answer_by.since(now);
        Call {
            request: Arc::clone(request),
            target,
            max_tokens: None,
            limits: Limits {
                connect: limits.connect_by.since(now),
                first_byte: answer,
                answer,
                show: self.engine.compiled.time_limits(&request.envelope().model, deployment).answer,
                idle: limits.idle,
            },
            meta: ReplyMeta {
                id: format!("chatcmpl-{}", arrival.id),
                model: self.engine.compiled.deployment(deployment).upstream_model.to_string(),
                created: arrival.received.as_secs(),
                include_usage: request.envelope().include_usage,
            },
            tag: respond::value(&format!("{}/{}", arrival.id, attempt.0)),
            goes_on: self.cut(),
        }
    }

    /// Stops an attempt, sent or only admitted, and settles it. What was booked for it.
    pub(super) fn cancel(&mut self, attempt: AttemptNo, failure: Option<FailureKind>) -> Usd {
        if let Some(mut live) = self.take(attempt) {
            let spent = Spent::so_far(&mut live);
            let outcome = failure.map_or(Outcome::Cancelled, Outcome::Failure);
            return self.books.close(attempt, outcome, spent, None).cost;
        }
        if let Some(admission) = self.admission.take_if(|a| a.attempt == attempt) {
            self.give_back(admission);
        }
        Usd::ZERO
    }

    fn give_back(&self, admission: Admission) {
        let (shared, slot) = (&self.worker.shared, self.engine.slot(admission.deployment));
        if let Some(taken) = admission.taken {
            slot.retract(shared.clock.now(), taken.permit);
            shared.treasury.settle(taken.money.held, Usd::ZERO);
        } else if admission.waits.is_some_and(|waits| waits.is_booked()) {
            slot.unbook(admission.tokens);
        }
    }
}

/// However it ends, by a panic too: what was admitted and not sent does not keep its place, its ticket and its money.
impl Drop for Run<'_> {
    fn drop(&mut self) {
        if let Some(admission) = self.admission.take() {
            self.give_back(admission);
        }
    }
}
