//! `config/catalog.yaml`: made from a file of facts and the overlay of hand-made corrections, or checked as it is.
//!
//! `facts` maps what others publish to our types, `overlay` is what people say about it, `refuse` is what no catalog of
//! ours may hold, `emit` writes it.

mod emit;
mod facts;
mod overlay;
mod refuse;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use router_core::catalog::{Catalog, Entry};
use serde::de::DeserializeOwned;

use facts::Facts;
use overlay::Overlay;

const CATALOG: &str = "config/catalog.yaml";
const OVERLAY: &str = "config/catalog-overlay.yaml";

/// What became of the facts.
#[derive(Debug, Default)]
struct Made {
    catalog: Catalog,
    /// Why each chat model of a wanted provider that is not in the catalog is not: `provider/model` and reason.
    left_out: BTreeMap<String, String>,
    /// What was changed or is odd.
    notes: Vec<String>,
}

/// Makes the catalog and writes it.
///
/// # Errors
/// A file cannot be read, the overlay contradicts the facts, or the result makes no sense.
pub(crate) fn make(root: &Path, facts: &Path) -> Result<()> {
    let text = std::fs::read_to_string(facts).with_context(|| format!("reading {}", facts.display()))?;
    let facts: Facts = serde_json::from_str(&text).with_context(|| format!("in {}", facts.display()))?;
    let overlay: Overlay = read_yaml(&root.join(OVERLAY))?;
    let made = combine(&facts, &overlay)?;
    sound(&made.catalog)?;
    for note in &made.notes {
        println!("note: {note}");
    }
    for (name, reason) in &made.left_out {
        println!("left out: {name}: {reason}");
    }
    for provider in overlay.providers.keys() {
        let left_out = made.left_out.keys().filter(|name| of_provider(name, provider)).count();
        println!("{provider}: {} models, {left_out} left out", made.catalog.of_host(provider).count());
    }
    let path = root.join(CATALOG);
    std::fs::write(&path, emit::yaml(&made.catalog)?)
        .with_context(|| format!("writing {}", path.display()))?;
    println!("wrote {}: {} models", path.display(), made.catalog.entries.len());
    Ok(())
}

/// Checks the catalog that is there: it can be read, makes sense, and is written as `make` would write it.
///
/// # Errors
/// When it does not, with every problem.
pub(crate) fn check(root: &Path) -> Result<()> {
    let path = root.join(CATALOG);
    let catalog: Catalog = read_yaml(&path)?;
    sound(&catalog)?;
    let text = std::fs::read_to_string(&path)?;
    if text != emit::yaml(&catalog)? {
        bail!(
            "{CATALOG} is not as `cargo xtask catalog --facts` writes it; corrections belong into {OVERLAY}"
        );
    }
    println!("catalog: {} models, nothing to mend", catalog.entries.len());
    Ok(())
}

/// A YAML file as a type, through a JSON value, as the server reads it.
fn read_yaml<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let value: serde_json::Value =
        serde_saphyr::from_str(&text).with_context(|| format!("in {}", path.display()))?;
    serde_json::from_value(value).with_context(|| format!("in {}", path.display()))
}

fn of_provider(name: &str, provider: &str) -> bool {
    name.split_once('/').is_some_and(|(p, _)| p == provider)
}

/// Nothing in the catalog that core or `refuse` would not have.
fn sound(catalog: &Catalog) -> Result<()> {
    let mut problems: Vec<String> = match router_core::catalog::check(catalog) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    };
    for entry in &catalog.entries {
        let reasons = refuse::reasons(entry).into_iter();
        problems.extend(reasons.map(|reason| format!("{}/{}: {reason}", entry.provider, entry.model)));
    }
    let sorted = catalog.entries.is_sorted_by_key(|e| (&e.provider, &e.model));
    problems.extend((!sorted).then(|| "the entries are not sorted by provider and model".to_owned()));
    if problems.is_empty() { Ok(()) } else { bail!("{CATALOG}:\n  {}", problems.join("\n  ")) }
}

/// Facts and overlay to a catalog.
fn combine(facts: &Facts, overlay: &Overlay) -> Result<Made> {
    let mut made = Made {
        catalog: Catalog {
            about: overlay.about.clone(),
            date: overlay.date.clone(),
            reasoning: router_core::catalog::TimeLimits::reasoning(),
            entries: Vec::new(),
        },
        ..Made::default()
    };
    let mut used = overlay::Used::default();
    let wanted = facts.entries.iter().filter(|f| overlay.providers.contains_key(&f.provider));
    for fact in wanted.filter(|f| f.mode == "chat") {
        let name = format!("{}/{}", fact.provider, fact.model);
        match entry(fact, overlay, &mut used, &mut made.notes) {
            Ok(entry) => made.catalog.entries.push(entry),
            Err(error) => {
                made.left_out.insert(name, format!("{error:#}"));
            }
        }
    }
    let stale = overlay.unused(&used);
    if !stale.is_empty() {
        bail!("{OVERLAY} names what the facts do not hold:\n  {}", stale.join("\n  "));
    }
    made.catalog.entries.sort_by(|a, b| (&a.provider, &a.model).cmp(&(&b.provider, &b.model)));
    Ok(made)
}

/// One model; the error says why it is left out.
fn entry(
    fact: &facts::Fact,
    overlay: &Overlay,
    used: &mut overlay::Used,
    notes: &mut Vec<String>,
) -> Result<Entry> {
    let name = format!("{}/{}", fact.provider, fact.model);
    if let Some(reason) = overlay.leaves_out(&fact.provider, &fact.model, used) {
        bail!("{reason}");
    }
    let mut own = Vec::new();
    let entry = overlay.correct(fact.entry(&mut own)?, used)?;
    if let Some(day) = entry.deprecated_on.as_deref().filter(|day| *day <= overlay.date.as_str()) {
        if !overlay.keeps(&entry, used) {
            bail!("turned off on {day}");
        }
        own.push(format!("turned off on {day}, kept"));
    }
    let free = overlay.is_free(&entry, used);
    let reasons = refuse::reasons(&entry).into_iter().chain(refuse::costs_nothing(&entry, free));
    let reasons: Vec<String> = reasons.collect();
    if !reasons.is_empty() {
        bail!("{}", reasons.join("; "));
    }
    own.extend(refuse::doubts(&entry));
    notes.extend(own.into_iter().map(|note| format!("{name}: {note}")));
    Ok(entry)
}

#[cfg(test)]
mod tests;
