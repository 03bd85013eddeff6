//! Reads what routing needs of a chat completions request, in one pass over its bytes; builds no conversation.
//!
//! What a request needs, as capability bits: what makes another deployment refuse it or answer something else. `seed` is
//! a wish (OpenAI documents it as best effort) and sets no bit; `parallel_tool_calls` only when asked for with tools;
//! `reasoning_effort` unless it is `none`, because models that do not reason refuse the member.

mod habits;
mod lookalike;
mod message;
mod options;
mod read;

use bytes::Bytes;
use router_core::capability::Capabilities;
use router_core::chat::{DialectId, Envelope, Habits, MaxTokens, RequestOptions, Span};
use router_core::tokens::TextStats;

use self::read::{Keys, Scanned, Scanner, pointer_to};
use crate::dialect::{RequestProblem, ScanLimits};
use crate::json::{Kind, Text};

/// Reads a request.
///
/// # Errors
/// The first thing wrong, with its pointer.
pub(super) fn scan(body: &Bytes, limits: ScanLimits) -> Result<Envelope, RequestProblem> {
    if let Err(error) = std::str::from_utf8(body) {
        let message = format!("the body is not valid UTF-8 at byte {}", error.valid_up_to());
        return Err(RequestProblem { pointer: String::new(), message });
    }
    let mut scanner = Scanner::new(body, limits.max_depth);
    let mut envelope = empty(body);
    top(&mut scanner, &mut envelope).map_err(read::Stop::into_problem)?;
    Ok(envelope)
}

fn empty(body: &Bytes) -> Envelope {
    Envelope {
        body: body.clone(),
        dialect: DialectId::OpenaiChat,
        model: String::new(),
        model_span: 0..0,
        stream: false,
        include_usage: false,
        stream_options_span: None,
        max_tokens: None,
        temperature: None,
        n: 1,
        texts: Vec::new(),
        turns: 0,
        tools: 0,
        tools_span: None,
        images: 0,
        after_tool_result: false,
        needs: Capabilities::empty(),
        stats: TextStats::default(),
        options: RequestOptions::default(),
        habits: Habits::default(),
        own_spans: Vec::new(),
        user: None,
        service_tier: None,
        unmapped: Vec::new(),
        insert_at: 0,
    }
}

/// What is known of the top level beside the envelope.
#[derive(Default)]
struct Top {
    messages: bool,
    parallel: bool,
}

fn top(scanner: &mut Scanner<'_>, envelope: &mut Envelope) -> Scanned<()> {
    scanner.expect(Kind::Object, "a JSON object")?;
    scanner.cursor.enter()?;
    envelope.insert_at = scanner.cursor.at();
    let (mut first, mut keys, mut state) = (true, Keys::default(), Top::default());
    while let Some(key) = scanner.cursor.key(&mut first)? {
        let name = keys.add(scanner, &key)?;
        let result = match &*name {
            "messages" => {
                state.messages = true;
                message::messages(scanner, envelope).map_err(|stop| stop.under("/messages"))
            }
            name => member(scanner, envelope, &mut state, (name, &key)),
        };
        result?;
    }
    scanner.cursor.end()?;
    if envelope.model_span.is_empty() && !envelope.habits.models.is_empty() {
        envelope.model = envelope.habits.models.remove(0);
        envelope.habits.first_is_model = true;
    } else if envelope.model_span.is_empty() {
        return read::wrong("/model", "a model must be named");
    }
    if !state.messages {
        return read::wrong("/messages", "messages are required");
    }
    if state.parallel && envelope.tools > 0 {
        envelope.needs |= Capabilities::PARALLEL_TOOLS;
    }
    Ok(())
}

/// One member of the body, beside `messages`.
fn member(
    scanner: &mut Scanner<'_>,
    envelope: &mut Envelope,
    state: &mut Top,
    (name, key): (&str, &Text),
) -> Scanned<()> {
    let at = |stop: read::Stop| stop.under(&pointer_to(name));
    match name {
        "model" => model(scanner, envelope).map_err(at),
        "router" => router(scanner, envelope, key).map_err(at),
        "max_tokens" | "max_completion_tokens" => max_tokens(scanner, envelope, key).map_err(at),
        "stream" => {
            envelope.stream = scanner.optional_bool().map_err(at)?.unwrap_or(false);
            Ok(())
        }
        "stream_options" => stream_options(scanner, envelope).map_err(at),
        "parallel_tool_calls" => {
            state.parallel = scanner.optional_bool().map_err(at)?.unwrap_or(false);
            Ok(())
        }
        "temperature" => {
            envelope.temperature = scanner.optional_number().map_err(at)?;
            Ok(())
        }
        "top_p" | "presence_penalty" | "frequency_penalty" => scanner.optional_number().map(drop).map_err(at),
        "seed" => scanner.optional_integer().map(drop).map_err(at),
        "n" => count(scanner, envelope).map_err(at),
        "stop" => stop(scanner).map_err(at),
        "user" => {
            envelope.user = scanner.optional_string().map_err(at)?;
            Ok(())
        }
        "service_tier" => service_tier(scanner, envelope).map_err(at),
        "tools" => tools(scanner, envelope).map_err(at),
        "tool_choice" => typed_choice(scanner, envelope).map_err(at),
        "response_format" => response_format(scanner, envelope).map_err(at),
        "logprobs" | "top_logprobs" | "reasoning_effort" | "modalities" | "audio" | "functions" => {
            needing(scanner, envelope, name).map_err(at)
        }
        _ => match habits::member(scanner, envelope, name).map_err(at)? {
            Some(true) => {
                envelope.own_spans.push(key.span.start - 1..scanner.cursor.at());
                Ok(())
            }
            Some(false) => Ok(()),
            None => foreign(scanner, envelope, name),
        },
    }
}

fn model(scanner: &mut Scanner<'_>, envelope: &mut Envelope) -> Scanned<()> {
    scanner.expect(Kind::String, "a string")?;
    let text = scanner.cursor.string()?;
    envelope.model = scanner.cursor.unescape(&text).into_owned();
    if envelope.model.is_empty() || envelope.model.chars().any(char::is_control) {
        return read::wrong("", "a model must be named");
    }
    envelope.model_span = text.span.start - 1..text.span.end + 1;
    Ok(())
}

/// The `router` object: its wishes, and the range to cut.
fn router(scanner: &mut Scanner<'_>, envelope: &mut Envelope, key: &Text) -> Scanned<()> {
    scanner.expect(Kind::Object, "an object")?;
    let span = scanner.cursor.skip()?;
    envelope.options = options::read(scanner.bytes.get(span.clone()).unwrap_or_default())?;
    envelope.own_spans.push(key.span.start - 1..span.end);
    Ok(())
}

fn max_tokens(scanner: &mut Scanner<'_>, envelope: &mut Envelope, key: &Text) -> Scanned<()> {
    if scanner.null()? {
        return Ok(());
    }
    let start = scanner.cursor.at();
    let Some(value) = scanner.optional_integer()?.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0)
    else {
        return read::wrong("", "an output limit must be a whole number of at least 1");
    };
    let spans: (Span, Span) = (key.span.start - 1..scanner.cursor.at(), start..scanner.cursor.at());
    let given = envelope.max_tokens.get_or_insert(MaxTokens { value, members: Vec::new() });
    given.value = given.value.min(value);
    given.members.push(spans);
    Ok(())
}

fn stream_options(scanner: &mut Scanner<'_>, envelope: &mut Envelope) -> Scanned<()> {
    if scanner.cursor.kind()? == Kind::Null {
        envelope.stream_options_span = Some(scanner.cursor.skip()?);
        return Ok(());
    }
    scanner.expect(Kind::Object, "an object")?;
    let start = scanner.cursor.at();
    let mut include = false;
    scanner.object(|scanner, key| {
        if key == "include_usage" {
            include = scanner.optional_bool()?.unwrap_or(false);
            return Ok(());
        }
        scanner.skip()
    })?;
    envelope.include_usage = include;
    envelope.stream_options_span = Some(start..scanner.cursor.at());
    Ok(())
}

fn count(scanner: &mut Scanner<'_>, envelope: &mut Envelope) -> Scanned<()> {
    let Some(n) = scanner.optional_integer()? else { return Ok(()) };
    // OpenAI documents 128 as the most.
    match u32::try_from(n) {
        Ok(n @ 1..=128) => envelope.n = n,
        _ => return read::wrong("", "n must be between 1 and 128"),
    }
    Ok(())
}

fn stop(scanner: &mut Scanner<'_>) -> Scanned<()> {
    if scanner.cursor.kind()? != Kind::Array {
        return scanner.optional_string().map(drop);
    }
    scanner.array(|scanner, index| {
        scanner
            .expect(Kind::String, "a string")
            .and_then(|()| scanner.skip())
            .map_err(|stop| stop.under(&format!("/{index}")))
    })
}

fn service_tier(scanner: &mut Scanner<'_>, envelope: &mut Envelope) -> Scanned<()> {
    envelope.service_tier = scanner.optional_string()?;
    if envelope.service_tier.as_deref().is_some_and(|tier| !matches!(tier, "auto" | "default")) {
        envelope.unmapped.push("/service_tier".to_owned());
    }
    Ok(())
}

fn tools(scanner: &mut Scanner<'_>, envelope: &mut Envelope) -> Scanned<()> {
    if scanner.null()? {
        return Ok(());
    }
    scanner.expect(Kind::Array, "an array")?;
    let start = scanner.cursor.at();
    let mut count = 0;
    scanner.array(|scanner, index| {
        count += 1;
        let at = |stop: read::Stop| stop.under(&format!("/{index}"));
        scanner.expect(Kind::Object, "an object").map_err(at)?;
        let kind = scanner.type_of_object().map_err(at)?;
        if kind.as_deref() != Some("function") {
            envelope.unmapped.push(format!("/tools/{index}"));
        }
        Ok(())
    })?;
    let span = start..scanner.cursor.at();
    if count > 0 {
        envelope.needs |= Capabilities::TOOLS;
        envelope.stats.add_escaped(scanner.bytes.get(span.clone()).unwrap_or_default());
    }
    envelope.tools = count;
    envelope.tools_span = Some(span);
    Ok(())
}

fn typed_choice(scanner: &mut Scanner<'_>, envelope: &mut Envelope) -> Scanned<()> {
    match scanner.cursor.kind()? {
        Kind::Null | Kind::String => scanner.skip(),
        Kind::Object => {
            if scanner.type_of_object()?.as_deref() != Some("function") {
                envelope.unmapped.push("/tool_choice".to_owned());
            }
            Ok(())
        }
        _ => read::wrong("", "must be a string or an object"),
    }
}

fn response_format(scanner: &mut Scanner<'_>, envelope: &mut Envelope) -> Scanned<()> {
    if scanner.null()? {
        return Ok(());
    }
    scanner.expect(Kind::Object, "an object")?;
    match scanner.type_of_object()?.as_deref() {
        Some("text") => {}
        Some("json_object") => envelope.needs |= Capabilities::JSON_OBJECT,
        Some("json_schema") => envelope.needs |= Capabilities::JSON_SCHEMA,
        Some(_) => envelope.unmapped.push("/response_format".to_owned()),
        None => return read::wrong("/type", "a response format needs a type"),
    }
    Ok(())
}

/// Members whose presence is a need, and that no other dialect has.
fn needing(scanner: &mut Scanner<'_>, envelope: &mut Envelope, name: &str) -> Scanned<()> {
    let value = scanner.raw()?;
    let (bit, wanted) = match name {
        "logprobs" => (Capabilities::LOGPROBS, value == b"true"),
        "top_logprobs" => (Capabilities::LOGPROBS, !matches!(value, b"null" | b"0")),
        "reasoning_effort" => (Capabilities::REASONING, !matches!(value, b"null" | b"\"none\"")),
        "modalities" => (Capabilities::AUDIO_OUT, memchr::memmem::find(value, b"\"audio\"").is_some()),
        "audio" => (Capabilities::AUDIO_OUT, value != b"null"),
        _ => (Capabilities::TOOLS, !matches!(value, b"null" | b"[]")),
    };
    if wanted {
        envelope.needs |= bit;
        envelope.unmapped.push(pointer_to(name));
    }
    Ok(())
}

/// A member that only this dialect knows, or nobody yet: forwarded, and named for the gate unless it says nothing.
fn foreign(scanner: &mut Scanner<'_>, envelope: &mut Envelope, name: &str) -> Scanned<()> {
    if let Some(meant) = lookalike::of(name) {
        return read::wrong(&pointer_to(name), format!("is written \"{meant}\""));
    }
    if !says_nothing(scanner.raw()?) {
        envelope.unmapped.push(pointer_to(name));
    }
    Ok(())
}

/// A value that any dialect expresses, by leaving it out.
fn says_nothing(value: &[u8]) -> bool {
    matches!(value, b"null" | b"false" | b"[]" | b"{}" | b"\"\"")
}

#[cfg(test)]
mod tests;
