//! Writes Anthropic requests from core's conversation: turns alternate, results of one assistant turn stand in one user
//! turn and before its text, system text stands beside the turns.

use std::borrow::Cow;

use router_core::capability::Capabilities;
use router_core::chat::{Conversation, Message, Part, ResponseFormat, Role, Tool, ToolChoice};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{check_temperature, check_user, refused, schema};
use crate::dialect::common::{arguments, fingerprint, object_schema, unmapped};
use crate::dialect::{Inexpressible, WriteFor};

/// The output limit, which the API requires, when neither the client nor the catalog knows one: the longest answer that
/// every model since Claude 3 gives.
const MAX_TOKENS_DEFAULT: u64 = 4096;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block<'a>>,
    messages: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ToolForm<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
}

#[derive(Serialize)]
struct Turn<'a> {
    role: &'static str,
    content: Vec<Block<'a>>,
    /// Results at the head of the content.
    #[serde(skip)]
    results: usize,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Text {
        text: &'a str,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: &'a str,
        input: &'a RawValue,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        #[serde(skip_serializing_if = "str::is_empty")]
        content: &'a str,
    },
}

#[derive(Serialize)]
struct ToolForm<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    input_schema: Cow<'a, RawValue>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    strict: bool,
}

#[derive(Serialize)]
struct Choice<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    disable_parallel_tool_use: bool,
}

#[derive(Serialize)]
struct Metadata<'a> {
    user_id: &'a str,
}

#[derive(Serialize)]
struct OutputConfig<'a> {
    format: Format<'a>,
}

#[derive(Serialize)]
struct Format<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    schema: &'a RawValue,
}

/// The body of a request.
pub(super) fn write(conversation: &Conversation, to: &WriteFor<'_>) -> Result<Vec<u8>, Inexpressible> {
    unmapped(super::DialectId::Anthropic, &conversation.unmapped)?;
    check_sampling(conversation)?;
    let known_limit = to.max_tokens.or(conversation.max_tokens).or(to.max_output_tokens);
    let body = Body {
        model: to.model,
        max_tokens: known_limit.unwrap_or(MAX_TOKENS_DEFAULT),
        system: conversation.system.iter().filter_map(|text| text_block(text)).collect(),
        messages: turns(conversation, to.capabilities)?,
        tools: tools(&conversation.tools, to.capabilities)?,
        tool_choice: choice(conversation)?,
        stop_sequences: stop(&conversation.stop)?,
        // 1 is the default of both; models that take no sampling parameters take a request without them.
        temperature: conversation.temperature.filter(|value| *value != 1.0),
        top_p: conversation.top_p.filter(|value| *value != 1.0),
        metadata: metadata(conversation.user.as_deref())?,
        output_config: output_config(&conversation.response_format)?,
        stream: conversation.stream,
    };
    serde_json::to_vec(&body).map_err(|problem| refused(problem.to_string()))
}

fn check_sampling(conversation: &Conversation) -> Result<(), Inexpressible> {
    check_temperature(conversation.temperature)?;
    let given = |value: Option<f64>| value.is_some_and(|value| value != 0.0);
    let table = [
        (conversation.seed.is_some(), "/seed: a sampling seed"),
        (given(conversation.presence_penalty), "/presence_penalty: a penalty"),
        (given(conversation.frequency_penalty), "/frequency_penalty: a penalty"),
    ];
    match table.iter().find(|(given, _)| *given) {
        Some((_, what)) => Err(refused(*what)),
        None => Ok(()),
    }
}

/// The API refuses blocks of nothing but white space.
fn text_block(text: &str) -> Option<Block<'_>> {
    (!text.trim().is_empty()).then_some(Block::Text { text })
}

fn turns(conversation: &Conversation, capabilities: Capabilities) -> Result<Vec<Turn<'_>>, Inexpressible> {
    let mut turns: Vec<Turn<'_>> = Vec::with_capacity(conversation.messages.len());
    for (place, message) in conversation.messages.iter().enumerate() {
        for part in &message.parts {
            if let Some(block) = block(place, message, part)? {
                add(&mut turns, message.role, block);
            }
        }
    }
    prefill(&mut turns, capabilities)?;
    match turns.is_empty() {
        true => Err(refused("/messages: a request without a turn that has content")),
        false => Ok(turns),
    }
}

fn block<'a>(place: usize, message: &Message, part: &'a Part) -> Result<Option<Block<'a>>, Inexpressible> {
    Ok(match part {
        Part::Text(text) | Part::Refusal(text) => text_block(text),
        Part::ToolCall { id, name, arguments: json } if message.role == Role::Assistant => {
            let input = arguments(json).ok_or_else(|| {
                refused(format!("/messages/{place}: arguments of call \"{id}\" that are not a JSON object"))
            })?;
            Some(Block::ToolUse { id: call_id(id), name, input })
        }
        Part::ToolResult { id, text } if message.role != Role::Assistant => {
            Some(Block::ToolResult { tool_use_id: call_id(id), content: text })
        }
        Part::ToolCall { id, .. } | Part::ToolResult { id, .. } => {
            return Err(refused(format!("/messages/{place}: tool part \"{id}\" in a turn of another role")));
        }
    })
}

fn add<'a>(turns: &mut Vec<Turn<'a>>, role: Role, block: Block<'a>) {
    let role = if role == Role::Assistant { "assistant" } else { "user" };
    if turns.last().is_none_or(|last| last.role != role) {
        turns.push(Turn { role, content: Vec::new(), results: 0 });
    }
    let Some(turn) = turns.last_mut() else { return };
    if matches!(block, Block::ToolResult { .. }) {
        turn.content.insert(turn.results, block);
        turn.results += 1;
    } else {
        turn.content.push(block);
    }
}

/// A conversation that ends with the assistant asks to be gone on from, which not every model does; the API refuses white
/// space at its end.
fn prefill(turns: &mut [Turn<'_>], capabilities: Capabilities) -> Result<(), Inexpressible> {
    let Some(last) = turns.last_mut().filter(|turn| turn.role == "assistant") else { return Ok(()) };
    if !capabilities.contains(Capabilities::PREFILL) {
        return Err(refused(
            "/messages: a last turn by the assistant, on a model that does not go on from one",
        ));
    }
    if let Some(Block::Text { text }) = last.content.last_mut() {
        *text = text.trim_end();
    }
    Ok(())
}

/// A call's id as the API takes it (`^[a-zA-Z0-9_-]+$`); another provider's id that does not fit is replaced by one that
/// follows from it alone, so that call and result still meet.
fn call_id(id: &str) -> Cow<'_, str> {
    let fits = !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if fits { Cow::Borrowed(id) } else { Cow::Owned(format!("call_{:016x}", fingerprint(&[id]))) }
}

fn tools(tools: &[Tool], capabilities: Capabilities) -> Result<Vec<ToolForm<'_>>, Inexpressible> {
    tools.iter().enumerate().map(|(place, tool)| tool_form(place, tool, capabilities)).collect()
}

fn tool_form(place: usize, tool: &Tool, capabilities: Capabilities) -> Result<ToolForm<'_>, Inexpressible> {
    let at = |what: &str| refused(format!("/tools/{place}/function/{what}"));
    let input_schema = object_schema(tool.parameters.as_deref())
        .ok_or_else(|| at("parameters: a schema that is not of an object"))?;
    let strict = tool.strict == Some(true);
    if strict && !capabilities.contains(Capabilities::JSON_SCHEMA) {
        return Err(at("strict: on a model without constrained output"));
    }
    if strict {
        schema::check(&input_schema).map_err(|what| at(&format!("parameters{what}, with strict")))?;
    }
    Ok(ToolForm { name: &tool.name, description: tool.description.as_deref(), input_schema, strict })
}

fn choice(conversation: &Conversation) -> Result<Option<Choice<'_>>, Inexpressible> {
    let one_at_a_time = conversation.parallel_tool_calls == Some(false);
    if conversation.tools.is_empty() {
        return match &conversation.tool_choice {
            ToolChoice::Auto | ToolChoice::None => Ok(None),
            ToolChoice::Required | ToolChoice::Named(_) => {
                Err(refused("/tool_choice: a call, without tools"))
            }
        };
    }
    let (kind, name) = match &conversation.tool_choice {
        ToolChoice::Auto if !one_at_a_time => return Ok(None),
        ToolChoice::Auto => ("auto", None),
        ToolChoice::None => ("none", None),
        ToolChoice::Required => ("any", None),
        ToolChoice::Named(name) => ("tool", Some(name.as_str())),
    };
    Ok(Some(Choice { kind, name, disable_parallel_tool_use: one_at_a_time && kind != "none" }))
}

fn stop(stop: &[String]) -> Result<&[String], Inexpressible> {
    match stop.iter().position(|text| text.trim().is_empty()) {
        Some(place) => Err(refused(format!("/stop/{place}: a stop sequence of white space only"))),
        None => Ok(stop),
    }
}

fn metadata(user: Option<&str>) -> Result<Option<Metadata<'_>>, Inexpressible> {
    check_user(user)?;
    Ok(user.filter(|user| !user.is_empty()).map(|user_id| Metadata { user_id }))
}

fn output_config(format: &ResponseFormat) -> Result<Option<OutputConfig<'_>>, Inexpressible> {
    match format {
        ResponseFormat::Text => Ok(None),
        ResponseFormat::JsonObject => Err(refused("/response_format: json_object (json_schema is carried)")),
        ResponseFormat::JsonSchema { schema, .. } => {
            schema::check(schema)
                .map_err(|what| refused(format!("/response_format/json_schema/schema{what}")))?;
            Ok(Some(OutputConfig { format: Format { kind: "json_schema", schema } }))
        }
    }
}
