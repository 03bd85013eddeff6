//! The options of one request and the choice among them: whom to call now, for whom to wait, or whether to end.
//!
//! Each option left has a burden: twice the number of its failures in this request, plus three when the board says that it
//! is out (breaker, ramp, silence). Burdens up to two, that is the healthy ones and a first repeat on a healthy one, go
//! before all others, even when they must be waited for; among the ready ones the lightest is called, by the order of the
//! plan. So with A healthy and B's breaker open, A's failure leads to A once more, then to B, the last resort, then to A.

use std::time::Duration;

use smallvec::{SmallVec, smallvec};

use super::BoardView;
use crate::attempt::FailureKind;
use crate::capability::Capabilities;
use crate::compiled::{Deployment, DeploymentIdx, TimeLimits};
use crate::health::is_out;
use crate::select::{DeploymentState, RoutePlan};
use crate::time::Timestamp;

/// What failover must know about a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallTerms {
    /// Its time limits.
    pub limits: TimeLimits,
    /// Its longest input in tokens; `None`: unknown.
    pub max_input_tokens: Option<u64>,
    /// It can be given the beginning of its own answer, so that going on there repeats and loses nothing.
    pub prefill: bool,
    /// A first attempt there that has shown nothing after so long is late, and a second one may race with it; `None`: too
    /// little is known, or hedging is off.
    pub hedge_after: Option<Duration>,
}

impl From<&Deployment> for CallTerms {
    fn from(deployment: &Deployment) -> Self {
        Self {
            limits: deployment.time_limits,
            max_input_tokens: deployment.max_input_tokens,
            prefill: deployment.capabilities.contains(Capabilities::PREFILL),
            hedge_after: None,
        }
    }
}

/// Why an option must wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// It need not, or only for a moment: backoff.
    Short,
    /// It was full.
    Full,
    /// For its rate limit.
    Rate,
    /// The provider said so.
    Told,
}

/// Why an option is none any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bar {
    /// It cannot answer this request.
    Useless,
    /// It costs more than there is.
    Money,
    /// It costs more than the request may.
    Ceiling,
    /// Too many wait for it.
    Queue,
}

/// One deployment of the plan, as seen by this request.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) deployment: DeploymentIdx,
    pub(super) terms: CallTerms,
    pub(super) bar: Option<Bar>,
    pub(super) failures: u32,
    /// So often another of its credentials took the place of one that was refused.
    pub(super) changes: u16,
    /// The next call there is such a one: it repeats nothing that failed.
    pub(super) changed: bool,
    /// Asked for a place in vain, so often.
    pub(super) polls: u32,
    /// The board let nobody in when it was asked: out for this request, whatever an older view says.
    pub(super) turned_away: bool,
    pub(super) ready_at: Timestamp,
    pub(super) wait: Wait,
    /// Not deferred by the plan.
    pub(super) ranked: bool,
    /// For what; more than one when the plan names it more than once.
    pub(super) kept: SmallVec<[Kept; 2]>,
    /// It is not kept, or what it is kept for has happened.
    pub(super) opened: bool,
}

/// What a deployment of the plan is kept for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// Nothing: it is called whatever happens.
    Not,
    /// To be called after this kind of failure.
    For(FailureKind),
}

impl Candidate {
    /// It may be called, now or later.
    pub(super) fn is_open(&self) -> bool {
        self.bar.is_none() && self.opened
    }

    /// The operator keeps it for this kind of failure.
    pub(super) fn is_kept_for(&self, kind: FailureKind) -> bool {
        self.kept.contains(&Kept::For(kind))
    }
}

pub(super) type Candidates = SmallVec<[Candidate; 6]>;

/// The plan's deployments in its order, each once; then those kept for a kind of failure.
pub(super) fn candidates(
    plan: &RoutePlan,
    only_first: bool,
    terms: impl Fn(DeploymentIdx) -> CallTerms,
) -> Candidates {
    let mut list = Candidates::new();
    let parts = [
        (&plan.ranked, Kept::Not),
        (&plan.deferred, Kept::Not),
        (&plan.after_too_long, Kept::For(FailureKind::TooLong)),
        (&plan.after_filtered, Kept::For(FailureKind::Filtered)),
    ];
    for (at, (deployments, kept)) in parts.into_iter().enumerate() {
        for deployment in deployments.iter().copied() {
            match list.iter_mut().find(|c| c.deployment == deployment) {
                Some(known) => known.kept.push(kept),
                None => list.push(Candidate {
                    deployment,
                    terms: terms(deployment),
                    bar: None,
                    failures: 0,
                    changes: 0,
                    changed: false,
                    polls: 0,
                    turned_away: false,
                    ready_at: Timestamp::ZERO,
                    wait: Wait::Short,
                    ranked: at == 0,
                    kept: smallvec![kept],
                    opened: kept == Kept::Not,
                }),
            }
        }
    }
    if only_first {
        list.truncate(1);
        list.retain(|first| first.opened);
    }
    list
}

/// What the request may still do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    /// Something was sent before: going on is a repeat.
    pub(super) repeats: bool,
    /// The client has seen the beginning of an answer.
    pub(super) goes_on: bool,
    /// A repeat that draws on the retry budget is allowed, from then on.
    pub(super) draws_from: Option<Timestamp>,
    pub(super) deadline: Timestamp,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Call {
        option: usize,
        draws: bool,
        last_resort: bool,
    },
    /// Book a place with it: all must wait, it is the soonest.
    Book {
        option: usize,
        draws: bool,
        last_resort: bool,
    },
    Wait(Timestamp),
    /// Nobody is left, or comes back in time.
    Nobody,
}

struct Rated {
    option: usize,
    burden: u32,
    /// It must be told in words to go on, where others are given the beginning of the answer.
    told: bool,
    out: bool,
    draws: bool,
    ready_at: Timestamp,
    wait: Wait,
}

/// The choice among the options left.
pub(super) fn choose(list: &Candidates, allowed: Allowance, now: Timestamp, view: BoardView<'_>) -> Choice {
    let rated: SmallVec<[Rated; 6]> = (0..list.len())
        .filter_map(|option| rate(list, option, allowed, view))
        .filter(|rated| rated.ready_at <= now || rated.ready_at < allowed.deadline)
        .collect();
    let (light, heavy): (SmallVec<[&Rated; 6]>, SmallVec<[&Rated; 6]>) =
        rated.iter().partition(|rated| rated.burden <= 2);
    let returns_at =
        rated.iter().filter(|r| r.out).filter_map(|r| return_of(list, r.option, now, view)).min();
    for (group, heavy) in [(light, false), (heavy, true)] {
        if let Some(best) =
            group.iter().filter(|r| r.ready_at <= now).min_by_key(|r| (r.burden, r.told, r.option))
        {
            return Choice::Call { option: best.option, draws: best.draws, last_resort: best.out };
        }
        let Some(soonest) = group.iter().min_by_key(|r| (r.ready_at, r.told, r.option)) else { continue };
        if soonest.wait == Wait::Rate {
            return Choice::Book { option: soonest.option, draws: soonest.draws, last_resort: soonest.out };
        }
        // A breaker's cooldown may be over sooner: then that one is no last resort any more.
        let sooner = returns_at.filter(|at| !heavy && *at < soonest.ready_at);
        return Choice::Wait(sooner.unwrap_or(soonest.ready_at));
    }
    Choice::Nobody
}

fn rate(list: &Candidates, option: usize, allowed: Allowance, view: BoardView<'_>) -> Option<Rated> {
    let candidate = list.get(option).filter(|c| c.is_open())?;
    let seen = view.get(candidate.deployment.get()).copied().unwrap_or_default();
    if seen.state == DeploymentState::Disabled {
        return None;
    }
    let free = !allowed.repeats || candidate.changed || (candidate.failures == 0 && seen.proven);
    let from = if free { Timestamp::ZERO } else { allowed.draws_from? };
    // Once turned away, only a free ticket changes that.
    let out = is_out(seen.state) || (candidate.turned_away && seen.state != DeploymentState::HalfOpen);
    let wait = if from > candidate.ready_at { Wait::Short } else { candidate.wait };
    Some(Rated {
        option,
        burden: candidate.failures.saturating_mul(2) + if out { 3 } else { 0 },
        told: allowed.goes_on && !candidate.terms.prefill,
        out,
        draws: !free,
        ready_at: candidate.ready_at.max(from),
        wait,
    })
}

/// When an option that is out comes back by itself, if that is known.
fn return_of(list: &Candidates, option: usize, now: Timestamp, view: BoardView<'_>) -> Option<Timestamp> {
    let seen = view.get(list.get(option)?.deployment.get())?;
    let known = seen.state == DeploymentState::Open && seen.returns_in_ms > 0;
    known.then(|| now + Duration::from_millis(u64::from(seen.returns_in_ms)))
}

/// When the first option that only a limit stands before may be asked again.
pub(super) fn limits_end(list: &Candidates, now: Timestamp) -> Option<Timestamp> {
    let stands = |c: &Candidate| c.is_open() || (c.opened && c.bar == Some(Bar::Queue));
    let limited = |c: &&Candidate| stands(c) && c.wait != Wait::Short && c.ready_at > now;
    list.iter().filter(limited).map(|c| c.ready_at).min()
}
