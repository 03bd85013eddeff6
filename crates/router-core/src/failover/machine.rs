//! The machine: which attempt lives, what an event means for it, and what follows. Whom to call is chosen in `options`.

use std::time::Duration;

use smallvec::{SmallVec, smallvec};

use super::live::{Live, Stage, is_under_way, let_go};
use super::options::{Allowance, Bar, CallTerms, Candidates, Choice, Wait, candidates, choose};
use super::retry::poll;
use super::{Action, Actions, AttemptLimits, AttemptNo, BoardView, Event, Finish, NotAdmitted, Place};
use crate::attempt::FailureKind;
use crate::compiled::{DeploymentIdx, RetryPolicy};
use crate::select::RoutePlan;
use crate::time::Timestamp;

/// So long a request waits for a spent retry budget, or for somebody to prove himself: as long as a proof is good for.
const BUDGET_PATIENCE: Duration = Duration::from_secs(5);

/// What a request brings along.
#[derive(Clone, Copy, Debug)]
pub struct FailoverInput<'a> {
    /// Ranked, then deferred: nothing else is ever called.
    pub plan: &'a RoutePlan,
    /// Only the first of them (`Decision::no_fallbacks`).
    pub no_fallbacks: bool,
    /// Retry numbers.
    pub policy: &'a RetryPolicy,
    /// Nothing is sent from then on.
    pub deadline: Timestamp,
    /// A streamed answer is wanted.
    pub stream: bool,
    /// An answer that breaks off is gone on with by another attempt.
    pub rescue: bool,
    /// The request's seed, for jitter.
    pub seed: u64,
}

/// The failover of one request.
///
/// Feed it every event in order and perform the actions in order. After [`Action::Finish`] it answers nothing. The view is
/// read on `Start`, `NotAdmitted`, `Failed` and `Timer`; with the other events it may be empty. An event for an attempt that
/// is not live, or not at that stage, is ignored.
#[derive(Clone, Debug)]
pub struct Failover {
    pub(super) options: Candidates,
    pub(super) policy: RetryPolicy,
    pub(super) deadline: Timestamp,
    stream: bool,
    pub(super) rescue: bool,
    pub(super) rng: fastrand::Rng,
    /// One, or two while they race.
    pub(super) live: SmallVec<[Live; 2]>,
    started: bool,
    finished: bool,
    /// Attempts admitted, which is also the last number given.
    pub(super) sent: u32,
    /// Of those, made: all but the ones that could not be written for their deployment.
    pub(super) calls: u32,
    /// Of those, paid: the first, and every one that drew on the retry budget.
    pub(super) paid: u32,
    /// The first attempt is late from then on, and is hedged; `None`: not, or not any more.
    pub(super) hedge_at: Option<Timestamp>,
    /// The last committed attempt that broke off, and why: the client has seen the beginning of an answer.
    pub(super) broken: Option<(AttemptNo, FailureKind)>,
    pub(super) last_failure: Option<FailureKind>,
    /// Every failure so far was a rate limit.
    pub(super) only_limits: bool,
    /// The retry budget was found spent first then, and is asked again then.
    budget_spent: Option<(Timestamp, Timestamp)>,
}

impl Failover {
    /// Ready for [`Event::Start`]. `terms`: of each deployment of the plan.
    pub fn new(input: &FailoverInput<'_>, terms: impl Fn(DeploymentIdx) -> CallTerms) -> Self {
        Self {
            options: candidates(input.plan, input.no_fallbacks, terms),
            policy: input.policy.clone(),
            deadline: input.deadline,
            stream: input.stream,
            rescue: input.rescue,
            rng: fastrand::Rng::with_seed(input.seed),
            live: SmallVec::new(),
            started: false,
            finished: false,
            sent: 0,
            calls: 0,
            paid: 0,
            hedge_at: None,
            broken: None,
            last_failure: None,
            only_limits: true,
            budget_spent: None,
        }
    }

    /// One event in, actions out.
    pub fn on(&mut self, event: Event, now: Timestamp, view: BoardView<'_>) -> Actions {
        if self.finished || (self.started == matches!(event, Event::Start)) {
            return Actions::new();
        }
        self.started = true;
        match event {
            Event::Start => self.go_on(now, view),
            Event::Admitted(no) => self.admitted(no, now),
            Event::NotAdmitted(no, why) => self.not_admitted(no, why, now, view),
            Event::Visible(no, _) => self.visible(no),
            Event::Ended(no) => self.ended(no),
            Event::Failed(no, failure) => match self.take(no, is_under_way) {
                Some(live) => self.failed(live, failure, now, view),
                None => Actions::new(),
            },
            Event::Timer => self.timer(now, view),
            Event::ClientGone => self.stop(Finish::ClientGone),
            Event::Headers(_) | Event::Progress(..) => Actions::new(),
        }
    }

    /// The deployment of a live attempt.
    pub fn deployment_of(&self, no: AttemptNo) -> Option<DeploymentIdx> {
        let live = self.live.iter().find(|l| l.no == no)?;
        self.options.get(live.option).map(|o| o.deployment)
    }

    /// `Finish` was said.
    pub const fn is_finished(&self) -> bool {
        self.finished
    }

    pub(super) fn go_on(&mut self, now: Timestamp, view: BoardView<'_>) -> Actions {
        if now >= self.deadline {
            return self.stop(Finish::DeadlineExceeded);
        }
        self.hedge_at = None;
        let by = self.deadline;
        match choose(&self.options, self.allowance(now), now, view) {
            Choice::Call { option, draws, last_resort } => {
                self.admit(option, Stage::Admitting { draws, last_resort }, Place::Now)
            }
            Choice::Book { option, draws, last_resort } => {
                self.admit(option, Stage::Admitting { draws, last_resort }, Place::Book { by })
            }
            Choice::Wait(until) => smallvec![Action::WakeAt(until.min(self.deadline))],
            Choice::Nobody => {
                let finish = self.nobody_left(now);
                self.stop(finish)
            }
        }
    }

    fn allowance(&self, now: Timestamp) -> Allowance {
        let draws_from = match self.budget_spent {
            _ if self.paid >= self.policy.attempts => None,
            None => Some(now),
            Some((since, _)) if now.since(since) > BUDGET_PATIENCE => None,
            Some((_, again)) => Some(again),
        };
        let goes_on = self.broken.is_some();
        Allowance { repeats: self.calls > 0, goes_on, draws_from, deadline: self.deadline }
    }

    fn admit(&mut self, option: usize, stage: Stage, place: Place) -> Actions {
        let Some(deployment) = self.options.get(option).map(|o| o.deployment) else { return Actions::new() };
        let Stage::Admitting { draws, last_resort } = stage else { return Actions::new() };
        let attempt = AttemptNo(self.sent + 1);
        self.live.push(Live::new(attempt, option, stage));
        // From here on, admission included, the deadline is all there is to wake up for.
        let admit = Action::Admit { attempt, deployment, draws, last_resort, place, hedge: false };
        smallvec![Action::WakeAt(self.deadline), admit]
    }

    fn admitted(&mut self, no: AttemptNo, now: Timestamp) -> Actions {
        let (stream, deadline) = (self.stream, self.deadline);
        let Some(live) = self.live.iter_mut().find(|l| l.no == no) else { return Actions::new() };
        let Stage::Admitting { draws, .. } = live.stage else { return Actions::new() };
        let Some(option) = self.options.get_mut(live.option) else { return Actions::new() };
        if now >= deadline {
            return self.stop(Finish::DeadlineExceeded);
        }
        option.changed = false;
        live.stage = Stage::Sent;
        self.sent += 1;
        self.calls += 1;
        live.paid = !live.hedge && (self.calls == 1 || draws);
        if live.paid {
            self.paid += 1;
            self.budget_spent = None;
        }
        let limits = option.terms.limits;
        let answer = if stream { limits.first_byte } else { limits.answer };
        let limits = AttemptLimits {
            connect_by: deadline.min(now + limits.connect),
            answer_by: deadline.min(now + answer),
            idle: limits.idle,
            deadline,
        };
        let late_at = option.terms.hedge_after.map(|after| now + after).filter(|at| *at < limits.answer_by);
        let mut actions: Actions = smallvec![Action::Send(no, limits)];
        if let Some(at) = late_at.filter(|_| self.sent == 1 && self.options.len() > 1) {
            self.hedge_at = Some(at);
            actions.push(Action::WakeAt(at));
        }
        actions
    }

    fn not_admitted(
        &mut self,
        no: AttemptNo,
        why: NotAdmitted,
        now: Timestamp,
        view: BoardView<'_>,
    ) -> Actions {
        let Some(mut live) = self.take(no, |stage| matches!(stage, Stage::Admitting { .. })) else {
            return Actions::new();
        };
        if live.hedge && !self.live.is_empty() {
            return self.no_hedge(live.option, why, now, view);
        }
        let Some(option) = self.options.get_mut(live.option) else { return Actions::new() };
        let mut poll_after = |asked: &mut u32| {
            *asked += 1;
            now + poll(*asked - 1, &mut self.rng)
        };
        match why {
            NotAdmitted::Booked(at) if at < self.deadline => {
                live.stage = Stage::Booked(at);
                self.live.push(live);
                return smallvec![Action::WakeAt(at)];
            }
            NotAdmitted::Booked(at) | NotAdmitted::Rate(at) => {
                (option.ready_at, option.wait) = (at.max(now + Duration::from_micros(1)), Wait::Rate);
            }
            NotAdmitted::Ticket => {
                let asked_as_last = matches!(live.stage, Stage::Admitting { last_resort: true, .. });
                if option.turned_away || asked_as_last {
                    (option.ready_at, option.wait) = (poll_after(&mut option.polls), Wait::Short);
                }
                option.turned_away = true;
            }
            NotAdmitted::Concurrency => {
                (option.ready_at, option.wait) = (poll_after(&mut option.polls), Wait::Full);
            }
            NotAdmitted::QueueFull(at) => {
                option.bar = Some(Bar::Queue);
                (option.ready_at, option.wait) = (at.max(now + Duration::from_micros(1)), Wait::Rate);
            }
            NotAdmitted::Disabled => option.bar = Some(Bar::Useless),
            NotAdmitted::Budget => option.bar = Some(Bar::Money),
            NotAdmitted::CostCeiling => option.bar = Some(Bar::Ceiling),
            NotAdmitted::CannotGoOn => option.bar = Some(Bar::Useless),
            // The first has failed meanwhile: now it is wanted for itself.
            NotAdmitted::HedgeCredit => {}
            NotAdmitted::RetryBudget => {
                // Everything else was granted, the rate included: only the budget is waited for.
                (option.ready_at, option.wait) = (now, Wait::Short);
                let since = self.budget_spent.map_or(now, |(since, _)| since);
                self.budget_spent = Some((since, poll_after(&mut option.polls)));
            }
        }
        let mut actions = self.go_on(now, view);
        if matches!(why, NotAdmitted::Booked(_)) {
            actions.insert(0, Action::Unbook(no));
        }
        actions
    }

    fn visible(&mut self, no: AttemptNo) -> Actions {
        let Some(winner) = self.live.iter().position(|l| l.no == no && l.stage == Stage::Sent) else {
            return Actions::new();
        };
        let mut actions: Actions = smallvec![Action::Commit(no)];
        for (at, live) in self.live.iter_mut().enumerate() {
            if at == winner {
                live.stage = Stage::Committed;
            } else {
                actions.push(let_go(live));
            }
        }
        self.live.retain(|l| l.no == no);
        if self.hedge_at.take().is_some() {
            actions.push(Action::WakeAt(self.deadline));
        }
        actions
    }

    fn ended(&mut self, no: AttemptNo) -> Actions {
        let Some(live) = self.take(no, is_under_way) else { return Actions::new() };
        let mut actions = Actions::new();
        if live.stage == Stage::Sent {
            actions.push(Action::Commit(no));
        }
        actions.extend(self.stop(Finish::Answered(no)));
        actions
    }

    fn timer(&mut self, now: Timestamp, view: BoardView<'_>) -> Actions {
        if now >= self.deadline {
            let committed = self.live.iter().find(|l| l.stage == Stage::Committed);
            let broken = committed.map(|l| Finish::Broken(l.no, FailureKind::Timeout));
            return self.stop(broken.unwrap_or(Finish::DeadlineExceeded));
        }
        let booked = |l: &Live| match l.stage {
            Stage::Booked(at) => Some((l.no, at)),
            _ => None,
        };
        match self.live.iter().find_map(booked) {
            Some((_, at)) if now < at => smallvec![Action::WakeAt(at)],
            Some((no, _)) => self.claim(no, now, view),
            None if self.live.is_empty() => self.go_on(now, view),
            None => match self.hedge_at {
                Some(at) if now >= at => self.hedge(0, now, view),
                at => smallvec![Action::WakeAt(at.unwrap_or(self.deadline))],
            },
        }
    }

    /// The time of a booking has come. When its deployment has gone out meanwhile, another may be better.
    fn claim(&mut self, no: AttemptNo, now: Timestamp, view: BoardView<'_>) -> Actions {
        let Some(live) = self.take(no, |stage| matches!(stage, Stage::Booked(_))) else {
            return Actions::new();
        };
        if let Some(option) = self.options.get_mut(live.option) {
            (option.ready_at, option.wait) = (now, Wait::Short);
        }
        let alone: Candidates = self.options.get(live.option).cloned().into_iter().collect();
        let mut choice = choose(&alone, self.allowance(now), now, view);
        if matches!(choice, Choice::Call { last_resort: true, .. }) {
            choice = match choose(&self.options, self.allowance(now), now, view) {
                Choice::Call { option, .. } if option != live.option => Choice::Nobody,
                Choice::Call { .. } => choice,
                other => other,
            };
        }
        if let Choice::Call { draws, last_resort, .. } = choice {
            return self.admit(live.option, Stage::Admitting { draws, last_resort }, Place::Booked);
        }
        let mut actions: Actions = smallvec![Action::Unbook(no)];
        actions.extend(self.go_on(now, view));
        actions
    }

    pub(super) fn stop(&mut self, finish: Finish) -> Actions {
        let finish = self.as_seen(finish);
        let mut actions: Actions = self.live.drain(..).map(|live| let_go(&live)).collect();
        self.finished = true;
        actions.push(Action::Finish(finish));
        actions
    }

    fn take(&mut self, no: AttemptNo, at_stage: impl Fn(Stage) -> bool) -> Option<Live> {
        let at = self.live.iter().position(|l| l.no == no && at_stage(l.stage))?;
        Some(self.live.remove(at))
    }
}
