//! Requests in full: chat completions JSON to core's conversation and back.

use std::collections::BTreeMap;
use std::sync::Arc;

use router_core::chat::{Conversation, Envelope, Message, Part, ResponseFormat, Role, Tool, ToolChoice};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::response::{Call, OutCall, joined};
use crate::dialect::{Outgoing, RequestProblem, WriteFor};

#[derive(Deserialize)]
struct Body {
    messages: Vec<InMessage>,
    #[serde(default)]
    tools: Option<Vec<InTool>>,
    #[serde(default)]
    tool_choice: Option<Value>,
    #[serde(default)]
    parallel_tool_calls: Option<bool>,
    #[serde(default)]
    response_format: Option<InFormat>,
    #[serde(default)]
    temperature: Option<f64>,
    #[serde(default)]
    top_p: Option<f64>,
    #[serde(default)]
    seed: Option<i64>,
    #[serde(default)]
    stop: Option<Stop>,
    #[serde(default)]
    presence_penalty: Option<f64>,
    #[serde(default)]
    frequency_penalty: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Stop {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct InMessage {
    role: String,
    #[serde(default)]
    content: Option<InContent>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<Call>>,
    #[serde(default)]
    tool_call_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum InContent {
    Text(String),
    Parts(Vec<InPart>),
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum InPart {
    Text { text: String },
    Refusal { refusal: String },
}

#[derive(Deserialize)]
struct InTool {
    function: InFunction,
}

#[derive(Deserialize)]
struct InFunction {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    parameters: Option<Arc<RawValue>>,
    #[serde(default)]
    strict: Option<bool>,
}

#[derive(Deserialize)]
struct InFormat {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    json_schema: Option<InSchema>,
}

#[derive(Deserialize)]
struct InSchema {
    #[serde(default)]
    name: String,
    #[serde(default)]
    schema: Option<Arc<RawValue>>,
    #[serde(default)]
    strict: Option<bool>,
}

fn problem(pointer: impl Into<String>, message: impl Into<String>) -> RequestProblem {
    RequestProblem { pointer: pointer.into(), message: message.into() }
}

/// The request of an envelope in core's form. What has no place there is in `unmapped`, as the scan found it.
pub(super) fn conversation(envelope: &Envelope) -> Result<Conversation, RequestProblem> {
    let body: Body =
        serde_json::from_slice(&envelope.body).map_err(|error| problem("", error.to_string()))?;
    let mut conversation = Conversation {
        tool_choice: tool_choice(body.tool_choice)?,
        parallel_tool_calls: body.parallel_tool_calls,
        response_format: response_format(body.response_format)?,
        max_tokens: envelope.max_tokens.as_ref().map(|limit| limit.value),
        temperature: body.temperature,
        top_p: body.top_p,
        seed: body.seed,
        stop: match body.stop {
            None => Vec::new(),
            Some(Stop::One(text)) => vec![text],
            Some(Stop::Many(texts)) => texts,
        },
        presence_penalty: body.presence_penalty,
        frequency_penalty: body.frequency_penalty,
        stream: envelope.stream,
        user: envelope.user.clone(),
        unmapped: envelope.unmapped.clone(),
        ..Conversation::default()
    };
    for tool in body.tools.unwrap_or_default() {
        let InFunction { name, description, parameters, strict } = tool.function;
        conversation.tools.push(Tool { name, description, parameters, strict });
    }
    for (index, message) in body.messages.into_iter().enumerate() {
        let pointer = format!("/messages/{index}");
        add_message(&mut conversation, message).map_err(|(member, text)| problem(pointer + member, text))?;
    }
    Ok(conversation)
}

fn add_message(to: &mut Conversation, message: InMessage) -> Result<(), (&'static str, &'static str)> {
    let mut parts: Vec<Part> = match message.content {
        None => Vec::new(),
        Some(InContent::Text(text)) => vec![Part::Text(text)],
        Some(InContent::Parts(parts)) => parts
            .into_iter()
            .map(|part| match part {
                InPart::Text { text } => Part::Text(text),
                InPart::Refusal { refusal } => Part::Refusal(refusal),
            })
            .collect(),
    };
    let texts = |parts: &[Part]| {
        joined(parts.iter().filter_map(|part| if let Part::Text(text) = part { Some(&**text) } else { None }))
    };
    let role = match &*message.role {
        "system" | "developer" => {
            to.system.extend(texts(&parts));
            return Ok(());
        }
        "user" => Role::User,
        "assistant" => {
            parts.extend(message.refusal.map(Part::Refusal));
            parts.extend(message.tool_calls.unwrap_or_default().into_iter().map(Part::from));
            Role::Assistant
        }
        "tool" => {
            let Some(id) = message.tool_call_id else {
                return Err(("/tool_call_id", "a tool's result needs the id of its call"));
            };
            parts = vec![Part::ToolResult { id, text: texts(&parts).unwrap_or_default() }];
            Role::Tool
        }
        _ => return Err(("/role", "this role cannot be translated")),
    };
    to.messages.push(Message { role, parts });
    Ok(())
}

fn tool_choice(value: Option<Value>) -> Result<ToolChoice, RequestProblem> {
    match value {
        None | Some(Value::Null) => Ok(ToolChoice::Auto),
        Some(Value::String(name)) => match &*name {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" => Ok(ToolChoice::Required),
            _ => Err(problem("/tool_choice", "must be auto, none, required or a function")),
        },
        Some(choice) => match choice.pointer("/function/name").and_then(Value::as_str) {
            Some(name) => Ok(ToolChoice::Named(name.to_owned())),
            None => Err(problem("/tool_choice/function/name", "a function must be named")),
        },
    }
}

fn response_format(format: Option<InFormat>) -> Result<ResponseFormat, RequestProblem> {
    let Some(format) = format else { return Ok(ResponseFormat::Text) };
    match (&*format.kind, format.json_schema) {
        ("json_object", _) => Ok(ResponseFormat::JsonObject),
        ("json_schema", Some(InSchema { name, schema: Some(schema), strict })) => {
            Ok(ResponseFormat::JsonSchema { name, schema, strict: strict.unwrap_or(false) })
        }
        ("json_schema", _) => Err(problem("/response_format/json_schema/schema", "a schema is required")),
        _ => Ok(ResponseFormat::Text),
    }
}

#[derive(Serialize)]
struct OutBody<'a> {
    model: &'a str,
    messages: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<OutTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<OutFormat<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<Value>,
    #[serde(flatten)]
    more: BTreeMap<&'static str, bool>,
}

#[derive(Serialize)]
struct OutTool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: OutDefinition<'a>,
}

#[derive(Serialize)]
struct OutDefinition<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum OutFormat<'a> {
    JsonObject,
    JsonSchema { json_schema: OutSchema<'a> },
}

#[derive(Serialize)]
struct OutSchema<'a> {
    name: &'a str,
    schema: &'a RawValue,
    strict: bool,
}

/// Writes a request for a chat completions upstream.
pub(super) fn write(conversation: &Conversation, to: &WriteFor<'_>) -> Outgoing {
    let mut messages: Vec<Value> =
        conversation.system.iter().map(|text| json!({ "role": "system", "content": text })).collect();
    conversation.messages.iter().for_each(|message| push_message(message, &mut messages));
    let own = conversation.messages.last().is_some_and(|last| last.role == Role::Assistant);
    let prefill = to.prefill.filter(|_| own);
    if let (Some(last), Some(mark)) = (messages.last_mut(), prefill.map(|p| p.mark).filter(|m| !m.is_empty()))
    {
        last[mark] = json!(true);
    }
    let tools = conversation.tools.iter().map(|tool| OutTool {
        kind: "function",
        function: OutDefinition {
            name: &tool.name,
            description: tool.description.as_deref(),
            parameters: tool.parameters.as_deref(),
            strict: tool.strict,
        },
    });
    let body = OutBody {
        model: to.model,
        messages,
        tools: tools.collect(),
        tool_choice: match &conversation.tool_choice {
            ToolChoice::Auto => None,
            ToolChoice::None => Some(json!("none")),
            ToolChoice::Required => Some(json!("required")),
            ToolChoice::Named(name) => Some(json!({ "type": "function", "function": { "name": name } })),
        },
        parallel_tool_calls: conversation.parallel_tool_calls.filter(|_| !conversation.tools.is_empty()),
        response_format: match &conversation.response_format {
            ResponseFormat::Text => None,
            ResponseFormat::JsonObject => Some(OutFormat::JsonObject),
            ResponseFormat::JsonSchema { name, schema, strict } => {
                Some(OutFormat::JsonSchema { json_schema: OutSchema { name, schema, strict: *strict } })
            }
        },
        max_tokens: to.max_tokens,
        temperature: conversation.temperature,
        top_p: conversation.top_p,
        seed: conversation.seed,
        stop: &conversation.stop,
        presence_penalty: conversation.presence_penalty,
        frequency_penalty: conversation.frequency_penalty,
        user: conversation.user.as_deref(),
        stream: conversation.stream,
        stream_options: conversation.stream.then(|| json!({ "include_usage": true })),
        more: prefill.map(|prefill| prefill.members.iter().copied().collect()).unwrap_or_default(),
    };
    // Plain data with valid raw values: writing it into memory cannot fail.
    let bytes = serde_json::to_vec(&body).unwrap_or_default();
    Outgoing { path: super::PATH.to_owned(), headers: Vec::new(), body: vec![bytes.into()] }
}

/// One turn as chat completions messages: each tool result is a message of its own.
fn push_message(message: &Message, out: &mut Vec<Value>) {
    let (mut texts, mut refusals, mut calls) = (Vec::new(), Vec::new(), Vec::new());
    for part in &message.parts {
        match part {
            Part::Text(text) => texts.push(&**text),
            Part::Refusal(text) => refusals.push(&**text),
            Part::ToolCall { id, name, arguments } => calls.push(OutCall::new(id, name, arguments)),
            Part::ToolResult { id, text } => {
                out.push(json!({ "role": "tool", "tool_call_id": id, "content": text }));
            }
        }
    }
    let role = match message.role {
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => return,
    };
    let mut value = json!({ "role": role, "content": joined(texts.into_iter()) });
    if let Some(refusal) = joined(refusals.into_iter()) {
        value["refusal"] = json!(refusal);
    }
    if !calls.is_empty() {
        value["tool_calls"] = json!(calls);
    }
    out.push(value);
}
