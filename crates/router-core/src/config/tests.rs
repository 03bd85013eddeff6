//! Configurations: what is refused and where, what providers that are off leave behind, and that every field counts.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::catalog::Catalog;
use crate::chat::DialectId;
use crate::compiled::Strategy;
use crate::config::{
    Checked, Database, DecisionLog, Known, KnownHost, NoteKind, Problem, check, parse, parse_catalog,
};

fn known() -> Known {
    let host = |id: &str, base_url: Option<&str>, needs_key, simulated| KnownHost {
        id: id.into(),
        base_url: base_url.map(Into::into),
        dialect: DialectId::OpenaiChat,
        needs_key,
        simulated,
    };
    Known {
        hosts: vec![
            host("acme", Some("https://api.acme.test/v1"), true, false),
            host("zeta", Some("https://api.zeta.test/v1"), true, false),
            host("own", None, true, false),
            host("localbox", Some("http://127.0.0.1:11434/v1"), false, false),
            host("simulated", None, false, true),
        ],
    }
}

fn catalog() -> Catalog {
    parse_catalog(&json!({ "date": "2026-11-22", "entries": [
        { "provider": "acme", "model": "big", "price_usd_per_million": { "input": 3, "cached_input": "0.3", "output": 15 },
          "long_context": [{ "above_input_tokens": 200000, "input": 6 }],
          "max_input_tokens": 200000, "max_output_tokens": 64000, "capabilities": ["tools", "json_schema"] },
        { "provider": "acme", "model": "thinker", "price_usd_per_million": { "input": 5, "output": 25 }, "capabilities": ["reasoning"] },
        { "provider": "acme", "model": "vectors", "price_usd_per_million": { "input": 0.1 }, "capabilities": ["embeddings"] },
        { "provider": "zeta", "model": "small", "price_usd_per_million": { "input": "0.1", "output": "0.4" }, "max_input_tokens": 128000 },
    ] }))
    .unwrap()
}

/// A small good configuration.
fn base() -> Value {
    json!({
        "providers": { "acme": { "api_key": "k-acme" }, "zeta": { "api_key": "k-zeta" } },
        "models": { "best": { "deployments": ["acme/big"] } },
        "tiers": { "economy": ["zeta/small"], "premium": ["acme/big"] },
        "rules": [{ "name": "short", "when": { "input_tokens": { "maximum": 100 } }, "use": { "tier": "economy" } }],
        "selection": { "default_tier": "premium" }
    })
}

fn read(value: &Value) -> Result<Checked, Vec<Problem>> {
    check(&parse(value)?, &catalog(), &known())
}

fn good(value: &Value) -> Checked {
    read(value).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// The base with some members replaced (an object is merged into, `null` stays).
fn with(patch: &str) -> Value {
    let mut value = base();
    merge(&mut value, serde_json::from_str(patch).unwrap_or_else(|e| panic!("{patch}: {e}")));
    value
}

fn merge(into: &mut Value, patch: Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            patch.into_iter().for_each(|(name, value)| merge(into.entry(name).or_insert(Value::Null), value));
        }
        (into, patch) => *into = patch,
    }
}

/// The problems of the base with a patch: each its path, and part of its text after a `~`.
fn refused(patch: &str, expected: &[&str]) {
    let problems = read(&with(patch)).err().unwrap_or_default();
    let paths: Vec<&str> = problems.iter().map(|p| p.path.as_str()).collect();
    let (wanted, texts): (Vec<&str>, Vec<&str>) =
        expected.iter().map(|e| e.split_once('~').unwrap_or((e, ""))).unzip();
    assert_eq!(paths, wanted, "{patch}: {problems:?}");
    for (problem, text) in problems.iter().zip(texts) {
        assert!(problem.text.contains(text), "{patch}: {problem}");
    }
}

#[test]
fn slips_in_form_are_refused_with_their_path() {
    for (patch, expected) in [
        ("{}", &[][..]),
        (
            r#"{"providers": {"acme": {"api_keyy": "x"}}}"#,
            &["providers.acme.api_keyy~did you mean \"api_key\""],
        ),
        (r#"{"srver": {}}"#, &["srver~did you mean \"server\""]),
        (
            r#"{"server": {"zzz": 1, "drain_secs": "10"}}"#,
            &["server.drain_secs~must be a whole number", "server.zzz~known here: admin_key"],
        ),
        (r#"{"server": {"drain_secs": -1}}"#, &["server.drain_secs~below 0"]),
        (r#"{"server": {"drain_secs": 1.5}}"#, &["server.drain_secs~must be a whole number"]),
        (r#"{"server": []}"#, &["server~is a list, must be a map"]),
        (r#"{"server": null}"#, &["server~is null"]),
        (r#"{"server": {"runtime": "single"}}"#, &["server.runtime~per_core"]),
        (r#"{"tiers": {"economy": "zeta/small"}}"#, &["tiers.economy~is a string, must be a list"]),
        (r#"{"tiers": {"economy": null}}"#, &["tiers.economy~is null"]),
        (r#"{"rules": [{"name": "x", "use": {}}]}"#, &["rules[0]~\"when\" is missing"]),
        (r#"{"rules": [{"name": "x", "when": {}, "use": {}, "then": {}}]}"#, &["rules[0].then~unknown key"]),
        (
            r#"{"ledger": {"on_full": "maybe"}}"#,
            &["ledger.on_full~\"maybe\" is not one of \"serve\", \"refuse\""],
        ),
        (
            r#"{"rules": [{"name": "x", "when": {"task": {"enum": ["cod"]}}, "use": {}}]}"#,
            &["rules[0].when.task.enum[0]~\"code\""],
        ),
        (
            r#"{"rules": [{"name": "x", "when": {"task": {"minimum": 1}}, "use": {}}]}"#,
            &["rules[0].when.task.minimum~unknown key"],
        ),
        (
            r#"{"rules": [{"name": "x", "when": {"compexity_score": {"minimum": 0.5}}, "use": {}}]}"#,
            &["rules[0].when.compexity_score~did you mean \"complexity_score\""],
        ),
        (
            r#"{"rules": [{"name": "x", "when": {"not": {"anyOf": [{"tools": {"minimun": 1}}]}}, "use": {}}]}"#,
            &["rules[0].when.not.anyOf[0].tools.minimun~did you mean \"minimum\""],
        ),
        (r#"{"rules": [{"name": "x", "when": {"tools": {}}, "use": {}}]}"#, &["rules[0].when.tools~empty"]),
        (
            r#"{"deployments": [{"id": "acme/x", "price_usd_per_million": {"input": -1, "output": 1}}]}"#,
            &["deployments[0].price_usd_per_million.input~not a price"],
        ),
        (
            r#"{"deployments": [{"id": "acme/x", "price_usd_per_million": {"input": "0.1234567", "output": "abc"}}]}"#,
            &[
                "deployments[0].price_usd_per_million.input~not a price",
                "deployments[0].price_usd_per_million.output~",
            ],
        ),
        (
            r#"{"deployments": [{"id": "acme/x", "capabilities": ["tool"]}]}"#,
            &["deployments[0].capabilities[0]~\"tools\""],
        ),
        (
            r#"{"deployments": [{"id": "acme/x", "limits": {"rpm": 1, "rps": 1}}]}"#,
            &["deployments[0].limits.rps~did you mean"],
        ),
        (r#"{"deployments": [{}]}"#, &["deployments[0]~\"id\" is missing"]),
        (r#"{"reliability": {"breaker": {"error_rate": 5}}}"#, &["reliability.breaker.error_rate~above 1"]),
        (r#"{"reliability": {"time_limits": {"idle_ms": 0}}}"#, &["reliability.time_limits.idle_ms~below 1"]),
        (r#"{"keys": [{"name": "a", "secret": 5}]}"#, &["keys[0].secret~is a number, must be"]),
    ] {
        refused(patch, expected);
    }
}

#[test]
fn slips_in_meaning_are_refused_with_their_path() {
    for (patch, expected) in [
        (r#"{"server": {"listen": "nonsense"}}"#, &["server.listen~not an address"][..]),
        (r#"{"server": {"admin_listen": "0.0.0.0:4001"}}"#, &["server.admin_listen~without `admin_key`"]),
        (r#"{"server": {"admin_listen": "127.0.0.1:4000"}}"#, &["server.admin_listen~clients' address"]),
        (r#"{"ledger": {"url": "mysql://x"}}"#, &["ledger.url~sqlite://"]),
        (r#"{"ledger": {"url": "sqlite://"}}"#, &["ledger.url"]),
        (r#"{"decision_log": ""}"#, &["decision_log"]),
        (r#"{"providers": {"mystery": {"api_key": "x"}}}"#, &["providers.mystery~`dialect` and `base_url`"]),
        (r#"{"providers": {"mine": {"dialect": "openai_chat"}}}"#, &["providers.mine.base_url~needed"]),
        (
            r#"{"providers": {"mine": {"host": "acne", "api_key": "x"}}}"#,
            &["providers.mine.host~no known host \"acne\""],
        ),
        (r#"{"providers": {"own": {"api_key": "x"}}}"#, &["providers.own.base_url~must be given"]),
        (r#"{"providers": {"acme": {"base_url": "ftp://x"}}}"#, &["providers.acme.base_url~http"]),
        (
            r#"{"providers": {"acme": {"base_url": "https://u:p@x/v1"}}}"#,
            &["providers.acme.base_url~user or password"],
        ),
        (r#"{"providers": {"acme": {"base_url": "https://x/v1?k=1"}}}"#, &["providers.acme.base_url~query"]),
        (
            r#"{"providers": {"acme": {"base_url": "https://:80/"}}}"#,
            &["providers.acme.base_url~host and port"],
        ),
        (
            r#"{"providers": {"acme": {"base_url": "https://x:99999/"}}}"#,
            &["providers.acme.base_url~host and port"],
        ),
        (r#"{"providers": {"a/b": {"host": "acme", "api_key": "x"}}}"#, &["providers.a/b~no slash"]),
        (r#"{"providers": {"acme": {"api_key": "x\n"}}}"#, &["providers.acme~control character"]),
        (
            r#"{"providers": {"acme": {"keys": [{"api_key": "x", "weight": 1}]}}}"#,
            &["providers.acme.keys~not both"],
        ),
        (r#"{"providers": {"acme": {"api_key": null, "required": true}}}"#, &["providers.acme~required"]),
        (r#"{"providers": {"acme": {"latency_ms": 5}}}"#, &["providers.acme.latency_ms~simulated"]),
        (
            r#"{"providers": {"simulated": {"faults": {"error_rate": 0.6, "cut_rate": 0.6}}}}"#,
            &["providers.simulated.faults~together"],
        ),
        (r#"{"providers": {"simulated": {"api_key": "x"}}}"#, &["providers.simulated.api_key"]),
        (r#"{"deployments": [{"id": "nobody/x"}]}"#, &["deployments[0].id~no provider \"nobody\""]),
        (r#"{"deployments": [{"id": "acme"}]}"#, &["deployments[0].id~provider/name"]),
        (r#"{"deployments": [{"id": "acme/x"}, {"id": "acme/x"}]}"#, &["deployments[1].id~twice"]),
        (
            r#"{"deployments": [{"id": "acme/x", "per_request_usd": -1}]}"#,
            &["deployments[0].per_request_usd~negative"],
        ),
        (r#"{"deployments": [{"id": "acme/x", "limits": {"rpm": 0}}]}"#, &["deployments[0].limits.rpm"]),
        (r#"{"tiers": {"economy": ["zeta/smal"]}}"#, &["tiers.economy[0]~nobody knows \"zeta/smal\""]),
        (r#"{"tiers": {"economy": ["groq/x"]}}"#, &["tiers.economy[0]~no such provider"]),
        (r#"{"tiers": {"economy": ["zeta/small", "zeta/small"]}}"#, &["tiers.economy[1]~twice"]),
        (r#"{"tiers": {"economy": []}}"#, &["tiers.economy~names no"]),
        (r#"{"tiers": {"best": ["acme/big"]}}"#, &["models.best~tier too"]),
        (r#"{"models": {"auto": {"auto": {}}}}"#, &["models.auto"]),
        (r#"{"models": {"acme/big": {"auto": {}}}}"#, &["models.acme/big~deployment too"]),
        (r#"{"models": {"x": {}}}"#, &["models.x~needs"]),
        (r#"{"models": {"x": {"deployments": ["acme/big"], "auto": {}}}}"#, &["models.x~not both"]),
        (r#"{"models": {"x": {"deployments": ["acme/bog"]}}}"#, &["models.x.deployments[0]"]),
        (
            r#"{"models": {"x": {"deployments": ["acme/big"], "fallbacks": ["y"]}}}"#,
            &["models.x.fallbacks[0]"],
        ),
        (
            r#"{"models": {"x": {"deployments": ["acme/big"], "fallbacks": ["x"]}}}"#,
            &["models.x.fallbacks[0]~itself"],
        ),
        (r#"{"selection": {"default_tier": "gold"}}"#, &["selection.default_tier~no tier \"gold\""]),
        (r#"{"selection": {"usd_per_sec": -1}}"#, &["selection.usd_per_sec~negative"]),
        (r#"{"rules": [{"name": "", "when": {}, "use": {}}]}"#, &["rules[0].name~empty"]),
        (r#"{"rules": [{"name": "x", "when": {}, "use": {"tier": "gold"}}]}"#, &["rules[0].use.tier"]),
        (
            r#"{"rules": [{"name": "x", "when": {}, "use": {"prefer": ["economy", "golden"]}}]}"#,
            &["rules[0].use.prefer[1]"],
        ),
        (
            r#"{"models": {"a": {"auto": {}}}, "rules": [{"name": "x", "when": {}, "use": {"avoid": ["a"]}}]}"#,
            &["rules[0].use.avoid[0]~like auto"],
        ),
        (r#"{"rules": [{"name": "x", "when": {}, "use": {"only": []}}]}"#, &["rules[0].use.only"]),
        (
            r#"{"rules": [{"name": "x", "when": {}, "use": {"tier": "economy", "models": ["best"]}}]}"#,
            &["rules[0].use.models~not both"],
        ),
        (
            r#"{"rules": [{"name": "x", "when": {}, "use": {"max_cost_usd": 0}}]}"#,
            &["rules[0].use.max_cost_usd"],
        ),
        (
            r#"{"rules": [{"name": "x", "when": {}, "use": {}}, {"name": "x", "when": {"tools": {"minimum": 1}}, "use": {}}]}"#,
            &["rules[1].name~earlier rule", "rules[1].when~\"x\" takes all"],
        ),
        (
            r#"{"rules": [{"name": "x", "when": {"tools": {"minimum": 5, "maximum": 4}}, "use": {}}]}"#,
            &["rules[0].when.tools~never"],
        ),
        (
            r#"{"rules": [{"name": "x", "when": {"tools": {"minimum": 0}}, "use": {}}]}"#,
            &["rules[0].when.tools~everything"],
        ),
        (
            r#"{"rules": [{"name": "x", "when": {"model": {"pattern": "("}}, "use": {}}]}"#,
            &["rules[0].when.model.pattern~regular"],
        ),
        (r#"{"reliability": {"probe": {"interval_secs": 0}}}"#, &["reliability.probe.interval_secs"]),
        (
            r#"{"reliability": {"breaker": {"max_cooldown_secs": 5}}}"#,
            &["reliability.breaker.max_cooldown_secs"],
        ),
        (r#"{"keys": [{"name": "a"}]}"#, &["keys[0]~`sha256` or `secret`"]),
        (r#"{"keys": [{"name": "a", "sha256": "+f"}]}"#, &["keys[0].sha256"]),
        (
            r#"{"keys": [{"name": "a", "secret": "0123456789abcdef"}, {"name": "a", "secret": "0123456789abcdef"}]}"#,
            &["keys[1]~earlier key", "keys[1].name"],
        ),
        (
            r#"{"keys": [{"name": "a", "secret": "0123456789abcdef", "models": ["auto", "best", "acme", "big", "bag"]}]}"#,
            &["keys[0].models[4]~\"bag\""],
        ),
        (
            r#"{"budgets": [{"name": "b", "limit_usd": 1, "alert_at": [0.5, 0]}, {"name": "b", "limit_usd": 0},
                {"name": " ", "limit_usd": 1}, {"name": "key:x", "limit_usd": 1}]}"#,
            &[
                "budgets[0].alert_at[1]~0 is not a share",
                "budgets[1].limit_usd~above zero",
                "budgets[1].name~earlier budget",
                "budgets[2].name~empty",
                "budgets[3].name~keys' own",
            ],
        ),
        (
            r#"{"budgets": [{"name": "b", "limit_usd": 1, "match": {"team": "x"}}]}"#,
            &["budgets[0].match.team"],
        ),
        (
            r#"{"budgets": [{"name": "b", "limit_usd": 1, "alert_at": [0.5, 1.5]}]}"#,
            &["budgets[0].alert_at[1]~1.5"],
        ),
        (r#"{"budgets": [{"name": "b", "limit_usd": 1, "period": "year"}]}"#, &["budgets[0].period"]),
        (
            r#"{"webhooks": [{"url": "ftp://x.test"}, {"url": "https://u:p@x.test/"}, {"url": "http://"}]}"#,
            &["webhooks[0].url", "webhooks[1].url", "webhooks[2].url"],
        ),
        (
            r#"{"keys": [{"name": "a", "secret": "0123456789abcdef", "providers": ["acme", "own"]}]}"#,
            &["keys[0].providers[1]~no provider \"own\""],
        ),
        (
            r#"{"keys": [{"name": "a", "secret": "0123456789abcdef", "rpm": 0, "tpm": 0, "concurrency": 0}]}"#,
            &["keys[0].concurrency~below 1", "keys[0].rpm~below 1", "keys[0].tpm~below 1"],
        ),
        (
            r#"{"keys": [{"name": "a", "secret": "0123456789abcdef", "expires": "90d"}]}"#,
            &["keys[0].expires~\"90d\" is no moment"],
        ),
        (
            r#"{"keys": [{"name": "a", "secret": "0123456789abcdef", "period": "day"}]}"#,
            &["keys[0].period~`budget_usd` is missing"],
        ),
        (
            r#"{"keys": [{"name": "a", "secret": "0123456789abcdef", "budget_usd": 0, "period": "total"}]}"#,
            &["keys[0].budget_usd~above zero"],
        ),
        (
            r#"{"keys": [{"name": "a", "secret": "0123456789abcdef", "budget_usd": 1, "period": "year"}]}"#,
            &["keys[0].period~\"month\""],
        ),
        (
            r#"{"keys": [{"name": "a", "secret": "0123456789abcdef", "priority": 200}]}"#,
            &["keys[0].priority"],
        ),
        (r#"{"server": {"max_body_memory_bytes": 1000}}"#, &["server.max_body_memory_bytes~max_body_bytes"]),
        (r#"{"ledger": {"url": "postgres://"}}"#, &["ledger.url~postgres://user:password@host/database"]),
    ] {
        refused(patch, expected);
    }
}

#[test]
fn what_is_not_there_yet_is_refused_by_name() {
    for (patch, path) in [
        (
            r#"{"rules": [{"name": "x", "when": {}, "use": {"split": {"experiment": "e", "by": "session", "arms": []}}}]}"#,
            "rules[0].use.split",
        ),
        (r#"{"classifier": {"model_dir": "x"}}"#, "classifier.model_dir"),
        (r#"{"classifier": {"examples": "x"}}"#, "classifier.examples"),
        (r#"{"classifier": {"record": "all"}}"#, "classifier.record"),
        (r#"{"passthrough": [{"provider": "acme", "routes": ["/x"]}]}"#, "passthrough"),
        (r#"{"server": {"fetch_images": ["x.test"]}}"#, "server.fetch_images"),
        (r#"{"server": {"compat": ["litellm"]}}"#, "server.compat"),
    ] {
        refused(patch, &[&format!("{path}~not available in this version")]);
    }
}

#[test]
fn a_limit_names_what_somebody_bears() {
    for (allow, expected) in [
        (r#"{"models": ["auto", "best", "economy", "acme/big", "small", "zeta"]}"#, &[][..]),
        (r#"{"models": ["best", "bset"]}"#, &["models.best.allow.models[1]~nobody knows \"bset\""]),
        (r#"{"providers": ["ACME", "localbox", "own"]}"#, &[]),
        (
            r#"{"providers": ["acme", "acne"]}"#,
            &["models.best.allow.providers[1]~there is no provider \"acne\""],
        ),
        (r#"{"regions": ["eu", " "]}"#, &["models.best.allow.regions[1]~must not be empty"]),
        (r#"{"model": ["best"]}"#, &["models.best.allow.model~did you mean \"models\""]),
    ] {
        refused(&format!(r#"{{"models": {{"best": {{"allow": {allow}}}}}}}"#), expected);
    }
    refused(
        r#"{"providers": {"acme": {"data_collection": "never"}}}"#,
        &["providers.acme.data_collection~deny"],
    );
    let checked = good(&with(r#"{"providers": {"zeta": {"data_collection": "deny", "api_key": null}}}"#));
    assert!(
        checked.compiled.knows_provider("Zeta") && !checked.compiled.knows_provider("zet"),
        "known, though off"
    );
    let first = checked.compiled.deployments.first().unwrap();
    assert!(checked.compiled.is_of(first, "ACME") && checked.compiled.admits(first, "ACME"));
    // Two at one host: a limit to the one that bears the host's name is none to the other.
    let both = r#"{"providers": {"acme": {"api_key": "k"}, "acme-eu": {"host": "acme", "api_key": "k"}}}"#;
    let checked = good(&with(both));
    let eu = checked.compiled.deployments.iter().find(|d| &*d.provider == "acme-eu").unwrap();
    assert!(checked.compiled.is_of(eu, "acme") && !checked.compiled.admits(eu, "acme"));
    assert!(checked.compiled.admits(eu, "acme-eu"));
}

#[test]
fn the_hash_says_nothing_of_a_password() {
    let hash = |url: &str| {
        let config = with(&format!(r#"{{"ledger": {{"url": "{url}"}}}}"#));
        good(&config).compiled.config_hash.to_string()
    };
    assert_eq!(hash("postgres://u:one@h/d"), hash("postgres://u:two@h/d?password=x"));
    assert_ne!(hash("postgres://u:one@h/d"), hash("postgres://u:one@other/d"));
}

#[test]
fn every_strategy_is_there() {
    for (written, expected) in [
        ("cheapest", Strategy::Cheapest),
        ("weighted", Strategy::Weighted),
        ("round_robin", Strategy::RoundRobin),
        ("least_busy", Strategy::LeastBusy),
        ("lowest_latency", Strategy::LowestLatency),
        ("priority", Strategy::Priority),
    ] {
        let checked = good(&with(&format!(r#"{{"models": {{"best": {{"strategy": "{written}"}}}}}}"#)));
        assert_eq!(checked.compiled.models["best"].strategy, expected);
    }
}

#[test]
fn all_problems_come_at_once() {
    let patch = r#"{"server": {"listen": "x"}, "tiers": {"a": ["b"]}, "selection": {"default_tier": "c"},
        "rules": [{"name": "x", "when": {"tools": {"minimum": 0}}, "use": {"tier": "d"}}]}"#;
    refused(
        patch,
        &[
            "rules[0].use.tier",
            "rules[0].when.tools",
            "selection.default_tier",
            "server.listen",
            "tiers.a[0]",
        ],
    );
}

#[test]
fn no_problem_shows_a_secret() {
    for patch in [
        r#"{"providers": "hunter2"}"#,
        r#"{"providers": {"acme": "hunter2"}}"#,
        r#"{"providers": {"acme": {"api_key": ["hunter2"]}}}"#,
        r#"{"providers": {"acme": {"keys": ["hunter2"]}}}"#,
        r#"{"providers": {"acme": {"api_key": "hunter2\n"}}}"#,
        r#"{"providers": {"acme": {"base_url": "https://a:hunter2@x"}}}"#,
        r#"{"keys": [{"name": "a", "sha256": "hunter2"}]}"#,
        r#"{"keys": {"secret": "hunter2"}}"#,
        r#"{"server": {"admin_key": {"x": "hunter2"}}}"#,
        r#"{"ledger": {"url": "mysql://root:hunter2@x"}}"#,
        r#"{"ledger": {"url": "postgre://root:hunter2@x"}}"#,
    ] {
        let problems = read(&with(patch)).unwrap_err();
        assert!(!format!("{problems:?}").contains("hunter2"), "{patch}: {problems:?}");
    }
    let patch = r#"{"providers": {"acme": {"api_key": "hunter2"}}, "server": {"admin_key": "hunter2"},
        "keys": [{"name": "a", "secret": "hunter2"}]}"#;
    let file = parse(&with(patch)).unwrap();
    let shown = format!("{file:?} {} {:?}", serde_json::to_string(&file).unwrap(), good(&with(patch)));
    assert!(!shown.contains("hunter2"));
}

fn ids(checked: &Checked) -> Vec<&str> {
    checked.compiled.deployments.iter().map(|d| &*d.id).collect()
}

fn notes(checked: &Checked) -> Vec<(NoteKind, &str)> {
    checked.notes.iter().map(|n| (n.kind, n.path.as_str())).collect()
}

#[test]
fn a_provider_that_is_on_makes_every_chat_model_of_its_host_a_deployment() {
    let checked = good(&base());
    assert_eq!(
        ids(&checked),
        ["acme/big", "acme/thinker", "simulated/any", "simulated/big", "simulated/small", "zeta/small"]
    );
    let compiled = &checked.compiled;
    let big = compiled.deployment(compiled.deployment_named("acme/big").unwrap());
    assert_eq!((&*big.upstream_model, big.max_input_tokens, big.simulated), ("big", Some(200_000), false));
    assert_eq!(big.price.as_ref().unwrap().long_context.len(), 1);
    assert_eq!(compiled.providers[usize::from(big.provider_idx)].name, big.provider);
    assert_eq!(checked.credentials[usize::from(big.provider_idx)][0].secret.expose(), "k-acme");
    assert!(notes(&checked).is_empty(), "{:?}", checked.notes);
    assert_eq!(compiled.tier_named("economy"), Some(0));
    assert_eq!(compiled.selection.default_tier, compiled.tier_named("premium"));
    assert!(compiled.reliability.rescue && compiled.reliability.hedging.is_none());
    assert_eq!(compiled.reliability.probe, None);
}

#[test]
fn a_reasoning_model_keeps_its_longer_limits_and_a_deployment_its_own() {
    let checked = good(&with(
        r#"{"reliability": {"time_limits": {"first_byte_ms": 5000}},
            "deployments": [{"id": "acme/fast", "model": "big", "time_limits": {"idle_ms": 7}}],
            "models": {"slow": {"deployments": ["acme/fast"], "time_limits": {"idle_ms": 9}}}}"#,
    ));
    let compiled = &checked.compiled;
    let of = |id| compiled.deployment_named(id).unwrap();
    let limits = |id| compiled.deployment(of(id)).time_limits;
    assert_eq!(limits("acme/big").first_byte.as_millis(), 5_000);
    assert_eq!(limits("acme/thinker").first_byte.as_millis(), 180_000);
    assert_eq!(limits("acme/fast").idle.as_millis(), 7);
    assert_eq!(compiled.time_limits("slow", of("acme/fast")).idle.as_millis(), 9);
    assert_eq!(compiled.time_limits("auto", of("acme/fast")).idle.as_millis(), 7);
}

#[test]
fn a_model_of_which_nothing_is_known_may_reason() {
    let check = |deployment: &str, limits: &str, expected: [u64; 3]| {
        let checked = good(&with(&format!(
            r#"{{"reliability": {{"time_limits": {{{limits}}}}},
                "providers": {{"local": {{"dialect": "openai_chat", "base_url": "http://127.0.0.1:8000/v1"}}}},
                "deployments": [{{"id": "local/own", "price_usd_per_million": {{"input": 0, "output": 0}}{deployment}}}]}}"#
        )));
        let compiled = &checked.compiled;
        let limits = compiled.deployment(compiled.deployment_named("local/own").unwrap()).time_limits;
        let limits = [limits.first_byte, limits.answer, limits.idle].map(|l| l.as_secs());
        assert_eq!(limits, expected, "{deployment}");
    };
    check("", "", [180, 1_800, 180]);
    check(r#", "capabilities": ["reasoning"]"#, "", [180, 1_800, 180]);
    check(r#", "capabilities": ["tools"]"#, "", [30, 600, 60]);
    check("", r#""idle_ms": 7000"#, [180, 1_800, 7]);
    check(r#", "time_limits": {"first_byte_ms": 9000}"#, "", [9, 1_800, 180]);
    check(r#", "capabilities": []"#, r#""first_byte_ms": 5000"#, [5, 600, 60]);
}

#[test]
fn a_deployment_takes_from_the_catalog_what_it_does_not_say() {
    let checked = good(&with(
        r#"{"providers": {"west": {"host": "own", "base_url": "https://x.test/", "region": "eu",
                "keys": [{"api_key": "a", "weight": 3}, {"api_key": null}, {"api_key": "b"}]},
                "local": {"dialect": "openai_chat", "base_url": "http://127.0.0.1:8000/v1"}},
            "deployments": [
                {"id": "west/prod", "upstream_model": "prod-1", "model": "big", "price_factor": 0.88, "weight": 2},
                {"id": "local/llama", "price_usd_per_million": {"input": 0, "output": 0}, "capabilities": ["tools"]},
                {"id": "acme/big", "limits": {"rpm": 500}, "price_usd_per_million": {"input": 1, "output": 2}}]}"#,
    ));
    let compiled = &checked.compiled;
    let of = |id| compiled.deployment(compiled.deployment_named(id).unwrap());
    let west = of("west/prod");
    assert_eq!((&*west.upstream_model, &*west.model, west.region.as_deref()), ("prod-1", "big", Some("eu")));
    assert_eq!((west.price.as_ref().unwrap().factor_ppm, west.weight), (880_000, 2));
    assert_eq!(west.max_input_tokens, Some(200_000));
    let provider = &compiled.providers[usize::from(west.provider_idx)];
    assert_eq!((&*provider.base_url, provider.keys), ("https://x.test", 2));
    let weights: Vec<u32> =
        checked.credentials[usize::from(west.provider_idx)].iter().map(|c| c.weight).collect();
    assert_eq!(weights, [3, 1]);
    assert!(of("local/llama").price.as_ref().unwrap().is_complete());
    let big = of("acme/big").price.as_ref().unwrap();
    assert!(
        big.base.cached_input.is_none() && big.long_context.is_empty(),
        "a price that is given is the whole price"
    );
    assert_ne!(big.version, west.price.as_ref().unwrap().version);
    assert_eq!(of("acme/big").limits.rpm, Some(500));
    assert_eq!(notes(&checked), [(NoteKind::LeftOut, "providers.west.keys[1].api_key")]);
}

#[test]
fn a_provider_that_is_off_is_left_out_and_said() {
    let checked = good(&with(r#"{"providers": {"zeta": {"api_key": null}}}"#));
    assert_eq!(
        ids(&checked),
        ["acme/big", "acme/thinker", "simulated/any", "simulated/big", "simulated/small"]
    );
    assert_eq!(
        notes(&checked),
        [
            (NoteKind::ProviderOff, "providers.zeta"),
            (NoteKind::LeftOut, "tiers.economy[0]"),
            (NoteKind::LeftOut, "tiers.economy")
        ]
    );
    assert!(
        !checked.compiled.deployments.iter().any(|d| d.simulated && d.id.starts_with("zeta")),
        "never a stand-in"
    );
    for off in
        [r#"{"api_key": ""}"#, r#"{"enabled": false}"#, r#"{"api_key": null, "keys": [{"api_key": ""}]}"#]
    {
        let patch = format!(r#"{{"providers": {{"zeta": {off}}}}}"#);
        let refused = read(&with(&patch));
        let found = refused.is_ok_and(|c| ids(&c).contains(&"zeta/small"));
        assert!(!found, "{off}");
    }
}

#[test]
fn a_limit_whose_deployments_are_all_off_does_not_become_no_limit() {
    let checked = good(&with(
        r#"{"providers": {"zeta": {"api_key": null}},
            "rules": [{"name": "x", "when": {}, "use": {"only": ["zeta/small"], "tier": "premium"}}]}"#,
    ));
    let compiled = &checked.compiled;
    let then = &compiled.rules[0].then;
    assert!(then.only.is_empty());
    assert!(compiled.tiers[usize::from(then.tier.unwrap())].deployments.is_empty());
    assert!(notes(&checked).contains(&(NoteKind::LeftOut, "rules[0].use")));
}

#[test]
fn names_of_tiers_and_models_stand_for_their_deployments() {
    let checked = good(&with(
        r#"{"rules": [{"name": "x", "when": {"tools": {"minimum": 1}},
            "use": {"models": ["best", "economy", "acme/big"], "only": ["premium"], "avoid": ["economy"]}}]}"#,
    ));
    let compiled = &checked.compiled;
    let name = |d: &crate::compiled::DeploymentIdx| compiled.deployment(*d).id.to_string();
    let then = &compiled.rules[0].then;
    assert_eq!(then.only.iter().map(name).collect::<Vec<_>>(), ["acme/big"]);
    assert_eq!(then.avoid.iter().map(name).collect::<Vec<_>>(), ["zeta/small"]);
    assert!(compiled.reads.contains(crate::attributes::AttributeSet::TOOLS));
}

#[test]
fn with_no_real_provider_the_simulated_one_stands_for_what_the_file_names() {
    let checked = good(&with(
        r#"{"providers": {"acme": {"api_key": null}, "zeta": {"api_key": ""}, "simulated": {"latency_ms": 5}}}"#,
    ));
    assert_eq!(
        ids(&checked),
        ["acme/big", "simulated/any", "simulated/big", "simulated/small", "zeta/small"]
    );
    let compiled = &checked.compiled;
    assert!(compiled.deployments.iter().all(|d| d.simulated && &*d.provider == "simulated"));
    let big = compiled.deployment(compiled.deployment_named("acme/big").unwrap());
    assert_eq!(big.price.as_ref().unwrap().base.input, "3".parse().ok());
    assert_eq!(checked.simulated.unwrap().latency.as_millis(), 5);
    assert!(notes(&checked).contains(&(NoteKind::Simulated, "providers")));
    assert_eq!(compiled.deployment_named("simulated/whatever"), compiled.deployment_named("simulated/any"));
    assert_eq!(compiled.deployment_named("simulated/"), None);
    assert_eq!(compiled.deployment_named("acme/whatever"), None);
    assert!(compiled.tiers.iter().filter(|t| !t.name.is_empty()).all(|t| !t.deployments.is_empty()));

    let local = good(&with(
        r#"{"providers": {"acme": {"api_key": null}, "zeta": {"api_key": null}, "localbox": {}}}"#,
    ));
    assert!(!notes(&local).contains(&(NoteKind::Simulated, "providers")), "one that needs no key is real");
    refused(
        r#"{"providers": {"acme": {"api_key": null}, "zeta": {"api_key": null}, "simulated": {"enabled": false}}}"#,
        &["providers~none is on"],
    );
}

#[test]
fn settings_are_ready_to_use() {
    let checked = good(&with(
        r#"{"server": {"listen": "localhost:0"}, "ledger": {"url": "sqlite::memory:"}, "decision_log": "off"}"#,
    ));
    assert!(checked.server.listen.ip().is_loopback());
    assert_eq!((checked.ledger.database, checked.decision_log), (Database::Memory, DecisionLog::Off));
    let checked = good(&json!({}));
    assert_eq!(checked.ledger.database, Database::File("router.db".into()));
    assert_eq!(checked.decision_log, DecisionLog::Stdout);
}

#[test]
fn the_hash_is_that_of_the_meaning_without_secrets() {
    let of = |patch| good(&with(patch)).compiled.config_hash.clone();
    assert_eq!(of("{}").len(), 16);
    assert_eq!(of("{}"), of(r#"{"providers": {"acme": {"api_key": "another"}}}"#));
    assert_ne!(of("{}"), of(r#"{"selection": {"quality": 0.5}}"#));
}

/// Every section and member, each with a value other than its default.
fn full() -> Value {
    json!({
        "server": { "listen": "127.0.0.1:5000", "admin_listen": "127.0.0.1:5001", "admin_key": "k", "drain_secs": 5,
            "runtime": "shared", "threads": 2, "max_body_bytes": 1000, "header_timeout_ms": 50, "max_json_depth": 20,
            "max_connections": 30, "idle_timeout_secs": 40, "max_in_flight": 50, "max_body_memory_bytes": 6000, "fetch_images": [], "compat": [] },
        "ledger": { "url": "sqlite://x.db", "spool_dir": "s", "on_full": "refuse", "durability": "power" },
        "decision_log": "d.jsonl",
        "providers": {
            "acme": { "enabled": true, "required": true, "api_key": "k-acme" },
            "mine": { "host": "own", "dialect": "openai_chat", "base_url": "http://x.test", "region": "eu", "data_collection": "deny",
                "keys": [{ "api_key": "k", "weight": 2 }] },
            "simulated": { "latency_ms": 3, "tokens_per_sec": 7, "output_tokens": 9,
                "price_usd_per_million": { "input": 1, "output": 2 },
                "faults": { "error_rate": 0.1, "rate_limit_rate": 0.1, "cut_rate": 0.1 } } },
        "deployments": [{ "id": "mine/x", "upstream_model": "u", "model": "big", "region": "us", "weight": 3,
            "price_factor": 0.5, "price_usd_per_million": { "input": 1, "cached_input": 1, "cache_write": 1,
                "cache_write_1h": 1, "audio_input": 1, "cached_audio_input": 1, "image_input": 1, "output": 1,
                "reasoning_output": 1, "audio_output": 1 },
            "per_request_usd": 1, "max_input_tokens": 9, "max_output_tokens": 9, "capabilities": ["tools"],
            "quality": 0.5, "limits": { "rpm": 1, "tpm": 1, "concurrency": 1, "queue": 1 },
            "time_limits": { "first_byte_ms": 1, "answer_ms": 1, "idle_ms": 1 } }, { "id": "mine/y" }],
        "models": { "m": { "deployments": ["mine/x"], "strategy": "weighted", "fallbacks": ["auto"], "context_fallbacks": ["auto"], "filter_fallbacks": ["auto"], "rules": true,
                "allow": { "models": ["t"], "providers": ["Acme"], "regions": ["eu"] }, "sticky": true,
                "time_limits": { "first_byte_ms": 2, "answer_ms": 2, "idle_ms": 2 } },
            "n": { "auto": { "quality": 0.5 } } },
        "tiers": { "t": ["mine/x", "acme/big"] },
        "rules": [{ "name": "r", "when": { "tools": { "minimum": 5 } }, "use": { "tier": "t", "prefer": ["mine/x"],
            "avoid": ["mine/x"], "only": ["mine/x"], "strategy": "priority", "quality": 0.5, "max_cost_usd": 1,
            "latency_budget_ms": 1, "deadline_ms": 1, "fallbacks": ["m"], "regions": ["eu"], "sticky": false } },
            { "name": "s", "when": {}, "use": { "models": ["m"] } }],
        "selection": { "default_tier": "t", "quality": 0.5, "usd_per_sec": 1, "near_equal_percent": 7 },
        "reliability": {
            "time_limits": { "connect_ms": 1, "first_byte_ms": 1, "answer_ms": 1, "idle_ms": 1, "deadline_ms": 1 },
            "retries": { "budget_percent": 1, "per_sec": 1, "attempts": 1, "backoff_base_ms": 1, "backoff_cap_ms": 9 },
            "breaker": { "enabled": false, "window_secs": 11, "error_rate": 0.5, "min_requests": 1, "min_failures": 1,
                "consecutive": 1, "cooldown_secs": 1, "max_cooldown_secs": 9, "ramp_step_secs": 1 },
            "probe": { "enabled": true, "interval_secs": 7 }, "rescue": { "enabled": false }, "hedging": { "enabled": true, "max_extra_cost_percent": 2.5 } },
        "budgets": [{ "name": "b", "match": { "key": "k", "owner": "o", "tag": "x", "model": "m", "provider": "mine",
            "deployment": "mine/x" }, "limit_usd": 1, "period": "day", "alert_at": [0.5], "when_low": "refuse" }],
        "webhooks": [{ "url": "https://hooks.test/x", "events": ["budget_alert"] }],
        "keys": [{ "name": "k", "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                "owner": "o", "tags": ["x"], "models": ["m"], "providers": ["acme"], "regions": ["eu"], "rpm": 5, "tpm": 6,
                "concurrency": 7, "priority": 8, "budget_usd": 9, "period": "week", "expires": "2026-12-31" },
            { "name": "l", "secret": "0123456789abcdef" }],
        "classifier": { "record": "read" },
        "passthrough": []
    })
}

/// Not there yet: refused as soon as they are used, so there is nothing that could read them.
const POSTPONED: [&str; 4] = ["Passthrough", "Split", "Arm", "Use.split"];
const REFUSED_BY_NAME: [&str; 2] = ["Classifier.examples", "Classifier.model_dir"];

/// Every member that occurs in a value, by the name of its type in the schema.
fn members(value: &Value, schema: &Value, root: &Value, name: &str, found: &mut BTreeSet<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        return members(value, root.pointer(&reference[1..]).unwrap(), root, name, found);
    }
    for branch in schema["anyOf"].as_array().into_iter().flatten().filter(|b| b["type"] != "null") {
        members(value, branch, root, name, found);
    }
    match value {
        Value::Array(items) => {
            items.iter().for_each(|item| members(item, &schema["items"], root, name, found));
        }
        Value::Object(map) => {
            for (member, inside) in map {
                if schema["properties"][member].is_object() {
                    found.insert(format!("{name}.{member}"));
                    members(inside, &schema["properties"][member], root, member, found);
                } else if schema["additionalProperties"].is_object() {
                    members(inside, &schema["additionalProperties"], root, name, found);
                }
            }
        }
        _ => {}
    }
}

#[test]
fn the_full_configuration_uses_every_member_of_the_schema() {
    let schema = schemars::schema_for!(super::File).to_value();
    let mut found = BTreeSet::new();
    members(&full(), &schema, &schema, "File", &mut found);
    for (name, definition) in schema["$defs"].as_object().unwrap() {
        for member in definition["properties"].as_object().into_iter().flatten().map(|(member, _)| member) {
            let full_name = format!("{name}.{member}");
            let exempt = name == "Conditions"
                || POSTPONED.contains(&name.as_str())
                || POSTPONED.contains(&full_name.as_str())
                || REFUSED_BY_NAME.contains(&full_name.as_str());
            assert!(exempt || found.contains(&full_name), "{full_name} is in no test");
        }
    }
    for member in schema["properties"].as_object().unwrap().keys() {
        assert!(found.contains(&format!("File.{member}")), "{member} is in no test");
    }
}

/// The paths of all leaves.
fn leaves(value: &Value, at: &str, all: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(name, inside)| leaves(inside, &format!("{at}/{name}"), all));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, inside)| leaves(inside, &format!("{at}/{n}"), all));
        }
        _ => all.push(at.replace("/mine/x/", "/mine~1x/")),
    }
}

#[test]
fn every_value_that_can_be_configured_makes_a_difference() {
    let shown = |value: &Value| match read(value) {
        Ok(checked) => {
            let exposed: Vec<_> = checked.credentials.iter().flatten().map(|c| c.secret.expose()).collect();
            let admin = checked.server.admin_key.as_ref().map(|k| k.expose().to_owned());
            let hooks: Vec<_> = checked.webhooks.iter().map(|hook| hook.url.expose()).collect();
            let text = format!("{checked:?} {exposed:?} {admin:?} {hooks:?}");
            text.replace(&*checked.compiled.config_hash, "")
        }
        Err(problems) => format!("{problems:?}"),
    };
    let before = shown(&full());
    assert!(read(&full()).is_ok(), "{before}");
    let mut paths = Vec::new();
    leaves(&full(), "", &mut paths);
    assert!(paths.len() > 100);
    for path in paths {
        let mut changed = full();
        let leaf = changed.pointer_mut(&path).unwrap();
        *leaf = match leaf.clone() {
            Value::Bool(b) => json!(!b),
            Value::Number(n) if n.is_u64() => json!(n.as_u64().unwrap() + 1),
            Value::Number(n) => json!(n.as_f64().unwrap() + 0.25),
            Value::String(text) => json!(format!("{text}0")),
            other => panic!("{other}"),
        };
        // Only a provider that is off can show what being required means.
        if path != "/providers/acme/required" {
            assert!(shown(&changed) != before, "nothing reads {path}");
        }
    }
}

#[test]
fn every_default_is_in_the_schema_with_its_reason() {
    let schema = schemars::schema_for!(super::File).to_value();
    for name in ["Server", "Ledger", "Selection", "TimeLimits", "Retries", "Breaker", "Rescue"] {
        for (member, property) in schema["$defs"][name]["properties"].as_object().unwrap() {
            let text = property["description"].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "{name}.{member} has no description");
            assert!(property.get("default").is_some(), "{name}.{member} has no default: {property}");
        }
    }
}
