//! `models`: the names clients can ask for.

use std::collections::BTreeMap;

use crate::compiled::{Model, Strategy};
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
    }
}

/// A strategy that is there; the others are refused elsewhere.
pub(super) fn strategy(written: Option<file::Strategy>) -> Option<Strategy> {
    match written? {
        file::Strategy::Cheapest => Some(Strategy::Cheapest),
        file::Strategy::Weighted => Some(Strategy::Weighted),
        file::Strategy::RoundRobin => Some(Strategy::RoundRobin),
        file::Strategy::Priority => Some(Strategy::Priority),
        file::Strategy::LeastBusy | file::Strategy::LowestLatency => None,
    }
}
