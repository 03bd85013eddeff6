//! Going on with a streamed answer that broke off: what it left behind, who may go on with it, what came of it.

use std::sync::Arc;

use router_core::chat::Usage;
use router_core::compiled::DeploymentIdx;
use router_core::failover::{AttemptNo, Finish, NotAdmitted, Place};
use router_providers::exchange::{self, Cut, NoRescue};

use super::attempt::Live;
use super::run::{End, Run};
use crate::respond;

/// A streamed answer that broke off after its client had seen some of it.
pub(super) enum Broken {
    /// It can be gone on with from here.
    Open {
        /// What the client has seen.
        cut: Arc<Cut>,
        /// How often it broke off.
        times: u32,
    },
    /// It cannot.
    For(NoRescue),
}

impl Run<'_> {
    /// A committed attempt has failed, and this is what was booked for it. Whether another can go on with its answer.
    pub(super) fn broke_off(&mut self, live: &mut Live, usage: &Usage) -> bool {
        if !self.engine.compiled.reliability.rescue {
            return false;
        }
        let Some(stream) = live.stream() else { return false };
        let broken = match stream.cut() {
            Ok(mut cut) => {
                cut.add_usage(usage);
                Broken::Open { cut: Arc::new(cut), times: self.rescues() + 1 }
            }
            Err(why) => Broken::For(why),
        };
        let can_go_on = matches!(broken, Broken::Open { .. });
        tracing::debug!(request = %self.asked.arrival.id, can_go_on, "a stream broke off");
        self.broken = Some(broken);
        can_go_on
    }

    /// How often the answer was to be gone on with.
    fn rescues(&self) -> u32 {
        match &self.broken {
            Some(Broken::Open { times, .. }) => *times,
            _ => 0,
        }
    }

    /// What became of a stream since its head, which is long gone: comments, in the words of headers, which every client
    /// passes over. Nothing, where all is as the head said.
    pub(super) fn told_at_the_end(&self, live: &Live) -> Vec<u8> {
        let mut told = Vec::new();
        if live.cut_short {
            told.extend_from_slice(b": x-router-cut: budget\n");
        }
        let times = self.rescues();
        if times > 0 {
            let id = respond::value(&self.engine.compiled.deployment(live.deployment).id);
            let attempts = self.books.attempts();
            told.extend_from_slice(
                format!(": x-router-rescued: {times}\n: x-router-attempts: {attempts}\n").as_bytes(),
            );
            told.extend_from_slice(&[b": x-router-deployment: ", id.as_bytes(), b"\n"].concat());
        }
        if !told.is_empty() {
            told.push(b'\n');
        }
        told
    }

    /// What the next attempt goes on from.
    pub(super) fn cut(&self) -> Option<Arc<Cut>> {
        match &self.broken {
            Some(Broken::Open { cut, .. }) => Some(Arc::clone(cut)),
            _ => None,
        }
    }

    /// Why an attempt must not be made at all, before anything is taken for it: it cannot go on with what was shown, it
    /// would bring the request over its cost ceiling, or the race over its own. A place that was booked was found good
    /// when it was, and nothing has changed since.
    pub(super) fn forbidden(
        &mut self,
        attempt: AttemptNo,
        deployment: DeploymentIdx,
        place: Place,
        hedge: bool,
    ) -> Option<NotAdmitted> {
        if place == Place::Booked {
            return None;
        }
        if let Some(cut) = self.cut() {
            // Whichever credential it will be: all speak the same format.
            let target = self.engine.target(deployment, 0);
            if !exchange::can_go_on(&cut, &target) {
                return Some(NotAdmitted::CannotGoOn);
            }
        }
        if let Some(limit) = self.decision.as_ref().and_then(|decision| decision.max_cost) {
            let under_way = [&self.live, &self.rival].into_iter().flatten();
            let under_way = under_way.filter_map(|live| self.expected_cost(live.deployment)).sum();
            let spent = self.books.cost() + under_way;
            if self.expected_cost(deployment).is_none_or(|next| spent + next > limit) {
                return Some(NotAdmitted::CostCeiling);
            }
        }
        if hedge { self.race(attempt, deployment) } else { None }
    }

    /// What came of rescue, for the metrics.
    pub(super) fn count(&self, end: &End) {
        let metrics = &self.worker.shared.metrics;
        let outcome = match (&self.broken, end) {
            (None, _) => None,
            (Some(Broken::For(_)), _) => Some("impossible"),
            (_, End::Finish(Finish::Answered(_))) => Some("completed"),
            (_, End::Finish(Finish::ClientGone)) => Some("cancelled"),
            _ => Some("failed"),
        };
        if let Some(outcome) = outcome {
            metrics.rescue_done(outcome);
            if outcome != "cancelled" {
                tracing::info!(
                    request = %self.asked.arrival.id, outcome, times = self.rescues(),
                    "an answer broke off after its client had seen some of it"
                );
            }
        }
    }
}
