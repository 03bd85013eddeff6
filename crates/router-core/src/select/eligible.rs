//! Refused, deferred, or neither: the checks on one candidate, in the order of DESIGN D3, the first reason counting.

use std::sync::Arc;

use super::decision::{Detail, Reason, ScoreParts, Verdict, VerdictKind};
use super::fence::Fences;
use super::input::{DecisionInput, DeploymentState, DeploymentView};
use super::scope::{Group, Scope};
use super::score;
use crate::capability::Capabilities;
use crate::chat::MaxPrice;
use crate::compiled::{Compiled, Deployment, DeploymentIdx};
use crate::cost;
use crate::money::Usd;
use crate::price::{PriceList, ServiceTier};

/// By how much an estimate may be over a window before the deployment is refused, in percent: the estimate's own error
/// (see `tokens`). Inside that margin the provider is the judge, and `too_long` goes on to a longer window.
const WINDOW_MARGIN_PERCENT: u64 = 15;

/// A reason, and what exactly.
pub(super) type Against = (Reason, Option<Detail>);

/// What all candidates of one request are judged by.
pub(super) struct Judge<'a> {
    pub(super) compiled: &'a Compiled,
    pub(super) input: &'a DecisionInput,
    pub(super) fences: Fences<'a>,
    needs: Capabilities,
    /// Input tokens, o200k-equivalent.
    estimate: u64,
    max_cost: Option<Usd>,
    /// There are real deployments in the model's own set.
    real: bool,
}

impl<'a> Judge<'a> {
    pub(super) fn new(
        compiled: &'a Compiled,
        input: &'a DecisionInput,
        scope: &Scope<'a>,
        real: bool,
    ) -> Self {
        Self {
            compiled,
            input,
            fences: Fences::new(compiled, input, scope),
            needs: input.attributes.capabilities.unwrap_or_default() | input.options.required_capabilities,
            estimate: input.stats.estimate(),
            max_cost: scope.max_cost,
            real,
        }
    }

    /// The verdict on one candidate, its place in the order and its propensity still open.
    pub(super) fn verdict(&self, idx: DeploymentIdx, group: &Group<'_>) -> Verdict {
        let deployment = self.compiled.deployment(idx);
        let view = self.view(idx);
        let input_tokens = cost::scaled(self.estimate, deployment, self.input);
        let cost = cost::expected_for(deployment, self.input, input_tokens);
        let quality = deployment.quality.filter(|quality| !quality.is_nan());
        let mut verdict = Verdict {
            deployment: idx,
            kind: VerdictKind::Ranked,
            reason: None,
            detail: None,
            score: None,
            cost,
            quality,
            propensity: 0.0,
            input_tokens,
        };
        let refused = self
            .not_allowed(idx, deployment, group)
            .or_else(|| self.disabled(idx, &view))
            .or_else(|| self.cannot(deployment, input_tokens))
            .or_else(|| self.too_dear(deployment, input_tokens, cost));
        let against = match refused {
            Some(against) => Some((VerdictKind::Refused, against)),
            None => deferred(&view, group.latency_budget_ms).map(|against| (VerdictKind::Deferred, against)),
        };
        if let Some((kind, (reason, detail))) = against {
            (verdict.kind, verdict.reason, verdict.detail) = (kind, Some(reason), detail);
        }
        if verdict.kind != VerdictKind::Refused {
            verdict.score = Some(self.score(cost, &view));
        }
        verdict
    }

    /// Whether no limit on who may answer speaks against it, as a member of this group.
    pub(super) fn allows(&self, idx: DeploymentIdx, group: &Group<'_>) -> bool {
        self.not_allowed(idx, self.compiled.deployment(idx), group).is_none()
    }

    /// What the board says; a deployment the board does not know yet is as good as new.
    pub(super) fn view(&self, idx: DeploymentIdx) -> DeploymentView {
        self.input.board.get(idx.get()).copied().unwrap_or_default()
    }

    fn score(&self, cost: Option<Usd>, view: &DeploymentView) -> ScoreParts {
        score::parts(cost, view.mean_total_ms, self.compiled.selection.usd_per_second)
    }

    fn not_allowed(&self, idx: DeploymentIdx, deployment: &Deployment, group: &Group<'_>) -> Option<Against> {
        if deployment.simulated && self.real {
            return Some((Reason::Simulated, None));
        }
        self.fences.against(idx, deployment, group)
    }

    fn disabled(&self, idx: DeploymentIdx, view: &DeploymentView) -> Option<Against> {
        if view.state != DeploymentState::Disabled {
            return None;
        }
        let told = self.input.disabled.iter().find(|disabled| disabled.deployment == idx);
        let (reason, until) = told.map_or_else(Default::default, |d| (Arc::clone(&d.reason), d.until));
        Some((Reason::Disabled, Some(Detail::Disabled { reason, until })))
    }

    fn cannot(&self, deployment: &Deployment, input_tokens: u64) -> Option<Against> {
        let missing = self.needs - deployment.capabilities;
        if !missing.is_empty() {
            return Some((Reason::CapabilityMissing, Some(Detail::Capabilities(missing))));
        }
        let provider = self.compiled.providers.get(usize::from(deployment.provider_idx));
        if let Some(dialect) = provider.map(|p| p.dialect).filter(|d| self.input.barred_dialects.contains(d))
        {
            return Some((Reason::DialectCannotExpress, Some(Detail::Dialect(dialect))));
        }
        let limit = deployment.max_input_tokens?;
        let margin = (u128::from(limit) * u128::from(WINDOW_MARGIN_PERCENT)).div_ceil(100);
        (u128::from(input_tokens) > u128::from(limit) + margin)
            .then_some((Reason::ContextTooLong, Some(Detail::Tokens { limit, value: input_tokens })))
    }

    fn too_dear(&self, deployment: &Deployment, input_tokens: u64, cost: Option<Usd>) -> Option<Against> {
        match (cost, self.max_cost) {
            (Some(value), Some(limit)) if value > limit => {
                return Some((Reason::OverCostCeiling, Some(Detail::Cost { limit, value })));
            }
            (None, limit) if limit.is_some() || self.input.budget_left.is_some() => {
                return Some((Reason::Unpriced, None));
            }
            _ => {}
        }
        let most = self.input.options.provider.max_price?;
        let Some(price) = deployment.price.as_ref().filter(|price| price.is_complete()) else {
            return Some((Reason::Unpriced, None));
        };
        over_price(price, input_tokens, most).map(|detail| (Reason::OverCostCeiling, Some(detail)))
    }
}

/// What of a price list is dearer than allowed: of the rates in force for so many input tokens, the negotiated factor
/// applied.
fn over_price(price: &PriceList, input_tokens: u64, most: MaxPrice) -> Option<Detail> {
    let rates = price.rates(input_tokens, ServiceTier::Standard);
    let of = [("input", rates.input, most.prompt), ("output", rates.output, most.completion)];
    for (of, rate, limit) in of {
        if let (Some(limit), Some(value)) = (limit, rate.map(|rate| price.factored(rate)))
            && value > limit
        {
            return Some(Detail::Price { of, limit, value });
        }
    }
    let (limit, value) = (most.request?, price.factored_fee());
    (value > limit).then_some(Detail::Fee { limit, value })
}

/// Why it is called only when no ranked one is left, if so. Half open with the ticket free, and inside the ramp's share,
/// it is ranked.
fn deferred(view: &DeploymentView, latency_budget_ms: Option<u64>) -> Option<Against> {
    use DeploymentState as S;
    let back = view.returns_in_ms;
    match view.state {
        S::Open | S::HalfOpenBusy | S::RampHeld => {
            return Some((Reason::BreakerOpen, Some(Detail::State(view.state, back))));
        }
        S::Suspect => return Some((Reason::Suspect, None)),
        // Refused before.
        S::Disabled | S::Closed | S::HalfOpen | S::Ramp => {}
    }
    if view.rate_spent {
        return Some((Reason::RateSpent, Some(Detail::Back(back))));
    }
    if view.concurrency_spent {
        return Some((Reason::ConcurrencySpent, Some(Detail::Back(back))));
    }
    let value = u64::from(view.p95_total_ms);
    let limit = latency_budget_ms.filter(|limit| value > *limit)?;
    Some((Reason::TooSlow, Some(Detail::Millis { limit, value })))
}

/// Milliseconds after which a deferred deployment is expected to be worth calling, where the board does not know: a place
/// comes free when one of the attempts in flight ends; a suspect one is known to be well or sick by its first-byte limit;
/// a slow one, or one outside its ramp's share, can be called at once.
pub(super) fn returns_in_ms(reason: Option<Reason>, view: &DeploymentView, deployment: &Deployment) -> u64 {
    let known = u64::from(view.returns_in_ms);
    let guess = match reason {
        Some(Reason::ConcurrencySpent) => u64::from(view.mean_total_ms) / u64::from(view.in_flight.max(1)),
        Some(Reason::Suspect) => {
            u64::try_from(deployment.time_limits.first_byte.as_millis()).unwrap_or(u64::MAX)
        }
        Some(Reason::BreakerOpen) if view.state == DeploymentState::HalfOpenBusy => {
            u64::from(view.mean_total_ms)
        }
        _ => 0,
    };
    if known > 0 { known } else { guess }
}
