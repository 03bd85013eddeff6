//! `providers`: which are on, with which address, dialect and credentials.

use crate::chat::DialectId;
use crate::compiled::DataCollection;
use crate::config::check::{Ground, Report};
use crate::config::file::{self, Faults};
use crate::config::{Credential, KnownHost, NoteKind, REQUIRED, SimulatedSettings};
use crate::price::Rates;

/// A provider as resolved.
#[derive(Debug)]
pub(super) struct Resolved {
    pub name: String,
    /// The catalog's id of its host.
    pub host: Option<String>,
    pub dialect: DialectId,
    pub base_url: String,
    pub credentials: Vec<Credential>,
    pub region: Option<String>,
    pub data_collection: Option<DataCollection>,
    pub on: bool,
    /// It has a problem of its own; what refers to it is not reported once more.
    pub broken: bool,
    /// Settings, when it is the simulated one.
    pub simulated: Option<SimulatedSettings>,
}

/// All providers of the file, ascending by name, and the simulated one if the file does not name it.
pub(super) fn resolve(ground: &Ground<'_>, report: &mut Report) -> Vec<Resolved> {
    let mut all: Vec<Resolved> =
        ground.file.providers.iter().map(|(name, written)| one(name, written, ground, report)).collect();
    let built_in = ground.known.hosts.iter().find(|h| h.simulated);
    if let Some(host) = built_in.filter(|_| !all.iter().any(|p| p.simulated.is_some())) {
        if all.iter().any(|p| p.name == host.id) {
            let text = "is the name of the simulated provider, which is always there; choose another";
            report.problem(format!("providers.{}", host.id), text);
        } else {
            all.push(one(&host.id, &file::Provider::default(), ground, report));
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    if all.iter().filter(|p| p.simulated.is_some()).count() > 1 {
        report.problem("providers", "only one can be simulated");
    }
    if !all.iter().any(|p| p.on || p.broken) {
        report.problem("providers", "none is on, and the simulated one is switched off");
    }
    all
}

fn one(name: &str, written: &file::Provider, ground: &Ground<'_>, report: &mut Report) -> Resolved {
    let path = format!("providers.{name}");
    let before = report.problems.len();
    if name.is_empty() || name.chars().any(|c| c == '/' || c.is_whitespace() || c.is_control()) {
        report.problem(&path, format!("\"{name}\" is no name for a provider: no slash, no space"));
    }
    let host = host(name, written, ground, &path, report);
    let base_url = base_url(written, host, &path, report);
    let dialect = written.dialect.or(host.map(|h| h.dialect));
    if dialect.is_none() && host.is_none() && written.host.is_none() {
        report
            .problem(&path, format!("\"{name}\" is not a known host, so it needs `dialect` and `base_url`"));
    }
    let simulated = simulated(written, host, &path, report);
    let credentials = credentials(written, &path, report);
    let off = off(written, host, &credentials);
    if let Some(why) = off.filter(|_| simulated.is_none()) {
        if written.required {
            report.problem(&path, format!("{REQUIRED}, and is off: {why}"));
        } else {
            report.note(NoteKind::ProviderOff, &path, format!("is off: {why}"));
        }
    }
    if credentials.iter().any(|c| c.secret.expose().chars().any(char::is_control)) {
        report.problem(&path, "a key holds a control character, such as a line break at its end");
    }
    Resolved {
        name: name.to_owned(),
        host: host.map(|h| h.id.clone()),
        dialect: dialect.unwrap_or_default(),
        base_url,
        credentials,
        region: written.region.clone(),
        data_collection: written.data_collection,
        on: off.is_none(),
        broken: report.problems.len() > before,
        simulated,
    }
}

fn host<'a>(
    name: &str,
    written: &file::Provider,
    ground: &Ground<'a>,
    path: &str,
    report: &mut Report,
) -> Option<&'a KnownHost> {
    let Some(id) = &written.host else { return ground.known.host(name) };
    let host = ground.known.host(id);
    if host.is_none() {
        let known: Vec<&str> = ground.known.hosts.iter().map(|h| h.id.as_str()).collect();
        report
            .problem(format!("{path}.host"), format!("no known host \"{id}\"; one of: {}", known.join(", ")));
    }
    host
}

fn base_url(written: &file::Provider, host: Option<&KnownHost>, path: &str, report: &mut Report) -> String {
    let path = format!("{path}.base_url");
    let Some(url) = &written.base_url else {
        match host {
            Some(KnownHost { base_url: Some(url), .. }) => return url.trim_end_matches('/').to_owned(),
            Some(h) if !h.simulated => {
                report.problem(path, format!("each customer of {} has another: it must be given", h.id));
            }
            None if written.dialect.is_some() => {
                report.problem(path, "is needed where the host is not known");
            }
            _ => {}
        }
        return String::new();
    };
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let fault = match rest {
        None => Some("must begin with http:// or https://"),
        Some(rest) if rest.contains('@') => Some("must not hold a user or password; use `api_key`"),
        Some(rest) if rest.contains(['?', '#']) => Some("must not hold a query or a fragment"),
        Some(rest) if rest.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') => {
            Some("must not hold spaces, control characters or backslashes")
        }
        Some(rest) if authority(rest).is_none() => Some("has no valid host and port"),
        Some(_) => None,
    };
    if let Some(fault) = fault {
        report.problem(&path, fault);
    }
    if written.dialect.is_some() && host.is_some_and(|h| Some(h.dialect) != written.dialect) {
        report.note(NoteKind::Suspicious, &path, "the dialect is not the one its host speaks");
    }
    url.trim_end_matches('/').to_owned()
}

/// The host of `host[:port][/path]`, when it is one.
fn authority(rest: &str) -> Option<&str> {
    let authority = rest.split('/').next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let port_is_good = port.is_none_or(|p| p.parse::<u16>().is_ok_and(|p| p > 0));
    (!host.is_empty() && port_is_good).then_some(host)
}

/// The keys that are there. One that is `null` or empty is a variable that is not set.
fn credentials(written: &file::Provider, path: &str, report: &mut Report) -> Vec<Credential> {
    if written.api_key.is_some() && written.keys.is_some() {
        report.problem(format!("{path}.keys"), "give `api_key` or `keys`, not both");
    }
    let single = written.api_key.iter().flatten().map(|secret| (secret, 1));
    let several = written.keys.iter().flatten();
    for (at, key) in several.clone().enumerate() {
        if key.weight == 0 {
            report.problem(format!("{path}.keys[{at}].weight"), "must be above zero");
        }
        if key.api_key.as_ref().is_none_or(crate::config::Secret::is_empty) {
            let text = "has no value and is not used";
            report.note(NoteKind::LeftOut, format!("{path}.keys[{at}].api_key"), text);
        }
    }
    single
        .chain(several.filter_map(|key| Some((key.api_key.as_ref()?, key.weight))))
        .filter(|(secret, _)| !secret.is_empty())
        .map(|(secret, weight)| Credential { secret: secret.clone(), weight })
        .collect()
}

/// Why it is off, if it is.
fn off(written: &file::Provider, host: Option<&KnownHost>, there: &[Credential]) -> Option<&'static str> {
    let asked = written.api_key.is_some() || written.keys.is_some();
    if !written.enabled {
        Some("`enabled` is false")
    } else if there.is_empty() && asked {
        Some("its key has no value")
    } else if there.is_empty() && host.is_some_and(|h| h.needs_key) {
        Some("it has no key")
    } else {
        None
    }
}

fn simulated(
    written: &file::Provider,
    host: Option<&KnownHost>,
    path: &str,
    report: &mut Report,
) -> Option<SimulatedSettings> {
    let is = host.is_some_and(|h| h.simulated);
    let (real, only_simulated) = (
        [
            ("base_url", written.base_url.is_some()),
            ("dialect", written.dialect.is_some()),
            ("api_key", written.api_key.is_some()),
            ("keys", written.keys.is_some()),
        ],
        [
            ("latency_ms", written.latency_ms.is_some()),
            ("tokens_per_sec", written.tokens_per_sec.is_some()),
            ("output_tokens", written.output_tokens.is_some()),
            ("price_usd_per_million", written.price_usd_per_million.is_some()),
            ("faults", written.faults.is_some()),
        ],
    );
    let (wrong, text) = if is {
        (&real[..], "means nothing for the simulated provider")
    } else {
        (&only_simulated[..], "is for the simulated provider only")
    };
    for (name, _) in wrong.iter().filter(|(_, given)| *given) {
        report.problem(format!("{path}.{name}"), text);
    }
    let faults = written.faults.unwrap_or_default();
    faults_in_range(faults, path, report);
    is.then(|| SimulatedSettings {
        latency: std::time::Duration::from_millis(written.latency_ms.unwrap_or(200)),
        tokens_per_sec: written.tokens_per_sec.unwrap_or(100).max(1),
        output_tokens: written.output_tokens.unwrap_or(48).max(1),
        price: written.price_usd_per_million.unwrap_or(FREE),
        faults,
    })
}

/// What is asked for by name costs nothing, unless said otherwise: nobody is paid.
const FREE: Rates = {
    let zero = Some(crate::money::PerMillion::from_micro(0));
    Rates {
        input: zero,
        output: zero,
        cached_input: None,
        cache_write: None,
        cache_write_1h: None,
        audio_input: None,
        cached_audio_input: None,
        image_input: None,
        reasoning_output: None,
        audio_output: None,
    }
};

fn faults_in_range(faults: Faults, path: &str, report: &mut Report) {
    for (name, rate) in [
        ("error_rate", faults.error_rate),
        ("rate_limit_rate", faults.rate_limit_rate),
        ("cut_rate", faults.cut_rate),
    ] {
        super::share(rate, &format!("{path}.faults.{name}"), report);
    }
    if faults.error_rate + faults.rate_limit_rate + faults.cut_rate > 1.0 {
        report.problem(format!("{path}.faults"), "together more than every answer");
    }
}
