//! Test only: walks `testdata/<dialect>/<case>/`, and reads and writes core's values in a short text form.
//!
//! A case is any of: `request.json` (a conversation and what it is written for) with `upstream.txt` (what is sent) or
//! `refused.txt`; `response.json` with `answer.txt`; `stream.sse` with `deltas.txt`. `UPDATE=1` writes what is expected.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use router_core::capability::Capabilities;
use router_core::chat::{
    Answer, Conversation, Delta, Envelope, FinishReason, Message, Part, ResponseFormat, Role, Tool,
    ToolChoice, Usage,
};
use router_core::tokens::TextStats;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{ReplyFault, Upstream, WriteFor};
use crate::sse::Splitter;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    to: To,
    #[serde(default)]
    system: Vec<String>,
    #[serde(default)]
    messages: Vec<Turn>,
    #[serde(default)]
    tools: Vec<ToolCase>,
    #[serde(default)]
    tool_choice: Choice,
    parallel_tool_calls: Option<bool>,
    #[serde(default)]
    response_format: Format,
    temperature: Option<f64>,
    top_p: Option<f64>,
    seed: Option<i64>,
    #[serde(default)]
    stop: Vec<String>,
    presence_penalty: Option<f64>,
    frequency_penalty: Option<f64>,
    #[serde(default)]
    stream: bool,
    user: Option<String>,
    #[serde(default)]
    unmapped: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct To {
    model: String,
    max_tokens: Option<u64>,
    max_output_tokens: Option<u64>,
    #[serde(default)]
    capabilities: Capabilities,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Turn {
    User(Vec<Piece>),
    Assistant(Vec<Piece>),
    Tool(Vec<Piece>),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Piece {
    Call(String, String, String),
    Result(String, String),
    Refusal(String),
    #[serde(untagged)]
    Text(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolCase {
    name: String,
    description: Option<String>,
    parameters: Option<Box<RawValue>>,
    strict: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Choice {
    #[default]
    Auto,
    None,
    Required,
    Named(String),
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Format {
    #[default]
    Text,
    JsonObject,
    JsonSchema(Box<RawValue>),
}

impl Turn {
    fn message(self) -> Message {
        let (role, pieces) = match self {
            Self::User(pieces) => (Role::User, pieces),
            Self::Assistant(pieces) => (Role::Assistant, pieces),
            Self::Tool(pieces) => (Role::Tool, pieces),
        };
        let part = |piece| match piece {
            Piece::Text(text) => Part::Text(text),
            Piece::Call(id, name, arguments) => Part::ToolCall { id, name, arguments },
            Piece::Result(id, text) => Part::ToolResult { id, text },
            Piece::Refusal(text) => Part::Refusal(text),
        };
        Message { role, parts: pieces.into_iter().map(part).collect() }
    }
}

impl Case {
    fn conversation(self) -> (Conversation, To) {
        let tool = |tool: ToolCase| Tool {
            name: tool.name,
            description: tool.description,
            parameters: tool.parameters.map(Arc::from),
            strict: tool.strict,
        };
        let conversation = Conversation {
            system: self.system,
            messages: self.messages.into_iter().map(Turn::message).collect(),
            tools: self.tools.into_iter().map(tool).collect(),
            tool_choice: match self.tool_choice {
                Choice::Auto => ToolChoice::Auto,
                Choice::None => ToolChoice::None,
                Choice::Required => ToolChoice::Required,
                Choice::Named(name) => ToolChoice::Named(name),
            },
            parallel_tool_calls: self.parallel_tool_calls,
            response_format: match self.response_format {
                Format::Text => ResponseFormat::Text,
                Format::JsonObject => ResponseFormat::JsonObject,
                Format::JsonSchema(schema) => ResponseFormat::JsonSchema {
                    name: "answer".to_owned(),
                    schema: schema.into(),
                    strict: true,
                },
            },
            max_tokens: None,
            temperature: self.temperature,
            top_p: self.top_p,
            seed: self.seed,
            stop: self.stop,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            stream: self.stream,
            user: self.user,
            unmapped: self.unmapped,
        };
        (conversation, self.to)
    }
}

/// Path, headers and body.
type Written = (String, Vec<(&'static str, String)>, Value);

/// The path, headers and body, or the refusal, of a request in the test form.
pub(super) fn write(upstream: &dyn Upstream, case: &str) -> Result<Written, String> {
    let case: Case = serde_json::from_str(case).unwrap_or_else(|problem| panic!("{problem} in {case}"));
    let (conversation, to) = case.conversation();
    let to = WriteFor {
        model: &to.model,
        max_tokens: to.max_tokens,
        max_output_tokens: to.max_output_tokens,
        capabilities: to.capabilities,
        prefill: None,
    };
    let outgoing = upstream.request(&conversation, &to).map_err(|refused| refused.to_string())?;
    let body = serde_json::from_slice(&outgoing.body.concat()).unwrap();
    Ok((outgoing.path, outgoing.headers, body))
}

/// The body of a request in a few members of the test form, `to` added; or the refusal.
pub(super) fn write_to(upstream: &dyn Upstream, to: &str, members: &str) -> Result<Value, String> {
    write(upstream, &format!("{{\"to\":{to},{members}}}")).map(|(_, _, body)| body)
}

/// An envelope of another dialect, for the gate.
pub(super) fn envelope() -> Envelope {
    Envelope {
        body: Bytes::new(),
        dialect: router_core::chat::DialectId::OpenaiChat,
        model: "m".to_owned(),
        model_span: 0..0,
        stream: false,
        include_usage: false,
        stream_options_span: None,
        max_tokens: None,
        temperature: None,
        n: 1,
        texts: Vec::new(),
        turns: 1,
        tools: 0,
        tools_span: None,
        images: 0,
        after_tool_result: false,
        needs: Capabilities::empty(),
        stats: TextStats::default(),
        options: router_core::chat::RequestOptions::default(),
        options_span: None,
        user: None,
        service_tier: None,
        unmapped: Vec::new(),
        insert_at: 0,
    }
}

/// The steps of a stream, fed in pieces of `chunk_bytes`, and the fault that ended it.
pub(super) fn decode(
    upstream: &dyn Upstream,
    stream: &[u8],
    chunk_bytes: usize,
) -> (Vec<Delta>, Option<ReplyFault>) {
    let (mut splitter, mut decoder, mut deltas) = (Splitter::new(1 << 20), upstream.decoder(), Vec::new());
    let mut events = Vec::new();
    for chunk in stream.chunks(chunk_bytes) {
        splitter.push(Bytes::copy_from_slice(chunk));
        while let Some(event) = splitter.next_event().unwrap() {
            events.push(event);
        }
    }
    events.extend(splitter.finish());
    for event in events {
        let Some(data) = event.data() else { continue };
        if let Err(fault) = decoder.event(event.name(), data, &mut deltas) {
            return (deltas, Some(fault));
        }
    }
    let fault = decoder.end(&mut deltas).err();
    assert!(fault.is_none() || !decoder.is_done(), "a stream that is done has no fault left");
    (deltas, fault)
}

/// A stream's events as SSE: one line of data each.
pub(super) fn sse(events: &[&str]) -> Vec<u8> {
    events.iter().flat_map(|data| format!("data: {data}\n\n").into_bytes()).collect()
}

fn usage_text(usage: &Usage) -> String {
    let members = serde_json::to_value(usage).unwrap();
    let members: BTreeMap<String, u64> = serde_json::from_value(members).unwrap();
    let given: Vec<_> =
        members.iter().filter(|(_, n)| **n > 0).map(|(name, n)| format!("{name}={n}")).collect();
    format!("usage {}", given.join(" "))
}

fn finish_text(reason: FinishReason) -> String {
    format!("finish {}", serde_json::to_value(reason).unwrap().as_str().unwrap())
}

/// One step as a line.
pub(super) fn delta_text(delta: &Delta) -> String {
    match delta {
        Delta::Start { id, model } => format!("start {id:?} {model:?}"),
        Delta::Text(text) => format!("text {text:?}"),
        Delta::Reasoning(text) => format!("reasoning {text:?}"),
        Delta::Refusal(text) => format!("refusal {text:?}"),
        Delta::ToolStart { index, id, name } => format!("tool {index} {id:?} {name:?}"),
        Delta::ToolArguments { index, json } => format!("arguments {index} {json:?}"),
        Delta::Usage(usage) => usage_text(usage),
        Delta::Finish(reason) => finish_text(*reason),
    }
}

/// Steps and the fault that ended them, one a line.
pub(super) fn deltas_text(deltas: &[Delta], fault: Option<&ReplyFault>) -> String {
    let mut lines: Vec<_> = deltas.iter().map(delta_text).collect();
    lines.extend(fault.map(fault_text));
    lines.join("\n") + "\n"
}

fn fault_text(fault: &ReplyFault) -> String {
    format!("fault {} {:?} {:?}", fault.kind.name(), fault.message, fault.code)
}

/// A whole answer, or the fault in its place, one part a line.
pub(super) fn answer_text(answer: &Result<Answer, ReplyFault>) -> String {
    let answer = match answer {
        Ok(answer) => answer,
        Err(fault) => return fault_text(fault) + "\n",
    };
    let mut lines = vec![format!("start {:?} {:?}", answer.id, answer.model)];
    lines.extend(answer.reasoning.iter().map(|text| format!("reasoning {text:?}")));
    lines.extend(answer.parts.iter().map(|part| match part {
        Part::Text(text) => format!("text {text:?}"),
        Part::ToolCall { id, name, arguments } => format!("tool {id:?} {name:?} {arguments:?}"),
        Part::ToolResult { id, text } => format!("result {id:?} {text:?}"),
        Part::Refusal(text) => format!("refusal {text:?}"),
    }));
    lines.extend(answer.usage.as_ref().map(usage_text));
    lines.extend(answer.finish.map(finish_text));
    lines.join("\n") + "\n"
}

fn compare(path: &Path, actual: &str) {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, actual).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(expected, actual, "{}", path.display());
}

fn request_text(outgoing: &Written) -> String {
    let (path, headers, body) = outgoing;
    let mut text = format!("POST {path}\n");
    headers.iter().for_each(|(name, value)| text += &format!("{name}: {value}\n"));
    text + "\n" + &serde_json::to_string_pretty(body).unwrap() + "\n"
}

fn run(upstream: &dyn Upstream, case: &Path) -> usize {
    let mut checked = 0;
    if let Ok(request) = fs::read_to_string(case.join("request.json")) {
        checked += 1;
        match write(upstream, &request) {
            Ok(outgoing) => compare(&case.join("upstream.txt"), &request_text(&outgoing)),
            Err(refused) => compare(&case.join("refused.txt"), &(refused + "\n")),
        }
    }
    if let Ok(response) = fs::read(case.join("response.json")) {
        checked += 1;
        compare(&case.join("answer.txt"), &answer_text(&upstream.answer(&response)));
    }
    if let Ok(stream) = fs::read(case.join("stream.sse")) {
        checked += 1;
        let whole = decode(upstream, &stream, usize::MAX);
        let text = deltas_text(&whole.0, whole.1.as_ref());
        compare(&case.join("deltas.txt"), &text);
        let bytes = decode(upstream, &stream, 1);
        assert_eq!(deltas_text(&bytes.0, bytes.1.as_ref()), text, "byte by byte: {}", case.display());
    }
    checked
}

/// The folder of a dialect's cases.
pub(super) fn folder(dialect: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(dialect)
}

/// Checks every case of a dialect, and that each checks something.
pub(super) fn walk(upstream: &dyn Upstream, least: usize) {
    let folder = folder(upstream.id().name());
    let cases: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(cases.len() >= least, "{} cases under {}", cases.len(), folder.display());
    for case in cases {
        assert!(run(upstream, &case) > 0, "nothing to check in {}", case.display());
    }
}
