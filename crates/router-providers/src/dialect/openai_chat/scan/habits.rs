//! Members of the top level that speak to a gateway and not to a model: OpenRouter's `models` and `provider`, LiteLLM's
//! `fallbacks`, `metadata.tags`, `num_retries`, `disable_fallbacks`. All of them are ours and go no further, be the upstream
//! OpenRouter itself: what they allow and forbid is settled here, and there it would be settled once more, otherwise.

use router_core::chat::{Envelope, FallbackName, ProviderWishes};

use super::options;
use super::read::{Scanned, Scanner, Stop, wrong};
use crate::json::Kind;

/// More models than anybody tries one after the other.
const MAX_NAMES: usize = 64;

/// Reads a member if it is one of these; whether it was, and is to be cut.
pub(super) fn member(
    scanner: &mut Scanner<'_>,
    envelope: &mut Envelope,
    name: &str,
) -> Scanned<Option<bool>> {
    let habits = &mut envelope.habits;
    match name {
        "models" => habits.models = names(scanner, |scanner| string(scanner))?,
        "fallbacks" => habits.fallbacks = names(scanner, fallback)?,
        "provider" => habits.provider = provider(scanner)?,
        "num_retries" => habits.num_retries = retries(scanner)?,
        "disable_fallbacks" => habits.disable_fallbacks = scanner.optional_bool()?.unwrap_or(false),
        "metadata" => return metadata(scanner, envelope).map(Some),
        "prompt_cache_key" => {
            habits.cache_key = cache_key(scanner)?;
            envelope
                .unmapped
                .extend(envelope.habits.cache_key.is_some().then(|| "/prompt_cache_key".to_owned()));
            return Ok(Some(false));
        }
        _ => return Ok(None),
    }
    Ok(Some(true))
}

/// A list of models; null is none.
fn names<'a>(
    scanner: &mut Scanner<'a>,
    mut one: impl FnMut(&mut Scanner<'a>) -> Scanned<String>,
) -> Scanned<Vec<String>> {
    let mut names = Vec::new();
    if scanner.null()? {
        return Ok(names);
    }
    scanner.expect(Kind::Array, "an array of models")?;
    scanner.array(|scanner, index| {
        let at = |stop: Stop| stop.under(&format!("/{index}"));
        let name = one(scanner).map_err(at)?;
        if name.is_empty() || name.chars().any(char::is_control) {
            return wrong("", "a model must be named").map_err(at);
        }
        if names.len() >= MAX_NAMES {
            return wrong("", format!("more than {MAX_NAMES} models")).map_err(at);
        }
        names.push(name);
        Ok(())
    })?;
    Ok(names)
}

fn string(scanner: &mut Scanner<'_>) -> Scanned<String> {
    scanner.expect(Kind::String, "a string")?;
    let text = scanner.cursor.string()?;
    Ok(scanner.cursor.unescape(&text).into_owned())
}

/// LiteLLM takes names and objects.
fn fallback(scanner: &mut Scanner<'_>) -> Scanned<String> {
    match serde_json::from_slice::<FallbackName>(scanner.raw()?) {
        Ok(name) => Ok(name.0),
        Err(error) => wrong("", options::plain(&error)),
    }
}

fn provider(scanner: &mut Scanner<'_>) -> Scanned<Option<ProviderWishes>> {
    if scanner.null()? {
        return Ok(None);
    }
    scanner.expect(Kind::Object, "an object")?;
    options::typed(scanner.raw()?).map(Some)
}

fn retries(scanner: &mut Scanner<'_>) -> Scanned<Option<u32>> {
    let Some(number) = scanner.optional_integer()? else { return Ok(None) };
    match u32::try_from(number) {
        Ok(number) => Ok(Some(number)),
        Err(_) => wrong("", "must be a whole number of 0 or more"),
    }
}

fn cache_key(scanner: &mut Scanner<'_>) -> Scanned<Option<String>> {
    Ok(scanner.optional_string()?.filter(|key| !key.is_empty()))
}

/// `metadata` as OpenAI has it holds strings only; with a list of `tags` it is LiteLLM's, which keeps it to itself.
fn metadata(scanner: &mut Scanner<'_>, envelope: &mut Envelope) -> Scanned<bool> {
    let value = scanner.raw()?;
    let mut ours = false;
    // Most have no tags and need not be read.
    if value.first() == Some(&b'{') && memchr::memmem::find(value, b"\"tags\"").is_some() {
        let mut inside = Scanner::new(value, usize::MAX);
        inside.object(|scanner, key| {
            if key != "tags" || scanner.cursor.kind()? != Kind::Array {
                return scanner.skip();
            }
            ours = true;
            scanner.array(|scanner, index| {
                let tag = string(scanner).map_err(|stop| stop.under(&format!("/{index}")))?;
                envelope.habits.tags.push(tag);
                Ok(())
            })
        })?;
    }
    if !ours && !super::says_nothing(value) {
        envelope.unmapped.push("/metadata".to_owned());
    }
    Ok(ours)
}
