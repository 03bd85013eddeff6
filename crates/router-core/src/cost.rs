//! The cost matrix: what a request is expected to cost on each deployment, and the most one attempt there can cost.

use crate::chat::Usage;
use crate::compiled::Deployment;
use crate::money::{PerMillion, Usd};
use crate::price::{PriceList, Rates, ServiceTier};
use crate::select::DecisionInput;
use crate::tokens::IMAGE_TOKENS;

/// Output tokens expected of one answer when nothing predicts them: the middle of the means measured on the public
/// outcome sets MMLU-Pro (132) and ZeroEval (167 and 375).
pub const DEFAULT_OUTPUT_TOKENS: u64 = 256;

/// Input tokens expected on this deployment: the estimate from the text statistics times its calibration, plus images.
pub fn input_tokens(deployment: &Deployment, input: &DecisionInput) -> u64 {
    scaled(input.stats.estimate(), deployment, input)
}

/// As [`input_tokens`], with the estimate already made: it is the same for every deployment.
pub(crate) fn scaled(estimate: u64, deployment: &Deployment, input: &DecisionInput) -> u64 {
    let tokens = u128::from(estimate) * u128::from(deployment.token_scale_ppm);
    let tokens = u64::try_from(tokens.div_ceil(1_000_000)).unwrap_or(u64::MAX);
    tokens.saturating_add(u64::from(input.images) * IMAGE_TOKENS)
}

/// Output tokens expected of one answer on this deployment: those predicted, or [`DEFAULT_OUTPUT_TOKENS`], but no more
/// than the client allows or the deployment can.
pub fn output_tokens(deployment: &Deployment, input: &DecisionInput) -> u64 {
    let predicted = input.attributes.expected_output_tokens.unwrap_or(DEFAULT_OUTPUT_TOKENS);
    predicted
        .min(input.attributes.max_tokens.unwrap_or(u64::MAX))
        .min(deployment.max_output_tokens.unwrap_or(u64::MAX))
}

/// What the request is expected to cost on this deployment, on the standard service tier and with nothing cached; `None`:
/// it has no price, or one without input or output.
pub fn expected(deployment: &Deployment, input: &DecisionInput) -> Option<Usd> {
    expected_for(deployment, input, input_tokens(deployment, input))
}

/// As [`expected`], for so many input tokens.
pub(crate) fn expected_for(deployment: &Deployment, input: &DecisionInput, input_tokens: u64) -> Option<Usd> {
    let price = deployment.price.as_ref().filter(|price| price.is_complete())?;
    let output_tokens = output_tokens(deployment, input).saturating_mul(u64::from(input.n.max(1)));
    Some(plain(price, input_tokens, output_tokens).unwrap_or_else(|| {
        let usage = Usage { input_tokens, output_tokens, ..Usage::default() };
        price.cost(&usage, ServiceTier::Standard)
    }))
}

/// What [`PriceList::cost`] says of text in and text out at plain list price, as far as 64 bits hold it; `None`: ask it.
/// `decide` asks for every candidate, and the 128-bit division would be half of what a candidate costs.
fn plain(price: &PriceList, input_tokens: u64, output_tokens: u64) -> Option<Usd> {
    if price.factor_ppm != 1_000_000 || !price.long_context.is_empty() {
        return None;
    }
    let input = input_tokens.checked_mul(price.base.input?.micro())?;
    let output = output_tokens.checked_mul(price.base.output?.micro())?;
    let picousd = input.checked_add(output)?;
    let fee = u64::try_from(price.per_request.nano()).unwrap_or(0);
    let (nano, rest) = ((picousd / 1_000).checked_add(fee)?, picousd % 1_000);
    let up = rest > 500 || (rest == 500 && nano % 2 == 1);
    Some(Usd::from_nano(i64::try_from(nano + u64::from(up)).ok()?))
}

/// The most one attempt can cost (DESIGN D8): every input token at the dearest input class and every output token at the
/// dearest output class of any rates that may apply up to `input_bound_tokens`, output for each of `n` answers, rounded
/// up, plus the fee per call. Zero when the deployment has no price: such a one is refused where money must be kept.
///
/// `tier` is the service tier asked for; `None`: the provider chooses (`auto`). Others are never charged, except the
/// standard one, to which a provider may fall back.
pub fn ceiling(
    deployment: &Deployment,
    input_bound_tokens: u64,
    max_output_tokens: u64,
    n: u32,
    tier: impl Into<Option<ServiceTier>>,
) -> Usd {
    Dearest::of(deployment, input_bound_tokens, tier.into())
        .ceiling(max_output_tokens.saturating_mul(u64::from(n.max(1))))
}

/// What an attempt can cost at most, as a function of its output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dearest {
    /// Input, in 10^-18 USD.
    input: u128,
    /// One output token, in 10^-18 USD.
    output: u128,
    fee: Usd,
}

/// One nano-USD in the unit of [`Dearest`].
const NANO: u128 = 1_000_000_000;

impl Dearest {
    /// Of a call with at most so many input tokens; `tier` as in [`ceiling`]. All zero for a deployment without a price.
    pub fn of(deployment: &Deployment, input_bound_tokens: u64, tier: Option<ServiceTier>) -> Self {
        let Some(price) = &deployment.price else { return Self::default() };
        let factor = u128::from(price.factor_ppm);
        let rate = |of: fn(&Rates) -> u128| {
            let dearest = rates_in_reach(price, input_bound_tokens, tier).map(|rates| of(&rates)).max();
            dearest.unwrap_or(0).saturating_mul(factor)
        };
        Self {
            input: rate(dearest_input).saturating_mul(u128::from(input_bound_tokens)),
            output: rate(dearest_output),
            fee: Usd::from_nano(price.per_request.nano().max(0)),
        }
    }

    /// With so many output tokens, over all answers; rounded up.
    pub fn ceiling(&self, output_tokens: u64) -> Usd {
        let sum = self.output.saturating_mul(u128::from(output_tokens)).saturating_add(self.input);
        Usd::from_nano(i64::try_from(sum.div_ceil(NANO)).unwrap_or(i64::MAX)) + self.fee
    }

    /// The most output tokens whose ceiling is within so much money; `None`: not even the input's is.
    pub fn affords(&self, money: Usd) -> Option<u64> {
        let nano = u128::try_from((money - self.fee).nano()).ok()?;
        let left = nano.saturating_mul(NANO).checked_sub(self.input)?;
        Some(u64::try_from(left.checked_div(self.output).unwrap_or(u128::MAX)).unwrap_or(u64::MAX))
    }
}

/// The rates of every list a call of at most so many input tokens can be billed by.
fn rates_in_reach(
    price: &PriceList,
    input_tokens: u64,
    tier: Option<ServiceTier>,
) -> impl Iterator<Item = Rates> + '_ {
    let lengths = price.long_context.iter().map(|long| long.above_input_tokens.saturating_add(1));
    let standard = std::iter::once(0)
        .chain(lengths.filter(move |length| *length <= input_tokens))
        .map(|length| price.rates(length, ServiceTier::Standard));
    let others = price.service_tiers.iter().map(|(other, _)| *other);
    let others = others.filter(move |other| tier.is_none_or(|tier| tier == *other));
    standard.chain(others.map(|tier| price.rates(0, tier)))
}

/// The dearest rate an input token can be billed at, in micro-USD per million.
fn dearest_input(rates: &Rates) -> u128 {
    dearest([
        rates.input,
        rates.cached_input,
        rates.cache_write,
        rates.cache_write_1h,
        rates.audio_input,
        rates.cached_audio_input,
        rates.image_input,
    ])
}

/// The dearest rate an output token can be billed at, in micro-USD per million.
fn dearest_output(rates: &Rates) -> u128 {
    dearest([rates.output, rates.reasoning_output, rates.audio_output])
}

fn dearest<const N: usize>(rates: [Option<PerMillion>; N]) -> u128 {
    rates.into_iter().flatten().map(|rate| u128::from(rate.micro())).max().unwrap_or(0)
}

#[cfg(test)]
mod tests;
