//! A world: deployments, requests, a queue of what happens next in virtual time, and the server's part of the loop, with
//! every invariant asserted where it could break.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use router_core::attempt::{Next, Outcome};
use router_core::compiled::{DeploymentIdx, Limits, TimeLimits};
use router_core::failover::{
    Action, AttemptLimits, AttemptNo, CallTerms, Event, Failover, FailoverInput, Finish, NotAdmitted, Place,
    RetryBudget,
};
use router_core::health::{Ask, DeploymentHealth, Ending, Permit};
use router_core::select::{DeploymentState, DeploymentView, RoutePlan};
use router_core::time::Timestamp;

use crate::setting::{Request, START, breaker_policy, retry_policy, secs};
use crate::upstream::{Notice, Upstream};

/// A request under way.
struct Flight {
    request: Request,
    seed: u64,
    failover: Failover,
    /// Admitted, by attempt; `true`: sent.
    live: BTreeMap<AttemptNo, (DeploymentIdx, Permit, bool)>,
    booked: BTreeMap<AttemptNo, DeploymentIdx>,
    barred: Vec<DeploymentIdx>,
    sent: u32,
    draws: u32,
    committed: Option<AttemptNo>,
    wake: u64,
    finish: Option<Finish>,
}

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
    /// Requests and repeats, with their times.
    ledger: Vec<(Timestamp, bool)>,
    /// Calls that were asked to be admitted.
    pub(crate) asked: usize,
    /// Calls sent, by deployment and time.
    pub(crate) sent: Vec<(DeploymentIdx, Timestamp)>,
    /// States seen by views, by deployment, each change once.
    pub(crate) states: Vec<Vec<DeploymentState>>,
    pub(crate) finishes: Vec<Finish>,
    /// Admissions are sometimes answered late.
    pub(crate) slow_admission: bool,
}

impl World {
    pub(crate) fn new(seed: u64, deployments: Vec<(Limits, Upstream)>, requests: Vec<Request>) -> Self {
        let health = deployments.iter().enumerate();
        let health = health.map(|(n, (limits, _))| {
            DeploymentHealth::new(&format!("provider/model-{n}"), &breaker_policy(), *limits)
        });
        let mut world = Self {
            now: START,
            health: health.collect(),
            states: vec![vec![]; deployments.len()],
            upstreams: deployments.into_iter().map(|(_, upstream)| upstream).collect(),
            flights: BTreeMap::new(),
            queue: BTreeMap::new(),
            todos: 0,
            rng: fastrand::Rng::with_seed(seed),
            retries: RetryBudget::new(&retry_policy()),
            ledger: vec![],
            asked: 0,
            sent: vec![],
            finishes: vec![],
            slow_admission: false,
            requests,
        };
        for n in 0..world.requests.len() {
            world.plan(world.requests[n].at, Todo::Arrive(n));
        }
        world
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
        }
        assert!(self.flights.is_empty(), "every request finishes");
        assert_eq!(self.finishes.len(), self.requests.len());
        for health in &mut self.health {
            assert_eq!(health.snapshot(self.now).in_flight, 0, "every admission comes back");
        }
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

    /// What `decide` would do, in short: those that are out or spent come last.
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
        let plan = RoutePlan { ranked, deferred, ..RoutePlan::default() };
        let policy = retry_policy();
        let input = FailoverInput {
            plan: &plan,
            no_fallbacks: request.no_fallbacks,
            policy: &policy,
            deadline: self.now + request.deadline,
            stream: request.stream,
            seed,
        };
        let limits = TimeLimits { connect: secs(3), first_byte: secs(10), answer: secs(60), idle: secs(20) };
        let failover = Failover::new(&input, |_| CallTerms { limits, max_input_tokens: None });
        if let Some(patience) = request.leaves_after {
            self.plan(self.now + patience, Todo::Leave(n));
        }
        self.retries.deposit(self.now);
        self.ledger.push((self.now, false));
        let flight = Flight {
            request,
            seed,
            failover,
            live: BTreeMap::new(),
            booked: BTreeMap::new(),
            barred: vec![],
            sent: 0,
            draws: 0,
            committed: None,
            wake: 0,
            finish: None,
        };
        self.flights.insert(n, flight);
        self.feed(n, Event::Start);
    }

    fn notice(&mut self, n: usize, no: AttemptNo, notice: Notice) {
        let (now, Some(flight)) = (self.now, self.flights.get_mut(&n)) else { return };
        let Some((deployment, permit, _)) = flight.live.get_mut(&no) else { return };
        let health = &mut self.health[deployment.get()];
        let (event, outcome, retry_after) = match notice {
            Notice::FirstByte => {
                health.first_byte(now, permit);
                return self.feed(n, Event::Headers(no));
            }
            Notice::Visible(seen) => return self.feed(n, Event::Visible(no, seen)),
            Notice::Ended => (Event::Ended(no), Outcome::Success, None),
            Notice::Failed(kind, wait) => (Event::Failed(no, kind, wait), Outcome::Failure(kind), wait),
        };
        if let Notice::Failed(kind, _) = notice
            && kind.policy().next == Next::Elsewhere
        {
            flight.barred.push(*deployment);
        }
        let tokens = Some(flight.request.tokens / 2);
        if let Some((_, permit, _)) = flight.live.remove(&no) {
            health.end(now, permit, &Ending { outcome, tokens, retry_after });
        }
        self.feed(n, event);
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
                assert!(flight.live.is_empty() && flight.booked.is_empty(), "nothing is left behind");
                assert!(
                    flight.failover.on(Event::Timer, self.now, &views).is_empty(),
                    "silent after the end"
                );
                assert!(self.now <= flight.request.at + flight.request.deadline, "within the deadline");
                self.finishes.push(finish);
            }
        }
    }

    fn perform(&mut self, n: usize, action: Action, views: &[DeploymentView]) -> Option<Event> {
        let now = self.now;
        let flight = self.flights.get_mut(&n).unwrap();
        assert!(flight.finish.is_none(), "Finish comes last: {action:?}");
        let deadline = flight.request.at + flight.request.deadline;
        match action {
            Action::Admit { .. } => return self.admit(n, action, views),
            Action::Send(no, limits) => self.send(n, no, &limits),
            Action::Commit(no) => assert_eq!(flight.committed.replace(no), None, "one commit"),
            Action::Cancel(no, kind) => {
                let (deployment, permit, sent) =
                    flight.live.remove(&no).expect("only a live one is cancelled");
                let health = &mut self.health[deployment.get()];
                let outcome = kind.map_or(Outcome::Cancelled, Outcome::Failure);
                if sent {
                    health.end(now, permit, &Ending { outcome, tokens: None, retry_after: None });
                } else {
                    health.retract(now, permit);
                }
            }
            Action::Unbook(no) => {
                let deployment = flight.booked.remove(&no).expect("only a booking is given back");
                self.health[deployment.get()].unbook(flight.request.tokens);
            }
            Action::WakeAt(at) => {
                assert!(at <= deadline, "nothing to wake up for after the deadline");
                flight.wake += 1;
                let wake = flight.wake;
                self.plan(at, Todo::Timer(n, wake));
            }
            Action::Finish(how) => flight.finish = Some(how),
        }
        None
    }

    fn admit(&mut self, n: usize, action: Action, views: &[DeploymentView]) -> Option<Event> {
        let Action::Admit { attempt, deployment, draws, last_resort, place } = action else { return None };
        let now = self.now;
        self.asked += 1;
        let flight = self.flights.get_mut(&n).unwrap();
        assert!(flight.request.wanted.contains(&deployment), "never leaves the plan");
        assert!(flight.live.is_empty(), "one live attempt");
        assert!(!flight.barred.contains(&deployment), "not repeated where it was refused");
        assert!(flight.sent > 0 || !draws, "the first is no repeat");
        let free = flight.sent == 0 || views[deployment.get()].proven;
        assert!(draws || free, "only a move to a proven one is free");
        assert_eq!(flight.booked.remove(&attempt).is_some(), place == Place::Booked);
        let (tokens, stream, seed) = (flight.request.tokens, flight.request.stream, flight.seed);
        let ask = Ask { seed, tokens, stream, last_resort, place };
        let health = &mut self.health[deployment.get()];
        let permit = match health.admit(now, &ask) {
            Ok(permit) => permit,
            Err(why) => {
                if let NotAdmitted::Booked(at) = why {
                    assert!(matches!(place, Place::Book { by } if at < by), "booked in time");
                    flight.booked.insert(attempt, deployment);
                }
                return Some(Event::NotAdmitted(attempt, why));
            }
        };
        if draws && !self.retries.try_withdraw(now) {
            health.retract(now, permit);
            return Some(Event::NotAdmitted(attempt, NotAdmitted::RetryBudget));
        }
        if draws {
            self.ledger.push((now, true));
            flight.draws += 1;
            assert!(flight.draws < retry_policy().attempts, "paid attempts are bounded");
        }
        flight.live.insert(attempt, (deployment, permit, false));
        if self.slow_admission && self.rng.bool() {
            let later = now + Duration::from_millis(self.rng.u64(0..50));
            self.plan(later, Todo::Admitted(n, attempt));
            return None;
        }
        Some(Event::Admitted(attempt))
    }

    fn send(&mut self, n: usize, no: AttemptNo, limits: &AttemptLimits) {
        let now = self.now;
        let flight = self.flights.get_mut(&n).unwrap();
        let deadline = flight.request.at + flight.request.deadline;
        assert!(now < deadline, "nothing is sent after the deadline");
        assert!(limits.connect_by <= deadline && limits.answer_by <= deadline && limits.deadline == deadline);
        flight.sent += 1;
        assert_eq!(no, AttemptNo(flight.sent), "numbers have no holes");
        let (deployment, _, sent) = flight.live.get_mut(&no).expect("only an admitted one is sent");
        assert!(!std::mem::replace(sent, true), "sent once");
        let (deployment, stream) = (*deployment, flight.request.stream);
        self.sent.push((deployment, now));
        let notices = self.upstreams[deployment.get()].call(now, stream, limits, &mut self.rng);
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
