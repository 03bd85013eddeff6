//! What a scripted upstream says, in each wire format: numbered words, so that a mixed-up or cut answer shows, and calls of
//! functions after them.

use serde_json::{Value, json};

use super::{Call, Wire};

/// One answer: so many words, perhaps calls after them, and a reason for its end.
#[derive(Clone, Copy, Debug)]
pub struct Speech {
    /// Words said before: the answer goes on after them.
    pub from: u32,
    /// Number of its last word.
    pub to: u32,
    /// What follows each word, before its space.
    pub mark: &'static str,
    /// A number of the request that each word repeats.
    pub token: Option<u32>,
    /// Two calls of functions follow.
    pub calls: bool,
    /// It ends because of the limit on its length.
    pub capped: bool,
    /// Output tokens reported.
    pub tokens: u32,
}

impl Speech {
    /// So many words, a token each.
    pub fn words(words: u32) -> Self {
        Self { from: 0, to: words, mark: "", token: None, calls: false, capped: false, tokens: words }
    }

    /// The text of its words.
    pub fn text(&self) -> String {
        (self.from..self.to).map(|n| self.word(n)).collect()
    }

    /// The n-th word.
    fn word(&self, n: u32) -> String {
        let token = self.token.map(|token| format!("-{token}")).unwrap_or_default();
        format!("w{n}{token}{} ", self.mark)
    }

    /// The wire format's name for the reason of its end.
    fn reason(&self, wire: Wire) -> &'static str {
        match (wire, self.capped, self.calls) {
            (Wire::OpenaiChat, true, _) => "length",
            (Wire::OpenaiChat, _, true) => "tool_calls",
            (Wire::OpenaiChat, ..) => "stop",
            (Wire::Anthropic, true, _) => "max_tokens",
            (Wire::Anthropic, _, true) => "tool_use",
            (Wire::Anthropic, ..) => "end_turn",
            (Wire::Gemini, true, _) => "MAX_TOKENS",
            (Wire::Gemini, ..) => "STOP",
        }
    }
}

fn usage(wire: Wire, call: &Call, output: u32) -> Value {
    let (input, cached) = (call.input_tokens, call.cached_tokens);
    match wire {
        Wire::OpenaiChat => json!({
            "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + u64::from(output),
            "prompt_tokens_details": { "cached_tokens": cached }
        }),
        // Anthropic counts cached tokens beside the input.
        Wire::Anthropic => json!({
            "input_tokens": input - cached, "cache_read_input_tokens": cached, "cache_creation_input_tokens": 0,
            "output_tokens": output
        }),
        Wire::Gemini => json!({
            "promptTokenCount": input, "cachedContentTokenCount": cached, "candidatesTokenCount": output,
            "totalTokenCount": input + u64::from(output)
        }),
    }
}

/// The two calls a scripted model makes at once: id, function, arguments.
const CALLS: [(&str, &str, &str); 2] =
    [("call_a", "get_weather", r#"{"city":"Paris"}"#), ("call_b", "get_time", r#"{"zone":"Europe/Paris"}"#)];

/// Where a call's arguments are parted, in wire formats that have pieces of them.
const PARTED_AT: usize = 4;

fn parsed(arguments: &str) -> Value {
    serde_json::from_str(arguments).unwrap_or_default()
}

/// A whole answer.
pub(super) fn whole(wire: Wire, call: &Call, speech: &Speech) -> String {
    let (text, usage, reason) = (speech.text(), usage(wire, call, speech.tokens), speech.reason(wire));
    let calls = if speech.calls { &CALLS[..] } else { &[] };
    let answer = match wire {
        Wire::OpenaiChat => {
            let mut message = json!({ "role": "assistant", "content": text });
            if speech.calls {
                let function = |name: &str, arguments: &str| json!({ "name": name, "arguments": arguments });
                let one = |(id, name, arguments): &(&str, &str, &str)| json!({ "id": id, "type": "function", "function": function(name, arguments) });
                message["tool_calls"] = calls.iter().map(one).collect();
            }
            if speech.calls && text.is_empty() {
                message["content"] = Value::Null;
            }
            json!({
                "id": "chatcmpl-1", "object": "chat.completion", "created": 1_767_225_600, "model": call.model,
                "choices": [{ "index": 0, "message": message, "finish_reason": reason }], "usage": usage
            })
        }
        Wire::Anthropic => {
            let said = (!text.is_empty()).then(|| json!({ "type": "text", "text": text }));
            let used = calls.iter().map(|(id, name, arguments)| {
                json!({ "type": "tool_use", "id": id, "name": name, "input": parsed(arguments) })
            });
            let content: Vec<_> = said.into_iter().chain(used).collect();
            json!({
                "id": "msg_1", "type": "message", "role": "assistant", "model": call.model,
                "content": content, "stop_reason": reason, "stop_sequence": null, "usage": usage
            })
        }
        Wire::Gemini => {
            let said = (!text.is_empty()).then(|| json!({ "text": text }));
            let parts: Vec<_> = said.into_iter().chain(calls.iter().map(function_call)).collect();
            let mut content = json!({ "role": "model" });
            if !parts.is_empty() {
                content["parts"] = json!(parts);
            }
            json!({
                "candidates": [{ "content": content, "finishReason": reason, "index": 0 }],
                "usageMetadata": usage, "modelVersion": call.model, "responseId": "r1"
            })
        }
    };
    answer.to_string()
}

fn function_call((_, name, arguments): &(&str, &str, &str)) -> Value {
    json!({ "functionCall": { "name": name, "args": parsed(arguments) } })
}

/// The events of a stream: one opening, one per word, those of the calls, one closing.
pub(super) fn events(wire: Wire, call: &Call, speech: &Speech) -> Vec<String> {
    match wire {
        Wire::OpenaiChat => openai(call, speech),
        Wire::Anthropic => anthropic(call, speech),
        Wire::Gemini => gemini(call, speech),
    }
}

fn openai(call: &Call, speech: &Speech) -> Vec<String> {
    let chunk = |delta: Value, finish: Value| {
        let chunk = json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_767_225_600, "model": call.model,
            "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }]
        });
        format!("data: {chunk}\n\n")
    };
    let mut events = vec![chunk(json!({ "role": "assistant", "content": "" }), Value::Null)];
    let words = speech.from..speech.to;
    events.extend(words.map(|n| chunk(json!({ "content": speech.word(n) }), Value::Null)));
    for (at, (id, name, arguments)) in CALLS.iter().enumerate().filter(|_| speech.calls) {
        let call = |call: Value| chunk(json!({ "tool_calls": [call] }), Value::Null);
        events.push(call(json!({ "index": at, "id": id, "type": "function",
            "function": { "name": name, "arguments": "" } })));
        let (head, tail) = arguments.split_at(PARTED_AT);
        let piece = |piece| call(json!({ "index": at, "function": { "arguments": piece } }));
        events.extend([head, tail].map(piece));
    }
    let mut last = chunk(json!({}), json!(speech.reason(Wire::OpenaiChat)));
    if call.body["stream_options"]["include_usage"] == true {
        let usage = json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_767_225_600, "model": call.model,
            "choices": [], "usage": usage(Wire::OpenaiChat, call, speech.tokens)
        });
        last += &format!("data: {usage}\n\n");
    }
    events.push(last + "data: [DONE]\n\n");
    events
}

fn anthropic(call: &Call, speech: &Speech) -> Vec<String> {
    let event =
        |value: Value| format!("event: {}\ndata: {value}\n\n", value["type"].as_str().unwrap_or_default());
    let stop = |index: usize| event(json!({ "type": "content_block_stop", "index": index }));
    let delta = |index: usize, delta: Value| {
        event(json!({ "type": "content_block_delta", "index": index, "delta": delta }))
    };
    let open = |index: usize, block: Value| {
        event(json!({ "type": "content_block_start", "index": index, "content_block": block }))
    };
    let mut usage = usage(Wire::Anthropic, call, 1);
    let says = speech.to > speech.from;
    let start = json!({ "type": "message_start", "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": call.model, "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": usage.take() } });
    let mut opening = event(start);
    if says {
        opening += &open(0, json!({ "type": "text", "text": "" }));
    }
    let mut events = vec![opening + &event(json!({ "type": "ping" }))];
    let words = speech.from..speech.to;
    events.extend(words.map(|n| delta(0, json!({ "type": "text_delta", "text": speech.word(n) }))));
    let mut last = if says { stop(0) } else { String::new() };
    for (at, (id, name, arguments)) in CALLS.iter().enumerate().filter(|_| speech.calls) {
        let index = at + usize::from(says);
        let block = json!({ "type": "tool_use", "id": id, "name": name, "input": {} });
        events.push(std::mem::take(&mut last) + &open(index, block));
        let (head, tail) = arguments.split_at(PARTED_AT);
        let piece = |piece| delta(index, json!({ "type": "input_json_delta", "partial_json": piece }));
        events.extend([head, tail].map(piece));
        last = stop(index);
    }
    let delta = json!({ "type": "message_delta",
        "delta": { "stop_reason": speech.reason(Wire::Anthropic), "stop_sequence": null },
        "usage": { "output_tokens": speech.tokens } });
    events.push(last + &event(delta) + &event(json!({ "type": "message_stop" })));
    events
}

fn gemini(call: &Call, speech: &Speech) -> Vec<String> {
    let chunk = |parts: Value, finish: Option<&str>, shown: u32| {
        let mut candidate = json!({ "content": { "role": "model", "parts": parts }, "index": 0 });
        if let Some(finish) = finish {
            candidate["finishReason"] = json!(finish);
        }
        let chunk = json!({ "candidates": [candidate], "usageMetadata": usage(Wire::Gemini, call, shown),
            "modelVersion": call.model, "responseId": "r1" });
        format!("data: {chunk}\r\n\r\n")
    };
    let said = |text: &str| json!([{ "text": text }]);
    let mut events = vec![String::from(": open\r\n\r\n")];
    let words = speech.from..speech.to;
    events.extend(words.map(|n| chunk(said(&speech.word(n)), None, n + 1 - speech.from)));
    if speech.calls {
        events.push(chunk(CALLS.iter().map(function_call).collect(), None, speech.tokens));
    }
    events.push(chunk(said(""), Some(speech.reason(Wire::Gemini)), speech.tokens));
    events
}

/// An error object: its status, its type in Anthropic's words (OpenAI's are near), its code in OpenAI's, its text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Problem<'a> {
    pub(super) status: u16,
    pub(super) kind: &'a str,
    pub(super) code: Option<&'a str>,
    /// Google's name for it.
    pub(super) google: &'a str,
    pub(super) message: &'a str,
}

impl<'a> Problem<'a> {
    /// What a status means everywhere.
    pub(super) fn of(status: u16, message: &'a str) -> Self {
        let (kind, code, google) = match status {
            400 => ("invalid_request_error", None, "INVALID_ARGUMENT"),
            401 => ("authentication_error", Some("invalid_api_key"), "UNAUTHENTICATED"),
            429 => ("rate_limit_error", Some("rate_limit_exceeded"), "RESOURCE_EXHAUSTED"),
            503 => ("overloaded_error", None, "UNAVAILABLE"),
            529 => ("overloaded_error", None, "UNAVAILABLE"),
            _ => ("api_error", None, "INTERNAL"),
        };
        Self { status, kind, code, google, message }
    }

    /// Its body.
    pub(super) fn body(&self, wire: Wire) -> String {
        let Self { status, kind, code, google, message } = *self;
        let body = match wire {
            Wire::OpenaiChat => {
                json!({ "error": { "message": message, "type": kind, "param": null, "code": code } })
            }
            Wire::Anthropic => json!({ "type": "error", "error": { "type": kind, "message": message } }),
            Wire::Gemini => json!({ "error": { "code": status, "message": message, "status": google } }),
        };
        body.to_string()
    }
}
