//! Prices that no catalog of ours may hold: stricter than core, which also has to live with what operators write.

use router_core::catalog::Entry;
use router_core::money::PerMillion;
use router_core::price::{Rates, ServiceTier};

const ZERO: PerMillion = PerMillion::from_micro(0);
/// Long-context prices above this multiple of the base are worth a look.
const STEEP: u64 = 3;

/// Everything that makes no sense in an entry.
pub(super) fn reasons(entry: &Entry) -> Vec<String> {
    let base = entry.price_usd_per_million.unwrap_or_default();
    if base.input.is_none() || base.output.is_none() {
        return vec!["has no price for input and output".into()];
    }
    let mut reasons = one_list(&base, "");
    for long in &entry.long_context {
        let place = format!("above {} tokens: ", long.above_input_tokens);
        let rates = long.rates.or(&base);
        reasons.extend(one_list(&rates, &place));
        reasons.extend((rates.input < base.input).then(|| format!("{place}cheaper than below")));
    }
    for (tier, rates) in &entry.service_tiers {
        let place = format!("tier {tier:?}: ").to_lowercase();
        let rates = rates.or(&base);
        reasons.extend(one_list(&rates, &place));
        let wrong = match tier {
            ServiceTier::Priority => rates.input < base.input,
            ServiceTier::Flex | ServiceTier::Batch => rates.input > base.input,
            ServiceTier::Standard => true,
        };
        reasons.extend(wrong.then(|| format!("{place}on the wrong side of the standard price")));
    }
    reasons
}

/// Contradictions inside one list of rates.
fn one_list(rates: &Rates, place: &str) -> Vec<String> {
    let dearer = |part: Option<PerMillion>, whole: Option<PerMillion>| part.is_some() && part > whole;
    let audio = rates.audio_input.max(rates.input);
    [
        (dearer(rates.input, rates.output), "output is cheaper than input"),
        (dearer(rates.cached_input, rates.input), "cached input is dearer than input"),
        (dearer(rates.cached_audio_input, audio), "cached audio is dearer than audio"),
        (
            rates.cache_write.is_some_and(|write| Some(write) < rates.input),
            "writing to the cache is cheaper than plain input",
        ),
        (
            rates.cache_write_1h.is_some() && rates.cache_write_1h < rates.cache_write,
            "caching for an hour is cheaper than for five minutes",
        ),
    ]
    .into_iter()
    .filter(|(wrong, _)| *wrong)
    .map(|(_, text)| format!("{place}{text}"))
    .collect()
}

/// A price of zero that nobody vouches for.
pub(super) fn costs_nothing(entry: &Entry, vouched: bool) -> Option<String> {
    let base = entry.price_usd_per_million?;
    let zero = base.input == Some(ZERO) || base.output == Some(ZERO);
    (zero && !vouched).then(|| "costs nothing, and the overlay does not say that this is so".into())
}

/// What is odd, yet possible.
pub(super) fn doubts(entry: &Entry) -> Vec<String> {
    let base = entry.price_usd_per_million.and_then(|p| p.input).unwrap_or_default();
    let steep = entry
        .long_context
        .iter()
        .filter(|long| long.rates.input.unwrap_or_default().micro() > base.micro().saturating_mul(STEEP));
    steep
        .map(|long| {
            format!(
                "input costs {} above {} tokens and {base} below",
                long.rates.input.unwrap_or_default(),
                long.above_input_tokens
            )
        })
        .collect()
}
