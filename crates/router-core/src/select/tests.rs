//! Tests of `decide`: scripts of a configuration and a request against the plan and the reasons expected.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::testing::{compiled, input_on, plan};
use super::*;
use crate::attributes::AttributeSet;
use crate::compiled::Compiled;

/// Every case: a request, the plan (`ranked | deferred`), and then the reasons against, `id reason (detail)`, by id.
fn check(script: &str, cases: &[(&str, &str)]) {
    let compiled = compiled(script);
    for (words, expected) in cases {
        let input = input_on(words, Some(&compiled));
        let decision = decide(&compiled, &input);
        let mut found = vec![plan(&compiled, &decision.plan)];
        let mut against: Vec<_> = decision.verdicts.iter().filter_map(|v| reason(&compiled, v)).collect();
        against.sort();
        found.extend(against);
        assert_eq!(found.join("; "), *expected, "{words}");
        consistent(&compiled, &input, &decision);
    }
}

fn reason(compiled: &Compiled, verdict: &Verdict) -> Option<String> {
    let id = &compiled.deployment(verdict.deployment).id;
    let detail = verdict.detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default();
    verdict.reason.map(|reason| format!("{id} {}{detail}", reason.name()))
}

/// What holds for every decision whatever.
fn consistent(compiled: &Compiled, input: &DecisionInput, decision: &Decision) {
    let mut seen = std::collections::BTreeSet::new();
    for verdict in &decision.verdicts {
        assert!(seen.insert(verdict.deployment), "two verdicts on one deployment");
        assert!((0.0..=1.0).contains(&verdict.propensity));
        let planned = decision.plan.iter().filter(|idx| *idx == verdict.deployment).count();
        let among = |all: &[crate::compiled::DeploymentIdx]| all.contains(&verdict.deployment);
        match verdict.kind {
            VerdictKind::Refused => {
                assert_eq!((planned, verdict.score), (0, None));
                assert!(!among(&decision.plan.after_too_long) && !among(&decision.plan.after_filtered));
            }
            VerdictKind::Ranked => assert!(!among(&decision.plan.deferred)),
            VerdictKind::Deferred => assert!(!among(&decision.plan.ranked)),
        }
        if verdict.kind != VerdictKind::Refused {
            assert!(verdict.score.is_some_and(|score| score.total.is_finite()));
            let kept = among(&decision.plan.after_too_long) || among(&decision.plan.after_filtered);
            assert!(planned == 1 || (planned == 0 && kept) || decision.no_fallbacks);
        }
        if verdict.kind != VerdictKind::Ranked {
            assert!(verdict.reason.is_some(), "a reason for each that is not ranked");
        }
    }
    assert!(decision.plan.iter().all(|idx| seen.contains(&idx)), "a plan holds candidates only");
    let sum: f64 = decision.verdicts.iter().map(|verdict| verdict.propensity).sum();
    let expected = f64::from(u8::from(decision.plan.iter().next().is_some()));
    assert!((sum - expected).abs() < 1e-9, "propensities sum to {sum}");
    if let Some(first) = decision.plan.iter().next() {
        assert!(decision.verdict(first).unwrap().propensity > 0.0, "what was chosen could be chosen");
    }
    assert_eq!(&decide(compiled, input), decision, "same arguments, same decision");
    let unread = decide(compiled, &without_unread(compiled, input));
    assert_eq!(
        (&unread.plan, &unread.rule),
        (&decision.plan, &decision.rule),
        "what is not read decides nothing"
    );
}

/// The same request as it is when only what `reads` says is classified.
fn without_unread(compiled: &Compiled, input: &DecisionInput) -> DecisionInput {
    let read = reads(compiled, input.attributes.model.as_deref().unwrap_or(AUTO), &input.options);
    let mut input = input.clone();
    let found = &mut input.attributes;
    found.language = found.language.take().filter(|_| read.contains(AttributeSet::LANGUAGE));
    found.task = found.task.filter(|_| read.contains(AttributeSet::TASK));
    found.topic = found.topic.filter(|_| read.contains(AttributeSet::TOPIC));
    found.complexity_score = found.complexity_score.filter(|_| read.contains(AttributeSet::COMPLEXITY_SCORE));
    found.confidence = found.confidence.filter(|_| read.contains(AttributeSet::CONFIDENCE));
    found.expected_output_tokens =
        found.expected_output_tokens.filter(|_| read.contains(AttributeSet::EXPECTED_OUTPUT_TOKENS));
    input
}

#[test]
fn only_what_decides_is_classified() {
    let compiled = compiled(
        "a/x in=1 out=1
         b/y in=2 out=2
         tier t a/x b/y
         model one a/x
         model two a/x b/y
         model ruled a/x b/y rules
         model falls a/x fallbacks=ruled
         set default_tier=t",
    );
    let compiled = Compiled { reads: AttributeSet::TASK | AttributeSet::EXPECTED_OUTPUT_TOKENS, ..compiled };
    let (all, length) = (compiled.reads, AttributeSet::EXPECTED_OUTPUT_TOKENS);
    for (words, expected) in [
        ("model=auto", all),
        ("model=ruled", all),
        ("model=falls", all),
        ("model=a/x fallbacks=auto", all),
        ("model=two", length),
        ("model=one fallbacks=two", length),
        ("model=one max_cost=1", length),
        ("model=one", AttributeSet::empty()),
        ("model=one fallbacks=b/y", AttributeSet::empty()),
        ("model=a/x", AttributeSet::empty()),
    ] {
        let input = input_on(words, Some(&compiled));
        let name = input.attributes.model.as_deref().unwrap();
        assert_eq!(reads(&compiled, name, &input.options), expected, "{words}");
    }
}

#[test]
fn the_cheapest_comes_first_and_time_has_a_price() {
    check(
        "a/x in=3 out=15
         b/y in=1 out=5
         c/z unpriced
         set usd_per_second=0.001",
        &[
            ("tokens=1000 expect=100", "b/y a/x c/z"),
            ("tokens=1000 expect=100 b/y:mean=9000 a/x:mean=1000", "a/x b/y c/z"),
            ("tokens=1000 expect=100 b/y:mean=9000", "a/x b/y c/z"),
        ],
    );
}

#[test]
fn each_refusal_has_its_reason_and_what_exactly() {
    check(
        "a/x caps=tools,vision region=eu window=1000 in=1 out=1
         b/y caps=tools region=us in=2
         model m a/x b/y",
        &[
            ("model=m needs=vision", "a/x; b/y capability_missing (vision)"),
            (
                "model=m needs=tools requires=vision,audio_in",
                "; a/x capability_missing (audio_in); b/y capability_missing (vision, audio_in)",
            ),
            ("model=m regions=eu", "a/x; b/y region_not_allowed (it runs in us)"),
            (
                "model=m key_regions=us regions=eu",
                "; a/x region_not_allowed (it runs in eu); b/y region_not_allowed (it runs in us)",
            ),
            (
                "model=m barred=anthropic",
                "; a/x dialect_cannot_express (anthropic); b/y dialect_cannot_express (anthropic)",
            ),
            ("model=m tokens=1150", "a/x b/y"),
            ("model=m tokens=1151", "b/y; a/x context_too_long (1151 input tokens, at most 1000)"),
            ("model=m key=b/y", "b/y; a/x not_allowed"),
        ],
    );
}

#[test]
fn money_refuses_what_is_over_it_or_has_no_price() {
    check(
        "a/x in=1 out=1
         b/y in=9 out=9
         c/z unpriced
         rule r when={\"max_tokens\":{\"maximum\":10}} max_cost=0.005",
        &[
            ("tokens=1000 expect=0", "a/x b/y c/z"),
            ("tokens=1000 expect=0 max_cost=0.009", "a/x b/y; c/z unpriced"),
            (
                "tokens=1000 expect=0 max_cost=0.0089",
                "a/x; b/y over_cost_ceiling (0.009 USD expected, at most 0.0089); c/z unpriced",
            ),
            (
                "tokens=1000 expect=0 max_cost=0.1 max_tokens=5",
                "a/x; b/y over_cost_ceiling (0.009 USD expected, at most 0.005); c/z unpriced",
            ),
            ("tokens=1000 expect=0 budget=5", "a/x b/y; c/z unpriced"),
        ],
    );
}

#[test]
fn deferred_ones_come_after_all_others_soonest_return_first() {
    check(
        "a/a in=1
         b/b in=2
         c/c in=3
         d/d in=4
         e/e in=5",
        &[
            (
                "a/a:open,back=9000 b/b:rate,back=200 c/c:full,mean=900,flying=4",
                "d/d e/e | b/b c/c a/a; a/a breaker_open (open, back in 9000 ms); b/b rate_spent (back in 200 ms); c/c concurrency_spent (back as soon as there is room)",
            ),
            (
                "latency=500 a/a:p95=501 b/b:p95=500 c/c:suspect d/d:rate,back=40000",
                "b/b e/e | a/a c/c d/d; a/a too_slow (p95 501 ms, wanted 500 ms); c/c suspect; d/d rate_spent (back in 40000 ms)",
            ),
            (
                "a/a:half_open b/b:ramp c/c:half_open_busy,mean=50 d/d:ramp_held",
                "a/a b/b e/e | d/d c/c; c/c breaker_open (half_open_busy); d/d breaker_open (ramp_held)",
            ),
            (
                "a/a:open b/b:open c/c:open d/d:open,back=7 e/e:open,back=3",
                "| a/a b/b c/c e/e d/d; a/a breaker_open (open); b/b breaker_open (open); c/c breaker_open (open); d/d breaker_open (open, back in 7 ms); e/e breaker_open (open, back in 3 ms)",
            ),
        ],
    );
}

#[test]
fn too_few_samples_are_not_too_slow() {
    check("a/x\n b/y in=9", &[("latency=1", "a/x b/y"), ("latency=1 a/x:mean=50", "a/x b/y")]);
}

#[test]
fn quality_reached_comes_before_price_and_price_before_nothing() {
    check(
        "a/x in=1 q=.5
         b/y in=2 q=.9
         c/z in=3 q=.7
         d/u in=4
         set quality=.7",
        &[
            ("", "b/y c/z d/u a/x; a/x quality_not_reached (0.500, wanted 0.700)"),
            ("quality=.4", "a/x b/y c/z d/u"),
            (
                "quality=.8",
                "b/y d/u a/x c/z; a/x quality_not_reached (0.500, wanted 0.800); c/z quality_not_reached (0.700, wanted 0.800)",
            ),
            (
                "quality=.95 d/u:open,back=1",
                "b/y c/z a/x | d/u; a/x below_quality (0.500, wanted 0.950); b/y below_quality (0.900, wanted 0.950); c/z below_quality (0.700, wanted 0.950); d/u breaker_open (open, back in 1 ms)",
            ),
        ],
    );
}

const RULES: &str = "a/cheap in=1 q=.6
    b/mid in=2 q=.8
    c/best in=9 q=.95
    d/other in=3 q=.9
    tier economy a/cheap
    tier standard b/mid a/cheap
    tier premium c/best b/mid
    model own c/best d/other
    model auto-best auto=.95
    model within a/cheap d/other rules
    rule short when={\"input_tokens\":{\"maximum\":100},\"complexity_score\":{\"maximum\":0.3}} tier=economy strategy=cheapest quality=0
    rule hard when={\"complexity_score\":{\"minimum\":0.8}} tier=premium quality=.9 deadline=9000 fallbacks=own
    rule liked when={\"max_tokens\":{\"const\":1}} prefer=d/other quality=.8
    rule shunned when={\"max_tokens\":{\"const\":2}} avoid=b/mid quality=0
    rule fixed when={\"max_tokens\":{\"const\":3}} only=d/other
    rule order when={\"max_tokens\":{\"const\":4}} strategy=priority quality=0
    set default_tier=standard quality=.7";

#[test]
fn rules_choose_for_auto() {
    check(
        RULES,
        &[
            ("model=auto tokens=8 complexity=.1", "a/cheap"),
            ("tokens=8 complexity=.1", "a/cheap"),
            (
                "model=auto tokens=8 complexity=.9",
                "c/best b/mid d/other; b/mid quality_not_reached (0.800, wanted 0.900)",
            ),
            (
                "model=auto tokens=8 complexity=.9 allow_fallbacks=false",
                "c/best; b/mid quality_not_reached (0.800, wanted 0.900)",
            ),
            ("model=auto tokens=8", "b/mid a/cheap; a/cheap quality_not_reached (0.600, wanted 0.700)"),
            (
                "model=auto max_tokens=1",
                "d/other b/mid a/cheap; a/cheap quality_not_reached (0.600, wanted 0.800)",
            ),
            ("model=auto max_tokens=2", "a/cheap b/mid"),
            ("model=auto max_tokens=3", "d/other"),
            ("model=auto max_tokens=4", "b/mid a/cheap"),
            ("model=auto tokens=8 complexity=.1 tier=premium", "b/mid c/best"),
            ("model=auto tier=nobody-knows", ""),
            ("model=auto tier=premium max_tokens=1", "b/mid c/best"),
            (
                "model=auto-best",
                "b/mid a/cheap; a/cheap below_quality (0.600, wanted 0.950); b/mid below_quality (0.800, wanted 0.950)",
            ),
            ("model=within", "d/other a/cheap; a/cheap quality_not_reached (0.600, wanted 0.700)"),
            ("model=within tokens=8 complexity=.1", "a/cheap"),
            ("model=nobody-knows", ""),
        ],
    );
}

#[test]
fn a_named_model_is_answered_by_its_own_and_by_nothing_else() {
    let own = "a/x in=1 q=.5
        b/y in=2 q=.5
        c/z in=.1 q=.9
        s/s simulated in=0 out=0
        tier economy c/z
        model m a/x b/y fallbacks=wide
        model wide b/y c/z
        model fake s/s
        model mixed s/s a/x
        rule all when={} tier=economy
        set quality=.7";
    check(
        own,
        &[
            ("model=a/x tier=economy", "a/x"),
            ("model=wide tier=economy", "c/z b/y"),
            ("model=m", "a/x b/y c/z"),
            ("model=m a/x:open,back=5", "b/y c/z | a/x; a/x breaker_open (open, back in 5 ms)"),
            (
                "model=m quality=.9",
                "a/x b/y c/z; a/x below_quality (0.500, wanted 0.900); b/y below_quality (0.500, wanted 0.900)",
            ),
            ("model=m allow_fallbacks=false", "a/x"),
            ("model=m fallbacks=s/s", "a/x b/y c/z; s/s simulated"),
            ("model=a/x fallbacks=b/y,auto", "a/x b/y c/z"),
            ("model=a/x fallbacks=nobody-knows", "a/x"),
            ("model=fake", "s/s"),
            ("model=s/s", "s/s"),
            ("model=mixed", "a/x; s/s simulated"),
            ("model=auto", "c/z"),
        ],
    );
}

#[test]
fn some_fallbacks_are_kept_for_a_kind_of_failure() {
    let kept = "a/x in=1 window=1000
        b/y in=2 window=9000
        c/z in=3
        d/w in=1 region=us
        model m a/x fallbacks=c/z too_long=b/y,d/w filtered=c/z,wide
        model wide b/y d/w
        model short a/x too_long=b/y";
    check(
        kept,
        &[
            ("model=m", "a/x c/z (too long: b/y d/w) (filtered: c/z b/y d/w)"),
            ("model=m b/y:suspect", "a/x c/z (too long: d/w b/y) (filtered: c/z d/w b/y); b/y suspect"),
            ("model=m allow_fallbacks=false", "a/x"),
            ("model=short tokens=2000", "b/y; a/x context_too_long (2000 input tokens, at most 1000)"),
            (
                "model=short tokens=2000 b/y:suspect",
                "| b/y; a/x context_too_long (2000 input tokens, at most 1000); b/y suspect",
            ),
        ],
    );
}

#[test]
fn what_a_key_may_use_is_a_hard_limit() {
    check(
        RULES,
        &[
            (
                "key=auto tokens=8 complexity=.9",
                "c/best b/mid d/other; b/mid quality_not_reached (0.800, wanted 0.900)",
            ),
            ("key=economy", "a/cheap; a/cheap below_quality (0.600, wanted 0.700); b/mid not_allowed"),
            ("key=own tokens=8 complexity=.9", "c/best d/other; b/mid not_allowed"),
            ("key=nothing", "; a/cheap not_allowed; b/mid not_allowed"),
        ],
    );
    let compiled = compiled(RULES);
    for (name, key, expected) in [
        ("auto", "", true),
        ("auto", "auto", true),
        ("auto", "own", false),
        ("auto", "economy", true),
        ("own", "own", true),
        ("own", "economy", false),
        ("a/cheap", "economy", true),
        ("c/best", "economy", false),
        ("c/best", "own", true),
        ("c/best", "auto", false),
        ("c/best", "c/best", true),
        ("nobody-knows", "own", false),
    ] {
        let listed: Vec<String> = key.split(',').filter(|k| !k.is_empty()).map(str::to_owned).collect();
        assert_eq!(may_ask(&compiled, name, &listed), expected, "{name} with {key}");
    }
}

/// How often each deployment comes first over 4,000 seeds, in percent.
fn firsts(script: &str, words: &str) -> BTreeMap<String, u32> {
    let compiled = compiled(script);
    let mut first = BTreeMap::new();
    for seed in 0..4_000 {
        let input = input_on(&format!("{words} seed={seed}"), Some(&compiled));
        let decision = decide(&compiled, &input);
        let chosen = decision.plan.ranked.first().unwrap();
        *first.entry(compiled.deployment(*chosen).id.to_string()).or_insert(0) += 1;
        if seed < 20 {
            consistent(&compiled, &input, &decision);
        }
    }
    first.values_mut().for_each(|n| *n = (*n + 20) / 40);
    first
}

#[test]
fn near_equals_share_a_burst() {
    let near = "a/x in=100 out=0\n b/y in=100.5 out=0\n c/z in=101 out=0\n d/u in=102 out=0\n set near=10000";
    let shares = firsts(near, "tokens=1000");
    assert_eq!(shares.len(), 3, "{shares:?}");
    assert!(shares.values().all(|percent| (31..=36).contains(percent)), "{shares:?}");
    let decision = decide(&compiled(near), &input_on("tokens=1000", None));
    let mut odds: Vec<_> = decision.verdicts.iter().map(|v| (v.propensity * 100.0).round()).collect();
    odds.sort_by(f64::total_cmp);
    assert_eq!(odds, [0.0, 33.0, 33.0, 33.0]);
}

#[test]
fn weights_are_shares() {
    let script = "a/x weight=1\n b/y weight=3\n c/z weight=0\n model m a/x b/y c/z strategy=weighted";
    let shares = firsts(script, "model=m");
    assert_eq!(shares.len(), 2, "{shares:?}");
    assert!((23..=27).contains(&shares["a/x"]), "{shares:?}");
    let compiled = compiled(script);
    let odds = |words| {
        let decision = decide(&compiled, &input_on(words, Some(&compiled)));
        decision.verdicts.iter().map(|v| v.propensity).collect::<Vec<_>>()
    };
    assert_eq!(odds("model=m"), [0.25, 0.75, 0.0]);
    assert_eq!(odds("model=m b/y:open"), [1.0, 0.0, 0.0]);
}

#[test]
fn turns_go_round_and_priority_keeps_its_order() {
    check(
        "a/x in=9\n b/y in=5\n c/z in=1
         model round a/x b/y c/z strategy=round_robin
         model order b/y a/x c/z strategy=priority",
        &[
            ("model=round turn=0", "a/x b/y c/z"),
            ("model=round turn=1", "b/y c/z a/x"),
            ("model=round turn=5", "c/z a/x b/y"),
            ("model=round turn=1 b/y:open", "c/z a/x | b/y; b/y breaker_open (open)"),
            ("model=order", "b/y a/x c/z"),
            ("model=order b/y:open", "a/x c/z | b/y; b/y breaker_open (open)"),
        ],
    );
}

#[test]
fn limits_of_the_rule_and_of_the_request_meet() {
    let compiled = compiled(RULES);
    for (words, deadline, cost) in [
        ("tokens=8 complexity=.9", Some(9_000), None),
        ("tokens=8 complexity=.9 deadline=5000", None, None),
        ("tokens=8 complexity=.9 deadline=10000 max_cost=2", Some(9_000), Some("2")),
        ("tokens=8", None, None),
    ] {
        let decision = decide(&compiled, &input_on(words, Some(&compiled)));
        let found = (decision.deadline_ms, decision.max_cost.map(|cost| cost.to_string()));
        assert_eq!(found, (deadline, cost.map(str::to_owned)), "{words}");
    }
}

fn explain(compiled: &Compiled, input: &DecisionInput, decision: &Decision) -> serde_json::Value {
    serde_json::to_value(crate::record::explained::Explained::complete(compiled, input, decision)).unwrap()
}

#[test]
fn an_explanation_names_every_deployment_and_every_rule_passed_over() {
    let compiled = compiled(RULES);
    let input = input_on("model=auto tokens=800 expect=0 complexity=.9 a/cheap:open", Some(&compiled));
    let value = explain(&compiled, &input, &decide(&compiled, &input));
    assert_eq!(value["rule"], "hard");
    assert_eq!(value["tier"], "premium");
    assert_eq!(value["rules_passed_over"][0]["name"], "short");
    assert_eq!(value["plan"], serde_json::json!(["c/best", "b/mid", "d/other"]));
    assert_eq!(value["deadline_ms"], 9_000);
    assert_eq!(value["attributes"]["complexity_score"], 0.9);
    let verdicts = value["verdicts"].as_array().unwrap();
    let ids: Vec<_> = verdicts.iter().map(|v| v["deployment"].as_str().unwrap()).collect();
    assert_eq!(ids, ["a/cheap", "b/mid", "c/best", "d/other"]);
    assert_eq!(verdicts[0]["reason"], "not_in_set");
    assert_eq!(verdicts[1]["detail"], "0.800, wanted 0.900");
    assert_eq!(verdicts[2]["cost_usd"], "0.0072");
    assert_eq!(verdicts[2]["propensity"], 1.0);
    assert!(verdicts[2]["score"]["total"].is_number() && verdicts[2].get("reason").is_none());

    let named = input_on("model=own", Some(&compiled));
    assert!(rules_passed_over(&compiled, &named, &decide(&compiled, &named)).is_empty());
    let none = input_on("model=auto", Some(&compiled));
    assert_eq!(rules_passed_over(&compiled, &none, &decide(&compiled, &none)).len(), compiled.rules.len());
}

/// One word out of a list, or nothing.
fn word(words: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(words)
}

prop_compose! {
    fn request()(
        model in word(&["", "model=auto", "model=own", "model=auto-best", "model=within", "model=a/cheap", "model=nobody-knows"]),
        tokens in 0_u64..2_000, complexity in 0.0..=1.0_f64, max_tokens in 1_u64..6, seed: u64, turn: u64,
        wishes in prop::collection::vec(word(&["quality=.9", "quality=1", "latency=100", "max_cost=0.001", "tier=premium",
            "tier=economy", "fallbacks=own,a/cheap", "allow_fallbacks=false", "regions=eu", "requires=vision", "n=4",
            "needs=tools", "budget=1", "key=economy", "key=own,auto", "images=2"]), 0..4),
        board in prop::collection::vec((word(&["a/cheap", "b/mid", "c/best", "d/other"]), word(&["open", "open,back=90",
            "half_open", "half_open_busy", "ramp", "ramp_held", "suspect", "rate,back=5", "full,mean=70", "p95=900,mean=4294967295"])), 0..6),
    ) -> String {
        let board: String = board.iter().map(|(id, state)| format!(" {id}:{state}")).collect();
        format!("{model} tokens={tokens} complexity={complexity} max_tokens={max_tokens} seed={seed} turn={turn} {}{board}", wishes.join(" "))
    }
}

proptest! {
    #[test]
    fn every_decision_is_consistent_and_keeps_to_its_set(words in request(), near in 0_u32..2_000_000, by in word(&["cheapest", "weighted", "round_robin", "priority"])) {
        let mut compiled = compiled(RULES);
        compiled.selection.near_equal_ppm = near;
        for model in compiled.models.values_mut() {
            model.strategy = serde_json::from_value(by.into()).unwrap();
        }
        let input = input_on(&words, Some(&compiled));
        let decision = decide(&compiled, &input);
        consistent(&compiled, &input, &decision);
        let own: Option<&[&str]> = match input.attributes.model.as_deref() {
            Some("own") => Some(&["c/best", "d/other"]),
            Some("a/cheap") => Some(&["a/cheap"]),
            Some("within") => Some(&["a/cheap", "d/other", "c/best"]),
            Some("nobody-knows") => Some(&[]),
            _ => None,
        };
        if let (Some(own), true) = (own, input.options.fallbacks.is_empty()) {
            for idx in decision.plan.iter() {
                prop_assert!(own.contains(&&*compiled.deployment(idx).id), "{}", plan(&compiled, &decision.plan));
            }
        }
        let explained = explain(&compiled, &input, &decision);
        prop_assert_eq!(explained["verdicts"].as_array().unwrap().len(), compiled.deployments.len());
    }
}
