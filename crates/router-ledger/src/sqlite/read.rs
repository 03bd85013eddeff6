//! Reading rows back: attempts, sums, how deployments did.

use std::sync::Arc;

use router_core::attempt::Outcome;
use router_core::money::Usd;
use router_core::record::{CloseRecord, OpenRecord, RequestId};
use router_core::time::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqlitePool};

use super::bind::{id, whole};
use crate::codec;
use crate::ledger::{AttemptRow, Cursor, DeploymentStats};
use crate::sql::{self, USAGE};

/// The two bounds of a window: on the primary key, and on the time.
pub(super) fn window(since: Timestamp) -> (Vec<u8>, i64) {
    (id(sql::first_request(since)), whole(since.as_micros()))
}

pub(super) async fn total_cost(pool: &SqlitePool, since: Timestamp) -> Result<Usd, sqlx::Error> {
    let (first, since) = window(since);
    sqlx::query_scalar(sql::TOTAL_COST).bind(first).bind(since).fetch_one(pool).await.map(Usd::from_nano)
}

pub(super) async fn deployment_stats(
    pool: &SqlitePool,
    since: Timestamp,
) -> Result<Vec<DeploymentStats>, sqlx::Error> {
    let (first, since) = window(since);
    let rows = sqlx::query(sql::DEPLOYMENT_STATS).bind(first).bind(since).fetch_all(pool).await?;
    let stats = |row: &SqliteRow| {
        let (attempts, failed): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
        Ok(DeploymentStats {
            deployment: row.try_get(0)?,
            attempts: attempts.cast_unsigned(),
            error_rate: failed as f64 / attempts as f64,
            p50_ms: row.try_get::<Option<i64>, _>(3)?.map(i64::cast_unsigned),
            p95_ms: row.try_get::<Option<i64>, _>(4)?.map(i64::cast_unsigned),
        })
    };
    rows.iter().map(stats).collect()
}

pub(super) async fn attempts(
    pool: &SqlitePool,
    since: Timestamp,
    limit: u32,
    after: Option<Cursor>,
) -> Result<Vec<AttemptRow>, sqlx::Error> {
    let (first, since) = window(since);
    // No row stands before the empty id.
    let (request, attempt) = after.map_or((Vec::new(), 0), |cursor| (id(cursor.request), cursor.attempt));
    let rows = sqlx::query(sql::LIST_ATTEMPTS.as_str())
        .bind(first)
        .bind(since)
        .bind(request)
        .bind(attempt)
        .bind(limit)
        .fetch_all(pool)
        .await?;
    rows.iter().map(attempt_row).collect()
}

fn attempt_row(row: &SqliteRow) -> Result<AttemptRow, sqlx::Error> {
    let open = open_record(row)?;
    let close = match row.try_get::<Option<&str>, _>("outcome")? {
        None => None,
        Some(outcome) => Some(close_record(row, &open, outcome)?),
    };
    Ok(AttemptRow { open, close })
}

fn open_record(row: &SqliteRow) -> Result<OpenRecord, sqlx::Error> {
    let request: &[u8] = row.try_get("request")?;
    let request = request.try_into().map(u128::from_be_bytes).map_err(|e| strange("request", e))?;
    let tags = match row.try_get::<Option<&str>, _>("tags")? {
        None => Vec::new(),
        Some(json) => serde_json::from_str(json).map_err(|e| strange("tags", e))?,
    };
    Ok(OpenRecord {
        request: RequestId(request),
        attempt: row.try_get("attempt")?,
        at: time(row, "at")?,
        deployment: label(row, "deployment")?,
        provider: label(row, "provider")?,
        model: label(row, "model")?,
        key: optional_label(row, "key")?,
        budgets: Vec::new(),
        tags,
        rule: optional_label(row, "rule")?,
        ceiling: Usd::from_nano(row.try_get("ceiling_nanousd")?),
        price_version: label(row, "price_version")?,
        simulated: row.try_get("simulated")?,
    })
}

fn close_record(row: &SqliteRow, open: &OpenRecord, outcome: &str) -> Result<CloseRecord, sqlx::Error> {
    let name = if outcome == "failure" { row.try_get("failure")? } else { outcome };
    let outcome: Outcome =
        codec::outcome(name).ok_or_else(|| strange("outcome", format!("unknown outcome {name:?}")))?;
    let mut classes = [0; USAGE.len()];
    for (tokens, column) in classes.iter_mut().zip(USAGE) {
        *tokens = row.try_get::<i64, _>(column)?.cast_unsigned();
    }
    let provider_cost: Option<i64> = row.try_get("provider_cost_nanousd")?;
    Ok(CloseRecord {
        request: open.request,
        attempt: open.attempt,
        at: time(row, "ended_at")?,
        outcome,
        usage: codec::usage(classes),
        cost: Usd::from_nano(row.try_get("cost_nanousd")?),
        estimated: row.try_get("estimated")?,
        first_byte_ms: row.try_get("first_byte_ms")?,
        total_ms: row.try_get("total_ms")?,
        provider_cost: provider_cost.map(Usd::from_nano),
    })
}

fn label(row: &SqliteRow, column: &str) -> Result<Arc<str>, sqlx::Error> {
    row.try_get::<&str, _>(column).map(Arc::from)
}

fn optional_label(row: &SqliteRow, column: &str) -> Result<Option<Arc<str>>, sqlx::Error> {
    Ok(row.try_get::<Option<&str>, _>(column)?.map(Arc::from))
}

fn time(row: &SqliteRow, column: &str) -> Result<Timestamp, sqlx::Error> {
    Ok(Timestamp::from_micros(row.try_get::<i64, _>(column)?.cast_unsigned()))
}

fn strange(column: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: column.to_owned(), source: source.into() }
}
