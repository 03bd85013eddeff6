//! `keys`: who may ask.

use std::collections::BTreeSet;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::compiled::{ClientKey, Limits};
use crate::config::check::names::Names;
use crate::config::check::{Report, budget};
use crate::config::{File, NoteKind, file};

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
        if written.rpm == Some(0) {
            report.problem(format!("{path}.rpm"), "must be above zero");
        }
        for (n, model) in written.models.iter().enumerate().filter(|(_, model)| !names.allowable(model)) {
            let text = format!("nobody knows \"{model}\": no model, deployment or provider has this name");
            report.problem(format!("{path}.models[{n}]"), text);
        }
        let Some(sha256) = digest(written, &path, report) else { continue };
        if !seen_hashes.insert(sha256) {
            report.problem(&path, "has the secret of an earlier key");
        }
        let key = ClientKey {
            name: written.name.as_str().into(),
            owner: written.owner.as_deref().map(Into::into),
            tags: written.tags.iter().map(|tag| Arc::from(tag.as_str())).collect(),
            models: written.models.clone(),
            regions: written.regions.clone(),
            limits: Limits { rpm: written.rpm, ..Limits::default() },
            budget: budget::of_key(written, &path, report),
            ..ClientKey::default()
        };
        keys.push((sha256, Arc::new(key)));
    }
    keys
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
