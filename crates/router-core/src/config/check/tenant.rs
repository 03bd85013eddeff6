//! `keys`: who may ask.

use std::collections::BTreeSet;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::compiled::{ClientKey, KeyBudget, Limits};
use crate::config::check::Report;
use crate::config::check::names::Names;
use crate::config::{File, NoteKind, file};
use crate::money::Usd;
use crate::time::Timestamp;

/// A secret shorter than this can be guessed.
const SHORT_SECRET: usize = 16;

pub(super) fn keys(file: &File, names: &Names<'_>, report: &mut Report) -> Vec<([u8; 32], Arc<ClientKey>)> {
    let (mut keys, mut seen_names, mut seen_hashes) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for (at, written) in file.keys.iter().enumerate() {
        let path = format!("keys[{at}]");
        if written.name.trim().is_empty() {
            report.problem(format!("{path}.name"), "must not be empty");
        } else if !seen_names.insert(written.name.as_str()) {
            report.problem(
                format!("{path}.name"),
                format!("\"{}\" is the name of an earlier key", written.name),
            );
        }
        allowed(written, names, &path, report);
        let (rpm, tpm, concurrency) = (written.rpm, written.tpm, written.concurrency);
        let limits = Limits { rpm, tpm, concurrency, ..Limits::default() };
        let (expires, budget) = (expires(written, &path, report), budget(written, &path, report));
        let Some(sha256) = digest(written, &path, report) else { continue };
        if !seen_hashes.insert(sha256) {
            report.problem(&path, "has the secret of an earlier key");
        }
        let key = ClientKey {
            name: written.name.as_str().into(),
            owner: written.owner.as_deref().map(Into::into),
            tags: written.tags.iter().map(|tag| Arc::from(tag.as_str())).collect(),
            models: written.models.clone(),
            providers: written.providers.clone(),
            regions: written.regions.clone(),
            limits,
            priority: written.priority,
            expires,
            budget,
        };
        keys.push((sha256, Arc::new(key)));
    }
    keys
}

/// A limit to something that nobody knows would let nobody answer, in silence.
fn allowed(written: &file::Key, names: &Names<'_>, path: &str, report: &mut Report) {
    for (n, model) in written.models.iter().enumerate().filter(|(_, model)| !names.allowable(model)) {
        let text = format!("nobody knows \"{model}\": no model, deployment or provider has this name");
        report.problem(format!("{path}.models[{n}]"), text);
    }
    for (n, provider) in written.providers.iter().enumerate().filter(|(_, p)| !names.is_provider(p)) {
        let text = format!("there is no provider \"{provider}\"");
        report.problem(format!("{path}.providers[{n}]"), text);
    }
}

fn expires(written: &file::Key, path: &str, report: &mut Report) -> Option<Timestamp> {
    let text = written.expires.as_deref()?;
    let at = Timestamp::from_rfc3339(text.trim());
    if at.is_none() {
        let text = format!("\"{text}\" is no moment: 2026-12-31 or 2026-12-31T12:00:00Z");
        report.problem(format!("{path}.expires"), text);
    }
    at
}

fn budget(written: &file::Key, path: &str, report: &mut Report) -> Option<KeyBudget> {
    if written.period.is_some() && written.budget_usd.is_none() {
        report.problem(format!("{path}.period"), "is the period of a budget: `budget_usd` is missing");
    }
    let limit = written.budget_usd?;
    if limit <= Usd::ZERO {
        report.problem(format!("{path}.budget_usd"), "must be above zero");
    }
    Some(KeyBudget { limit, period: written.period.unwrap_or_default() })
}

fn digest(written: &file::Key, path: &str, report: &mut Report) -> Option<[u8; 32]> {
    match (&written.sha256, &written.secret) {
        (Some(hex), None) => {
            let bytes = from_hex(hex);
            if bytes.is_none() {
                report.problem(format!("{path}.sha256"), "must be 64 hex digits");
            }
            bytes
        }
        (None, Some(secret)) if secret.is_empty() => {
            report.problem(format!("{path}.secret"), "is empty");
            None
        }
        (None, Some(secret)) => {
            if secret.expose().len() < SHORT_SECRET {
                let text = format!("is shorter than {SHORT_SECRET} characters and can be guessed");
                report.note(NoteKind::Suspicious, format!("{path}.secret"), text);
            }
            Some(Sha256::digest(secret.expose().as_bytes()).into())
        }
        _ => {
            report.problem(path, "needs `sha256` or `secret`, one of them");
            None
        }
    }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}
