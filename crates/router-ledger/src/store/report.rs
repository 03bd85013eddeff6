//! The report's questions: sums over attempts, sums over requests, exact percentiles.

use std::collections::BTreeMap;

use router_core::time::Timestamp;
use sqlx::{AssertSqlSafe, SqlSafeStr};

use super::read::window;
use super::sql::{Flavor, USAGE};
use super::tx::{Args, Cells, Row, Tx};
use super::{Answered, Backend};
use crate::codec;
use crate::report::{self, AttemptSums, By, Group, Percentiles, Report, ReportQuery, RequestSums};

/// Answers within one transaction: what is written meanwhile is in all figures or in none.
pub(super) async fn report(backend: &impl Backend, query: &ReportQuery) -> Answered<Report> {
    let mut tx = backend.read().await?;
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
    tx.commit().await?;
    Ok(Report { total, rows })
}

type Sums = (BTreeMap<Group, AttemptSums>, BTreeMap<Group, RequestSums>);

async fn sums<T: Tx>(tx: &mut T, since: Timestamp, by: &[By]) -> Answered<Sums> {
    let ask = Ask { flavor: T::FLAVOR, by };
    let mut attempts = BTreeMap::new();
    for row in rows(tx, ask.attempts(), since).await? {
        let mut cells = row.cells();
        attempts.insert(group(&mut cells, by)?, attempt_sums(&mut cells)?);
    }
    let mut requests: BTreeMap<Group, RequestSums> = BTreeMap::new();
    for row in rows(tx, ask.requests(), since).await? {
        let mut cells = row.cells();
        requests.insert(group(&mut cells, by)?, request_sums(&mut cells)?);
    }
    for row in rows(tx, ask.percentiles("r.ended_at - r.at"), since).await? {
        let mut cells = row.cells();
        let group = group(&mut cells, by)?;
        requests.entry(group).or_default().latency_ms = percentiles(&mut cells, 1_000.0)?;
    }
    for row in rows(tx, ask.percentiles("r.first_byte_ms"), since).await? {
        let mut cells = row.cells();
        let group = group(&mut cells, by)?;
        requests.entry(group).or_default().first_byte_ms = percentiles(&mut cells, 1.0)?;
    }
    Ok((attempts, requests))
}

async fn rows<T: Tx>(tx: &mut T, text: String, since: Timestamp) -> Answered<Vec<T::Row>> {
    let (first, since) = window(since);
    let mut args = T::Args::default();
    args.put((&first).into()).and_then(|()| args.put(since.into())).map_err(sqlx::Error::Encode)?;
    // The texts are made of this file's own words; what a user gives is bound.
    tx.rows_with(AssertSqlSafe(text).into_sql_str(), args).await
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
        // Of one written before it had the column, it is its attempt's.
        By::Provider => {
            "coalesce(r.provider, (SELECT a.provider FROM attempts a \
             WHERE r.provider IS NULL AND a.request = r.request AND a.deployment = r.deployment LIMIT 1))"
        }
        By::Deployment => "r.deployment",
        By::Model => "r.model",
        By::Key => "r.key",
        By::Tag => "t.value",
        By::Rule => "r.rule",
        By::Experiment => "NULL",
    }
}

/// The texts of a report by something.
struct Ask<'a> {
    flavor: Flavor,
    by: &'a [By],
}

impl Ask<'_> {
    /// Rows times their tags, where tags are asked for; without any, once.
    fn with_tags(&self, tags: &str) -> String {
        let [before, after] = self.flavor.each_of_json();
        if self.by.contains(&By::Tag) {
            format!(" LEFT JOIN {before}{tags}{after} ON true")
        } else {
            String::new()
        }
    }

    /// Where requests are counted from.
    fn requested(&self) -> String {
        let tags = "(SELECT a.tags FROM attempts a WHERE a.request = r.request LIMIT 1)";
        format!("FROM requests r{} WHERE r.request >= $1 AND r.at >= $2", self.with_tags(tags))
    }

    fn attempts(&self) -> String {
        let (groups, group_by) = grouped(self.by, of_attempt);
        let usage: String = USAGE.iter().map(|column| format!(", {}", sum(&format!("a.{column}")))).collect();
        format!(
            "SELECT {groups}count(*), count(*) - count(a.outcome), count(CASE WHEN a.outcome = 'lost' THEN 1 END), \
             count(CASE WHEN a.estimated THEN 1 END), {}, {}{usage} \
             FROM attempts a{} WHERE a.request >= $1 AND a.at >= $2{group_by}",
            sum("CASE WHEN NOT a.simulated THEN a.cost_nanousd END"),
            sum("CASE WHEN a.simulated THEN a.cost_nanousd END"),
            self.with_tags("a.tags")
        )
    }

    fn requests(&self) -> String {
        let (groups, group_by) = grouped(self.by, of_request);
        format!(
            "SELECT {groups}count(*), count(CASE WHEN r.outcome = 'success' THEN 1 END), \
             count(CASE WHEN r.outcome NOT IN ('success', 'cancelled') THEN 1 END), \
             count(CASE WHEN r.simulated THEN 1 END), \
             count(CASE WHEN r.outcome = 'success' AND NOT r.simulated THEN 1 END), {} {}{group_by}",
            sum("CASE WHEN r.outcome = 'success' AND NOT r.simulated \
                 THEN r.reference_cost_nanousd - r.cost_nanousd END"),
            self.requested()
        )
    }

    /// Nearest rank: the value that at least that share of the values do not exceed.
    fn percentiles(&self, value: &str) -> String {
        let (groups, group_by) = grouped(self.by, of_request);
        let names: String = (0..self.by.len()).map(|n| format!("g{n}, ")).collect();
        let partition = group_by.replace(" GROUP BY", "PARTITION BY");
        format!(
            "WITH kept AS (SELECT {groups}{value} AS v {} AND r.outcome = 'success' AND {value} IS NOT NULL), \
             ranked AS (SELECT {names}v, row_number() OVER ({partition} ORDER BY v) AS place, \
                        count(*) OVER ({partition}) AS n FROM kept) \
             SELECT {names}max(CASE WHEN place = (n * 50 + 99) / 100 THEN v END), \
                    max(CASE WHEN place = (n * 95 + 99) / 100 THEN v END) FROM ranked{group_by}",
            self.requested()
        )
    }
}

fn sum(value: &str) -> String {
    format!("CAST(coalesce(sum({value}), 0) AS BIGINT)")
}

fn group<R: Row>(cells: &mut Cells<'_, R>, by: &[By]) -> Answered<Group> {
    by.iter().map(|_| Ok(cells.maybe_text()?.map(str::to_owned))).collect()
}

fn attempt_sums<R: Row>(cells: &mut Cells<'_, R>) -> Answered<AttemptSums> {
    let (attempts, open, lost, estimated) = (cells.small()?, cells.small()?, cells.small()?, cells.small()?);
    let (cost, simulated_cost) = (cells.money()?, cells.money()?);
    let mut classes = [0; USAGE.len()];
    for tokens in &mut classes {
        *tokens = cells.int()?.cast_unsigned();
    }
    Ok(AttemptSums { attempts, open, lost, estimated, cost, simulated_cost, usage: codec::usage(classes) })
}

fn request_sums<R: Row>(cells: &mut Cells<'_, R>) -> Answered<RequestSums> {
    Ok(RequestSums {
        requests: cells.small()?,
        successes: cells.small()?,
        errors: cells.small()?,
        simulated: cells.small()?,
        real_successes: cells.small()?,
        saved: cells.money()?,
        ..RequestSums::default()
    })
}

fn percentiles<R: Row>(cells: &mut Cells<'_, R>, per_ms: f64) -> Answered<Percentiles> {
    let mut ms = || Ok::<_, sqlx::Error>(cells.maybe_int()?.map(|v| v as f64 / per_ms));
    Ok(Percentiles { p50: ms()?, p95: ms()? })
}
