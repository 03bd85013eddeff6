//! Bursts on rate-limited deployments: whoever finds the limits spent waits for a place, and no 429 reaches a client.

use std::sync::Barrier;
use std::time::Duration;

use router_tests::client::{Answer, Request};
use router_tests::plan::{self, Place};
use router_tests::prices::Price;
use router_tests::prompts;
use router_tests::server::{self, Process, merged};
use router_tests::upstream::{Ending, Wire};
use serde_json::{Value, json};

/// Stack of a client's thread: five hundred of them fit anywhere.
const STACK_BYTES: usize = 256 * 1024;

fn three(upstream_rpm: u32) -> Vec<Place> {
    let price = Price { input: 100_000, cached: 50_000, output: 400_000 };
    [("a", Wire::OpenaiChat), ("b", Wire::Anthropic), ("c", Wire::Gemini)]
        .map(|(name, wire)| {
            Place::new(name, "economy", wire, price).with(|script| {
                script.rpm = Some(upstream_rpm);
                script.latency = Duration::from_millis(40);
            })
        })
        .into()
}

/// So many clients ask at once; each gets one answer.
fn all_at_once(
    clients: usize,
    body: &Value,
    limits: Option<&Value>,
    upstream_rpm: u32,
) -> (Vec<Answer>, Vec<Place>) {
    let places = three(upstream_rpm);
    let mut config = merged(server::base(), plan::config(&places));
    config = merged(config, json!({ "selection": { "default_tier": "economy" } }));
    for deployment in config["deployments"].as_array_mut().into_iter().flatten() {
        deployment["limits"] = limits.cloned().unwrap_or_else(|| json!({}));
    }
    let directory = server::directory();
    let path = directory.path().join("router.yaml");
    std::fs::write(&path, config.to_string()).unwrap();
    // A process of its own: the sockets of all sides together may be more than one process is allowed.
    let process = Process::serve(&path);
    let (start, request, address) = (Barrier::new(clients), Request::chat(body), process.data());
    let ask = || {
        start.wait();
        request.send(address)
    };
    let answers = std::thread::scope(|scope| {
        let spawn = |_| std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, ask).unwrap();
        let threads: Vec<_> = (0..clients).map(spawn).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    process.stop();
    let left = router_tests::ledger::read(&directory.path().join("router.db"));
    assert_eq!(left.requests.len(), clients);
    (answers, places)
}

fn assert_answered(answers: &[Answer]) {
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert!(
        refused.is_empty(),
        "{} refused, the first: {} {}",
        refused.len(),
        refused[0].status,
        refused[0].text()
    );
}

#[test]
fn five_hundred_summarisations_at_once_over_three_limited_deployments_see_no_429() {
    let body = merged(prompts::body("summary-minutes"), json!({ "model": "auto" }));
    // 3 x 156 at once and 3 x 2.6 a second after that: the last of the 500 waits some 4 seconds. The upstreams' own windows
    // are a little wider, as a provider's published limit is what one configures.
    let limits = json!({ "rpm": 156, "concurrency": 48 });
    let (answers, places) = all_at_once(500, &body, Some(&limits), 200);
    assert_answered(&answers);
    plan::assert_all_valid(&places);
    let calls = plan::calls(&places);
    assert_eq!(calls.iter().filter(|(_, call)| call.ending == Ending::Whole).count(), 500);
    assert!(
        calls.iter().all(|(_, call)| call.ending != Ending::Refused),
        "kept within the limits it was told"
    );
    for place in &places {
        assert!(place.upstream.count() >= 156, "{}: {}", place.name, place.upstream.count());
    }
}

#[test]
fn limits_that_only_the_provider_knows_are_learned_from_its_429_and_hidden() {
    let body = merged(prompts::body("summary-minutes"), json!({ "model": "auto" }));
    let (answers, places) = all_at_once(60, &body, None, 25);
    assert_answered(&answers);
    let calls = plan::calls(&places);
    assert_eq!(calls.iter().filter(|(_, call)| call.ending == Ending::Whole).count(), 60);
}
