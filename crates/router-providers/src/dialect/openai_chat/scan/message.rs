//! Reads the `messages` of a request: texts by range, roles, images and other media; nothing is copied.

use router_core::capability::Capabilities;
use router_core::chat::{Envelope, TextKind, TextSpan};

use super::read::{Scanned, Scanner, pointer_to, wrong};
use crate::json::{Kind, Text};

/// Roles and where their text stands.
const ROLES: [(&str, TextKind); 6] = [
    ("system", TextKind::System),
    ("developer", TextKind::System),
    ("user", TextKind::User),
    ("assistant", TextKind::Assistant),
    ("tool", TextKind::ToolResult),
    ("function", TextKind::ToolResult),
];

/// Types of content parts beside text: what they need.
const MEDIA: [(&str, Capabilities); 4] = [
    ("image_url", Capabilities::VISION),
    ("input_audio", Capabilities::AUDIO_IN),
    ("file", Capabilities::PDF),
    ("video_url", Capabilities::VIDEO_IN),
];

/// Members of a message that carry nothing another dialect would have to say: what the SDKs give back from an answer
/// (annotations), and reasoning, which the providers that show it document as not to be sent back.
const SILENT: [&str; 4] = ["annotations", "reasoning_content", "reasoning", "reasoning_details"];

pub(super) fn messages(scanner: &mut Scanner<'_>, envelope: &mut Envelope) -> Scanned<()> {
    scanner.expect(Kind::Array, "an array")?;
    scanner.array(|scanner, index| {
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        message(scanner, envelope, number).map_err(|stop| stop.under(&format!("/{index}")))
    })?;
    if envelope.turns == 0 {
        return wrong("", "there must be at least one message");
    }
    Ok(())
}

fn message(scanner: &mut Scanner<'_>, envelope: &mut Envelope, number: u32) -> Scanned<()> {
    scanner.expect(Kind::Object, "an object")?;
    let (mut role, texts) = (None, envelope.texts.len());
    scanner.object(|scanner, key| {
        match key {
            "role" => role = Some(read_role(scanner)?),
            "content" => content(scanner, envelope, number)?,
            "tool_calls" => tool_calls(scanner, envelope, number)?,
            "refusal" => {
                if !scanner.null()? {
                    scanner.expect(Kind::String, "a string")?;
                    let text = scanner.cursor.string()?;
                    push(envelope, (number, TextKind::Assistant), text);
                }
            }
            "tool_call_id" => scanner.optional_string().map(drop)?,
            name if SILENT.contains(&name) => scanner.skip()?,
            name => {
                if !matches!(scanner.raw()?, b"null" | b"[]" | b"{}" | b"\"\"") {
                    envelope.unmapped.push(format!("/messages/{number}{}", pointer_to(name)));
                }
            }
        }
        Ok(())
    })?;
    let Some(kind) = role else { return wrong("/role", "a message needs a role") };
    // A role may come after its content, so texts get their kind here.
    for text in envelope.texts.iter_mut().skip(texts).filter(|text| text.kind != TextKind::ToolArguments) {
        text.kind = kind;
    }
    envelope.turns += 1;
    envelope.after_tool_result = kind == TextKind::ToolResult;
    Ok(())
}

fn read_role(scanner: &mut Scanner<'_>) -> Scanned<TextKind> {
    scanner.expect(Kind::String, "a string")?;
    let text = scanner.cursor.string()?;
    let name = scanner.cursor.unescape(&text);
    match ROLES.iter().find(|(role, _)| *role == name) {
        Some((_, kind)) => Ok(*kind),
        None => wrong("", format!("must be one of: {}", ROLES.map(|(role, _)| role).join(", "))),
    }
}

fn content(scanner: &mut Scanner<'_>, envelope: &mut Envelope, number: u32) -> Scanned<()> {
    match scanner.cursor.kind()? {
        Kind::Null => scanner.skip(),
        Kind::String => {
            let text = scanner.cursor.string()?;
            push(envelope, (number, TextKind::User), text);
            Ok(())
        }
        Kind::Array => scanner.array(|scanner, index| {
            part(scanner, envelope, (number, index)).map_err(|stop| stop.under(&format!("/{index}")))
        }),
        _ => wrong("", "must be a string or an array of parts"),
    }
}

fn part(scanner: &mut Scanner<'_>, envelope: &mut Envelope, (number, index): (u32, usize)) -> Scanned<()> {
    scanner.expect(Kind::Object, "an object")?;
    let (mut kind, mut text, mut foreign) = (None, None, false);
    scanner.object(|scanner, key| {
        match key {
            "type" => kind = scanner.optional_string()?,
            "text" | "refusal" => {
                scanner.expect(Kind::String, "a string")?;
                text = Some(scanner.cursor.string()?);
            }
            _ => {
                foreign = true;
                scanner.skip()?;
            }
        }
        Ok(())
    })?;
    let Some(kind) = kind else { return wrong("/type", "a part needs a type") };
    match (&*kind, text) {
        ("text" | "refusal", Some(text)) => push(envelope, (number, TextKind::User), text),
        ("text" | "refusal", None) => return wrong(&pointer_to(&kind), "a text part needs its text"),
        _ => foreign = true,
    }
    if let Some((name, need)) = MEDIA.iter().find(|(name, _)| *name == kind) {
        envelope.needs |= *need;
        envelope.images += u32::from(*name == "image_url");
    }
    if foreign {
        envelope.unmapped.push(format!("/messages/{number}/content/{index}"));
    }
    Ok(())
}

fn tool_calls(scanner: &mut Scanner<'_>, envelope: &mut Envelope, number: u32) -> Scanned<()> {
    if scanner.null()? {
        return Ok(());
    }
    scanner.expect(Kind::Array, "an array")?;
    scanner.array(|scanner, index| {
        let at = |stop: super::read::Stop| stop.under(&format!("/{index}"));
        scanner.expect(Kind::Object, "an object").map_err(at)?;
        let mut foreign = None;
        scanner
            .object(|scanner, key| match key {
                "function" => call(scanner, envelope, number),
                "type" => {
                    foreign = scanner.optional_string()?.filter(|kind| kind != "function");
                    Ok(())
                }
                _ => scanner.skip(),
            })
            .map_err(at)?;
        if foreign.is_some() {
            envelope.unmapped.push(format!("/messages/{number}/tool_calls/{index}"));
        }
        Ok(())
    })
}

fn call(scanner: &mut Scanner<'_>, envelope: &mut Envelope, number: u32) -> Scanned<()> {
    scanner.expect(Kind::Object, "an object")?;
    scanner.object(|scanner, key| {
        if key == "arguments" && scanner.cursor.kind()? == Kind::String {
            let text = scanner.cursor.string()?;
            push(envelope, (number, TextKind::ToolArguments), text);
            return Ok(());
        }
        scanner.skip()
    })
}

fn push(envelope: &mut Envelope, (message, kind): (u32, TextKind), text: Text) {
    let bytes = envelope.body.get(text.span.clone()).unwrap_or_default();
    envelope.stats.add_escaped(bytes);
    envelope.texts.push(TextSpan { message, kind, span: text.span, escaped: text.escaped });
}
