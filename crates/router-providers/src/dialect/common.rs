//! What every upstream dialect needs alike: borrowed texts, error texts made safe to show, ids, tool schemas, and the part
//! of the gate that follows from what core's conversation cannot hold. No wire format.

use std::borrow::Cow;

use router_core::attempt::FailureKind;
use router_core::capability::Capabilities;
use router_core::chat::{Answer, Delta, DialectId, Envelope, Part};
use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::{Inexpressible, ReplyFault};

/// A JSON string, borrowed where it has no escapes. A type of its own because serde borrows a `Cow` only directly, not
/// inside an `Option`.
#[derive(Debug, Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl Text<'_> {
    pub(super) fn of<'a>(text: Option<&'a Text<'_>>) -> Option<&'a str> {
        text.map(|text| text.0.as_ref())
    }
}

/// Longest error text kept, in bytes: enough for any provider's sentence, not for its page.
const MESSAGE_CAP_BYTES: usize = 600;

/// How credentials begin that providers are known to repeat in their error texts.
const SECRET_STARTS: [&str; 5] = ["sk-", "AIza", "ya29.", "AQ.", "Bearer"];

/// A provider's error text as it may be logged and shown: one line, bounded, without markup or credentials.
pub(super) fn clean(message: &str) -> String {
    if message.trim_start().starts_with('<') {
        return "a page instead of an error".to_owned();
    }
    let mut out = String::with_capacity(message.len().min(MESSAGE_CAP_BYTES));
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    for word in message.split_inclusive(|c: char| !inside(c)) {
        if out.len() + word.len() > MESSAGE_CAP_BYTES {
            out.push('…');
            break;
        }
        let secret = word.len() >= 16 && SECRET_STARTS.iter().any(|start| word.starts_with(start));
        let shown = if secret { word.trim_start_matches(inside) } else { word };
        if secret {
            out.push('…');
        }
        out.extend(shown.chars().map(|c| if c.is_control() { ' ' } else { c }));
    }
    out
}

/// A fault without a provider's code.
pub(super) fn fault(kind: FailureKind, message: impl Into<String>) -> ReplyFault {
    ReplyFault { kind, message: message.into(), code: None }
}

/// A reply that breaks the dialect's promise.
pub(super) fn bad_reply(what: impl AsRef<str>) -> ReplyFault {
    fault(FailureKind::BadReply, clean(what.as_ref()))
}

/// A reply that does not parse. Says where, not what: serde's own texts quote the answer.
pub(super) fn unreadable(problem: &serde_json::Error) -> ReplyFault {
    let (kind, what) = match problem.classify() {
        Category::Eof => (FailureKind::Truncated, "the reply breaks off"),
        Category::Data => {
            (FailureKind::BadReply, "the reply has a member of another type than the dialect's")
        }
        Category::Syntax | Category::Io => (FailureKind::BadReply, "the reply is not JSON"),
    };
    fault(kind, format!("{what}, at line {} column {}", problem.line(), problem.column()))
}

/// A whole reply, read.
///
/// # Errors
/// `Empty` without a body, else as [`unreadable`].
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ReplyFault> {
    if body.trim_ascii().is_empty() {
        return Err(fault(FailureKind::Empty, "a reply without a body"));
    }
    serde_json::from_slice(body).map_err(|problem| unreadable(&problem))
}

/// What a status means when the body does not say.
///
/// 404 means that the upstream does not know the model or the path: nothing is wrong with the request, so another
/// deployment may answer it.
pub(super) fn kind_of_status(status: u16) -> FailureKind {
    use FailureKind as K;
    match status {
        401 | 403 => K::Auth,
        402 => K::OutOfCredit,
        408 | 504 => K::Timeout,
        413 => K::TooLong,
        429 => K::RateLimited,
        503 | 529 => K::Overloaded,
        404 | 409 | 499 => K::Unavailable,
        400..=498 => K::BadRequest,
        _ => K::Unavailable,
    }
}

/// FNV-1a, 64 bits: short ids that are the same for the same text, on every machine.
pub(super) fn fingerprint(texts: &[&str]) -> u64 {
    let bytes = texts.iter().flat_map(|text| text.bytes().chain([0xff]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A call's arguments as a JSON object. Models write nothing at all for a function without parameters.
pub(super) fn arguments(text: &str) -> Option<&RawValue> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    serde_json::from_str::<&RawValue>(text).ok().filter(|raw| raw.get().starts_with('{'))
}

/// A function's parameters as a schema that says `"type": "object"`, which these dialects require and OpenAI's does not.
/// Written by splicing, so that the order of the properties stays the client's.
pub(super) fn object_schema(parameters: Option<&RawValue>) -> Option<Cow<'_, RawValue>> {
    #[derive(Deserialize)]
    struct Peek<'a> {
        #[serde(borrow, rename = "type")]
        kind: Option<&'a RawValue>,
    }
    const NOTHING: &str = r#"{"type":"object","properties":{}}"#;
    let Some(raw) = parameters.filter(|raw| !matches!(raw.get(), "null")) else {
        return serde_json::from_str::<&RawValue>(NOTHING).ok().map(Cow::Borrowed);
    };
    let peek: Peek<'_> = serde_json::from_str(raw.get()).ok()?;
    match peek.kind.map(RawValue::get) {
        Some("\"object\"") => Some(Cow::Borrowed(raw)),
        Some(_) => None,
        None => {
            let members = raw.get().strip_prefix('{')?.trim_start();
            let text = match members {
                "}" => NOTHING.to_owned(),
                members => format!("{{\"type\":\"object\",{members}"),
            };
            RawValue::from_string(text).ok().map(Cow::Owned)
        }
    }
}

/// What core's conversation has no place for, whatever the dialect: the bit, and what to call it.
const NOT_HELD: [(Capabilities, &str); 7] = [
    (Capabilities::VISION, "/messages: images"),
    (Capabilities::PDF, "/messages: files"),
    (Capabilities::AUDIO_IN, "/messages: audio"),
    (Capabilities::VIDEO_IN, "/messages: video"),
    (Capabilities::AUDIO_OUT, "/modalities: audio output"),
    (Capabilities::LOGPROBS, "/logprobs: log-probabilities"),
    (Capabilities::EMBEDDINGS, "/: embeddings"),
];

/// The part of the gate that is the same for all dialects.
///
/// # Errors
/// The first member that cannot be carried.
pub(super) fn gate(dialect: DialectId, envelope: &Envelope) -> Result<(), Inexpressible> {
    unmapped(dialect, &envelope.unmapped)?;
    let refuse = |what: String| Err(Inexpressible { dialect, what });
    if envelope.n > 1 {
        return refuse(format!("/n: {} answers to one request", envelope.n));
    }
    if envelope.images > 0 {
        return refuse("/messages: images".to_owned());
    }
    if let Some((_, what)) = NOT_HELD.iter().find(|(bit, _)| envelope.needs.intersects(*bit)) {
        return refuse((*what).to_owned());
    }
    match envelope.service_tier.as_deref() {
        None | Some("auto" | "default") => Ok(()),
        Some(tier) => refuse(format!("/service_tier: \"{}\"", clean(tier))),
    }
}

/// Refuses the first member the conversation has no place for.
///
/// # Errors
/// That member.
pub(super) fn unmapped(dialect: DialectId, members: &[String]) -> Result<(), Inexpressible> {
    let Some(member) = members.first() else { return Ok(()) };
    let slash = if member.starts_with('/') { "" } else { "/" };
    Err(Inexpressible { dialect, what: format!("{slash}{}: a member without a counterpart", clean(member)) })
}

/// A whole answer from the steps of one: for dialects whose whole reply is a stream of a single event.
pub(super) fn gather(deltas: Vec<Delta>) -> Answer {
    let mut answer = Answer::default();
    let mut calls = Vec::new();
    for delta in deltas {
        match delta {
            Delta::Start { id, model } => (answer.id, answer.model) = (id, model),
            Delta::Text(more) => match answer.parts.last_mut() {
                Some(Part::Text(text)) => text.push_str(&more),
                _ => answer.parts.push(Part::Text(more)),
            },
            Delta::Reasoning(more) => answer.reasoning.get_or_insert_default().push_str(&more),
            Delta::Refusal(text) => answer.parts.push(Part::Refusal(text)),
            Delta::ToolStart { id, name, .. } => {
                calls.push(answer.parts.len());
                answer.parts.push(Part::ToolCall { id, name, arguments: String::new() });
            }
            Delta::ToolArguments { index, json } => {
                let part = usize::try_from(index).ok().and_then(|index| calls.get(index).copied());
                if let Some(Part::ToolCall { arguments, .. }) = part.and_then(|at| answer.parts.get_mut(at)) {
                    arguments.push_str(&json);
                }
            }
            Delta::Usage(usage) => answer.usage = Some(usage),
            Delta::Finish(reason) => answer.finish = Some(reason),
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_text_is_one_bounded_line_without_credentials() {
        let cases = [
            ("plain words, 12 tokens", "plain words, 12 tokens"),
            ("Consumer 'api_key:AIzaSyA1234567890abcdef' suspended", "Consumer 'api_key:…' suspended"),
            ("bad key sk-ant-REDACTED\nline", "bad key … line"),
            ("<html><body>502</body></html>", "a page instead of an error"),
        ];
        for (message, expected) in cases {
            assert_eq!(clean(message), expected);
        }
        assert!(clean(&"word ".repeat(1000)).len() <= MESSAGE_CAP_BYTES + '…'.len_utf8());
        assert!(clean(&"x".repeat(10_000)).len() <= MESSAGE_CAP_BYTES);
    }

    #[test]
    fn tool_parameters_become_an_object_schema_in_the_clients_order() {
        let cases = [
            ("null", Some(r#"{"type":"object","properties":{}}"#)),
            ("{ }", Some(r#"{"type":"object","properties":{}}"#)),
            (
                r#"{"type":"object","properties":{"b":{},"a":{}}}"#,
                Some(r#"{"type":"object","properties":{"b":{},"a":{}}}"#),
            ),
            (r#"{"properties":{"b":{},"a":{}}}"#, Some(r#"{"type":"object","properties":{"b":{},"a":{}}}"#)),
            (r#"{"type":"array"}"#, None),
            ("[]", None),
        ];
        for (given, expected) in cases {
            let raw = RawValue::from_string(given.to_owned()).unwrap();
            assert_eq!(
                object_schema(Some(&raw)).map(|raw| raw.get().to_owned()).as_deref(),
                expected,
                "{given}"
            );
        }
    }

    #[test]
    fn arguments_are_an_object_or_nothing() {
        let cases = [
            ("", Some("{}")),
            (" \n", Some("{}")),
            (r#" {"a": [1]} "#, Some(r#"{"a": [1]}"#)),
            ("[1]", None),
            ("null", None),
            (r#"{"a":"#, None),
        ];
        for (given, expected) in cases {
            assert_eq!(arguments(given).map(RawValue::get), expected, "{given:?}");
        }
    }
}
