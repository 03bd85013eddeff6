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
/// `tier` is the service tier asked for. Others are never charged, except the standard one, to which a provider may fall
/// back.
pub fn ceiling(
    deployment: &Deployment,
    input_bound_tokens: u64,
    max_output_tokens: u64,
    n: u32,
    tier: ServiceTier,
) -> Usd {
    let Some(price) = &deployment.price else { return Usd::ZERO };
    let output = u128::from(max_output_tokens) * u128::from(n.max(1));
    let picousd = rates_in_reach(price, input_bound_tokens, tier)
        .map(|rates| {
            let input = u128::from(input_bound_tokens).saturating_mul(dearest_input(&rates));
            input.saturating_add(output.saturating_mul(dearest_output(&rates)))
        })
        .max()
        .unwrap_or(0);
    // 10^-12 USD times a factor in millionths is 10^-18 USD; a nano-USD is 10^9 of those.
    let fee = u128::from(price.per_request.nano().max(0).unsigned_abs()) * 1_000;
    let all = picousd.saturating_add(fee).saturating_mul(u128::from(price.factor_ppm));
    Usd::from_nano(i64::try_from(all.div_ceil(1_000_000_000)).unwrap_or(i64::MAX))
}

/// The rates of every list a call of at most so many input tokens can be billed by.
fn rates_in_reach(
    price: &PriceList,
    input_tokens: u64,
    tier: ServiceTier,
) -> impl Iterator<Item = Rates> + '_ {
    let lengths = price.long_context.iter().map(|long| long.above_input_tokens.saturating_add(1));
    let standard = std::iter::once(0)
        .chain(lengths.filter(move |length| *length <= input_tokens))
        .map(|length| price.rates(length, ServiceTier::Standard));
    standard.chain(std::iter::once(price.rates(input_tokens, tier)))
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
