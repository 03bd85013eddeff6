//! Reading rows back: attempts, sums, how deployments did.

use std::sync::Arc;

use router_core::attempt::Outcome;
use router_core::money::Usd;
use router_core::record::{CloseRecord, OpenRecord, RequestId};
use router_core::time::Timestamp;

use super::sql::USAGE;
use super::tx::{Cells, Row, Tx};
use super::{Answered, Backend, rows, sql};
use crate::codec;
use crate::ledger::{AttemptRow, Cursor, DeploymentStats};

/// The two bounds of a window: on the primary key, and on the time.
pub(super) fn window(since: Timestamp) -> ([u8; 16], i64) {
    (rows::id(sql::first_request(since)), rows::micros(since))
}

pub(super) async fn total_cost(backend: &impl Backend, since: Timestamp) -> Answered<Usd> {
    let (first, since) = window(since);
    let mut tx = backend.read().await?;
    let cost = tx.one(sql::TOTAL_COST, &[(&first).into(), since.into()]).await?.cells().money()?;
    tx.commit().await?;
    Ok(cost)
}

pub(super) async fn deployment_stats(
    backend: &impl Backend,
    since: Timestamp,
) -> Answered<Vec<DeploymentStats>> {
    let (first, since) = window(since);
    let mut tx = backend.read().await?;
    let rows = tx.rows(sql::DEPLOYMENT_STATS, &[(&first).into(), since.into()]).await?;
    tx.commit().await?;
    let stats = |row: &_| {
        let mut cells = Row::cells(row);
        let deployment = cells.text()?.to_owned();
        let (attempts, failed): (u64, u64) = (cells.small()?, cells.small()?);
        Ok(DeploymentStats {
            deployment,
            attempts,
            error_rate: failed as f64 / attempts as f64,
            p50_ms: cells.maybe_small()?,
            p95_ms: cells.maybe_small()?,
        })
    };
    rows.iter().map(stats).collect()
}

pub(super) async fn attempts(
    backend: &impl Backend,
    since: Timestamp,
    limit: u32,
    after: Option<Cursor>,
) -> Answered<Vec<AttemptRow>> {
    let (first, since) = window(since);
    let after = after.map(|cursor| (rows::id(cursor.request), i64::from(cursor.attempt)));
    // No row stands before the empty id.
    let (request, attempt) = after.as_ref().map_or((&[][..], 0), |(request, attempt)| (request, *attempt));
    let args = [(&first).into(), since.into(), request.into(), attempt.into(), i64::from(limit).into()];
    let mut tx = backend.read().await?;
    let rows = tx.rows(sql::LIST_ATTEMPTS.as_str(), &args).await?;
    tx.commit().await?;
    rows.iter().map(attempt_row).collect()
}

fn attempt_row<R: Row>(row: &R) -> Answered<AttemptRow> {
    let mut cells = row.cells();
    let open = open_record(&mut cells)?;
    let close = close_record(&mut cells, &open)?;
    Ok(AttemptRow { open, close })
}

fn open_record<R: Row>(cells: &mut Cells<'_, R>) -> Answered<OpenRecord> {
    let request = RequestId(u128::from_be_bytes(cells.bytes()?));
    let attempt = cells.small()?;
    let _instance = cells.int()?;
    Ok(OpenRecord {
        request,
        attempt,
        at: cells.time()?,
        deployment: label(cells)?,
        provider: label(cells)?,
        model: label(cells)?,
        key: optional_label(cells)?,
        tags: match cells.maybe_text()? {
            None => Vec::new(),
            Some(json) => serde_json::from_str(json).map_err(|e| cells.strange(e))?,
        },
        budgets: match cells.maybe_text()? {
            None => Vec::new(),
            Some(json) => rows::budgets_of(json).map_err(|e| cells.strange(e))?,
        },
        rule: optional_label(cells)?,
        ceiling: cells.money()?,
        price_version: label(cells)?,
        simulated: cells.flag()?,
    })
}

fn close_record<R: Row>(cells: &mut Cells<'_, R>, open: &OpenRecord) -> Answered<Option<CloseRecord>> {
    let at = cells.maybe_time()?;
    let (outcome, failure) = (cells.maybe_text()?, cells.maybe_text()?);
    let (Some(at), Some(outcome)) = (at, outcome) else { return Ok(None) };
    let name = if outcome == "failure" { failure.unwrap_or_default() } else { outcome };
    let outcome: Outcome =
        codec::outcome(name).ok_or_else(|| cells.strange(format!("unknown outcome {name:?}")))?;
    let mut classes = [0; USAGE.len()];
    for tokens in &mut classes {
        *tokens = cells.int()?.cast_unsigned();
    }
    Ok(Some(CloseRecord {
        request: open.request,
        attempt: open.attempt,
        at,
        outcome,
        usage: codec::usage(classes),
        cost: cells.money()?,
        estimated: cells.flag()?,
        first_byte_ms: cells.maybe_small()?,
        total_ms: cells.small()?,
        provider_cost: cells.maybe_int()?.map(Usd::from_nano),
    }))
}

fn label<R: Row>(cells: &mut Cells<'_, R>) -> Answered<Arc<str>> {
    cells.text().map(Arc::from)
}

fn optional_label<R: Row>(cells: &mut Cells<'_, R>) -> Answered<Option<Arc<str>>> {
    Ok(cells.maybe_text()?.map(Arc::from))
}
