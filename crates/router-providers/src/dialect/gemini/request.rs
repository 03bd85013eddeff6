//! Writes Gemini requests from core's conversation: contents by turns, results of one model turn together, each with the
//! name of its function.

use std::borrow::Cow;
use std::collections::HashMap;

use router_core::capability::Capabilities;
use router_core::chat::{Conversation, Message, Part, ResponseFormat, Role, Tool, ToolChoice};
use serde::Serialize;
use serde_json::value::RawValue;

use super::refused;
use crate::dialect::common::{arguments, object_schema, unmapped};
use crate::dialect::{Inexpressible, WriteFor};

/// Most stop sequences the API takes.
const STOP_MAX: usize = 5;

/// The documented stand-in for the signature of a call's thoughts (Gemini API documentation, "Thought signatures"):
/// models from Gemini 3 on refuse calls of the running turn without one, and OpenAI's format has no place to keep it.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<System<'a>>,
    contents: Vec<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tools<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'a>>,
    #[serde(skip_serializing_if = "Generation::is_empty")]
    generation_config: Generation<'a>,
}

#[derive(Serialize)]
struct System<'a> {
    parts: Vec<Piece<'a>>,
}

#[derive(Serialize)]
struct Content<'a> {
    role: &'static str,
    parts: Vec<Piece<'a>>,
    /// It holds results of calls and nothing else.
    #[serde(skip)]
    results: bool,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Piece<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_response: Option<Reply<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<&'static str>,
}

#[derive(Serialize)]
struct Call<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    name: &'a str,
    args: &'a RawValue,
}

#[derive(Serialize)]
struct Reply<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    name: &'a str,
    response: Output<'a>,
}

/// Always as text: numbers inside a `google.protobuf.Struct` are doubles, and a tool's 64-bit ids would be changed.
#[derive(Serialize)]
struct Output<'a> {
    output: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tools<'a> {
    function_declarations: Vec<Function<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Function<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters_json_schema: Option<Cow<'a, RawValue>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig<'a> {
    function_calling_config: Calling<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Calling<'a> {
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_function_names: Option<[&'a str; 1]>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Generation<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_json_schema: Option<&'a RawValue>,
}

impl Generation<'_> {
    fn is_empty(&self) -> bool {
        let numbers = [self.temperature, self.top_p, self.presence_penalty, self.frequency_penalty];
        self.max_output_tokens.is_none()
            && self.seed.is_none()
            && self.stop_sequences.is_empty()
            && self.response_mime_type.is_none()
            && numbers.iter().all(Option::is_none)
    }
}

/// The body of a request.
pub(super) fn write(conversation: &Conversation, to: &WriteFor<'_>) -> Result<Vec<u8>, Inexpressible> {
    unmapped(super::DialectId::Gemini, &conversation.unmapped)?;
    let system: Vec<_> = conversation.system.iter().filter_map(|text| text_piece(text)).collect();
    let functions = conversation.tools.iter().enumerate().map(|(place, tool)| function(place, tool));
    let function_declarations = functions.collect::<Result<Vec<_>, _>>()?;
    let body = Body {
        system_instruction: (!system.is_empty()).then_some(System { parts: system }),
        contents: contents(conversation, to)?,
        tool_config: tool_config(conversation)?,
        tools: if function_declarations.is_empty() { vec![] } else { vec![Tools { function_declarations }] },
        generation_config: generation(conversation, to)?,
    };
    serde_json::to_vec(&body).map_err(|problem| refused(problem.to_string()))
}

fn text_piece(text: &str) -> Option<Piece<'_>> {
    (!text.is_empty()).then(|| Piece { text: Some(text), ..Piece::default() })
}

fn contents<'a>(
    conversation: &'a Conversation,
    to: &WriteFor<'_>,
) -> Result<Vec<Content<'a>>, Inexpressible> {
    let signature = wants_signature(to.model).then_some(NO_SIGNATURE);
    let mut names: HashMap<&str, &str> = HashMap::new();
    let mut contents: Vec<Content<'_>> = Vec::with_capacity(conversation.messages.len());
    for (place, message) in conversation.messages.iter().enumerate() {
        // Parallel calls have one signature between them, on the first.
        let mut signature = signature;
        for part in &message.parts {
            let piece = match part {
                Part::Text(text) | Part::Refusal(text) => text_piece(text),
                Part::ToolCall { id, name, .. } => {
                    names.insert(id, name);
                    Some(call(place, message, part, signature.take())?)
                }
                Part::ToolResult { id, text } => Some(result(place, id, text, &names)?),
            };
            if let Some(piece) = piece {
                add(&mut contents, message.role, piece);
            }
        }
    }
    let last_is_models = contents.last().is_some_and(|last| last.role == "model");
    if last_is_models && !to.capabilities.contains(Capabilities::PREFILL) {
        return Err(refused(
            "/messages: a last turn by the assistant, on a model that does not go on from one",
        ));
    }
    match contents.is_empty() {
        true => Err(refused("/messages: a request without a turn that has content")),
        false => Ok(contents),
    }
}

fn call<'a>(
    place: usize,
    message: &Message,
    part: &'a Part,
    thought_signature: Option<&'static str>,
) -> Result<Piece<'a>, Inexpressible> {
    let Part::ToolCall { id, name, arguments: json } = part else { return Ok(Piece::default()) };
    if message.role != Role::Assistant {
        return Err(refused(format!("/messages/{place}: tool part \"{id}\" in a turn of another role")));
    }
    let args = arguments(json).ok_or_else(|| {
        refused(format!("/messages/{place}: arguments of call \"{id}\" that are not a JSON object"))
    })?;
    Ok(Piece { function_call: Some(Call { id, name, args }), thought_signature, ..Piece::default() })
}

fn result<'a>(
    place: usize,
    id: &'a str,
    text: &'a str,
    names: &HashMap<&'a str, &'a str>,
) -> Result<Piece<'a>, Inexpressible> {
    let name = names.get(id).copied().ok_or_else(|| {
        refused(format!("/messages/{place}: the result of call \"{id}\", which no earlier turn made"))
    })?;
    let response = Some(Reply { id, name, response: Output { output: text } });
    Ok(Piece { function_response: response, ..Piece::default() })
}

/// Neighbours of one role are one content, but results stand alone: the API wants them right after the calls, as many.
fn add<'a>(contents: &mut Vec<Content<'a>>, role: Role, piece: Piece<'a>) {
    let role = if role == Role::Assistant { "model" } else { "user" };
    let results = piece.function_response.is_some();
    match contents.last_mut().filter(|last| last.role == role && last.results == results) {
        Some(last) => last.parts.push(piece),
        None => contents.push(Content { role, parts: vec![piece], results }),
    }
}

/// Gemini 3 and later check signatures; a name without a version is an alias of the latest. Gemini 1 and 2 and other
/// families do not know the stand-in.
fn wants_signature(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    name.strip_prefix("gemini-").is_some_and(|rest| !rest.starts_with(['1', '2']))
}

fn function(place: usize, tool: &Tool) -> Result<Function<'_>, Inexpressible> {
    let at = |what: &str| refused(format!("/tools/{place}/function/{what}"));
    if !tool.name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return Err(at("name: one that does not begin with a letter or an underscore"));
    }
    let parameters_json_schema = match &tool.parameters {
        None => None,
        Some(schema) => Some(
            object_schema(Some(schema)).ok_or_else(|| at("parameters: a schema that is not of an object"))?,
        ),
    };
    let description = tool.description.as_deref();
    Ok(Function { name: &tool.name, description, parameters_json_schema })
}

fn tool_config(conversation: &Conversation) -> Result<Option<ToolConfig<'_>>, Inexpressible> {
    if conversation.tools.is_empty() {
        return match &conversation.tool_choice {
            ToolChoice::Auto | ToolChoice::None => Ok(None),
            ToolChoice::Required | ToolChoice::Named(_) => {
                Err(refused("/tool_choice: a call, without tools"))
            }
        };
    }
    if conversation.parallel_tool_calls == Some(false) && conversation.tool_choice != ToolChoice::None {
        return Err(refused("/parallel_tool_calls: one call at a time"));
    }
    let strict = conversation.tools.iter().any(|tool| tool.strict == Some(true));
    let (mode, name) = match &conversation.tool_choice {
        // The mode that holds arguments to their schema without forcing a call.
        ToolChoice::Auto if strict => ("VALIDATED", None),
        ToolChoice::Auto => return Ok(None),
        ToolChoice::None => ("NONE", None),
        ToolChoice::Required => ("ANY", None),
        ToolChoice::Named(name) => ("ANY", Some([name.as_str()])),
    };
    Ok(Some(ToolConfig { function_calling_config: Calling { mode, allowed_function_names: name } }))
}

fn generation<'a>(
    conversation: &'a Conversation,
    to: &WriteFor<'_>,
) -> Result<Generation<'a>, Inexpressible> {
    if conversation.stop.len() > STOP_MAX {
        return Err(refused(format!("/stop: more than {STOP_MAX} sequences")));
    }
    let seed = conversation.seed.map(i32::try_from).transpose();
    let (response_mime_type, response_json_schema) = match &conversation.response_format {
        ResponseFormat::Text => (None, None),
        _ if !conversation.tools.is_empty() => {
            return Err(refused("/response_format: JSON together with tools"));
        }
        ResponseFormat::JsonObject => (Some("application/json"), None),
        ResponseFormat::JsonSchema { schema, .. } => (Some("application/json"), Some(&**schema)),
    };
    Ok(Generation {
        max_output_tokens: to.max_tokens.or(conversation.max_tokens),
        temperature: conversation.temperature,
        top_p: conversation.top_p,
        seed: seed.map_err(|_| refused("/seed: a seed beyond 32 bits"))?,
        // Some models refuse penalties altogether; none is what they do anyway.
        presence_penalty: conversation.presence_penalty.filter(|value| *value != 0.0),
        frequency_penalty: conversation.frequency_penalty.filter(|value| *value != 0.0),
        stop_sequences: &conversation.stop,
        response_mime_type,
        response_json_schema,
    })
}
