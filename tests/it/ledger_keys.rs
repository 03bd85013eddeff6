//! Client keys in the ledger: made, changed, rotated and revoked by command and by API, seen by a running server, and
//! good while the database is away.

use std::net::SocketAddr;
use std::path::Path;

use router_test_postgres::Postgres;
use router_tests::client::{Answer, Request};
use router_tests::eventually;
use router_tests::plan::{self, Place};
use router_tests::prices::Price;
use router_tests::server::{self, Process, Server, merged, run};
use router_tests::upstream::Wire;
use serde_json::{Value, json};

const PRICE: Price = Price { input: 1_000_000, cached: 100_000, output: 4_000_000 };

fn places() -> Vec<Place> {
    vec![Place::new("one", "economy", Wire::OpenaiChat, PRICE)]
}

fn ask() -> Request {
    Request::chat(&json!({ "model": "one/m", "messages": [{ "role": "user", "content": "hello" }] }))
}

/// The status of a request with this secret; an empty one: without any.
fn status(secret: &str, at: SocketAddr) -> u16 {
    let request = if secret.is_empty() { ask() } else { ask().with("x-api-key", secret) };
    request.send(at).status
}

/// What `keys ...` writes to standard output, line by line.
fn keys(words: &str, ledger: &str, directory: &Path) -> Vec<String> {
    let mut arguments = vec!["keys"];
    arguments.extend(words.split_whitespace());
    arguments.extend(["--ledger", ledger]);
    let output = run(&arguments, directory);
    assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

fn admin(server: &Server, method: &'static str, path: &str, body: &str) -> Answer {
    let mut request = Request::get(&format!("/admin/v1/keys{path}"));
    request.method = method;
    request.body = body.as_bytes().to_vec();
    request.with("content-type", "application/json").send(server.admin())
}

#[test]
fn keys_made_by_command_are_seen_by_a_running_server() {
    let places = places();
    let server = Server::start(plan::config(&places));
    let directory = server.file("router.db").parent().unwrap().to_path_buf();
    let url = format!("sqlite://{}", server.file("router.db").display());
    let keys = |words: &str| keys(words, &url, &directory);
    assert_eq!(status("", server.data()), 200, "no keys yet");

    let made = keys(
        "create --name bot --owner ann --tags a,b --rpm 1000 --expires 90d --budget-usd 2.5 --period week",
    );
    let secret = made.last().unwrap().clone();
    assert!(secret.len() >= 3 + 43 && secret.starts_with("rk-"), "{made:?}");
    eventually("a key is needed now", || (status("", server.data()) == 401).then_some(()));
    assert_eq!(status(&secret, server.data()), 200);

    let listed = keys("list").join("\n");
    for expected in ["bot", "owner=ann", "tags=a,b", "rpm=1000", "budget=2.5/week", "expires="] {
        assert!(listed.contains(expected), "{expected}: {listed}");
    }
    assert!(!listed.contains(&secret[3..20]), "{listed}");
    let listed: Value = serde_json::from_str(&keys("list --json").join("")).unwrap();
    assert_eq!(listed["keys"][0]["name"], "bot", "{listed}");

    let rotated = keys("rotate bot --grace 1h").last().unwrap().clone();
    eventually("the new secret is good", || (status(&rotated, server.data()) == 200).then_some(()));
    assert_eq!(status(&secret, server.data()), 200, "and the old one for an hour");
    keys("rotate bot --grace 0s");
    eventually("both are over", || (status(&rotated, server.data()) == 401).then_some(()));
    assert_eq!(status(&secret, server.data()), 401);

    // By sha256sum.
    let (old, hash) =
        ("abcdefghijklmnopqrstuvwxyz", "71c480df93d6ae2f1efad1447c66c9525e316218cf51fc8d9ed832f2daf18b73");
    keys(&format!("import --name old --sha256 {hash}"));
    eventually("the imported one is good", || (status(old, server.data()) == 200).then_some(()));
    keys("revoke old");
    keys("update bot --rpm none --models one/m");
    keys("revoke --name bot");
    assert_eq!(keys("list"), ["no keys"]);
    // The end of the last key does not open the server.
    eventually("its secrets are unknown", || (status(&rotated, server.data()) == 401).then_some(()));
    assert_eq!(status("", server.data()), 401);
    let text = Request::get("/readyz").send(server.data()).json();
    assert_eq!(text["keys"], "ledger");
    drop(server);
    plan::assert_all_valid(&places);
}

#[test]
fn what_is_wrong_with_a_keys_command_is_one_line() {
    let directory = server::directory();
    let url = format!("sqlite://{}", directory.path().join("l.db").display());
    let good = keys("create --name a", &url, directory.path());
    assert_eq!(good.len(), 2);
    for (words, expected) in [
        ("create", "--name"),
        ("create --name a", "\"a\""),
        ("create --name b --rpm 0", "--rpm: must be above zero"),
        ("create --name b --rpm x", "--rpm"),
        ("create --name b --expires soon", "--expires: \"soon\""),
        ("create --name b --period day", "budget_usd is missing"),
        ("update nobody --rpm 5", "\"nobody\""),
        ("update a", "nothing to change"),
        ("update --rpm 5", "which key"),
        ("rotate a --grace 5", "grace"),
        ("revoke", "required"),
        ("import --name b", "--sha256"),
    ] {
        let mut arguments = vec!["keys"];
        arguments.extend(words.split_whitespace());
        arguments.extend(["--ledger", &url]);
        let output = run(&arguments, directory.path());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words}: {said}");
        assert_eq!((said.lines().count(), said.contains(expected)), (1, true), "{words}: {said}");
        assert!(output.stdout.is_empty(), "{words}");
    }
}

#[test]
fn keys_made_by_the_api_count_at_once() {
    let places = places();
    let configured = json!({ "keys": [{ "name": "conf", "secret": "sk-conf-0123456789abcdef" }] });
    let server = Server::start(merged(plan::config(&places), configured));
    let made = admin(&server, "POST", "", r#"{"name": "bot", "tags": ["a"], "rpm": 1000}"#);
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    assert_eq!(status(secret, server.data()), 200);
    for (method, path, body, expected) in [
        ("POST", "", r#"{"name": "bot"}"#, 409),
        ("POST", "", r#"{"name": "conf"}"#, 409),
        ("POST", "", r#"{"nam": "x"}"#, 400),
        ("POST", "", "{}", 400),
        ("PATCH", "/conf", r#"{"rpm": 1}"#, 409),
        ("DELETE", "/config:conf", "", 409),
        ("DELETE", "/nobody", "", 404),
        ("PUT", "", "{}", 405),
    ] {
        let answer = admin(&server, method, path, body);
        assert_eq!(answer.status, expected, "{method} {path} {body}: {}", answer.text());
    }
    let changed = admin(&server, "PATCH", &format!("/{id}"), r#"{"rpm": 1, "tags": []}"#);
    assert_eq!((changed.status, changed.json()["rpm"].as_u64()), (200, Some(1)), "{}", changed.text());
    // What it used under the old rate is over within 60 ms of that use.
    eventually("the minute's one request", || (status(secret, server.data()) == 200).then_some(()));
    let all: Vec<Answer> = (0..3).map(|_| ask().with("x-api-key", secret).send(server.data())).collect();
    assert_eq!(all.last().unwrap().status, 429, "{}", all[2].text());
    assert_eq!(all[0].header("x-ratelimit-limit-requests"), "1");
    assert_eq!(all[2].header("x-ratelimit-remaining-requests"), "0");
    assert!(all[2].header("x-ratelimit-reset-requests").ends_with('s'));
    assert!(!all[2].header("retry-after").is_empty());

    let page = admin(&server, "GET", "?limit=1", "").json();
    assert_eq!((page["keys"].as_array().unwrap().len(), &page["keys"][0]["name"]), (1, &json!("bot")));
    let next = page["next_cursor"].as_str().unwrap().to_owned();
    let rest = admin(&server, "GET", &format!("?cursor={next}"), "").json();
    assert_eq!(
        (&rest["keys"][0]["source"], &rest["next_cursor"]),
        (&json!("config"), &Value::Null),
        "{rest}"
    );
    assert!(page["keys"][0]["last_used_at"].is_string() && !page.to_string().contains(&secret[3..]));

    let rotated = admin(&server, "POST", "/bot/rotate", r#"{"grace": "0s"}"#).json();
    assert_eq!(status(secret, server.data()), 401, "over at once");
    let fresh = rotated["secret"].as_str().unwrap();
    assert_eq!(status(fresh, server.data()), 429, "the same key, whose minute is spent");
    assert_eq!(admin(&server, "DELETE", &format!("/{id}"), "").status, 200);
    assert_eq!(status(fresh, server.data()), 401);
    assert_eq!(status("sk-conf-0123456789abcdef", server.data()), 200);
}

#[test]
fn a_server_on_an_address_for_others_needs_a_key_and_one_in_the_ledger_will_do() {
    let directory = server::directory();
    let path = directory.path().join("router.yaml");
    let config = merged(server::base(), json!({ "server": { "listen": "0.0.0.0:0" } }));
    std::fs::write(&path, config.to_string()).unwrap();
    let arguments = ["check", "--config", path.to_str().unwrap()];
    let output = run(&arguments, directory.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("server.listen"));
    let url = format!("sqlite://{}", directory.path().join("router.db").display());
    keys("create --name a", &url, directory.path());
    assert!(run(&arguments, directory.path()).status.success());
    Process::serve(&path).stop();
}

/// Where its keys are from, as `/readyz` says.
fn origin(at: SocketAddr) -> String {
    Request::get("/readyz").send(at).json()["keys"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn with_the_database_away_the_snapshot_lets_in_whom_it_knows() {
    let mut postgres = Postgres::own().unwrap();
    let url = postgres.fresh_database().unwrap();
    let places = places();
    let directory = server::directory();
    let config = merged(merged(server::base(), plan::config(&places)), json!({ "ledger": { "url": url } }));
    let path = directory.path().join("router.yaml");
    std::fs::write(&path, config.to_string()).unwrap();
    let elsewhere = server::directory();
    std::fs::copy(&path, elsewhere.path().join("router.yaml")).unwrap();

    let process = Process::serve(&path);
    let secret = keys("create --name bot", &url, directory.path()).pop().unwrap();
    eventually("the key is good", || (status(&secret, process.data()) == 200).then_some(()));
    eventually("a key is needed", || (status("", process.data()) == 401).then_some(()));
    process.stop();

    postgres.stop().unwrap();
    let process = Process::serve(&path);
    assert_eq!(status(&secret, process.data()), 200, "{}", process.log());
    assert_eq!(status("rk-unknown", process.data()), 401);
    assert!(origin(process.data()).starts_with("snapshot of "), "{}", process.log());
    assert!(process.log().contains("local snapshot"), "{}", process.log());
    // One that never saw the ledger lets nobody in, though it would be open if there were no keys.
    let blind = Process::serve(&elsewhere.path().join("router.yaml"));
    let refused = ask().with("x-api-key", &secret).send(blind.data());
    assert_eq!((refused.status, refused.json()["error"]["code"].as_str()), (503, Some("ledger_unavailable")));
    assert_eq!(status("", blind.data()), 503);

    postgres.start_again().unwrap();
    eventually("the ledger is read", || (origin(process.data()) == "ledger").then_some(()));
    eventually("the other, too", || (status(&secret, blind.data()) == 200).then_some(()));
    keys("revoke bot", &url, directory.path());
    eventually("it is revoked everywhere", || {
        let all = [process.data(), blind.data()].map(|at| status(&secret, at));
        (all == [401, 401]).then_some(())
    });
    blind.stop();
    process.stop();
    plan::assert_all_valid(&places);
}
