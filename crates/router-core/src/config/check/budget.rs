//! `budgets`, `webhooks` and the budgets of keys.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::budget::{BudgetPolicy, Match};
use crate::config::check::Report;
use crate::config::check::deployment::Fleet;
use crate::config::file::{self, Webhook, WebhookEvent};
use crate::config::{File, NoteKind};
use crate::money::Usd;

/// What a key's own budget is called: no other may begin like that.
const OF_KEY: &str = "key:";

pub(super) fn budgets(file: &File, fleet: &Fleet, report: &mut Report) -> Vec<Arc<BudgetPolicy>> {
    let mut seen = BTreeSet::new();
    let mut compiled = Vec::new();
    for (at, budget) in file.budgets.iter().enumerate() {
        let path = format!("budgets[{at}]");
        name(&budget.name, &path, &mut seen, report);
        positive(budget.limit_usd, format!("{path}.limit_usd"), report);
        known(budget, file, fleet, (&path, &mut *report));
        compiled.push(Arc::new(BudgetPolicy {
            name: budget.name.as_str().into(),
            matches: matches(&budget.matches),
            limit: budget.limit_usd,
            period: budget.period,
            alert_at_ppm: alerts(&budget.alert_at, &path, report),
            when_low: budget.when_low,
        }));
    }
    compiled
}

fn name<'a>(name: &'a str, path: &str, seen: &mut BTreeSet<&'a str>, report: &mut Report) {
    let path = format!("{path}.name");
    if name.trim().is_empty() {
        report.problem(path, "must not be empty");
    } else if name.starts_with(OF_KEY) {
        report.problem(
            path,
            format!("\"{name}\": names that begin with \"{OF_KEY}\" are those of keys' own budgets"),
        );
    } else if !seen.insert(name) {
        report.problem(path, format!("\"{name}\" is the name of an earlier budget"));
    }
}

fn positive(limit: Usd, path: String, report: &mut Report) {
    if limit <= Usd::ZERO {
        report.problem(path, format!("{limit} is not above zero"));
    }
}

fn matches(written: &file::BudgetMatch) -> Match {
    let name = |text: &Option<String>| text.as_deref().map(Arc::from);
    Match {
        key: name(&written.key),
        owner: name(&written.owner),
        tag: name(&written.tag),
        model: name(&written.model),
        provider: name(&written.provider),
        deployment: name(&written.deployment),
    }
}

fn alerts(shares: &[f64], path: &str, report: &mut Report) -> Vec<u32> {
    let mut all = Vec::new();
    for (at, share) in shares.iter().enumerate() {
        if *share > 0.0 && *share <= 1.0 {
            all.push((share * 1e6).round() as u32);
        } else {
            report.problem(
                format!("{path}.alert_at[{at}]"),
                format!("{share} is not a share above 0, at most 1"),
            );
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// A member, its value, and whether that is known.
type Known<'a> = (&'a str, &'a Option<String>, &'a dyn Fn(&str) -> bool);

/// Names that nobody has are probably not meant. Those of keys, owners and tags may be in the ledger, and providers and
/// deployments may be off: that is said, not refused.
fn known(budget: &file::Budget, file: &File, fleet: &Fleet, (path, report): (&str, &mut Report)) {
    let wanted = &budget.matches;
    let on = |is: &dyn Fn(&crate::compiled::Deployment) -> bool| fleet.deployments.iter().any(is);
    let in_keys = |is: &dyn Fn(&file::Key) -> bool| file.keys.iter().any(is);
    let provider = |name: &str| file.providers.contains_key(name) || on(&|d| *d.provider == *name);
    let checks: [Known<'_>; 6] = [
        ("key", &wanted.key, &|name| in_keys(&|key| key.name == name)),
        ("owner", &wanted.owner, &|name| in_keys(&|key| key.owner.as_deref() == Some(name))),
        ("tag", &wanted.tag, &|name| in_keys(&|key| key.tags.iter().any(|tag| tag == name))),
        ("model", &wanted.model, &|name| {
            name == "auto" || file.models.contains_key(name) || on(&|d| *d.id == *name)
        }),
        ("provider", &wanted.provider, &provider),
        ("deployment", &wanted.deployment, &|name| fleet.off.contains(name) || on(&|d| *d.id == *name)),
    ];
    for (member, value, is_known) in checks {
        if let Some(value) = value.as_deref().filter(|value| !is_known(value)) {
            let text = format!(
                "this file knows no {member} \"{value}\": nothing counts here unless the ledger has one"
            );
            report.note(NoteKind::Suspicious, format!("{path}.match.{member}"), text);
        }
    }
}

/// The webhooks, each with everything it is told.
pub(super) fn webhooks(file: &File, report: &mut Report) -> Vec<Webhook> {
    for (at, webhook) in file.webhooks.iter().enumerate() {
        let url = webhook.url.expose();
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let plain = |rest: &str| rest.bytes().all(|b| b.is_ascii_graphic()) && !rest.contains('@');
        if !rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && plain(rest)) {
            let text = "must be an http or https address without a user or a password before its host";
            report.problem(format!("webhooks[{at}].url"), text);
        }
    }
    let all = |webhook: &Webhook| match webhook.events.is_empty() {
        true => Webhook { events: WebhookEvent::ALL.to_vec(), ..webhook.clone() },
        false => webhook.clone(),
    };
    file.webhooks.iter().map(all).collect()
}
