//! Reloads under load: whole or not at all, without a failed request.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use router_tests::client::Request;
use router_tests::eventually;
use router_tests::plan::{self, Place};
use router_tests::prices::Price;
use router_tests::server::{self, Process, merged};
use router_tests::upstream::Wire;
use serde_json::{Value, json};

/// Reloads under load.
const SWAPS: usize = 8;

fn config(places: &[Place], tier: &str) -> Value {
    let rules = json!({ "rules": [{ "name": format!("to-{tier}"), "when": {}, "use": { "tier": tier } }] });
    merged(merged(server::base(), plan::config(places)), rules)
}

/// Replaced in one step, so that no reload sees half of it.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}

fn hash(process: &Process) -> String {
    let config = Request::get("/admin/v1/config").send(process.admin()).json();
    config["hash"].as_str().unwrap().to_owned()
}

/// Keeps asking until told to stop; rule and deployment of every answer, each of which must be good.
fn ask_on(process: &Process, stop: &AtomicBool, answers: &AtomicUsize) -> BTreeSet<(String, String)> {
    let body = json!({ "model": "auto", "messages": [{ "role": "user", "content": "hello" }] });
    let mut seen = BTreeSet::new();
    while !stop.load(Ordering::Relaxed) {
        let answer = Request::chat(&body).send(process.data());
        assert_eq!(answer.status, 200, "{}", answer.text());
        seen.insert((
            answer.header("x-router-rule").to_owned(),
            answer.header("x-router-deployment").to_owned(),
        ));
        answers.fetch_add(1, Ordering::Relaxed);
    }
    seen
}

#[test]
fn rules_are_swapped_whole_under_load_and_a_bad_file_changes_nothing() {
    let price = Price { input: 1_000_000, cached: 100_000, output: 4_000_000 };
    let place = |name, tier| {
        Place::new(name, tier, Wire::OpenaiChat, price)
            .with(|script| script.latency = Duration::from_millis(3))
    };
    let places = vec![place("one", "first"), place("two", "second")];
    let directory = server::directory();
    let path = directory.path().join("router.yaml");
    let (first, second) = (config(&places, "first").to_string(), config(&places, "second").to_string());
    replace(&path, &first);
    let process = Process::serve(&path);
    let (stop, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    let seen: BTreeSet<_> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(|| ask_on(&process, &stop, &answers))).collect();
        let more = |what: &str, n: usize| {
            let until = answers.load(Ordering::Relaxed) + n;
            eventually(what, || (answers.load(Ordering::Relaxed) >= until).then_some(()));
        };
        for swap in 0..SWAPS {
            let before = hash(&process);
            replace(&path, if swap % 2 == 0 { &second } else { &first });
            process.signal("HUP");
            eventually("the new configuration is in force", || (hash(&process) != before).then_some(()));
            more("it serves", 10);
        }
        let before = hash(&process);
        for (bad, word) in
            [("rules: [", "YAML"), ("srver: {}", "srver"), ("tiers: { x: [nobody/x] }", "tiers.x[0]")]
        {
            replace(&path, bad);
            process.signal("HUP");
            let refused = |line: &str| line.contains("reload refused") && line.contains(word);
            eventually("the refusal is said", || process.log().lines().any(refused).then_some(()));
            more("the old one serves on", 10);
            assert_eq!(hash(&process), before);
        }
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let pair = |rule: &str, deployment: &str| (rule.to_owned(), deployment.to_owned());
    assert_eq!(
        seen,
        BTreeSet::from([pair("to-first", "one/m"), pair("to-second", "two/m")]),
        "never half of each"
    );
    process.stop();
    let rows = router_tests::ledger::read(&directory.path().join("router.db"));
    assert_eq!(rows.requests.len(), answers.into_inner());
    assert!(rows.requests.iter().all(|row| row.outcome == "success" && row.attempts == 1));
}
