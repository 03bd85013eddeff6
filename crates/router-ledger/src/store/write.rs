//! Writing a batch, and booking what a dead process left.

use std::collections::HashMap;

use router_core::budget::BudgetUse;
use router_core::money::Usd;
use router_core::record::{CloseRecord, RequestId};
use sqlx::SqlSafeStr;

use super::budgets::{self, Spent};
use super::sql::{ROWS, Texts};
use super::tx::{Arg, Args, Bound, Row, Tx};
use super::{Answered, rows, sql};
use crate::batch::Batch;
use crate::ledger::InstanceId;

/// Writes all rows of a batch, and what they spend of budgets.
pub(super) async fn write<T: Tx>(tx: &mut T, batch: &Batch) -> Answered<()> {
    let spent = spent(tx, batch).await?;
    let (mut open, mut whole, mut whole_rare) = (Vec::new(), Vec::new(), Vec::new());
    for row in &batch.opened {
        match &row.close {
            None => open.push(row),
            Some(close) if rows::has_rare(&close.usage) => whole_rare.push((row, close)),
            Some(close) => whole.push((row, close)),
        }
    }
    let (close_rare, close): (Vec<_>, Vec<_>) =
        batch.closed.iter().partition(|(_, c)| rows::has_rare(&c.usage));
    let texts = T::FLAVOR.inserts();
    insert(tx, &texts.open, &open, |args, row| rows::bind_open(args, row)).await?;
    insert(tx, &texts.whole, &whole, rows::bind_whole).await?;
    insert(tx, &texts.whole_rare, &whole_rare, |args, row| {
        rows::bind_whole(args, row)?;
        rows::bind_rare(args, &row.1.usage)
    })
    .await?;
    insert(tx, &texts.close, &close, |args, row| rows::bind_end(args, row)).await?;
    insert(tx, &texts.close_rare, &close_rare, |args, row| {
        rows::bind_end(args, row)?;
        rows::bind_rare(args, &row.1.usage)
    })
    .await?;
    let (mut request, mut request_late) = (Vec::new(), Vec::new());
    for row in &batch.requests {
        match batch.provider(row) {
            None if row.deployment.is_some() => request_late.push(row),
            provider => request.push((row, provider)),
        }
    }
    insert(tx, &texts.request, &request, rows::bind_answered).await?;
    insert(tx, &texts.request_late, &request_late, rows::bind_late).await?;
    let spent: Vec<_> = spent.iter().collect();
    insert(tx, &texts.spent, &spent, rows::bind_spent).await
}

async fn insert<T: Tx, R: Sync>(
    tx: &mut T,
    texts: &'static Texts,
    rows: &[R],
    bind: impl Fn(&mut T::Args, &R) -> Bound + Send,
) -> Answered<()> {
    for (text, rows) in pieces(texts, rows) {
        let args = bound(rows, &bind)?;
        tx.run_with(text.into_sql_str(), args).await?;
    }
    Ok(())
}

/// Rows by statements, the largest first.
fn pieces<'r, R>(texts: &'static Texts, mut rows: &'r [R]) -> Vec<(&'static str, &'r [R])> {
    let mut pieces = Vec::new();
    for (text, size) in texts.iter().zip(ROWS) {
        while let Some((now, later)) = rows.split_at_checked(size) {
            pieces.push((text.as_str(), now));
            rows = later;
            if rows.is_empty() {
                return pieces;
            }
        }
    }
    pieces
}

fn bound<A: Args, R>(rows: &[R], bind: &impl Fn(&mut A, &R) -> Bound) -> Answered<A> {
    let mut args = A::default();
    args.room(rows.len() * 33);
    rows.iter().try_for_each(|row| bind(&mut args, row)).map_err(sqlx::Error::Encode)?;
    Ok(args)
}

/// What a batch's ends spend of budgets: those their beginnings name, here or in the ledger.
async fn spent<T: Tx>(tx: &mut T, batch: &Batch) -> Answered<Spent> {
    let mut spent = Spent::new();
    for row in &batch.opened {
        if let Some(close) = &row.close {
            budgets::count(&mut spent, row.instance, &row.open.budgets, close.cost);
        }
    }
    let mut open = HashMap::new();
    for (text, closed) in pieces(&T::FLAVOR.inserts().open_budgets, &batch.closed) {
        let args = bound(closed, &|args: &mut T::Args, row: &(InstanceId, CloseRecord)| {
            args.put((&rows::id(row.1.request)).into())
        })?;
        for row in tx.rows_with(text.into_sql_str(), args).await? {
            let (attempt, budgets) = open_budgets(&row)?;
            open.insert(attempt, budgets);
        }
    }
    for (instance, close) in &batch.closed {
        if let Some(budgets) = open.get(&(close.request, close.attempt)) {
            budgets::count(&mut spent, *instance, budgets, close.cost);
        }
    }
    Ok(spent)
}

type Attempt = (RequestId, u32);

fn open_budgets<R: Row>(row: &R) -> Answered<(Attempt, Vec<BudgetUse>)> {
    let mut cells = row.cells();
    let request = RequestId(u128::from_be_bytes(cells.bytes()?));
    let attempt = cells.small()?;
    let budgets = rows::budgets_of(cells.text()?).map_err(|e| cells.strange(e))?;
    Ok(((request, attempt), budgets))
}

/// Books what a dead process never closed, and gives its requests an end; how many attempts were lost.
pub(super) async fn end<T: Tx>(tx: &mut T, instance: InstanceId) -> Answered<u64> {
    let args = [instance.0.into()];
    let mut spent = Spent::new();
    let text = "SELECT budgets, ceiling_nanousd FROM attempts \
         WHERE instance = $1 AND outcome IS NULL AND budgets IS NOT NULL";
    for row in tx.rows(text, &args).await? {
        let mut cells = row.cells();
        let budgets = rows::budgets_of(cells.text()?).map_err(|e| cells.strange(e))?;
        let ceiling: Usd = cells.money()?;
        budgets::count(&mut spent, instance, &budgets, ceiling);
    }
    let spent: Vec<_> = spent.iter().collect();
    insert(tx, &T::FLAVOR.inserts().spent, &spent, rows::bind_spent).await?;

    let text =
        "SELECT request FROM attempts WHERE instance = $1 AND outcome IS NULL ORDER BY request LIMIT 1";
    let open = tx.maybe(text, &args).await?.map(|row| row.cells().bytes()).transpose()?;
    let last = last(tx, &args).await?;
    let lost = tx.run(sql::BOOK_LOST, &args).await?;
    if let Some(last) = last {
        let from = unended_from(open, &last);
        tx.run(sql::END_REQUESTS.as_str(), &[instance.0.into(), (&from).into()]).await?;
    }
    Ok(lost)
}

/// A process's last request, if it had any.
async fn last<T: Tx>(tx: &mut T, instance: &[Arg<'_>; 1]) -> Answered<Option<[u8; 16]>> {
    let text = "SELECT last_request FROM instances WHERE id = $1";
    let noted = tx.one(text, instance).await?.cells().maybe_bytes()?;
    let text = "SELECT series FROM positions WHERE instance = $1 LIMIT 1";
    if noted.is_some() || tx.maybe(text, instance).await?.is_none() {
        return Ok(noted);
    }
    // It wrote before that was noted: look for it.
    let text = "SELECT request FROM attempts WHERE instance = $1 ORDER BY request DESC LIMIT 1";
    tx.maybe(text, instance).await?.map(|row| row.cells().bytes()).transpose()
}

/// Where to look for requests that a dead process left without an end: from the oldest with an attempt still open; in any
/// case among those of its last ten minutes, for one whose attempts had all ended was about to be recorded itself.
fn unended_from(open: Option<[u8; 16]>, last: &[u8; 16]) -> [u8; 16] {
    let last = last.iter().take(6).fold(0, |n, byte| n << 8 | u64::from(*byte));
    let recent = rows::id(sql::id_at(last.saturating_sub(600_000)));
    open.map_or(recent, |open| open.min(recent))
}
