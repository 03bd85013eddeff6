//! Tests of the cost matrix: what is expected, and that no usage within the bounds costs more than the ceiling.

use proptest::prelude::*;

use super::*;
use crate::price::LongContext;
use crate::select::testing::{deployment, input};

/// A deployment priced by a JSON price map's usual members.
fn priced(rates: &str) -> Deployment {
    deployment(&format!("p/m {rates}"))
}

#[test]
fn what_is_expected_follows_tokens_calibration_and_limits() {
    for (is, asks, expected) in [
        ("in=3 out=15", "tokens=1000 expect=100", Some("0.0045")),
        ("in=3 out=15", "tokens=1000 expect=100 n=3", Some("0.0075")),
        ("in=3 out=15", "tokens=1000 expect=100 max_tokens=10", Some("0.00315")),
        ("in=3 out=15 max_out=20", "tokens=1000 expect=100", Some("0.0033")),
        ("in=3 out=15 scale=1.2", "tokens=1000 expect=100", Some("0.0051")),
        ("in=3 out=15", "tokens=1000", Some("0.00684")),
        ("in=3 out=15", "tokens=1000 expect=0 images=2", Some("0.009144")),
        ("in=0 out=0", "tokens=1000", Some("0")),
        ("in=3 out=-", "tokens=1000", None),
        ("unpriced", "tokens=1000", None),
    ] {
        let found = super::expected(&priced(is), &input(asks)).map(|cost| cost.to_string());
        assert_eq!(found.as_deref(), expected, "{is} | {asks}");
    }
}

#[test]
fn the_ceiling_takes_the_dearest_class_in_reach() {
    let mut d = priced("in=3 out=15");
    let price = d.price.as_mut().unwrap();
    let rate = |text: &str| Some(text.parse().unwrap());
    price.base.cache_write_1h = rate("6");
    price.base.reasoning_output = rate("20");
    price.long_context = vec![LongContext {
        above_input_tokens: 200_000,
        rates: Rates { input: rate("9"), ..Rates::default() },
    }];
    price.service_tiers = vec![(ServiceTier::Priority, Rates { input: rate("30"), ..Rates::default() })];
    price.per_request = "0.01".parse().unwrap();
    for (tokens, out, n, tier, expected) in [
        (1_000, 100, 1, ServiceTier::Standard, "0.018"),
        (1_000, 100, 2, ServiceTier::Standard, "0.02"),
        (200_000, 0, 1, ServiceTier::Standard, "1.21"),
        (200_001, 0, 1, ServiceTier::Standard, "1.810009"),
        (1_000, 100, 1, ServiceTier::Priority, "0.042"),
        (1_000, 100, 1, ServiceTier::Flex, "0.018"),
    ] {
        assert_eq!(ceiling(&d, tokens, out, n, tier).to_string(), expected, "{tokens} {out} {n} {tier:?}");
    }
    assert_eq!(ceiling(&priced("unpriced"), 9, 9, 9, ServiceTier::Standard), Usd::ZERO);
}

fn rates() -> impl Strategy<Value = Rates> {
    prop::array::uniform10(prop::option::of(0_u64..200_000_000)).prop_map(|r| {
        let rate = |at: usize| r[at].map(PerMillion::from_micro);
        Rates {
            input: rate(0),
            cached_input: rate(1),
            cache_write: rate(2),
            cache_write_1h: rate(3),
            audio_input: rate(4),
            cached_audio_input: rate(5),
            image_input: rate(6),
            output: rate(7),
            reasoning_output: rate(8),
            audio_output: rate(9),
        }
    })
}

fn tier() -> impl Strategy<Value = ServiceTier> {
    prop::sample::select(vec![
        ServiceTier::Standard,
        ServiceTier::Priority,
        ServiceTier::Flex,
        ServiceTier::Batch,
    ])
}

prop_compose! {
    fn price()(
        base in rates(),
        long in prop::collection::btree_map(0_u64..1_000_000, rates(), 0..4),
        tiers in prop::collection::vec((tier(), rates()), 0..3),
        fee in 0_i64..1_000_000_000,
        factor_ppm in 0_u32..3_000_000,
    ) -> PriceList {
        let long = long.into_iter().map(|(above_input_tokens, rates)| LongContext { above_input_tokens, rates });
        PriceList { base, long_context: long.collect(), service_tiers: tiers, per_request: Usd::from_nano(fee),
            factor_ppm, version: "".into() }
    }
}

proptest! {
    #[test]
    fn no_usage_within_the_bounds_costs_more_than_the_ceiling(
        price in price(), bound in 0_u64..1_500_000, share in 0.0..=1.0_f64, out in 0_u64..100_000, n in 1_u32..5,
        parts in prop::array::uniform7(0_u64..1_500_000), asked in tier(), served_standard: bool,
    ) {
        let usage = Usage {
            input_tokens: ((bound as f64 * share) as u64).min(bound),
            output_tokens: ((out as f64 * share) as u64).min(out) * u64::from(n),
            cached_input_tokens: parts[0], cache_write_tokens: parts[1], cache_write_1h_tokens: parts[2],
            audio_input_tokens: parts[3], cached_audio_input_tokens: parts[4],
            reasoning_tokens: parts[5], audio_output_tokens: parts[6] / 10, image_input_tokens: parts[6],
        };
        let served = if served_standard { ServiceTier::Standard } else { asked };
        let cost = price.cost(&usage, served);
        let mut d = priced("unpriced");
        d.price = Some(price);
        prop_assert!(ceiling(&d, bound, out, n, asked) >= cost);
        prop_assert!(ceiling(&d, bound, out, n, None) >= cost, "the provider chooses the tier");
    }

    #[test]
    fn what_money_affords_costs_no_more_and_one_token_more_does(
        price in price(), bound in 0_u64..1_500_000, money in 0_i64..10_000_000_000, asked in prop::option::of(tier()),
    ) {
        let mut d = priced("unpriced");
        d.price = Some(price);
        let (dearest, money) = (Dearest::of(&d, bound, asked), Usd::from_nano(money));
        match dearest.affords(money) {
            Some(tokens) => {
                prop_assert!(dearest.ceiling(tokens) <= money);
                prop_assert!(tokens == u64::MAX || dearest.ceiling(tokens + 1) > money);
            }
            None => prop_assert!(dearest.ceiling(0) > money),
        }
    }

    #[test]
    fn the_short_way_and_the_price_list_agree(
        mut price in price(), input in 0_u64..3_000_000, output in 0_u64..3_000_000, listed: bool, half: bool,
    ) {
        if listed {
            (price.factor_ppm, price.long_context) = (1_000_000, Vec::new());
        }
        if half {
            // 500 pico-USD a token: ties to be broken.
            let rate = Some(PerMillion::from_micro(500));
            (price.base.input, price.base.output) = (rate, rate);
        }
        let usage = Usage { input_tokens: input, output_tokens: output, ..Usage::default() };
        let short = plain(&price, input, output);
        prop_assert_eq!(short.is_some(), price.factor_ppm == 1_000_000 && price.long_context.is_empty() && price.is_complete());
        prop_assert_eq!(short.unwrap_or(price.cost(&usage, ServiceTier::Standard)), price.cost(&usage, ServiceTier::Standard));
    }

    #[test]
    fn nothing_overflows(price in price(), input: u64, output: u64, n: u32, asked in tier()) {
        let mut d = priced("unpriced");
        d.price = Some(price);
        prop_assert!(ceiling(&d, input, output, n, asked) >= Usd::ZERO);
    }
}
