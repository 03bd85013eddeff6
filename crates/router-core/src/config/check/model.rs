//! `models`: the names clients can ask for.

use std::collections::BTreeMap;

use crate::compiled::{Allow, Model, Strategy};
use crate::config::check::names::Names;
use crate::config::check::{Report, share};
use crate::config::{File, NoteKind, file};

pub(super) fn models(file: &File, names: &Names<'_>, report: &mut Report) -> BTreeMap<String, Model> {
    file.models.iter().map(|(name, written)| (name.clone(), one(name, written, names, report))).collect()
}

fn one(name: &str, written: &file::Model, names: &Names<'_>, report: &mut Report) -> Model {
    let path = format!("models.{name}");
    let deployments = names.deployments(&written.deployments, &format!("{path}.deployments"), report);
    match (&written.auto, written.deployments.is_empty()) {
        (None, true) => report.problem(&path, "needs `deployments` or `auto`"),
        (Some(_), false) => report.problem(&path, "give `deployments` or `auto`, not both"),
        (Some(_), true) if written.rules => {
            report.problem(format!("{path}.rules"), "`auto` means this already");
        }
        (None, false) if deployments.is_empty() => {
            let text = "is empty: all its deployments are off, requests for it are refused";
            report.note(NoteKind::LeftOut, &path, text);
        }
        _ => {}
    }
    if let Some(quality) = written.auto.and_then(|a| a.quality) {
        share(quality, &format!("{path}.auto.quality"), report);
    }
    let times = &written.time_limits;
    for (limit, ms) in
        [("first_byte_ms", times.first_byte_ms), ("answer_ms", times.answer_ms), ("idle_ms", times.idle_ms)]
    {
        if ms == Some(0) {
            report.problem(format!("{path}.time_limits.{limit}"), "must be above zero");
        }
    }
    let fallbacks = |list: &[String], of: &str, report: &mut Report| {
        let path = format!("{path}.{of}");
        if let Some(at) = list.iter().position(|f| f == name) {
            report.problem(format!("{path}[{at}]"), "is the model itself");
        }
        names.fallbacks(list, &path, report)
    };
    Model {
        deployments,
        strategy: strategy(written.strategy).unwrap_or_default(),
        fallbacks: fallbacks(&written.fallbacks, "fallbacks", report),
        context_fallbacks: fallbacks(&written.context_fallbacks, "context_fallbacks", report),
        filter_fallbacks: fallbacks(&written.filter_fallbacks, "filter_fallbacks", report),
        rules: written.rules,
        auto_quality: written.auto.and_then(|a| a.quality),
        auto: written.auto.is_some(),
        time_limits: written.time_limits,
        allow: allow(&written.allow, &format!("{path}.allow"), names, report),
        sticky: written.sticky,
    }
}

/// A strategy as written.
pub(super) fn strategy(written: Option<file::Strategy>) -> Option<Strategy> {
    Some(match written? {
        file::Strategy::Cheapest => Strategy::Cheapest,
        file::Strategy::Weighted => Strategy::Weighted,
        file::Strategy::RoundRobin => Strategy::RoundRobin,
        file::Strategy::Priority => Strategy::Priority,
        file::Strategy::LeastBusy => Strategy::LeastBusy,
        file::Strategy::LowestLatency => Strategy::LowestLatency,
    })
}

/// Limits on who may answer: names that somebody bears, be it off.
fn allow(written: &Allow, path: &str, names: &Names<'_>, report: &mut Report) -> Allow {
    for (at, name) in written.models.iter().enumerate().filter(|(_, name)| !names.allowable(name)) {
        let text = format!("nobody knows \"{name}\": no model, tier, deployment or provider has this name");
        report.problem(format!("{path}.models[{at}]"), text);
    }
    names.known_providers(&written.providers, &format!("{path}.providers"), report);
    for (at, _) in written.regions.iter().enumerate().filter(|(_, region)| region.trim().is_empty()) {
        report.problem(format!("{path}.regions[{at}]"), "must not be empty");
    }
    written.clone()
}
