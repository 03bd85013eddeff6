//! Deployments: a provider that is on makes each catalog model of its host one; `deployments` adds and changes. Which are
//! on, and which are simulated because no real provider is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;

use crate::capability::Capabilities;
use crate::catalog::{self, Entry};
use crate::compiled::{ANY, Deployment, Provider, TimeLimits};
use crate::config::check::provider::Resolved;
use crate::config::check::{Ground, Report, hash};
use crate::config::file;
use crate::config::{Credential, NoteKind, SimulatedSettings};
use crate::money::Usd;
use crate::price::{PriceList, Rates};

/// What can be called, and what could be if its provider were on.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    pub providers: Vec<Provider>,
    pub credentials: Vec<Vec<Credential>>,
    /// Ascending by id.
    pub deployments: Vec<Deployment>,
    /// Ids of deployments whose provider is off.
    pub off: BTreeSet<String>,
    pub simulated: Option<SimulatedSettings>,
}

/// One that could be called: not yet known whether it is.
struct Candidate<'a> {
    provider: &'a Resolved,
    deployment: Deployment,
}

pub(super) fn fleet(ground: &Ground<'_>, providers: &[Resolved], report: &mut Report) -> Fleet {
    let mut all = from_catalog(ground, providers);
    written(ground, providers, &mut all, report);

    let mut fleet = Fleet::default();
    for provider in providers.iter().filter(|p| p.on) {
        fleet.providers.push(Provider {
            name: provider.name.as_str().into(),
            host: provider.host.as_deref().map(Into::into),
            dialect: provider.dialect,
            base_url: provider.base_url.as_str().into(),
            keys: u16::try_from(provider.credentials.len()).unwrap_or(u16::MAX),
            simulated: provider.simulated.is_some(),
        });
        fleet.credentials.push(provider.credentials.clone());
    }
    let simulated = providers.iter().find(|p| p.on && p.simulated.is_some());
    fleet.simulated = simulated.and_then(|p| p.simulated);
    let nobody_real = !providers.iter().any(|p| p.on && p.simulated.is_none());
    let named = referred_to(ground.file);
    if let Some(simulated) = simulated {
        by_name(simulated, &named, &mut all, ground);
        if nobody_real {
            let text =
                "no real provider is on: every answer is SIMULATED and worth nothing; set a provider's key";
            report.note(NoteKind::Simulated, "providers", text);
        }
    }
    for (id, mut candidate) in all {
        let stands_in = simulated.filter(|_| nobody_real && named.contains(id.as_str()));
        match stands_in.filter(|_| !candidate.provider.on).or(Some(candidate.provider).filter(|p| p.on)) {
            Some(provider) => {
                let at = fleet.providers.iter().position(|p| *p.name == *provider.name);
                candidate.deployment.provider = provider.name.as_str().into();
                candidate.deployment.provider_idx =
                    at.and_then(|at| u16::try_from(at).ok()).unwrap_or(u16::MAX);
                candidate.deployment.simulated = provider.simulated.is_some();
                fleet.deployments.push(candidate.deployment);
            }
            None => {
                fleet.off.insert(id);
            }
        }
    }
    if fleet.deployments.len() >= usize::from(u16::MAX) {
        report.problem("deployments", format!("{} are too many: at most 65534", fleet.deployments.len()));
    }
    fleet
}

fn from_catalog<'a>(ground: &Ground<'_>, providers: &'a [Resolved]) -> BTreeMap<String, Candidate<'a>> {
    let mut all = BTreeMap::new();
    for provider in providers {
        let Some(host) = &provider.host else { continue };
        for entry in
            ground.catalog.of_host(host).filter(|e| !e.capabilities.contains(Capabilities::EMBEDDINGS))
        {
            let id = format!("{}/{}", provider.name, entry.model);
            let written = bare(&id);
            let deployment = build(ground, provider, &written, Some(entry));
            all.insert(id, Candidate { provider, deployment });
        }
    }
    all
}

/// A deployment of which only the id is written.
fn bare(id: &str) -> file::Deployment {
    file::Deployment {
        id: id.to_owned(),
        upstream_model: None,
        model: None,
        region: None,
        weight: 1,
        price_factor: None,
        price_usd_per_million: None,
        per_request_usd: None,
        max_input_tokens: None,
        max_output_tokens: None,
        capabilities: None,
        quality: None,
        limits: crate::compiled::Limits::default(),
        time_limits: crate::catalog::TimeLimits::default(),
    }
}

fn written<'a>(
    ground: &Ground<'_>,
    providers: &'a [Resolved],
    all: &mut BTreeMap<String, Candidate<'a>>,
    report: &mut Report,
) {
    let mut seen = BTreeSet::new();
    for (at, written) in ground.file.deployments.iter().enumerate() {
        let path = format!("deployments[{at}]");
        if !seen.insert(written.id.as_str()) {
            report.problem(format!("{path}.id"), format!("\"{}\" is here twice", written.id));
        }
        bounds(written, &path, report);
        let (name, upstream) = written.id.split_once('/').unwrap_or((&written.id, ""));
        let Some(provider) = providers.iter().find(|p| p.name == name) else {
            report.problem(format!("{path}.id"), format!("no provider \"{name}\" under `providers`"));
            continue;
        };
        if upstream.is_empty() || written.id.chars().any(|c| c.is_whitespace() || c.is_control()) {
            report.problem(format!("{path}.id"), format!("\"{}\" is not provider/name", written.id));
            continue;
        }
        let entry = entry(ground, provider, written);
        let deployment = build(ground, provider, written, entry);
        if provider.on && provider.simulated.is_none() {
            doubts(&deployment, entry, &path, report);
        }
        all.insert(written.id.clone(), Candidate { provider, deployment });
    }
}

fn bounds(written: &file::Deployment, path: &str, report: &mut Report) {
    let limits = &written.limits;
    let times = &written.time_limits;
    for (name, value) in [
        ("max_input_tokens", written.max_input_tokens),
        ("max_output_tokens", written.max_output_tokens),
        ("limits.rpm", limits.rpm),
        ("limits.tpm", limits.tpm),
        ("limits.concurrency", limits.concurrency.map(u64::from)),
        ("time_limits.first_byte_ms", times.first_byte_ms),
        ("time_limits.answer_ms", times.answer_ms),
        ("time_limits.idle_ms", times.idle_ms),
    ] {
        if value == Some(0) {
            report.problem(format!("{path}.{name}"), "must be above zero");
        }
    }
    if written.price_factor.is_some_and(|f| !(0.0..=100.0).contains(&f)) {
        report.problem(format!("{path}.price_factor"), "must be in 0..=100");
    }
    if written.per_request_usd.is_some_and(|fee| fee < Usd::ZERO) {
        report.problem(format!("{path}.per_request_usd"), "is negative");
    }
    if let Some(quality) = written.quality {
        super::share(quality, &format!("{path}.quality"), report);
    }
}

/// Its catalog entry: of its own host, else of whichever host has a model of that name.
fn entry<'a>(ground: &Ground<'a>, provider: &Resolved, written: &file::Deployment) -> Option<&'a Entry> {
    let upstream = upstream(written);
    let model = written.model.as_deref().unwrap_or(upstream);
    let host = provider.host.as_deref().unwrap_or_default();
    let own = ground.catalog.entry(host, model);
    if written.model.is_none() {
        return own;
    }
    let elsewhere = || {
        let of = model.split_once('/').and_then(|(host, model)| ground.catalog.entry(host, model));
        of.or_else(|| ground.catalog.entries.iter().find(|e| e.model == model))
    };
    own.or_else(elsewhere).or_else(|| ground.catalog.entry(host, upstream))
}

fn upstream(written: &file::Deployment) -> &str {
    let tail = written.id.split_once('/').map_or("", |(_, tail)| tail);
    written.upstream_model.as_deref().unwrap_or(tail)
}

fn build(
    ground: &Ground<'_>,
    provider: &Resolved,
    written: &file::Deployment,
    entry: Option<&Entry>,
) -> Deployment {
    let capabilities =
        written.capabilities.or(entry.map(|e| e.capabilities)).unwrap_or(Capabilities::empty());
    let limits = written.time_limits.or(limits_of_kind(ground, written, entry));
    let defaults = &ground.file.reliability.time_limits;
    let model = entry.map(|e| e.model.as_str()).or(written.model.as_deref());
    Deployment {
        id: written.id.as_str().into(),
        provider: provider.name.as_str().into(),
        provider_idx: u16::MAX,
        upstream_model: upstream(written).into(),
        model: model.unwrap_or(upstream(written)).into(),
        region: written.region.as_deref().or(provider.region.as_deref()).map(Into::into),
        capabilities,
        max_input_tokens: written.max_input_tokens.or(entry.and_then(|e| e.max_input_tokens)),
        max_output_tokens: written.max_output_tokens.or(entry.and_then(|e| e.max_output_tokens)),
        price: price(written, entry),
        quality: written.quality.or(entry.and_then(|e| e.quality.as_ref()).map(|q| q.value)),
        weight: written.weight,
        limits: written.limits,
        time_limits: TimeLimits {
            connect: Duration::from_millis(defaults.connect_ms),
            first_byte: Duration::from_millis(defaults.first_byte_ms),
            answer: Duration::from_millis(defaults.answer_ms),
            idle: Duration::from_millis(defaults.idle_ms),
        }
        .under(limits),
        token_scale_ppm: 1_000_000,
        simulated: false,
    }
}

/// Time limits of what it is: its catalog entry's own, then those of a model that reasons. One of which neither the catalog
/// nor the file says what it can do is not known not to reason, and must not be cut for it: the limits that nobody wrote
/// are those of a model that does.
fn limits_of_kind(
    ground: &Ground<'_>,
    written: &file::Deployment,
    entry: Option<&Entry>,
) -> catalog::TimeLimits {
    let own = entry.and_then(|e| e.time_limits).unwrap_or_default();
    match written.capabilities.or(entry.map(|e| e.capabilities)) {
        Some(known) if known.contains(Capabilities::REASONING) => own.or(ground.catalog.reasoning),
        Some(_) => own,
        None => {
            let (given, defaults) = (&ground.file.reliability.time_limits, file::TimeLimits::default());
            let unless = |written: bool, ms: Option<u64>| ms.filter(|_| !written);
            let reasoning = ground.catalog.reasoning;
            own.or(catalog::TimeLimits {
                first_byte_ms: unless(given.first_byte_ms != defaults.first_byte_ms, reasoning.first_byte_ms),
                answer_ms: unless(given.answer_ms != defaults.answer_ms, reasoning.answer_ms),
                idle_ms: unless(given.idle_ms != defaults.idle_ms, reasoning.idle_ms),
            })
        }
    }
}

/// Its price list. One that is written replaces the catalog's whole: a free model's cached input is free too.
fn price(written: &file::Deployment, entry: Option<&Entry>) -> Option<PriceList> {
    let listed = entry.filter(|_| written.price_usd_per_million.is_none());
    let base = written.price_usd_per_million.or(listed.and_then(|e| e.price_usd_per_million))?;
    let factor_ppm = (written.price_factor.unwrap_or(1.0) * 1e6).round() as u32;
    let per_request = written.per_request_usd.or(entry.and_then(|e| e.per_request_usd)).unwrap_or_default();
    Some(price_list(base, listed, per_request, factor_ppm))
}

fn price_list(base: Rates, listed: Option<&Entry>, per_request: Usd, factor_ppm: u32) -> PriceList {
    let long_context = listed.map(|e| e.long_context.clone()).unwrap_or_default();
    let service_tiers: Vec<_> = listed.iter().flat_map(|e| &e.service_tiers).map(|(t, r)| (*t, *r)).collect();
    let version = hash(&json!({
        "base": base, "long_context": long_context, "service_tiers": service_tiers,
        "per_request": per_request, "factor_ppm": factor_ppm
    }));
    PriceList { base, long_context, service_tiers, per_request, factor_ppm, version: version.into() }
}

fn doubts(deployment: &Deployment, entry: Option<&Entry>, path: &str, report: &mut Report) {
    if !deployment.price.as_ref().is_some_and(PriceList::is_complete) {
        let text = "has no price, in the catalog or here: its calls are booked at no cost";
        report.note(NoteKind::Suspicious, path, text);
    }
    if entry.is_none() && deployment.capabilities.is_empty() {
        let text = "has no capabilities, in the catalog or here: it gets plain text requests only";
        report.note(NoteKind::Suspicious, path, text);
    }
}

/// The simulated provider's deployments: one for each that the file refers to, and one for all other names.
fn by_name<'a>(
    simulated: &'a Resolved,
    named: &BTreeSet<&str>,
    all: &mut BTreeMap<String, Candidate<'a>>,
    ground: &Ground<'_>,
) {
    let twins: Vec<(String, Option<Deployment>)> = named
        .iter()
        .filter_map(|id| all.get(*id))
        .map(|twin| (twin.deployment.model.to_string(), Some(twin.deployment.clone())))
        .chain([(ANY.to_owned(), None)])
        .collect();
    for (model, twin) in twins {
        let id = format!("{}/{model}", simulated.name);
        if all.contains_key(&id) {
            continue;
        }
        let mut deployment = build(ground, simulated, &bare(&id), None);
        let settings = simulated.simulated.map(|s| s.price);
        deployment.price = settings.map(|rates| price_list(rates, None, Usd::ZERO, 1_000_000));
        deployment.capabilities = Capabilities::all() - Capabilities::EMBEDDINGS - Capabilities::AUDIO_OUT;
        if let Some(twin) = twin {
            deployment.capabilities = twin.capabilities;
            deployment.max_input_tokens = twin.max_input_tokens;
            deployment.max_output_tokens = twin.max_output_tokens;
            deployment.quality = twin.quality;
        }
        all.insert(id, Candidate { provider: simulated, deployment });
    }
}

/// Everything that the file names where a deployment can stand.
fn referred_to(file: &file::File) -> BTreeSet<&str> {
    let rules = file.rules.iter().flat_map(|rule| {
        let then = &rule.then;
        [&then.prefer, &then.avoid].into_iter().chain(&then.models).chain(&then.only).flatten()
    });
    let models = file.models.values().flat_map(|m| {
        [&m.deployments, &m.fallbacks, &m.context_fallbacks, &m.filter_fallbacks].into_iter().flatten()
    });
    file.tiers.values().flatten().chain(models).chain(rules).map(String::as_str).collect()
}
