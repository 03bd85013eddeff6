//! The cases the project began with, on the shipped configuration; each attribute that decides a rule; and a deployment
//! that is too slow for a request.

use std::time::Duration;

use router_tests::client::Request;
use router_tests::plan::{self, Place};
use router_tests::prices::Price;
use router_tests::prompts;
use router_tests::server::{self, Process, Server, merged};
use router_tests::upstream::{Script, Upstream, Wire};
use serde_json::{Value, json};

const CHEAP: Price = Price { input: 100_000, cached: 50_000, output: 400_000 };
const DEAR: Price = Price { input: 5_000_000, cached: 2_500_000, output: 20_000_000 };

fn auto(body: Value) -> Value {
    merged(body, json!({ "model": "auto" }))
}

/// The shipped configuration, with one of its providers at a scripted address and free ports.
fn shipped(upstream: &Upstream) -> (tempfile::TempDir, Process) {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../config/router.yaml")).unwrap();
    let replaced = |text: String, from: &str, to: &str| {
        assert!(text.contains(from), "config/router.yaml no longer has {from:?}");
        text.replace(from, to)
    };
    let here = format!("{{ api_key: sk-test, base_url: \"{}\" }}", upstream.base_url());
    let text = replaced(text, "{ api_key: \"${OPENAI_API_KEY}\" }", &here);
    let text = replaced(text, "127.0.0.1:4000", "127.0.0.1:0");
    let text = replaced(text, "127.0.0.1:4001", "127.0.0.1:0");
    let directory = server::directory();
    let path = directory.path().join("router.yaml");
    std::fs::write(&path, text).unwrap();
    let process = Process::serve(&path);
    (directory, process)
}

#[test]
fn the_shipped_rules_send_a_simple_question_to_economy_and_strict_code_to_premium() {
    let upstream = Upstream::start(Wire::OpenaiChat, Script::default());
    let (_directory, process) = shipped(&upstream);
    let code = prompts::body("json-schema-code");
    for (body, rule, tier) in [
        (prompts::body("fact-capital"), "short-and-simple", "economy"),
        (code, "strict-code", "premium"),
        (prompts::body("code-sql"), "rest", "standard"),
    ] {
        let explained =
            Request::post("/v1/router/explain", auto(body.clone()).to_string()).send(process.data()).json();
        assert_eq!((&explained["rule"], &explained["tier"]), (&json!(rule), &json!(tier)), "{explained}");
        let answer = Request::chat(&auto(body)).send(process.data());
        assert_eq!((answer.status, answer.header("x-router-rule")), (200, rule), "{}", answer.text());
        assert_eq!(explained["plan"][0], answer.header("x-router-deployment"), "{explained}");
        if tier == "premium" {
            let tokens = explained["attributes"]["input_tokens"].as_u64().unwrap();
            assert!((1_500..=3_000).contains(&tokens), "a request of about 2,000 tokens, not {tokens}");
        }
    }
    let models: Vec<_> = upstream.calls().into_iter().map(|call| call.model).collect();
    assert_eq!(models, ["gpt-6-luna", "gpt-6.1-sol", "gpt-6.1-terra"]);
    process.stop();
}

/// Two requests that differ in one thing; the rule that it decides takes the first and not the second.
fn decides(when: &Value, yes: Value, no: Value) {
    let places = vec![
        Place::new("small", "economy", Wire::OpenaiChat, CHEAP),
        Place::new("large", "premium", Wire::OpenaiChat, DEAR),
    ];
    let rules = json!({
        "rules": [{ "name": "it", "when": when, "use": { "tier": "premium" } }],
        "selection": { "default_tier": "economy" }
    });
    let server = Server::start(merged(plan::config(&places), rules));
    for (body, rule, deployment) in [(yes, "it", "large/m"), (no, "", "small/m")] {
        let answer = server.chat(&auto(body));
        let got = (answer.status, answer.header("x-router-rule"), answer.header("x-router-deployment"));
        assert_eq!(got, (200, rule, deployment), "{when}: {}", answer.text());
    }
    plan::assert_all_valid(&places);
    server.stop();
}

#[test]
fn max_tokens_decides_a_rule() {
    let body = |max: u32| merged(prompts::body("fact-planet"), json!({ "max_tokens": max }));
    decides(&json!({ "max_tokens": { "minimum": 1000 } }), body(1_000), body(999));
    decides(&json!({ "max_tokens": { "minimum": 1000 } }), body(2_000), prompts::body("fact-planet"));
}

#[test]
fn temperature_decides_a_rule() {
    let body = |temperature: f64| merged(prompts::body("fact-planet"), json!({ "temperature": temperature }));
    decides(&json!({ "temperature": { "exclusiveMinimum": 0.5 } }), body(0.51), body(0.5));
}

#[test]
fn complexity_score_decides_a_rule() {
    let when = json!({ "complexity_score": { "minimum": 0.4 } });
    decides(&when, prompts::body("math-proof"), prompts::body("fact-capital"));
}

#[test]
fn latency_budget_decides_a_rule() {
    let body = |budget: u32| {
        merged(prompts::body("fact-planet"), json!({ "router": { "latency_budget_ms": budget } }))
    };
    decides(&json!({ "latency_budget_ms": { "maximum": 800 } }), body(800), body(801));
}

#[test]
fn a_deployment_slower_than_the_latency_budget_is_passed_over_with_that_reason() {
    let places = vec![
        Place::new("slow", "economy", Wire::OpenaiChat, CHEAP)
            .with(|script| script.latency = Duration::from_millis(120)),
        Place::new("fast", "economy", Wire::OpenaiChat, DEAR),
    ];
    let server = Server::start(merged(
        plan::config(&places),
        json!({
            "selection": { "default_tier": "economy", "usd_per_sec": 0 }
        }),
    ));
    let question = auto(prompts::body("fact-capital"));
    let warm = || server.chat(&merged(question.clone(), json!({ "model": "slow/m" })));
    let slow = |budget: u32| {
        let explained =
            server.explain(&merged(question.clone(), json!({ "router": { "latency_budget_ms": budget } })));
        let verdicts = explained["verdicts"].as_array().cloned().unwrap_or_default();
        let verdict =
            verdicts.into_iter().find(|verdict| verdict["deployment"] == "slow/m").unwrap_or_default();
        (explained, verdict)
    };
    let (explained, verdict) = slow(100);
    assert_eq!(
        (&explained["plan"][0], &verdict["reason"]),
        (&json!("slow/m"), &Value::Null),
        "not known yet: {explained}"
    );
    for _ in 0..20 {
        assert_eq!(warm().status, 200);
    }
    let (explained, verdict) = slow(100);
    assert_eq!(
        (&verdict["class"], &verdict["reason"]),
        (&json!("deferred"), &json!("too_slow")),
        "{explained}"
    );
    assert_eq!(explained["plan"], json!(["fast/m", "slow/m"]), "{explained}");
    assert!(verdict["detail"].as_str().is_some_and(|detail| detail.contains("wanted 100 ms")), "{verdict}");
    let answer = server.chat(&merged(question.clone(), json!({ "router": { "latency_budget_ms": 100 } })));
    assert_eq!(answer.header("x-router-deployment"), "fast/m");
    let (explained, verdict) = slow(60_000);
    assert_eq!((&explained["plan"][0], &verdict["reason"]), (&json!("slow/m"), &Value::Null), "{explained}");
    assert_eq!(
        server.chat(&question).header("x-router-deployment"),
        "slow/m",
        "who is in no hurry gets the cheap one"
    );
    server.stop();
}
