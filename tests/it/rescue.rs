//! An answer that breaks off is gone on with elsewhere, a late first attempt is raced by a second, and one cost ceiling
//! covers all of them.

use std::time::{Duration, Instant};

use router_tests::client::{Answer, data};
use router_tests::eventually;
use router_tests::plan::{self, Place};
use router_tests::prices::{Price, nanousd};
use router_tests::server::{Server, merged};
use router_tests::upstream::{Ending, Wire, said};
use serde_json::{Value, json};

const PRICE: Price = Price { input: 1_000_000, cached: 100_000, output: 4_000_000 };

/// What a model says that was given the first eight of twelve words: the other four.
const REST: &str = concat!(
    "data: {\"id\":\"other\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"other\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"other\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"other\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"w8 w9 \"},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"other\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"other\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"w10 w11 \"},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"other\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"other\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"id\":\"other\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"other\",\"choices\":[],\"usage\":{\"prompt_tokens\":40,\"completion_tokens\":4,\"total_tokens\":44}}\n\n",
    "data: [DONE]\n\n",
);

/// The first is cut at the eighth word, the second goes on.
fn cut_and_rest() -> Vec<Place> {
    vec![
        Place::new("first", "t", Wire::OpenaiChat, PRICE).with(|script| script.cut_after = Some(8)),
        Place::new("second", "t", Wire::OpenaiChat, PRICE).with(|script| script.raw = Some(REST.as_bytes())),
    ]
}

/// A model `either` of all places, in their order.
fn start(places: &[Place], more: Value) -> Server {
    let ids: Vec<_> = places.iter().map(Place::id).collect();
    let either = json!({ "models": { "either": { "deployments": ids, "strategy": "priority" } } });
    Server::start(merged(merged(plan::config(places), either), more))
}

fn ask(more: Value) -> Value {
    let messages = json!([{ "role": "user", "content": "say twelve words" }]);
    merged(json!({ "model": "either", "messages": messages }), more)
}

fn streamed() -> Value {
    json!({ "stream": true, "stream_options": { "include_usage": true } })
}

fn chunks(answer: &Answer) -> Vec<Value> {
    answer.events().iter().filter_map(|event| data(event)).collect()
}

fn text(chunks: &[Value]) -> String {
    chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
}

#[test]
fn a_stream_that_is_cut_is_gone_on_with_by_another_and_its_client_sees_one_answer() {
    let places = cut_and_rest();
    let server = start(&places, json!({}));
    let answer = server.chat(&ask(streamed()));
    let chunks = chunks(&answer);
    assert_eq!(text(&chunks), said(12), "{}", answer.text());
    assert!(answer.text().ends_with("data: [DONE]\n\n") && !answer.text().contains("error"));
    let finishes: Vec<_> =
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["finish_reason"].as_str()).collect();
    assert_eq!(finishes, ["stop"]);
    for name in ["id", "model", "created"] {
        let first = &chunks[0][name];
        assert!(
            chunks.iter().all(|chunk| &chunk[name] == first),
            "one answer has one {name}: {}",
            answer.text()
        );
    }
    assert_eq!(answer.header("x-router-deployment"), places[0].id(), "as known when it began");
    let since = format!(
        ": x-router-rescued: 1\n: x-router-attempts: 2\n: x-router-deployment: {}\n\n",
        places[1].id()
    );
    assert!(answer.text().contains(&since), "and at the end what became of it: {}", answer.text());
    let told = &places[1].upstream.calls()[0].body;
    assert!(told.to_string().contains("w7"), "it was given what was shown: {told}");

    assert!(
        server.metrics().contains("router_rescues_total{outcome=\"completed\"} 1"),
        "{}",
        server.metrics()
    );
    let rows = server.stop().rows();
    let ends: Vec<_> = rows.attempts.iter().map(|row| (&*row.deployment, row.failure.as_deref())).collect();
    assert_eq!(ends, [("first/m", Some("truncated")), ("second/m", None)]);
    assert_eq!((&*rows.requests[0].outcome, rows.requests[0].attempts), ("success", 2));
    let usages: Vec<_> = chunks.iter().filter(|chunk| chunk["usage"].is_object()).collect();
    assert_eq!(usages.len(), 1, "one usage for all: {}", answer.text());
    let usage = &usages[0]["usage"];
    let sum = |of: fn(&router_tests::ledger::AttemptRow) -> i64| rows.attempts.iter().map(of).sum::<i64>();
    assert_eq!(usage["completion_tokens"], sum(|row| row.output_tokens));
    assert_eq!(usage["prompt_tokens"], sum(|row| row.input_tokens));
    let cost = (usage["cost"].as_f64().unwrap_or_default() * 1e9).round() as i128;
    assert_eq!(cost, rows.cost_nanousd(), "and one cost");
    assert!(rows.attempts.iter().all(|row| row.cost_nanousd > 0));
}

#[test]
fn an_answer_that_cannot_be_gone_on_with_ends_with_the_error_event() {
    for (more, wish, calls) in [
        (json!({ "reliability": { "rescue": { "enabled": false } } }), json!({}), 0),
        (json!({ "reliability": { "retries": { "attempts": 1 } } }), json!({}), 0),
        (json!({}), json!({ "logprobs": true }), 0),
        (json!({}), json!({ "router": { "allow_fallbacks": false } }), 0),
    ] {
        let places = cut_and_rest();
        for place in &places {
            place.upstream.script(|script| script.cut_after = Some(8));
        }
        let server = start(&places, more.clone());
        let answer = server.chat(&ask(merged(streamed(), wish.clone())));
        if answer.status == 200 {
            let last = answer.events().last().and_then(|event| data(event)).unwrap_or_default();
            assert_eq!(last["error"]["code"], "all_attempts_failed", "{more} {wish}: {}", answer.text());
            assert!(!answer.text().contains("[DONE]"), "never a clean end");
        } else {
            // No scripted deployment has log-probabilities.
            assert_eq!(answer.json()["error"]["code"], "capability_missing", "{more} {wish}");
        }
        assert_eq!(places[1].upstream.count(), calls, "{more} {wish}");
        server.stop();
    }
}

#[test]
fn the_cost_ceiling_covers_every_attempt() {
    let places = cut_and_rest();
    let server = start(&places, json!({}));
    let expected = server.explain(&ask(streamed()))["verdicts"][0]["cost_usd"].as_str().map(nanousd);
    let ceiling = |percent: i128| expected.unwrap_or_default() as f64 * percent as f64 / 1e11;
    let answer = server.chat(&ask(merged(streamed(), json!({ "router": { "max_cost_usd": ceiling(101) } }))));
    let last = answer.events().last().and_then(|event| data(event)).unwrap_or_default();
    assert_eq!(last["error"]["code"], "all_attempts_failed", "{}", answer.text());
    assert_eq!(places[1].upstream.count(), 0, "a second attempt would cost too much");
    let answer =
        server.chat(&ask(merged(streamed(), json!({ "router": { "max_cost_usd": ceiling(1_000) } }))));
    assert_eq!(text(&chunks(&answer)), said(12), "{}", answer.text());
    server.stop();
}

#[test]
fn a_late_attempt_is_raced_and_its_loser_is_stopped_and_paid() {
    for stream in [false, true] {
        let places: Vec<_> =
            ["first", "second"].map(|name| Place::new(name, "t", Wire::OpenaiChat, PRICE)).into();
        let hedging =
            json!({ "reliability": { "hedging": { "enabled": true, "max_extra_cost_percent": 100 } } });
        let server = start(&places, hedging);
        let body = ask(json!({ "stream": stream, "max_tokens": 12 }));
        // As many as are needed to know its p95, and no more: of twenty, one is late.
        for _ in 0..10 {
            assert_eq!(server.chat(&body).header("x-router-deployment"), places[0].id());
        }
        places[0].upstream.script(|script| script.latency = Duration::from_secs(50));
        let asked_at = Instant::now();
        let answer = server.chat(&body);
        let took = asked_at.elapsed();
        assert_eq!(
            (answer.status, answer.header("x-router-deployment")),
            (200, &*places[1].id()),
            "{}",
            answer.text()
        );
        assert!(took < Duration::from_secs(20), "{took:?}");
        eventually("the first is stopped", || {
            (places[0].upstream.calls()[10].ending == Ending::Lost).then_some(())
        });
        assert!(server.metrics().contains("router_hedges_total{outcome=\"won\"} 1"), "{}", server.metrics());
        let rows = server.stop().rows();
        let raced: Vec<_> = rows.attempts.iter().skip(10).collect();
        let ends: Vec<_> = raced.iter().map(|row| (&*row.deployment, row.outcome.as_deref())).collect();
        assert_eq!(ends, [("first/m", Some("cancelled")), ("second/m", Some("success"))]);
        assert!(raced[0].estimated && raced[0].cost_nanousd > 0, "the loser is paid: {:?}", raced[0]);
        let whole = rows.requests.iter().map(|row| i128::from(row.cost_nanousd)).sum::<i128>();
        assert_eq!(whole, rows.cost_nanousd(), "and is in its request's cost");
    }
}
