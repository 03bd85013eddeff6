//! What makes no sense in a catalog: refused with its path, or noted where it is only unlikely.

use std::collections::BTreeSet;

use crate::capability::Capabilities;
use crate::catalog::{Catalog, Entry, TimeLimits};
use crate::config::{Note, NoteKind, Problem};
use crate::money::{PerMillion, Usd};
use crate::price::{Rates, ServiceTier};

/// No host asks this much per million tokens; a price above it was typed per token or per thousand.
const ABSURD: PerMillion = PerMillion::from_micro(10_000_000_000);
/// No model reads this many tokens; a window above it is a slip.
const ABSURD_WINDOW: u64 = 100_000_000;

/// Checks a catalog as a whole.
///
/// # Errors
/// Every entry that makes no sense, with its path. What is only unlikely (output cheaper than input, no price) comes as
/// notes beside a good catalog.
pub fn check(catalog: &Catalog) -> Result<Vec<Note>, Vec<Problem>> {
    let (mut problems, mut notes, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    date(&catalog.date, "date", &mut problems);
    time_limits(catalog.reasoning, "reasoning", &mut problems);
    for (at, entry) in catalog.entries.iter().enumerate() {
        let path = format!("entries[{at}]");
        if !seen.insert((entry.provider.as_str(), entry.model.as_str())) {
            problems
                .push(Problem::new(&path, format!("\"{}/{}\" is here twice", entry.provider, entry.model)));
        }
        one(entry, &path, &mut problems);
        notes.extend(doubts(entry).map(|text| {
            Note::new(NoteKind::Suspicious, format!("{path} ({})", entry.model), text.to_owned())
        }));
    }
    if problems.is_empty() { Ok(notes) } else { Err(problems) }
}

fn one(entry: &Entry, path: &str, problems: &mut Vec<Problem>) {
    let bad_name = |name: &str| name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control());
    if bad_name(&entry.provider) || entry.provider.contains('/') {
        problems.push(Problem::new(
            format!("{path}.provider"),
            format!("\"{}\" is no provider id", entry.provider),
        ));
    }
    if bad_name(&entry.model) {
        problems.push(Problem::new(format!("{path}.model"), format!("\"{}\" is no model name", entry.model)));
    }
    let base = entry.price_usd_per_million.unwrap_or_default();
    rates(&base, &base, &format!("{path}.price_usd_per_million"), problems);
    let mut above = 0;
    for (n, long) in entry.long_context.iter().enumerate() {
        let path = format!("{path}.long_context[{n}]");
        rates(&long.rates, &base, &path, problems);
        if long.above_input_tokens <= above {
            problems.push(Problem::new(
                format!("{path}.above_input_tokens"),
                "must be above zero and above the bound before it",
            ));
        }
        above = long.above_input_tokens;
    }
    for (tier, tier_rates) in &entry.service_tiers {
        let name = serde_json::to_value(tier).unwrap_or_default();
        let path = format!("{path}.service_tiers.{}", name.as_str().unwrap_or_default());
        if *tier == ServiceTier::Standard {
            problems.push(Problem::new(&path, "the standard tier is `price_usd_per_million`"));
        }
        rates(tier_rates, &base, &path, problems);
    }
    if entry.per_request_usd.is_some_and(|fee| fee < Usd::ZERO || fee > Usd::from_nano(1_000_000_000_000)) {
        problems.push(Problem::new(
            format!("{path}.per_request_usd"),
            "a fee per call is between 0 and 1000 USD",
        ));
    }
    windows(entry, path, problems);
    time_limits(entry.time_limits.unwrap_or_default(), &format!("{path}.time_limits"), problems);
    if let Some(quality) = &entry.quality {
        if !(0.0..=1.0).contains(&quality.value) {
            problems.push(Problem::new(
                format!("{path}.quality.value"),
                format!("{} is not in 0..=1", quality.value),
            ));
        }
        if quality.source.is_empty() {
            problems.push(Problem::new(format!("{path}.quality.source"), "a quality needs its source"));
        }
        date(&quality.date, &format!("{path}.quality.date"), problems);
    }
    if let Some(day) = &entry.deprecated_on {
        date(day, &format!("{path}.deprecated_on"), problems);
    }
}

fn windows(entry: &Entry, path: &str, problems: &mut Vec<Problem>) {
    for (name, tokens) in
        [("max_input_tokens", entry.max_input_tokens), ("max_output_tokens", entry.max_output_tokens)]
    {
        if tokens.is_some_and(|t| t == 0 || t > ABSURD_WINDOW) {
            problems.push(Problem::new(
                format!("{path}.{name}"),
                format!("{} is no window: 1..={ABSURD_WINDOW} tokens", tokens.unwrap_or_default()),
            ));
        }
    }
}

fn rates(rates: &Rates, base: &Rates, path: &str, problems: &mut Vec<Problem>) {
    let all = rates.or(base);
    for (name, rate) in classes(rates) {
        if rate > ABSURD {
            problems
                .push(Problem::new(format!("{path}.{name}"), format!("{rate} USD per million is absurd")));
        }
    }
    for (name, part, whole_name, whole) in [
        ("cached_input", rates.cached_input, "input", all.input),
        ("cached_audio_input", rates.cached_audio_input, "audio_input", all.audio_input.max(all.input)),
    ] {
        if let (Some(part), Some(whole)) = (part, whole)
            && part > whole
        {
            problems.push(Problem::new(
                format!("{path}.{name}"),
                format!("{part}, read from a cache, is dearer than {whole_name} itself at {whole}"),
            ));
        }
    }
    if rates.input.is_none() && rates.output.is_some() && all.input.is_none() {
        problems.push(Problem::new(format!("{path}.input"), "output has a price and input has none"));
    }
}

fn classes(rates: &Rates) -> impl Iterator<Item = (&'static str, PerMillion)> {
    [
        ("input", rates.input),
        ("cached_input", rates.cached_input),
        ("cache_write", rates.cache_write),
        ("cache_write_1h", rates.cache_write_1h),
        ("audio_input", rates.audio_input),
        ("cached_audio_input", rates.cached_audio_input),
        ("image_input", rates.image_input),
        ("output", rates.output),
        ("reasoning_output", rates.reasoning_output),
        ("audio_output", rates.audio_output),
    ]
    .into_iter()
    .filter_map(|(name, rate)| rate.map(|rate| (name, rate)))
}

fn time_limits(limits: TimeLimits, path: &str, problems: &mut Vec<Problem>) {
    for (name, ms) in [
        ("first_byte_ms", limits.first_byte_ms),
        ("answer_ms", limits.answer_ms),
        ("idle_ms", limits.idle_ms),
    ] {
        if ms == Some(0) {
            problems.push(Problem::new(format!("{path}.{name}"), "must be above zero"));
        }
    }
}

/// A calendar day, `YYYY-MM-DD`.
fn date(text: &str, path: &str, problems: &mut Vec<Problem>) {
    let mut parts = text.split('-').map(|p| (p.len(), p.parse::<u32>().unwrap_or(0)));
    let good = matches!(
        (parts.next(), parts.next(), parts.next(), parts.next()),
        (Some((4, 2000..)), Some((2, 1..=12)), Some((2, 1..=31)), None)
    );
    if !good {
        problems.push(Problem::new(path, format!("\"{text}\" is not a day: YYYY-MM-DD")));
    }
}

fn doubts(entry: &Entry) -> impl Iterator<Item = &'static str> {
    let (input, output) = entry.price_usd_per_million.map_or((None, None), |p| (p.input, p.output));
    let embeds = entry.capabilities.contains(Capabilities::EMBEDDINGS);
    [
        (output < input && output.is_some() && !embeds, "output is cheaper than input"),
        (
            input.is_none() || (output.is_none() && !embeds),
            "has no whole price: no cost can be computed for it",
        ),
    ]
    .into_iter()
    .filter_map(|(doubt, text)| doubt.then_some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paths of everything wrong with one entry, given as the members beside provider and model.
    fn check_entry(members: &str, expected: &[&str]) {
        let comma = if members.is_empty() { "" } else { "," };
        let text = format!(
            r#"{{"date": "2026-11-22", "entries": [{{"provider": "p", "model": "m"{comma}{members}}}]}}"#
        );
        let catalog: Catalog = serde_json::from_str(&text).unwrap();
        let paths: Vec<String> = check(&catalog)
            .err()
            .unwrap_or_default()
            .into_iter()
            .map(|p| p.path.replace("entries[0].", ""))
            .collect();
        assert_eq!(paths, expected, "{members}");
    }

    #[test]
    fn nonsense_is_refused_with_its_path() {
        for (members, expected) in [
            (r#""price_usd_per_million": {"input": 1, "output": 2}"#, &[][..]),
            (r#""price_usd_per_million": {"input": 1, "output": 20000}"#, &["price_usd_per_million.output"]),
            (
                r#""price_usd_per_million": {"input": 1, "cached_input": 1.5, "output": 2}"#,
                &["price_usd_per_million.cached_input"],
            ),
            (r#""price_usd_per_million": {"output": 2}"#, &["price_usd_per_million.input"]),
            (r#""max_input_tokens": 0"#, &["max_input_tokens"]),
            (r#""max_output_tokens": 100000001"#, &["max_output_tokens"]),
            (
                r#""price_usd_per_million": {"input": 1, "output": 2},
                   "long_context": [{"above_input_tokens": 9, "input": 2}, {"above_input_tokens": 9}]"#,
                &["long_context[1].above_input_tokens"],
            ),
            (r#""service_tiers": {"standard": {"input": 1}}"#, &["service_tiers.standard"]),
            (r#""per_request_usd": -1"#, &["per_request_usd"]),
            (
                r#""quality": {"value": 2, "source": "", "date": "x"}"#,
                &["quality.value", "quality.source", "quality.date"],
            ),
            (r#""deprecated_on": "2026-13-01""#, &["deprecated_on"]),
            (r#""time_limits": {"idle_ms": 0}"#, &["time_limits.idle_ms"]),
        ] {
            check_entry(members, expected);
        }
    }

    #[test]
    fn a_model_twice_is_refused_and_a_doubt_is_only_noted() {
        let entry = Entry {
            provider: "p".into(),
            model: "m".into(),
            price_usd_per_million: Some(Rates {
                input: "2".parse().ok(),
                output: "1".parse().ok(),
                ..Rates::default()
            }),
            ..Entry::default()
        };
        let mut catalog =
            Catalog { date: "2026-11-22".into(), entries: vec![entry.clone()], ..Catalog::default() };
        let notes = check(&catalog).unwrap();
        assert_eq!(notes.len(), 1);
        assert!(notes[0].text.contains("cheaper"), "{}", notes[0]);
        catalog.entries.push(entry);
        assert_eq!(check(&catalog).unwrap_err()[0].path, "entries[1]");
    }

    #[test]
    fn reasoning_models_get_longer_limits_unless_they_have_their_own() {
        let text = r#"{"date": "2026-11-22", "entries": [
            {"provider": "p", "model": "plain"},
            {"provider": "p", "model": "thinks", "capabilities": ["reasoning"], "time_limits": {"answer_ms": 5}}]}"#;
        let catalog: Catalog = serde_json::from_str(text).unwrap();
        let of = |model| catalog.time_limits(catalog.entry("p", model).unwrap());
        assert_eq!(of("plain"), TimeLimits::default());
        assert_eq!(of("thinks"), TimeLimits { answer_ms: Some(5), ..TimeLimits::reasoning() });
    }
}
