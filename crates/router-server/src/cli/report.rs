//! `report`: sums up a ledger.

use std::time::Duration;

use anyhow::Context;
use router_ledger::{By, ReportQuery};

use super::{GOOD, LedgerArgument, kind, line};
use crate::clock::Clock;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: LedgerArgument,
    /// How far back: 90s, 15m, 24h, 7d
    #[arg(long, default_value = "24h", value_parser = span)]
    since: Duration,
    /// Rows by these, comma-separated: provider, model, deployment, key, tag, rule, experiment
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    by: Vec<By>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let since = Clock::new().now() - arguments.since;
    let query = ReportQuery { since, by: arguments.by.clone() };
    let url = arguments.place.url()?;
    let report =
        super::block_on(async { router_ledger::connect_existing(&url).await?.report(&query).await })?
            .with_context(|| format!("ledger {}", kind(&url)))?;
    if arguments.json {
        line(&serde_json::to_string(&report)?);
    } else {
        line(report.to_string().trim_end());
    }
    Ok(GOOD)
}

/// A number with a unit.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is not a span of time: 90s, 15m, 24h, 7d");
    let (number, unit) = text.split_at(text.char_indices().next_back().map_or(0, |(at, _)| at));
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        assert_eq!(span("24h").unwrap().as_secs(), 86_400);
        assert_eq!(span("7d").unwrap().as_secs(), 604_800);
        for wrong in ["", "h", "24", "1w", "-1h", "1.5h", "99999999999999999999d", "é"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }
}
