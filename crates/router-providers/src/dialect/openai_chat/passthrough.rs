//! A chat completions request for an upstream of the same dialect: the client's own bytes, cut and spliced where the
//! deployment needs another value. Nothing is parsed again and the body is not copied.

use bytes::Bytes;
use router_core::chat::{Envelope, Span};
use smallvec::SmallVec;

use crate::json::{Cursor, Kind, quoted};
use crate::provider::{MaxTokensName, Quirks};
use crate::transport::Pieces;

/// What the deployment needs otherwise than the client wrote it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Changes<'a> {
    /// The upstream's name of the model.
    pub model: &'a str,
    /// Most output tokens the router allows.
    pub cap: Option<u64>,
    /// What the provider takes.
    pub quirks: Quirks,
    /// An answer that broke off is gone on from.
    pub tail: Option<&'a Tail>,
}

/// What makes of a request the one for the rest of its answer.
#[derive(Clone, Debug)]
pub(crate) struct Tail {
    /// Messages to append, JSON separated by commas.
    pub messages: String,
    /// Members to add.
    pub members: &'static [(&'static str, bool)],
    /// `response_format` is cut: the rest of a JSON value is none.
    pub without_format: bool,
}

/// A range of the client's body and what stands there instead.
type Edit = (Span, String);

/// The client's bytes with the changes, in pieces.
pub(crate) fn body(envelope: &Envelope, changes: &Changes<'_>) -> Pieces {
    let mut edits: SmallVec<[Edit; 6]> = SmallVec::new();
    let mut cuts: SmallVec<[Span; 4]> = SmallVec::new();
    let mut insert = String::new();
    if envelope.model != changes.model {
        edits.push((envelope.model_span.clone(), quoted(changes.model)));
    }
    if let Some(span) = &envelope.options_span {
        cuts.push(bare(&envelope.body, span));
    }
    output_limit(envelope, changes, &mut edits, &mut cuts, &mut insert);
    stream_options(envelope, changes.quirks, &mut edits, &mut cuts, &mut insert);
    if let Some(tail) = changes.tail {
        go_on(&envelope.body, tail, &mut edits, &mut cuts);
        tail.members.iter().for_each(|(name, value)| insert.push_str(&format!("\"{name}\":{value},")));
    }
    edits.extend(with_commas(&envelope.body, cuts).into_iter().map(|span| (span, String::new())));
    if !insert.is_empty() {
        edits.push((envelope.insert_at..envelope.insert_at, insert));
    }
    edits.sort_unstable_by_key(|(span, _)| (span.start, span.end));
    apply(&envelope.body, edits)
}

/// The messages at the end of the client's own, and the form of the answer cut.
fn go_on(body: &[u8], tail: &Tail, edits: &mut SmallVec<[Edit; 6]>, cuts: &mut SmallVec<[Span; 4]>) {
    if let Some(messages) = find_member(body, |key, _| key == "messages") {
        let end = messages.end.saturating_sub(1);
        let before = body.get(messages.start..end).unwrap_or_default().trim_ascii_end();
        let comma = if before.ends_with(b"[") { "" } else { "," };
        edits.push((end..end, format!("{comma}{}", tail.messages)));
    }
    if tail.without_format {
        cuts.extend(find_member(body, |key, _| key == "response_format"));
    }
}

/// The value of a member of the top level, as it is written.
pub(crate) fn member<'a>(body: &'a [u8], name: &str) -> Option<&'a str> {
    let mut at = None;
    find_member(body, |key, value| {
        let found = key == name;
        if found {
            at = Some(value.clone());
        }
        found
    })?;
    std::str::from_utf8(body.get(at?)?).ok()
}

fn apply(body: &Bytes, edits: SmallVec<[Edit; 6]>) -> Pieces {
    let mut pieces = Pieces::new();
    let mut from = 0;
    for (span, text) in edits {
        if from < span.start {
            pieces.push(body.slice(from..span.start));
        }
        if !text.is_empty() {
            pieces.push(Bytes::from(text));
        }
        from = span.end.max(from);
    }
    if from < body.len() {
        pieces.push(body.slice(from..));
    }
    pieces
}

/// The output limit under the name the provider takes, no higher than the cap.
fn output_limit(
    envelope: &Envelope,
    changes: &Changes<'_>,
    edits: &mut SmallVec<[Edit; 6]>,
    cuts: &mut SmallVec<[Span; 4]>,
    insert: &mut String,
) {
    let name = changes.quirks.max_tokens.name();
    let Some(given) = &envelope.max_tokens else {
        let Some(cap) = changes.cap else { return };
        let name = name.unwrap_or("max_tokens");
        cuts.extend(null_limits(&envelope.body));
        insert.push_str(&format!("\"{name}\":{cap},"));
        return;
    };
    let value = changes.cap.map_or(given.value, |cap| cap.min(given.value));
    let fits = |member: &Span| {
        let key = envelope.body.get(member.start + 1..).unwrap_or_default();
        name.is_none_or(|name| key.starts_with(name.as_bytes()) && key.get(name.len()) == Some(&b'"'))
    };
    if value == given.value && given.members.iter().all(|(member, _)| fits(member)) {
        return;
    }
    let mut members = given.members.iter();
    if let Some((member, number)) = members.next() {
        edits.push(match name {
            Some(name) if !fits(member) => (member.clone(), format!("\"{name}\":{value}")),
            _ => (number.clone(), value.to_string()),
        });
    }
    cuts.extend(members.map(|(member, _)| member.clone()));
    cuts.extend(null_limits(&envelope.body));
}

/// Output limits that are null: they must not stay beside a member that is written.
fn null_limits(body: &[u8]) -> impl Iterator<Item = Span> {
    ["max_tokens", "max_completion_tokens"].into_iter().filter_map(|name| null_member(body, name))
}

/// Streams report their usage: asked for where the provider has to be asked, the member cut where it refuses it.
fn stream_options(
    envelope: &Envelope,
    quirks: Quirks,
    edits: &mut SmallVec<[Edit; 6]>,
    cuts: &mut SmallVec<[Span; 4]>,
    insert: &mut String,
) {
    let given = envelope.stream_options_span.as_ref();
    if !quirks.stream_options {
        cuts.extend(given.and_then(|value| member_around(&envelope.body, value)));
        return;
    }
    if !envelope.stream || envelope.include_usage {
        return;
    }
    match given {
        None => insert.push_str(r#""stream_options":{"include_usage":true},"#),
        Some(span) => edits.push((span.clone(), asking(envelope.body.get(span.clone()).unwrap_or_default()))),
    }
}

/// `stream_options` with usage asked for and its other members kept.
fn asking(object: &[u8]) -> String {
    let mut text = String::from(r#"{"include_usage":true"#);
    let mut cursor = Cursor::new(object, usize::MAX);
    if cursor.kind() == Ok(Kind::Object) && cursor.enter().is_ok() {
        let mut first = true;
        while let Ok(Some(key)) = cursor.key(&mut first) {
            let Ok(value) = cursor.skip() else { break };
            if cursor.unescape(&key) != "include_usage" {
                let member = object.get(key.span.start - 1..value.end).unwrap_or_default();
                text.push(',');
                text.push_str(&String::from_utf8_lossy(member));
            }
        }
    }
    text.push('}');
    text
}

/// The member whose value is at `value`: from its key's quote. Found by walking the top level, which is rare.
fn member_around(body: &[u8], value: &Span) -> Option<Span> {
    find_member(body, |_, at| *at == *value)
}

/// The member `name` of the top level, if its value is null.
fn null_member(body: &[u8], name: &str) -> Option<Span> {
    memchr::memmem::find(body, name.as_bytes())?;
    find_member(body, |key, at| key == name && body.get(at.clone()) == Some(b"null"))
}

fn find_member(body: &[u8], mut wanted: impl FnMut(&str, &Span) -> bool) -> Option<Span> {
    let mut cursor = Cursor::new(body, usize::MAX);
    cursor.kind().ok()?;
    cursor.enter().ok()?;
    let mut first = true;
    while let Some(key) = cursor.key(&mut first).ok()? {
        let value = cursor.skip().ok()?;
        if wanted(&cursor.unescape(&key), &value) {
            return Some(key.span.start - 1..value.end);
        }
    }
    None
}

/// A member's range without the comma and white space at its ends.
fn bare(body: &[u8], span: &Span) -> Span {
    let bytes = body.get(span.clone()).unwrap_or_default();
    let outside = |byte: &u8| byte.is_ascii_whitespace() || *byte == b',';
    let front = bytes.iter().take_while(|byte| outside(byte)).count();
    let back = bytes.iter().rev().take_while(|byte| outside(byte)).count();
    span.start + front..span.end.saturating_sub(back)
}

/// Ranges to cut for these members: each with the comma after it, or, at the end of the object, the one before it.
fn with_commas(body: &[u8], mut members: SmallVec<[Span; 4]>) -> SmallVec<[Span; 4]> {
    members.sort_unstable_by_key(|span| span.start);
    members.dedup();
    let skip = |mut at: usize| {
        while body.get(at).is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        }
        at
    };
    let mut cuts: SmallVec<[Span; 4]> = SmallVec::new();
    for member in members {
        let after = skip(member.end);
        let last = body.get(after) != Some(&b',');
        let end = if last { member.end } else { after + 1 };
        match cuts.last_mut() {
            // Next to the one before: one cut, so that a comma is never cut twice or left over.
            Some(cut) if skip(cut.end) == member.start => cut.end = end,
            _ => cuts.push(member.start..end),
        }
        if let Some(cut) = cuts.last_mut().filter(|_| last) {
            let before = body.get(..cut.start).unwrap_or_default();
            cut.start = memchr::memrchr(b',', before)
                .filter(|comma| skip(comma + 1) == cut.start)
                .unwrap_or(cut.start);
        }
    }
    cuts
}

impl MaxTokensName {
    const fn name(self) -> Option<&'static str> {
        match self {
            Self::AsGiven => None,
            Self::MaxTokens => Some("max_tokens"),
            Self::MaxCompletionTokens => Some("max_completion_tokens"),
        }
    }
}
