//! Events in, actions out: drives the failover machine of one request.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use router_core::attempt::{FailureKind, Outcome};
use router_core::chat::Envelope;
use router_core::compiled::DeploymentIdx;
use router_core::failover::{
    Action, AttemptNo, CallTerms, Event, Failover, FailoverInput, Failure, Finish, NotAdmitted,
};
use router_core::health::Ask;
use router_core::record::log::LogEvent;
use router_core::select::{Decision, DecisionInput, DeploymentView};
use router_core::time::Timestamp;
use router_providers::exchange::{Fault, JsonReply};
use smallvec::SmallVec;

use super::admit::Admission;
use super::answer::{Answer, Gone};
use super::attempt::Live;
use super::books::Books;
use super::race::{Race, hedge_after};
use super::rescue::Broken;
use super::spent::{Spent, may_be_billed};
use super::{decision_input, head, money};
use crate::engine::Engine;
use crate::error::ApiError;
use crate::ingress::Asked;
use crate::treasury::Short;
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
#[derive(Clone, Copy)]
pub(super) enum End {
    /// As the machine says.
    Finish(Finish),
    /// The ledger cannot take the attempt.
    LedgerUnavailable,
    /// The server ends before the answer did.
    ShuttingDown,
}

/// What happened; at most two at once.
pub(super) type Events = SmallVec<[Event; 2]>;

/// A request being served.
pub(super) struct Run<'a> {
    pub(super) worker: &'a Arc<Worker>,
    pub(super) engine: &'a Arc<Engine>,
    pub(super) asked: &'a Asked,
    pub(super) books: &'a mut Books,
    pub(super) answer: &'a mut Answer,
    /// The attempt under way; of two that race, the first until the other wins.
    pub(super) live: Option<Live>,
    /// The other one.
    pub(super) rival: Option<Live>,
    pub(super) admission: Option<Admission>,
    pub(super) whole: Option<Box<JsonReply>>,
    /// Whose bytes are the client's.
    pub(super) committed: Option<AttemptNo>,
    /// The server ends: what is under way is let go as if the client had left, but it has not, and is told.
    pub(super) aborted: bool,
    pub(super) wake: Option<Timestamp>,
    view: Vec<DeploymentView>,
    pub(super) decision: Option<Decision>,
    failed: Vec<FailedAttempt>,
    /// The stream that broke off, if one has.
    pub(super) broken: Option<Broken>,
    /// The race that was run, if one was.
    pub(super) race: Option<Race>,
    /// Why there was no money for the last attempt that there was none for.
    pub(super) short: Option<Short>,
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
            rival: None,
            admission: None,
            whole: None,
            committed: None,
            aborted: false,
            wake: None,
            view: Vec::new(),
            decision: None,
            failed: Vec::new(),
            broken: None,
            race: None,
            short: None,
        }
    }

    /// Decides, then performs until the machine says that it is over.
    pub(super) async fn serve(mut self) {
        match self.decide() {
            Ok(machine) => {
                let end = self.drive(machine).await;
                self.finish(end).await;
            }
            Err(error) => self.refuse(error).await,
        }
    }

    /// What a decision is made from is gone when this returns: it is large, and nobody needs it while waiting.
    fn decide(&mut self) -> Result<Failover, ApiError> {
        let shared = &self.worker.shared;
        let Asked { arrival, request, key, .. } = self.asked;
        let board = shared.state.view(self.engine, arrival.seed(), arrival.received);
        let mut input = decision_input(self.engine, request, key.as_deref(), *arrival, board);
        input.budget_left = shared.treasury.left_anywhere(self.books.accounts());
        self.books.expect(input.attributes.expected_output_tokens);
        let decision = self.engine.decide(&input)?;
        self.books.decided(&decision);
        if shared.log.is_on() {
            shared.log.append(&LogEvent::decision(arrival.id, &self.engine.compiled, &input, &decision));
        }
        if decision.plan.ranked.is_empty() && decision.plan.deferred.is_empty() {
            return Err(self.engine.nobody(&decision));
        }
        shared.state.deposit_retry(input.now);
        let machine = self.machine(&input, &decision);
        self.view = input.board;
        self.decision = Some(decision);
        Ok(machine)
    }

    fn machine(&self, input: &DecisionInput, decision: &Decision) -> Failover {
        let options = &self.asked.envelope().options;
        let compiled = &self.engine.compiled;
        let wishes = [options.deadline_ms, decision.deadline_ms];
        let deadline = wishes.into_iter().flatten().map(Duration::from_millis).min();
        let deadline =
            input.now + deadline.unwrap_or(compiled.reliability.deadline).min(compiled.reliability.deadline);
        let mut retries = compiled.reliability.retries.clone();
        if let Some(wanted) = options.num_retries {
            retries.attempts = retries.attempts.min(wanted.saturating_add(1));
        }
        let failover = FailoverInput {
            plan: &decision.plan,
            no_fallbacks: decision.no_fallbacks,
            policy: &retries,
            deadline,
            stream: self.asked.envelope().stream,
            rescue: compiled.reliability.rescue,
            seed: input.seed,
        };
        let Envelope { model, stream, .. } = self.asked.envelope();
        let hedging = compiled.reliability.hedging.is_some();
        Failover::new(&failover, |at| CallTerms {
            limits: compiled.time_limits(model, at),
            hedge_after: input.board.get(at.get()).filter(|_| hedging).and_then(|v| hedge_after(v, *stream)),
            ..CallTerms::from(compiled.deployment(at))
        })
    }

    async fn drive(&mut self, mut machine: Failover) -> End {
        let mut events = VecDeque::from([Event::Start]);
        loop {
            let Some(event) = events.pop_front() else {
                let nobody = self.live.is_none() && self.rival.is_none();
                let in_line = nobody.then(|| self.worker.shared.clock.now());
                events.extend(self.wait().await);
                if let Some(since) = in_line {
                    self.books.waited(self.worker.shared.clock.now().since(since));
                }
                continue;
            };
            let now = self.worker.shared.clock.now();
            if matches!(event, Event::Failed(..) | Event::NotAdmitted(..) | Event::Timer) {
                self.view = self.worker.shared.state.view(self.engine, self.asked.arrival.seed(), now);
            }
            for action in machine.on(event, now, &self.view) {
                match self.perform(action) {
                    Performed::Done => {}
                    Performed::Event(event) => events.push_back(event),
                    Performed::End(end) => return end,
                }
            }
        }
    }

    fn perform(&mut self, action: Action) -> Performed {
        match action {
            Action::Admit { attempt, deployment, draws, last_resort, place, hedge } => {
                let ask = Ask {
                    seed: self.asked.arrival.seed(),
                    tokens: self.tokens(deployment),
                    stream: self.asked.envelope().stream,
                    last_resort,
                    place,
                };
                if let Some(why) = self.forbidden(attempt, deployment, place, hedge) {
                    return Performed::Event(Event::NotAdmitted(attempt, why));
                }
                let admitted = self.admit(attempt, deployment, &ask, draws);
                // A race waits for nothing.
                if hedge && admitted.is_none() {
                    self.cancel(attempt, None);
                }
                let waits = hedge.then_some(Event::NotAdmitted(attempt, NotAdmitted::Budget));
                let Some(event) = admitted.or(waits) else { return Performed::Done };
                if hedge && matches!(event, Event::NotAdmitted(..)) {
                    self.no_race();
                }
                Performed::Event(event)
            }
            Action::Unbook(attempt) => {
                if let Some(booked) = self.admission.take_if(|a| a.attempt == attempt) {
                    self.engine.slot(booked.deployment).unbook(booked.tokens);
                }
                Performed::Done
            }
            Action::Send(attempt, limits) => self.send(attempt, limits),
            Action::Commit(attempt) => self.commit(attempt),
            Action::Cancel(attempt, failure) => {
                let before = self.books.cost();
                self.cancel(attempt, failure);
                self.lost(attempt, self.books.cost() - before, true);
                Performed::Done
            }
            Action::WakeAt(at) => {
                self.wake = Some(at);
                Performed::Done
            }
            Action::Finish(finish) => Performed::End(End::Finish(finish)),
        }
    }

    /// The attempt's bytes are the client's from now on. Those of a stream that showed nothing, and was whole all the same,
    /// come here with its end. An attempt that goes on with an answer sends no second head.
    fn commit(&mut self, attempt: AttemptNo) -> Performed {
        self.committed = Some(attempt);
        if self.rival.as_ref().is_some_and(|rival| rival.attempt == attempt) {
            std::mem::swap(&mut self.live, &mut self.rival);
        }
        if self.whole.is_some() {
            return Performed::Done;
        }
        let Some(live) = self.live.as_mut().filter(|l| l.attempt == attempt) else { return Performed::Done };
        let bytes = live.held.take().map(|item| item.bytes).unwrap_or_default();
        let begun = if self.answer.has_begun() {
            Ok(())
        } else {
            let (deployment, cut_short) = (live.deployment, live.cut_short);
            let limits = live.stream().map(|stream| &stream.headers().rate_limits);
            let mut response = head::stream(self.engine, self.asked, self.books, (deployment, limits));
            if cut_short {
                head::say_cut(&mut response);
            }
            self.answer.start(response)
        };
        match begun.and_then(|()| self.answer.send(bytes)) {
            Ok(()) => Performed::Done,
            Err(Gone) => Performed::Event(Event::ClientGone),
        }
    }

    /// A live attempt, taken out.
    pub(super) fn take(&mut self, attempt: AttemptNo) -> Option<Live> {
        let of = |live: &mut Live| live.attempt == attempt;
        self.live.take_if(of).or_else(|| self.rival.take_if(of))
    }

    pub(super) fn failed(&mut self, attempt: AttemptNo, fault: Fault) -> Event {
        let Some(mut live) = self.take(attempt) else { return Event::Timer };
        let spent = if may_be_billed(&fault) { Spent::so_far(&mut live) } else { Spent::Nothing };
        self.books.learn(attempt, &fault.rate);
        let before = self.books.cost();
        let usage = self.books.close(attempt, Outcome::Failure(fault.kind), spent, fault.retry_after);
        self.lost(attempt, self.books.cost() - before, false);
        tracing::debug!(
            request = %self.asked.arrival.id, attempt = attempt.0, kind = fault.kind.name(), message = fault.message,
            deployment = &*self.engine.compiled.deployment(live.deployment).id, "attempt failed"
        );
        let can_go_on = self.committed.take_if(|committed| *committed == attempt).is_some()
            && self.broke_off(&mut live, &usage);
        let failure = Failure { kind: fault.kind, retry_after: fault.retry_after, can_go_on };
        self.failed.push(FailedAttempt {
            deployment: live.deployment,
            kind: fault.kind,
            status: fault.status,
            retry_after: fault.retry_after,
            message: fault.message,
        });
        Event::Failed(attempt, failure)
    }

    /// The one exit of a request that was decided.
    async fn finish(&mut self, end: End) {
        self.count(&end);
        match end {
            End::Finish(Finish::Answered(attempt)) => self.answered(attempt).await,
            End::Finish(Finish::ClientGone) if !self.aborted => {
                self.settle_race();
                self.books.conclude("cancelled");
            }
            other => {
                let other = if self.aborted { End::ShuttingDown } else { other };
                let now = self.worker.shared.clock.now();
                let error = match (other, &self.short) {
                    (End::Finish(Finish::NoMoney), Some(short)) => money::refusal(short),
                    _ => head::error(self.engine, other, (&self.failed, self.broken.as_ref()), now),
                };
                self.refuse(error).await;
            }
        }
    }

    async fn answered(&mut self, attempt: AttemptNo) {
        let done = self.worker.shared.clock.now();
        let Some(mut live) = self.take(attempt) else { return };
        let spent = match &self.whole {
            Some(reply) => Spent::of_whole(reply),
            None => Spent::of_stream(&mut live),
        };
        self.books.succeed(attempt, spent, done);
        self.settle_race();
        let sent = if let Some(reply) = self.whole.take() {
            self.answer.whole(head::whole(self.engine, self.asked, self.books, live.deployment, reply))
        } else if let Some(stream) = live.stream() {
            let end = stream.take_end(Some(self.books.cost()));
            let told = self.told_at_the_end(&live);
            let end = if told.is_empty() { end } else { [&told[..], &end].concat().into() };
            self.answer.end(end).await
        } else {
            Ok(())
        };
        if sent.is_err() {
            tracing::debug!(request = %self.asked.arrival.id, "the client left as its answer ended");
        }
    }

    async fn refuse(&mut self, error: ApiError) {
        self.settle_race();
        self.books.conclude(error.code);
        self.answer.fail(self.asked, error).await;
    }
}

/// What performing an action led to.
pub(super) enum Performed {
    Done,
    Event(Event),
    End(End),
}
