//! Rows as arguments of the batched inserts, in the order of `sql`'s columns.

use std::sync::{Arc, LazyLock};

use router_core::attempt::Outcome;
use router_core::chat::Usage;
use router_core::record::{CloseRecord, OpenRecord, RequestId, RequestRecord};
use sqlx::error::BoxDynError;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, Sqlite, Transaction};

use crate::batch::{Batch, Opened};
use crate::ledger::InstanceId;
use crate::sql::{self, ROWS, Texts};

/// Writes all rows of a batch.
pub(super) async fn write(tx: &mut Transaction<'static, Sqlite>, batch: &Batch) -> Result<(), sqlx::Error> {
    let (mut open, mut whole, mut whole_rare) = (Vec::new(), Vec::new(), Vec::new());
    for row in &batch.opened {
        match &row.close {
            None => open.push(row),
            Some(close) if has_rare(&close.usage) => whole_rare.push((row, close)),
            Some(close) => whole.push((row, close)),
        }
    }
    let (close_rare, close): (Vec<_>, Vec<_>) = batch.closed.iter().partition(|(_, c)| has_rare(&c.usage));
    insert(tx, &sql::INSERT_OPEN, &open, |args, row| bind_open(args, row)).await?;
    insert(tx, &sql::INSERT_WHOLE, &whole, bind_whole).await?;
    insert(tx, &sql::INSERT_WHOLE_RARE, &whole_rare, |args, row| {
        bind_whole(args, row)?;
        bind_rare(args, &row.1.usage)
    })
    .await?;
    insert(tx, &sql::INSERT_CLOSE, &close, |args, row| bind_end(args, row)).await?;
    insert(tx, &sql::INSERT_CLOSE_RARE, &close_rare, |args, row| {
        bind_end(args, row)?;
        bind_rare(args, &row.1.usage)
    })
    .await?;
    insert(tx, &sql::INSERT_REQUEST, &batch.requests, bind_request).await
}

type Bound = Result<(), BoxDynError>;

async fn insert<T: Sync>(
    tx: &mut Transaction<'static, Sqlite>,
    texts: &'static Texts,
    mut rows: &[T],
    bind: impl Fn(&mut SqliteArguments, &T) -> Bound + Send,
) -> Result<(), sqlx::Error> {
    for (text, size) in texts.iter().zip(ROWS) {
        while let Some((now, later)) = rows.split_at_checked(size) {
            let mut args = SqliteArguments::default();
            args.reserve(size * 32, 0);
            for row in now {
                bind(&mut args, row).map_err(sqlx::Error::Encode)?;
            }
            sqlx::query_with(text.as_str(), args).execute(&mut **tx).await?;
            rows = later;
            if rows.is_empty() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// As SQLite's integer, which is signed. Token counts and times are far below; a nonsense one becomes the largest.
pub(super) fn whole(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

pub(super) fn id(request: RequestId) -> Vec<u8> {
    request.0.to_be_bytes().to_vec()
}

fn bind_open(args: &mut SqliteArguments, row: &Opened) -> Bound {
    let OpenRecord { request, attempt, at, deployment, provider, model, key, tags, rule, ceiling, .. } =
        &row.open;
    args.add(id(*request))?;
    args.add(i64::from(*attempt))?;
    args.add(row.instance.0)?;
    args.add(whole(at.as_micros()))?;
    for label in [deployment, provider, model] {
        args.add(label.clone())?;
    }
    args.add(key.clone())?;
    args.add(if tags.is_empty() { None } else { Some(serde_json::to_string(tags)?) })?;
    args.add(rule.clone())?;
    args.add(ceiling.nano())?;
    args.add(row.open.price_version.clone())?;
    args.add(row.open.simulated)
}

fn bind_whole(args: &mut SqliteArguments, (row, close): &(&Opened, &CloseRecord)) -> Bound {
    bind_open(args, row)?;
    bind_close(args, close)
}

fn bind_end(args: &mut SqliteArguments, (instance, close): &(InstanceId, CloseRecord)) -> Bound {
    args.add(id(close.request))?;
    args.add(i64::from(close.attempt))?;
    args.add(instance.0)?;
    args.add(whole(close.at.as_micros()))?;
    bind_close(args, close)
}

fn bind_close(args: &mut SqliteArguments, close: &CloseRecord) -> Bound {
    args.add(whole(close.at.as_micros()))?;
    let (outcome, failure) = match close.outcome {
        Outcome::Failure(kind) => ("failure", Some(kind.name())),
        other => (other.name(), None),
    };
    args.add(shared(outcome))?;
    args.add(failure)?;
    let usage = &close.usage;
    for tokens in [usage.input_tokens, usage.cached_input_tokens, usage.output_tokens, usage.reasoning_tokens]
    {
        args.add(whole(tokens))?;
    }
    args.add(close.cost.nano())?;
    args.add(close.estimated)?;
    args.add(close.first_byte_ms.map(i64::from))?;
    args.add(i64::from(close.total_ms))?;
    args.add(close.provider_cost.map(router_core::money::Usd::nano))
}

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

fn has_rare(usage: &Usage) -> bool {
    rare(usage) != [0; 6]
}

fn bind_rare(args: &mut SqliteArguments, usage: &Usage) -> Bound {
    rare(usage).into_iter().try_for_each(|tokens| args.add(whole(tokens)))
}

/// The commonest outcome without a copy per row.
fn shared(outcome: &'static str) -> Arc<str> {
    static SUCCESS: LazyLock<Arc<str>> = LazyLock::new(|| Outcome::Success.name().into());
    if outcome == &**SUCCESS { SUCCESS.clone() } else { outcome.into() }
}

fn bind_request(args: &mut SqliteArguments, request: &RequestRecord) -> Bound {
    args.add(id(request.request))?;
    args.add(whole(request.at.as_micros()))?;
    args.add(whole(request.ended.as_micros()))?;
    args.add(request.model.clone())?;
    let labels: [&Option<Arc<str>>; 4] =
        [&request.key, &request.client_request_id, &request.rule, &request.deployment];
    for label in labels {
        args.add(label.clone())?;
    }
    args.add(request.outcome.clone())?;
    args.add(i64::from(request.attempts))?;
    args.add(request.cost.nano())?;
    args.add(request.reference_cost.nano())?;
    args.add(request.first_byte_ms.map(i64::from))?;
    args.add(i64::from(request.overhead_us))?;
    args.add(request.simulated)
}
