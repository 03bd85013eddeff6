//! Requests at an even rate over two deployments: the failing one is always preferred, the other one is well.

use std::collections::BTreeMap;
use std::time::Duration;

use router_core::attempt::{FailureKind, Outcome};
use router_core::compiled::{BreakerPolicy, DeploymentIdx, Limits, RetryPolicy, TimeLimits};
use router_core::config::file::{Breaker, Retries};
use router_core::failover::{
    Action, AttemptNo, CallTerms, Event, Failover, FailoverInput, Failure, Finish, NotAdmitted, RetryBudget,
    Seen,
};
use router_core::health::{Ask, BreakerGauge, DeploymentHealth, Ending, Permit};
use router_core::select::{DeploymentState, DeploymentView, RoutePlan};
use router_core::time::Timestamp;

use crate::model::{Entry, Model};

const START: Timestamp = Timestamp::from_millis(1_795_348_200_000);
const FAILING: DeploymentIdx = DeploymentIdx(0);
const WELL: DeploymentIdx = DeploymentIdx(1);

pub(crate) struct Setting {
    pub(crate) percent: u32,
    pub(crate) per_min: u32,
    pub(crate) requests: u32,
    /// It fails no more from then on.
    pub(crate) well_after: Option<Duration>,
}

#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// Calls of the failing one.
    pub(crate) calls: u32,
    pub(crate) openings: u32,
    /// Requests that had come when it first opened.
    pub(crate) opened_at: Option<u32>,
    pub(crate) requests_once_open: u32,
    pub(crate) calls_once_open: u32,
    pub(crate) client_failures: u32,
    /// From when it was well: to its first call, and until it was closed.
    pub(crate) tried_after: Option<Duration>,
    pub(crate) closed_after: Option<Duration>,
    /// Requests and its calls, by step of the ramp, after it was well.
    pub(crate) steps: [(u32, u32); 3],
}

impl Figures {
    pub(crate) fn ramp_share(&self, step: usize) -> f64 {
        let (requests, calls) = self.steps[step];
        f64::from(calls) / f64::from(requests.max(1))
    }
}

struct Flight {
    seed: u64,
    failover: Failover,
    live: Option<(AttemptNo, DeploymentIdx, Permit, Option<Entry>)>,
    wake: u64,
}

#[derive(Clone, Copy)]
enum Todo {
    Arrive(u32),
    Ended(u32, bool),
    Timer(u32, u64),
}

struct World<'a> {
    setting: &'a Setting,
    now: Timestamp,
    rng: fastrand::Rng,
    health: [DeploymentHealth; 2],
    model: Model,
    retries: RetryBudget,
    flights: BTreeMap<u32, Flight>,
    queue: BTreeMap<(Timestamp, u64), Todo>,
    todos: u64,
    figures: Figures,
    gauge: BreakerGauge,
}

fn retry_policy() -> RetryPolicy {
    RetryPolicy::from(&Retries::default())
}

fn policy() -> BreakerPolicy {
    BreakerPolicy::from(&Breaker::default())
}

/// One run to its end.
pub(crate) fn run(setting: &Setting, seed: u64) -> Figures {
    let health = |id| DeploymentHealth::new(id, &policy(), Limits::default());
    let mut world = World {
        setting,
        now: START,
        rng: fastrand::Rng::with_seed(seed),
        health: [health("failing/model"), health("well/model")],
        model: Model::new(),
        retries: RetryBudget::new(&retry_policy()),
        flights: BTreeMap::new(),
        queue: BTreeMap::new(),
        todos: 0,
        figures: Figures::default(),
        gauge: BreakerGauge::Closed,
    };
    world.plan(START, Todo::Arrive(0));
    while let Some(((at, _), todo)) = world.queue.pop_first() {
        world.now = at;
        match todo {
            Todo::Arrive(n) => world.arrive(n),
            Todo::Ended(n, failed) => world.ended(n, failed),
            Todo::Timer(n, wake) if world.flights.get(&n).is_some_and(|f| f.wake == wake) => {
                world.feed(n, Event::Timer);
            }
            Todo::Timer(..) => {}
        }
        world.compare();
    }
    assert!(world.flights.is_empty(), "every request ends");
    world.figures
}

impl World<'_> {
    fn plan(&mut self, at: Timestamp, todo: Todo) {
        self.todos += 1;
        self.queue.insert((at, self.todos), todo);
    }

    fn well_since(&self) -> Option<Timestamp> {
        self.setting.well_after.map(|after| START + after).filter(|at| self.now >= *at)
    }

    /// The breaker and its model agree; what changed is counted.
    fn compare(&mut self) {
        let shown = self.health[0].snapshot(self.now);
        assert_eq!(shown.breaker, self.model.gauge(self.now), "at {:?}", self.now.since(START));
        assert_eq!((shown.window_requests, shown.window_failures), self.model.counts(self.now));
        let before = std::mem::replace(&mut self.gauge, shown.breaker);
        if shown.breaker == BreakerGauge::Open && before != BreakerGauge::Open {
            self.figures.openings += 1;
            let came = self.todos_arrived();
            self.figures.opened_at.get_or_insert(came);
        }
        if let (Some(since), BreakerGauge::Closed) = (self.well_since(), shown.breaker) {
            self.figures.closed_after.get_or_insert(self.now.since(since));
        }
    }

    fn todos_arrived(&self) -> u32 {
        let spacing = self.spacing().as_micros();
        u32::try_from(self.now.since(START).as_micros() / spacing).unwrap_or(u32::MAX) + 1
    }

    fn spacing(&self) -> Duration {
        Duration::from_secs(60) / self.setting.per_min
    }

    fn views(&mut self, seed: u64) -> Vec<DeploymentView> {
        let now = self.now;
        self.health.iter_mut().map(|health| health.view(now, seed)).collect()
    }

    fn arrive(&mut self, n: u32) {
        if n + 1 < self.setting.requests {
            let next = START + self.spacing() * (n + 1);
            self.plan(next, Todo::Arrive(n + 1));
        }
        let seed = self.rng.u64(..);
        let views = self.views(seed);
        if self.figures.opened_at.is_some() {
            self.figures.requests_once_open += 1;
        }
        if let (Some(_), Some(step)) = (self.well_since(), self.model.step()) {
            self.figures.steps[step].0 += 1;
        }
        let in_rotation = |state| {
            matches!(state, DeploymentState::Closed | DeploymentState::HalfOpen | DeploymentState::Ramp)
        };
        let (ranked, deferred) =
            [FAILING, WELL].into_iter().partition(|at| in_rotation(views[at.get()].state));
        let policy = retry_policy();
        let input = FailoverInput {
            plan: &RoutePlan { ranked, deferred, ..RoutePlan::default() },
            no_fallbacks: false,
            policy: &policy,
            deadline: self.now + Duration::from_secs(60),
            stream: true,
            rescue: true,
            seed,
        };
        let second = Duration::from_secs(1);
        let limits = TimeLimits {
            connect: 3 * second,
            first_byte: 30 * second,
            answer: 600 * second,
            idle: 60 * second,
        };
        let terms = |_| CallTerms { limits, max_input_tokens: None, prefill: false, hedge_after: None };
        let failover = Failover::new(&input, terms);
        self.retries.deposit(self.now);
        self.flights.insert(n, Flight { seed, failover, live: None, wake: 0 });
        self.feed(n, Event::Start);
    }

    fn ended(&mut self, n: u32, failed: bool) {
        let Some((no, deployment, permit, entry)) = self.flights.get_mut(&n).and_then(|f| f.live.take())
        else {
            return;
        };
        let kind = FailureKind::Unavailable;
        let outcome = if failed { Outcome::Failure(kind) } else { Outcome::Success };
        self.health[deployment.get()].end(
            self.now,
            permit,
            &Ending { outcome, tokens: None, retry_after: None },
        );
        if let Some(entry) = entry {
            self.model.leave(self.now, entry, failed);
        }
        if failed {
            self.feed(
                n,
                Event::Failed(no, Failure { kind, retry_after: None, can_go_on: false, another: None }),
            );
        } else {
            self.feed(n, Event::Visible(no, Seen::Text));
            self.feed(n, Event::Ended(no));
        }
    }

    fn feed(&mut self, n: u32, event: Event) {
        let mut events = std::collections::VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let Some(seed) = self.flights.get(&n).map(|f| f.seed) else { return };
            let views = self.views(seed);
            let now = self.now;
            let actions =
                self.flights.get_mut(&n).map(|f| f.failover.on(event, now, &views)).unwrap_or_default();
            for action in actions {
                events.extend(self.perform(n, action));
            }
        }
    }

    fn perform(&mut self, n: u32, action: Action) -> Option<Event> {
        match action {
            Action::Admit { attempt, deployment, draws, last_resort, place, .. } => {
                let seed = self.flights.get(&n)?.seed;
                let ask = Ask { seed, tokens: 100, stream: true, last_resort, place };
                let permit = match self.health[deployment.get()].admit(self.now, &ask) {
                    Ok(permit) => permit,
                    Err(why) => return Some(Event::NotAdmitted(attempt, why)),
                };
                if draws && !self.retries.try_withdraw(self.now) {
                    // The model knows nothing of it: at this rate the budget is never spent.
                    self.health[deployment.get()].retract(self.now, permit);
                    return Some(Event::NotAdmitted(attempt, NotAdmitted::RetryBudget));
                }
                let entry = (deployment == FAILING).then(|| self.model.enter(self.now));
                self.flights.get_mut(&n)?.live = Some((attempt, deployment, permit, entry));
                Some(Event::Admitted(attempt))
            }
            Action::Send(..) => {
                let deployment = self.flights.get(&n)?.live.as_ref()?.1;
                self.send(n, deployment);
                None
            }
            Action::WakeAt(at) => {
                let flight = self.flights.get_mut(&n)?;
                flight.wake += 1;
                let wake = flight.wake;
                self.plan(at, Todo::Timer(n, wake));
                None
            }
            Action::Finish(finish) => {
                self.figures.client_failures += u32::from(!matches!(finish, Finish::Answered(_)));
                self.flights.remove(&n);
                None
            }
            Action::Commit(_) | Action::Cancel(..) | Action::Unbook(_) => None,
        }
    }

    fn send(&mut self, n: u32, deployment: DeploymentIdx) {
        let mut failed = false;
        if deployment == FAILING {
            let (well, step) = (self.well_since(), self.model.step());
            failed = well.is_none() && self.rng.u32(0..100) < self.setting.percent;
            self.figures.calls += 1;
            self.figures.calls_once_open += u32::from(self.figures.opened_at.is_some());
            if let Some(since) = well {
                self.figures.tried_after.get_or_insert(self.now.since(since));
                if let Some(step) = step {
                    self.figures.steps[step].1 += 1;
                }
            }
        }
        // A failure is told soon, an answer takes its time.
        let took = if failed { self.rng.u64(20..400) } else { self.rng.u64(500..3_000) };
        self.plan(self.now + Duration::from_millis(took), Todo::Ended(n, failed));
    }
}
