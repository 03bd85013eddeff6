//! The dialects that clients speak: how each asks, and what it has understood of an answer. One row each.

use router_tests::client::{Answer, Request, data};
use serde_json::{Map, Value, json};

use super::rows::{Mode, Turn};

/// One dialect.
#[derive(Debug)]
pub(super) struct Dialect {
    pub(super) name: &'static str,
    /// A request to this model.
    pub(super) ask: fn(&str, Mode, Turn) -> Request,
    /// What a client of it takes from an answer.
    pub(super) read: fn(&Answer, Mode) -> Saw,
}

/// All of them.
pub(super) const DIALECTS: [Dialect; 1] =
    [Dialect { name: "openai_chat", ask: ask_openai_chat, read: read_openai_chat }];

/// What a client saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Saw {
    /// Text of the answer.
    pub(super) text: String,
    /// Names of the functions called, each with arguments that are whole JSON.
    pub(super) calls: Vec<String>,
    /// Why it ended.
    pub(super) finish: Option<String>,
    /// The end that says that all is there.
    pub(super) ended: bool,
    /// The code of an error, in the body or in an event.
    pub(super) error: Option<String>,
}

fn ask_openai_chat(model: &str, mode: Mode, turn: Turn) -> Request {
    let function = |name: &str, parameter: &str| {
        json!({ "type": "function", "function": { "name": name,
            "parameters": { "type": "object", "properties": { parameter: { "type": "string" } } } } })
    };
    let mut body = json!({ "model": model, "messages": [{ "role": "user", "content": "count for me" }] });
    if mode != Mode::Json {
        body["stream"] = json!(true);
    }
    if mode == Mode::Tools || turn == Turn::AfterTool {
        body["tools"] = json!([function("get_weather", "city"), function("get_time", "zone")]);
    }
    match turn {
        Turn::First => {}
        Turn::AfterTool => {
            let called = json!({ "role": "assistant", "content": null, "tool_calls": [{ "id": "call_a",
                "type": "function", "function": { "name": "get_weather", "arguments": "{\"city\":\"Paris\"}" } }] });
            let result = json!({ "role": "tool", "tool_call_id": "call_a", "content": "sunny" });
            body["messages"] = json!([{ "role": "user", "content": "count for me" }, called, result]);
        }
        Turn::OneToken => body["max_tokens"] = json!(1),
    }
    Request::chat(&body)
}

fn read_openai_chat(answer: &Answer, mode: Mode) -> Saw {
    let code = |value: &Value| value["error"]["code"].as_str().map(str::to_owned);
    if mode == Mode::Json || answer.status != 200 {
        let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else { return Saw::default() };
        let choice = &body["choices"][0];
        let calls = choice["message"]["tool_calls"].as_array().into_iter().flatten();
        return Saw {
            text: choice["message"]["content"].as_str().unwrap_or_default().to_owned(),
            calls: calls.filter_map(|call| whole_call(&call["function"])).collect(),
            finish: choice["finish_reason"].as_str().map(str::to_owned),
            ended: choice["finish_reason"].is_string(),
            error: code(&body),
        };
    }
    let mut saw = Saw::default();
    let mut calls: Vec<Map<String, Value>> = Vec::new();
    for event in answer.events() {
        saw.ended |= event == "data: [DONE]\n\n";
        let Some(value) = data(&event) else { continue };
        saw.error = saw.error.or_else(|| code(&value));
        let choice = &value["choices"][0];
        saw.text += choice["delta"]["content"].as_str().unwrap_or_default();
        saw.finish = saw.finish.or_else(|| choice["finish_reason"].as_str().map(str::to_owned));
        for piece in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let at = piece["index"].as_u64().unwrap_or_default() as usize;
            calls.resize_with(calls.len().max(at + 1), Map::new);
            for (name, value) in piece["function"].as_object().into_iter().flatten() {
                let so_far = calls[at].get(name).and_then(Value::as_str).unwrap_or_default();
                let joined = format!("{so_far}{}", value.as_str().unwrap_or_default());
                calls[at].insert(name.clone(), json!(joined));
            }
        }
    }
    saw.calls = calls.into_iter().filter_map(|call| whole_call(&Value::Object(call))).collect();
    saw
}

/// The name of a function whose arguments are whole.
fn whole_call(function: &Value) -> Option<String> {
    let arguments: Value = serde_json::from_str(function["arguments"].as_str()?).ok()?;
    arguments.is_object().then(|| function["name"].as_str().map(str::to_owned))?
}
