//! A request under way, as the server keeps it, and what must hold of it.

use std::collections::BTreeMap;

use router_core::attempt::{FailureKind, Next};
use router_core::budget::Hold;
use router_core::compiled::DeploymentIdx;
use router_core::failover::{Action, Another, AttemptNo, Failover, Finish, Place};
use router_core::health::Permit;
use router_core::money::Usd;
use router_core::select::{DeploymentState, DeploymentView};
use router_core::time::Timestamp;

use crate::setting::{Request, retry_policy};

/// Deployments that a random world has at most.
pub(crate) const MAX_DEPLOYMENTS: u32 = 5;
/// Credentials that each of them has at most.
pub(crate) const MAX_CREDENTIALS: u32 = 4;

/// An admitted attempt.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) deployment: DeploymentIdx,
    pub(crate) permit: Permit,
    pub(crate) hold: Hold,
    pub(crate) expected: Usd,
    pub(crate) sent: bool,
}

/// A second attempt beside a first one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Race {
    pub(crate) hedge: AttemptNo,
    pub(crate) expected: Usd,
    pub(crate) extra: Usd,
    pub(crate) over: bool,
}

#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) request: Request,
    pub(crate) seed: u64,
    pub(crate) failover: Failover,
    pub(crate) live: BTreeMap<AttemptNo, Admitted>,
    pub(crate) booked: BTreeMap<AttemptNo, DeploymentIdx>,
    /// Whom it asked first.
    first: Option<DeploymentIdx>,
    barred: Vec<DeploymentIdx>,
    /// Where another credential takes the place of the one that was refused.
    changed: Vec<DeploymentIdx>,
    failures: Vec<FailureKind>,
    pub(crate) sent: u32,
    /// Of those, written: what could not be expressed was never made.
    calls: u32,
    /// Attempts that drew on the retry budget and were made.
    drew: Vec<AttemptNo>,
    pub(crate) committed: Option<AttemptNo>,
    /// The client has seen something.
    shown: bool,
    pub(crate) rescues: u32,
    pub(crate) race: Option<Race>,
    pub(crate) spent: Usd,
    pub(crate) wake: u64,
    pub(crate) finish: Option<Finish>,
}

impl Flight {
    pub(crate) fn new(request: Request, seed: u64, failover: Failover) -> Self {
        Self {
            request,
            seed,
            failover,
            live: BTreeMap::new(),
            booked: BTreeMap::new(),
            first: None,
            barred: vec![],
            changed: vec![],
            failures: vec![],
            sent: 0,
            calls: 0,
            drew: vec![],
            committed: None,
            shown: false,
            rescues: 0,
            race: None,
            spent: Usd::ZERO,
            wake: 0,
            finish: None,
        }
    }

    pub(crate) fn deadline(&self) -> Timestamp {
        self.request.at + self.request.deadline
    }

    /// An attempt was asked for: it may be.
    pub(crate) fn assert_may(&mut self, action: Action, views: &[DeploymentView]) {
        let Action::Admit { attempt, deployment, draws, last_resort, place, hedge } = action else { return };
        let kept =
            |(kind, list): &(FailureKind, Vec<_>)| list.contains(&deployment) && self.failures.contains(kind);
        let allowed = self.request.wanted.contains(&deployment) || self.request.kept.iter().any(kept);
        assert!(allowed, "never leaves the allowed set");
        assert!(!self.barred.contains(&deployment), "not repeated where it was refused");
        assert!(self.calls > 0 || !draws, "the first is no repeat");
        assert_eq!(self.booked.contains_key(&attempt), place == Place::Booked);
        let first = *self.first.get_or_insert(deployment);
        assert!(!self.request.no_fallbacks || deployment == first, "no other without fallbacks");
        let seen = views[deployment.get()];
        if hedge {
            let other = self.live.values().all(|live| live.sent && live.deployment != deployment);
            assert!(self.live.len() == 1 && other && !self.shown, "it races with one that shows nothing");
            let well = matches!(
                seen.state,
                DeploymentState::Closed | DeploymentState::HalfOpen | DeploymentState::Ramp
            );
            assert!(well && !seen.rate_spent && !seen.concurrency_spent, "never on a sick or a full one");
            assert!(!draws && !last_resort && place == Place::Now && self.race.is_none());
        } else {
            assert!(self.live.is_empty(), "one at a time, but for a race");
            let free = self.calls == 0 || seen.proven || self.changed.contains(&deployment);
            assert!(draws || free, "only a move to a proven one, or to another credential, is free");
        }
    }

    /// An attempt was admitted.
    pub(crate) fn admitted(&mut self, no: AttemptNo, draws: bool) {
        self.drew.extend(draws.then_some(no));
        assert!(self.drew.len() < retry_policy().attempts as usize, "paid attempts are bounded");
        let costs = self.live.values().map(|live| live.expected).sum::<Usd>() + self.spent;
        assert!(self.request.max_cost.is_none_or(|limit| costs <= limit), "cost ceiling kept");
    }

    pub(crate) fn sent(&mut self, no: AttemptNo) {
        self.sent += 1;
        self.calls += 1;
        // Those that were paid, each deployment once for nothing, and each credential that gave way; and a hedge.
        assert!(
            self.calls <= retry_policy().attempts + MAX_DEPLOYMENTS * MAX_CREDENTIALS + 1,
            "no end of calls"
        );
        let deployment = self.live.get(&no).map(|live| live.deployment);
        self.changed.retain(|changed| Some(*changed) != deployment);
        assert_eq!(no, AttemptNo(self.sent), "numbers have no holes");
        self.rescues += u32::from(self.shown);
    }

    pub(crate) fn committed(&mut self, no: AttemptNo) {
        assert_eq!(self.committed.replace(no), None, "one committed at a time");
        assert!(!self.shown || self.rescues > 0, "a second one only to go on");
        self.shown = true;
    }

    pub(crate) fn failed(
        &mut self,
        no: AttemptNo,
        deployment: DeploymentIdx,
        (kind, another): (FailureKind, Option<Another>),
    ) {
        self.changed.extend(another.map(|_| deployment));
        let going_on = self.shown && self.committed != Some(no);
        self.committed.take_if(|committed| *committed == no);
        self.failures.push(kind);
        if kind == FailureKind::Inexpressible {
            self.calls -= 1;
            self.drew.retain(|drew| *drew != no);
        }
        let refused = kind.policy().next == Next::Nowhere && going_on;
        if (kind.policy().next == Next::Elsewhere && another.is_none()) || refused {
            self.barred.push(deployment);
        }
    }

    /// An attempt ended without an answer: when it was one of two, that is what the race cost.
    pub(crate) fn lost(&mut self, no: AttemptNo, cost: Usd, stopped: bool) {
        let beaten = self.committed.is_some_and(|winner| winner != no);
        let Some(race) = self.race.as_mut().filter(|race| !race.over) else { return };
        if no == race.hedge || beaten {
            (race.over, race.extra) = (true, cost);
        } else if !stopped {
            race.over = true;
        }
    }

    /// The end: nothing is left behind, and it fits what the client has seen.
    pub(crate) fn assert_over(&mut self, finish: Finish, now: Timestamp, views: &[DeploymentView]) {
        assert!(self.live.is_empty() && self.booked.is_empty(), "nothing is left behind");
        let after = self.failover.on(router_core::failover::Event::Timer, now, views);
        assert!(after.is_empty() && self.failover.is_finished(), "silent after the end");
        assert!(now <= self.deadline(), "within the deadline");
        match finish {
            Finish::Answered(no) => assert_eq!(self.committed, Some(no), "who answers is committed"),
            Finish::Broken(..) => assert!(self.shown, "what broke was seen"),
            Finish::ClientGone => {}
            _ => assert!(!self.shown, "half an answer does not end like none: {finish:?}"),
        }
        assert!(self.request.max_cost.is_none_or(|limit| self.spent <= limit), "cost ceiling kept");
    }
}
