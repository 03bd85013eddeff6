//! What an attempt has used, from what is known of it, and what that costs. A function of values.

use router_core::attempt::FailureKind;
use router_core::chat::Usage;
use router_core::failover::Another;
use router_core::money::Usd;
use router_core::price::{PriceList, ServiceTier};
use router_providers::exchange::{Fault, JsonReply};

use super::attempt::Live;

/// What an attempt is known to have used.
#[derive(Clone, Copy, Debug)]
pub(super) enum Spent {
    /// The provider said so, and on which tier it processed.
    Reported(Usage, ServiceTier),
    /// Nothing: it refused, or was never reached.
    Nothing,
    /// It may have worked on it and said nothing: booked at its bound, or for a stream at its input's bound and what was
    /// seen of the output, marked estimated.
    Unknown {
        /// Output tokens seen in a stream; `None`: a whole answer that never came.
        seen_output_tokens: Option<u64>,
        /// What a stream said of its tokens before it ended early: good for the input, too low for the output.
        so_far: Option<Usage>,
    },
}

impl Spent {
    /// An answer of which so many output tokens were seen, and nothing said.
    const fn seen(tokens: u64) -> Self {
        Self::Unknown { seen_output_tokens: Some(tokens), so_far: None }
    }

    /// Of a whole answer.
    pub(super) fn of_whole(reply: &JsonReply) -> Self {
        match reply.usage {
            Some(usage) => Self::Reported(usage, reply.service_tier),
            None => Self::seen(reply.size_bytes() / BYTES_PER_TOKEN),
        }
    }

    /// Of a stream that is whole, or was cut short by us.
    pub(super) fn of_stream(live: &mut Live) -> Self {
        if live.cut_short {
            return Self::seen(live.seen_tokens);
        }
        match live.stream().and_then(|stream| Some((stream.usage()?, stream.service_tier()))) {
            Some((usage, tier)) => Self::Reported(usage, tier),
            None => Self::seen(live.seen_tokens),
        }
    }

    /// Of an attempt that was stopped, or broke off.
    pub(super) fn so_far(live: &mut Live) -> Self {
        if !live.begun {
            return Self::Nothing;
        }
        let seen = live.seen_tokens;
        let (seen_output_tokens, so_far) = match live.stream() {
            Some(stream) => (Some(seen), stream.usage()),
            None => (None, None),
        };
        Self::Unknown { seen_output_tokens, so_far }
    }

    /// Tokens and cost to book.
    pub(super) fn settle(self, terms: &Terms<'_>) -> Settled {
        let price = |usage: &Usage, tier| terms.price.map_or(Usd::ZERO, |p| p.cost(usage, tier));
        let bound = Usage { input_tokens: terms.input_bound, ..Usage::default() };
        match self {
            Self::Reported(usage, tier) => Settled { usage, cost: price(&usage, tier), estimated: false },
            Self::Nothing => Settled { usage: Usage::default(), cost: Usd::ZERO, estimated: false },
            Self::Unknown { seen_output_tokens: None, .. } => {
                Settled { usage: bound, cost: terms.ceiling, estimated: true }
            }
            Self::Unknown { seen_output_tokens: Some(seen), so_far } => {
                let said = so_far.filter(|usage| usage.input_tokens > 0).unwrap_or(bound);
                let usage = Usage { output_tokens: said.output_tokens.max(seen + terms.ahead), ..said };
                let cost = if terms.unseen { terms.ceiling } else { price(&usage, terms.tier) };
                Settled { usage, cost: cost.min(terms.ceiling), estimated: true }
            }
        }
    }
}

/// What an attempt was opened with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Terms<'a> {
    /// The deployment's price; `None`: unpriced.
    pub(super) price: Option<&'a PriceList>,
    /// The service tier asked for.
    pub(super) tier: ServiceTier,
    /// Most input tokens.
    pub(super) input_bound: u64,
    /// The most it can cost, or what is held for it.
    pub(super) ceiling: Usd,
    /// Of a metered one, output tokens that may have come and were not seen.
    pub(super) ahead: u64,
    /// It counts on a budget, and its tokens may come unseen: booked at its ceiling when nobody says how many.
    pub(super) unseen: bool,
}

/// What is booked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settled {
    /// Tokens.
    pub(super) usage: Usage,
    /// Cost.
    pub(super) cost: Usd,
    /// Nobody said so.
    pub(super) estimated: bool,
}

/// What an attempt's end comes to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Closed {
    /// Tokens booked.
    pub(super) usage: Usage,
    /// Cost booked.
    pub(super) cost: Usd,
    /// Another credential may take the place of its own, which was refused.
    pub(super) another: Option<Another>,
}

/// Of an answer whose tokens nobody counted, about so many bytes are one token (English prose; ANCHORS section 5 has the
/// error, at most 20 %).
const BYTES_PER_TOKEN: u64 = 4;

/// Whether a provider may bill a failed attempt without saying so: it had the request, and did not refuse it.
pub(super) fn may_be_billed(fault: &Fault) -> bool {
    use FailureKind as K;
    let died = fault.kind == K::Unavailable && fault.status.is_none();
    fault.sent
        && (died || matches!(fault.kind, K::Timeout | K::Stalled | K::Truncated | K::Empty | K::BadReply))
}

#[cfg(test)]
mod tests {
    use router_core::price::Rates;

    use super::*;

    fn usage(input_tokens: u64, output_tokens: u64) -> Usage {
        Usage { input_tokens, output_tokens, ..Usage::default() }
    }

    /// Input 1 and output 10 USD per million; at most 100 input tokens, and 0.001 USD in all.
    fn check(spent: Spent, tokens: (u64, u64), nano: i64, estimated: bool) {
        let price = PriceList {
            base: Rates { input: "1".parse().ok(), output: "10".parse().ok(), ..Rates::default() },
            long_context: Vec::new(),
            service_tiers: Vec::new(),
            per_request: Usd::ZERO,
            factor_ppm: 1_000_000,
            version: "v".into(),
        };
        let ceiling = Usd::from_nano(1_000_000);
        let tier = ServiceTier::Standard;
        let terms = Terms { price: Some(&price), tier, input_bound: 100, ceiling, ahead: 0, unseen: false };
        let expected = Settled { usage: usage(tokens.0, tokens.1), cost: Usd::from_nano(nano), estimated };
        assert_eq!(spent.settle(&terms), expected, "{spent:?}");
        if let Spent::Unknown { seen_output_tokens: Some(_), .. } = spent {
            let ahead = spent.settle(&Terms { ahead: 20, ..terms });
            assert!(ahead.cost <= ceiling && ahead.cost >= expected.cost, "metered: {spent:?} {ahead:?}");
            assert_eq!(spent.settle(&Terms { unseen: true, ..terms }).cost, ceiling, "unseen: {spent:?}");
        }
    }

    #[test]
    fn what_is_booked() {
        let partly = |seen, so_far| Spent::Unknown { seen_output_tokens: seen, so_far };
        check(Spent::Reported(usage(40, 5), ServiceTier::Standard), (40, 5), 90_000, false);
        check(Spent::Nothing, (0, 0), 0, false);
        // A whole answer that never came: the bound.
        check(partly(None, None), (100, 0), 1_000_000, true);
        // A stream that broke off: what was seen, on what it said of its input, or on the bound.
        check(partly(Some(7), None), (100, 7), 170_000, true);
        check(partly(Some(7), Some(usage(40, 1))), (40, 7), 110_000, true);
        check(partly(Some(7), Some(usage(40, 9))), (40, 9), 130_000, true);
        // Never over the ceiling.
        check(partly(Some(1_000), None), (100, 1_000), 1_000_000, true);
    }
}
