//! Metrics: every name, label and bucket once, in Prometheus's text format on the admin listener.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use router_core::chat::Usage;
use router_core::money::Usd;

/// Seconds: from a local model's 5 ms to a reasoning model's ten minutes.
const SECONDS: [f64; 16] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 600.0];
/// Seconds of our own: 10 us to 100 ms.
const OVERHEAD_SECONDS: [f64; 12] =
    [1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 1e-1];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    model: Arc<str>,
    deployment: Arc<str>,
    outcome: Arc<str>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AttemptLabels {
    deployment: Arc<str>,
    failure: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ClassLabel {
    class: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CodeLabel {
    code: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DeploymentLabel {
    deployment: Arc<str>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct BudgetLabel {
    budget: Arc<str>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct HashLabel {
    hash: Arc<str>,
}

/// One finished request, as the metrics see it.
pub(crate) struct RequestDone<'a> {
    /// The model asked for: a name of the configuration, never free text.
    pub(crate) model: &'a Arc<str>,
    /// Who answered; empty: nobody.
    pub(crate) deployment: &'a Arc<str>,
    /// `success`, an error code, or `cancelled`.
    pub(crate) outcome: &'a Arc<str>,
    /// Seconds in all.
    pub(crate) seconds: f64,
    /// Seconds to the first byte, if one came.
    pub(crate) first_byte_seconds: Option<f64>,
    /// Seconds of our own.
    pub(crate) overhead_seconds: f64,
    /// Cost of all attempts.
    pub(crate) cost: Usd,
    /// Tokens of all attempts.
    pub(crate) usage: &'a Usage,
}

/// All metrics of a process.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    attempts: Family<AttemptLabels, Counter>,
    duration: Histogram,
    first_byte: Histogram,
    overhead: Histogram,
    cost: Counter<f64, AtomicU64>,
    tokens: Family<ClassLabel, Counter>,
    breaker: Family<DeploymentLabel, Gauge>,
    budget_left: Family<BudgetLabel, Gauge<f64, AtomicU64>>,
    overruns: Counter,
    overrun_usd: Counter<f64, AtomicU64>,
    cut_short: Counter,
    spool_bytes: Gauge,
    config_info: Family<HashLabel, Gauge>,
    in_flight: Gauge,
    refusals: Family<CodeLabel, Counter>,
    rescues: Family<OutcomeLabel, Counter>,
    hedges: Family<OutcomeLabel, Counter>,
}

impl Metrics {
    /// Registers every metric.
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("router");
        let seconds = || Histogram::new(SECONDS);
        let all = Self {
            requests: Family::default(),
            attempts: Family::default(),
            duration: seconds(),
            first_byte: seconds(),
            overhead: Histogram::new(OVERHEAD_SECONDS),
            cost: Counter::default(),
            tokens: Family::default(),
            breaker: Family::default(),
            budget_left: Family::default(),
            overruns: Counter::default(),
            overrun_usd: Counter::default(),
            cut_short: Counter::default(),
            spool_bytes: Gauge::default(),
            config_info: Family::default(),
            in_flight: Gauge::default(),
            refusals: Family::default(),
            rescues: Family::default(),
            hedges: Family::default(),
            registry: Registry::default(),
        };
        registry.register("requests", "Requests that ended", all.requests.clone());
        registry.register(
            "attempts",
            "Attempts that ended; failure is empty for a success",
            all.attempts.clone(),
        );
        let s = Unit::Seconds;
        registry.register_with_unit("request_duration", "Whole requests", s.clone(), all.duration.clone());
        registry.register_with_unit(
            "first_byte",
            "To the first byte of the answer",
            s.clone(),
            all.first_byte.clone(),
        );
        registry.register_with_unit("overhead", "The router's own time", s, all.overhead.clone());
        registry.register("cost_usd", "Cost of all attempts", all.cost.clone());
        registry.register("tokens", "Tokens of all attempts, by class", all.tokens.clone());
        registry.register(
            "breaker_state",
            "0 closed, 1 half open or on the ramp, 2 open",
            all.breaker.clone(),
        );
        all.register_ways(&mut registry);
        all.register_money(&mut registry);
        registry.register("spool_bytes", "Ledger records not yet in the database", all.spool_bytes.clone());
        registry.register("config_info", "The configuration in force", all.config_info.clone());
        registry.register("requests_in_flight", "Requests being served", all.in_flight.clone());
        registry.register("refusals", "Requests refused before they were decided", all.refusals.clone());
        Self { registry, ..all }
    }

    fn register_ways(&self, registry: &mut Registry) {
        registry.register(
            "rescues",
            "Streamed answers that broke off after their client had seen some: completed, failed, impossible, cancelled",
            self.rescues.clone(),
        );
        registry.register(
            "hedges",
            "Second attempts beside a late first one: won, lost, failed, cancelled, or needed, as the first failed",
            self.hedges.clone(),
        );
    }

    fn register_money(&self, registry: &mut Registry) {
        registry.register(
            "budget_left_usd",
            "Of each budget's limit, neither spent nor held, as far as this process knows",
            self.budget_left.clone(),
        );
        registry.register(
            "budget_overruns",
            "Attempts that cost more than was held for them",
            self.overruns.clone(),
        );
        registry.register("budget_overrun_usd", "By how much, in all", self.overrun_usd.clone());
        registry.register(
            "budget_cut_streams",
            "Streams that were ended because the money was",
            self.cut_short.clone(),
        );
    }

    /// An attempt cost more than was held for it.
    pub(crate) fn overrun(&self, over: Usd) {
        self.overruns.inc();
        self.overrun_usd.inc_by(over.to_f64());
    }

    /// A stream was ended because the money was.
    pub(crate) fn cut_short(&self) {
        self.cut_short.inc();
    }

    /// What is left of the budgets in use, read now.
    pub(crate) fn budgets_left(&self, rests: impl IntoIterator<Item = (Arc<str>, Usd)>) {
        self.budget_left.clear();
        for (budget, left) in rests {
            self.budget_left.get_or_create(&BudgetLabel { budget }).set(left.to_f64());
        }
    }

    /// A request was refused before it was decided: it is in no ledger.
    pub(crate) fn refused(&self, code: &'static str) {
        self.refusals.get_or_create(&CodeLabel { code }).inc();
    }

    /// A request began.
    pub(crate) fn request_started(&self) {
        self.in_flight.inc();
    }

    /// A request ended.
    pub(crate) fn request_done(&self, done: &RequestDone<'_>) {
        self.in_flight.dec();
        let labels = RequestLabels {
            model: Arc::clone(done.model),
            deployment: Arc::clone(done.deployment),
            outcome: Arc::clone(done.outcome),
        };
        self.requests.get_or_create(&labels).inc();
        self.duration.observe(done.seconds);
        self.overhead.observe(done.overhead_seconds);
        if let Some(seconds) = done.first_byte_seconds {
            self.first_byte.observe(seconds);
        }
        self.cost.inc_by(done.cost.to_f64());
        let usage = done.usage;
        let classes = [
            ("input", usage.input_tokens),
            ("cached_input", usage.cached_input_tokens),
            ("cache_write", usage.cache_write_tokens + usage.cache_write_1h_tokens),
            ("output", usage.output_tokens),
            ("reasoning", usage.reasoning_tokens),
        ];
        for (class, tokens) in classes {
            if tokens > 0 {
                self.tokens.get_or_create(&ClassLabel { class }).inc_by(tokens);
            }
        }
    }

    /// An attempt ended; `failure` is empty for a success.
    pub(crate) fn attempt_done(&self, deployment: &Arc<str>, failure: &'static str) {
        let labels = AttemptLabels { deployment: Arc::clone(deployment), failure };
        self.attempts.get_or_create(&labels).inc();
    }

    /// An answer broke off, and this became of it.
    pub(crate) fn rescue_done(&self, outcome: &'static str) {
        self.rescues.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// A second attempt raced with a first, and this became of it.
    pub(crate) fn hedge_done(&self, outcome: &'static str) {
        self.hedges.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// The text form; gauges that mirror other state are read now.
    pub(crate) fn encode(
        &self,
        config_hash: &Arc<str>,
        spool_bytes: u64,
        breakers: impl Iterator<Item = (Arc<str>, i64)>,
    ) -> String {
        self.config_info.clear();
        self.config_info.get_or_create(&HashLabel { hash: Arc::clone(config_hash) }).set(1);
        self.spool_bytes.set(i64::try_from(spool_bytes).unwrap_or(i64::MAX));
        self.breaker.clear();
        for (deployment, state) in breakers {
            self.breaker.get_or_create(&DeploymentLabel { deployment }).set(state);
        }
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            text.clear();
        }
        text
    }
}
