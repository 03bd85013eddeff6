//! Events in, actions out: drives the failover machine of one request.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use router_core::attempt::{FailureKind, Outcome};
use router_core::compiled::DeploymentIdx;
use router_core::budget::Hold;
use router_core::failover::{
    Action, AttemptLimits, AttemptNo, CallTerms, Event, Failover, FailoverInput, Finish, NotAdmitted, Seen,
};
use router_core::health::{Ask, Permit};
use router_core::money::Usd;
use router_core::record::log::LogEvent;
use router_core::select::{Decision, DecisionInput, DeploymentView};
use router_core::time::Timestamp;
use router_providers::dialect::ReplyMeta;
use router_providers::exchange::{Call, Fault, Item, JsonReply, Limits};

use super::answer::{Answer, Gone};
use super::attempt::{Destination, Live, Step};
use super::books::{Bound, Books, Spent};
use super::{decision_input, head};
use crate::engine::Engine;
use crate::error::ApiError;
use crate::ingress::Asked;
use crate::respond;
use crate::worker::Worker;

/// One failed attempt, for the error that lists them.
pub(super) struct FailedAttempt {
    pub(super) deployment: DeploymentIdx,
    pub(super) kind: FailureKind,
    pub(super) status: Option<u16>,
    pub(super) retry_after: Option<Duration>,
    pub(super) message: String,
}

/// How a request ends.
pub(super) enum End {
    /// As the machine says.
    Finish(Finish),
    /// The ledger cannot take the attempt.
    LedgerUnavailable,
}

/// An attempt between being asked for and being sent.
struct Admission {
    attempt: AttemptNo,
    deployment: DeploymentIdx,
    /// Tokens asked for: what a booking gives back.
    tokens: u64,
    /// What was taken; `None`: a place is booked, or nothing yet.
    taken: Option<Taken>,
}

/// What an admitted attempt holds.
pub(super) struct Taken {
    pub(super) permit: Permit,
    pub(super) hold: Hold,
    pub(super) bound: Bound,
}

/// A request being served.
pub(super) struct Run<'a> {
    worker: &'a Arc<Worker>,
    engine: &'a Arc<Engine>,
    asked: &'a Asked,
    books: &'a mut Books,
    answer: &'a mut Answer,
    live: Option<Live>,
    admission: Option<Admission>,
    /// The first visible bytes of a stream, until its attempt is committed.
    held: Option<Item>,
    whole: Option<JsonReply>,
    committed: bool,
    wake: Option<Timestamp>,
    view: Vec<DeploymentView>,
    decision: Option<Decision>,
    failed: Vec<FailedAttempt>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        worker: &'a Arc<Worker>,
        engine: &'a Arc<Engine>,
        asked: &'a Asked,
        books: &'a mut Books,
        answer: &'a mut Answer,
    ) -> Self {
        Self {
            worker,
            engine,
            asked,
            books,
            answer,
            live: None,
            admission: None,
            held: None,
            whole: None,
            committed: false,
            wake: None,
            view: Vec::new(),
            decision: None,
            failed: Vec::new(),
        }
    }

    /// Decides, then performs until the machine says that it is over.
    pub(super) async fn serve(mut self) {
        let shared = &self.worker.shared;
        let Asked { arrival, request, key, .. } = self.asked;
        let board = shared.state.view(self.engine, arrival.seed(), arrival.received);
        let input = decision_input(self.engine, request, *key, *arrival, board);
        let decision = match self.engine.decide(&input) {
            Ok(decision) => decision,
            Err(error) => return self.refuse(error).await,
        };
        self.books.decided(&decision);
        if shared.log.is_on() {
            shared.log.append(&LogEvent::decision(self.asked.arrival.id, &self.engine.compiled, &input, &decision));
        }
        if decision.plan.ranked.is_empty() && decision.plan.deferred.is_empty() {
            return self.refuse(self.engine.nobody(&decision)).await;
        }
        shared.state.deposit_retry(input.now);
        let machine = self.machine(&input, &decision);
        self.view = input.board;
        self.decision = Some(decision);
        let end = self.drive(machine).await;
        self.finish(end).await;
    }

    fn machine(&self, input: &DecisionInput, decision: &Decision) -> Failover {
        let options = &self.asked.envelope().options;
        let compiled = &self.engine.compiled;
        let wishes = [options.deadline_ms, decision.deadline_ms];
        let deadline = wishes.into_iter().flatten().map(Duration::from_millis).min();
        let deadline = input.now + deadline.unwrap_or(compiled.reliability.deadline).min(compiled.reliability.deadline);
        let input = FailoverInput {
            plan: &decision.plan,
            no_fallbacks: decision.no_fallbacks,
            policy: &compiled.reliability.retries,
            deadline,
            stream: self.asked.envelope().stream,
            seed: input.seed,
        };
        let model = &self.asked.envelope().model;
        Failover::new(&input, |at| CallTerms {
            limits: compiled.time_limits(model, at),
            max_input_tokens: compiled.deployment(at).max_input_tokens,
        })
    }

    async fn drive(&mut self, mut machine: Failover) -> End {
        let mut events = VecDeque::from([Event::Start]);
        loop {
            while let Some(event) = events.pop_front() {
                let now = self.worker.shared.clock.now();
                if matches!(event, Event::Failed(..) | Event::NotAdmitted(..) | Event::Timer) {
                    self.view = self.worker.shared.state.view(self.engine, self.asked.arrival.seed(), now);
                }
                for action in machine.on(event, now, &self.view) {
                    match self.perform(action).await {
                        Performed::Done => {}
                        Performed::Event(event) => events.push_back(event),
                        Performed::End(end) => return end,
                    }
                }
            }
            let next = self.wait().await;
            events.extend(next);
        }
    }

    async fn perform(&mut self, action: Action) -> Performed {
        match action {
            Action::Admit { attempt, deployment, draws, last_resort, place } => {
                let ask = Ask {
                    seed: self.asked.arrival.seed(),
                    tokens: self.tokens(deployment),
                    stream: self.asked.envelope().stream,
                    last_resort,
                    place,
                };
                Performed::Event(self.admit(attempt, deployment, &ask, draws))
            }
            Action::Unbook(attempt) => {
                if let Some(booked) = self.admission.take_if(|a| a.attempt == attempt) {
                    self.worker.shared.state.unbook(self.engine, booked.deployment, booked.tokens);
                }
                Performed::Done
            }
            Action::Send(attempt, limits) => self.send(attempt, limits),
            Action::Commit(attempt) => self.commit(attempt).await,
            Action::Cancel(attempt, failure) => {
                self.cancel(attempt, failure);
                Performed::Done
            }
            Action::WakeAt(at) => {
                self.wake = Some(at);
                Performed::Done
            }
            Action::Finish(finish) => Performed::End(End::Finish(finish)),
        }
    }

    /// Ticket, rate, concurrency, retry budget and money, all or none.
    fn admit(&mut self, attempt: AttemptNo, deployment: DeploymentIdx, ask: &Ask, draws: bool) -> Event {
        let state = &self.worker.shared.state;
        let now = self.worker.shared.clock.now();
        self.admission = Some(Admission { attempt, deployment, tokens: ask.tokens, taken: None });
        let permit = match state.admit(self.engine, deployment, now, ask) {
            Ok(permit) => permit,
            Err(why) => return Event::NotAdmitted(attempt, why),
        };
        if draws && !state.withdraw_retry(now) {
            state.retract(self.engine, deployment, permit, now);
            return Event::NotAdmitted(attempt, NotAdmitted::RetryBudget);
        }
        let bound = self.bound(deployment);
        let Some(hold) = state.hold(self.books.ceiling(self.engine.compiled.deployment(deployment), bound)) else {
            state.retract(self.engine, deployment, permit, now);
            return Event::NotAdmitted(attempt, NotAdmitted::Budget);
        };
        let taken = Some(Taken { permit, hold, bound });
        self.admission = Some(Admission { attempt, deployment, tokens: ask.tokens, taken });
        Event::Admitted(attempt)
    }

    /// Tokens an attempt is expected to use, for token rates.
    fn tokens(&self, at: DeploymentIdx) -> u64 {
        let input = self.decision.as_ref().and_then(|d| d.verdict(at)).map_or(0, |v| v.input_tokens);
        let output = self.asked.envelope().max_tokens.as_ref().map_or(0, |m| m.value);
        input.saturating_add(output)
    }

    fn bound(&self, at: DeploymentIdx) -> Bound {
        let envelope = self.asked.envelope();
        let deployment = self.engine.compiled.deployment(at);
        let asked = envelope.max_tokens.as_ref().map(|m| m.value);
        Bound {
            input_tokens: envelope.stats.bound(u64::from(envelope.turns), u64::from(envelope.tools)),
            output_tokens: [asked, deployment.max_output_tokens].into_iter().flatten().min().unwrap_or(UNKNOWN_OUTPUT),
        }
    }

    fn send(&mut self, attempt: AttemptNo, limits: AttemptLimits) -> Performed {
        let Some(Admission { deployment, taken: Some(taken), .. }) = self.admission.take_if(|a| a.attempt == attempt)
        else {
            return Performed::Done;
        };
        if self.books.open(attempt, deployment, taken).is_err() {
            return Performed::End(End::LedgerUnavailable);
        }
        let to = Destination { deployment, simulated: self.engine.compiled.deployment(deployment).simulated };
        let call = self.call(attempt, deployment, limits);
        self.live = Some(Live::send(self.worker, attempt, &to, call));
        Performed::Done
    }

    fn call(&self, attempt: AttemptNo, deployment: DeploymentIdx, limits: AttemptLimits) -> Call {
        let Asked { arrival, request, .. } = self.asked;
        let now = self.worker.shared.clock.now();
        let answer = limits.answer_by.since(now);
        Call {
            request: Arc::clone(request),
            target: self.engine.target(deployment, arrival.seed(), attempt.0),
            max_tokens: None,
            limits: Limits {
                connect: limits.connect_by.since(now),
                first_byte: answer,
                answer,
                idle: limits.idle,
            },
            meta: ReplyMeta {
                id: format!("chatcmpl-{}", arrival.id),
                model: self.engine.compiled.deployment(deployment).upstream_model.to_string(),
                created: arrival.received.as_secs(),
                include_usage: request.envelope().include_usage,
            },
            cost: Arc::new(self.books.cost_with(deployment)),
            tag: respond::value(&format!("{}/{}", arrival.id, attempt.0)),
        }
    }

    /// The attempt's bytes are the client's from now on.
    async fn commit(&mut self, attempt: AttemptNo) -> Performed {
        self.committed = true;
        let Some(item) = self.held.take() else { return Performed::Done };
        let Some(live) = self.live.as_ref().filter(|l| l.attempt == attempt) else { return Performed::Done };
        let response = head::stream(self.engine, self.asked, self.books, live.deployment);
        let sent = match self.answer.start(response) {
            Ok(()) => self.answer.send(item.bytes).await,
            Err(gone) => Err(gone),
        };
        match sent {
            Ok(()) => Performed::Done,
            Err(Gone) => Performed::Event(Event::ClientGone),
        }
    }

    fn cancel(&mut self, attempt: AttemptNo, failure: Option<FailureKind>) {
        if let Some(mut live) = self.live.take_if(|l| l.attempt == attempt) {
            let spent = spent_so_far(&mut live);
            self.books.close(attempt, failure.map_or(Outcome::Cancelled, Outcome::Failure), spent, None);
        } else if let Some(admission) = self.admission.take_if(|a| a.attempt == attempt) {
            let Some(taken) = admission.taken else { return };
            let state = &self.worker.shared.state;
            state.retract(self.engine, admission.deployment, taken.permit, self.worker.shared.clock.now());
            state.settle(taken.hold, Usd::ZERO);
        }
    }

    /// Waits for the client to leave, the attempt to move, or the time asked for. A committed stream is forwarded here
    /// without asking the machine about every chunk.
    async fn wait(&mut self) -> Vec<Event> {
        let mut abort = self.worker.shared.abort.clone();
        loop {
            let wake = self.wake.map(|at| self.worker.shared.clock.instant(at));
            let step = tokio::select! {
                biased;
                () = self.answer.gone() => return vec![Event::ClientGone],
                step = next(&mut self.live) => step,
                () = at(wake) => {
                    self.wake = None;
                    return vec![Event::Timer];
                }
                _ = abort.wait_for(|abort| *abort) => return vec![Event::ClientGone],
            };
            let Some(attempt) = self.live.as_ref().map(|l| l.attempt) else { continue };
            match step {
                Step::Item(item) if self.committed => {
                    if self.answer.send(item.bytes).await.is_err() {
                        return vec![Event::ClientGone];
                    }
                }
                Step::Item(item) => {
                    self.books.first_byte(attempt);
                    let Some(seen) = item.seen else { continue };
                    self.held = Some(item);
                    return vec![Event::Visible(attempt, seen)];
                }
                Step::Done => return vec![Event::Ended(attempt)],
                Step::Whole(reply) => {
                    self.books.first_byte(attempt);
                    self.whole = Some(reply);
                    return vec![Event::Visible(attempt, Seen::Text), Event::Ended(attempt)];
                }
                Step::Failed(fault) => return vec![self.failed(attempt, fault)],
            }
        }
    }

    fn failed(&mut self, attempt: AttemptNo, fault: Fault) -> Event {
        let Some(mut live) = self.live.take() else { return Event::Timer };
        let spent = if may_be_billed(&fault) { spent_so_far(&mut live) } else { Spent::Nothing };
        self.books.close(attempt, Outcome::Failure(fault.kind), spent, fault.retry_after);
        tracing::debug!(
            request = %self.asked.arrival.id, attempt = attempt.0, kind = fault.kind.name(), message = fault.message,
            deployment = &*self.engine.compiled.deployment(live.deployment).id, "attempt failed"
        );
        let event = Event::Failed(attempt, fault.kind, fault.retry_after);
        self.failed.push(FailedAttempt {
            deployment: live.deployment,
            kind: fault.kind,
            status: fault.status,
            retry_after: fault.retry_after,
            message: fault.message,
        });
        event
    }

    /// The one exit of a request that was decided.
    async fn finish(mut self, end: End) {
        match end {
            End::Finish(Finish::Answered(attempt)) => self.answered(attempt).await,
            End::Finish(Finish::ClientGone) => self.books.conclude("cancelled", Duration::ZERO),
            other => {
                let error = head::error(self.engine, other, &self.failed, self.worker.shared.clock.now());
                self.refuse(error).await;
            }
        }
    }

    async fn answered(&mut self, attempt: AttemptNo) {
        let done = self.worker.shared.clock.now();
        let Some(mut live) = self.live.take_if(|l| l.attempt == attempt) else { return };
        let spent = match &self.whole {
            Some(reply) => match reply.usage {
                Some(usage) => Spent::Reported(usage, reply.service_tier),
                None => Spent::seen(reply.body.iter().map(|piece| piece.len() as u64).sum::<u64>() / BYTES_PER_TOKEN),
            },
            None => spent_so_far(&mut live),
        };
        self.books.close(attempt, Outcome::Success, spent, None);
        let after = |now: Timestamp| now.since(done);
        self.books.conclude("success", after(self.worker.shared.clock.now()));
        let sent = if let Some(reply) = self.whole.take() {
            self.answer.whole(head::whole(self.engine, self.asked, self.books, live.deployment, reply))
        } else if let Some(stream) = live.stream() {
            self.answer.end(stream.take_end(Some(self.books.cost()))).await
        } else {
            Ok(())
        };
        if sent.is_err() {
            tracing::debug!(request = %self.asked.arrival.id, "the client left as its answer ended");
        }
    }

    async fn refuse(&mut self, error: ApiError) {
        self.books.conclude(error.code, Duration::ZERO);
        self.answer.fail(self.asked, error).await;
    }
}

/// What performing an action led to.
enum Performed {
    Done,
    Event(Event),
    End(End),
}

async fn next(live: &mut Option<Live>) -> Step {
    match live {
        Some(live) => live.step().await,
        None => std::future::pending().await,
    }
}

async fn at(instant: Option<tokio::time::Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// Bound on the output of a deployment whose longest output is not known, when the client sets none either: the longest
/// of any chat model in the catalog's present snapshot is 128k.
const UNKNOWN_OUTPUT: u64 = 131_072;

/// Of an answer whose tokens nobody counted, about so many bytes are one token (English prose; ANCHORS section 5 has the
/// error, at most 20 %).
const BYTES_PER_TOKEN: u64 = 4;

/// Whether a provider may bill a failed attempt without saying so: it had the request, and did not refuse it.
fn may_be_billed(fault: &Fault) -> bool {
    use FailureKind as K;
    fault.sent && matches!(fault.kind, K::Timeout | K::Stalled | K::Truncated | K::Empty | K::BadReply)
}

fn spent_so_far(live: &mut Live) -> Spent {
    let seen = live.seen_tokens;
    match live.stream() {
        Some(stream) => match stream.usage() {
            Some(usage) => Spent::Reported(usage, stream.service_tier()),
            None => Spent::seen(seen),
        },
        None => Spent::Unknown { seen_output_tokens: None },
    }
}
