//! Client keys: who is let in, what each may ask for, how often, and what the official SDK makes of a refusal.

use router_tests::client::Request;
use router_tests::plan::{self, Place};
use router_tests::prices::Price;
use router_tests::python;
use router_tests::server::{Server, merged};
use router_tests::upstream::Wire;
use serde_json::{Value, json};

const TEAM: &str = "sk-team-0123456789abcdef";
const NARROW: &str = "sk-narrow-0123456789abcdef";
const SLOW: &str = "sk-slow-0123456789abcdef";

fn start() -> (Vec<Place>, Server) {
    let price = Price { input: 1_000_000, cached: 100_000, output: 4_000_000 };
    let places = vec![
        Place::new("one", "economy", Wire::OpenaiChat, price),
        Place::new("two", "premium", Wire::OpenaiChat, price),
    ];
    let keys = json!({
        "selection": { "default_tier": "economy" },
        "keys": [
            { "name": "team", "secret": TEAM, "tags": ["finance"] },
            { "name": "narrow", "secret": NARROW, "models": ["one/m"] },
            { "name": "slow", "secret": SLOW, "rpm": 3 }
        ]
    });
    let server = Server::start(merged(plan::config(&places), keys));
    (places, server)
}

fn ask(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "hello" }] })
}

#[test]
fn the_sdk_raises_its_own_class_for_every_refusal_of_a_key() {
    let (places, server) = start();
    let cases = json!([
        ["no such key", "sk-wrong", ask("auto")],
        ["good", TEAM, ask("auto")],
        ["not its model", NARROW, ask("two/m")],
        ["its model", NARROW, ask("one/m")],
        ["first", SLOW, ask("auto")],
        ["second", SLOW, ask("auto")],
        ["third", SLOW, ask("auto")],
        ["fourth", SLOW, ask("auto")],
    ]);
    let said = python::run("errors.py", &[&server.base_url(), &cases.to_string()]);
    let got: Vec<_> =
        said.iter().map(|s| (s["class"].as_str(), s["status"].as_u64(), s["code"].as_str())).collect();
    assert_eq!(
        got,
        [
            (Some("AuthenticationError"), Some(401), Some("invalid_api_key")),
            (None, None, None),
            (Some("PermissionDeniedError"), Some(403), Some("model_not_allowed")),
            (None, None, None),
            (None, None, None),
            (None, None, None),
            (None, None, None),
            (Some("RateLimitError"), Some(429), Some("rate_limit_exceeded")),
        ],
        "{said:?}"
    );
    let wait: u64 = said[7]["retry_after"].as_str().and_then(|text| text.parse().ok()).unwrap();
    assert!((1..=20).contains(&wait), "three a minute: {wait}");
    assert!(!said[0]["message"].as_str().unwrap().contains("sk-wrong"), "a key is never shown: {said:?}");
    plan::assert_all_valid(&places);
    for (_, call) in plan::calls(&places) {
        assert!(!call.text.contains("sk-"), "a client's key stays here");
    }
    let rows = server.stop().rows();
    assert_eq!(rows.requests.iter().filter(|row| row.outcome == "success").count(), 5);
}

#[test]
fn a_key_may_come_in_any_of_its_headers_and_sees_its_models_alone() {
    let (_places, server) = start();
    let models = |request: Request| {
        let answer = request.send(server.data());
        assert_eq!(answer.status, 200, "{}", answer.text());
        let list = answer.json();
        let ids: Vec<_> = list["data"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|m| m["id"].as_str().unwrap().to_owned())
            .collect();
        ids
    };
    let narrow = vec!["one/m".to_owned()];
    for header in ["x-api-key", "api-key", "x-goog-api-key", "x-litellm-api-key"] {
        assert_eq!(models(Request::get("/v1/models").with(header, NARROW)), narrow, "{header}");
    }
    assert_eq!(models(Request::get("/v1/models").with("authorization", &format!("Bearer {NARROW}"))), narrow);
    assert_eq!(models(Request::get(&format!("/v1/models?key={NARROW}"))), narrow);
    let all = models(Request::get("/v1/models").with("x-api-key", TEAM));
    for name in ["auto", "one/m", "two/m"] {
        assert!(all.iter().any(|id| id == name), "{all:?}");
    }
    for (request, status) in [
        (Request::get("/v1/models"), 401),
        (Request::get("/v1/models/one/m").with("x-api-key", NARROW), 200),
        (Request::get("/v1/models/two/m").with("x-api-key", NARROW), 404),
        (Request::get("/healthz"), 200),
        (Request::get("/readyz"), 200),
        (Request::post("/v1/router/explain", ask("auto").to_string()), 401),
    ] {
        assert_eq!(request.send(server.data()).status, status, "{request:?}");
    }
    server.stop();
}
