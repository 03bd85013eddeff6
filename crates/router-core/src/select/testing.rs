//! Test language: configurations and requests as short texts.
//!
//! A configuration is lines: a deployment (`id in=3 out=15 q=.8 caps=tools region=eu window=1000 max_out=20 weight=3
//! scale=1.2 factor=.5 fee=1 simulated unpriced`), `tier name ids..`, `private providers..` (which collect nothing), `model
//! name ids.. strategy=weighted fallbacks=a,b too_long=a filtered=a auto auto=.9 rules sticky=true allow_models=
//! allow_providers= allow_regions=`,
//! `rule name when={..} tier= only= prefer= avoid= strategy= quality= max_cost= latency= deadline= fallbacks= regions= sticky=`, or
//! `set default_tier= quality= near= usd_per_second=`. A request is words (1,000 tokens unless it says): `model= tokens= expect= max_tokens= n= images=
//! needs= seed= turn= barred= budget= session= stream key= key_providers= key_regions= tier= quality= max_cost= latency=
//! deadline= fallbacks= allow_fallbacks= regions= allow_models= allow_providers= allow_regions=`, as `provider.order= only=
//! ignore= sort= max_price=prompt/completion/request collect=deny order_only`, and the board as
//! `id:open,back=500,p95=900,mean=800,first=90,rate,full,flying=3`.

use std::sync::Arc;
use std::time::Duration;

use super::{DecisionInput, DeploymentState, DeploymentView, Hashes};
use crate::attributes::{AttributeSet, Attributes};
use crate::capability::Capabilities;
use crate::chat::{DialectId, MaxPrice, ProviderWishes, RequestOptions};
use crate::compiled::{
    BreakerPolicy, Compiled, DataCollection, Deployment, DeploymentIdx, Limits, Model, Provider, Reliability,
    RetryPolicy, Selection, Strategy, Tier, TimeLimits,
};
use crate::money::Usd;
use crate::price::{PriceList, Rates};
use crate::rules::{Rule, Use};
use crate::time::Timestamp;
use crate::tokens::TextStats;

/// `name=value` or `name`.
fn split(word: &str) -> (&str, &str) {
    word.split_once('=').unwrap_or((word, ""))
}

fn list(value: &str) -> Vec<String> {
    value.split(',').filter(|v| !v.is_empty()).map(str::to_owned).collect()
}

fn caps(value: &str) -> Capabilities {
    value.split(',').map(|name| Capabilities::named(name).expect("a capability")).collect()
}

/// A deployment from its line.
pub(crate) fn deployment(line: &str) -> Deployment {
    let mut words = line.split_whitespace();
    let id = words.next().expect("an id");
    let (provider, model) = id.split_once('/').expect("provider/model");
    let second = Duration::from_secs(1);
    let mut d = Deployment {
        id: id.into(),
        provider: provider.into(),
        provider_idx: 0,
        upstream_model: model.into(),
        model: model.into(),
        region: None,
        capabilities: Capabilities::empty(),
        max_input_tokens: None,
        max_output_tokens: None,
        price: None,
        quality: None,
        weight: 1,
        limits: Limits::default(),
        time_limits: TimeLimits {
            connect: second,
            first_byte: 30 * second,
            answer: 600 * second,
            idle: 60 * second,
        },
        token_scale_ppm: 1_000_000,
        simulated: false,
    };
    let mut base = Rates { input: "1".parse().ok(), output: "1".parse().ok(), ..Rates::default() };
    let (mut priced, mut factor_ppm, mut per_request) = (true, 1_000_000, Usd::ZERO);
    for (name, value) in words.map(split) {
        match name {
            "in" => base.input = value.parse().ok(),
            "out" => base.output = value.parse().ok(),
            "unpriced" => priced = false,
            "factor" => factor_ppm = (value.parse::<f64>().unwrap() * 1e6).round() as u32,
            "fee" => per_request = value.parse().unwrap(),
            "q" => d.quality = Some(value.parse().unwrap()),
            "caps" => d.capabilities = caps(value),
            "region" => d.region = Some(value.into()),
            "window" => d.max_input_tokens = Some(value.parse().unwrap()),
            "max_out" => d.max_output_tokens = Some(value.parse().unwrap()),
            "weight" => d.weight = value.parse().unwrap(),
            "scale" => d.token_scale_ppm = (value.parse::<f64>().unwrap() * 1e6).round() as u32,
            "simulated" => d.simulated = true,
            other => panic!("{other}: {line}"),
        }
    }
    d.price = priced.then(|| PriceList {
        base,
        long_context: Vec::new(),
        service_tiers: Vec::new(),
        per_request,
        factor_ppm,
        version: "test".into(),
    });
    d
}

fn strategy(value: &str) -> Strategy {
    serde_json::from_value(value.into()).unwrap()
}

fn ids(compiled: &Compiled, value: &str) -> Vec<DeploymentIdx> {
    list(value).iter().map(|id| compiled.deployment_named(id).expect("a deployment")).collect()
}

fn rule(compiled: &Compiled, name: &str, words: &[&str]) -> Rule {
    let mut then = Use::default();
    let mut when = serde_json::json!({});
    for (key, value) in words.iter().map(|word| split(word)) {
        match key {
            "when" => when = serde_json::from_str(value).unwrap(),
            "tier" => then.tier = Some(compiled.tier_named(value).expect("a tier")),
            "only" => then.only = ids(compiled, value),
            "prefer" => then.prefer = ids(compiled, value),
            "avoid" => then.avoid = ids(compiled, value),
            "strategy" => then.strategy = Some(strategy(value)),
            "quality" => then.quality = Some(value.parse().unwrap()),
            "max_cost" => then.max_cost = Some(value.parse().unwrap()),
            "latency" => then.latency_budget_ms = Some(value.parse().unwrap()),
            "deadline" => then.deadline_ms = Some(value.parse().unwrap()),
            "fallbacks" => then.fallbacks = list(value),
            "regions" => then.regions = list(value),
            "sticky" => then.sticky = value.parse().ok(),
            other => panic!("{other} in rule {name}"),
        }
    }
    let required: Vec<_> = when.as_object().unwrap().keys().cloned().collect();
    let schema = serde_json::json!({ "type": "object", "properties": when, "required": required });
    let reads = required.iter().filter_map(|name| AttributeSet::named(name)).collect();
    let validator = jsonschema::validator_for(&schema).unwrap();
    Rule { name: name.into(), reads, schema, validator, then }
}

fn model(compiled: &Compiled, words: &[&str]) -> Model {
    let mut model = Model::default();
    for word in words {
        match split(word) {
            ("strategy", value) => model.strategy = strategy(value),
            ("fallbacks", value) => model.fallbacks = list(value),
            ("too_long", value) => model.context_fallbacks = list(value),
            ("filtered", value) => model.filter_fallbacks = list(value),
            ("rules", _) => model.rules = true,
            ("sticky", value) => model.sticky = value.parse().ok(),
            ("allow_models", value) => model.allow.models = list(value),
            ("allow_providers", value) => model.allow.providers = list(value),
            ("allow_regions", value) => model.allow.regions = list(value),
            ("auto", value) => (model.auto, model.auto_quality) = (true, value.parse().ok()),
            (id, _) => model.deployments.extend(ids(compiled, id)),
        }
    }
    model
}

/// A configuration of these deployments and nothing else. Each provider is an instance of a host `name-host`.
fn bare(mut deployments: Vec<Deployment>) -> Compiled {
    let mut names: Vec<Arc<str>> = deployments.iter().map(|d| Arc::clone(&d.provider)).collect();
    names.sort_unstable();
    names.dedup();
    for d in &mut deployments {
        d.provider_idx = names.iter().position(|name| *name == d.provider).unwrap() as u16;
    }
    let provider = |name: &Arc<str>| Provider {
        name: Arc::clone(name),
        host: Some(format!("{name}-host").into()),
        dialect: DialectId::Anthropic,
        base_url: "".into(),
        keys: 1,
        simulated: false,
        data_collection: None,
    };
    let selection =
        Selection { default_tier: None, quality: 0.0, usd_per_second: Usd::ZERO, near_equal_ppm: 0 };
    Compiled {
        config_hash: "c".into(),
        catalog_hash: "k".into(),
        providers: names.iter().map(provider).collect(),
        provider_names: names.iter().flat_map(|n| [Arc::clone(n), format!("{n}-host").into()]).collect(),
        deployments,
        models: std::collections::BTreeMap::new(),
        tiers: Vec::new(),
        rules: Vec::new(),
        reads: AttributeSet::EXPECTED_OUTPUT_TOKENS,
        selection,
        reliability: reliability(),
        keys: Vec::new(),
        budgets: Vec::new(),
    }
}

/// Numbers that `decide` never looks at.
fn reliability() -> Reliability {
    let second = Duration::from_secs(1);
    let retries = RetryPolicy {
        budget_percent: 20,
        per_sec: 10,
        attempts: 3,
        backoff_base: second,
        backoff_cap: second,
    };
    let breaker = BreakerPolicy {
        enabled: true,
        window: 300 * second,
        error_rate: 0.05,
        min_requests: 20,
        min_failures: 5,
        consecutive: 5,
        cooldown: 30 * second,
        max_cooldown: 600 * second,
        ramp_step: 10 * second,
    };
    Reliability { deadline: 600 * second, retries, breaker, probe: None, rescue: true, hedging: None }
}

/// A configuration from its lines.
pub(crate) fn compiled(script: &str) -> Compiled {
    let lines: Vec<Vec<&str>> = script
        .lines()
        .map(|line| line.split_whitespace().collect())
        .filter(|w: &Vec<_>| !w.is_empty())
        .collect();
    let mut deployments: Vec<_> = lines
        .iter()
        .filter(|words| words[0].contains('/'))
        .map(|words| deployment(&words.join(" ")))
        .collect();
    deployments.sort_by(|a, b| a.id.cmp(&b.id));
    let mut all = bare(deployments);
    for words in &lines {
        match words[0] {
            "tier" => {
                let deployments = words[2..].iter().flat_map(|id| ids(&all, id)).collect();
                all.tiers.push(Tier { name: words[1].into(), deployments });
            }
            "model" => {
                let made = model(&all, &words[2..]);
                all.models.insert(words[1].to_owned(), made);
            }
            "rule" => {
                let made = rule(&all, words[1], &words[2..]);
                all.reads |= made.reads;
                all.rules.push(made);
            }
            "private" => {
                for provider in all.providers.iter_mut().filter(|p| words[1..].contains(&&*p.name)) {
                    provider.data_collection = Some(DataCollection::Deny);
                }
            }
            "set" => words[1..].iter().for_each(|word| set(&mut all, word)),
            _ => {}
        }
    }
    all
}

fn set(all: &mut Compiled, word: &str) {
    match split(word) {
        ("default_tier", value) => all.selection.default_tier = Some(all.tier_named(value).unwrap()),
        ("quality", value) => all.selection.quality = value.parse().unwrap(),
        ("near", value) => all.selection.near_equal_ppm = value.parse().unwrap(),
        ("usd_per_second", value) => all.selection.usd_per_second = value.parse().unwrap(),
        (other, _) => panic!("{other}"),
    }
}

/// Statistics whose estimate is exactly this.
fn stats(tokens: u64) -> TextStats {
    let letters = tokens * 1_000_000 / 80_342;
    let stats = TextStats { bytes: letters, letters, ..TextStats::default() };
    assert_eq!(stats.estimate(), tokens);
    stats
}

/// A request from its words, without a board.
pub(crate) fn input(words: &str) -> DecisionInput {
    input_on(words, None)
}

/// A request from its words, with a board for the deployments of `compiled`.
pub(crate) fn input_on(words: &str, compiled: Option<&Compiled>) -> DecisionInput {
    let board = compiled.map_or_else(Vec::new, |c| vec![DeploymentView::default(); c.deployments.len()]);
    let mut input = DecisionInput {
        seed: 7,
        now: Timestamp::ZERO,
        hashes: Hashes::default(),
        attributes: Attributes::default(),
        computed: AttributeSet::all(),
        stats: stats(1_000),
        images: 0,
        n: 1,
        options: RequestOptions::default(),
        key_models: Vec::new(),
        key_providers: Vec::new(),
        key_regions: Vec::new(),
        barred_dialects: Vec::new(),
        turn: 0,
        budget_left: None,
        board,
        disabled: Vec::new(),
    };
    for word in words.split_whitespace() {
        if let (Some(compiled), Some((id, state))) = (compiled, word.split_once(':')) {
            let at = compiled.deployment_named(id).expect("a deployment on the board");
            input.board[at.get()] = view(state);
        } else {
            ask(&mut input, split(word));
        }
    }
    input
}

fn ask(input: &mut DecisionInput, (name, value): (&str, &str)) {
    let (attributes, options) = (&mut input.attributes, &mut input.options);
    match name {
        "model" => attributes.model = Some(value.to_owned()),
        "tokens" => {
            input.stats = stats(value.parse().unwrap());
            attributes.input_tokens = value.parse().ok();
        }
        "expect" => attributes.expected_output_tokens = value.parse().ok(),
        "max_tokens" => attributes.max_tokens = value.parse().ok(),
        "complexity" => attributes.complexity_score = value.parse().ok(),
        "needs" => attributes.capabilities = Some(caps(value)),
        "n" => input.n = value.parse().unwrap(),
        "images" => input.images = value.parse().unwrap(),
        "seed" => input.seed = value.parse().unwrap(),
        "turn" => input.turn = value.parse().unwrap(),
        "barred" => input.barred_dialects = vec![serde_json::from_value(value.into()).unwrap()],
        "budget" => input.budget_left = value.parse().ok(),
        "key" => input.key_models = list(value),
        "session" => attributes.session_id = Some(value.to_owned()),
        "stream" => attributes.stream = Some(true),
        "key_providers" => input.key_providers = list(value),
        "key_regions" => input.key_regions = list(value),
        "tier" => options.tier = Some(value.to_owned()),
        "quality" => options.quality = value.parse().ok(),
        "max_cost" => options.max_cost_usd = value.parse().ok(),
        "latency" => options.latency_budget_ms = value.parse().ok(),
        "deadline" => options.deadline_ms = value.parse().ok(),
        "requires" => options.required_capabilities = caps(value),
        "fallbacks" => options.fallbacks = list(value),
        "allow_fallbacks" => options.allow_fallbacks = value.parse().ok(),
        "regions" => options.regions = list(value),
        "allow_models" => options.allow.models = list(value),
        "allow_providers" => options.allow.providers = list(value),
        "allow_regions" => options.allow.regions = list(value),
        _ => wish(&mut options.provider, (name, value)),
    }
}

fn wish(provider: &mut ProviderWishes, (name, value): (&str, &str)) {
    match name {
        "order" => provider.order = list(value),
        "only" => provider.only = list(value),
        "ignore" => provider.ignore = list(value),
        "order_only" => provider.allow_fallbacks = Some(false),
        "sort" => provider.sort = serde_json::from_value(value.into()).ok(),
        "collect" => provider.data_collection = serde_json::from_value(value.into()).ok(),
        "max_price" => {
            let mut parts = value.split('/');
            let mut next = || parts.next().unwrap_or_default();
            provider.max_price = Some(MaxPrice {
                prompt: next().parse().ok(),
                completion: next().parse().ok(),
                request: next().parse().ok(),
            });
        }
        other => panic!("{other}"),
    }
}

fn view(words: &str) -> DeploymentView {
    let mut view = DeploymentView::default();
    for (name, value) in words.split(',').map(split) {
        match name {
            "rate" => view.rate_spent = true,
            "full" => view.concurrency_spent = true,
            "back" => view.returns_in_ms = value.parse().unwrap(),
            "p95" => view.p95_total_ms = value.parse().unwrap(),
            "mean" => view.mean_total_ms = value.parse().unwrap(),
            "first" => view.ewma_first_byte_ms = value.parse().unwrap(),
            "flying" => view.in_flight = value.parse().unwrap(),
            state => view.state = serde_json::from_value::<DeploymentState>(state.into()).unwrap(),
        }
    }
    view
}

/// The ids of a plan: ranked, then `|` and the deferred ones when there are any.
pub(crate) fn plan(compiled: &Compiled, plan: &super::RoutePlan) -> String {
    let ids = |all: &[DeploymentIdx]| {
        let ids: Vec<Arc<str>> = all.iter().map(|idx| Arc::clone(&compiled.deployment(*idx).id)).collect();
        ids.join(" ")
    };
    let (ranked, deferred) = (ids(&plan.ranked), ids(&plan.deferred));
    let mut text = if deferred.is_empty() { ranked } else { format!("{ranked} | {deferred}") };
    for (kept, name) in [(&plan.after_too_long, "too long"), (&plan.after_filtered, "filtered")] {
        if !kept.is_empty() {
            text.push_str(&format!(" ({name}: {})", ids(kept)));
        }
    }
    text.trim().to_owned()
}
