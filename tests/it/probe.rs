//! Probes: a deployment that failed is found to be well again by the router's own small calls, which are paid for and written
//! down as any other.

use std::collections::BTreeSet;

use router_tests::eventually;
use router_tests::plan::{self, Place};
use router_tests::prices::{Price, nanousd};
use router_tests::server::{Server, merged};
use router_tests::upstream::{Call, Ending, Wire};
use serde_json::{Value, json};

const PRICE: Price = Price { input: 1_000_000, cached: 100_000, output: 4_000_000 };

/// Two deployments of one model, `sick/m` first, whose cooldown is a second.
fn start(wire: Wire, more: Value) -> (Vec<Place>, Server) {
    let place = |name, wire| Place::new(name, "all", wire, PRICE);
    let places = vec![place("sick", wire), place("well", Wire::OpenaiChat)];
    let config = json!({
        "models": { "m": { "deployments": ["sick/m", "well/m"], "strategy": "priority" } },
        "reliability": { "breaker": { "cooldown_secs": 1, "max_cooldown_secs": 1 },
            "probe": { "enabled": true, "interval_secs": 1 } },
    });
    let server = Server::start(merged(merged(plan::config(&places), config), more));
    (places, server)
}

fn ask(server: &Server) -> String {
    let answer = server.chat(&json!({ "model": "m", "messages": [{ "role": "user", "content": "hello" }] }));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.header("x-router-deployment").to_owned()
}

/// Fails until its breaker opens; returns how many calls that were.
fn put_out(places: &[Place], server: &Server) -> usize {
    places[0].upstream.script(|script| script.fail_percent = 100);
    for _ in 0..5 {
        assert_eq!(ask(server), "well/m");
    }
    assert_eq!(server.deployment("sick/m")["breaker"], "open");
    5
}

fn answered(calls: &[Call]) -> usize {
    calls.iter().filter(|call| call.ending == Ending::Whole).count()
}

#[test]
fn a_deployment_comes_back_without_a_client_having_tried_it() {
    for wire in [Wire::OpenaiChat, Wire::Anthropic, Wire::Gemini] {
        let (places, server) = start(wire, json!({}));
        let by_clients = put_out(&places, &server);
        let sick = &places[0].upstream;
        // The first probes find it as it was.
        eventually("it is probed in vain", || (sick.count() > by_clients).then_some(()));
        assert_eq!(answered(&sick.calls()), 0);
        sick.script(|script| script.fail_percent = 0);
        // Three probes that succeed lead to the ramp, and nothing of it was asked by a client.
        eventually("it comes back", || (answered(&sick.calls()) >= 3).then_some(()));
        let explained = eventually("it is on the ramp", || {
            let explained =
                server.explain(&json!({ "model": "m", "messages": [{ "role": "user", "content": "x" }] }));
            let verdicts = explained["verdicts"].as_array().cloned().unwrap_or_default();
            let verdict = verdicts.into_iter().find(|v| v["deployment"] == "sick/m")?;
            let states = ["ramp", "ramp_held"].map(|state| verdict.to_string().contains(state));
            (verdict["kind"] == "ranked" || states.contains(&true)).then_some(verdict)
        });
        assert_eq!(server.deployment("sick/m")["breaker"], "returning", "{explained}");
        plan::assert_all_valid(&places);
        let probes = sick.count() - by_clients;
        for call in &sick.calls()[by_clients..] {
            assert!(!call.stream && call.text.contains("Hi"), "{}", call.text);
        }

        let left = server.stop();
        let rows = left.rows();
        let asked: BTreeSet<_> = rows.requests.iter().map(|row| row.request.clone()).collect();
        let (asked, own): (Vec<_>, Vec<_>) =
            rows.attempts.iter().partition(|row| asked.contains(&row.request));
        assert_eq!((rows.requests.len(), asked.len(), own.len()), (5, 10, probes));
        assert!(
            own.iter().all(|row| row.deployment == "sick/m" && row.outcome.is_some() && row.attempt == 1)
        );
        let report = left.report("rule");
        let row = report["rows"].as_array().unwrap().iter().find(|row| row["rule"] == "probe").unwrap();
        assert_eq!(row["attempts"], probes, "{report}");
        let cost: i128 = own.iter().map(|row| i128::from(row.cost_nanousd)).sum();
        let exact: i128 = sick.calls()[by_clients..].iter().map(|call| PRICE.of_call(call)).sum();
        assert!(cost > 0 && cost == exact, "{cost} {exact}");
        assert_eq!(nanousd(row["cost_usd"].as_str().unwrap()), cost);
    }
}
