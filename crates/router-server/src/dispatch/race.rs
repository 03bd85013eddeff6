//! Hedging: two attempts that race, what the loser cost, and what races may cost in all.

use std::time::Duration;

use router_core::compiled::DeploymentIdx;
use router_core::failover::{AttemptNo, NotAdmitted};
use router_core::money::Usd;
use router_core::select::DeploymentView;

use super::run::Run;

/// A second attempt beside a late first one.
pub(super) struct Race {
    /// The second.
    hedge: AttemptNo,
    /// What the loser was expected to cost, whichever that was.
    expected: Usd,
    /// What the request has cost more because of it.
    extra: Usd,
    /// How it ended, once it has.
    outcome: Option<&'static str>,
}

/// When a first attempt is later than 19 of 20 of its deployment's: to the first byte of a stream, to the end of a JSON
/// answer. `None`: too few samples.
pub(super) fn hedge_after(view: &DeploymentView, stream: bool) -> Option<Duration> {
    let millis = if stream { u64::from(view.p95_first_byte_cs) * 10 } else { view.p95_total_ms.into() };
    (millis > 0).then(|| Duration::from_millis(millis))
}

impl Run<'_> {
    /// Begins one, if it may cost what it is expected to. Why not, otherwise: what has no price is never raced.
    pub(super) fn race(&mut self, hedge: AttemptNo, deployment: DeploymentIdx) -> Option<NotAdmitted> {
        let now = self.worker.shared.clock.now();
        // Whichever loses is paid for nothing.
        let first = self.live.as_ref().and_then(|live| self.expected_cost(live.deployment));
        match self.expected_cost(deployment).zip(first).map(|(second, first)| second.max(first)) {
            Some(expected) if self.worker.shared.state.take_hedge(now, expected) => {
                self.race = Some(Race { hedge, expected, extra: Usd::ZERO, outcome: None });
                None
            }
            _ => Some(NotAdmitted::HedgeCredit),
        }
    }

    /// It does not take place after all.
    pub(super) fn no_race(&mut self) {
        if let Some(race) = self.race.take() {
            let now = self.worker.shared.clock.now();
            self.worker.shared.state.settle_hedge(now, race.expected, Usd::ZERO);
        }
    }

    /// An attempt ended without an answer, by itself or stopped, and cost so much. When it was one of two, that is what the
    /// race cost: the second's cost, unless it was needed, for the first had failed, or the first's when the second won.
    pub(super) fn lost(&mut self, attempt: AttemptNo, cost: Usd, stopped: bool) {
        let Some(race) = self.race.as_mut().filter(|race| race.outcome.is_none()) else { return };
        let beaten = self.committed.is_some_and(|winner| winner != attempt);
        let (outcome, extra) = match (attempt == race.hedge, beaten, stopped) {
            (true, true, _) => ("lost", cost),
            (true, false, true) => ("cancelled", cost),
            (true, false, false) => ("failed", cost),
            (false, true, _) => ("won", cost),
            (false, false, false) => ("needed", Usd::ZERO),
            // Both are stopped: the second says so.
            (false, false, true) => return,
        };
        (race.outcome, race.extra) = (Some(outcome), extra);
    }

    /// Books what the race cost, and what the next ones may, once everything else of the request is booked.
    pub(super) fn settle_race(&mut self) {
        if self.engine.compiled.reliability.hedging.is_none() {
            return;
        }
        let shared = &self.worker.shared;
        let now = shared.clock.now();
        let mut extra = Usd::ZERO;
        if let Some(race) = self.race.take() {
            shared.metrics.hedge_done(race.outcome.unwrap_or("cancelled"));
            shared.state.settle_hedge(now, race.expected, race.extra);
            extra = race.extra;
        }
        shared.state.earn_hedge(now, self.books.cost() - extra);
    }

    /// What the decision expects an attempt to cost; `None`: it has no price.
    pub(super) fn expected_cost(&self, deployment: DeploymentIdx) -> Option<Usd> {
        self.decision.as_ref()?.verdict(deployment)?.cost
    }
}
