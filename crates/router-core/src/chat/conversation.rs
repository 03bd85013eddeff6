//! The canonical conversation: what every dialect maps to and from. Built at most once per request, and only when the
//! upstream speaks another dialect than the client.

use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;

use super::Usage;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The person or program that asks.
    User,
    /// The model.
    Assistant,
    /// The result of a tool call.
    Tool,
}

/// One piece of a message.
#[derive(Clone, Debug)]
pub enum Part {
    /// Text.
    Text(String),
    /// A call the assistant made. `arguments` is JSON text as the model wrote it, possibly empty.
    ToolCall {
        /// The id the result refers to.
        id: String,
        /// The function.
        name: String,
        /// JSON text.
        arguments: String,
    },
    /// What a tool returned.
    ToolResult {
        /// The id of the call.
        id: String,
        /// Its text.
        text: String,
    },
    /// The assistant declined.
    Refusal(String),
}

/// One turn, or a part of one: neighbours of the same role may follow each other.
#[derive(Clone, Debug)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said, in order.
    pub parts: Vec<Part>,
}

/// A function the model may call.
#[derive(Clone, Debug)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it does, for the model.
    pub description: Option<String>,
    /// JSON Schema of its arguments.
    pub parameters: Option<Arc<RawValue>>,
    /// The arguments must satisfy the schema exactly.
    pub strict: Option<bool>,
}

/// Whether and which tool must be called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// None may be called.
    None,
    /// At least one must be called.
    Required,
    /// This one must be called.
    Named(String),
}

/// What form the answer must have.
#[derive(Clone, Debug, Default)]
pub enum ResponseFormat {
    /// Text.
    #[default]
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON that satisfies a schema.
    JsonSchema {
        /// The schema's name.
        name: String,
        /// The schema.
        schema: Arc<RawValue>,
        /// Held to exactly.
        strict: bool,
    },
}

/// A request in full.
#[derive(Clone, Debug, Default)]
pub struct Conversation {
    /// System and developer text, in order.
    pub system: Vec<String>,
    /// The turns.
    pub messages: Vec<Message>,
    /// Functions offered.
    pub tools: Vec<Tool>,
    /// Whether they must be used.
    pub tool_choice: ToolChoice,
    /// Several calls in one answer; `None`: the provider's default.
    pub parallel_tool_calls: Option<bool>,
    /// Form of the answer.
    pub response_format: ResponseFormat,
    /// Most output tokens the client allows.
    pub max_tokens: Option<u64>,
    /// Sampling temperature, 0..=2.
    pub temperature: Option<f64>,
    /// Nucleus sampling.
    pub top_p: Option<f64>,
    /// Sampling seed.
    pub seed: Option<i64>,
    /// Strings that end the answer.
    pub stop: Vec<String>,
    /// Presence penalty.
    pub presence_penalty: Option<f64>,
    /// Frequency penalty.
    pub frequency_penalty: Option<f64>,
    /// Stream the answer.
    pub stream: bool,
    /// The end user's id, as the client gave it.
    pub user: Option<String>,
    /// Names of request fields that have no place here, by JSON pointer: the gate refuses them for other dialects.
    pub unmapped: Vec<String>,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model was done, or a stop string came.
    Stop,
    /// A token limit was reached.
    Length,
    /// The model calls tools.
    ToolCalls,
    /// The provider's filter stopped it.
    ContentFilter,
}

/// A whole answer (one choice).
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The provider's id of it.
    pub id: Option<String>,
    /// The model the provider says answered.
    pub model: Option<String>,
    /// Text, calls, refusal, in order.
    pub parts: Vec<Part>,
    /// Reasoning shown by the provider, if any.
    pub reasoning: Option<String>,
    /// Why it ended.
    pub finish: Option<FinishReason>,
    /// Tokens, when the provider reported them.
    pub usage: Option<Usage>,
    /// Anything the dialect wants to carry along.
    pub extra: Option<Value>,
}

/// One step of a streamed answer (one choice).
#[derive(Clone, Debug)]
pub enum Delta {
    /// The answer began.
    Start {
        /// The provider's id of it.
        id: Option<String>,
        /// The model the provider says answers.
        model: Option<String>,
    },
    /// More text.
    Text(String),
    /// More reasoning.
    Reasoning(String),
    /// More refusal.
    Refusal(String),
    /// A tool call begins. `index` counts the calls of this answer from 0.
    ToolStart {
        /// Which call.
        index: u32,
        /// Its id.
        id: String,
        /// The function.
        name: String,
    },
    /// More of a call's arguments.
    ToolArguments {
        /// Which call.
        index: u32,
        /// JSON text to append.
        json: String,
    },
    /// Tokens so far: replaces what was known, never adds.
    Usage(Usage),
    /// The answer ended.
    Finish(FinishReason),
}
