//! Reads the `router` object: types and ranges of core's `RequestOptions`, each problem with its pointer.

use router_core::chat::RequestOptions;
use router_core::money::Usd;
use serde::de::DeserializeOwned;

use super::read::{Scanned, Scanner, wrong};

/// Reads wishes from an object whose grammar has been checked.
pub(super) fn read(object: &[u8]) -> Scanned<RequestOptions> {
    let options = typed::<RequestOptions>(object)?;
    let positive = |value: Option<u64>| value != Some(0);
    let in_range = [
        ("/latency_budget_ms", positive(options.latency_budget_ms), "must be at least 1"),
        ("/deadline_ms", positive(options.deadline_ms), "must be at least 1"),
        ("/quality", options.quality.is_none_or(|q| (0.0..=1.0).contains(&q)), "must be between 0 and 1"),
        ("/max_cost_usd", options.max_cost_usd.is_none_or(|c| c >= Usd::ZERO), "must not be negative"),
    ];
    match in_range.into_iter().find(|(_, good, _)| !good) {
        Some((pointer, _, message)) => wrong(pointer, message),
        None => Ok(options),
    }
}

/// Reads an object whose grammar has been checked into its type.
pub(super) fn typed<T: DeserializeOwned>(object: &[u8]) -> Scanned<T> {
    serde_json::from_slice(object).or_else(|error| blame::<T>(object, &error))
}

/// Finds the member to blame by reading each one alone: only wrong requests pay for it.
fn blame<T: DeserializeOwned>(object: &[u8], whole: &serde_json::Error) -> Scanned<T> {
    let mut scanner = Scanner::new(object, usize::MAX);
    scanner.expect(super::Kind::Object, "an object")?;
    scanner.object(|scanner, key| {
        let value = scanner.raw()?;
        let member = [b"{", crate::json::quoted(key).as_bytes(), b":", value, b"}"].concat();
        match serde_json::from_slice::<T>(&member) {
            Ok(_) => Ok(()),
            Err(error) => wrong("", plain(&error)),
        }
    })?;
    wrong("", plain(whole))
}

/// The error without the position inside the member, which means nothing to the caller.
pub(super) fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}
