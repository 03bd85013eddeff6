//! The catalog as YAML for people: one block per model, prices as plain numbers, one line per list. Parsing it gives the
//! same catalog back.

use std::fmt::Write as _;

use anyhow::Result;
use router_core::catalog::Catalog;
use serde_json::Value;

/// Names of members whose decimal strings are prices, written without quotes.
const PRICES: &[&str] = &["price_usd_per_million", "long_context", "service_tiers", "per_request_usd"];

/// The whole file.
pub(super) fn yaml(catalog: &Catalog) -> Result<String> {
    let mut out = String::new();
    for line in catalog.about.lines() {
        writeln!(out, "# {line}")?;
    }
    out.push_str(
        "#\n# Made by `cargo xtask catalog --facts FILE`: do not edit; corrections belong into catalog-overlay.yaml.\n\
         # USD per million tokens; a class that is absent is billed as the class it is a part of.\n\n",
    );
    writeln!(out, "about: {}", if catalog.about.ends_with('\n') { "|" } else { "|-" })?;
    for line in catalog.about.lines() {
        writeln!(out, "  {line}")?;
    }
    writeln!(out, "date: {}", flow(&catalog.date.as_str().into(), false))?;
    writeln!(out, "reasoning: {}", flow(&serde_json::to_value(catalog.reasoning)?, false))?;
    out.push_str("entries:\n");
    for entry in &catalog.entries {
        let Value::Object(members) = serde_json::to_value(entry)? else { continue };
        let mut lead = "\n  - ";
        for (name, value) in ordered(&members) {
            writeln!(out, "{lead}{name}: {}", flow(value, PRICES.contains(&name)))?;
            lead = "    ";
        }
    }
    Ok(out)
}

/// The order of members, whatever order the JSON map keeps: as in the types.
const ORDER: &[&str] = &[
    "provider",
    "model",
    "price_usd_per_million",
    "long_context",
    "service_tiers",
    "per_request_usd",
    "max_input_tokens",
    "max_output_tokens",
    "capabilities",
    "time_limits",
    "quality",
    "deprecated_on",
    "above_input_tokens",
    "input",
    "cached_input",
    "cache_write",
    "cache_write_1h",
    "audio_input",
    "cached_audio_input",
    "image_input",
    "output",
    "reasoning_output",
    "audio_output",
    "first_byte_ms",
    "answer_ms",
    "idle_ms",
    "value",
    "source",
    "date",
];

fn ordered(members: &serde_json::Map<String, Value>) -> Vec<(&str, &Value)> {
    let place = |name: &str| ORDER.iter().position(|n| *n == name).unwrap_or(ORDER.len());
    let mut all: Vec<(&str, &Value)> = members.iter().map(|(name, value)| (name.as_str(), value)).collect();
    all.sort_by_key(|(name, _)| (place(name), *name));
    all
}

/// A value on one line.
fn flow(value: &Value, price: bool) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| flow(item, price)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(members) => {
            let members: Vec<String> = ordered(members)
                .iter()
                .map(|(name, value)| format!("{name}: {}", flow(value, price)))
                .collect();
            format!("{{ {} }}", members.join(", "))
        }
        Value::String(text) if price || plain(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A word that YAML reads as the string it is.
fn plain(text: &str) -> bool {
    const WORDS: &[&str] = &["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && !WORDS.contains(&text)
}
