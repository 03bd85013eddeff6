//! The options of one request and the choice among them: whom to call now, for whom to wait, or whether to end.
//!
//! Each option left has a burden: twice the number of its failures in this request, plus three when the board says that it
//! is out (breaker, ramp, silence). Burdens up to two, that is the healthy ones and a first repeat on a healthy one, go
//! before all others, even when they must be waited for; among the ready ones the lightest is called, by the order of the
//! plan. So with A healthy and B's breaker open, A's failure leads to A once more, then to B, the last resort, then to A.

use std::time::Duration;

use smallvec::SmallVec;

use super::BoardView;
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
}

impl From<&Deployment> for CallTerms {
    fn from(deployment: &Deployment) -> Self {
        Self { limits: deployment.time_limits, max_input_tokens: deployment.max_input_tokens }
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
}

/// One deployment of the plan, as seen by this request.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) deployment: DeploymentIdx,
    pub(super) terms: CallTerms,
    pub(super) bar: Option<Bar>,
    pub(super) failures: u32,
    /// Asked for a place in vain, so often.
    pub(super) polls: u32,
    /// The board let nobody in when it was asked: out for this request, whatever an older view says.
    pub(super) turned_away: bool,
    pub(super) ready_at: Timestamp,
    pub(super) wait: Wait,
}

pub(super) type Candidates = SmallVec<[Candidate; 6]>;

/// The plan's deployments in its order, each once.
pub(super) fn candidates(
    plan: &RoutePlan,
    only_first: bool,
    terms: impl Fn(DeploymentIdx) -> CallTerms,
) -> Candidates {
    let mut list = Candidates::new();
    for deployment in plan.ranked.iter().chain(&plan.deferred).copied() {
        if list.iter().all(|c| c.deployment != deployment) {
            list.push(Candidate {
                deployment,
                terms: terms(deployment),
                bar: None,
                failures: 0,
                polls: 0,
                turned_away: false,
                ready_at: Timestamp::ZERO,
                wait: Wait::Short,
            });
        }
    }
    if only_first {
        list.truncate(1);
    }
    list
}

/// What the request may still do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    /// Something was sent before: going on is a repeat.
    pub(super) repeats: bool,
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
        if let Some(best) = group.iter().filter(|r| r.ready_at <= now).min_by_key(|r| (r.burden, r.option)) {
            return Choice::Call { option: best.option, draws: best.draws, last_resort: best.out };
        }
        let Some(soonest) = group.iter().min_by_key(|r| (r.ready_at, r.option)) else { continue };
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
    let candidate = list.get(option).filter(|c| c.bar.is_none())?;
    let seen = view.get(candidate.deployment.get()).copied().unwrap_or_default();
    if seen.state == DeploymentState::Disabled {
        return None;
    }
    let free = !allowed.repeats || (candidate.failures == 0 && seen.proven);
    let from = if free { Timestamp::ZERO } else { allowed.draws_from? };
    // Once turned away, only a free ticket changes that.
    let out = is_out(seen.state) || (candidate.turned_away && seen.state != DeploymentState::HalfOpen);
    let wait = if from > candidate.ready_at { Wait::Short } else { candidate.wait };
    Some(Rated {
        option,
        burden: candidate.failures.saturating_mul(2) + if out { 3 } else { 0 },
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
    let limited = |c: &&Candidate| c.bar.is_none() && c.wait != Wait::Short && c.ready_at > now;
    list.iter().filter(limited).map(|c| c.ready_at).min()
}
