//! Clients that leave: whatever their request is doing then stops at once, and what it has used is recorded.

use std::collections::BTreeMap;

use router_tests::client::Request;
use router_tests::eventually;
use router_tests::plan::{self, CAPABILITIES, Place};
use router_tests::prices::Price;
use router_tests::server::{Server, merged};
use router_tests::upstream::{Ending, Fault, Part, Speech, Stage, Wire};
use serde_json::{Value, json};

const PRICE: Price = Price { input: 3_000_000, cached: 300_000, output: 10_000_000 };
const KEY: &str = "sk-leaving-0123456789abcdef";

/// Longer than any test waits: what ends before has not ended by itself.
fn patient() -> Value {
    let ms = 600_000;
    let limits = json!({ "first_byte_ms": ms, "answer_ms": ms, "idle_ms": ms, "deadline_ms": ms });
    json!({ "selection": { "default_tier": "t" }, "reliability": { "time_limits": limits } })
}

fn ask(more: Value) -> Request {
    let messages = json!([{ "role": "user", "content": "go on" }]);
    Request::chat(&merged(json!({ "model": "auto", "messages": messages, "max_tokens": 300 }), more))
        .with("authorization", &format!("Bearer {KEY}"))
}

fn gauge(server: &Server, line: &str) -> bool {
    server.metrics().lines().any(|given| given == line)
}

/// So many are being served.
fn in_flight(server: &Server, requests: usize) {
    let line = format!("router_requests_in_flight {requests}");
    eventually(&line, || gauge(server, &line).then_some(()));
}

/// The last one left: it ended as such, and nothing is under way any more.
fn assert_left(server: Server, attempts: usize) -> router_tests::ledger::Rows {
    in_flight(&server, 0);
    let rows = server.stop().rows();
    assert_eq!(rows.requests.last().map(|row| &*row.outcome), Some("cancelled"));
    assert_eq!(rows.attempts.len(), attempts);
    rows
}

#[test]
fn a_silent_upstream_is_let_go_when_its_client_leaves() {
    for (fault, stream) in [(Fault::Silence, true), (Fault::Silence, false), (Fault::Stall, true)] {
        let part = Part { wire: Wire::OpenaiChat, fault, speech: Speech::words(12) };
        let stage = Stage::start(BTreeMap::from([("m".to_owned(), part)]));
        let provider =
            json!({ "dialect": "openai_chat", "base_url": stage.base_url(&part), "api_key": "sk-up" });
        let deployment = json!({ "id": "a/m", "price_usd_per_million": PRICE.configured(),
            "capabilities": CAPABILITIES, "max_input_tokens": 200_000, "max_output_tokens": 8_192 });
        let config =
            json!({ "providers": { "a": provider }, "deployments": [deployment], "tiers": { "t": ["a/m"] } });
        let server = Server::start(merged(config, patient()));
        let request = ask(json!({ "stream": stream }));
        let shown = fault == Fault::Stall;
        if shown {
            let mut reply = request.open(server.data()).unwrap();
            let first = reply.event().unwrap();
            assert!(first.is_some(), "something was shown");
        } else {
            let connection = request.send_only(server.data()).unwrap();
            eventually("the call", || (stage.calls().len() == 1).then_some(()));
            drop(connection);
        }
        eventually("its connection ends", || (stage.calls()[0].ending == Ending::Lost).then_some(()));
        let rows = assert_left(server, 1);
        let row = &rows.attempts[0];
        assert_eq!(row.outcome.as_deref(), Some("cancelled"), "{fault:?}");
        assert!(row.estimated && row.cost_nanousd > 0 && row.input_tokens > 0, "{fault:?}: {row:?}");
        assert!(row.cost_nanousd <= row.ceiling_nanousd && (!shown || row.output_tokens > 0), "{row:?}");
    }
}

#[test]
fn who_leaves_while_waiting_for_money_takes_none() {
    let slow = std::time::Duration::from_secs(600);
    let place = Place::new("a", "t", Wire::OpenaiChat, PRICE).with(|script| script.latency = slow);
    // Enough for one answer, not for two.
    let key = json!({ "keys": [{ "name": "k", "secret": KEY, "budget_usd": "0.005", "period": "total" }] });
    let server = Server::start(merged(merged(plan::config(std::slice::from_ref(&place)), patient()), key));
    let first = ask(json!({})).send_only(server.data()).unwrap();
    eventually("the first call", || (place.upstream.count() == 1).then_some(()));
    let second = ask(json!({})).send_only(server.data()).unwrap();
    in_flight(&server, 2);
    drop(second);
    in_flight(&server, 1);
    assert_eq!(place.upstream.count(), 1);
    drop(first);
    eventually("its connection ends", || (place.upstream.calls()[0].ending == Ending::Lost).then_some(()));
    let rows = assert_left(server, 1);
    assert!(rows.requests.iter().all(|row| row.outcome == "cancelled"), "not for want of money");
}

#[test]
fn who_leaves_the_line_of_a_rate_limit_gives_the_place_back() {
    let place = Place::new("a", "t", Wire::OpenaiChat, PRICE);
    let limits = json!({ "deployments": [merged(plan::config(std::slice::from_ref(&place))["deployments"][0].clone(),
        json!({ "limits": { "rpm": 1 } }))] });
    let server = Server::start(merged(merged(plan::config(std::slice::from_ref(&place)), patient()), limits));
    assert_eq!(ask(json!({})).send(server.data()).status, 200);
    let waits = ask(json!({})).send_only(server.data()).unwrap();
    in_flight(&server, 1);
    drop(waits);
    assert_left(server, 1);
    assert_eq!(place.upstream.count(), 1);
}

#[test]
fn who_leaves_between_two_attempts_is_not_waited_for() {
    // It says to come back in a minute.
    let place = Place::new("a", "t", Wire::OpenaiChat, PRICE).with(|script| script.rpm = Some(0));
    let server = Server::start(merged(plan::config(std::slice::from_ref(&place)), patient()));
    let waits = ask(json!({})).send_only(server.data()).unwrap();
    eventually("the refusal", || (place.upstream.calls().first()?.ending == Ending::Refused).then_some(()));
    in_flight(&server, 1);
    drop(waits);
    let rows = assert_left(server, 1);
    assert_eq!(rows.attempts[0].failure.as_deref(), Some("rate_limited"));
    assert_eq!(rows.cost_nanousd(), 0);
    assert_eq!(place.upstream.count(), 1);
}
