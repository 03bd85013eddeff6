//! The ledger's database, read without the server's code: rows as they lie there.

use std::collections::BTreeMap;
use std::path::Path;

use sqlx::Row;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqliteRow};

/// One attempt's row.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptRow {
    /// Request id, 16 bytes.
    pub request: Vec<u8>,
    /// Its number within the request.
    pub attempt: i64,
    /// The deployment called.
    pub deployment: String,
    /// The most it could cost.
    pub ceiling_nanousd: i64,
    /// `success`, `failure`, `cancelled`, `lost`; none: not ended.
    pub outcome: Option<String>,
    /// Of a failure, its kind.
    pub failure: Option<String>,
    /// Input tokens.
    pub input_tokens: i64,
    /// Output tokens.
    pub output_tokens: i64,
    /// Its cost.
    pub cost_nanousd: i64,
    /// Booked without a figure from the provider.
    pub estimated: bool,
}

/// One request's row.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestRow {
    /// Request id, 16 bytes.
    pub request: Vec<u8>,
    /// The model asked for.
    pub model: String,
    /// The rule that matched.
    pub rule: Option<String>,
    /// The deployment that answered.
    pub deployment: Option<String>,
    /// `success`, `cancelled`, or the code of an error.
    pub outcome: String,
    /// Attempts begun.
    pub attempts: i64,
    /// Cost of all of them.
    pub cost_nanousd: i64,
    /// What it would have cost on the dearest deployment.
    pub reference_cost_nanousd: i64,
}

/// Everything in a ledger.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// Attempts.
    pub attempts: Vec<AttemptRow>,
    /// Requests.
    pub requests: Vec<RequestRow>,
}

/// Reads a ledger's file. The server that writes it should have stopped.
///
/// # Panics
/// When it cannot be read.
pub fn read(path: &Path) -> Rows {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let reading = async {
        let pool = SqlitePool::connect_with(SqliteConnectOptions::new().filename(path)).await?;
        let attempts =
            sqlx::query("SELECT * FROM attempts ORDER BY request, attempt").fetch_all(&pool).await?;
        let requests = sqlx::query("SELECT * FROM requests ORDER BY request").fetch_all(&pool).await?;
        pool.close().await;
        Ok::<_, sqlx::Error>(Rows {
            attempts: attempts.iter().map(attempt).collect(),
            requests: requests.iter().map(request).collect(),
        })
    };
    runtime.block_on(reading).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn attempt(row: &SqliteRow) -> AttemptRow {
    AttemptRow {
        request: row.get("request"),
        attempt: row.get("attempt"),
        deployment: row.get("deployment"),
        ceiling_nanousd: row.get("ceiling_nanousd"),
        outcome: row.get("outcome"),
        failure: row.get("failure"),
        input_tokens: row.get("input_tokens"),
        output_tokens: row.get("output_tokens"),
        cost_nanousd: row.get("cost_nanousd"),
        estimated: row.get("estimated"),
    }
}

fn request(row: &SqliteRow) -> RequestRow {
    RequestRow {
        request: row.get("request"),
        model: row.get("model"),
        rule: row.get("rule"),
        deployment: row.get("deployment"),
        outcome: row.get("outcome"),
        attempts: row.get("attempts"),
        cost_nanousd: row.get("cost_nanousd"),
        reference_cost_nanousd: row.get("reference_cost_nanousd"),
    }
}

impl Rows {
    /// Attempts by what the router calls them upstream: `<request id>/<attempt>`, in hex without hyphens.
    pub fn by_call(&self) -> BTreeMap<String, &AttemptRow> {
        self.attempts.iter().map(|row| (format!("{}/{}", hex(&row.request), row.attempt), row)).collect()
    }

    /// Requests by id, in hex without hyphens.
    pub fn by_request(&self) -> BTreeMap<String, &RequestRow> {
        self.requests.iter().map(|row| (hex(&row.request), row)).collect()
    }

    /// Cost of all attempts, in nano-USD.
    pub fn cost_nanousd(&self) -> i128 {
        self.attempts.iter().map(|row| i128::from(row.cost_nanousd)).sum()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A request id or a call's name as [`Rows`] has it: without hyphens, in lower case.
pub fn plain(id: &str) -> String {
    id.replace('-', "").to_ascii_lowercase()
}
