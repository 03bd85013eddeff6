//! Several keys of one provider: one that is refused or limited is not seen by clients, and is asked once per cooldown.

use router_tests::client::{Answer, data};
use router_tests::plan::{self, Place};
use router_tests::prices::Price;
use router_tests::server::{Server, merged};
use router_tests::upstream::{Fault, Wire, said};
use serde_json::{Value, json};

const PRICE: Price = Price { input: 1_000_000, cached: 100_000, output: 4_000_000 };
const BAD: &str = "sk-bad";
const GOOD: &str = "sk-good";

fn start(place: &Place, keys: &Value) -> Server {
    let mut config = plan::config(std::slice::from_ref(place));
    if let Some(provider) = config["providers"][place.name].as_object_mut() {
        provider.remove("api_key");
        provider.insert("keys".to_owned(), keys.clone());
    }
    let more = json!({
        "selection": { "default_tier": "t" },
        // Not one repeat is paid: another key is none.
        "reliability": { "retries": { "attempts": 1 } }
    });
    Server::start(merged(config, more))
}

fn ask(stream: bool) -> Value {
    json!({ "model": "auto", "stream": stream, "messages": [{ "role": "user", "content": "hello" }] })
}

/// The text of an answer.
fn text(answer: &Answer, stream: bool) -> String {
    let said = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if !stream {
        return said(&answer.json()["choices"][0]["message"]["content"]);
    }
    let chunks = answer.events().into_iter().filter_map(|event| data(&event));
    chunks.map(|chunk| said(&chunk["choices"][0]["delta"]["content"])).collect()
}

/// Twenty questions, whole and streamed, to a provider that refuses one of its two keys so.
fn check(kind: &str, keys: &'static [(&'static str, Fault)], wire: Wire) {
    let place = Place::new("a", "t", wire, PRICE).with(|script| script.keys = keys);
    // The bad one has nine parts in ten of the calls.
    let server = start(&place, &json!([{ "api_key": BAD, "weight": 9 }, { "api_key": GOOD, "weight": 1 }]));
    for stream in [false, true].repeat(10) {
        let answer = server.chat(&ask(stream));
        assert_eq!(answer.status, 200, "{kind} {wire:?}: {}", answer.text());
        assert_eq!(text(&answer, stream), said(12), "{kind} {wire:?}");
    }
    let calls = place.upstream.calls();
    let bad = calls.iter().filter(|call| call.key == BAD).count();
    assert_eq!(bad, 1, "{kind} {wire:?}: asked once, and not again before its cooldown is over");
    assert_eq!(calls.iter().filter(|call| call.key == GOOD).count(), 20);
    plan::assert_all_valid(std::slice::from_ref(&place));
    let rows = server.stop().rows();
    assert!(rows.requests.iter().all(|row| row.outcome == "success"));
    let failed = rows.attempts.iter().filter(|row| row.failure.is_some());
    let failed: Vec<_> = failed.map(|row| (row.failure.as_deref(), row.cost_nanousd)).collect();
    assert_eq!(failed, [(Some(kind), 0)], "a refusal costs nothing");
}

#[test]
fn a_key_that_is_refused_gives_way_to_the_other_at_once() {
    for wire in [Wire::OpenaiChat, Wire::Anthropic, Wire::Gemini] {
        check("auth", &[(BAD, Fault::Status(401))], wire);
        check("out_of_credit", &[(BAD, Fault::OutOfCredit)], wire);
        check("rate_limited", &[(BAD, Fault::Limited(300))], wire);
    }
}

#[test]
fn when_every_key_is_refused_the_client_is_told_once_all_were_asked() {
    let place = Place::new("a", "t", Wire::OpenaiChat, PRICE)
        .with(|script| script.keys = &[(BAD, Fault::Status(401)), (GOOD, Fault::OutOfCredit)]);
    let server = start(&place, &json!([{ "api_key": BAD }, { "api_key": GOOD }]));
    let answer = server.chat(&ask(false));
    assert_eq!(answer.json()["error"]["code"], "all_attempts_failed", "{}", answer.text());
    let mut keys: Vec<_> = place.upstream.calls().into_iter().map(|call| call.key).collect();
    keys.sort_unstable();
    assert_eq!(keys, [BAD, GOOD], "each once");
    server.stop();
}
