//! The records tests are made of: plain ones by number, and any at all.

use std::sync::Arc;

use proptest::prelude::*;
use router_core::attempt::{FailureKind, Outcome};
use router_core::budget::BudgetUse;
use router_core::chat::Usage;
use router_core::money::Usd;
use router_core::record::{CloseRecord, LedgerRecord, OpenRecord, RequestId, RequestRecord};
use router_core::time::Timestamp;

/// An attempt's beginning: request `id` at second `id`, to `p/m`, ceiling 5 USD.
pub(crate) fn open(id: u128, attempt: u32) -> LedgerRecord {
    LedgerRecord::Open(open_record(id, attempt))
}

pub(crate) fn open_record(id: u128, attempt: u32) -> OpenRecord {
    OpenRecord {
        request: request_id(id),
        attempt,
        at: second(id),
        deployment: "p/m".into(),
        provider: "p".into(),
        model: "auto".into(),
        key: Some("bot".into()),
        budgets: Vec::new(),
        tags: vec!["a".into(), "b \"quoted\"".into()],
        rule: None,
        ceiling: Usd::from_nano(5_000_000_000),
        price_version: "v1".into(),
        simulated: false,
    }
}

/// A budget in the period that began at second 100.
pub(crate) fn budget(name: &str) -> BudgetUse {
    BudgetUse { budget: name.into(), start: second(100) }
}

/// An attempt's end: 100 ms after its beginning, 10 tokens in, 5 out.
pub(crate) fn close(id: u128, attempt: u32, outcome: Outcome, nano: i64) -> LedgerRecord {
    LedgerRecord::Close(CloseRecord {
        request: request_id(id),
        attempt,
        at: Timestamp::from_micros(second(id).as_micros() + 100_000),
        outcome,
        usage: Usage { input_tokens: 10, output_tokens: 5, ..Usage::default() },
        cost: Usd::from_nano(nano),
        estimated: false,
        first_byte_ms: Some(20),
        total_ms: 100,
        provider_cost: None,
    })
}

/// A request's end: `ms` after its beginning, reference cost one USD.
pub(crate) fn request(id: u128, ms: u64, outcome: &str) -> LedgerRecord {
    LedgerRecord::Request(RequestRecord {
        request: request_id(id),
        at: second(id),
        ended: Timestamp::from_micros(second(id).as_micros() + ms * 1_000),
        model: "auto".into(),
        key: Some("bot".into()),
        client_request_id: None,
        rule: None,
        deployment: (outcome == "success").then(|| "p/m".into()),
        outcome: outcome.into(),
        attempts: 1,
        usage: Usage::default(),
        cost: Usd::ZERO,
        reference_cost: Usd::from_nano(1_000_000_000),
        first_byte_ms: Some(7),
        overhead_us: 80,
        simulated: false,
    })
}

/// As a UUIDv7 of that second, with `id` at its end.
fn request_id(id: u128) -> RequestId {
    RequestId(u128::from(second(id).as_micros() / 1_000) << 80 | id)
}

pub(crate) fn second(id: u128) -> Timestamp {
    Timestamp::from_millis(u64::try_from(id).unwrap() * 1_000)
}

prop_compose! {
    fn any_usage()(classes in any::<[u32; 10]>()) -> Usage {
        crate::codec::usage(classes.map(u64::from))
    }
}

fn any_label() -> impl Strategy<Value = Arc<str>> {
    "\\PC{0,12}".prop_map(Arc::from)
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    let failure = prop::sample::select(&FailureKind::ALL).prop_map(Outcome::Failure);
    prop_oneof![Just(Outcome::Success), Just(Outcome::Cancelled), Just(Outcome::Lost), failure]
}

prop_compose! {
    fn any_budget()(budget in any_label(), micros in 0..=u64::MAX >> 1) -> BudgetUse {
        BudgetUse { budget, start: Timestamp::from_micros(micros) }
    }
}

prop_compose! {
    pub(crate) fn any_open()(
        id in any::<u128>(), attempt in any::<u32>(), at in any::<u64>(), names in any::<[u8; 4]>(),
        labels in prop::collection::vec(any_label(), 4), key in prop::option::of(any_label()),
        tags in prop::collection::vec(any_label(), 0..4), nano in any::<i64>(), simulated in any::<bool>(),
        budgets in prop::collection::vec(any_budget(), 0..3),
    ) -> LedgerRecord {
        LedgerRecord::Open(OpenRecord {
            request: RequestId(id), attempt, at: Timestamp::from_micros(at),
            deployment: labels[0].clone(), provider: labels[1].clone(), model: labels[2].clone(),
            key, budgets, tags, rule: (names[0] % 2 == 0).then(|| labels[3].clone()),
            ceiling: Usd::from_nano(nano), price_version: labels[3].clone(), simulated,
        })
    }
}

prop_compose! {
    pub(crate) fn any_close()(
        id in any::<u128>(), attempt in any::<u32>(), at in any::<u64>(), outcome in any_outcome(),
        usage in any_usage(), nano in any::<i64>(), estimated in any::<bool>(),
        first in prop::option::of(any::<u32>()), total in any::<u32>(), provider in prop::option::of(any::<i64>()),
    ) -> LedgerRecord {
        LedgerRecord::Close(CloseRecord {
            request: RequestId(id), attempt, at: Timestamp::from_micros(at), outcome, usage,
            cost: Usd::from_nano(nano), estimated, first_byte_ms: first, total_ms: total,
            provider_cost: provider.map(Usd::from_nano),
        })
    }
}

prop_compose! {
    fn any_request()(
        id in any::<u128>(), times in any::<[u64; 2]>(), labels in prop::collection::vec(any_label(), 2),
        optional in prop::collection::vec(prop::option::of(any_label()), 4), attempts in any::<u32>(),
        usage in any_usage(), nano in any::<[i64; 2]>(), first in prop::option::of(any::<u32>()),
        overhead_us in any::<u32>(), simulated in any::<bool>(),
    ) -> LedgerRecord {
        LedgerRecord::Request(RequestRecord {
            request: RequestId(id), at: Timestamp::from_micros(times[0]), ended: Timestamp::from_micros(times[1]),
            model: labels[0].clone(), key: optional[0].clone(), client_request_id: optional[1].clone(),
            rule: optional[2].clone(), deployment: optional[3].clone(), outcome: labels[1].clone(), attempts, usage,
            cost: Usd::from_nano(nano[0]), reference_cost: Usd::from_nano(nano[1]), first_byte_ms: first,
            overhead_us, simulated,
        })
    }
}

/// Any record at all.
pub(crate) fn any_record() -> impl Strategy<Value = LedgerRecord> {
    prop_oneof![any_open(), any_close(), any_request()]
}
