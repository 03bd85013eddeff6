//! One set of tests for every backend.

mod budgets;
mod keys;
mod records;

use std::sync::Arc;

use proptest::strategy::Strategy;
pub(crate) use records::*;
use router_core::attempt::{FailureKind, Outcome};
use router_core::money::Usd;
use router_core::record::{CloseRecord, LedgerRecord, OpenRecord, PROBE, RequestRecord};
use router_core::time::Timestamp;

use crate::{Batch, By, InstanceId, Ledger, Position, Report, ReportQuery};

/// Fresh databases of one backend.
pub(crate) trait Fresh {
    /// A new database, and `n` ledgers on it, as `n` processes would have.
    async fn fresh(&mut self, n: usize) -> Vec<Arc<dyn Ledger>>;

    async fn one(&mut self) -> Arc<dyn Ledger> {
        self.fresh(1).await.remove(0)
    }
}

/// Ledgers of several processes on one database.
pub(crate) async fn connected(url: &str, n: usize) -> Vec<Arc<dyn Ledger>> {
    let mut ledgers = Vec::new();
    for _ in 0..n {
        ledgers.push(crate::connect(url).await.unwrap());
    }
    ledgers
}

/// Every test, each on a fresh database.
pub(crate) async fn run(backend: &mut impl Fresh) {
    rows_come_back_as_they_were(&*backend.one().await).await;
    applying_again_changes_nothing(&*backend.one().await).await;
    positions_are_found_again(&*backend.one().await).await;
    the_dead_are_booked_once(&*backend.one().await).await;
    a_close_without_its_open_counts(&*backend.one().await).await;
    what_is_there_twice_counts_once(&*backend.one().await).await;
    texts_of_any_kind_are_taken(&*backend.one().await).await;
    lists_go_on_after_a_cursor(&*backend.one().await).await;
    reports_add_up(&*backend.one().await).await;
    reports_tell_groups_apart(&*backend.one().await).await;
    simulated_money_is_kept_apart(&*backend.one().await).await;
    deployments_are_measured(&*backend.one().await).await;
    budgets::run(backend).await;
    keys::run(backend).await;
    states_are_remembered(&*backend.one().await).await;
}

async fn states_are_remembered(ledger: &dyn Ledger) {
    ledger.put_state("control", "p/b", "off", second(1)).await.unwrap();
    ledger.put_state("control", "p/a", "off", second(2)).await.unwrap();
    ledger.put_state("health", "p/a", "{}", second(3)).await.unwrap();
    ledger.put_state("control", "p/b", "drain", second(4)).await.unwrap();
    let state = |id: &str, value: &str, at| (id.to_owned(), value.to_owned(), second(at));
    assert_eq!(ledger.states("control").await.unwrap(), [state("p/a", "off", 2), state("p/b", "drain", 4)]);
    ledger.delete_state("control", "p/a").await.unwrap();
    ledger.delete_state("control", "p/c").await.unwrap();
    assert_eq!(ledger.states("control").await.unwrap(), [state("p/b", "drain", 4)]);
    assert_eq!(ledger.states("health").await.unwrap(), [state("p/a", "{}", 3)]);
    assert_eq!(ledger.states("none").await.unwrap(), []);
}

async fn what_is_there_twice_counts_once(ledger: &dyn Ledger) {
    let process = instance(ledger, "a").await;
    let twice = [open(1, 1), open(1, 1), close(1, 1, Outcome::Success, 5), close(1, 1, Outcome::Success, 5)];
    write(ledger, process, twice.into_iter().chain([request(1, 5, "success"), request(1, 5, "success")]))
        .await;
    write(ledger, process, [close(2, 1, Outcome::Success, 7), close(2, 1, Outcome::Success, 7)]).await;
    assert_eq!(rows(ledger).await, [(1, 1, "success", 5), (2, 1, "success", 7)]);
    assert_eq!(report(ledger, &[]).await.total.requests, 1);
}

async fn texts_of_any_kind_are_taken(ledger: &dyn Ledger) {
    let process = instance(ledger, "it's \"a\"").await;
    let odd = OpenRecord {
        model: "nul \0 \u{1f600} '; DROP TABLE attempts".into(),
        tags: vec!["nul \0".into()],
        ..open_record(1, 1)
    };
    let LedgerRecord::Request(ended) = request(1, 5, "success") else { unreachable!() };
    let ended = RequestRecord { client_request_id: Some("\0".into()), ..ended };
    let records = [LedgerRecord::Open(odd), close(1, 1, Outcome::Success, 5), LedgerRecord::Request(ended)];
    write(ledger, process, records).await;
    let model = ledger.attempts(Timestamp::ZERO, 1, None).await.unwrap()[0].open.model.clone();
    assert!(model.ends_with("'; DROP TABLE attempts"), "{model}");
    let rows = report(ledger, &[By::Tag]).await.rows.unwrap();
    assert_eq!(rows[0].group["tag"].as_deref(), Some("nul \u{fffd}"));
}

async fn write(ledger: &dyn Ledger, instance: InstanceId, records: impl IntoIterator<Item = LedgerRecord>) {
    let mut batch = Batch::default();
    records.into_iter().for_each(|record| batch.push(instance, record));
    ledger.apply(&batch).await.unwrap();
}

async fn instance(ledger: &dyn Ledger, name: &str) -> InstanceId {
    ledger.attach(name).await.unwrap().id
}

/// All rows, as (request, attempt, outcome or "open", nano-USD).
pub(crate) async fn rows(ledger: &dyn Ledger) -> Vec<(u128, u32, &'static str, i64)> {
    let rows = ledger.attempts(Timestamp::ZERO, u32::MAX, None).await.unwrap();
    let row = |row: &crate::AttemptRow| {
        let (outcome, cost) = row.close.as_ref().map_or(("open", 0), |c| (c.outcome.name(), c.cost.nano()));
        (row.open.request.0 & 0xffff_ffff, row.open.attempt, outcome, cost)
    };
    rows.iter().map(row).collect()
}

async fn report(ledger: &dyn Ledger, by: &[By]) -> Report {
    ledger.report(&ReportQuery { since: Timestamp::ZERO, by: by.to_vec() }).await.unwrap()
}

/// Opens and closes with anything in them, by two writes (so that the close finds its row) and by one.
async fn rows_come_back_as_they_were(ledger: &dyn Ledger) {
    use proptest::strategy::ValueTree;
    let process = instance(ledger, "a").await;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut expected = std::collections::BTreeMap::new();
    for n in 0..200u32 {
        let LedgerRecord::Open(mut open) = any_open().new_tree(&mut runner).unwrap().current() else {
            unreachable!()
        };
        let LedgerRecord::Close(mut close) = any_close().new_tree(&mut runner).unwrap().current() else {
            unreachable!()
        };
        // SQL integers are signed.
        open.at = Timestamp::from_micros(open.at.as_micros() >> 1);
        close.at = Timestamp::from_micros(close.at.as_micros() >> 1);
        (open.attempt, close.attempt, close.request) = (n, n, open.request);
        expected.insert((open.request, n), (open.clone(), close.clone()));
        let (open, close) = (LedgerRecord::Open(open), LedgerRecord::Close(close));
        if n % 2 == 0 {
            write(ledger, process, [open]).await;
            write(ledger, process, [close]).await;
        } else {
            write(ledger, process, [open, close]).await;
        }
    }
    let rows = ledger.attempts(Timestamp::ZERO, 1_000, None).await.unwrap();
    assert_eq!(rows.len(), expected.len());
    assert!(rows.is_sorted_by_key(|row| (row.open.request, row.open.attempt)));
    for row in rows {
        let (open, close) = &expected[&(row.open.request, row.open.attempt)];
        assert_eq!((&row.open, row.close.as_ref()), (open, Some(close)));
    }
}

async fn applying_again_changes_nothing(ledger: &dyn Ledger) {
    let process = instance(ledger, "a").await;
    let mut batch = Batch::default();
    for record in [open(1, 1), open(1, 2), close(1, 1, Outcome::Cancelled, 3), request(1, 9, "cancelled")] {
        batch.push(process, record);
    }
    batch.reach(Position { instance: process, series: 0, file: 1, offset: 99 });
    ledger.apply(&batch).await.unwrap();
    let before = (rows(ledger).await, report(ledger, &[]).await, ledger.attach("a").await.unwrap());
    ledger.apply(&batch).await.unwrap();
    assert_eq!((rows(ledger).await, report(ledger, &[]).await, ledger.attach("a").await.unwrap()), before);
    assert_eq!(before.0, [(1, 1, "cancelled", 3), (1, 2, "open", 0)]);
}

async fn positions_are_found_again(ledger: &dyn Ledger) {
    let (a, b) = (instance(ledger, "a").await, instance(ledger, "b").await);
    assert_ne!(a, b);
    let place = |instance, series, file, offset| Position { instance, series, file, offset };
    for position in [place(a, 0, 1, 10), place(a, 1, 1, 5), place(b, 0, 7, 1), place(a, 0, 2, 4)] {
        let mut batch = Batch::default();
        batch.reach(position);
        ledger.apply(&batch).await.unwrap();
    }
    let mut known = ledger.attach("a").await.unwrap();
    known.positions.sort_by_key(|p| p.series);
    assert_eq!(known.positions, [place(a, 0, 2, 4), place(a, 1, 1, 5)]);
    assert!(!known.finished);
    ledger.finish(a).await.unwrap();
    assert!(ledger.attach("a").await.unwrap().finished);
    assert!(!ledger.attach("b").await.unwrap().finished);
}

async fn the_dead_are_booked_once(ledger: &dyn Ledger) {
    let (dead, living) = (instance(ledger, "dead").await, instance(ledger, "living").await);
    // Request 1 ended; 2 was answered, its record never came; 3 failed over and died there; 4 is another process's.
    let failed = Outcome::Failure(FailureKind::Overloaded);
    write(ledger, dead, [open(1, 1), close(1, 1, Outcome::Success, 10), request(1, 5, "success")]).await;
    write(ledger, dead, [open(2, 1), close(2, 1, Outcome::Success, 20)]).await;
    write(ledger, dead, [open(3, 1), close(3, 1, failed, 1), open(3, 2)]).await;
    write(ledger, living, [open(4, 1)]).await;
    // Nobody asked for a probe: its attempt is booked, and no request is made up for it.
    let name: Arc<str> = "a/m".into();
    let probe = OpenRecord {
        key: None,
        rule: Some(PROBE.into()),
        model: Arc::clone(&name),
        deployment: name,
        ..open_record(5, 1)
    };
    write(ledger, dead, [LedgerRecord::Open(probe), close(5, 1, Outcome::Success, 2)]).await;
    for lost in [1, 0] {
        assert_eq!(ledger.finish(dead).await.unwrap(), lost);
        assert_eq!(
            rows(ledger).await,
            [
                (1, 1, "success", 10),
                (2, 1, "success", 20),
                (3, 1, "overloaded", 1),
                (3, 2, "lost", 5_000_000_000),
                (4, 1, "open", 0),
                (5, 1, "success", 2),
            ]
        );
        let total = report(ledger, &[]).await.total;
        assert_eq!((total.requests, total.successes, total.attempts), (3, 2, 6));
        assert_eq!((total.lost_attempts, total.estimated_attempts, total.open_attempts), (1, 1, 1));
        assert_eq!(total.cost_usd, Usd::from_nano(5_000_000_033));
        // Only the request that said so saved anything.
        assert_eq!(total.saved_usd, Usd::from_nano(1_000_000_000));
    }
}

async fn a_close_without_its_open_counts(ledger: &dyn Ledger) {
    let process = instance(ledger, "a").await;
    write(ledger, process, [close(1, 1, Outcome::Success, 7)]).await;
    assert_eq!(rows(ledger).await, [(1, 1, "success", 7)]);
    assert_eq!(ledger.total_cost(Timestamp::ZERO).await.unwrap(), Usd::from_nano(7));
}

async fn lists_go_on_after_a_cursor(ledger: &dyn Ledger) {
    let process = instance(ledger, "a").await;
    // More than the largest statement takes, with several attempts of one request at one moment.
    write(ledger, process, (1..=50).flat_map(|id| [open(id, 1), open(id, 2), open(id, 3)])).await;
    let mut cursor = None;
    let mut seen = Vec::new();
    loop {
        let page = ledger.attempts(second(2), 7, cursor).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 7);
        cursor = Some(last.cursor());
        seen.extend(page.iter().map(|row| (row.open.request.0 & 0xffff_ffff, row.open.attempt)));
    }
    let all: Vec<_> = (2..=50).flat_map(|id| [(id, 1), (id, 2), (id, 3)]).collect();
    assert_eq!(seen, all);
}

async fn reports_add_up(ledger: &dyn Ledger) {
    assert_eq!(report(ledger, &[]).await, Report::default());
    let process = instance(ledger, "a").await;
    // 20 answers of 1, 2 .. 20 ms, an error, one the client left; one attempt's price needs every nano-dollar.
    let mut records = Vec::new();
    for id in 1..=20 {
        let ms = u64::try_from(id).unwrap();
        records.extend([open(id, 1), close(id, 1, Outcome::Success, 1), request(id, ms, "success")]);
    }
    let failed = Outcome::Failure(FailureKind::Timeout);
    records.extend([
        open(21, 1),
        close(21, 1, failed, 4_000_000_000_123),
        request(21, 900, "deadline_exceeded"),
    ]);
    records.extend([open(22, 1), close(22, 1, Outcome::Cancelled, 0), request(22, 900, "cancelled")]);
    write(ledger, process, records).await;
    let Report { total, rows } = report(ledger, &[]).await;
    assert_eq!(rows, None);
    assert_eq!((total.requests, total.successes, total.error_rate), (22, 20, 1.0 / 22.0));
    assert_eq!((total.latency_ms.p50, total.latency_ms.p95), (Some(10.0), Some(19.0)));
    assert_eq!((total.first_byte_ms.p50, total.first_byte_ms.p95), (Some(7.0), Some(7.0)));
    assert_eq!((total.tokens, total.usage.input_tokens), (22 * 15, 220));
    assert_eq!(total.cost_usd.to_string(), "4000.000000143");
    assert_eq!(total.cost_per_success_usd.unwrap().to_string(), "200.000000007");
    assert_eq!(total.saved_usd.to_string(), "20");
    assert_eq!(ledger.total_cost(Timestamp::ZERO).await.unwrap(), total.cost_usd);

    let since = ReportQuery { since: second(22), by: Vec::new() };
    let late = ledger.report(&since).await.unwrap().total;
    assert_eq!((late.requests, late.attempts, late.cost_per_success_usd), (1, 1, None));

    let json = serde_json::to_value(report(ledger, &[By::Key]).await).unwrap();
    assert_eq!(json["cost_usd"], "4000.000000143");
    assert_eq!(json["latency_ms"]["p95"], 19.0);
    assert_eq!(json["rows"][0]["key"], "bot");
    assert_eq!(json["rows"][0]["cost_usd"], "4000.000000143");
}

async fn reports_tell_groups_apart(ledger: &dyn Ledger) {
    let process = instance(ledger, "a").await;
    let at = |id, attempt, provider: &str, tags: &[&str]| {
        let tags = tags.iter().map(|tag| Arc::from(*tag)).collect();
        let deployment = Arc::from(format!("{provider}/m"));
        LedgerRecord::Open(OpenRecord {
            deployment,
            provider: provider.into(),
            tags,
            ..open_record(id, attempt)
        })
    };
    let answered = |id, deployment: &str| {
        let LedgerRecord::Request(record) = request(id, 5, "success") else { unreachable!() };
        LedgerRecord::Request(RequestRecord { deployment: Some(deployment.into()), ..record })
    };
    let failed = Outcome::Failure(FailureKind::Overloaded);
    // 1 fails over from x to y, 2 stays on x, 3 never reaches anybody.
    write(ledger, process, [at(1, 1, "x", &["a", "b"]), close(1, 1, failed, 100)]).await;
    write(
        ledger,
        process,
        [at(1, 2, "y", &["a", "b"]), close(1, 2, Outcome::Success, 10), answered(1, "y/m")],
    )
    .await;
    write(ledger, process, [at(2, 1, "x", &[]), close(2, 1, Outcome::Success, 1), answered(2, "x/m")]).await;
    write(ledger, process, [request(3, 1, "no_eligible_deployment")]).await;

    let check = async |by: &[By], expected: &[(&[Option<&str>], u64, i64)]| {
        let rows = report(ledger, by).await.rows.unwrap();
        let seen: Vec<_> = rows
            .iter()
            .map(|row| {
                let group: Vec<_> = by.iter().map(|by| row.group[by.name()].as_deref()).collect();
                (group, row.figures.requests, row.figures.cost_usd.nano())
            })
            .collect();
        let expected: Vec<_> = expected.iter().map(|(group, n, nano)| (group.to_vec(), *n, *nano)).collect();
        assert_eq!(seen, expected, "by {by:?}");
    };
    check(&[By::Provider], &[(&[Some("x")], 1, 101), (&[Some("y")], 1, 10), (&[None], 1, 0)]).await;
    check(&[By::Deployment], &[(&[Some("x/m")], 1, 101), (&[Some("y/m")], 1, 10), (&[None], 1, 0)]).await;
    check(&[By::Model], &[(&[Some("auto")], 3, 111)]).await;
    check(&[By::Key], &[(&[Some("bot")], 3, 111)]).await;
    check(&[By::Rule], &[(&[None], 3, 111)]).await;
    check(&[By::Experiment], &[(&[None], 3, 111)]).await;
    check(&[By::Tag], &[(&[Some("a")], 1, 110), (&[Some("b")], 1, 110), (&[None], 2, 1)]).await;
    check(
        &[By::Key, By::Provider],
        &[
            (&[Some("bot"), Some("x")], 1, 101),
            (&[Some("bot"), Some("y")], 1, 10),
            (&[Some("bot"), None], 1, 0),
        ],
    )
    .await;
}

async fn simulated_money_is_kept_apart(ledger: &dyn Ledger) {
    let process = instance(ledger, "a").await;
    write(ledger, process, [open(1, 1), close(1, 1, Outcome::Success, 8), request(1, 5, "success")]).await;
    let LedgerRecord::Request(ended) = request(2, 5, "success") else { unreachable!() };
    let pretended = OpenRecord { simulated: true, ..open_record(2, 1) };
    let records = [
        LedgerRecord::Open(pretended),
        close(2, 1, Outcome::Success, 100),
        LedgerRecord::Request(RequestRecord { simulated: true, ..ended }),
    ];
    write(ledger, process, records).await;
    let total = report(ledger, &[]).await.total;
    assert_eq!((total.requests, total.simulated_requests), (2, 1));
    assert_eq!((total.cost_usd.nano(), total.simulated_cost_usd.nano()), (8, 100));
    assert_eq!(
        (total.saved_usd.nano(), total.cost_per_success_usd),
        (1_000_000_000, Some(Usd::from_nano(8)))
    );
    assert_eq!(ledger.total_cost(Timestamp::ZERO).await.unwrap().nano(), 8);
}

async fn deployments_are_measured(ledger: &dyn Ledger) {
    let process = instance(ledger, "a").await;
    for id in 1..=100u32 {
        let LedgerRecord::Close(done) = close(id.into(), 1, Outcome::Success, 1) else { unreachable!() };
        let done = CloseRecord { total_ms: id, ..done };
        write(ledger, process, [open(id.into(), 1), LedgerRecord::Close(done)]).await;
    }
    let failed = Outcome::Failure(FailureKind::Stalled);
    for (id, outcome) in [(101, failed), (102, Outcome::Lost), (103, Outcome::Cancelled)] {
        write(ledger, process, [open(id, 1), close(id, 1, outcome, 1)]).await;
    }
    write(ledger, process, [open(104, 1)]).await;
    let stats = ledger.deployment_stats(second(1)).await.unwrap();
    assert_eq!(
        stats,
        [crate::DeploymentStats {
            deployment: "p/m".into(),
            attempts: 102,
            error_rate: 2.0 / 102.0,
            p50_ms: Some(50),
            p95_ms: Some(95),
        }]
    );
    assert_eq!(ledger.deployment_stats(second(1_000)).await.unwrap(), []);
}
