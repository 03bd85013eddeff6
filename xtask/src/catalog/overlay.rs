//! What people say about the facts: which providers, what the facts cannot express, what to leave out, what is wrong.
//! Every statement has its source, and one that fits no model any more is an error.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use router_core::capability::Capabilities;
use router_core::catalog::Entry;
use router_core::money::PerMillion;
use serde::Deserialize;
use serde_json::{Map, Value};

/// `config/catalog-overlay.yaml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Overlay {
    /// Where the facts come from and under which licence.
    pub(super) about: String,
    /// The day they were taken.
    pub(super) date: String,
    /// The providers wanted, each with capabilities that the facts have no name for.
    pub(super) providers: BTreeMap<String, Vec<Addition>>,
    /// Models that are chat models by name only.
    #[serde(default)]
    leave_out: Vec<LeaveOut>,
    /// Models that really cost nothing.
    #[serde(default)]
    free: Vec<LeaveOut>,
    /// Models whose end the facts date in the past, and that are kept all the same.
    #[serde(default)]
    keep: Vec<LeaveOut>,
    /// Figures that are wrong or missing.
    #[serde(default)]
    corrections: Vec<Correction>,
}

/// Capabilities that all models of a provider have.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Addition {
    capabilities: Capabilities,
    /// Only for these models; `*` stands for anything.
    #[serde(default = "everything")]
    models: Vec<String>,
    /// Only for models that have all of these.
    #[serde(default)]
    with: Capabilities,
    /// Not for models that have any of these.
    #[serde(default)]
    without: Capabilities,
    /// The page that says so.
    #[serde(rename = "source")]
    _source: String,
}

fn everything() -> Vec<String> {
    vec!["*".into()]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LeaveOut {
    provider: String,
    /// Names; `*` stands for anything.
    models: Vec<String>,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Correction {
    provider: String,
    models: Vec<String>,
    /// Members of the entry to replace; null removes one.
    set: Map<String, Value>,
    /// The page that says so.
    #[serde(rename = "source")]
    _source: String,
}

/// Which statements have fitted a model: section, row, pattern.
#[derive(Default)]
pub(super) struct Used(BTreeSet<(&'static str, usize, usize)>);

impl Overlay {
    /// Why a model is left out, if it is.
    pub(super) fn leaves_out(&self, provider: &str, model: &str, used: &mut Used) -> Option<&str> {
        let rows = self.leave_out.iter().map(|row| (row.provider.as_str(), row.models.as_slice()));
        let row = *fitting("leave_out", rows, (provider, model), used).first()?;
        self.leave_out.get(row).map(|row| row.reason.as_str())
    }

    /// Whether somebody says that a model really costs nothing. Asked only of models without a price above zero, so
    /// that the statement is stale once it has one.
    pub(super) fn is_free(&self, entry: &Entry, used: &mut Used) -> bool {
        let costs =
            entry.price_usd_per_million.is_some_and(|p| p.input.max(p.output) > Some(PerMillion::default()));
        let rows = self.free.iter().map(|row| (row.provider.as_str(), row.models.as_slice()));
        !costs && !fitting("free", rows, (&entry.provider, &entry.model), used).is_empty()
    }

    /// Whether a model is kept beyond the day the facts say it was turned off. Asked only of those, so that the statement
    /// is stale once they say otherwise.
    pub(super) fn keeps(&self, entry: &Entry, used: &mut Used) -> bool {
        let rows = self.keep.iter().map(|row| (row.provider.as_str(), row.models.as_slice()));
        !fitting("keep", rows, (&entry.provider, &entry.model), used).is_empty()
    }

    /// The entry with its provider's additions and its own corrections.
    pub(super) fn correct(&self, entry: Entry, used: &mut Used) -> Result<Entry> {
        let mut entry = entry;
        let had = entry.capabilities;
        for addition in self.providers.get(&entry.provider).into_iter().flatten() {
            let named = addition.models.iter().any(|pattern| matches(pattern, &entry.model));
            if named && had.contains(addition.with) && !had.intersects(addition.without) {
                entry.capabilities |= addition.capabilities;
            }
        }
        let rows = self.corrections.iter().map(|row| (row.provider.as_str(), row.models.as_slice()));
        let name = (entry.provider.clone(), entry.model.clone());
        for row in fitting("corrections", rows, (&name.0, &name.1), used) {
            let mut value = serde_json::to_value(&entry)?;
            if let (Some(members), Some(correction)) = (value.as_object_mut(), self.corrections.get(row)) {
                members.extend(correction.set.clone());
                members.retain(|_, value| !value.is_null());
            }
            entry = serde_json::from_value(value).with_context(|| format!("corrections[{row}].set"))?;
        }
        Ok(entry)
    }

    /// Statements that fitted no model.
    pub(super) fn unused(&self, used: &Used) -> Vec<String> {
        let sections = [
            ("leave_out", self.leave_out.iter().map(|row| &row.models).collect::<Vec<_>>()),
            ("free", self.free.iter().map(|row| &row.models).collect()),
            ("keep", self.keep.iter().map(|row| &row.models).collect()),
            ("corrections", self.corrections.iter().map(|row| &row.models).collect()),
        ];
        let mut unused = Vec::new();
        for (section, rows) in sections {
            for (row, pattern, text) in rows
                .iter()
                .enumerate()
                .flat_map(|(row, models)| models.iter().enumerate().map(move |(at, text)| (row, at, text)))
            {
                if !used.0.contains(&(section, row, pattern)) {
                    unused.push(format!("{section}[{row}].models[{pattern}]: \"{text}\""));
                }
            }
        }
        unused
    }
}

/// The rows with a pattern that fits a model, in order; every pattern that fits is remembered.
fn fitting<'a>(
    section: &'static str,
    rows: impl Iterator<Item = (&'a str, &'a [String])>,
    (provider, model): (&str, &str),
    used: &mut Used,
) -> Vec<usize> {
    let mut fit = Vec::new();
    for (row, (_, patterns)) in rows.enumerate().filter(|(_, (of, _))| *of == provider) {
        let before = used.0.len();
        let fits: Vec<usize> =
            patterns.iter().enumerate().filter(|(_, p)| matches(p, model)).map(|(at, _)| at).collect();
        used.0.extend(fits.iter().map(|at| (section, row, *at)));
        if !fits.is_empty() || used.0.len() > before {
            fit.push(row);
        }
    }
    fit
}

/// Whether a name fits a pattern in which `*` stands for anything.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| {
            let mut cuts = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            cuts.any(|at| matches(tail, &rest[at..]))
        }),
    }
}
