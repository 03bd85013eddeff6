//! `check`: every problem of a configuration with its path, or what it amounts to.

use serde_json::json;

use super::{ConfigArgument, GOOD, NO, line};
use crate::config::{Source, load};
use crate::ledger::keys_somewhere;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<u8> {
    let source = Source::find(arguments.config.config);
    let loaded = match load(&source).and_then(|loaded| keys_somewhere(&source, &loaded).map(|()| loaded)) {
        Ok(loaded) => loaded,
        Err(unusable) => {
            if arguments.json {
                line(&json!({ "ok": false, "problems": unusable.problems }).to_string());
            } else {
                for problem in &unusable.problems {
                    // A problem of the whole file has the file's path.
                    let whole = if problem.path.is_empty() { format!("{source}: ") } else { String::new() };
                    line(&format!("{whole}{problem}"));
                }
            }
            return Ok(NO);
        }
    };
    let compiled = &loaded.checked.compiled;
    let rules: Vec<_> =
        compiled.rules.iter().map(|r| json!({ "name": &*r.name, "schema": r.schema })).collect();
    let tiers: serde_json::Map<_, _> = compiled
        .named_tiers()
        .map(|t| {
            (
                t.name.to_string(),
                t.deployments.iter().map(|at| compiled.deployment(*at).id.to_string()).collect(),
            )
        })
        .collect();
    if arguments.json {
        let text = json!({
            "ok": true,
            "config_hash": &*compiled.config_hash,
            "catalog_hash": &*compiled.catalog_hash,
            "providers": compiled.providers.iter().map(|p| &*p.name).collect::<Vec<_>>(),
            "deployments": compiled.deployments.iter().map(|d| &*d.id).collect::<Vec<_>>(),
            "tiers": tiers,
            "rules": rules,
            "notes": loaded.checked.notes,
        });
        line(&text.to_string());
        return Ok(GOOD);
    }
    line(&format!(
        "{source}: good. {} providers on, {} deployments, {} models, {} tiers, {} rules, {} keys, {} budgets",
        compiled.providers.len(),
        compiled.deployments.len(),
        compiled.models.len(),
        tiers.len(),
        compiled.rules.len(),
        compiled.keys.len(),
        compiled.budgets.len()
    ));
    for note in &loaded.checked.notes {
        line(&format!("note: {note}"));
    }
    Ok(GOOD)
}
