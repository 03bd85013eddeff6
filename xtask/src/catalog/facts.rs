//! The file of facts, as its publisher writes it, and its mapping to our types.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use router_core::capability::Capabilities;
use router_core::catalog::Entry;
use router_core::money::PerMillion;
use router_core::price::{LongContext, Rates, ServiceTier};
use serde::Deserialize;

/// The whole file.
#[derive(Deserialize)]
pub(super) struct Facts {
    pub(super) entries: Vec<Fact>,
}

/// One model of one provider.
#[derive(Deserialize)]
pub(super) struct Fact {
    pub(super) provider: String,
    pub(super) model: String,
    pub(super) mode: String,
    #[serde(default)]
    usd_per_mtok: Prices,
    #[serde(default)]
    service_tier_usd_per_mtok: BTreeMap<String, Prices>,
    #[serde(default)]
    long_context_usd_per_mtok: Vec<Long>,
    max_input_tokens: Option<u64>,
    max_output_tokens: Option<u64>,
    #[serde(default)]
    capabilities: Vec<String>,
    source: Option<String>,
    deprecation_date: Option<String>,
}

/// Price class to decimal text.
type Prices = BTreeMap<String, String>;

#[derive(Deserialize)]
struct Long {
    above_input_tokens: u64,
    #[serde(flatten)]
    prices: Prices,
}

/// Capabilities by the names the facts use; `None`: nothing a request can need of us.
const CAPABILITIES: &[(&str, Option<Capabilities>)] = &[
    ("tools", Some(Capabilities::TOOLS)),
    ("parallel_tools", Some(Capabilities::PARALLEL_TOOLS)),
    ("json_schema", Some(Capabilities::JSON_SCHEMA)),
    ("vision", Some(Capabilities::VISION)),
    ("pdf_input", Some(Capabilities::PDF)),
    ("audio_input", Some(Capabilities::AUDIO_IN)),
    ("audio_output", Some(Capabilities::AUDIO_OUT)),
    ("video_input", Some(Capabilities::VIDEO_IN)),
    ("reasoning", Some(Capabilities::REASONING)),
    ("prompt_caching", Some(Capabilities::PROMPT_CACHE)),
    ("assistant_prefill", Some(Capabilities::PREFILL)),
    ("tool_choice", None),
    ("web_search", None),
    ("system_messages", None),
    ("computer_use", None),
];

impl Fact {
    /// The entry, and what was changed on the way.
    ///
    /// # Errors
    /// Something in it that we have no name for, or that is no price.
    pub(super) fn entry(&self, notes: &mut Vec<String>) -> Result<Entry> {
        let mut capabilities = Capabilities::empty();
        for name in &self.capabilities {
            let known = CAPABILITIES.iter().find(|(n, _)| n == name);
            let (_, bit) = known.with_context(|| format!("unknown capability \"{name}\""))?;
            capabilities |= bit.unwrap_or_default();
        }
        let base = rates(&self.usd_per_mtok, None, "", notes)?;
        let mut long_context = Vec::new();
        for long in &self.long_context_usd_per_mtok {
            let place = format!("above {} tokens, ", long.above_input_tokens);
            let rates = rates(&long.prices, Some(&base), &place, notes)?;
            long_context.push(LongContext { above_input_tokens: long.above_input_tokens, rates });
        }
        long_context.sort_by_key(|long| long.above_input_tokens);
        let mut service_tiers = BTreeMap::new();
        for (name, prices) in &self.service_tier_usd_per_mtok {
            let tier = match ServiceTier::named(name) {
                ServiceTier::Standard => bail!("unknown service tier \"{name}\""),
                tier => tier,
            };
            service_tiers.insert(tier, rates(prices, Some(&base), &format!("tier {name}, "), notes)?);
        }
        Ok(Entry {
            provider: self.provider.clone(),
            model: self.model.clone(),
            price_usd_per_million: (base != Rates::default()).then_some(base),
            long_context,
            service_tiers,
            max_input_tokens: self.max_input_tokens,
            max_output_tokens: self.max_output_tokens,
            capabilities,
            deprecated_on: self.deprecation_date.clone(),
            source: self.source.clone(),
            ..Entry::default()
        })
    }
}

/// Price classes to rates. A cache write at 0 beside a priced input means that writing costs nothing on top: the class
/// is left out, so that those tokens are billed as input.
fn rates(prices: &Prices, base: Option<&Rates>, place: &str, notes: &mut Vec<String>) -> Result<Rates> {
    let mut rates = Rates::default();
    for (class, text) in prices {
        let (price, rounded) = price(text).with_context(|| format!("{place}{class}"))?;
        if rounded {
            notes.push(format!("{place}{class}: {text} rounded to {price}"));
        }
        let slot = match class.as_str() {
            "input" => &mut rates.input,
            "cached_input" => &mut rates.cached_input,
            "cache_write" => &mut rates.cache_write,
            "cache_write_1h" => &mut rates.cache_write_1h,
            "audio_input" => &mut rates.audio_input,
            "cached_audio_input" => &mut rates.cached_audio_input,
            "image_input" => &mut rates.image_input,
            "output" => &mut rates.output,
            "reasoning_output" => &mut rates.reasoning_output,
            "audio_output" => &mut rates.audio_output,
            _ => bail!("unknown price class \"{class}\""),
        };
        *slot = Some(price);
    }
    let input = rates.input.or(base.and_then(|base| base.input)).unwrap_or_default();
    if rates.cache_write == Some(PerMillion::default()) && input > PerMillion::default() {
        rates.cache_write = None;
        notes.push(format!("{place}cache_write of 0 left out: those tokens are billed as input"));
    }
    Ok(rates)
}

/// A price and whether it had to be rounded, half to even, to whole micro-USD per million tokens.
pub(super) fn price(text: &str) -> Result<(PerMillion, bool)> {
    if let Ok(price) = text.parse() {
        return Ok((price, false));
    }
    let (whole, fraction) = text.split_once('.').with_context(|| format!("\"{text}\" is no price"))?;
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() <= 6 || text.len() > 30 {
        bail!("\"{text}\" is no price");
    }
    let (kept, rest) = fraction.split_at(6);
    let micro: u64 = format!("{whole}{kept}").parse().with_context(|| format!("\"{text}\" is no price"))?;
    let half = format!("5{}", "0".repeat(rest.len() - 1));
    let up = match rest.cmp(&half) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => micro % 2 == 1,
        std::cmp::Ordering::Greater => true,
    };
    Ok((PerMillion::from_micro(micro + u64::from(up)), true))
}
