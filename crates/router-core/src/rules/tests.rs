//! Rules: what is refused and where, what is covered, and that the compiled schema says what was meant.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Condition, Rule, Use, condition, covered, failed_path, first_match};

fn map(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn rule(text: &str) -> Rule {
    let c = condition(&map(text), "when").unwrap_or_else(|p| panic!("{text}: {p:?}"));
    Rule { name: "r".into(), reads: c.reads, schema: c.schema, validator: c.validator, then: Use::default() }
}

/// The paths of the problems of a `when`.
fn check(when: &str, expected: &[&str]) {
    let problems = condition(&map(when), "when").err().unwrap_or_default();
    let paths: Vec<&str> = problems.iter().map(|p| p.path.as_str()).collect();
    assert_eq!(paths, expected, "{when}: {problems:?}");
}

#[test]
fn slips_are_refused_with_their_path() {
    for (when, expected) in [
        (r#"{}"#, &[][..]),
        (r#"{"task": {"const": "code"}, "tools": {"minimum": 1}}"#, &[]),
        (r#"{"taks": {"const": "code"}}"#, &["when.taks"]),
        (r#"{"task": {"cnst": "code"}}"#, &["when.task.cnst"]),
        (r#"{"task": {"const": "coding"}}"#, &["when.task.const"]),
        (r#"{"task": {"enum": ["code", "coding"]}}"#, &["when.task.enum[1]"]),
        (r#"{"task": {"enum": []}}"#, &["when.task.enum"]),
        (r#"{"task": {"minimum": 1}}"#, &["when.task.minimum"]),
        (r#"{"task": "code"}"#, &["when.task"]),
        (r#"{"task": null}"#, &["when.task"]),
        (r#"{"task": {}}"#, &["when.task"]),
        (r#"{"topic": {"const": null}}"#, &["when.topic.const"]),
        (r#"{"dialect": {"const": "openai"}}"#, &["when.dialect.const"]),
        (r#"{"language": {"const": "french"}}"#, &["when.language.const"]),
        (r#"{"language": {"const": "FR"}}"#, &["when.language.const"]),
        (r#"{"stream": {"const": "true"}}"#, &["when.stream.const"]),
        (r#"{"input_tokens": {"minimum": "5"}}"#, &["when.input_tokens.minimum"]),
        (r#"{"input_tokens": {"maximum": -5}}"#, &["when.input_tokens.maximum"]),
        (r#"{"input_tokens": {"minimum": 5, "maximum": 4}}"#, &["when.input_tokens"]),
        (r#"{"input_tokens": {"exclusiveMinimum": 5, "exclusiveMaximum": 6}}"#, &["when.input_tokens"]),
        (r#"{"input_tokens": {"minimum": 0}}"#, &["when.input_tokens"]),
        (r#"{"input_tokens": {"const": 1.5}}"#, &["when.input_tokens.const"]),
        (r#"{"input_tokens": {"pattern": "1"}}"#, &["when.input_tokens.pattern"]),
        (r#"{"complexity_score": {"minimum": 30}}"#, &["when.complexity_score.minimum"]),
        (r#"{"complexity_score": {"maximum": 1}}"#, &["when.complexity_score"]),
        (r#"{"complexity_score": {"exclusiveMinimum": 1}}"#, &["when.complexity_score"]),
        (r#"{"complexity_score": {"exclusiveMinimum": 0.3, "exclusiveMaximum": 0.4}}"#, &[]),
        (r#"{"hour_utc": {"maximum": 24}}"#, &["when.hour_utc.maximum"]),
        (r#"{"hour_utc": {"exclusiveMinimum": 22, "maximum": 23}}"#, &[]),
        (r#"{"weekday_utc": {"enum": [1, 2, 3, 4, 5, 6, 7]}}"#, &["when.weekday_utc"]),
        (r#"{"stream": {"enum": [true, false]}}"#, &["when.stream"]),
        (r#"{"model": {"pattern": "("}}"#, &["when.model.pattern"]),
        (r#"{"model": {"pattern": ".*"}}"#, &["when.model"]),
        (r#"{"model": {"pattern": "^.+$"}}"#, &["when.model"]),
        (r#"{"model": {"pattern": "^[^/]*$"}}"#, &[]),
        (r#"{"model": {"pattern": "a", "maxLength": 3}}"#, &["when.model.maxLength"]),
        (r#"{"model": {"const": "x", "enum": ["y"]}}"#, &["when.model"]),
        (r#"{"model": {"const": "x", "pattern": "y"}}"#, &["when.model"]),
        (r#"{"task": {"pattern": "^zz"}}"#, &["when.task"]),
        (r#"{"task": {"pattern": "^c"}}"#, &[]),
        (r#"{"capabilities": {"contains": {"const": "json"}}}"#, &["when.capabilities.contains.const"]),
        (r#"{"capabilities": {"contains": {}}}"#, &["when.capabilities.contains"]),
        (r#"{"capabilities": {"const": ["tools"]}}"#, &["when.capabilities.const"]),
        (r#"{"capabilities": {"minItems": 0}}"#, &["when.capabilities"]),
        (r#"{"capabilities": {"minItems": 17}}"#, &["when.capabilities"]),
        (r#"{"capabilities": {"maxItems": 16}}"#, &["when.capabilities"]),
        (r#"{"capabilities": {"contains": {"const": "tools"}, "maxItems": 0}}"#, &["when.capabilities"]),
        (r#"{"tags": {"minItems": -1}}"#, &["when.tags.minItems"]),
        (r#"{"tags": {"contains": {"const": 5}}}"#, &["when.tags.contains.const"]),
        (r#"{"anyOf": []}"#, &["when.anyOf"]),
        (r#"{"anyOf": {}}"#, &["when.anyOf"]),
        (r#"{"anyOf": [{}, {"task": {"const": "code"}}]}"#, &["when.anyOf[0]"]),
        (r#"{"allOf": [{}]}"#, &["when.allOf[0]"]),
        (r#"{"not": {}}"#, &["when.not"]),
        (r#"{"not": {"tools": {"minimum": 0}}}"#, &["when.not.tools"]),
        (r#"{"allOf": [{"not": {"taks": {}}}]}"#, &["when.allOf[0].not.taks"]),
        (r#"{"allOf": [{"tools": {"minimum": 2}}, {"tools": {"maximum": 1}}]}"#, &["when"]),
        (r#"{"task": {"const": "code"}, "not": {"task": {"const": "code"}}}"#, &["when"]),
        (r#"{"anyOf": [{"tools": {"maximum": 5}}, {"tools": {"minimum": 6}}]}"#, &["when.anyOf"]),
        (r#"{"anyOf": [{"tools": {"maximum": 5}}, {"tools": {"minimum": 7}}]}"#, &[]),
        (
            r#"{"task": {"const": "code"},
                "anyOf": [{"quality": {"maximum": 0.5}}, {"not": {"quality": {"maximum": 0.5}}}]}"#,
            &["when.anyOf"],
        ),
        (
            r#"{"input_tokens": {"maximun": 1}, "tsk": {}, "stream": {}}"#,
            &["when.input_tokens.maximun", "when.stream", "when.tsk"],
        ),
    ] {
        check(when, expected);
    }
}

/// Which earlier conditions make the last one unreachable.
fn check_covered(whens: &[&str], expected: Option<&[usize]>) {
    let all: Vec<Condition> = whens.iter().map(|w| condition(&map(w), "when").unwrap()).collect();
    let (last, earlier) = all.split_last().unwrap();
    let found = covered(&earlier.iter().collect::<Vec<_>>(), last);
    assert_eq!(found.as_deref(), expected, "{whens:?}");
}

#[test]
fn a_rule_that_nothing_can_reach_is_found() {
    let code = r#"{"task": {"const": "code"}}"#;
    for (whens, expected) in [
        (&["{}", code][..], Some(&[0][..])),
        (&[code, code], Some(&[0])),
        (&[code, "{}"], None),
        (&[code, r#"{"task": {"enum": ["code", "math"]}}"#], None),
        (&[r#"{"task": {"enum": ["code", "math"]}}"#, code], Some(&[0])),
        (
            &[r#"{"tools": {"minimum": 1}}"#, r#"{"tools": {"minimum": 2}, "stream": {"const": true}}"#],
            Some(&[0]),
        ),
        (&[r#"{"tools": {"minimum": 2}}"#, r#"{"tools": {"minimum": 1}}"#], None),
        (
            &[r#"{"tools": {"maximum": 4}}"#, r#"{"tools": {"minimum": 5}}"#, r#"{"tools": {"minimum": 2}}"#],
            Some(&[0, 1]),
        ),
        (&[r#"{"stream": {"const": true}}"#, code], None),
        (&[r#"{"stream": {"const": true}}"#, r#"{"stream": {"const": false}}"#, code], None),
        (&[r#"{"anyOf": [{"stream": {"const": true}}, {"task": {"const": "code"}}]}"#, code], Some(&[0])),
        (&[r#"{"not": {"task": {"const": "math"}}}"#, code], Some(&[0])),
        (&[r#"{"model": {"pattern": "^gpt"}}"#, r#"{"model": {"const": "gpt-5"}}"#], Some(&[0])),
        (&[r#"{"model": {"pattern": "^gpt"}}"#, r#"{"model": {"pattern": "^gpt-5"}}"#], None),
        (
            &[
                r#"{"tags": {"contains": {"const": "a"}}}"#,
                r#"{"tags": {"contains": {"const": "a"}, "minItems": 2}}"#,
            ],
            Some(&[0]),
        ),
        (&[r#"{"tags": {"minItems": 1}}"#, r#"{"tags": {"contains": {"const": "a"}}}"#], Some(&[0])),
    ] {
        check_covered(whens, expected);
    }
}

#[test]
fn the_first_failed_condition_is_named_and_absence_is_told_apart() {
    for (when, attributes, expected) in [
        (
            r#"{"complexity_score": {"maximum": 0.3}}"#,
            json!({"complexity_score": 0.4}),
            "/complexity_score/maximum",
        ),
        (r#"{"complexity_score": {"maximum": 0.3}}"#, json!({}), "/complexity_score/required"),
        (r#"{"complexity_score": {"maximum": 0.3}}"#, json!({"complexity_score": 0.3}), ""),
        (
            r#"{"allOf": [{"tools": {"minimum": 1}}, {"task": {"enum": ["code"]}}]}"#,
            json!({"tools": 1, "task": "math"}),
            "/allOf/1/task/enum",
        ),
        (r#"{"not": {"stream": {"const": true}}}"#, json!({"stream": true}), "/not"),
        (r#"{"not": {"stream": {"const": true}}}"#, json!({}), "/stream/required"),
        (
            r#"{"anyOf": [{"tools": {"minimum": 1}}, {"task": {"const": "code"}}]}"#,
            json!({"tools": 0}),
            "/anyOf",
        ),
        (r#"{"allOf": [{"tools": {"minimum": 1}}]}"#, json!({}), "/allOf/0/tools/required"),
        (
            r#"{"capabilities": {"contains": {"const": "json_schema"}}}"#,
            json!({"capabilities": ["tools"]}),
            "/capabilities/contains",
        ),
    ] {
        assert_eq!(failed_path(&rule(when), &attributes), expected, "{when} {attributes}");
    }
}

#[test]
fn the_first_rule_that_holds_is_taken() {
    let rules = [
        rule(r#"{"input_tokens": {"maximum": 100}, "complexity_score": {"maximum": 0.3}}"#),
        rule(r#"{"language": {"const": "fr"}, "topic": {"const": "legal"}}"#),
        rule("{}"),
    ];
    for (attributes, expected) in [
        (json!({"input_tokens": 10, "complexity_score": 0.1}), 0),
        (json!({"input_tokens": 10}), 2),
        (json!({"input_tokens": 101, "complexity_score": 0.1, "language": "fr", "topic": "legal"}), 1),
        (json!({}), 2),
    ] {
        assert_eq!(first_match(&rules, &attributes), Some(expected), "{attributes}");
    }
    assert_eq!(first_match(&rules[..2], &json!({})), None);
}

#[test]
fn a_pattern_takes_linear_time() {
    let hostile = rule(r#"{"model": {"pattern": "^(a+)+$"}}"#);
    let attributes = json!({ "model": format!("{}!", "a".repeat(100_000)) });
    assert_eq!(first_match(&[hostile], &attributes), None);
}

/// What the interface says, word for word and slowly.
fn naive(when: &Map<String, Value>, attributes: &Value) -> bool {
    when.iter().all(|(name, inside)| match name.as_str() {
        "allOf" => inside.as_array().unwrap().iter().all(|w| naive(w.as_object().unwrap(), attributes)),
        "anyOf" => inside.as_array().unwrap().iter().any(|w| naive(w.as_object().unwrap(), attributes)),
        "not" => {
            let inside = inside.as_object().unwrap();
            all_names(inside).iter().all(|n| attributes.get(n).is_some()) && !naive(inside, attributes)
        }
        _ => attributes.get(name).is_some_and(|value| {
            inside.as_object().unwrap().iter().all(|(keyword, bound)| naive_keyword(keyword, bound, value))
        }),
    })
}

fn naive_keyword(keyword: &str, bound: &Value, value: &Value) -> bool {
    let number = |v: &Value| v.as_f64().unwrap();
    match keyword {
        "const" => bound == value,
        "enum" => bound.as_array().unwrap().contains(value),
        "minimum" => number(value) >= number(bound),
        "maximum" => number(value) <= number(bound),
        "exclusiveMinimum" => number(value) > number(bound),
        "exclusiveMaximum" => number(value) < number(bound),
        "minItems" => value.as_array().unwrap().len() as u64 >= bound.as_u64().unwrap(),
        "contains" => value.as_array().unwrap().contains(&bound["const"]),
        other => panic!("{other}"),
    }
}

fn all_names(when: &Map<String, Value>) -> Vec<String> {
    when.iter()
        .flat_map(|(name, inside)| match name.as_str() {
            "allOf" | "anyOf" => {
                inside.as_array().unwrap().iter().flat_map(|w| all_names(w.as_object().unwrap())).collect()
            }
            "not" => all_names(inside.as_object().unwrap()),
            _ => vec![name.clone()],
        })
        .collect()
}

fn some_conditions() -> impl Strategy<Value = Map<String, Value>> {
    let leaf = prop_oneof![
        (0..6_u64).prop_map(|n| json!({ "tools": { "minimum": n } })),
        (0..6_u64).prop_map(|n| json!({ "tools": { "exclusiveMaximum": n } })),
        (0..10_u64).prop_map(|n| json!({ "quality": { "maximum": n as f64 / 10.0 } })),
        any::<bool>().prop_map(|b| json!({ "stream": { "const": b } })),
        prop_oneof!["code", "math", "chat"].prop_map(|t| json!({ "task": { "enum": [t, "other"] } })),
        prop_oneof!["a", "b"].prop_map(|t| json!({ "tags": { "contains": { "const": t } } })),
        (1..3_u64).prop_map(|n| json!({ "tags": { "minItems": n } })),
        prop_oneof!["x", "y"].prop_map(|m| json!({ "model": { "const": m } })),
    ];
    let merged = |parts: Vec<Value>| {
        let mut all = Map::new();
        parts.into_iter().for_each(|part| all.extend(part.as_object().unwrap().clone()));
        Value::Object(all)
    };
    let tree = leaf.prop_recursive(3, 12, 3, move |inner| {
        let some = || prop::collection::vec(inner.clone(), 1..3);
        prop_oneof![
            some().prop_map(|all| json!({ "allOf": all })),
            some().prop_map(|any| json!({ "anyOf": any })),
            inner.clone().prop_map(|not| json!({ "not": not })),
            some().prop_map(merged),
        ]
    });
    tree.prop_map(|value| value.as_object().unwrap().clone())
}

fn some_attributes() -> impl Strategy<Value = Value> {
    let tags = prop::collection::btree_set(prop_oneof!["a", "b", "c"], 0..3);
    (
        prop::option::of(0..7_u64),
        prop::option::of(0..=10_u64),
        prop::option::of(any::<bool>()),
        prop::option::of(prop_oneof!["code", "math", "chat", "other", "writing"]),
        prop::option::of(tags),
        prop::option::of(prop_oneof!["x", "y", "z"]),
    )
        .prop_map(|(tools, quality, stream, task, tags, model)| {
            let mut all = json!({ "tools": tools, "quality": quality.map(|q| q as f64 / 10.0), "stream": stream,
                "task": task, "tags": tags, "model": model });
            all.as_object_mut().unwrap().retain(|_, value| !value.is_null());
            all
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_compiled_schema_says_what_the_interface_says(when in some_conditions(), attributes in some_attributes()) {
        // Many of these always hold or never do, and are refused; those that are not must agree.
        if let Ok(c) = condition(&when, "when") {
            let rule = Rule { name: "r".into(), reads: c.reads, schema: c.schema, validator: c.validator, then: Use::default() };
            let expected = naive(&when, &attributes);
            prop_assert_eq!(first_match(std::slice::from_ref(&rule), &attributes).is_some(), expected);
            prop_assert_eq!(failed_path(&rule, &attributes).is_empty(), expected);
            prop_assert_eq!(first_match(&[rule], &json!({})), None, "nothing named, nothing has a value");
        }
    }

    #[test]
    fn what_is_refused_as_constant_is_constant(when in some_conditions(), attributes in some_attributes()) {
        let Err(problems) = condition(&when, "when") else { return Ok(()) };
        let all_there = all_names(&when).iter().all(|name| attributes.get(name).is_some());
        let whole = problems.iter().find(|p| p.path == "when");
        if let Some(problem) = whole.filter(|_| all_there) {
            prop_assert_eq!(naive(&when, &attributes), problem.text.starts_with("accepts everything"), "{}", problem);
        }
    }

    #[test]
    fn a_covered_rule_is_never_the_first(
        earlier in prop::collection::vec(some_conditions(), 1..4), later in some_conditions(),
        attributes in prop::collection::vec(some_attributes(), 8),
    ) {
        let earlier: Vec<_> = earlier.iter().filter_map(|w| condition(w, "when").ok()).collect();
        let Ok(later) = condition(&later, "when") else { return Ok(()) };
        if covered(&earlier.iter().collect::<Vec<_>>(), &later).is_some() {
            for attributes in &attributes {
                let before = earlier.iter().any(|c| c.validator.is_valid(attributes));
                prop_assert!(before || !later.validator.is_valid(attributes), "{}", attributes);
            }
        }
    }

    #[test]
    fn no_text_in_the_place_of_a_schema_makes_it_panic(text in "\\PC{0,40}", name in "[a-zA-Z]{0,12}") {
        let value: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        for when in [json!({ "model": { "pattern": value } }), json!({ "not": value }), json!({ "tools": value }), json!({ &name: value })] {
            let _ = condition(when.as_object().unwrap(), "when");
        }
    }
}

#[test]
fn the_published_meta_schema_refuses_what_the_reader_refuses() {
    let schema = schemars::schema_for!(crate::config::file::Rule).to_value();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for (when, good) in [
        (json!({}), true),
        (json!({ "task": { "const": "code" }, "not": { "tags": { "contains": { "const": "x" } } } }), true),
        (json!({ "task": { "const": "coding" } }), false),
        (json!({ "taks": { "const": "code" } }), false),
        (json!({ "task": {} }), false),
        (json!({ "anyOf": [{}] }), false),
        (json!({ "complexity_score": { "minimum": 30 } }), false),
        (json!({ "input_tokens": { "pattern": "x" } }), false),
    ] {
        let rule = json!({ "name": "r", "when": when, "use": {} });
        assert_eq!(validator.is_valid(&rule), good, "{rule}");
        assert_eq!(condition(rule["when"].as_object().unwrap(), "when").is_ok(), good, "{rule}");
    }
}
