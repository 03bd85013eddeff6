//! Allotments: what each process has drawn from a budget and spent of it.
//!
//! `budgets` holds what is drawn in all, so that one row decides; what is spent stands with each process until it ends, so
//! that writing down what attempts cost never waits for another process. Rows are locked budget first, and in order.

use std::collections::BTreeMap;

use router_core::budget::BudgetUse;
use router_core::money::Usd;

use super::tx::{Arg, Row, Tx};
use super::{Answered, Backend, rows, sql};
use crate::budgets::{BudgetFigures, Draw};
use crate::ledger::InstanceId;

/// What was spent, by process and budget.
pub(super) type Spent = BTreeMap<(InstanceId, BudgetUse), Usd>;

/// Adds a cost to every budget an attempt counts on. A negative cost is none.
pub(super) fn count(spent: &mut Spent, instance: InstanceId, budgets: &[BudgetUse], cost: Usd) {
    for budget in budgets {
        *spent.entry((instance, budget.clone())).or_default() += cost.max(Usd::ZERO);
    }
}

pub(super) async fn draw(
    backend: &impl Backend,
    instance: InstanceId,
    budget: &BudgetUse,
    ask: Draw,
) -> Answered<Usd> {
    let mut tx = backend.write().await?;
    let allotted = locked(&mut tx, budget).await?;
    let grant = ask.grant(allotted);
    if grant > Usd::ZERO {
        let drawn = drawn(&mut tx, instance, budget).await?;
        set(&mut tx, instance, budget, (allotted + grant, drawn + grant)).await?;
        tx.commit().await?;
    }
    Ok(grant)
}

pub(super) async fn keep(
    backend: &impl Backend,
    instance: InstanceId,
    budget: &BudgetUse,
    amount: Usd,
) -> Answered<()> {
    let mut tx = backend.write().await?;
    let allotted = locked(&mut tx, budget).await?;
    let drawn = drawn(&mut tx, instance, budget).await?;
    let kept = amount.max(Usd::ZERO);
    if kept == drawn {
        return Ok(());
    }
    set(&mut tx, instance, budget, (allotted - drawn + kept, kept)).await?;
    tx.commit().await
}

pub(super) async fn figures(backend: &impl Backend, budgets: &[BudgetUse]) -> Answered<Vec<BudgetFigures>> {
    let mut tx = backend.read().await?;
    let mut figures = Vec::with_capacity(budgets.len());
    for budget in budgets {
        let row = tx.one(sql::BUDGET_FIGURES, &key(budget)).await?;
        let mut cells = row.cells();
        let (allotted, ended, living) = (cells.money()?, cells.money()?, cells.money()?);
        let BudgetUse { budget, start } = budget.clone();
        figures.push(BudgetFigures { budget, start, allotted, settled: ended + living });
    }
    tx.commit().await?;
    Ok(figures)
}

/// Ends a process's allotments: what it has not spent goes back, what it has spent beyond them is booked, and its
/// spending becomes the budget's own.
pub(super) async fn finish<T: Tx>(tx: &mut T, instance: InstanceId) -> Answered<()> {
    let text = "SELECT budget, start FROM allotments WHERE instance = $1 ORDER BY budget, start";
    for row in tx.rows(text, &[instance.0.into()]).await? {
        let mut cells = row.cells();
        let budget = BudgetUse { budget: cells.text()?.into(), start: cells.time()? };
        let allotted = locked(tx, &budget).await?;
        let [name, start] = key(&budget);
        let text = "DELETE FROM allotments WHERE budget = $1 AND start = $2 AND instance = $3 \
             RETURNING drawn, spent";
        let row = tx.one(text, &[name, start, instance.0.into()]).await?;
        let mut cells = row.cells();
        let (drawn, spent) = (cells.money()?, cells.money()?);
        let left = allotted - drawn + spent;
        let text = "UPDATE budgets SET allotted = $3, settled = \
             CASE WHEN settled > 9223372036854775807 - $4 THEN 9223372036854775807 ELSE settled + $4 END \
             WHERE budget = $1 AND start = $2";
        tx.run(text, &[name, start, left.nano().into(), spent.nano().into()]).await?;
    }
    Ok(())
}

fn key(budget: &BudgetUse) -> [Arg<'_>; 2] {
    [(&budget.budget).into(), rows::micros(budget.start).into()]
}

/// What is drawn from a budget; nobody else draws until this transaction ends.
async fn locked<T: Tx>(tx: &mut T, budget: &BudgetUse) -> Answered<Usd> {
    tx.one(sql::LOCK_BUDGET, &key(budget)).await?.cells().money()
}

/// What this process has drawn.
async fn drawn<T: Tx>(tx: &mut T, instance: InstanceId, budget: &BudgetUse) -> Answered<Usd> {
    let [name, start] = key(budget);
    match tx.maybe(sql::DRAWN, &[name, start, instance.0.into()]).await? {
        Some(row) => row.cells().money(),
        None => Ok(Usd::ZERO),
    }
}

async fn set<T: Tx>(
    tx: &mut T,
    instance: InstanceId,
    budget: &BudgetUse,
    (allotted, drawn): (Usd, Usd),
) -> Answered<()> {
    let [name, start] = key(budget);
    tx.run(sql::SET_ALLOTTED, &[name, start, allotted.nano().into()]).await?;
    tx.run(sql::SET_DRAWN, &[name, start, instance.0.into(), drawn.nano().into()]).await?;
    Ok(())
}
