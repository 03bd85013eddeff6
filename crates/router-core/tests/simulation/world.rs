//! A world: deployments, requests, a queue of what happens next in virtual time, and the server's part of the loop, with
//! every invariant asserted where it could break.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use router_core::attempt::Outcome;
use router_core::budget::Hold;
use router_core::compiled::{DeploymentIdx, Limits, TimeLimits};
use router_core::failover::{
    Action, AttemptLimits, AttemptNo, CallTerms, Event, Failover, FailoverInput, Failure, Finish,
    NotAdmitted, Place, RetryBudget,
};
use router_core::health::{Ask, DeploymentHealth, Ending, Permit};
use router_core::money::Usd;
use router_core::select::{DeploymentState, DeploymentView, RoutePlan};
use router_core::time::Timestamp;

use crate::flight::{Admitted, Flight, Race};
use crate::purse::Purse;
use crate::setting::{Request, START, Settings, breaker_policy, retry_policy, secs};
use crate::upstream::{Notice, Upstream};

#[derive(Clone, Copy, Debug)]
enum Todo {
    Arrive(usize),
    /// A timer counts only if it is the last one asked for.
    Timer(usize, u64),
    Leave(usize),
    Admitted(usize, AttemptNo),
    Notice(usize, AttemptNo, Notice),
}

pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) health: Vec<DeploymentHealth>,
    upstreams: Vec<Upstream>,
    requests: Vec<Request>,
    flights: BTreeMap<usize, Flight>,
    queue: BTreeMap<(Timestamp, u64), Todo>,
    todos: u64,
    rng: fastrand::Rng,
    retries: RetryBudget,
    purse: Purse,
    pub(crate) settings: Settings,
    /// Requests and repeats, with their times.
    ledger: Vec<(Timestamp, bool)>,
    /// Calls that were asked to be admitted.
    pub(crate) asked: usize,
    /// Calls sent, by deployment and time.
    pub(crate) sent: Vec<(DeploymentIdx, Timestamp)>,
    /// States seen by views, by deployment, each change once.
    pub(crate) states: Vec<Vec<DeploymentState>>,
    pub(crate) finishes: Vec<Finish>,
    /// Times from arrival to the end, in the order of the ends.
    pub(crate) took: Vec<Duration>,
    /// Attempts that went on with an answer; races.
    pub(crate) rescues: u32,
    pub(crate) races: u32,
    /// Admissions are sometimes answered late.
    pub(crate) slow_admission: bool,
}

impl World {
    pub(crate) fn new(seed: u64, deployments: Vec<(Limits, Upstream)>, requests: Vec<Request>) -> Self {
        let health = deployments.iter().enumerate();
        let health = health.map(|(n, (limits, _))| {
            DeploymentHealth::new(&format!("provider/model-{n}"), &breaker_policy(), *limits)
        });
        let mut health: Vec<_> = health.collect();
        for (health, (_, upstream)) in health.iter_mut().zip(&deployments) {
            health.set_credentials(&vec![1; upstream.credentials.len()]);
        }
        let mut world = Self {
            now: START,
            health,
            states: vec![vec![]; deployments.len()],
            upstreams: deployments.into_iter().map(|(_, upstream)| upstream).collect(),
            flights: BTreeMap::new(),
            queue: BTreeMap::new(),
            todos: 0,
            rng: fastrand::Rng::with_seed(seed),
            retries: RetryBudget::new(&retry_policy()),
            purse: Purse::new(&[], None),
            settings: Settings::default(),
            ledger: vec![],
            asked: 0,
            sent: vec![],
            finishes: vec![],
            took: vec![],
            rescues: 0,
            races: 0,
            slow_admission: false,
            requests,
        };
        for n in 0..world.requests.len() {
            world.plan(world.requests[n].at, Todo::Arrive(n));
        }
        world
    }

    /// The same with these switched on, and budgets of so many nano-USD beside the one that counts everything.
    pub(crate) fn with(mut self, settings: Settings, budgets: &[i64]) -> Self {
        self.settings = settings;
        self.purse = Purse::new(budgets, settings.hedging);
        self
    }

    /// Everything that happens, to the end; then the invariants of the end.
    pub(crate) fn run(&mut self) {
        let mut steps = 0;
        while let Some(((at, _), todo)) = self.queue.pop_first() {
            steps += 1;
            assert!(steps < 2_000 * (self.requests.len() + 10), "nobody turns in circles: {todo:?}");
            assert!(at >= self.now, "time goes forward");
            self.now = at;
            self.step(todo);
            self.purse.assert_kept();
        }
        assert!(self.flights.is_empty(), "every request finishes");
        assert_eq!(self.finishes.len(), self.requests.len());
        for health in &mut self.health {
            assert_eq!(health.snapshot(self.now).in_flight, 0, "every admission comes back");
        }
        self.purse.assert_settled(self.sent.len());
        self.assert_retries_bounded();
    }

    fn plan(&mut self, at: Timestamp, todo: Todo) {
        // Ties in a seeded order: what the network and the threads would do.
        self.todos += 1;
        let order = (u64::from(self.rng.u32(..)) << 32) | self.todos;
        self.queue.insert((at.max(self.now), order), todo);
    }

    fn views(&mut self, seed: u64) -> Vec<DeploymentView> {
        let now = self.now;
        let views: Vec<_> = self.health.iter_mut().map(|h| h.view(now, seed)).collect();
        for (seen, view) in self.states.iter_mut().zip(&views) {
            if seen.last() != Some(&view.state) {
                seen.push(view.state);
            }
        }
        views
    }

    fn step(&mut self, todo: Todo) {
        match todo {
            Todo::Arrive(n) => self.arrive(n),
            Todo::Timer(n, wake) if self.flights.get(&n).is_some_and(|f| f.wake == wake) => {
                self.feed(n, Event::Timer);
            }
            Todo::Timer(..) => {}
            Todo::Leave(n) => self.feed(n, Event::ClientGone),
            Todo::Admitted(n, no) if self.flights.get(&n).is_some_and(|f| f.live.contains_key(&no)) => {
                self.feed(n, Event::Admitted(no));
            }
            Todo::Admitted(..) => {}
            Todo::Notice(n, no, notice) => self.notice(n, no, notice),
        }
    }

    /// What `decide` would do, in short: those that are out or spent come last, those over the cost ceiling not at all.
    fn arrive(&mut self, n: usize) {
        let request = self.requests[n].clone();
        let seed = self.rng.u64(..);
        let views = self.views(seed);
        let good = |d: &DeploymentIdx| {
            let view = views[d.get()];
            let in_rotation = matches!(
                view.state,
                DeploymentState::Closed | DeploymentState::HalfOpen | DeploymentState::Ramp
            );
            in_rotation && !view.rate_spent && !view.concurrency_spent
        };
        let (ranked, deferred) = request.wanted.iter().copied().partition(good);
        let [(_, after_too_long), (_, after_filtered)] = request.kept.clone();
        let plan = RoutePlan { ranked, deferred, after_too_long, after_filtered };
        let policy = retry_policy();
        let input = FailoverInput {
            plan: &plan,
            no_fallbacks: request.no_fallbacks,
            policy: &policy,
            deadline: self.now + request.deadline,
            stream: request.stream,
            rescue: self.settings.rescue,
            seed,
        };
        let limits = TimeLimits { connect: secs(3), first_byte: secs(10), answer: secs(60), idle: secs(20) };
        let hedge_after = |view: &DeploymentView| {
            let stream = u64::from(view.p95_first_byte_cs) * 10;
            let millis = if request.stream { stream } else { view.p95_total_ms.into() };
            (millis > 0 && self.settings.hedging.is_some()).then(|| Duration::from_millis(millis))
        };
        let failover = Failover::new(&input, |d| CallTerms {
            limits,
            // Some are longer than others, and of some nobody knows.
            max_input_tokens: (d.get() % 3 > 0).then(|| 1_000 * d.get() as u64),
            prefill: self.upstreams[d.get()].prefill,
            hedge_after: hedge_after(&views[d.get()]),
        });
        if let Some(patience) = request.leaves_after {
            self.plan(self.now + patience, Todo::Leave(n));
        }
        self.retries.deposit(self.now);
        self.ledger.push((self.now, false));
        self.flights.insert(n, Flight::new(request, seed, failover));
        self.feed(n, Event::Start);
    }

    fn notice(&mut self, n: usize, no: AttemptNo, notice: Notice) {
        let (now, Some(flight)) = (self.now, self.flights.get_mut(&n)) else { return };
        let Some(live) = flight.live.get_mut(&no) else { return };
        let deployment = live.deployment;
        let (event, outcome, retry_after) = match notice {
            Notice::FirstByte => {
                self.health[deployment.get()].first_byte(now, &mut live.permit);
                return self.feed(n, Event::Headers(no));
            }
            Notice::Visible(seen) => return self.feed(n, Event::Visible(no, seen)),
            Notice::Ended => (Event::Ended(no), Outcome::Success, None),
            Notice::Failed(kind, retry_after) => {
                let can_go_on = flight.request.can_go_on;
                let failure = Failure { kind, retry_after, can_go_on, another: None };
                (Event::Failed(no, failure), Outcome::Failure(kind), retry_after)
            }
        };
        let mut event = event;
        if let Some(live) = flight.live.remove(&no) {
            let (credential, tokens) = (live.permit.credential(), live.permit.tokens());
            let cost = self.book(n, live.hold, (live.deployment, live.permit), (outcome, retry_after));
            let Some(flight) = self.flights.get_mut(&n) else { return };
            if let (Outcome::Failure(kind), Event::Failed(_, failure)) = (outcome, &mut event) {
                let asks = kind.is_of_one_credential();
                let another =
                    asks.then(|| self.health[deployment.get()].another(now, credential, tokens)).flatten();
                failure.another = another;
                flight.lost(no, cost, false);
                flight.failed(no, deployment, (kind, another));
            }
        }
        self.feed(n, event);
    }

    /// The books of an attempt that was sent. What it did cost.
    fn book(
        &mut self,
        n: usize,
        hold: Hold,
        (deployment, permit): (DeploymentIdx, Permit),
        (outcome, retry_after): (Outcome, Option<Duration>),
    ) -> Usd {
        let flight = self.flights.get_mut(&n).unwrap();
        let most = flight.request.tokens;
        let tokens = self.rng.u64(0..=most);
        let ending = Ending { outcome, tokens: Some(tokens), retry_after };
        self.health[deployment.get()].end(self.now, permit, &ending);
        let cost = price(&self.upstreams[deployment.get()], tokens);
        flight.spent += cost;
        self.purse.book(&flight.request.budgets, hold, cost);
        cost
    }

    /// An event to a request's failover, and its actions performed, with all that they lead to at once.
    fn feed(&mut self, n: usize, event: Event) {
        let (mut events, mut fed) = (VecDeque::from([event]), 0);
        while let Some(event) = events.pop_front() {
            fed += 1;
            assert!(fed < 100, "an event leads to an end or to a wait: {event:?}");
            let Some(flight) = self.flights.get(&n) else { return };
            let views = self.views(flight.seed);
            let Some(flight) = self.flights.get_mut(&n) else { return };
            let actions = flight.failover.on(event, self.now, &views);
            for action in actions {
                events.extend(self.perform(n, action, &views));
            }
            let finish = self.flights.get(&n).and_then(|f| f.finish);
            if let Some(finish) = finish {
                let mut flight = self.flights.remove(&n).unwrap();
                flight.assert_over(finish, self.now, &views);
                let extra = flight.race.map_or(Usd::ZERO, |race| {
                    self.purse.hedges.settle(self.now, race.expected, race.extra);
                    race.extra
                });
                self.purse.close(self.now, flight.spent, extra);
                self.rescues += flight.rescues;
                self.took.push(self.now.since(flight.request.at));
                self.finishes.push(finish);
            }
        }
    }

    fn perform(&mut self, n: usize, action: Action, views: &[DeploymentView]) -> Option<Event> {
        let flight = self.flights.get_mut(&n).unwrap();
        assert!(flight.finish.is_none(), "Finish comes last: {action:?}");
        match action {
            Action::Admit { attempt, place, .. } => {
                flight.assert_may(action, views);
                self.asked += 1;
                flight.booked.remove(&attempt).filter(|_| place == Place::Booked);
                return self.admit(n, action);
            }
            Action::Send(no, limits) => self.send(n, no, &limits),
            Action::Commit(no) => flight.committed(no),
            Action::Cancel(no, kind) => {
                let live = flight.live.remove(&no).expect("only a live one is cancelled");
                let outcome = kind.map_or(Outcome::Cancelled, Outcome::Failure);
                let cost = if live.sent {
                    self.book(n, live.hold, (live.deployment, live.permit), (outcome, None))
                } else {
                    self.health[live.deployment.get()].retract(self.now, live.permit);
                    self.purse.release(&flight.request.budgets, live.hold);
                    Usd::ZERO
                };
                self.flights.get_mut(&n).unwrap().lost(no, cost, true);
            }
            Action::Unbook(no) => {
                let deployment = flight.booked.remove(&no).expect("only a booking is given back");
                self.health[deployment.get()].unbook(flight.request.tokens);
            }
            Action::WakeAt(at) => {
                assert!(at <= flight.deadline(), "nothing to wake up for after the deadline");
                flight.wake += 1;
                let wake = flight.wake;
                self.plan(at, Todo::Timer(n, wake));
            }
            Action::Finish(how) => flight.finish = Some(how),
        }
        None
    }

    /// As the server does: first what forbids it, then everything it takes, all or none.
    fn admit(&mut self, n: usize, action: Action) -> Option<Event> {
        let Action::Admit { attempt, deployment, draws, last_resort, place, hedge } = action else {
            return None;
        };
        let now = self.now;
        let flight = self.flights.get_mut(&n).unwrap();
        let expected = price(&self.upstreams[deployment.get()], flight.request.tokens);
        let refused = |why| Some(Event::NotAdmitted(attempt, why));
        let costs = flight.spent + flight.live.values().map(|live| live.expected).sum() + expected;
        if place != Place::Booked && flight.request.max_cost.is_some_and(|limit| costs > limit) {
            return refused(NotAdmitted::CostCeiling);
        }
        // Whichever loses is paid for nothing.
        let dearest = flight.live.values().map(|live| live.expected).fold(expected, Usd::max);
        if hedge && !self.purse.hedges.try_take(now, dearest) {
            return refused(NotAdmitted::HedgeCredit);
        }
        match self.take(n, action) {
            Ok((permit, hold)) => {
                let flight = self.flights.get_mut(&n).unwrap();
                flight.live.insert(attempt, Admitted { deployment, permit, hold, expected, sent: false });
                flight.admitted(attempt, draws);
                if hedge {
                    self.races += 1;
                    flight.race =
                        Some(Race { hedge: attempt, expected: dearest, extra: Usd::ZERO, over: false });
                }
            }
            Err(why) => {
                if hedge {
                    self.purse.hedges.settle(now, dearest, Usd::ZERO);
                }
                if let NotAdmitted::Booked(at) = why {
                    assert!(matches!(place, Place::Book { by } if at < by), "booked in time");
                    self.flights.get_mut(&n).unwrap().booked.insert(attempt, deployment);
                }
                return refused(why);
            }
        }
        assert!(last_resort || self.health[deployment.get()].view(now, 0).state != DeploymentState::Open);
        if self.slow_admission && self.rng.bool() {
            let later = now + Duration::from_millis(self.rng.u64(0..50));
            self.plan(later, Todo::Admitted(n, attempt));
            return None;
        }
        Some(Event::Admitted(attempt))
    }

    fn take(&mut self, n: usize, action: Action) -> Result<(Permit, Hold), NotAdmitted> {
        let Action::Admit { deployment, draws, last_resort, place, .. } = action else {
            return Err(NotAdmitted::Ticket);
        };
        let (now, flight) = (self.now, self.flights.get_mut(&n).unwrap());
        let (tokens, stream, seed) = (flight.request.tokens, flight.request.stream, flight.seed);
        let health = &mut self.health[deployment.get()];
        let permit = health.admit(now, &Ask { seed, tokens, stream, last_resort, place })?;
        if draws && !self.retries.try_withdraw(now) {
            health.retract(now, permit);
            return Err(NotAdmitted::RetryBudget);
        }
        // Withdrawn is withdrawn, whether the money is there or not.
        if draws {
            self.ledger.push((now, true));
        }
        let ceiling = price(&self.upstreams[deployment.get()], tokens * 2);
        match self.purse.hold(&flight.request.budgets, ceiling) {
            Some(hold) => Ok((permit, hold)),
            None => {
                health.retract(now, permit);
                Err(NotAdmitted::Budget)
            }
        }
    }

    fn send(&mut self, n: usize, no: AttemptNo, limits: &AttemptLimits) {
        let now = self.now;
        let flight = self.flights.get_mut(&n).unwrap();
        let deadline = flight.deadline();
        assert!(now < deadline, "nothing is sent after the deadline");
        assert!(limits.connect_by <= deadline && limits.answer_by <= deadline && limits.deadline == deadline);
        flight.sent(no);
        let live = flight.live.get_mut(&no).expect("only an admitted one is sent");
        assert!(!std::mem::replace(&mut live.sent, true), "sent once");
        let (deployment, stream) = (live.deployment, flight.request.stream);
        let credential = live.permit.credential();
        self.sent.push((deployment, now));
        self.purse.sent();
        let upstream = &self.upstreams[deployment.get()];
        let refusal = upstream.refusal(now, limits, credential);
        let notices = refusal.unwrap_or_else(|| upstream.call(now, stream, limits, &mut self.rng));
        for (at, notice) in notices {
            self.plan(at, Todo::Notice(n, no, notice));
        }
    }

    /// Over the last ten seconds before each repeat, with slices of a second.
    fn assert_retries_bounded(&self) {
        let (percent, per_sec) =
            (u64::from(retry_policy().budget_percent), u64::from(retry_policy().per_sec));
        for (n, (at, _)) in self.ledger.iter().enumerate().filter(|(_, (_, repeat))| *repeat) {
            let window = self.ledger[..=n].iter().rev().take_while(|(t, _)| t.as_secs() + 10 > at.as_secs());
            let (mut requests, mut repeats) = (0, 0);
            for (_, repeat) in window {
                *(if *repeat { &mut repeats } else { &mut requests }) += 1;
            }
            assert!(repeats * 100 <= requests * percent + per_sec * 10 * 100, "{repeats} of {requests}");
        }
    }

    pub(crate) fn answered(&self) -> usize {
        self.finishes.iter().filter(|f| matches!(f, Finish::Answered(_))).count()
    }
}

fn price(upstream: &Upstream, tokens: u64) -> Usd {
    Usd::from_nano(upstream.price * i64::try_from(tokens).unwrap())
}
