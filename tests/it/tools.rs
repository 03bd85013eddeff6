//! Tools with parallel calls and their results, by the official SDK, against every wire format: one and the same to the
//! client, and what each provider expects upstream.

use router_tests::plan::{self, Place};
use router_tests::prices::Price;
use router_tests::python;
use router_tests::server::Server;
use router_tests::upstream::{Wire, said};
use serde_json::{Value, json};

#[test]
fn parallel_calls_and_their_results_work_on_every_wire_format() {
    let price = Price { input: 1_000_000, cached: 100_000, output: 4_000_000 };
    let places: Vec<_> = [("o", Wire::OpenaiChat), ("a", Wire::Anthropic), ("g", Wire::Gemini)]
        .map(|(name, wire)| Place::new(name, "economy", wire, price).with(|script| script.tool_calls = true))
        .into();
    let server = Server::start(plan::config(&places));
    let ids: Vec<_> = places.iter().map(Place::id).collect();
    let url = server.base_url();
    let arguments: Vec<&str> = std::iter::once(url.as_str()).chain(ids.iter().map(String::as_str)).collect();
    let said_by_all = python::run("tools.py", &arguments);
    plan::assert_all_valid(&places);
    assert_eq!(said_by_all.len(), 6, "{said_by_all:?}");
    let calls = json!([
        { "name": "get_weather", "arguments": { "city": "Paris" } },
        { "name": "get_time", "arguments": { "zone": "Europe/Paris" } }
    ]);
    for got in &said_by_all {
        assert_eq!(
            (&got["first"]["calls"], &got["first"]["finish"]),
            (&calls, &json!("tool_calls")),
            "{got}"
        );
        let ids: Vec<_> =
            got["first"]["ids"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        assert!(ids.len() == 2 && ids[0] != ids[1] && ids.iter().all(|id| !id.is_empty()), "{got}");
        assert_eq!(
            (&got["second"]["text"], &got["second"]["finish"]),
            (&json!(said(12)), &json!("stop")),
            "{got}"
        );
        for round in ["first", "second"] {
            assert!(got[round]["usage"]["cost"].as_f64().is_some_and(|cost| cost > 0.0), "{got}");
        }
    }
    upstream_got_results(&places);
    let rows = server.stop().rows();
    assert_eq!((rows.requests.len(), rows.attempts.len()), (12, 12));
    let sum: i128 = plan::calls(&places).iter().map(|(place, call)| place.price.of_call(call)).sum();
    assert_eq!(rows.cost_nanousd(), sum);
}

/// Both results reached each provider in its own form, with the text unchanged.
fn upstream_got_results(places: &[Place]) {
    let body = |place: &Place| place.upstream.calls().pop().map(|call| call.body).unwrap_or_default();
    let openai = body(&places[0]);
    let results: Vec<_> =
        openai["messages"].as_array().into_iter().flatten().filter(|m| m["role"] == "tool").collect();
    assert_eq!(results.len(), 2, "{openai}");
    assert_eq!(results[0]["content"], "{\"celsius\": 9, \"rain\": true}", "{openai}");

    let anthropic = body(&places[1]);
    assert_eq!(anthropic["messages"][1]["content"][0]["input"], json!({ "city": "Paris" }), "{anthropic}");
    let results = anthropic["messages"][2]["content"].as_array().cloned().unwrap_or_default();
    let text =
        |block: &Value| block["content"].as_str().or(block["content"][0]["text"].as_str()).map(str::to_owned);
    assert_eq!(
        results.iter().filter_map(text).collect::<Vec<_>>(),
        ["{\"celsius\": 9, \"rain\": true}", "\"14:05\""],
        "{anthropic}"
    );
    assert_eq!(anthropic["tools"][0]["name"], "get_weather", "{anthropic}");
    assert_eq!(anthropic["max_tokens"], 100, "{anthropic}");

    let gemini = body(&places[2]);
    let parts = gemini["contents"][2]["parts"].as_array().cloned().unwrap_or_default();
    let names: Vec<_> = parts.iter().filter_map(|part| part["functionResponse"]["name"].as_str()).collect();
    assert_eq!(names, ["get_weather", "get_time"], "{gemini}");
    assert!(parts[0]["functionResponse"]["response"].to_string().contains("celsius"), "{gemini}");
    assert_eq!(gemini["generationConfig"]["maxOutputTokens"], 100, "{gemini}");
}
