//! The matrix as a table: what each fault costs in time, calls and money.

use std::collections::BTreeSet;
use std::time::Duration;

use super::cells::{Came, PRICE};
use super::judge::{Fate, fate};
use super::rows::{MODES, Mode, ROWS};

/// Prints a line per fault, in Markdown.
pub(super) fn print(all: &[Came]) {
    println!(
        "| fault | recorded | alternative: extra ms whole / streamed / with tools | booked | alone: calls, seen | ms |"
    );
    println!("|---|---|---|---|---|---|");
    for row in &ROWS {
        let answered =
            || all.iter().filter(|came| came.cell.row.name == row.name && came.cell.alternative.may_answer());
        let kinds: BTreeSet<_> = answered().flat_map(|came| &came.attempts).map(outcome).collect();
        let kinds: Vec<_> = kinds.into_iter().filter(|kind| *kind != "success").collect();
        let extra = MODES.map(|mode| {
            let mine = median(answered().filter(|came| came.cell.mode == mode));
            let base = median(all.iter().filter(|came| is_base(came, mode)));
            mine.map_or("-".into(), |mine| format!("{:.1}", millis(mine) - base.map_or(0.0, millis)))
        });
        let failed = answered().flat_map(|came| &came.attempts).filter(|a| a.failure.is_some());
        let booked = match failed.map(|attempt| attempt.cost_nanousd).max() {
            None => "-",
            Some(0) => "0",
            Some(_) => "estimated",
        };
        let alone = |came: &&Came| !came.cell.alternative.may_answer();
        let alone: Vec<_> = all.iter().filter(|came| came.cell.row.name == row.name).filter(alone).collect();
        let calls: BTreeSet<_> = alone.iter().map(|came| came.attempts.len().to_string()).collect();
        let seen: BTreeSet<_> = alone.iter().map(|came| seen(came)).collect();
        let list = |of: BTreeSet<String>| of.into_iter().collect::<Vec<_>>().join(", ");
        let took = median(alone.iter().copied()).map_or(0.0, millis);
        println!(
            "| {} | {} | {} | {booked} | {}: {} | {took:.0} |",
            row.name,
            if kinds.is_empty() { "-".into() } else { kinds.join(", ") },
            extra.join(" / "),
            list(calls),
            list(seen),
        );
    }
    println!("prices: {PRICE:?}");
}

fn is_base(came: &Came, mode: Mode) -> bool {
    came.cell.row.name == "healthy" && came.cell.mode == mode
}

fn outcome(row: &router_tests::ledger::AttemptRow) -> &str {
    row.failure.as_deref().or(row.outcome.as_deref()).unwrap_or("open")
}

fn seen(came: &Came) -> String {
    let status = came.answer.status;
    match (fate(came), &came.saw.error) {
        (Fate::Error, Some(code)) if status == 200 => format!("error event `{code}`"),
        (_, Some(code)) => format!("{status} `{code}`"),
        _ => "its own answer".into(),
    }
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1_000.0
}

fn median<'a>(came: impl Iterator<Item = &'a Came>) -> Option<Duration> {
    let mut all: Vec<_> = came.map(|came| came.took).collect();
    all.sort_unstable();
    all.get(all.len() / 2).copied()
}
