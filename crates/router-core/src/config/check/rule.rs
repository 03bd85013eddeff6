//! `rules`: conditions compiled, names resolved, and no rule that nothing can reach.

use std::collections::BTreeSet;

use crate::compiled::{DeploymentIdx, Tier};
use crate::config::check::names::Names;
use crate::config::check::{Report, model, share};
use crate::config::{File, NoteKind, file};
use crate::money::Usd;
use crate::rules::{Condition, Rule, Use, condition, covered};

pub(super) fn rules(file: &File, names: &Names<'_>, tiers: &[Tier], report: &mut Report) -> Vec<Rule> {
    let mut seen = BTreeSet::new();
    let mut rules: Vec<(usize, Condition, Use)> = Vec::new();
    for (at, written) in file.rules.iter().enumerate() {
        let path = format!("rules[{at}]");
        if written.name.trim().is_empty() {
            report.problem(format!("{path}.name"), "must not be empty");
        } else if !seen.insert(written.name.as_str()) {
            report.problem(
                format!("{path}.name"),
                format!("\"{}\" is the name of an earlier rule", written.name),
            );
        }
        let then = then(&written.then, names, tiers, &format!("{path}.use"), report);
        match condition(&written.when, &format!("{path}.when")) {
            Ok(condition) => {
                unreachable(file, &rules, &condition, &path, report);
                rules.push((at, condition, then));
            }
            Err(problems) => report.problems.extend(problems),
        }
    }
    let named = |at: usize| file.rules.get(at).map_or("", |rule| &rule.name);
    rules
        .into_iter()
        .map(|(at, condition, then)| Rule {
            name: named(at).into(),
            reads: condition.reads,
            schema: condition.schema,
            validator: condition.validator,
            then,
        })
        .collect()
}

fn unreachable(
    file: &File,
    earlier: &[(usize, Condition, Use)],
    later: &Condition,
    path: &str,
    report: &mut Report,
) {
    let conditions: Vec<&Condition> = earlier.iter().map(|(_, condition, _)| condition).collect();
    let Some(by) = covered(&conditions, later) else { return };
    let names: Vec<String> = by
        .iter()
        .filter_map(|at| earlier.get(*at))
        .filter_map(|(at, _, _)| file.rules.get(*at))
        .map(|rule| format!("\"{}\"", rule.name))
        .collect();
    let text = format!("nothing can reach it: {} takes all it would", names.join(" or "));
    report.problem(format!("{path}.when"), text);
}

fn then(written: &file::Use, names: &Names<'_>, tiers: &[Tier], path: &str, report: &mut Report) -> Use {
    let at = |member: &str| format!("{path}.{member}");
    if written.tier.is_some() && written.models.is_some() {
        report.problem(at("models"), "give `tier` or `models`, not both");
    }
    for (name, list) in [("models", &written.models), ("only", &written.only)] {
        if list.as_ref().is_some_and(Vec::is_empty) {
            report.problem(at(name), "names nothing, so nothing could answer");
        }
    }
    if let Some(quality) = written.quality {
        share(quality, &at("quality"), report);
    }
    if written.max_cost_usd.is_some_and(|cost| cost <= Usd::ZERO) {
        report.problem(at("max_cost_usd"), "must be above zero");
    }
    for (name, ms) in [("latency_budget_ms", written.latency_budget_ms), ("deadline_ms", written.deadline_ms)]
    {
        if ms == Some(0) {
            report.problem(at(name), "must be above zero");
        }
    }
    let (tier, only) = scope(written, names, tiers, path, report);
    Use {
        tier,
        only,
        prefer: names.any(&written.prefer, &at("prefer"), report),
        avoid: names.any(&written.avoid, &at("avoid"), report),
        strategy: model::strategy(written.strategy),
        quality: written.quality,
        max_cost: written.max_cost_usd,
        latency_budget_ms: written.latency_budget_ms,
        deadline_ms: written.deadline_ms,
        fallbacks: names.fallbacks(&written.fallbacks, &at("fallbacks"), report),
        regions: written.regions.clone(),
        sticky: written.sticky,
    }
}

/// What a rule may choose from. `only` cuts down its tier or models. When all that is named is off, nothing may answer:
/// a limit that has become empty must not turn into no limit.
fn scope(
    written: &file::Use,
    names: &Names<'_>,
    tiers: &[Tier],
    path: &str,
    report: &mut Report,
) -> (Option<u16>, Vec<DeploymentIdx>) {
    let tier = written.tier.as_ref().and_then(|name| {
        let at = tiers.iter().position(|tier| *tier.name == **name);
        if at.is_none() {
            report.problem(format!("{path}.tier"), format!("no tier \"{name}\""));
        }
        at
    });
    let mut list = |given: &Option<Vec<String>>, member: &str| {
        given.as_ref().map(|given| names.any(given, &format!("{path}.{member}"), report))
    };
    let (models, only) = (list(&written.models, "models"), list(&written.only, "only"));
    let base = models.or_else(|| tier.and_then(|at| tiers.get(at)).map(|tier| tier.deployments.clone()));
    let limited = written.models.is_some() || written.only.is_some();
    let allowed = match (base, only) {
        (Some(base), Some(only)) => base.into_iter().filter(|d| only.contains(d)).collect(),
        (Some(all), None) | (None, Some(all)) => all,
        (None, None) => Vec::new(),
    };
    let index = |at: usize| u16::try_from(at).ok();
    if !limited {
        return (tier.and_then(index), Vec::new());
    }
    if allowed.is_empty() {
        let text = "may use nothing: all it names is off or outside its tier; what it matches is refused";
        report.note(NoteKind::LeftOut, path, text);
        // The empty tier stands behind all others.
        return (index(tiers.len()), Vec::new());
    }
    (tier.and_then(index), allowed)
}
