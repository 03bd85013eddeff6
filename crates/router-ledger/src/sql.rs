//! SQL that backends share: the columns, the inserts made of them, and the questions a report asks. No connection here.

use std::sync::LazyLock;

use router_core::record::RequestId;
use router_core::time::Timestamp;

/// Rows per statement: a batch is written with the largest that fits, so that few texts are prepared and kept.
/// Each statement is a question to SQLite's thread and an answer, four wake-ups; the longest has 8,000 arguments of the
/// 32,766 that SQLite takes.
pub(crate) const ROWS: [usize; 5] = [256, 64, 16, 4, 1];

/// Columns an `open` fills, after which come those a `close` fills.
const OPEN: [&str; 13] = [
    "request",
    "attempt",
    "instance",
    "at",
    "deployment",
    "provider",
    "model",
    "key",
    "tags",
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

/// One text per entry of [`ROWS`].
pub(crate) type Texts = LazyLock<[String; ROWS.len()]>;

/// An attempt that has only begun.
pub(crate) static INSERT_OPEN: Texts =
    LazyLock::new(|| inserts("attempts", &bound(&[&OPEN]), "request, attempt", &[beyond_key(&OPEN)]));

/// An attempt that began and ended within a batch.
pub(crate) static INSERT_WHOLE: Texts = LazyLock::new(|| whole(&[]));

/// The same, with [`RARE`] classes.
pub(crate) static INSERT_WHOLE_RARE: Texts = LazyLock::new(|| whole(&RARE));

/// The end of an attempt whose beginning is there; if damage took that, a row with empty names, so that its cost counts.
pub(crate) static INSERT_CLOSE: Texts = LazyLock::new(|| closing(&[]));

/// The same, with [`RARE`] classes.
pub(crate) static INSERT_CLOSE_RARE: Texts = LazyLock::new(|| closing(&RARE));

/// A request that ended.
pub(crate) static INSERT_REQUEST: Texts = LazyLock::new(|| {
    inserts(
        "requests",
        &bound(&[&REQUEST]),
        "request",
        &[REQUEST.split_first().map_or(&[], |(_, rest)| rest)],
    )
});

type Columns = [&'static str];

fn whole(rare: &'static Columns) -> [String; ROWS.len()] {
    inserts(
        "attempts",
        &bound(&[&OPEN, &CLOSE, rare]),
        "request, attempt",
        &[beyond_key(&OPEN), &CLOSE, rare],
    )
}

fn closing(rare: &'static Columns) -> [String; ROWS.len()] {
    let mut columns = bound(&[&["request", "attempt", "instance", "at"], &CLOSE, rare]);
    columns.extend(["deployment", "provider", "model", "price_version"].map(|c| (c, "''")));
    columns.extend(["ceiling_nanousd", "simulated"].map(|c| (c, "0")));
    inserts("attempts", &columns, "request, attempt", &[&CLOSE, rare])
}

fn beyond_key(columns: &'static Columns) -> &'static Columns {
    columns.get(2..).unwrap_or_default()
}

fn bound(columns: &[&Columns]) -> Vec<(&'static str, &'static str)> {
    columns.iter().copied().flatten().map(|column| (*column, "?")).collect()
}

fn inserts(table: &str, columns: &[(&str, &str)], key: &str, updated: &[&Columns]) -> [String; ROWS.len()] {
    let names = join(columns.iter().map(|(name, _)| (*name).to_owned()));
    let row = format!("({})", join(columns.iter().map(|(_, value)| (*value).to_owned())));
    let updated =
        join(updated.iter().copied().flatten().map(|column| format!("{column} = excluded.{column}")));
    ROWS.map(|rows| {
        let values = join(std::iter::repeat_n(row.clone(), rows));
        format!("INSERT INTO {table} ({names}) VALUES {values} ON CONFLICT ({key}) DO UPDATE SET {updated}")
    })
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

/// How far a series is.
pub(crate) const REACH: &str = "INSERT INTO positions (instance, series, file, byte_offset) VALUES (?, ?, ?, ?) \
     ON CONFLICT (instance, series) DO UPDATE SET file = excluded.file, byte_offset = excluded.byte_offset";

/// Books what a dead process never closed.
pub(crate) const BOOK_LOST: &str = "UPDATE attempts SET outcome = 'lost', ended_at = at, total_ms = 0, \
     cost_nanousd = ceiling_nanousd, estimated = 1 WHERE instance = ? AND outcome IS NULL";

/// A dead process's oldest request with an attempt still open, and its last request.
pub(crate) const UNENDED: &str = "SELECT (SELECT min(request) FROM attempts WHERE instance = ?1 AND outcome IS NULL), \
     (SELECT request FROM attempts WHERE instance = ?1 ORDER BY request DESC LIMIT 1)";

/// Gives requests without an end one, from their attempts. The reference is their cost: nothing is claimed to be saved.
pub(crate) static END_REQUESTS: LazyLock<String> = LazyLock::new(|| {
    let names = REQUEST.join(", ");
    format!(
        "INSERT INTO requests ({names}) SELECT a.request, min(a.at), max(coalesce(a.ended_at, a.at)), a.model, a.key, \
         NULL, a.rule, max(CASE WHEN a.outcome = 'success' THEN a.deployment END), \
         CASE WHEN max(a.outcome = 'success') THEN 'success' ELSE 'lost' END, max(a.attempt), \
         sum(a.cost_nanousd), sum(a.cost_nanousd), NULL, 0, max(a.simulated) \
         FROM attempts a WHERE a.instance = ? AND a.request >= ? \
         AND NOT EXISTS (SELECT 1 FROM requests r WHERE r.request = a.request) GROUP BY a.request"
    )
});

/// Attempts by request, after a cursor.
pub(crate) static LIST_ATTEMPTS: LazyLock<String> = LazyLock::new(|| {
    let names = [&OPEN[..], &CLOSE, &RARE].concat().join(", ");
    format!(
        "SELECT {names} FROM attempts WHERE request >= ? AND at >= ? AND (request, attempt) > (?, ?) \
         ORDER BY request, attempt LIMIT ?"
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
pub(crate) const TOTAL_COST: &str =
    "SELECT coalesce(sum(cost_nanousd), 0) FROM attempts WHERE request >= ? AND at >= ? AND simulated = 0";

/// How deployments did: exact percentiles by nearest rank, of successes.
pub(crate) const DEPLOYMENT_STATS: &str = "WITH ended AS (\
         SELECT deployment, outcome, total_ms, \
                row_number() OVER (PARTITION BY deployment, outcome = 'success' ORDER BY total_ms) AS rank, \
                count(*) OVER (PARTITION BY deployment, outcome = 'success') AS n \
         FROM attempts WHERE request >= ? AND at >= ? AND outcome IS NOT NULL AND outcome <> 'cancelled') \
     SELECT deployment, count(*), sum(outcome <> 'success'), \
            max(CASE WHEN outcome = 'success' AND rank = (n * 50 + 99) / 100 THEN total_ms END), \
            max(CASE WHEN outcome = 'success' AND rank = (n * 95 + 99) / 100 THEN total_ms END) \
     FROM ended GROUP BY deployment ORDER BY deployment";
