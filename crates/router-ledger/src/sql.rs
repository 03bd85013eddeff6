//! SQL that backends share: the columns, the inserts made of them, and the questions a report asks. No connection here.

use std::sync::LazyLock;

/// Rows per statement: a batch is written with the largest that fits, so that few texts are prepared and kept.
pub(crate) const ROWS: [usize; 3] = [64, 8, 1];

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

fn close() -> impl Iterator<Item = &'static str> {
    let end = ["cost_nanousd", "estimated", "first_byte_ms", "total_ms", "provider_cost_nanousd"];
    ["ended_at", "outcome", "failure"].into_iter().chain(USAGE).chain(end)
}

fn request() -> impl Iterator<Item = &'static str> {
    let start = [
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
    ];
    let end = ["cost_nanousd", "reference_cost_nanousd", "first_byte_ms", "overhead_us", "simulated"];
    start.into_iter().chain(USAGE).chain(end)
}

/// One text per entry of [`ROWS`].
pub(crate) type Texts = LazyLock<[String; ROWS.len()]>;

/// An attempt that has only begun.
pub(crate) static INSERT_OPEN: Texts =
    LazyLock::new(|| inserts("attempts", &bound(OPEN), "request, attempt", OPEN.into_iter().skip(2)));

/// An attempt that began and ended within a batch.
pub(crate) static INSERT_WHOLE: Texts = LazyLock::new(|| {
    let columns = bound(OPEN.into_iter().chain(close()));
    inserts("attempts", &columns, "request, attempt", OPEN.into_iter().skip(2).chain(close()))
});

/// The end of an attempt whose beginning is there; if damage took that, a row with empty names, so that its cost counts.
pub(crate) static INSERT_CLOSE: Texts = LazyLock::new(|| {
    let mut columns = bound(["request", "attempt", "instance", "at"]);
    columns.extend(["deployment", "provider", "model", "price_version"].map(|c| (c, "''")));
    columns.extend(["ceiling_nanousd", "simulated"].map(|c| (c, "0")));
    columns.extend(bound(close()));
    inserts("attempts", &columns, "request, attempt", close())
});

/// A request that ended.
pub(crate) static INSERT_REQUEST: Texts =
    LazyLock::new(|| inserts("requests", &bound(request()), "request", request().skip(1)));

fn bound(columns: impl IntoIterator<Item = &'static str>) -> Vec<(&'static str, &'static str)> {
    columns.into_iter().map(|column| (column, "?")).collect()
}

fn inserts(
    table: &str,
    columns: &[(&str, &str)],
    key: &str,
    updated: impl Iterator<Item = &'static str>,
) -> [String; ROWS.len()] {
    let names = join(columns.iter().map(|(name, _)| (*name).to_owned()));
    let row = format!("({})", join(columns.iter().map(|(_, value)| (*value).to_owned())));
    let updated = join(updated.map(|column| format!("{column} = excluded.{column}")));
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

/// Where to look for requests a dead process left without an end: from its oldest open attempt on, and in any case the
/// last ten minutes before its last attempt (a request whose attempts all ended was about to be recorded itself).
pub(crate) const UNENDED_SINCE: &str = "SELECT min(coalesce((SELECT min(at) FROM attempts WHERE instance = ?1 AND outcome IS NULL), latest), \
                latest - 600000000) \
     FROM (SELECT at AS latest FROM attempts WHERE instance = ?1 ORDER BY at DESC LIMIT 1)";

/// Gives such requests an end, from their attempts. `reference` is their cost: nothing is claimed to be saved.
pub(crate) static END_REQUESTS: LazyLock<String> = LazyLock::new(|| {
    let names = join(request().map(str::to_owned));
    let usage = join(USAGE.into_iter().map(|c| format!("sum(a.{c})")));
    format!(
        "INSERT INTO requests ({names}) SELECT a.request, min(a.at), max(coalesce(a.ended_at, a.at)), a.model, a.key, \
         NULL, a.rule, max(CASE WHEN a.outcome = 'success' THEN a.deployment END), \
         CASE WHEN max(a.outcome = 'success') THEN 'success' ELSE 'lost' END, max(a.attempt), {usage}, \
         sum(a.cost_nanousd), sum(a.cost_nanousd), NULL, 0, max(a.simulated) \
         FROM attempts a WHERE a.instance = ? AND a.at >= ? \
         AND NOT EXISTS (SELECT 1 FROM requests r WHERE r.request = a.request) GROUP BY a.request"
    )
});

/// Attempts in the order they began, after a cursor.
pub(crate) static LIST_ATTEMPTS: LazyLock<String> = LazyLock::new(|| {
    let names = join(OPEN.into_iter().chain(close()).map(str::to_owned));
    format!(
        "SELECT {names} FROM attempts WHERE at >= ? AND (at, request, attempt) > (?, ?, ?) \
         ORDER BY at, request, attempt LIMIT ?"
    )
});

/// What attempts have cost.
pub(crate) const TOTAL_COST: &str =
    "SELECT coalesce(sum(cost_nanousd), 0) FROM attempts WHERE at >= ? AND simulated = 0";

/// How deployments did: exact percentiles by nearest rank, of successes.
pub(crate) const DEPLOYMENT_STATS: &str = "WITH ended AS (\
         SELECT deployment, outcome, total_ms, \
                row_number() OVER (PARTITION BY deployment, outcome = 'success' ORDER BY total_ms) AS rank, \
                count(*) OVER (PARTITION BY deployment, outcome = 'success') AS n \
         FROM attempts WHERE at >= ? AND outcome IS NOT NULL AND outcome <> 'cancelled') \
     SELECT deployment, count(*), sum(outcome <> 'success'), \
            max(CASE WHEN outcome = 'success' AND rank = (n * 50 + 99) / 100 THEN total_ms END), \
            max(CASE WHEN outcome = 'success' AND rank = (n * 95 + 99) / 100 THEN total_ms END) \
     FROM ended GROUP BY deployment ORDER BY deployment";
