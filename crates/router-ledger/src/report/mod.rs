//! The report: figures over a window of the ledger, in all and by what one asks. Values and their text; the questions
//! are each backend's own.

mod text;

use std::collections::BTreeMap;
use std::str::FromStr;

use router_core::chat::Usage;
use router_core::money::Usd;
use router_core::time::Timestamp;
use serde::Serialize;

use crate::error::{Error, ErrorKind};

/// By what a report's rows are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum By {
    /// The provider called.
    Provider,
    /// The deployment called.
    Deployment,
    /// The model asked for.
    Model,
    /// The client key's name.
    Key,
    /// Each tag of the key: a request with two tags counts in two rows.
    Tag,
    /// The rule that matched.
    Rule,
    /// The experiment it was part of. No request is part of one yet.
    Experiment,
}

impl By {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Provider, Self::Deployment, Self::Model, Self::Key, Self::Tag, Self::Rule, Self::Experiment];

    /// The name on the command line, and of the column.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Deployment => "deployment",
            Self::Model => "model",
            Self::Key => "key",
            Self::Tag => "tag",
            Self::Rule => "rule",
            Self::Experiment => "experiment",
        }
    }
}

impl FromStr for By {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|by| by.name() == name).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|by| by.name()).collect();
            let text = format!("by {name:?}: not one of {}", known.join(", "));
            Error::new(ErrorKind::Invalid, text)
        })
    }
}

/// What to report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportQuery {
    /// Requests and attempts begun at or after this.
    pub since: Timestamp,
    /// By what to tell rows apart; several: by each combination. Empty: no rows.
    pub by: Vec<By>,
}

/// Median and 95th percentile, exact, by nearest rank, in milliseconds; absent without a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// Median.
    pub p50: Option<f64>,
    /// 95th percentile.
    pub p95: Option<f64>,
}

/// Figures over some requests and attempts.
///
/// Requests are counted from the request's own record, tokens and money from its attempts, so that a failed or lost
/// attempt's cost is in the sum. In a row by provider or deployment a request belongs to the one that answered, an
/// attempt to the one it called; rows' money therefore adds up to the total's exactly (except by tag).
/// Simulated answers count as requests and tokens, and never as money: their price is in `simulated_cost_usd` alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Requests that ended.
    pub requests: u64,
    /// Of those, answered whole.
    pub successes: u64,
    /// Share of the requests that ended neither in success nor by the client's leaving, 0..=1.
    pub error_rate: f64,
    /// From a request's arrival to its end, of successes.
    pub latency_ms: Percentiles,
    /// From a request's arrival to its first byte, of successes.
    pub first_byte_ms: Percentiles,
    /// Input and output tokens.
    pub tokens: u64,
    /// Tokens by class.
    pub usage: Usage,
    /// What attempts cost.
    pub cost_usd: Usd,
    /// That cost per successful request that was not simulated, rounded down; absent when there is none.
    pub cost_per_success_usd: Option<Usd>,
    /// What successful requests would have cost on the dearest deployment considered, less what they did cost: the
    /// saving against "always premium". Negative when failed attempts cost more than was saved.
    pub saved_usd: Usd,
    /// Attempts begun.
    pub attempts: u64,
    /// Of those, still running, or their process died and no other has started since.
    pub open_attempts: u64,
    /// Of those, lost with their process, and booked at their ceiling.
    pub lost_attempts: u64,
    /// Of those, booked at our own estimate or bound for want of a figure from the provider. Lost ones included.
    pub estimated_attempts: u64,
    /// Requests with a simulated answer.
    pub simulated_requests: u64,
    /// What simulated attempts would have cost.
    pub simulated_cost_usd: Usd,
}

/// Figures of one group.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ReportRow {
    /// The group: a value for each name asked for; absent where a request has none.
    #[serde(flatten)]
    pub group: BTreeMap<&'static str, Option<String>>,
    /// Its figures.
    #[serde(flatten)]
    pub figures: Figures,
}

/// A report. Its `Display` is a table for a terminal.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Over everything.
    #[serde(flatten)]
    pub total: Figures,
    /// By group, dearest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<Vec<ReportRow>>,
}

/// A group's values, in the order asked for.
pub(crate) type Group = Vec<Option<String>>;

/// Sums over attempts, as a backend answers them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AttemptSums {
    pub(crate) attempts: u64,
    pub(crate) open: u64,
    pub(crate) lost: u64,
    pub(crate) estimated: u64,
    pub(crate) cost: Usd,
    pub(crate) simulated_cost: Usd,
    pub(crate) usage: Usage,
}

/// Sums over requests, as a backend answers them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RequestSums {
    pub(crate) requests: u64,
    pub(crate) successes: u64,
    pub(crate) errors: u64,
    pub(crate) simulated: u64,
    pub(crate) real_successes: u64,
    pub(crate) saved: Usd,
    pub(crate) latency_ms: Percentiles,
    pub(crate) first_byte_ms: Percentiles,
}

/// The figures made of both sums.
pub(crate) fn figures(attempts: &AttemptSums, requests: &RequestSums) -> Figures {
    let per_success = |n: i64| (n > 0).then(|| Usd::from_nano(attempts.cost.nano() / n));
    Figures {
        requests: requests.requests,
        successes: requests.successes,
        error_rate: requests.errors as f64 / requests.requests.max(1) as f64,
        latency_ms: requests.latency_ms,
        first_byte_ms: requests.first_byte_ms,
        tokens: attempts.usage.input_tokens.saturating_add(attempts.usage.output_tokens),
        usage: attempts.usage,
        cost_usd: attempts.cost,
        cost_per_success_usd: i64::try_from(requests.real_successes).ok().and_then(per_success),
        saved_usd: requests.saved,
        attempts: attempts.attempts,
        open_attempts: attempts.open,
        lost_attempts: attempts.lost,
        estimated_attempts: attempts.estimated,
        simulated_requests: requests.simulated,
        simulated_cost_usd: attempts.simulated_cost,
    }
}

/// Rows made of both sums: one for each group that has either, dearest first, then by name.
pub(crate) fn rows(
    by: &[By],
    attempts: &BTreeMap<Group, AttemptSums>,
    requests: &BTreeMap<Group, RequestSums>,
) -> Vec<ReportRow> {
    let groups: std::collections::BTreeSet<&Group> = attempts.keys().chain(requests.keys()).collect();
    let (no_attempts, no_requests) = (AttemptSums::default(), RequestSums::default());
    let row = |group: &Group| ReportRow {
        group: by.iter().map(|by| by.name()).zip(group.iter().cloned()).collect(),
        figures: figures(
            attempts.get(group).unwrap_or(&no_attempts),
            requests.get(group).unwrap_or(&no_requests),
        ),
    };
    let mut rows: Vec<_> = groups.into_iter().map(row).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.figures.cost_usd));
    rows
}
