//! Every kind of event is valid under its published schema, and says what the records say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::attributes::{AttributeSet, Attributes};
use crate::capability::Capabilities;
use crate::chat::RequestOptions;
use crate::compiled::*;
use crate::select::{DeploymentView, Reason, RoutePlan, ScoreParts, Verdict, VerdictKind};
use crate::tokens::TextStats;

fn deployment(id: &str) -> Deployment {
    let second = Duration::from_secs(1);
    Deployment {
        id: id.into(),
        provider: "p".into(),
        provider_idx: 0,
        upstream_model: id.into(),
        model: id.into(),
        region: None,
        capabilities: Capabilities::empty(),
        max_input_tokens: None,
        max_output_tokens: None,
        price: None,
        quality: None,
        weight: 1,
        limits: Limits::default(),
        time_limits: TimeLimits { connect: second, first_byte: second, answer: second, idle: second },
        token_scale_ppm: 1_000_000,
        simulated: false,
    }
}

fn compiled() -> Compiled {
    let second = Duration::from_secs(1);
    Compiled {
        config_hash: "c".into(),
        catalog_hash: "k".into(),
        providers: Vec::new(),
        provider_names: Vec::new(),
        deployments: ["p/a", "p/b", "p/c"].map(deployment).to_vec(),
        models: BTreeMap::new(),
        tiers: Vec::new(),
        rules: Vec::new(),
        reads: AttributeSet::empty(),
        selection: Selection {
            default_tier: None,
            quality: 0.7,
            usd_per_second: Usd::ZERO,
            near_equal_ppm: 50_000,
        },
        reliability: Reliability {
            deadline: second,
            retries: RetryPolicy {
                budget_percent: 20,
                per_sec: 10,
                attempts: 3,
                backoff_base: second,
                backoff_cap: second,
            },
            breaker: BreakerPolicy {
                enabled: true,
                window: second,
                error_rate: 0.05,
                min_requests: 20,
                min_failures: 5,
                consecutive: 5,
                cooldown: second,
                max_cooldown: second,
                ramp_step: second,
            },
            probe: None,
            rescue: true,
            hedging: None,
        },
        keys: Vec::new(),
        budgets: Vec::new(),
    }
}

fn input() -> DecisionInput {
    DecisionInput {
        seed: 7,
        now: Timestamp::from_millis(1_795_348_200_000),
        hashes: Hashes { config: "c".into(), catalog: "k".into(), model: "".into() },
        attributes: Attributes { input_tokens: Some(12), ..Attributes::default() },
        computed: AttributeSet::INPUT_TOKENS,
        stats: TextStats::default(),
        images: 0,
        n: 1,
        options: RequestOptions::default(),
        key_models: Vec::new(),
        key_providers: Vec::new(),
        key_regions: Vec::new(),
        barred_dialects: Vec::new(),
        turn: 0,
        budget_left: None,
        board: vec![DeploymentView::default(); 3],
        disabled: Vec::new(),
    }
}

fn verdict(index: u16, kind: VerdictKind, reason: Option<Reason>) -> Verdict {
    Verdict {
        deployment: DeploymentIdx(index),
        kind,
        reason,
        detail: None,
        score: (kind == VerdictKind::Ranked).then(ScoreParts::default),
        cost: Some(Usd::from_nano(1_500)),
        quality: Some(0.9),
        propensity: if kind == VerdictKind::Ranked { 1.0 } else { 0.0 },
        input_tokens: 12,
    }
}

fn decision() -> Decision {
    Decision {
        rule: Some("short".into()),
        tier: Some("economy".into()),
        plan: RoutePlan {
            ranked: vec![DeploymentIdx(1)],
            deferred: vec![DeploymentIdx(0)],
            ..RoutePlan::default()
        },
        verdicts: vec![
            verdict(0, VerdictKind::Deferred, Some(Reason::BreakerOpen)),
            verdict(1, VerdictKind::Ranked, None),
        ],
        deadline_ms: None,
        no_fallbacks: false,
        max_cost: None,
    }
}

const REQUEST: RequestId = RequestId(0x0198_c0de_7abc_7def_8123_4567_89ab_cdef);

fn open() -> OpenRecord {
    OpenRecord {
        request: REQUEST,
        attempt: 1,
        at: Timestamp::from_micros(5_000_000),
        deployment: "p/b".into(),
        provider: "p".into(),
        model: "auto".into(),
        key: Some("bot".into()),
        budgets: Vec::new(),
        tags: Vec::new(),
        rule: None,
        ceiling: Usd::from_nano(2_000_000_000),
        price_version: "0011223344556677".into(),
        simulated: false,
    }
}

fn close(outcome: Outcome) -> CloseRecord {
    CloseRecord {
        request: REQUEST,
        attempt: 1,
        at: Timestamp::from_micros(5_250_000),
        outcome,
        usage: Usage { input_tokens: 12, output_tokens: 3, ..Usage::default() },
        cost: Usd::from_nano(12_345),
        estimated: false,
        first_byte_ms: Some(120),
        total_ms: 250,
        provider_cost: None,
    }
}

fn request() -> RequestRecord {
    RequestRecord {
        request: REQUEST,
        at: Timestamp::from_micros(4_999_000),
        ended: Timestamp::from_micros(5_251_000),
        model: "auto".into(),
        key: None,
        client_request_id: Some("mine".into()),
        rule: None,
        deployment: Some("p/b".into()),
        outcome: Arc::from("success"),
        attempts: 1,
        usage: Usage::default(),
        cost: Usd::from_nano(12_345),
        reference_cost: Usd::from_nano(50_000),
        first_byte_ms: None,
        overhead_us: 31,
        simulated: false,
    }
}

/// The event as JSON: valid under the schema, and holding the members expected.
fn check(event: &LogEvent<'_>, expected: &Value) {
    let schema = schemars::generate::SchemaSettings::draft2020_12().for_serialize().into_generator();
    let schema = schema.into_root_schema_for::<LogEvent<'static>>();
    let validator = jsonschema::validator_for(schema.as_value()).unwrap();
    let written = serde_json::to_value(event).unwrap();
    let errors: Vec<_> = validator.iter_errors(&written).map(|e| e.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?} in {written:#}");
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&written[name], value, "{name} of {written:#}");
    }
}

#[test]
fn a_decision_names_rule_plan_and_the_deployments_considered() {
    let (compiled, input, decision) = (compiled(), input(), decision());
    let event = LogEvent::decision(REQUEST, &compiled, &input, &decision);
    check(
        &event,
        &json!({
            "event": "router.decision", "time": "2026-11-22T11:50:00.000000Z", "at_us": 1_795_348_200_000_000_u64,
            "request_id": "0198c0de-7abc-7def-8123-456789abcdef", "rule": "short", "tier": "economy",
            "rules_passed_over": null, "plan": ["p/b", "p/a"],
            "attributes": { "input_tokens": 12 },
        }),
    );
    let written = serde_json::to_value(&event).unwrap();
    assert_eq!(written["verdicts"].as_array().unwrap().len(), 2, "only those considered");
    assert_eq!(written["verdicts"][0]["reason"], "breaker_open");
    assert_eq!(written["verdicts"][1]["propensity"], 1.0);
    let all = serde_json::to_value(Explained::complete(&compiled, &input, &decision)).unwrap();
    assert_eq!(all["verdicts"][2]["reason"], "not_in_set");
    assert_eq!(all["rules_passed_over"], json!([]));
    assert_eq!(all["verdicts"].as_array().unwrap().len(), 3, "explain shows every deployment");
}

#[test]
fn an_attempt_separates_outcome_and_failure() {
    let open = open();
    for (outcome, expected) in [
        (Outcome::Success, json!({ "outcome": "success", "failure": null })),
        (Outcome::Failure(FailureKind::Stalled), json!({ "outcome": "failure", "failure": "stalled" })),
        (Outcome::Cancelled, json!({ "outcome": "cancelled" })),
        (Outcome::Lost, json!({ "outcome": "lost" })),
    ] {
        check(&LogEvent::attempt(&open, &close(outcome)), &expected);
    }
    let expected = json!({
        "event": "router.attempt", "deployment": "p/b", "latency_ms": 250, "first_byte_ms": 120, "key": "bot",
        "cost_usd": "0.000012345", "ceiling_usd": "2", "price_version": "0011223344556677", "started_us": 5_000_000,
    });
    check(&LogEvent::attempt(&open, &close(Outcome::Success)), &expected);
}

#[test]
fn a_request_sums_up() {
    let record = request();
    let expected = json!({
        "event": "router.request", "outcome": "success", "cost_usd": "0.000012345", "reference_cost_usd": "0.00005",
        "latency_ms": 252, "overhead_us": 31, "price_version": "v", "client_request_id": "mine",
    });
    check(&LogEvent::request(&record, Some("v")), &expected);
}

#[test]
fn ids_are_written_as_the_display_form_says() {
    let record = request();
    let event = LogEvent::request(&record, None);
    check(&event, &json!({ "request_id": REQUEST.to_string() }));
}
