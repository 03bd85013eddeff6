//! The report's questions to SQLite: sums over attempts, sums over requests, exact percentiles.

use std::collections::BTreeMap;

use router_core::money::Usd;
use router_core::time::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row, SqlitePool, Transaction};

use super::read::window;
use crate::codec;
use crate::report::{self, AttemptSums, By, Group, Percentiles, Report, ReportQuery, RequestSums};
use crate::sql::USAGE;

/// Answers within one transaction: what is written meanwhile is in all figures or in none.
pub(super) async fn report(pool: &SqlitePool, query: &ReportQuery) -> Result<Report, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let total = sums(&mut tx, query.since, &[]).await?;
    let none = Group::new();
    let total = report::figures(
        &total.0.get(&none).copied().unwrap_or_default(),
        &total.1.get(&none).copied().unwrap_or_default(),
    );
    let mut rows = None;
    if !query.by.is_empty() {
        let (attempts, requests) = sums(&mut tx, query.since, &query.by).await?;
        rows = Some(report::rows(&query.by, &attempts, &requests));
    }
    tx.rollback().await?;
    Ok(Report { total, rows })
}

type Tx = Transaction<'static, sqlx::Sqlite>;
type Sums = (BTreeMap<Group, AttemptSums>, BTreeMap<Group, RequestSums>);

async fn sums(tx: &mut Tx, since: Timestamp, by: &[By]) -> Result<Sums, sqlx::Error> {
    let groups = by.len();
    let attempts = ask(tx, attempts_sql(by), since).await?;
    let attempts = attempts.iter().map(|row| Ok((group(row, groups)?, attempt_sums(row, groups)?)));
    let attempts = attempts.collect::<Result<_, sqlx::Error>>()?;

    let requests = ask(tx, requests_sql(by), since).await?;
    let requests = requests.iter().map(|row| Ok((group(row, groups)?, request_sums(row, groups)?)));
    let mut requests: BTreeMap<Group, RequestSums> = requests.collect::<Result<_, sqlx::Error>>()?;

    for row in ask(tx, percentiles_sql(by, "r.ended_at - r.at"), since).await? {
        requests.entry(group(&row, groups)?).or_default().latency_ms = percentiles(&row, groups, 1_000.0)?;
    }
    for row in ask(tx, percentiles_sql(by, "r.first_byte_ms"), since).await? {
        requests.entry(group(&row, groups)?).or_default().first_byte_ms = percentiles(&row, groups, 1.0)?;
    }
    Ok((attempts, requests))
}

async fn ask(tx: &mut Tx, text: String, since: Timestamp) -> Result<Vec<SqliteRow>, sqlx::Error> {
    // The texts are made of this file's own words; what a user gives is bound.
    let (first, since) = window(since);
    sqlx::query(AssertSqlSafe(text)).bind(first).bind(since).fetch_all(&mut **tx).await
}

/// The expressions of the groups in a select list, and `GROUP BY` them.
fn grouped(by: &[By], of: fn(By) -> &'static str) -> (String, String) {
    let select: String = by.iter().enumerate().map(|(n, by)| format!("{} AS g{n}, ", of(*by))).collect();
    let names: Vec<_> = (0..by.len()).map(|n| format!("g{n}")).collect();
    let group_by = if names.is_empty() { String::new() } else { format!(" GROUP BY {}", names.join(", ")) };
    (select, group_by)
}

const fn of_attempt(by: By) -> &'static str {
    match by {
        By::Provider => "a.provider",
        By::Deployment => "a.deployment",
        By::Model => "a.model",
        By::Key => "a.key",
        By::Tag => "t.value",
        By::Rule => "a.rule",
        By::Experiment => "NULL",
    }
}

const fn of_request(by: By) -> &'static str {
    match by {
        By::Provider => {
            "(SELECT a.provider FROM attempts a WHERE a.request = r.request AND a.deployment = r.deployment LIMIT 1)"
        }
        By::Deployment => "r.deployment",
        By::Model => "r.model",
        By::Key => "r.key",
        By::Tag => "t.value",
        By::Rule => "r.rule",
        By::Experiment => "NULL",
    }
}

/// Rows times their tags, where tags are asked for; without any, once.
fn with_tags(by: &[By], tags: &str) -> String {
    if by.contains(&By::Tag) { format!(" LEFT JOIN json_each({tags}) AS t ON true") } else { String::new() }
}

fn requests_from(by: &[By]) -> String {
    let tags = "(SELECT a.tags FROM attempts a WHERE a.request = r.request LIMIT 1)";
    format!("FROM requests r{} WHERE r.request >= ? AND r.at >= ?", with_tags(by, tags))
}

fn attempts_sql(by: &[By]) -> String {
    let (groups, group_by) = grouped(by, of_attempt);
    let usage: String = USAGE.iter().map(|column| format!(", coalesce(sum(a.{column}), 0)")).collect();
    format!(
        "SELECT {groups}count(*), count(*) - count(a.outcome), count(CASE WHEN a.outcome = 'lost' THEN 1 END), \
         coalesce(sum(a.estimated), 0), \
         coalesce(sum(CASE WHEN a.simulated = 0 THEN a.cost_nanousd END), 0), \
         coalesce(sum(CASE WHEN a.simulated = 1 THEN a.cost_nanousd END), 0){usage} \
         FROM attempts a{} WHERE a.request >= ? AND a.at >= ?{group_by}",
        with_tags(by, "a.tags")
    )
}

fn requests_sql(by: &[By]) -> String {
    let (groups, group_by) = grouped(by, of_request);
    format!(
        "SELECT {groups}count(*), count(CASE WHEN r.outcome = 'success' THEN 1 END), \
         count(CASE WHEN r.outcome NOT IN ('success', 'cancelled') THEN 1 END), coalesce(sum(r.simulated), 0), \
         count(CASE WHEN r.outcome = 'success' AND r.simulated = 0 THEN 1 END), \
         coalesce(sum(CASE WHEN r.outcome = 'success' AND r.simulated = 0 \
                           THEN r.reference_cost_nanousd - r.cost_nanousd END), 0) \
         {}{group_by}",
        requests_from(by)
    )
}

/// Nearest rank: the value that at least that share of the values do not exceed.
fn percentiles_sql(by: &[By], value: &str) -> String {
    let (groups, group_by) = grouped(by, of_request);
    let names: String = (0..by.len()).map(|n| format!("g{n}, ")).collect();
    let partition = group_by.replace(" GROUP BY", "PARTITION BY");
    format!(
        "WITH kept AS (SELECT {groups}{value} AS v {} AND r.outcome = 'success' AND {value} IS NOT NULL), \
         ranked AS (SELECT {names}v, row_number() OVER ({partition} ORDER BY v) AS rank, \
                    count(*) OVER ({partition}) AS n FROM kept) \
         SELECT {names}max(CASE WHEN rank = (n * 50 + 99) / 100 THEN v END), \
                max(CASE WHEN rank = (n * 95 + 99) / 100 THEN v END) FROM ranked{group_by}",
        requests_from(by)
    )
}

fn group(row: &SqliteRow, groups: usize) -> Result<Group, sqlx::Error> {
    (0..groups).map(|n| row.try_get(n)).collect()
}

fn count(row: &SqliteRow, column: usize) -> Result<u64, sqlx::Error> {
    row.try_get::<i64, _>(column).map(i64::cast_unsigned)
}

fn money(row: &SqliteRow, column: usize) -> Result<Usd, sqlx::Error> {
    row.try_get(column).map(Usd::from_nano)
}

fn attempt_sums(row: &SqliteRow, at: usize) -> Result<AttemptSums, sqlx::Error> {
    let mut classes = [0; USAGE.len()];
    for (n, tokens) in classes.iter_mut().enumerate() {
        *tokens = count(row, at + 6 + n)?;
    }
    Ok(AttemptSums {
        attempts: count(row, at)?,
        open: count(row, at + 1)?,
        lost: count(row, at + 2)?,
        estimated: count(row, at + 3)?,
        cost: money(row, at + 4)?,
        simulated_cost: money(row, at + 5)?,
        usage: codec::usage(classes),
    })
}

fn request_sums(row: &SqliteRow, at: usize) -> Result<RequestSums, sqlx::Error> {
    Ok(RequestSums {
        requests: count(row, at)?,
        successes: count(row, at + 1)?,
        errors: count(row, at + 2)?,
        simulated: count(row, at + 3)?,
        real_successes: count(row, at + 4)?,
        saved: money(row, at + 5)?,
        ..RequestSums::default()
    })
}

fn percentiles(row: &SqliteRow, at: usize, per_ms: f64) -> Result<Percentiles, sqlx::Error> {
    let ms = |column| Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(column)?.map(|v| v as f64 / per_ms));
    Ok(Percentiles { p50: ms(at)?, p95: ms(at + 1)? })
}
