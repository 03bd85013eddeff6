//! SQL that both backends share: the columns, the inserts made of them, and the questions asked. No connection here.
//!
//! Texts are what SQLite and PostgreSQL both read: arguments are `$1`, sums are cast to integers (PostgreSQL's sum of
//! integers is a decimal), flags are tested, not compared. What differs is [`Flavor`].

use std::fmt::Write as _;
use std::sync::LazyLock;

use router_core::record::{PROBE, RequestId};
use router_core::time::Timestamp;

/// Whose SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavor {
    Sqlite,
    Postgres,
}

impl Flavor {
    /// The texts that write a batch.
    pub(crate) fn inserts(self) -> &'static Inserts {
        static SQLITE: LazyLock<Inserts> = LazyLock::new(|| Inserts::new(Flavor::Sqlite));
        static POSTGRES: LazyLock<Inserts> = LazyLock::new(|| Inserts::new(Flavor::Postgres));
        match self {
            Self::Sqlite => &SQLITE,
            Self::Postgres => &POSTGRES,
        }
    }

    /// A row for each element of a JSON array, as `t.value`.
    pub(crate) const fn each_of_json(self) -> [&'static str; 2] {
        match self {
            Self::Sqlite => ["json_each(", ") AS t"],
            Self::Postgres => ["LATERAL json_array_elements_text((", ")::json) AS t (value)"],
        }
    }

    /// Appends words with each `?` as this database writes an argument. SQLite finds a numbered one by going through all
    /// of them, so that thousands have to be bare.
    fn number(self, out: &mut String, words: &str) {
        match self {
            Self::Sqlite => out.push_str(words),
            Self::Postgres => {
                for (number, words) in words.split('?').enumerate() {
                    if number > 0 {
                        let _ = write!(out, "${number}");
                    }
                    out.push_str(words);
                }
            }
        }
    }
}

/// Rows per statement: a batch is written with the largest that fits, so that few texts are prepared and kept.
/// Each statement is a question to the database and an answer; the longest has 8,500 arguments of the 32,766 that SQLite
/// takes and the 65,535 of PostgreSQL.
pub(crate) const ROWS: [usize; 5] = [256, 64, 16, 4, 1];

/// Columns an `open` fills, after which come those a `close` fills.
const OPEN: [&str; 14] = [
    "request",
    "attempt",
    "instance",
    "at",
    "deployment",
    "provider",
    "model",
    "key",
    "tags",
    "budgets",
    "rule",
    "ceiling_nanousd",
    "price_version",
    "simulated",
];

/// Token classes, in the order of `Usage`'s fields.
pub(crate) const USAGE: [&str; 10] = [
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "audio_input_tokens",
    "cached_audio_input_tokens",
    "image_input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "audio_output_tokens",
];

/// Of those, the ones most answers have none of. Rows without them are written by shorter statements.
const RARE: [&str; 6] = [
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "audio_input_tokens",
    "cached_audio_input_tokens",
    "image_input_tokens",
    "audio_output_tokens",
];

/// Columns a `close` fills; [`RARE`] ones come after these.
const CLOSE: [&str; 12] = [
    "ended_at",
    "outcome",
    "failure",
    "input_tokens",
    "cached_input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost_nanousd",
    "estimated",
    "first_byte_ms",
    "total_ms",
    "provider_cost_nanousd",
];

const REQUEST: [&str; 15] = [
    "request",
    "at",
    "ended_at",
    "model",
    "key",
    "client_request_id",
    "rule",
    "deployment",
    "outcome",
    "attempts",
    "cost_nanousd",
    "reference_cost_nanousd",
    "first_byte_ms",
    "overhead_us",
    "simulated",
];

/// The provider of the deployment that answered: its attempt is in the ledger before the request's end is.
const ANSWERED_BY: &str =
    "(SELECT a.provider FROM attempts a WHERE a.request = ? AND a.deployment = ? LIMIT 1)";

/// One text per entry of [`ROWS`].
pub(crate) type Texts = [String; ROWS.len()];

/// The texts that write a batch.
#[derive(Debug)]
pub(crate) struct Inserts {
    /// An attempt that has only begun.
    pub(crate) open: Texts,
    /// An attempt that began and ended within a batch.
    pub(crate) whole: Texts,
    /// The same, with [`RARE`] classes.
    pub(crate) whole_rare: Texts,
    /// The end of an attempt whose beginning is there; if damage took that, a row with empty names, so that its cost
    /// counts.
    pub(crate) close: Texts,
    /// The same, with [`RARE`] classes.
    pub(crate) close_rare: Texts,
    /// A request that ended.
    pub(crate) request: Texts,
    /// The same, whose provider is in the ledger.
    pub(crate) request_late: Texts,
    /// What a process has spent of a budget.
    pub(crate) spent: Texts,
    /// The budgets of attempts still open, by request.
    pub(crate) open_budgets: Texts,
}

type Columns = [&'static str];

impl Inserts {
    fn new(flavor: Flavor) -> Self {
        let attempts = |columns: &[(&str, &str)], updated: &[&Columns]| {
            inserts(flavor, "attempts", columns, ("request, attempt", &excluded(updated)))
        };
        let whole = |rare: &Columns| {
            attempts(&bound(&[&OPEN, &CLOSE, rare]), &[OPEN.get(2..).unwrap_or_default(), &CLOSE, rare])
        };
        let close = |rare: &Columns| {
            let mut columns = bound(&[&["request", "attempt", "instance", "at"], &CLOSE, rare]);
            columns.extend(["deployment", "provider", "model", "price_version"].map(|c| (c, "''")));
            columns.extend([("ceiling_nanousd", "0"), ("simulated", "false")]);
            attempts(&columns, &[&CLOSE, rare])
        };
        let request = |provider| {
            let mut columns = bound(&[&REQUEST]);
            columns.push(("provider", provider));
            let updated = excluded(&[REQUEST.get(1..).unwrap_or_default(), &["provider"]]);
            inserts(flavor, "requests", &columns, ("request", &updated))
        };
        let spent = [("budget", "?"), ("start", "?"), ("instance", "?"), ("drawn", "0"), ("spent", "?")];
        let add = format!("spent = {}", sum("allotments.spent", "excluded.spent"));
        Self {
            open: attempts(&bound(&[&OPEN]), &[OPEN.get(2..).unwrap_or_default()]),
            whole: whole(&[]),
            whole_rare: whole(&RARE),
            close: close(&[]),
            close_rare: close(&RARE),
            request: request("?"),
            request_late: request(ANSWERED_BY),
            spent: inserts(flavor, "allotments", &spent, ("budget, start, instance", &add)),
            open_budgets: open_budgets(flavor),
        }
    }
}

/// A sum of amounts that are not negative, which never grows beyond what a column holds.
fn sum(a: &str, b: &str) -> String {
    format!("CASE WHEN {a} > {max} - {b} THEN {max} ELSE {a} + {b} END", max = i64::MAX)
}

fn bound(columns: &[&Columns]) -> Vec<(&'static str, &'static str)> {
    columns.iter().copied().flatten().map(|column| (*column, "?")).collect()
}

fn excluded(columns: &[&Columns]) -> String {
    join(columns.iter().copied().flatten().map(|column| format!("{column} = excluded.{column}")))
}

fn inserts(flavor: Flavor, table: &str, columns: &[(&str, &str)], conflict: (&str, &str)) -> Texts {
    let names = join(columns.iter().map(|(name, _)| (*name).to_owned()));
    let row = format!("({})", join(columns.iter().map(|(_, value)| (*value).to_owned())));
    ROWS.map(|rows| {
        let mut text = format!("INSERT INTO {table} ({names}) VALUES ");
        let values = vec![row.as_str(); rows].join(", ");
        flavor.number(&mut text, &values);
        let (key, updated) = conflict;
        let _ = write!(text, " ON CONFLICT ({key}) DO UPDATE SET {updated}");
        text
    })
}

fn open_budgets(flavor: Flavor) -> Texts {
    ROWS.map(|rows| {
        let mut text = "SELECT request, attempt, budgets FROM attempts \
             WHERE outcome IS NULL AND budgets IS NOT NULL AND request IN ("
            .to_owned();
        flavor.number(&mut text, &vec!["?"; rows].join(", "));
        text.push(')');
        text
    })
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

/// How far a series is.
pub(crate) const REACH: &str = "INSERT INTO positions (instance, series, file, byte_offset) \
     VALUES ($1, $2, $3, $4) \
     ON CONFLICT (instance, series) DO UPDATE SET file = excluded.file, byte_offset = excluded.byte_offset";

/// Books what a dead process never closed.
pub(crate) const BOOK_LOST: &str = "UPDATE attempts SET outcome = 'lost', ended_at = at, total_ms = 0, \
     cost_nanousd = ceiling_nanousd, estimated = true WHERE instance = $1 AND outcome IS NULL";

/// Gives requests without an end one, from their attempts. The reference is their cost: nothing is claimed to be saved.
pub(crate) static END_REQUESTS: LazyLock<String> = LazyLock::new(|| {
    let names = REQUEST.join(", ");
    format!(
        "INSERT INTO requests ({names}, provider) SELECT a.request, min(a.at), max(coalesce(a.ended_at, a.at)), \
         min(a.model), min(a.key), NULL, min(a.rule), max(CASE WHEN a.outcome = 'success' THEN a.deployment END), \
         CASE WHEN count(CASE WHEN a.outcome = 'success' THEN 1 END) > 0 THEN 'success' ELSE 'lost' END, \
         max(a.attempt), CAST(sum(a.cost_nanousd) AS BIGINT), CAST(sum(a.cost_nanousd) AS BIGINT), NULL, 0, \
         count(CASE WHEN a.simulated THEN 1 END) > 0, max(CASE WHEN a.outcome = 'success' THEN a.provider END) \
         FROM attempts a WHERE a.instance = $1 AND a.request >= $2 \
         AND NOT (a.key IS NULL AND a.model = a.deployment AND coalesce(a.rule, '') = '{PROBE}') \
         AND NOT EXISTS (SELECT 1 FROM requests r WHERE r.request = a.request) GROUP BY a.request"
    )
});

/// Attempts by request, after a cursor, with their classes in [`USAGE`]'s order.
pub(crate) static LIST_ATTEMPTS: LazyLock<String> = LazyLock::new(|| {
    let end = ["cost_nanousd", "estimated", "first_byte_ms", "total_ms", "provider_cost_nanousd"];
    let names = [&OPEN[..], &["ended_at", "outcome", "failure"], &USAGE, &end].concat().join(", ");
    format!(
        "SELECT {names} FROM attempts WHERE request >= $1 AND at >= $2 AND (request, attempt) > ($3, $4) \
         ORDER BY request, attempt LIMIT $5"
    )
});

/// How long before its last attempt a request may have got its id: an hour, beyond any sensible deadline.
const LONGEST_REQUEST_MS: u64 = 3_600_000;

/// The least id a request can have that begins, or has an attempt that begins, at or after `since`. A window of time is
/// this bound on the primary key, for speed, and then the time itself, to be exact.
pub(crate) const fn first_request(since: Timestamp) -> RequestId {
    id_at((since.as_micros() / 1_000).saturating_sub(LONGEST_REQUEST_MS))
}

/// The least id of a millisecond since the Unix epoch: a UUIDv7 begins with it, in 48 bits.
pub(crate) const fn id_at(ms: u64) -> RequestId {
    RequestId((ms as u128) << 80)
}

/// What attempts have cost.
pub(crate) const TOTAL_COST: &str = "SELECT CAST(coalesce(sum(cost_nanousd), 0) AS BIGINT) FROM attempts \
     WHERE request >= $1 AND at >= $2 AND NOT simulated";

/// How deployments did: exact percentiles by nearest rank, of successes.
pub(crate) const DEPLOYMENT_STATS: &str = "WITH ended AS (\
         SELECT deployment, outcome, total_ms, \
                row_number() OVER (PARTITION BY deployment, outcome = 'success' ORDER BY total_ms) AS place, \
                count(*) OVER (PARTITION BY deployment, outcome = 'success') AS n \
         FROM attempts WHERE request >= $1 AND at >= $2 AND outcome IS NOT NULL AND outcome <> 'cancelled') \
     SELECT deployment, count(*), count(CASE WHEN outcome <> 'success' THEN 1 END), \
            max(CASE WHEN outcome = 'success' AND place = (n * 50 + 99) / 100 THEN total_ms END), \
            max(CASE WHEN outcome = 'success' AND place = (n * 95 + 99) / 100 THEN total_ms END) \
     FROM ended GROUP BY deployment ORDER BY deployment";

/// Makes a budget's row where there is none, locks it, and says what is drawn from it.
pub(crate) const LOCK_BUDGET: &str = "INSERT INTO budgets (budget, start, allotted, settled) VALUES ($1, $2, 0, 0) \
     ON CONFLICT (budget, start) DO UPDATE SET allotted = budgets.allotted RETURNING allotted";

/// Changes what is drawn from a budget, and by a process.
pub(crate) const SET_ALLOTTED: &str = "UPDATE budgets SET allotted = $3 WHERE budget = $1 AND start = $2";
pub(crate) const SET_DRAWN: &str = "INSERT INTO allotments (budget, start, instance, drawn, spent) \
     VALUES ($1, $2, $3, $4, 0) ON CONFLICT (budget, start, instance) DO UPDATE SET drawn = excluded.drawn";
pub(crate) const DRAWN: &str =
    "SELECT drawn FROM allotments WHERE budget = $1 AND start = $2 AND instance = $3";

/// A budget's figures: what ended processes have spent, and the living.
pub(crate) const BUDGET_FIGURES: &str = "SELECT CAST(coalesce((SELECT allotted FROM budgets \
            WHERE budget = $1 AND start = $2), 0) AS BIGINT), \
     CAST(coalesce((SELECT settled FROM budgets WHERE budget = $1 AND start = $2), 0) AS BIGINT), \
     CAST(coalesce((SELECT sum(spent) FROM allotments WHERE budget = $1 AND start = $2), 0) AS BIGINT)";
