//! Streams: bytes pass unchanged, usage comes to whoever asked for it, a stream that fails never ends cleanly, and a client
//! that leaves stops the provider.

use std::time::{Duration, Instant};

use router_tests::client::{Request, data};
use router_tests::eventually;
use router_tests::plan::{self, Place};
use router_tests::prices::{Price, nanousd};
use router_tests::python;
use router_tests::server::{Server, merged};
use router_tests::upstream::{Ending, Wire, said};
use serde_json::{Value, json};

const PRICE: Price = Price { input: 1_234_567, cached: 123_457, output: 9_876_543 };

fn three() -> Vec<Place> {
    [("openai-like", Wire::OpenaiChat), ("anthropic-like", Wire::Anthropic), ("gemini-like", Wire::Gemini)]
        .map(|(name, wire)| Place::new(name, "economy", wire, PRICE))
        .into()
}

fn start(places: &[Place]) -> Server {
    Server::start(plan::config(places))
}

fn ask(model: &str, more: Value) -> Value {
    merged(json!({ "model": model, "messages": [{ "role": "user", "content": "say something" }] }), more)
}

/// A stream as a provider of next year may send it: unknown members, odd spacing, comments, carriage returns, separators
/// that are newlines only to Unicode, numbers that a double cannot hold.
const ODD_STREAM: &str = concat!(
    ": welcome\n\n",
    "data: {\"id\":\"x\", \"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}],\"invented\":{\"a\":[1,2.50,1e2,12345678901234567890123]}}\n\n",
    "event: message\nid: 7\nretry: 10\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"h\u{2028}\\u00e9\u{1f600}\"},\"x\":null}]}\n\n",
    "data:{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"y\"}}]}\r\n\r\n",
    ": still here\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\",\"stop_reason\":\"</s>\"}]}\n\n",
    "data: [DONE]\n\n",
);

#[test]
fn a_stream_of_the_clients_own_dialect_passes_byte_for_byte() {
    let places = vec![
        Place::new("a", "t", Wire::OpenaiChat, PRICE).with(|script| script.raw = Some(ODD_STREAM.as_bytes())),
    ];
    let server = start(&places);
    let answer = server.chat(&ask("a/m", json!({ "stream": true })));
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/event-stream"));
    assert_eq!(answer.text(), ODD_STREAM);
    server.stop();
}

#[test]
fn a_whole_answer_of_the_clients_own_dialect_keeps_every_member() {
    const ODD: &str = "{\"id\":\"x\",\"object\":\"chat.completion\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"hi\",\"invented\":[1,2.50]},\"finish_reason\":\"stop\"}],\n \"usage\": {\"prompt_tokens\":10,\"completion_tokens\":5,\"total_tokens\":15,\"invented_tokens\":3},\"system_fingerprint\":\"fp\",\"big\":12345678901234567890123}";
    let places =
        vec![Place::new("a", "t", Wire::OpenaiChat, PRICE).with(|script| script.raw = Some(ODD.as_bytes()))];
    let server = start(&places);
    let answer = server.chat(&ask("a/m", json!({})));
    let (before, after) = ODD.split_once("\"invented_tokens\":3").unwrap();
    let text = answer.text();
    assert!(
        text.starts_with(before) && text.ends_with(after.trim_start_matches('}')),
        "only usage gains members: {text}"
    );
    let cost = PRICE.cost_nanousd(10, 0, 5);
    assert_eq!((answer.json()["usage"]["cost"].as_f64().unwrap() * 1e9).round() as i128, cost, "{text}");
    assert_eq!(nanousd(answer.header("x-router-cost-usd")), cost);
    server.stop();
}

#[test]
fn usage_comes_when_asked_for_with_its_cost_and_not_otherwise() {
    let places = three();
    let server = start(&places);
    for place in &places {
        let plain = server.chat(&ask(&place.id(), json!({ "stream": true })));
        let asked = server
            .chat(&ask(&place.id(), json!({ "stream": true, "stream_options": { "include_usage": true } })));
        for (answer, wants) in [(&plain, false), (&asked, true)] {
            let events = answer.events();
            assert_eq!(events.last().map(String::as_str), Some("data: [DONE]\n\n"), "{}", answer.text());
            let parsed: Vec<_> = events.iter().filter_map(|event| data(event)).collect();
            let text: String =
                parsed.iter().filter_map(|e| e["choices"][0]["delta"]["content"].as_str()).collect();
            assert_eq!(text, said(12), "{}", place.name);
            let finishes: Vec<_> =
                parsed.iter().filter_map(|e| e["choices"][0]["finish_reason"].as_str()).collect();
            assert_eq!(finishes, ["stop"], "{}", place.name);
            let usages: Vec<_> = parsed.iter().filter(|event| event["usage"].is_object()).collect();
            assert_eq!(usages.len(), usize::from(wants), "{}: {}", place.name, answer.text());
            let call = place.upstream.calls().pop().unwrap();
            for usage in usages {
                assert_eq!(usage["choices"], json!([]), "{usage}");
                let usage = &usage["usage"];
                assert_eq!(
                    (
                        &usage["prompt_tokens"],
                        &usage["completion_tokens"],
                        &usage["prompt_tokens_details"]["cached_tokens"]
                    ),
                    (&json!(call.input_tokens), &json!(12), &json!(call.cached_tokens)),
                    "{}",
                    place.name
                );
                let cost = (usage["cost"].as_f64().unwrap_or_default() * 1e9).round() as i128;
                assert_eq!(cost, PRICE.of_call(&call), "{}", place.name);
            }
        }
    }
    plan::assert_all_valid(&places);
    let rows = server.stop().rows();
    let sum: i128 = plan::calls(&places).iter().map(|(place, call)| place.price.of_call(call)).sum();
    assert_eq!(rows.cost_nanousd(), sum, "the same whether the client asked or not");
    assert!(rows.attempts.iter().all(|row| !row.estimated));
}

#[test]
fn a_stream_that_is_cut_ends_with_an_error_event_and_the_sdk_raises() {
    let places: Vec<_> =
        three().into_iter().map(|place| place.with(|script| script.cut_after = Some(3))).collect();
    let server = start(&places);
    for place in &places {
        let answer = server.chat(&ask(&place.id(), json!({ "stream": true })));
        let events = answer.events();
        let last = events.last().and_then(|event| data(event)).unwrap_or_default();
        assert_eq!(last["error"]["code"], "all_attempts_failed", "{}: {}", place.name, answer.text());
        assert!(!answer.text().contains("[DONE]"), "{}: never a clean end", place.name);
        assert!(!answer.text().contains("\"finish_reason\":\"stop\""), "{}", place.name);
    }
    let cases: Vec<_> =
        places.iter().map(|p| json!([p.name, "sk-x", ask(&p.id(), json!({ "stream": true }))])).collect();
    for said in python::run("errors.py", &[&server.base_url(), &json!(cases).to_string()]) {
        assert_eq!(
            (&said["class"], &said["code"]),
            (&json!("APIError"), &json!("all_attempts_failed")),
            "{said}"
        );
    }
    let rows = server.stop().rows();
    assert_eq!(rows.requests.len(), 6);
    for row in &rows.attempts {
        assert_eq!(
            (row.outcome.as_deref(), row.failure.as_deref()),
            (Some("failure"), Some("truncated")),
            "{row:?}"
        );
        assert!(
            row.cost_nanousd > 0 && row.cost_nanousd <= row.ceiling_nanousd && row.estimated,
            "what was worked is booked: {row:?}"
        );
    }
}

#[test]
fn a_provider_that_dies_with_the_request_in_hand_is_passed_over_and_what_it_may_bill_is_booked() {
    let mut places = three();
    let dies = places.remove(0).with(|script| script.latency = Duration::from_secs(120));
    let mut places = vec![dies, places.remove(0)];
    let fallback = json!({ "models": { "either": { "deployments": [places[0].id(), places[1].id()], "strategy": "priority" } } });
    let server = Server::start(merged(plan::config(&places), fallback));
    let (address, request) = (server.data(), Request::chat(&ask("either", json!({}))));
    let asking = std::thread::spawn(move || request.send(address));
    eventually("the call arrives", || (places[0].upstream.count() > 0).then_some(()));
    places[0].upstream.kill();
    let answer = asking.join().unwrap();
    assert_eq!(
        (answer.status, answer.header("x-router-deployment")),
        (200, places[1].id().as_str()),
        "{}",
        answer.text()
    );
    assert_eq!(answer.header("x-router-attempts"), "2");
    let rows = server.stop().rows();
    let died = &rows.attempts[0];
    assert_eq!((&died.deployment, died.outcome.as_deref()), (&places[0].id(), Some("failure")));
    assert!(died.estimated && died.cost_nanousd > 0, "it had the whole request: {died:?}");
    assert_eq!(nanousd(answer.header("x-router-cost-usd")), rows.cost_nanousd());
}

#[test]
fn a_client_that_leaves_stops_the_provider_and_is_recorded() {
    let places: Vec<_> = three()
        .into_iter()
        .map(|place| {
            place.with(|script| {
                script.words = 5_000;
                script.word_gap = Duration::from_millis(10);
            })
        })
        .collect();
    let server = start(&places);
    for place in &places {
        let mut reply =
            Request::chat(&ask(&place.id(), json!({ "stream": true }))).open(server.data()).unwrap();
        for _ in 0..3 {
            assert!(reply.event().unwrap().is_some());
        }
        drop(reply);
        let left_at = Instant::now();
        eventually("the provider's connection is closed", || {
            (place.upstream.calls()[0].ending == Ending::Lost).then_some(())
        });
        println!("{}: closed {} ms after the client left", place.name, left_at.elapsed().as_millis());
        assert!(left_at.elapsed() < Duration::from_secs(5), "at once, not at the end of the answer");
    }
    let rows = server.stop().rows();
    assert_eq!(rows.requests.len(), 3);
    assert!(rows.requests.iter().all(|row| row.outcome == "cancelled"), "{:?}", rows.requests);
    for row in &rows.attempts {
        assert_eq!((row.outcome.as_deref(), row.estimated), (Some("cancelled"), true), "{row:?}");
        assert!(
            row.cost_nanousd > 0 && row.cost_nanousd < row.ceiling_nanousd,
            "what was seen, not the most it could be: {row:?}"
        );
    }
}

#[test]
fn a_client_that_leaves_before_anything_came_stops_the_provider_too() {
    let places = vec![
        Place::new("a", "t", Wire::OpenaiChat, PRICE)
            .with(|script| script.latency = Duration::from_secs(120)),
    ];
    let server = start(&places);
    for stream in [false, true] {
        let at = usize::from(stream);
        let body = ask("a/m", json!({ "stream": stream })).to_string();
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut socket = std::net::TcpStream::connect(server.data()).unwrap();
        std::io::Write::write_all(&mut socket, head.as_bytes()).unwrap();
        eventually("the call arrives", || (places[0].upstream.count() > at).then_some(()));
        drop(socket);
        eventually("the provider's connection is closed", || {
            (places[0].upstream.calls()[at].ending == Ending::Lost).then_some(())
        });
    }
    let rows = server.stop().rows();
    let outcomes: Vec<_> = rows.requests.iter().map(|row| row.outcome.as_str()).collect();
    assert_eq!(outcomes, ["cancelled", "cancelled"]);
    assert!(
        rows.attempts.iter().all(|row| row.estimated && row.cost_nanousd > 0),
        "it may have been billed: {:?}",
        rows.attempts
    );
}
