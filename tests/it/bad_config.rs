//! Bad configurations: `check` lists every problem with its path and exits 1; every other command says it in one line on
//! standard error and exits 2. Nothing is ignored.

use std::path::Path;

use router_tests::server::{self, merged, run};
use serde_json::{Value, json};

fn good() -> Value {
    let local = json!({
        "providers": { "local": { "dialect": "openai_chat", "base_url": "http://127.0.0.1:9/v1" } },
        "deployments": [{ "id": "local/m", "price_usd_per_million": { "input": 1, "output": 2 } }],
        "tiers": { "economy": ["local/m"] },
        "selection": { "default_tier": "economy" }
    });
    merged(server::base(), local)
}

fn rule(when: &Value) -> Value {
    json!({ "rules": [{ "name": "r", "when": when, "use": { "tier": "economy" } }] })
}

/// What is wrong, where, and words of the explanation.
fn cases() -> Vec<(Value, &'static str, &'static str)> {
    vec![
        (
            json!({ "server": { "admin_key": "${ROUTER_TESTS_NOT_SET}" } }),
            "server.admin_key",
            "ROUTER_TESTS_NOT_SET",
        ),
        (
            json!({ "providers": { "local": { "base_url": "http://${ROUTER_TESTS_NOT_SET}/v1" } } }),
            "providers.local.base_url",
            "ROUTER_TESTS_NOT_SET",
        ),
        (
            json!({ "providers": { "local": { "api_key": "${ROUTER_TESTS_NOT_SET}", "required": true } } }),
            "providers.local",
            "required, and is off: environment variable ROUTER_TESTS_NOT_SET is not set",
        ),
        (json!({ "srver": {} }), "srver", "server"),
        (json!({ "server": { "lissten": "127.0.0.1:0" } }), "server.lissten", "listen"),
        (rule(&json!({ "tools": { "minimun": 1 } })), "rules[0].when.tools.minimun", "minimum"),
        (
            rule(&json!({ "compexity_score": { "minimum": 0.5 } })),
            "rules[0].when.compexity_score",
            "complexity_score",
        ),
        (rule(&json!({ "model": { "minimum": 3 } })), "rules[0].when.model.minimum", ""),
        (rule(&json!({ "tools": { "pattern": "x" } })), "rules[0].when.tools.pattern", ""),
        (rule(&json!({ "task": { "enum": ["cod"] } })), "rules[0].when.task.enum[0]", "code"),
        (rule(&json!({ "tools": { "minimum": 0 } })), "rules[0].when.tools", "everything"),
        (rule(&json!({ "tools": {} })), "rules[0].when.tools", ""),
        (rule(&json!({ "tools": { "minimum": 5, "maximum": 4 } })), "rules[0].when.tools", "never"),
        (
            json!({ "deployments": [{ "id": "local/m", "price_usd_per_million": { "input": -1, "output": 1 } }] }),
            "deployments[0].price_usd_per_million.input",
            "price",
        ),
        (json!({ "tiers": { "economy": ["local/nobody"] } }), "tiers.economy[0]", "local/nobody"),
        (json!({ "deployments": [{ "id": "nobody/m" }] }), "deployments[0].id", "nobody"),
        (json!({ "selection": { "default_tier": "gold" } }), "selection.default_tier", "gold"),
        (json!({ "server": { "listen": "0.0.0.0:0" } }), "server.listen", "keys"),
        (
            json!({ "budgets": [{ "name": "b", "match": { "tag": "t" }, "limit_usd": 0, "period": "month" }] }),
            "budgets[0].limit_usd",
            "above zero",
        ),
        (
            json!({ "reliability": { "hedging": { "max_extra_cost_percent": 101 } } }),
            "reliability.hedging.max_extra_cost_percent",
            "101",
        ),
        (
            json!({ "ledger": { "url": "postgre://user:secret-word@db.test/router" } }),
            "ledger.url",
            "postgres://",
        ),
        (
            json!({ "keys": [{ "name": "k", "secret": "sk-0123456789abcdef", "budget_usd": 0 }] }),
            "keys[0].budget_usd",
            "above zero",
        ),
    ]
}

fn written(directory: &Path, config: &str) -> String {
    let path = directory.join("router.yaml");
    std::fs::write(&path, config).unwrap();
    path.display().to_string()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn check_says_every_problem_with_its_path_and_exits_1() {
    let directory = server::directory();
    for (patch, path, words) in cases() {
        let config = written(directory.path(), &merged(good(), patch.clone()).to_string());
        let output = run(&["check", "--config", &config], directory.path());
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{patch}: {said}{}", text(&output.stderr));
        let line = said.lines().find(|line| line.starts_with(&format!("{path}:")));
        assert!(line.is_some_and(|line| line.contains(words)), "{path}, {words:?}: {said}");
        assert!(!said.contains("secret-word"), "{said}");
        let output = run(&["check", "--json", "--config", &config], directory.path());
        let parsed: Value = serde_json::from_slice(&output.stdout).unwrap();
        let paths = parsed["problems"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|p| p["path"].as_str().unwrap_or_default());
        assert!(paths.into_iter().any(|found| found == path), "{parsed}");
    }
}

#[test]
fn serve_and_explain_say_it_in_one_line_and_exit_2() {
    let directory = server::directory();
    let request = directory.path().join("body.json");
    std::fs::write(&request, r#"{"model":"auto","messages":[{"role":"user","content":"hi"}]}"#).unwrap();
    let request = request.display().to_string();
    for (patch, path, words) in cases() {
        let config = written(directory.path(), &merged(good(), patch).to_string());
        for arguments in
            [&["serve", "--config", &config][..], &["explain", "--config", &config, "--request", &request]]
        {
            let output = run(arguments, directory.path());
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{arguments:?} {path}: {said}");
            assert_eq!(said.trim_end().lines().count(), 1, "{path}: {said}");
            assert!(
                said.contains(path) && said.contains(words) && !said.contains("secret-word"),
                "{path}: {said}"
            );
            assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
        }
    }
    assert!(!directory.path().join("router.db").exists(), "a refused configuration touches nothing");
}

#[test]
fn files_that_are_no_configuration_are_refused() {
    let directory = server::directory();
    for (config, words) in
        [("server: [", "YAML"), ("- a\n- b\n", "list"), ("\u{0}", ""), ("a: &a [*a, *a]\n", "")]
    {
        let path = written(directory.path(), config);
        let output = run(&["check", "--config", &path], directory.path());
        assert_eq!(output.status.code(), Some(1), "{config:?}: {}", text(&output.stderr));
        assert!(text(&output.stdout).contains(words), "{config:?}: {}", text(&output.stdout));
        assert_eq!(run(&["serve", "--config", &path], directory.path()).status.code(), Some(2), "{config:?}");
    }
    for arguments in [
        &["serve", "--config", "no-such.yaml"][..],
        &["serv"],
        &["serve", "--confg", "x"],
        &["report", "--ledger", "sqlite://none.db"],
        &["report", "--since", "soon"],
        &["explain"],
    ] {
        let output = run(arguments, directory.path());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stderr));
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_good_configuration_passes_and_says_what_it_amounts_to() {
    let directory = server::directory();
    let config = written(directory.path(), &good().to_string());
    let output = run(&["check", "--json", "--config", &config], directory.path());
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (output.status.code(), &said["ok"], &said["tiers"]["economy"]),
        (Some(0), &json!(true), &json!(["local/m"])),
        "{said}"
    );
}
