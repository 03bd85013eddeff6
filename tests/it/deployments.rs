//! Deployments taken out by hand, by the admin API and by the command: called by nobody, on every replica, over kill -9; and
//! breakers that go on where they stood.

use std::path::Path;

use router_tests::client::{Answer, Request};
use router_tests::eventually;
use router_tests::plan::{self, Place};
use router_tests::prices::Price;
use router_tests::server::{self, Process, merged};
use router_tests::upstream::Wire;
use serde_json::{Value, json};

/// Two deployments of one model, `one/m` first, in a configuration file of its directory.
fn setting(directory: &Path) -> (Vec<Place>, std::path::PathBuf) {
    let price = Price { input: 1_000_000, cached: 100_000, output: 4_000_000 };
    let place = |name| Place::new(name, "all", Wire::OpenaiChat, price);
    let places = vec![place("one"), place("two")];
    let models = json!({ "models": { "m": { "deployments": ["one/m", "two/m"], "strategy": "priority" } } });
    let config = merged(merged(server::base(), plan::config(&places)), models);
    let path = directory.join("router.yaml");
    std::fs::write(&path, config.to_string()).unwrap();
    (places, path)
}

fn body() -> Value {
    json!({ "model": "m", "messages": [{ "role": "user", "content": "hello" }] })
}

fn answered_by(process: &Process) -> String {
    let answer = Request::chat(&body()).send(process.data());
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.header("x-router-deployment").to_owned()
}

fn order(process: &Process, path: &str, terms: &Value) -> Answer {
    Request::post(&format!("/admin/v1/{path}"), terms.to_string()).send(process.admin())
}

fn shown(process: &Process, id: &str) -> Value {
    let all = Request::get("/admin/v1/deployments").send(process.admin()).json();
    all["deployments"].as_array().unwrap().iter().find(|row| row["id"] == id).unwrap().clone()
}

fn command(directory: &Path, words: &[&str]) -> (bool, String) {
    let mut all = vec!["deployments"];
    all.extend_from_slice(words);
    all.extend_from_slice(&["--config", "router.yaml", "--ledger", "sqlite://router.db"]);
    let output = server::run(&all, directory);
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn what_an_operator_takes_out_is_called_by_nobody_and_stays_out() {
    let directory = server::directory();
    let (places, path) = setting(directory.path());
    let process = Process::serve(&path);
    assert_eq!(answered_by(&process), "one/m");
    for (path, terms, status) in [
        ("deployments/no%2Fm/disable", json!({ "reason": "x" }), 404),
        ("providers/no/drain", json!({ "reason": "x" }), 404),
        ("deployments/one%2Fm/disable", json!({}), 400),
        ("deployments/one%2Fm/disable", json!({ "reason": "x", "till": "1h" }), 400),
        ("deployments/one%2Fm/stop", json!({ "reason": "x" }), 400),
    ] {
        assert_eq!(order(&process, path, &terms).status, status, "{path} {terms}");
    }
    let done = order(&process, "deployments/one%2Fm/disable", &json!({ "reason": "it lies", "until": "1h" }));
    assert_eq!((done.status, &done.json()["stored"]), (200, &json!(true)), "{}", done.text());
    assert_eq!(answered_by(&process), "two/m");
    assert_eq!(shown(&process, "one/m")["control"]["reason"], "it lies");
    let explained = Request::post("/v1/router/explain", body().to_string()).send(process.data()).json();
    let verdicts = explained["verdicts"].as_array().unwrap();
    let verdict = verdicts.iter().find(|v| v["deployment"] == "one/m").unwrap();
    assert_eq!(verdict["reason"], "disabled");
    assert!(verdict["detail"].as_str().is_some_and(|text| text.ends_with("it lies")), "{verdict}");

    // The whole of the other provider as well: nobody is left, and the last resort is not tried either.
    assert_eq!(order(&process, "providers/two/drain", &json!({ "reason": "moving" })).status, 200);
    let calls: usize = places.iter().map(|place| place.upstream.count()).sum();
    let refused = Request::chat(&body()).send(process.data());
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert_eq!(refused.json()["error"]["code"], "no_eligible_deployment");
    assert_eq!(places.iter().map(|place| place.upstream.count()).sum::<usize>(), calls);

    // A process that was killed finds them out when it begins.
    process.kill();
    let process = Process::serve(&path);
    assert_eq!(Request::chat(&body()).send(process.data()).status, 503);

    // Another replica's orders, here the command's, are followed without a restart.
    let (good, text) = command(directory.path(), &["list"]);
    assert!(good && text.contains("deployment:one/m") && text.contains("provider:two"), "{text}");
    let (good, text) = command(directory.path(), &["enable", "one/n"]);
    assert!(!good && text.contains("there is no deployment \"one/n\""), "{text}");
    let (good, text) = command(directory.path(), &["enable", "two", "--provider"]);
    assert!(good, "{text}");
    eventually("the provider is back", || {
        (Request::chat(&body()).send(process.data()).status == 200).then_some(())
    });
    assert_eq!(answered_by(&process), "two/m");
    assert_eq!(order(&process, "deployments/one%2Fm/enable", &json!({})).status, 200);
    assert_eq!(answered_by(&process), "one/m");
    process.stop();
}

#[test]
fn a_breaker_goes_on_where_it_stood_when_its_process_was_killed() {
    let directory = server::directory();
    let (places, path) = setting(directory.path());
    let process = Process::serve(&path);
    places[0].upstream.script(|script| script.fail_percent = 100);
    for _ in 0..5 {
        assert_eq!(answered_by(&process), "two/m");
    }
    assert_eq!(shown(&process, "one/m")["breaker"], "open");
    eventually("it is written down", || {
        let (_, text) = command(directory.path(), &["list"]);
        text.contains("one/m  breaker").then_some(())
    });
    process.kill();
    let process = Process::serve(&path);
    let row = shown(&process, "one/m");
    assert_eq!(row["breaker"], "open", "{row}");
    let before = places[0].upstream.count();
    assert_eq!(answered_by(&process), "two/m");
    assert_eq!(places[0].upstream.count(), before);
    // A reset by command is followed; the row goes.
    places[0].upstream.script(|script| script.fail_percent = 0);
    let (good, text) = command(directory.path(), &["reset", "one/m"]);
    assert!(good, "{text}");
    eventually("it begins anew", || (answered_by(&process) == "one/m").then_some(()));
    eventually("nothing is written of it any more", || {
        let (_, text) = command(directory.path(), &["list"]);
        (!text.contains("one/m")).then_some(())
    });
    process.stop();
}
