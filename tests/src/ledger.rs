//! The ledger's database, read without the server's code: rows as they lie there.

use std::collections::BTreeMap;
use std::path::Path;

use sqlx::Row;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

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

/// One budget in one period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetRow {
    /// Its name.
    pub budget: String,
    /// Drawn by processes: spent, or theirs to spend.
    pub allotted: i64,
    /// Spent, as far as written.
    pub settled: i64,
    /// Processes that have drawn from it and have not ended.
    pub drawers: i64,
}

/// Of every budget and period, in one snapshot.
const BUDGETS: &str = "SELECT b.budget, b.allotted, \
    CAST(b.settled + coalesce((SELECT sum(a.spent) FROM allotments a \
        WHERE a.budget = b.budget AND a.start = b.start), 0) AS BIGINT) AS settled, \
    (SELECT count(*) FROM allotments a WHERE a.budget = b.budget AND a.start = b.start) AS drawers \
    FROM budgets b ORDER BY b.budget, b.start";

/// A ledger's database, by its address: `sqlite://FILE` or `postgres://...`.
#[derive(Clone, Debug)]
pub struct Database(String);

/// The same, asked of either kind of database.
macro_rules! ask {
    ($url:expr, |$pool:ident| $question:expr) => {{
        let asking = async {
            match $url.strip_prefix("sqlite://") {
                Some(file) => {
                    let $pool = SqlitePool::connect_with(SqliteConnectOptions::new().filename(file)).await?;
                    let answer = $question;
                    $pool.close().await;
                    Ok::<_, sqlx::Error>(answer)
                }
                None => {
                    let $pool: PgPool = PgPoolOptions::new().max_connections(1).connect($url).await?;
                    let answer = $question;
                    $pool.close().await;
                    Ok(answer)
                }
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(asking)
    }};
}

/// Rows by the names of their columns.
macro_rules! by_name {
    ($type:ident { $($column:ident),* }, $rows:expr) => {
        $rows.iter().map(|row| $type { $($column: row.get(stringify!($column))),* }).collect()
    };
}

impl Database {
    /// At this address.
    pub fn at(url: &str) -> Self {
        Self(url.to_owned())
    }

    /// Everything in it. Who writes to it should have stopped.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn rows(&self) -> Rows {
        let rows = ask!(self.0.as_str(), |pool| {
            let attempts =
                sqlx::query("SELECT * FROM attempts ORDER BY request, attempt").fetch_all(&pool).await?;
            let requests = sqlx::query("SELECT * FROM requests ORDER BY request").fetch_all(&pool).await?;
            Rows {
                attempts: by_name!(
                    AttemptRow {
                        request,
                        attempt,
                        deployment,
                        ceiling_nanousd,
                        outcome,
                        failure,
                        input_tokens,
                        output_tokens,
                        cost_nanousd,
                        estimated
                    },
                    attempts
                ),
                requests: by_name!(
                    RequestRow {
                        request,
                        model,
                        rule,
                        deployment,
                        outcome,
                        attempts,
                        cost_nanousd,
                        reference_cost_nanousd
                    },
                    requests
                ),
            }
        });
        rows.unwrap_or_else(|error| panic!("{}: {error}", self.0))
    }

    /// Its budgets, now; nothing while it cannot be reached.
    pub fn budgets(&self) -> Option<Vec<BudgetRow>> {
        let rows = ask!(self.0.as_str(), |pool| {
            let rows = sqlx::query(BUDGETS).fetch_all(&pool).await?;
            by_name!(BudgetRow { budget, allotted, settled, drawers }, rows)
        });
        rows.ok()
    }
}

/// Reads a ledger's file. The server that writes it should have stopped.
///
/// # Panics
/// When it cannot be read.
pub fn read(path: &Path) -> Rows {
    Database::at(&format!("sqlite://{}", path.display())).rows()
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
