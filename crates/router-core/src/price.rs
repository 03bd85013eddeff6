//! Price lists: every class a provider bills, long-context and service tiers, and the cost of a usage under them.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::chat::Usage;
use crate::money::{PerMillion, Usd};

/// Rates in USD per million tokens. A class that is absent is billed as the class it is a part of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rates {
    /// Input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<PerMillion>,
    /// Input read from a prompt cache; absent: as input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached_input: Option<PerMillion>,
    /// Input written to a prompt cache; absent: as input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<PerMillion>,
    /// Input written to a prompt cache for an hour; absent: as `cache_write`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<PerMillion>,
    /// Audio input; absent: as input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio_input: Option<PerMillion>,
    /// Audio input read from a prompt cache; absent: as `cached_input`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cached_audio_input: Option<PerMillion>,
    /// Image input; absent: as input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_input: Option<PerMillion>,
    /// Output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<PerMillion>,
    /// Reasoning output; absent: as output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_output: Option<PerMillion>,
    /// Audio output; absent: as output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio_output: Option<PerMillion>,
}

impl Rates {
    /// These rates, with `base` filling what is absent.
    #[must_use]
    pub fn or(self, base: &Self) -> Self {
        Self {
            input: self.input.or(base.input),
            cached_input: self.cached_input.or(base.cached_input),
            cache_write: self.cache_write.or(base.cache_write),
            cache_write_1h: self.cache_write_1h.or(base.cache_write_1h),
            audio_input: self.audio_input.or(base.audio_input),
            cached_audio_input: self.cached_audio_input.or(base.cached_audio_input),
            image_input: self.image_input.or(base.image_input),
            output: self.output.or(base.output),
            reasoning_output: self.reasoning_output.or(base.reasoning_output),
            audio_output: self.audio_output.or(base.audio_output),
        }
    }
}

/// Rates that apply to the whole request once its input is longer than a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("additionalProperties" = false))]
pub struct LongContext {
    /// Applies when `input_tokens` is greater than this.
    pub above_input_tokens: u64,
    /// Rates that differ from the base.
    #[serde(flatten)]
    pub rates: Rates,
}

/// The provider's processing tier.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ServiceTier {
    /// What one gets without asking.
    #[default]
    Standard,
    /// Faster and dearer.
    Priority,
    /// Slower and cheaper.
    Flex,
    /// Within a day, cheaper.
    Batch,
}

impl ServiceTier {
    /// The tier a request is sure to be processed on, or on the standard one instead; `None`: the provider chooses, which
    /// is what `auto` means, what OpenAI documents of a request that names none (its project's setting decides then), and
    /// what nobody knows of other names.
    pub fn asked(name: &str) -> Option<Self> {
        match name {
            "default" | "standard" | "standard_only" => Some(Self::Standard),
            other => Some(Self::named(other)).filter(|tier| *tier != Self::Standard),
        }
    }

    /// The tier a request or an answer names; unknown names are the standard tier.
    pub fn named(name: &str) -> Self {
        match name {
            "priority" => Self::Priority,
            "flex" => Self::Flex,
            "batch" => Self::Batch,
            _ => Self::Standard,
        }
    }
}

/// A deployment's price list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceList {
    /// Base rates.
    pub base: Rates,
    /// Long-context rates, ascending by bound.
    pub long_context: Vec<LongContext>,
    /// Service-tier rates; a class absent there is billed at the base rate.
    pub service_tiers: Vec<(ServiceTier, Rates)>,
    /// Fee per call.
    pub per_request: Usd,
    /// Negotiated factor, on every rate and on the fee, in parts per million: 1_000_000 = list price.
    pub factor_ppm: u32,
    /// Identifies this list in the ledger: the first 16 hex digits of the SHA-256 of its canonical JSON.
    pub version: Arc<str>,
}

impl PriceList {
    /// Whether input and output have a rate: without both nothing can be priced.
    pub fn is_complete(&self) -> bool {
        self.base.input.is_some() && self.base.output.is_some()
    }

    /// The rates in force for so many input tokens on a service tier.
    ///
    /// A long-context list published beside a service tier applies to the standard tier; on another tier the tier's own
    /// rates hold, as the providers' price pages list them.
    pub fn rates(&self, input_tokens: u64, tier: ServiceTier) -> Rates {
        if let Some((_, rates)) =
            self.service_tiers.iter().find(|(t, _)| *t == tier && tier != ServiceTier::Standard)
        {
            return rates.or(&self.base);
        }
        let long = self.long_context.iter().rev().find(|l| input_tokens > l.above_input_tokens);
        long.map_or(self.base, |l| l.rates.or(&self.base))
    }

    /// The fee per call with the negotiated factor applied, rounded up.
    pub fn factored_fee(&self) -> Usd {
        let nano = u128::from(self.per_request.nano().max(0).unsigned_abs()) * u128::from(self.factor_ppm);
        Usd::from_nano(i64::try_from(nano.div_ceil(1_000_000)).unwrap_or(i64::MAX))
    }

    /// A rate with the negotiated factor applied, rounded up: what `max_price` is compared with.
    pub fn factored(&self, rate: PerMillion) -> PerMillion {
        let micro = (u128::from(rate.micro()) * u128::from(self.factor_ppm)).div_ceil(1_000_000);
        PerMillion::from_micro(u64::try_from(micro).unwrap_or(u64::MAX))
    }

    /// What this usage costs: each class at its own rate, summed exactly, rounded once to a nano-USD, half to even.
    ///
    /// Classes that overlap or exceed their total (a provider's contradiction) are clamped to it, in the order of
    /// [`Usage`]'s fields, so that no token is billed twice.
    pub fn cost(&self, usage: &Usage, tier: ServiceTier) -> Usd {
        let rates = self.rates(usage.input_tokens, tier);
        let micro = |rate: Option<PerMillion>| u128::from(rate.unwrap_or_default().micro());
        let (input, output) = (rates.input, rates.output);
        let cached = rates.cached_input.or(input);
        let write = rates.cache_write.or(input);

        // Cached audio is inside both `cached_input_tokens` and `audio_input_tokens`.
        let cached_audio =
            usage.cached_audio_input_tokens.min(usage.cached_input_tokens).min(usage.audio_input_tokens);
        let mut left = usage.input_tokens;
        let mut take = |tokens: u64| {
            let taken = tokens.min(left);
            left -= taken;
            u128::from(taken)
        };
        let mut sum = take(cached_audio) * micro(rates.cached_audio_input.or(cached));
        sum += take(usage.cached_input_tokens - cached_audio) * micro(cached);
        sum += take(usage.cache_write_tokens) * micro(write);
        sum += take(usage.cache_write_1h_tokens) * micro(rates.cache_write_1h.or(write));
        sum += take(usage.audio_input_tokens - cached_audio) * micro(rates.audio_input.or(input));
        sum += take(usage.image_input_tokens) * micro(rates.image_input.or(input));
        sum += u128::from(left) * micro(input);

        let reasoning = usage.reasoning_tokens.min(usage.output_tokens);
        let audio = usage.audio_output_tokens.min(usage.output_tokens - reasoning);
        let text = usage.output_tokens - reasoning - audio;
        sum += u128::from(reasoning) * micro(rates.reasoning_output.or(output));
        sum += u128::from(audio) * micro(rates.audio_output.or(output));
        sum += u128::from(text) * micro(output);

        // tokens x micro-USD/million = 10^-12 USD; the factor adds 10^-6. One nano-USD is 10^9 of those units.
        let fee = u128::from(self.per_request.nano().max(0).unsigned_abs()) * 1_000;
        let all = sum.saturating_add(fee).saturating_mul(u128::from(self.factor_ppm));
        Usd::from_nano(i64::try_from(half_even(all, 1_000_000_000)).unwrap_or(i64::MAX))
    }
}

/// `n / d`, rounded to nearest, ties to even.
fn half_even(n: u128, d: u128) -> u128 {
    let (quotient, twice) = (n / d, (n % d) * 2);
    let up = twice > d || (twice == d && quotient % 2 == 1);
    quotient + u128::from(up)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list() -> PriceList {
        let rate = |text: &str| Some(text.parse().unwrap());
        PriceList {
            base: Rates {
                input: rate("3"),
                cached_input: rate("0.3"),
                cache_write: rate("3.75"),
                cache_write_1h: rate("6"),
                output: rate("15"),
                ..Rates::default()
            },
            long_context: vec![LongContext {
                above_input_tokens: 200_000,
                rates: Rates { input: rate("6"), output: rate("22.5"), ..Rates::default() },
            }],
            service_tiers: vec![(
                ServiceTier::Batch,
                Rates { input: rate("1.5"), output: rate("7.5"), ..Rates::default() },
            )],
            per_request: Usd::ZERO,
            factor_ppm: 1_000_000,
            version: "test".into(),
        }
    }

    #[test]
    fn what_a_request_does_not_say_the_provider_chooses() {
        let standard = Some(ServiceTier::Standard);
        let table =
            [("default", standard), ("flex", Some(ServiceTier::Flex)), ("auto", None), ("scale", None)];
        for (name, tier) in table {
            assert_eq!(ServiceTier::asked(name), tier, "{name}");
        }
    }

    #[test]
    fn each_class_is_billed_at_its_own_rate() {
        let usage = Usage {
            input_tokens: 1_000,
            cached_input_tokens: 500,
            cache_write_tokens: 200,
            cache_write_1h_tokens: 100,
            output_tokens: 10,
            reasoning_tokens: 4,
            ..Usage::default()
        };
        // 500 x .3 + 200 x 3.75 + 100 x 6 + 200 x 3 + 10 x 15 = 2250 micro-USD
        assert_eq!(list().cost(&usage, ServiceTier::Standard).to_string(), "0.00225");
    }

    #[test]
    fn long_context_prices_the_whole_request_only_above_the_bound() {
        let at = Usage { input_tokens: 200_000, output_tokens: 1_000, ..Usage::default() };
        let above = Usage { input_tokens: 200_001, ..at };
        assert_eq!(list().cost(&at, ServiceTier::Standard).to_string(), "0.615");
        assert_eq!(list().cost(&above, ServiceTier::Standard).to_string(), "1.222506");
        assert_eq!(list().cost(&at, ServiceTier::Batch).to_string(), "0.3075");
    }

    #[test]
    fn rounding_is_half_to_even_once_at_the_end() {
        assert_eq!([half_even(5, 10), half_even(15, 10), half_even(25, 10), half_even(26, 10)], [0, 2, 2, 3]);
        let mut cheap = list();
        cheap.base = Rates {
            input: Some(PerMillion::from_micro(500)),
            output: Some(PerMillion::from_micro(500)),
            ..Rates::default()
        };
        let usage = Usage { input_tokens: 1, output_tokens: 2, ..Usage::default() };
        assert_eq!(
            cheap.cost(&usage, ServiceTier::Standard).nano(),
            2,
            "1.5 nano, not 0.5 + 1 rounded apart"
        );
    }

    #[test]
    fn a_factor_and_a_fee_count() {
        let mut negotiated = list();
        negotiated.factor_ppm = 880_000;
        negotiated.per_request = "0.01".parse().unwrap();
        let usage = Usage { input_tokens: 1_000_000, ..Usage::default() };
        assert_eq!(negotiated.cost(&usage, ServiceTier::Batch).to_string(), "1.3288");
        assert_eq!(negotiated.factored_fee().to_string(), "0.0088");
    }

    /// A list in which every class has a price of its own, so many whole USD, and the same with the factor worked into
    /// each of them by hand.
    fn with_factor(usd: &[u64], factor_ppm: u32) -> [PriceList; 2] {
        let rate = |at: usize, per_usd: u64| Some(PerMillion::from_micro(usd[at % usd.len()] * per_usd));
        let rates = |from: usize, per_usd: u64| Rates {
            input: rate(from, per_usd),
            cached_input: rate(from + 1, per_usd),
            cache_write: rate(from + 2, per_usd),
            cache_write_1h: rate(from + 3, per_usd),
            audio_input: rate(from + 4, per_usd),
            cached_audio_input: rate(from + 5, per_usd),
            image_input: rate(from + 6, per_usd),
            output: rate(from + 7, per_usd),
            reasoning_output: rate(from + 8, per_usd),
            audio_output: rate(from + 9, per_usd),
        };
        let list = |per_usd: u64, factor_ppm: u32| PriceList {
            base: rates(0, per_usd),
            long_context: vec![LongContext { above_input_tokens: 500, rates: rates(3, per_usd) }],
            service_tiers: vec![(ServiceTier::Flex, rates(5, per_usd))],
            per_request: Usd::from_nano((usd[0] * per_usd).try_into().unwrap()),
            factor_ppm,
            version: "test".into(),
        };
        [list(1_000_000, factor_ppm), list(u64::from(factor_ppm), 1_000_000)]
    }

    proptest! {
        #[test]
        fn a_factor_is_on_every_class_and_on_the_fee_exactly(
            usd in prop::collection::vec(0_u64..50, 11), factor_ppm in 0_u32..3_000_000, tokens in prop::collection::vec(0_u64..300, 9),
            flex: bool, output in 0_u64..900,
        ) {
            let usage = Usage {
                input_tokens: tokens.iter().take(6).sum(), cached_input_tokens: tokens[0] + tokens[1], cache_write_tokens: tokens[2],
                cache_write_1h_tokens: tokens[3], audio_input_tokens: tokens[4] + tokens[1], cached_audio_input_tokens: tokens[1],
                image_input_tokens: tokens[5], output_tokens: output + tokens[6] + tokens[7], reasoning_tokens: tokens[6],
                audio_output_tokens: tokens[7],
            };
            let tier = if flex { ServiceTier::Flex } else { ServiceTier::Standard };
            let [factored, by_hand] = with_factor(&usd, factor_ppm);
            prop_assert_eq!(factored.cost(&usage, tier), by_hand.cost(&usage, tier));
            // What is decided by and what is held are made of the same.
            let words = format!("tokens={} expect={}", usage.input_tokens, usage.output_tokens);
            let input = crate::select::testing::input(&words);
            let [one, other] = [factored, by_hand].map(|price| {
                let mut deployment = crate::select::testing::deployment("a/x");
                deployment.price = Some(price);
                let ceiling = crate::cost::ceiling(&deployment, usage.input_tokens, usage.output_tokens, 1, tier);
                assert!(ceiling >= deployment.price.as_ref().unwrap().cost(&usage, tier), "a bound");
                (ceiling, crate::cost::expected(&deployment, &input))
            });
            prop_assert_eq!(one, other);
        }

        #[test]
        fn no_contradiction_bills_more_than_every_token_at_the_dearest_rate(
            input in 0_u64..1_000_000, cached in any::<u64>(), write in any::<u64>(), write_1h in any::<u64>(),
            output in 0_u64..1_000_000, reasoning in any::<u64>(), audio in any::<u64>(),
        ) {
            let usage = Usage { input_tokens: input, cached_input_tokens: cached, cache_write_tokens: write,
                cache_write_1h_tokens: write_1h, output_tokens: output, reasoning_tokens: reasoning,
                audio_output_tokens: audio, audio_input_tokens: cached, ..Usage::default() };
            let mut flat = list();
            flat.long_context.clear();
            let bound = Usd::from_nano((input * 6_000 + output * 15_000).try_into().unwrap());
            prop_assert!(flat.cost(&usage, ServiceTier::Standard) <= bound);
        }

        #[test]
        fn more_tokens_never_cost_less(input in 0_u64..1_000_000, more in 0_u64..1_000_000) {
            let of = |n| list().cost(&Usage { input_tokens: n, ..Usage::default() }, ServiceTier::Standard);
            prop_assert!(of(input) <= of(input + more));
        }
    }
}
