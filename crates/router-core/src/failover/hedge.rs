//! Hedging: a second attempt beside a first that is later than nearly all of its kind, and what that may cost.

use smallvec::smallvec;

use super::live::{Live, Stage};
use super::options::Candidate;
use super::window::WindowSum;
use super::{Action, Actions, AttemptNo, BoardView, Failover, NotAdmitted, Place};
use crate::health::is_out;
use crate::money::Usd;
use crate::time::Timestamp;

/// The window of an hour, in slices of six minutes: what was saved up in a quiet month does not pay for one bad day.
const SLICE_MICROS: u64 = 360_000_000;

/// Parts in one.
const MILLION: i128 = 1_000_000;

/// What hedging may still cost: a share of the money that requests cost without it. One per process.
///
/// At every grant: what hedges of the window cost, with what those under way are expected to, is at most that share of what
/// the answers of the window cost. An attempt that costs more than expected is paid for by the next ones.
#[derive(Clone, Debug)]
pub struct HedgeCredit {
    share_ppm: u32,
    /// In nano-USD x parts per million, so that nothing is rounded.
    window: WindowSum,
}

impl HedgeCredit {
    /// Nothing earned yet. `share_ppm`: of what is spent, in parts per million.
    pub const fn new(share_ppm: u32) -> Self {
        Self { share_ppm, window: WindowSum::new(SLICE_MICROS) }
    }

    /// Another share from now on.
    pub const fn reconfigure(&mut self, share_ppm: u32) {
        self.share_ppm = share_ppm;
    }

    /// An attempt that was no loser of a race cost so much.
    pub fn earn(&mut self, now: Timestamp, cost: Usd) {
        self.window.add(now, i128::from(cost.nano()) * i128::from(self.share_ppm));
    }

    /// Takes what a race is expected to cost, if there is as much: the dearer of the two, for either may lose.
    pub fn try_take(&mut self, now: Timestamp, expected: Usd) -> bool {
        let wanted = i128::from(expected.nano().max(0)) * MILLION;
        let enough = self.window.sum(now) >= wanted;
        if enough {
            self.window.add(now, -wanted);
        }
        enough
    }

    /// A race that was expected to cost so much turned out to cost `actual` more than the request would have without it:
    /// what its loser cost.
    pub fn settle(&mut self, now: Timestamp, expected: Usd, actual: Usd) {
        let difference = i128::from(expected.nano().max(0)) - i128::from(actual.nano().max(0));
        self.window.add(now, difference * MILLION);
    }
}

impl Failover {
    /// A second attempt with the next option from `from` on that may have one: ranked, in full health, with room. Never one
    /// that must be waited for.
    pub(super) fn hedge(&mut self, from: usize, now: Timestamp, view: BoardView<'_>) -> Actions {
        self.hedge_at = None;
        let fits = |at: usize, candidate: &Candidate| {
            let seen = view.get(candidate.deployment.get()).copied().unwrap_or_default();
            candidate.is_open()
                && candidate.ranked
                && !candidate.turned_away
                && candidate.failures == 0
                && candidate.ready_at <= now
                && self.live.iter().all(|live| live.option != at)
                && !(is_out(seen.state) || seen.rate_spent || seen.concurrency_spent)
        };
        let options = self.options.iter().enumerate().skip(from);
        let wake = Action::WakeAt(self.deadline);
        let next =
            options.filter(|(at, candidate)| fits(*at, candidate)).map(|(at, c)| (at, c.deployment)).next();
        let Some((option, deployment)) = next else { return smallvec![wake] };
        let attempt = AttemptNo(self.sent + 1);
        let stage = Stage::Admitting { draws: false, last_resort: false };
        self.live.push(Live { hedge: true, ..Live::new(attempt, option, stage) });
        let (draws, last_resort, place) = (false, false, Place::Now);
        smallvec![wake, Action::Admit { attempt, deployment, draws, last_resort, place, hedge: true }]
    }

    /// A hedge was not let in, and the first attempt is still under way: the next one is asked, unless it was money.
    pub(super) fn no_hedge(
        &mut self,
        option: usize,
        why: NotAdmitted,
        now: Timestamp,
        view: BoardView<'_>,
    ) -> Actions {
        match why {
            NotAdmitted::Budget | NotAdmitted::CostCeiling | NotAdmitted::HedgeCredit => Actions::new(),
            _ => self.hedge(option + 1, now, view),
        }
    }
}
