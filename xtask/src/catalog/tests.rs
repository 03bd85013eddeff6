//! Facts in, catalog out: what is mapped, refused, corrected; and the committed catalog as it is.

use serde_json::{Value, json};

use super::*;

fn members(value: Value) -> serde_json::Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => panic!("{other} is no object"),
    }
}

fn overlay(more: Value) -> Overlay {
    let mut all = json!({ "about": "Test.", "date": "2026-11-22", "providers": { "p": [] } });
    all.as_object_mut().unwrap().extend(members(more));
    serde_json::from_value(all).unwrap()
}

/// A fact of provider `p`, model `m`, with more members.
fn facts(more: Value) -> Facts {
    let mut fact = json!({
        "provider": "p", "model": "m", "mode": "chat", "usd_per_mtok": { "input": "1", "output": "2" }
    });
    fact.as_object_mut().unwrap().extend(members(more));
    serde_json::from_value(json!({ "entries": [fact] })).unwrap()
}

/// The reason a fact is left out; empty: it is in.
fn check_refused(fact: Value, more: Value, expected: &str) {
    let said = fact.to_string();
    let made = combine(&facts(fact), &overlay(more)).unwrap();
    let reason = made.left_out.values().next().cloned().unwrap_or_default();
    assert_eq!(reason, expected, "{said}");
    assert_eq!(made.catalog.entries.len(), usize::from(expected.is_empty()), "{said}");
}

/// The entry a fact becomes, as JSON members, against those expected.
fn check_entry(fact: Value, more: Value, expected: Value) -> Made {
    let made = combine(&facts(fact), &overlay(more)).unwrap();
    assert!(made.left_out.is_empty(), "{:?}", made.left_out);
    let entry = serde_json::to_value(&made.catalog.entries[0]).unwrap();
    for (name, value) in members(expected) {
        assert_eq!(entry[&name], value, "{name} of {entry:#}");
    }
    made
}

#[test]
fn every_class_is_mapped() {
    let classes = json!({
        "input": "1", "cached_input": "0.1", "cache_write": "1.25", "cache_write_1h": "2", "audio_input": "3",
        "cached_audio_input": "0.3", "image_input": "1.5", "output": "4", "reasoning_output": "5", "audio_output": "6",
    });
    let fact = json!({
        "usd_per_mtok": classes,
        "long_context_usd_per_mtok": [{ "above_input_tokens": 200_000, "input": "2", "output": "6", "cache_write": "2.5",
                                        "cache_write_1h": "4" }],
        "service_tier_usd_per_mtok": { "batch": { "input": "0.5", "output": "2" } },
        "max_input_tokens": 100, "max_output_tokens": 50, "deprecation_date": "2027-01-01", "source": "https://p/prices",
        "capabilities": ["tools", "tool_choice", "pdf_input", "audio_input", "prompt_caching", "assistant_prefill"],
    });
    let expected = json!({
        "price_usd_per_million": classes, "max_input_tokens": 100, "max_output_tokens": 50,
        "long_context": [{ "above_input_tokens": 200_000, "input": "2", "output": "6", "cache_write": "2.5",
                           "cache_write_1h": "4" }],
        "service_tiers": { "batch": { "input": "0.5", "output": "2" } }, "deprecated_on": "2027-01-01",
        "capabilities": ["tools", "pdf", "audio_in", "prompt_cache", "prefill"], "source": "https://p/prices",
    });
    check_entry(fact, json!({}), expected);
}

#[test]
fn nonsense_is_refused_with_its_reason() {
    let prices = |prices: Value| json!({ "usd_per_mtok": prices });
    for (fact, expected) in [
        (json!({}), ""),
        (prices(json!({})), "has no price for input and output"),
        (prices(json!({ "input": "1" })), "has no price for input and output"),
        (prices(json!({ "input": "2", "output": "1" })), "output is cheaper than input"),
        (
            prices(json!({ "input": "1", "output": "2", "cached_input": "1.1" })),
            "cached input is dearer than input",
        ),
        (
            prices(json!({ "input": "1", "output": "2", "cache_write": "0.5" })),
            "writing to the cache is cheaper than plain input",
        ),
        (
            prices(json!({ "input": "0", "output": "0" })),
            "costs nothing, and the overlay does not say that this is so",
        ),
        (prices(json!({ "input": "1", "output": "x" })), "output: \"x\" is no price"),
        (prices(json!({ "input": "1", "output": "-2" })), "output: \"-2\" is no price"),
        (prices(json!({ "input": "1", "output": "2", "video": "3" })), "unknown price class \"video\""),
        (json!({ "capabilities": ["telepathy"] }), "unknown capability \"telepathy\""),
        (json!({ "deprecation_date": "2026-11-22" }), "turned off on 2026-11-22"),
        (json!({ "deprecation_date": "2026-11-23" }), ""),
        (
            json!({ "service_tier_usd_per_mtok": { "batch": { "input": "1.5", "output": "2" } } }),
            "tier batch: on the wrong side of the standard price",
        ),
        (json!({ "service_tier_usd_per_mtok": { "turbo": {} } }), "unknown service tier \"turbo\""),
        (
            json!({ "long_context_usd_per_mtok": [{ "above_input_tokens": 9, "input": "0.5" }] }),
            "above 9 tokens: cheaper than below",
        ),
    ] {
        check_refused(fact, json!({}), expected);
    }
}

#[test]
fn the_overlay_leaves_out_vouches_adds_and_corrects() {
    let row = |models: &str| json!([{ "provider": "p", "models": [models], "reason": "why" }]);
    check_refused(json!({}), json!({ "leave_out": row("m*") }), "why");
    let nothing = json!({ "usd_per_mtok": { "input": "0", "output": "0" } });
    check_refused(nothing, json!({ "free": row("*") }), "");
    let past = || json!({ "deprecation_date": "2000-01-01" });
    check_refused(past(), json!({}), "turned off on 2000-01-01");
    check_entry(past(), json!({ "keep": row("m") }), json!({ "deprecated_on": "2000-01-01" }));
    let add = |rest: Value| {
        let mut addition = json!({ "capabilities": ["seed"], "source": "page" });
        addition.as_object_mut().unwrap().extend(members(rest));
        json!({ "providers": { "p": [addition] } })
    };
    let fact = || json!({ "capabilities": ["reasoning"] });
    check_entry(fact(), add(json!({})), json!({ "capabilities": ["reasoning", "seed"] }));
    check_entry(fact(), add(json!({ "without": ["reasoning"] })), json!({ "capabilities": ["reasoning"] }));
    check_entry(fact(), add(json!({ "with": ["tools"] })), json!({ "capabilities": ["reasoning"] }));
    let set = json!({ "price_usd_per_million": { "input": "3", "output": "4" }, "max_input_tokens": null });
    let correct =
        json!({ "corrections": [{ "provider": "p", "models": ["m"], "set": set, "source": "page" }] });
    let expected =
        json!({ "price_usd_per_million": { "input": "3", "output": "4" }, "max_input_tokens": null });
    check_entry(json!({ "max_input_tokens": 5 }), correct, expected);
}

#[test]
fn a_stale_or_misspelt_statement_is_an_error() {
    for (more, expected) in [
        (
            json!({ "leave_out": [{ "provider": "p", "models": ["gone"], "reason": "r" }] }),
            "leave_out[0].models[0]",
        ),
        (
            json!({ "free": [{ "provider": "p", "models": ["m"], "reason": "it costs" }] }),
            "free[0].models[0]",
        ),
        (
            json!({ "keep": [{ "provider": "p", "models": ["m"], "reason": "still on" }] }),
            "keep[0].models[0]",
        ),
    ] {
        let error = combine(&facts(json!({})), &overlay(more)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let set = json!({ "provider": "p", "models": ["m"], "set": { "prize": 1 }, "source": "s" });
    let made = combine(&facts(json!({})), &overlay(json!({ "corrections": [set] }))).unwrap();
    assert!(made.left_out["p/m"].contains("unknown field `prize`"), "{:?}", made.left_out);
}

#[test]
fn changes_on_the_way_are_said() {
    let fact =
        json!({ "usd_per_mtok": { "input": "0.30000000000000004", "output": "2", "cache_write": "0" } });
    let expected = json!({ "price_usd_per_million": { "input": "0.3", "output": "2" } });
    let made = check_entry(fact, json!({}), expected);
    assert_eq!(
        made.notes,
        [
            "p/m: input: 0.30000000000000004 rounded to 0.3",
            "p/m: cache_write of 0 left out: those tokens are billed as input"
        ]
    );
}

#[test]
fn dust_is_rounded_half_to_even() {
    for (text, expected) in [
        ("0.0000005", "0"),
        ("0.0000015", "0.000002"),
        ("0.00000051", "0.000001"),
        ("1.2499999999999998", "1.25"),
    ] {
        let (price, rounded) = facts::price(text).unwrap();
        assert_eq!((price.to_string().as_str(), rounded), (expected, true), "{text}");
    }
}

#[test]
fn patterns() {
    for (pattern, name, expected) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("a*", "ab", true),
        ("*b*", "abc", true),
        ("*-fim-*", "code-fim-latest", true),
        ("*-fim-*", "code-fim", false),
        ("é*", "éa", true),
    ] {
        assert_eq!(overlay::matches(pattern, name), expected, "{pattern} {name}");
    }
}

#[test]
fn what_is_written_reads_back() {
    let fact = json!({
        "model": "org/name:8b", "source": "https://p/prices#1: \"x\"",
        "usd_per_mtok": { "input": "0.0375", "output": "12.000001" }, "capabilities": ["tools", "vision"],
        "long_context_usd_per_mtok": [{ "above_input_tokens": 9, "input": "1" }],
    });
    let catalog = combine(&facts(fact), &overlay(json!({}))).unwrap().catalog;
    let text = emit::yaml(&catalog).unwrap();
    let value: Value = serde_saphyr::from_str(&text).unwrap();
    let back: Catalog = serde_json::from_value(value).unwrap();
    assert_eq!(back, catalog, "{text}");
}

#[test]
fn the_committed_catalog_is_sound_and_as_generated() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    check(root).unwrap();
    let catalog: Catalog = read_yaml(&root.join(CATALOG)).unwrap();
    let overlay: Overlay = read_yaml(&root.join(OVERLAY)).unwrap();
    let empty: Vec<_> = overlay.providers.keys().filter(|p| catalog.of_host(p).next().is_none()).collect();
    assert!(empty.is_empty() || empty == ["openrouter"], "no models of {empty:?}");
}
