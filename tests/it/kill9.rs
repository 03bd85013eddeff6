//! Killed in mid-work, again and again: every answer that a client received in full has exactly one row, and every call that
//! an upstream saw has one, after the next start. `ROUTER_TESTS_KILLS=50` kills so many times; CI three times.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use router_tests::client::{Reply, Request};
use router_tests::eventually;
use router_tests::ledger::{self, plain};
use router_tests::plan::{self, Place};
use router_tests::prices::Price;
use router_tests::server::{self, Process, merged};
use router_tests::upstream::{Ending, Wire};
use serde_json::json;

/// Clients at work while the server is killed.
const CLIENTS: usize = 12;

/// Reads an answer to its end; whether it came in full.
fn in_full(reply: &mut Reply, stream: bool) -> bool {
    let mut last = String::new();
    loop {
        match reply.event() {
            Ok(Some(event)) => last = event,
            Ok(None) => return !stream || last == "data: [DONE]\n\n",
            Err(_) => return false,
        }
    }
}

/// Puts the server under load and kills it after so many answers; the ids of those received in full.
fn killed_under_load(config: &Path, after: usize) -> Vec<String> {
    let process = Process::serve(config);
    let (received, answers, address) = (Mutex::new(Vec::new()), AtomicUsize::new(0), process.data());
    let client = |number: usize| {
        for turn in number.. {
            let stream = turn % 2 == 0;
            let body = json!({ "model": "auto", "stream": stream, "messages": [{ "role": "user", "content": "go on" }] });
            // The killed server refuses the next connection: that is the end of the load.
            let Ok(mut reply) = Request::chat(&body).open(address) else { return };
            assert_eq!(reply.status, 200);
            let id = plain(reply.header("x-request-id"));
            if in_full(&mut reply, stream) {
                received.lock().unwrap().push(id);
                answers.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            scope.spawn(move || client(number));
        }
        eventually("there is load", || (answers.load(Ordering::Relaxed) >= after).then_some(()));
        process.kill();
    });
    received.into_inner().unwrap()
}

#[test]
fn nothing_is_lost_and_nothing_is_twice_after_kill_9() {
    let kills: usize = std::env::var("ROUTER_TESTS_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    let price = Price { input: 1_000_003, cached: 100_001, output: 4_000_007 };
    let place = |name, wire| {
        Place::new(name, "economy", wire, price).with(|script| {
            script.words = 6;
            script.latency = Duration::from_millis(3);
            script.word_gap = Duration::from_millis(1);
        })
    };
    let places = vec![place("o", Wire::OpenaiChat), place("a", Wire::Anthropic)];
    let rules = json!({ "selection": { "default_tier": "economy", "near_equal_percent": 100 } });
    let directory = server::directory();
    let config = directory.path().join("router.yaml");
    std::fs::write(&config, merged(merged(server::base(), plan::config(&places)), rules).to_string())
        .unwrap();

    let mut received = Vec::new();
    for kill in 0..kills {
        received.extend(killed_under_load(&config, 30 + kill * 17 % 60));
    }
    Process::serve(&config).stop();

    let rows = ledger::read(&directory.path().join("router.db"));
    let by_request = rows.by_request();
    assert_eq!(by_request.len(), rows.requests.len(), "no request twice");
    for id in &received {
        let row = by_request
            .get(id)
            .unwrap_or_else(|| panic!("an answer was received and is not in the ledger: {id}"));
        assert_eq!(row.outcome, "success", "{row:?}");
    }
    let by_call = rows.by_call();
    assert_eq!(by_call.len(), rows.attempts.len(), "no attempt twice");
    let mut endings: BTreeMap<String, usize> = BTreeMap::new();
    for (place, call) in plan::calls(&places) {
        let row = by_call.get(&plain(&call.id)).unwrap_or_else(|| panic!("a call without a row: {call:?}"));
        assert_eq!(row.deployment, place.id());
        let outcome = row.outcome.clone().unwrap_or_else(|| panic!("not ended after a restart: {row:?}"));
        match outcome.as_str() {
            "success" => assert_eq!(
                (call.ending, i128::from(row.cost_nanousd)),
                (Ending::Whole, price.of_call(&call)),
                "{row:?}"
            ),
            "lost" => assert_eq!((row.cost_nanousd, row.estimated), (row.ceiling_nanousd, true), "{row:?}"),
            other => panic!("{other}: {row:?}"),
        }
        *endings.entry(outcome).or_default() += 1;
    }
    println!(
        "{kills} kills: {} answers received in full, {} calls seen upstream, {endings:?}",
        received.len(),
        endings.values().sum::<usize>()
    );
    assert!(received.len() >= 30 * kills);
}
