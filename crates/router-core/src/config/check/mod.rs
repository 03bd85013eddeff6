//! The file, the catalog and what exists -> a configuration that holds, or every problem with its path.

mod budget;
mod deployment;
mod model;
mod names;
mod postponed;
mod provider;
mod rule;
mod server;
mod tenant;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::attributes::AttributeSet;
use crate::catalog::Catalog;
use crate::compiled::{BreakerPolicy, Compiled, HedgePolicy, Reliability, RetryPolicy, Selection, Tier};
use crate::config::check::names::Names;
use crate::config::{Checked, File, Known, Note, NoteKind, Problem, file};

/// What was found so far.
#[derive(Debug, Default)]
struct Report {
    problems: Vec<Problem>,
    notes: Vec<Note>,
}

impl Report {
    fn problem(&mut self, path: impl Into<String>, text: impl Into<String>) {
        self.problems.push(Problem::new(path, text));
    }

    fn note(&mut self, kind: NoteKind, path: impl Into<String>, text: impl Into<String>) {
        self.notes.push(Note::new(kind, path, text));
    }
}

/// What everything is resolved against.
struct Ground<'a> {
    file: &'a File,
    catalog: &'a Catalog,
    known: &'a Known,
}

/// Attributes that selection itself reads, whatever the rules do.
const SELECTION_READS: AttributeSet = AttributeSet::MODEL
    .union(AttributeSet::INPUT_TOKENS)
    .union(AttributeSet::EXPECTED_OUTPUT_TOKENS)
    .union(AttributeSet::MAX_TOKENS)
    .union(AttributeSet::CAPABILITIES)
    .union(AttributeSet::LATENCY_BUDGET_MS)
    .union(AttributeSet::QUALITY);

/// Checks a configuration and makes of it what serves requests.
///
/// # Errors
/// Every problem, with its path.
pub fn check(file: &File, catalog: &Catalog, known: &Known) -> Result<Checked, Vec<Problem>> {
    let ground = Ground { file, catalog, known };
    let mut report = Report::default();
    postponed::check(file, &mut report);
    let settings = server::settings(file, &mut report);
    let providers = provider::resolve(&ground, &mut report);
    let fleet = deployment::fleet(&ground, &providers, &mut report);
    let names = Names::new(file, &providers, &fleet, &mut report);

    let tiers = tiers(file, &names, &mut report);
    let models = model::models(file, &names, &mut report);
    let rules = rule::rules(file, &names, &tiers, &mut report);
    let selection = selection(file, &tiers, &mut report);
    let reliability = reliability(file, &mut report);
    let keys = tenant::keys(file, &names, &mut report);
    let budgets = budget::budgets(file, &fleet, &mut report);
    let webhooks = budget::webhooks(file, &mut report);

    let (Some((server, ledger, decision_log)), true) = (settings, report.problems.is_empty()) else {
        report.problems.sort();
        report.problems.dedup();
        return Err(report.problems);
    };
    let reads = rules.iter().map(|rule| rule.reads).fold(SELECTION_READS, AttributeSet::union);
    let compiled = Compiled {
        config_hash: hash(&without_password(file)).into(),
        catalog_hash: hash(catalog).into(),
        providers: fleet.providers,
        provider_names: fleet.provider_names,
        deployments: fleet.deployments,
        models,
        tiers: with_empty(tiers),
        rules,
        reads,
        selection,
        reliability,
        keys,
        budgets,
    };
    let notes = report.notes;
    let (credentials, simulated) = (fleet.credentials, fleet.simulated);
    Ok(Checked {
        compiled: Arc::new(compiled),
        server,
        ledger,
        decision_log,
        credentials,
        simulated,
        webhooks,
        notes,
    })
}

/// The tier of a rule that may use nothing, because all it names is off. Not a name that a file could give.
const EMPTY_TIER: &str = "";

fn with_empty(mut tiers: Vec<Tier>) -> Vec<Tier> {
    tiers.push(Tier { name: EMPTY_TIER.into(), deployments: Vec::new() });
    tiers
}

fn tiers(file: &File, names: &Names<'_>, report: &mut Report) -> Vec<Tier> {
    let mut tiers = Vec::new();
    for (name, members) in &file.tiers {
        let path = format!("tiers.{name}");
        if members.is_empty() {
            report.problem(&path, "names no deployment");
        }
        let deployments = names.deployments(members, &path, report);
        if deployments.is_empty() && !members.is_empty() {
            let text = "is empty: all its deployments are off, requests for it are refused";
            report.note(NoteKind::LeftOut, &path, text);
        }
        tiers.push(Tier { name: name.as_str().into(), deployments });
    }
    if tiers.len() >= usize::from(u16::MAX) {
        report.problem("tiers", "too many");
    }
    tiers
}

fn selection(file: &File, tiers: &[Tier], report: &mut Report) -> Selection {
    let written = &file.selection;
    let default_tier = written.default_tier.as_ref().and_then(|name| {
        let at = tiers.iter().position(|tier| *tier.name == **name);
        if at.is_none() {
            report.problem("selection.default_tier", format!("no tier \"{name}\""));
        }
        at.and_then(|at| u16::try_from(at).ok())
    });
    share(written.quality, "selection.quality", report);
    if written.usd_per_sec.nano() < 0 {
        report.problem("selection.usd_per_sec", format!("{} is negative", written.usd_per_sec));
    }
    share(written.near_equal_percent / 100.0, "selection.near_equal_percent", report);
    Selection {
        default_tier,
        quality: written.quality,
        usd_per_second: written.usd_per_sec,
        near_equal_ppm: (written.near_equal_percent * 10_000.0) as u32,
    }
}

/// Reports a number that is not in 0..=1.
fn share(value: f64, path: &str, report: &mut Report) {
    if !(0.0..=1.0).contains(&value) {
        report.problem(path, format!("{value} is not a share"));
    }
}

impl From<&file::Retries> for RetryPolicy {
    fn from(retries: &file::Retries) -> Self {
        Self {
            budget_percent: retries.budget_percent,
            per_sec: retries.per_sec,
            attempts: retries.attempts,
            backoff_base: Duration::from_millis(retries.backoff_base_ms),
            backoff_cap: Duration::from_millis(retries.backoff_cap_ms),
        }
    }
}

impl From<&file::Breaker> for BreakerPolicy {
    fn from(breaker: &file::Breaker) -> Self {
        Self {
            enabled: breaker.enabled,
            window: Duration::from_secs(breaker.window_secs),
            error_rate: breaker.error_rate,
            min_requests: breaker.min_requests,
            min_failures: breaker.min_failures,
            consecutive: breaker.consecutive,
            cooldown: Duration::from_secs(breaker.cooldown_secs),
            max_cooldown: Duration::from_secs(breaker.max_cooldown_secs),
            ramp_step: Duration::from_secs(breaker.ramp_step_secs),
        }
    }
}

fn reliability(file: &File, report: &mut Report) -> Reliability {
    let (breaker, retries) = (&file.reliability.breaker, &file.reliability.retries);
    let (limits, probe) = (&file.reliability.time_limits, &file.reliability.probe);
    share(breaker.error_rate, "reliability.breaker.error_rate", report);
    let positive = [
        ("time_limits.connect_ms", limits.connect_ms),
        ("time_limits.first_byte_ms", limits.first_byte_ms),
        ("time_limits.answer_ms", limits.answer_ms),
        ("time_limits.idle_ms", limits.idle_ms),
        ("time_limits.deadline_ms", limits.deadline_ms),
        ("breaker.window_secs", breaker.window_secs),
        ("breaker.min_requests", breaker.min_requests.into()),
        ("breaker.min_failures", breaker.min_failures.into()),
        ("breaker.consecutive", breaker.consecutive.into()),
        ("breaker.cooldown_secs", breaker.cooldown_secs),
        ("breaker.ramp_step_secs", breaker.ramp_step_secs),
        ("retries.attempts", retries.attempts.into()),
        ("probe.interval_secs", probe.interval_secs),
    ];
    for (path, _) in positive.into_iter().filter(|(_, value)| *value == 0) {
        report.problem(format!("reliability.{path}"), "must be above zero");
    }
    if breaker.max_cooldown_secs < breaker.cooldown_secs {
        report.problem("reliability.breaker.max_cooldown_secs", "is below cooldown_secs");
    }
    if retries.backoff_cap_ms < retries.backoff_base_ms {
        report.problem("reliability.retries.backoff_cap_ms", "is below backoff_base_ms");
    }
    let hedging = &file.reliability.hedging;
    if !(0.0..=100.0).contains(&hedging.max_extra_cost_percent) {
        let text = format!("{} is no percentage", hedging.max_extra_cost_percent);
        report.problem("reliability.hedging.max_extra_cost_percent", text);
    }
    // In range: at most a million.
    let max_extra_cost_ppm = (hedging.max_extra_cost_percent * 1e4).round() as u32;
    Reliability {
        deadline: Duration::from_millis(limits.deadline_ms),
        retries: retries.into(),
        breaker: breaker.into(),
        probe: probe.enabled.then(|| Duration::from_secs(probe.interval_secs)),
        rescue: file.reliability.rescue.enabled,
        hedging: hedging.enabled.then_some(HedgePolicy { max_extra_cost_ppm }),
    }
}

/// The file without what the ledger's URL says of credentials: its hash is shown to whoever asks.
fn without_password(file: &File) -> File {
    let mut shown = file.clone();
    let url = shown.ledger.url.split('?').next().unwrap_or_default();
    if let Some((scheme, rest)) = url.split_once("://").filter(|(scheme, _)| scheme.starts_with("postgres")) {
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        shown.ledger.url = format!("{scheme}://{host}");
    }
    shown
}

/// The first 16 hex digits of the SHA-256 of a value's JSON. Members come in a fixed order and secrets redacted, so
/// equal configurations have equal hashes whatever their keys are.
fn hash(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).unwrap_or_default();
    hex(&Sha256::digest(text.as_bytes())).chars().take(16).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
