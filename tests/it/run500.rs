//! Real prompts through the official SDK, streamed and not, over three wire formats, while one upstream is killed and one
//! fails 30 % of its calls: nobody sees it, the sick one leaves and comes back, and every nano-dollar is accounted for.
//!
//! The full form: `ROUTER_TESTS_DATA=DIR ROUTER_TESTS_PROMPTS=500 cargo test -p router-tests run500 -- --nocapture`, with a
//! folder of `outcomes/*.jsonl.gz` and `tasks/*.jsonl.gz`. Without it, forty prompts of our own words.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use router_tests::eventually;
use router_tests::ledger::{Rows, plain};
use router_tests::plan::{self, Place};
use router_tests::prices::{Price, nanousd, usd};
use router_tests::prompts;
use router_tests::python::Script;
use router_tests::server::{Left, Server, merged};
use router_tests::upstream::{Call, Ending, Wire, said};
use serde_json::{Value, json};

/// Words of every answer.
const WORDS: u32 = 12;
/// Which of [`places`] is killed: the first choice of its tier.
const KILLED: usize = 2;
/// Which of [`places`] fails: the first choice of its tier.
const FAILING: usize = 0;
/// The dearest: what "always premium" means.
const DEAREST: usize = 5;

/// Two deployments per tier, of different wire formats; prices with digits below a nano-dollar per token.
fn places() -> Vec<Place> {
    let price = |input, cached, output| Price { input, cached, output };
    let place = |name, tier, wire, price| {
        Place::new(name, tier, wire, price).with(|script| {
            script.words = WORDS;
            script.latency = Duration::from_millis(5);
        })
    };
    vec![
        place("eco-gemini", "economy", Wire::Gemini, price(100_370, 25_093, 400_110)),
        place("eco-openai", "economy", Wire::OpenaiChat, price(150_250, 75_131, 600_370)),
        place("std-openai", "standard", Wire::OpenaiChat, price(2_500_501, 1_250_253, 10_000_101))
            .with(|script| script.word_gap = Duration::from_millis(25)),
        place("std-anthropic", "standard", Wire::Anthropic, price(3_000_301, 300_031, 15_000_703)),
        place("top-gemini", "premium", Wire::Gemini, price(9_000_007, 900_001, 45_000_019)),
        place("top-anthropic", "premium", Wire::Anthropic, price(15_000_013, 1_500_007, 75_000_011)),
    ]
}

fn config(places: &[Place]) -> Value {
    let rules = json!({
        "rules": [
            { "name": "strict", "when": { "capabilities": { "contains": { "const": "json_schema" } } },
              "use": { "tier": "premium" } },
            { "name": "json", "when": { "capabilities": { "contains": { "const": "json_object" } } },
              "use": { "tier": "economy" } },
            { "name": "hard", "when": { "complexity_score": { "minimum": 0.5 } }, "use": { "tier": "premium" } },
            { "name": "simple", "when": { "complexity_score": { "maximum": 0.2 } }, "use": { "tier": "economy" } },
            { "name": "rest", "when": {}, "use": { "tier": "standard" } }
        ],
        "selection": { "default_tier": "standard", "usd_per_sec": 0 },
        "reliability": { "breaker": { "window_secs": 10, "min_requests": 5, "min_failures": 2, "consecutive": 3,
            "cooldown_secs": 1, "max_cooldown_secs": 2, "ramp_step_secs": 1 } },
        "decision_log": "decisions.jsonl"
    });
    merged(plan::config(places), rules)
}

/// Which prompts, as arguments for the script, and how many answers at least: each prompt's, whole and streamed.
fn asked_for() -> (Vec<String>, usize) {
    let Ok(folder) = std::env::var("ROUTER_TESTS_DATA") else {
        return (vec!["--prompts".into(), prompts::path().display().to_string()], 4 * prompts::all().len());
    };
    let count =
        std::env::var("ROUTER_TESTS_PROMPTS").ok().and_then(|count| count.parse().ok()).unwrap_or(500);
    (vec!["--data".into(), folder, "--count".into(), count.to_string()], 2 * count)
}

#[test]
fn real_prompts_survive_a_killed_and_a_failing_upstream_and_the_ledger_is_exact() {
    let mut places = places();
    let server = Server::start(config(&places));
    let (base_url, (prompts, asked)) = (server.base_url(), asked_for());
    let at_least = asked.to_string();
    let steady = ["--base-url", &base_url, "--concurrency", "12", "--rate", "60", "--at-least", &at_least];
    let prompts = prompts.iter().map(String::as_str);
    let script = Script::start("chat.py", &prompts.chain(steady).collect::<Vec<_>>());

    eventually("a quarter of the way", || (script.count() >= asked / 4).then_some(()));
    places[FAILING].upstream.script(|script| script.fail_percent = 30);
    let sick = places[FAILING].id();
    eventually("the failing deployment leaves the rotation", || is_at(&server, &sick, "open").then_some(()));

    eventually("half of the way", || (script.count() >= asked / 2).then_some(()));
    eventually("a stream is visible on the one to be killed", || {
        let shown = |call: &Call| call.stream && call.ending == Ending::Open && call.sent_events >= 4;
        places[KILLED].upstream.calls().iter().any(shown).then_some(())
    });
    places[KILLED].upstream.kill();

    places[FAILING].upstream.script(|script| script.fail_percent = 0);
    let mut steps = BTreeSet::new();
    eventually("the healed deployment returns to full rotation", || {
        let breaker = server.deployment(&sick)["breaker"].as_str().unwrap_or_default().to_owned();
        let back = breaker == "closed";
        steps.insert(breaker);
        back.then_some(())
    });
    assert!(steps.contains("returning"), "by degrees, not at once: {steps:?}");
    let metrics = server.metrics();
    assert!(metrics.contains(&format!("router_breaker_state{{deployment=\"{sick}\"}} 0")), "{metrics}");

    let answers = script.finish();
    let left = server.stop();
    let rows = left.rows();
    plan::assert_all_valid(&places);
    answers_are_whole(&answers, &rows, &places);
    ledger_is_exact(&places, &rows, &left);
    log_is_complete_and_discreet(&left, &rows);
    show(&places, &rows, &left);
}

fn is_at(server: &Server, deployment: &str, breaker: &str) -> bool {
    server.deployment(deployment)["breaker"] == breaker
}

/// No client sees an error: a stream that was visible on the killed upstream is gone on with by another.
fn answers_are_whole(answers: &[Value], rows: &Rows, places: &[Place]) {
    let killed = places[KILLED].id();
    let by_request = rows.by_request();
    let mut rescued = 0;
    for answer in answers {
        let deployment = &answer["headers"]["x-router-deployment"];
        let id = plain(answer["headers"]["x-request-id"].as_str().unwrap_or_default());
        let row = by_request.get(&id).unwrap_or_else(|| panic!("no row: {answer}"));
        assert_eq!(answer["ok"], true, "{answer}");
        assert_eq!((&answer["text"], &answer["finish"]), (&json!(said(WORDS)), &json!("stop")), "{answer}");
        assert_eq!(row.outcome, "success", "{answer}");
        assert_eq!(row.rule.as_deref(), answer["headers"]["x-router-rule"].as_str(), "{answer}");
        // The head says who began the answer, the row who ended it.
        if row.deployment.as_deref() != deployment.as_str() {
            assert_eq!((&answer["stream"], deployment), (&json!(true), &json!(killed)), "{answer}");
            rescued += 1;
        }
        assert_eq!(answer["usage"].is_object(), answer["asked_usage"] == true, "{answer}");
        if answer["asked_usage"] == true {
            let cost = answer["usage"]["cost"].as_f64().unwrap_or_else(|| panic!("no cost: {answer}"));
            assert_eq!((cost * 1e9).round() as i64, row.cost_nanousd, "{answer}");
        }
        if answer["stream"] == false {
            let header = answer["headers"]["x-router-cost-usd"].as_str().unwrap_or_default();
            assert_eq!(nanousd(header), i128::from(row.cost_nanousd), "{answer}");
        }
    }
    assert!(rescued >= 1, "a stream was visible on {killed} when it was killed");
    assert_eq!(rows.requests.len(), answers.len());
}

/// Every call that an upstream saw has its row, at the price of what the upstream counted; what it could not finish is
/// booked within its bound and marked; and the report's total is the sum.
fn ledger_is_exact(places: &[Place], rows: &Rows, left: &Left) {
    let by_call = rows.by_call();
    let (mut exact, mut estimated, mut seen) = (0, 0, BTreeSet::new());
    for (place, call) in plan::calls(places) {
        let name = plain(&call.id);
        let row = by_call.get(&name).unwrap_or_else(|| panic!("no row for {name} on {}", place.name));
        assert!(seen.insert(name), "one call, one name: {}", call.id);
        assert_eq!(row.deployment, place.id());
        if row.estimated || call.ending == Ending::Lost {
            assert_eq!(place.name, places[KILLED].name, "{row:?} {call:?}");
            assert!(
                row.estimated && row.cost_nanousd > 0 && row.cost_nanousd <= row.ceiling_nanousd,
                "{row:?}"
            );
            estimated += i128::from(row.cost_nanousd);
            continue;
        }
        assert!(call.is_settled(), "{call:?}");
        let cost = place.price.of_call(&call);
        assert_eq!(i128::from(row.cost_nanousd), cost, "{row:?} {call:?}");
        exact += cost;
    }
    for (name, row) in by_call.iter().filter(|(name, _)| !seen.contains(*name)) {
        // Never arrived: refused, or killed with its bytes unread, which nobody but the dead provider could know.
        assert_eq!(row.failure.as_deref(), Some("unavailable"), "{name}: {row:?}");
        let bound = if row.estimated { row.ceiling_nanousd } else { 0 };
        assert!(row.cost_nanousd <= bound && row.deployment == places[KILLED].id(), "{name}: {row:?}");
        estimated += i128::from(row.cost_nanousd);
    }
    let report = left.report("");
    assert_eq!(nanousd(report["cost_usd"].as_str().unwrap_or_default()), exact + estimated, "{report}");
    assert!(exact > 0 && estimated > 0, "{exact} {estimated}");

    let dearest = places[DEAREST].price;
    let mut of_request: BTreeMap<String, Vec<Call>> = BTreeMap::new();
    for (_, call) in plan::calls(places) {
        let id = plain(call.id.split('/').next().unwrap_or_default());
        of_request.entry(id).or_default().push(call);
    }
    let by_request = rows.by_request();
    for (id, calls) in of_request.iter().filter(|(_, calls)| calls.iter().all(Call::is_settled)) {
        let row = by_request[id];
        if row.outcome == "success"
            && rows.attempts.iter().all(|a| plain_hex(&a.request) != *id || !a.estimated)
        {
            let sum = |of: fn(&Call) -> u64| calls.iter().filter(|c| c.ending == Ending::Whole).map(of).sum();
            let always = dearest.cost_nanousd(
                sum(|c| c.input_tokens),
                sum(|c| c.cached_tokens),
                sum(|c| c.output_tokens),
            );
            assert_eq!(
                i128::from(row.reference_cost_nanousd),
                always.max(row.cost_nanousd.into()),
                "{row:?}"
            );
        }
    }
    let saved: i128 = rows
        .requests
        .iter()
        .filter(|row| row.outcome == "success")
        .map(|row| i128::from(row.reference_cost_nanousd - row.cost_nanousd))
        .sum();
    assert_eq!(nanousd(report["saved_usd"].as_str().unwrap_or_default()), saved, "{report}");
}

fn plain_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A line for every decision, attempt and request; no prompt and no key in any of them.
fn log_is_complete_and_discreet(left: &Left, rows: &Rows) {
    let log = left.text("decisions.jsonl");
    let mut events: BTreeMap<String, usize> = BTreeMap::new();
    for line in log.lines() {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        *events.entry(value["event"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    let requests = rows.requests.len();
    let expected = [
        ("router.attempt", rows.attempts.len()),
        ("router.decision", requests),
        ("router.request", requests),
    ];
    assert_eq!(events, expected.into_iter().map(|(name, n)| (name.to_owned(), n)).collect());
    for secret in ["sk-upstream-secret", "sk-client-secret", "solar system", "Übersetze", "w0 w1"] {
        assert!(!log.contains(secret), "the log holds {secret:?}");
    }
}

/// Tier, model, cost, and the saving against always-premium.
fn show(places: &[Place], rows: &Rows, left: &Left) {
    #[derive(Default)]
    struct Line {
        requests: u32,
        cost: i128,
        always: i128,
    }
    let tier = |id: &str| places.iter().find(|place| place.id() == id).map_or("-", |place| place.tier);
    let mut lines: BTreeMap<(&str, &str, &str), Line> = BTreeMap::new();
    for row in rows.requests.iter().filter(|row| row.outcome == "success") {
        let deployment = row.deployment.as_deref().unwrap_or("-");
        for key in [(tier(deployment), row.rule.as_deref().unwrap_or("-"), deployment), ("total", "", "")] {
            let line = lines.entry(key).or_default();
            line.requests += 1;
            line.cost += i128::from(row.cost_nanousd);
            line.always += i128::from(row.reference_cost_nanousd);
        }
    }
    println!(
        "{:<9} {:<8} {:<16} {:>8} {:>14} {:>16} {:>7}",
        "tier", "rule", "model", "answers", "cost USD", "always premium", "saved"
    );
    for ((tier, rule, model), line) in &lines {
        let saved = 100.0 * (line.always - line.cost) as f64 / line.always.max(1) as f64;
        println!(
            "{tier:<9} {rule:<8} {model:<16} {:>8} {:>14} {:>16} {saved:>6.1}%",
            line.requests,
            usd(line.cost),
            usd(line.always)
        );
    }
    let report = left.report("");
    println!(
        "requests {}, answered whole {}, attempts {}, estimated {}, total {} USD, saved {} USD",
        report["requests"],
        report["successes"],
        report["attempts"],
        report["estimated_attempts"],
        report["cost_usd"],
        report["saved_usd"]
    );
    for tier in ["economy", "standard", "premium"] {
        assert!(lines.keys().any(|(of, _, _)| *of == tier), "no request went to {tier}");
    }
}
