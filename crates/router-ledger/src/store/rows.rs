//! Rows as arguments of the batched inserts, in the order of `sql`'s columns.

use std::sync::{Arc, LazyLock};

use router_core::attempt::Outcome;
use router_core::budget::BudgetUse;
use router_core::chat::Usage;
use router_core::money::Usd;
use router_core::record::{CloseRecord, OpenRecord, RequestId, RequestRecord};
use router_core::time::Timestamp;
use serde::Serialize;

use super::tx::{Arg, Args, Bound};
use crate::batch::Opened;
use crate::ledger::InstanceId;

/// As SQL's integer, which is signed. Token counts and times are far below; a nonsense one becomes the largest.
pub(crate) fn whole(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A time as a column holds it.
pub(super) fn micros(at: Timestamp) -> i64 {
    whole(at.as_micros())
}

/// A request's id as a column holds it: bytes whose order is that of time.
pub(super) const fn id(request: RequestId) -> [u8; 16] {
    request.0.to_be_bytes()
}

/// A list as a column holds it. Without NUL, which PostgreSQL takes neither in a text nor in JSON.
pub(super) fn json<T: AsRef<str>>(list: &[T]) -> String {
    let clean: Vec<_> = list.iter().map(|text| text.as_ref().replace('\0', "\u{fffd}")).collect();
    written(&clean)
}

/// Budgets as a column holds them: pairs of a name and the microsecond at which its period began.
fn budgets(list: &[BudgetUse]) -> String {
    let pairs: Vec<_> = list.iter().map(|b| (&*b.budget, b.start.as_micros())).collect();
    written(&pairs)
}

/// The inverse of [`budgets`].
pub(super) fn budgets_of(json: &str) -> serde_json::Result<Vec<BudgetUse>> {
    let pairs: Vec<(Arc<str>, u64)> = serde_json::from_str(json)?;
    let pair = |(budget, start)| BudgetUse { budget, start: Timestamp::from_micros(start) };
    Ok(pairs.into_iter().map(pair).collect())
}

/// Lists of texts and numbers always have a JSON.
fn written(list: &impl Serialize) -> String {
    serde_json::to_string(list).unwrap_or_else(|_| "[]".to_owned())
}

/// Adds several of a kind.
fn all<'a, A: Into<Arg<'a>>>(args: &mut impl Args, list: impl IntoIterator<Item = A>) -> Bound {
    list.into_iter().try_for_each(|arg| args.put(arg.into()))
}

pub(super) fn bind_open(args: &mut impl Args, row: &Opened) -> Bound {
    let open: &OpenRecord = &row.open;
    args.put((&id(open.request)).into())?;
    all(args, [i64::from(open.attempt), row.instance.0, micros(open.at)])?;
    all(args, [&open.deployment, &open.provider, &open.model])?;
    args.put((&open.key).into())?;
    let tags = (!open.tags.is_empty()).then(|| json(&open.tags));
    let budgets = (!open.budgets.is_empty()).then(|| budgets(&open.budgets));
    all(args, [tags.as_deref(), budgets.as_deref()])?;
    args.put((&open.rule).into())?;
    args.put(open.ceiling.nano().into())?;
    args.put((&open.price_version).into())?;
    args.put(open.simulated.into())
}

pub(super) fn bind_whole(args: &mut impl Args, (row, close): &(&Opened, &CloseRecord)) -> Bound {
    bind_open(args, row)?;
    bind_close(args, close)
}

pub(super) fn bind_end(args: &mut impl Args, (instance, close): &(InstanceId, CloseRecord)) -> Bound {
    args.put((&id(close.request)).into())?;
    all(args, [i64::from(close.attempt), instance.0, micros(close.at)])?;
    bind_close(args, close)
}

fn bind_close(args: &mut impl Args, close: &CloseRecord) -> Bound {
    args.put(micros(close.at).into())?;
    match close.outcome {
        Outcome::Failure(kind) => all(args, ["failure", kind.name()])?,
        Outcome::Success => {
            args.put((&*SUCCESS).into())?;
            args.put(Arg::Text(None))?;
        }
        other => all(args, [Some(other.name()), None])?,
    }
    let usage = &close.usage;
    let tokens = [usage.input_tokens, usage.cached_input_tokens, usage.output_tokens, usage.reasoning_tokens];
    all(args, tokens.map(whole))?;
    args.put(close.cost.nano().into())?;
    args.put(close.estimated.into())?;
    args.put(close.first_byte_ms.map(i64::from).into())?;
    args.put(i64::from(close.total_ms).into())?;
    args.put(close.provider_cost.map(Usd::nano).into())
}

/// The commonest outcome without a copy per row.
static SUCCESS: LazyLock<Arc<str>> = LazyLock::new(|| Outcome::Success.name().into());

/// The classes of `sql`'s rare columns, in their order.
const fn rare(usage: &Usage) -> [u64; 6] {
    [
        usage.cache_write_tokens,
        usage.cache_write_1h_tokens,
        usage.audio_input_tokens,
        usage.cached_audio_input_tokens,
        usage.image_input_tokens,
        usage.audio_output_tokens,
    ]
}

pub(super) fn has_rare(usage: &Usage) -> bool {
    rare(usage) != [0; 6]
}

pub(super) fn bind_rare(args: &mut impl Args, usage: &Usage) -> Bound {
    all(args, rare(usage).map(whole))
}

fn bind_request(args: &mut impl Args, request: &RequestRecord) -> Bound {
    args.put((&id(request.request)).into())?;
    all(args, [micros(request.at), micros(request.ended)])?;
    args.put((&request.model).into())?;
    all(args, [&request.key, &request.client_request_id, &request.rule, &request.deployment])?;
    args.put((&request.outcome).into())?;
    all(args, [i64::from(request.attempts), request.cost.nano(), request.reference_cost.nano()])?;
    args.put(request.first_byte_ms.map(i64::from).into())?;
    args.put(i64::from(request.overhead_us).into())?;
    args.put(request.simulated.into())
}

pub(super) fn bind_answered(
    args: &mut impl Args,
    (request, provider): &(&RequestRecord, Option<&Arc<str>>),
) -> Bound {
    bind_request(args, request)?;
    args.put(Arg::Shared(*provider))
}

pub(super) fn bind_late(args: &mut impl Args, request: &&RequestRecord) -> Bound {
    bind_request(args, request)?;
    // For its provider.
    args.put((&id(request.request)).into())?;
    args.put((&request.deployment).into())
}

pub(super) fn bind_spent(
    args: &mut impl Args,
    ((instance, budget), spent): &(&(InstanceId, BudgetUse), &Usd),
) -> Bound {
    args.put((&budget.budget).into())?;
    all(args, [micros(budget.start), instance.0, spent.nano()])
}
