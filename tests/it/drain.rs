//! SIGTERM: what runs ends whole, what comes is refused, what happened is in the ledger.

use std::net::TcpStream;
use std::time::Duration;

use router_tests::client::{Request, data};
use router_tests::eventually;
use router_tests::ledger;
use router_tests::plan::{self, Place};
use router_tests::prices::Price;
use router_tests::server::{self, Process, merged};
use router_tests::upstream::{Wire, said};
use serde_json::json;

fn start(drain_secs: u64) -> (tempfile::TempDir, Vec<Place>, Process) {
    let price = Price { input: 1_000_000, cached: 100_000, output: 4_000_000 };
    let places = vec![Place::new("one", "economy", Wire::OpenaiChat, price).with(|script| {
        script.words = 60;
        script.word_gap = Duration::from_millis(10);
    })];
    let config = merged(
        merged(server::base(), plan::config(&places)),
        json!({ "server": { "drain_secs": drain_secs } }),
    );
    let directory = server::directory();
    let path = directory.path().join("router.yaml");
    std::fs::write(&path, config.to_string()).unwrap();
    let process = Process::serve(&path);
    (directory, places, process)
}

fn streamed() -> Request {
    Request::chat(
        &json!({ "model": "one/m", "stream": true, "messages": [{ "role": "user", "content": "go on" }] }),
    )
}

#[test]
fn a_running_stream_ends_whole_and_new_connections_are_refused() {
    let (directory, places, mut process) = start(60);
    let mut reply = streamed().open(process.data()).unwrap();
    let mut events = vec![reply.event().unwrap().unwrap()];
    process.signal("TERM");
    eventually("new connections are refused", || TcpStream::connect(process.data()).is_err().then_some(()));
    while let Some(event) = reply.event().unwrap() {
        events.push(event);
    }
    let text: String = events
        .iter()
        .filter_map(|event| Some(data(event)?["choices"][0]["delta"]["content"].as_str()?.to_owned()))
        .collect();
    assert_eq!((text, events.last().map(String::as_str)), (said(60), Some("data: [DONE]\n\n")));
    assert!(process.wait().success(), "{}", process.log());
    let rows = ledger::read(&directory.path().join("router.db"));
    assert_eq!(rows.requests.len(), 1);
    assert_eq!(
        (rows.requests[0].outcome.as_str(), rows.cost_nanousd()),
        ("success", places[0].price.of_call(&places[0].upstream.calls()[0]))
    );
}

#[test]
fn what_does_not_end_within_the_drain_is_ended_and_settled() {
    let (directory, places, mut process) = start(1);
    places[0].upstream.script(|script| script.words = 100_000);
    let mut reply = streamed().open(process.data()).unwrap();
    assert!(reply.event().unwrap().is_some());
    process.signal("TERM");
    let mut last = String::new();
    while let Ok(Some(event)) = reply.event() {
        last = event;
    }
    assert!(
        last.contains("shutting_down") && !last.contains("[DONE]"),
        "the error event, never a clean end: {last}"
    );
    assert!(process.wait().success(), "{}", process.log());
    let rows = ledger::read(&directory.path().join("router.db"));
    assert_eq!((rows.requests.len(), rows.requests[0].outcome.as_str()), (1, "shutting_down"));
    assert!(rows.attempts[0].estimated && rows.attempts[0].cost_nanousd > 0, "{:?}", rows.attempts);
}
