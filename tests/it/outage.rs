//! A primary that falls silent under load, and everything down at once. `ROUTER_TESTS_SILENCE=500` and
//! `ROUTER_TESTS_OUTAGE=1000` run them in full (requests per second; clients) and hold the figures to their bounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use router_tests::plan::{self, Place};
use router_tests::prices::Price;
use router_tests::server::{self, Process, merged};
use router_tests::swarm::{self, Shot};
use router_tests::upstream::Wire;
use serde_json::{Value, json};

const PRICE: Price = Price { input: 1_000_000, cached: 100_000, output: 4_000_000 };

fn full(name: &str) -> Option<u32> {
    std::env::var(name).ok().and_then(|n| n.parse().ok())
}

fn body(number: u32) -> String {
    json!({ "model": "m", "stream": number.is_multiple_of(2), "messages": [{ "role": "user", "content": "go on" }] })
        .to_string()
}

fn start(places: &[Place], more: Value) -> (tempfile::TempDir, Process) {
    let deployments: Vec<_> = places.iter().map(Place::id).collect();
    let model = json!({ "models": { "m": { "deployments": deployments, "strategy": "priority" } } });
    let config = merged(merged(merged(server::base(), plan::config(places)), model), more);
    let directory = server::directory();
    let path = directory.path().join("router.yaml");
    std::fs::write(&path, config.to_string()).unwrap();
    let process = Process::serve(&path);
    (directory, process)
}

/// First byte and whole answer of the primary, in milliseconds.
const FIRST_BYTE_MS: u64 = 1_000;
/// What going on elsewhere may add.
const EXTRA_MS: u64 = 50;

#[test]
fn a_primary_that_falls_silent_costs_no_client_an_error() {
    let measured = full("ROUTER_TESTS_SILENCE");
    let per_sec = measured.unwrap_or(100);
    let places = [("first", Wire::OpenaiChat), ("second", Wire::Anthropic)]
        .map(|(name, wire)| Place::new(name, "t", wire, PRICE));
    let limits = json!({ "first_byte_ms": FIRST_BYTE_MS, "answer_ms": FIRST_BYTE_MS });
    let mut more = plan::config(&places)["deployments"].take();
    more[0]["time_limits"] = limits;
    let (_directory, process) = start(&places, json!({ "deployments": more }));
    let address = process.data();
    let (before, silent_at, after) = swarm::block_on(async {
        let before = swarm::at_rate(address, per_sec, Duration::from_secs(3), body).await;
        places[0].upstream.script(|script| script.latency = Duration::from_secs(3_600));
        let silent_at = Instant::now();
        (before, silent_at, swarm::at_rate(address, per_sec, Duration::from_secs(8), body).await)
    });
    let failed = |shots: &[Shot]| shots.iter().filter(|shot| shot.status != 200).count();
    assert_eq!((failed(&before), failed(&after)), (0, 0), "no client sees an error");
    let healthy = swarm::percentile(before.iter().map(|shot| shot.took).collect(), 50);
    let took: Vec<_> = after.iter().map(|shot| shot.took).collect();
    let waited = |shot: &&Shot| shot.took >= Duration::from_millis(FIRST_BYTE_MS);
    let last_wait = after.iter().filter(waited).map(|shot| shot.at.duration_since(silent_at)).max();
    let late = after.iter().filter(|shot| shot.at.duration_since(silent_at) > Duration::from_secs(3));
    let late_waits = late.filter(waited).count();
    let p99 = swarm::percentile(took.clone(), 99);
    println!(
        "{per_sec}/s, first-byte limit {FIRST_BYTE_MS} ms: {} requests before (p50 {healthy:?}), {} after, no error; \
         p50 {:?}, p90 {:?}, p99 {p99:?}, most {:?}; the last to wait came {last_wait:?} after the silence began, {late_waits} after 3 s",
        before.len(),
        after.len(),
        swarm::percentile(took.clone(), 50),
        swarm::percentile(took.clone(), 90),
        swarm::percentile(took, 100),
    );
    if measured.is_some() {
        assert!(p99 <= Duration::from_millis(FIRST_BYTE_MS + EXTRA_MS), "p99 {p99:?}");
        assert_eq!(late_waits, 0, "within 3 s new requests avoid it");
    }
    process.stop();
}

#[test]
fn everything_down_is_no_storm_and_ends_with_the_outage() {
    let measured = full("ROUTER_TESTS_OUTAGE");
    let clients = measured.unwrap_or(100);
    let (settle, outage) =
        (Duration::from_secs(5), Duration::from_secs(if measured.is_some() { 20 } else { 10 }));
    let places = [("a", Wire::OpenaiChat), ("b", Wire::Anthropic), ("c", Wire::Gemini)]
        .map(|(name, wire)| Place::new(name, "t", wire, PRICE));
    let (_directory, process) = start(&places, json!({}));
    let set = |fail_percent| {
        for place in &places {
            place.upstream.script(|script| script.fail_percent = fail_percent);
        }
    };
    let calls = || places.iter().map(|place| place.upstream.count()).sum::<usize>();
    let over = Arc::new(AtomicBool::new(false));
    let end = Arc::clone(&over);
    let asking = swarm::in_turn(
        process.data(),
        clients,
        Duration::from_secs(1),
        move || end.load(Ordering::Relaxed),
        body,
    );
    let script = async {
        let each = clients as usize;
        swarm::eventually("every client has asked", || calls() >= each).await;
        set(100);
        tokio::time::sleep(settle).await;
        let (from, before, memory) = (Instant::now(), calls(), process.memory_kib());
        tokio::time::sleep(outage).await;
        let (made, grown) = (calls() - before, process.memory_kib());
        set(0);
        let back = Instant::now();
        let known = calls();
        swarm::eventually("all have asked again", || calls() >= known + 2 * each).await;
        over.store(true, Ordering::Relaxed);
        (from, back, made, memory.zip(grown))
    };
    let (shots, (from, back, made, memory)) = swarm::block_on(async { tokio::join!(asking, script) });
    let asked = shots.iter().filter(|shot| shot.at >= from && shot.at < back).count();
    let span = outage.as_secs_f64();
    let allowed = asked as f64 * 1.2 + 10.0 * span;
    let ended = |shot: &Shot| shot.at + shot.took;
    let failed_last = shots
        .iter()
        .filter(|shot| shot.at >= back && shot.status != 200)
        .map(ended)
        .max()
        .map(|at| at - back);
    let took: Vec<_> =
        shots.iter().filter(|shot| shot.at >= from && shot.at < back).map(|shot| shot.took).collect();
    let statuses = shots.iter().filter(|shot| shot.at >= from && ended(shot) < back).map(|shot| shot.status);
    let statuses: std::collections::BTreeMap<u16, usize> =
        statuses.fold(std::collections::BTreeMap::new(), |mut all, status| {
            *all.entry(status).or_default() += 1;
            all
        });
    println!(
        "{clients} clients, everything down for {outage:?} (counted from {settle:?} on): {asked} requests, {made} upstream calls \
         (allowed {allowed:.0}), answers {statuses:?}, p50 {:?}, p99 {:?}; memory {memory:?} KiB; the last failure ended {failed_last:?} after the return",
        swarm::percentile(took.clone(), 50),
        swarm::percentile(took, 99),
    );
    // The budget counts in whole seconds, which are not those of this test: one of them may belong to it or not.
    assert!(made as f64 <= allowed + allowed / span, "{made} upstream calls for {asked} requests");
    let last = shots.iter().max_by_key(|shot| shot.at).map(|shot| shot.status);
    assert_eq!(last, Some(200), "the outage is over");
    if measured.is_some() {
        assert!(failed_last.is_none_or(|span| span <= Duration::from_secs(2)), "{failed_last:?}");
        if let Some((before, after)) = memory {
            assert!(after < before + before / 4 + 32 * 1024, "memory grows: {before} to {after} KiB");
        }
    }
    process.stop();
}
