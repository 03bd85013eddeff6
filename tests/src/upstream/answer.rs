//! What a scripted upstream says, in each wire format: numbered words, so that a mixed-up or cut answer shows.

use serde_json::{Value, json};

use super::{Call, Wire};

/// The n-th word of an answer.
fn word(n: u32) -> String {
    format!("w{n} ")
}

/// The text of an answer of so many words.
pub(super) fn text(words: u32) -> String {
    (0..words).map(word).collect()
}

fn usage(wire: Wire, call: &Call, words: u32) -> Value {
    let (input, cached) = (call.input_tokens, call.cached_tokens);
    match wire {
        Wire::OpenaiChat => json!({
            "prompt_tokens": input, "completion_tokens": words, "total_tokens": input + u64::from(words),
            "prompt_tokens_details": { "cached_tokens": cached }
        }),
        // Anthropic counts cached tokens beside the input.
        Wire::Anthropic => json!({
            "input_tokens": input - cached, "cache_read_input_tokens": cached, "cache_creation_input_tokens": 0,
            "output_tokens": words
        }),
        Wire::Gemini => json!({
            "promptTokenCount": input, "cachedContentTokenCount": cached, "candidatesTokenCount": words,
            "totalTokenCount": input + u64::from(words)
        }),
    }
}

pub(super) fn whole(wire: Wire, call: &Call, words: u32) -> String {
    let (text, usage) = (text(words), usage(wire, call, words));
    let answer = match wire {
        Wire::OpenaiChat => json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1_767_225_600, "model": call.model,
            "choices": [{ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }],
            "usage": usage
        }),
        Wire::Anthropic => json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": call.model,
            "content": [{ "type": "text", "text": text }], "stop_reason": "end_turn", "stop_sequence": null,
            "usage": usage
        }),
        Wire::Gemini => json!({
            "candidates": [{ "content": { "role": "model", "parts": [{ "text": text }] }, "finishReason": "STOP",
                "index": 0 }],
            "usageMetadata": usage, "modelVersion": call.model, "responseId": "r1"
        }),
    };
    answer.to_string()
}

/// The events of a stream: one opening, one per word, one closing.
pub(super) fn events(wire: Wire, call: &Call, words: u32) -> Vec<String> {
    match wire {
        Wire::OpenaiChat => openai(call, words),
        Wire::Anthropic => anthropic(call, words),
        Wire::Gemini => gemini(call, words),
    }
}

fn openai(call: &Call, words: u32) -> Vec<String> {
    let chunk = |delta: Value, finish: Value| {
        let chunk = json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_767_225_600, "model": call.model,
            "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }]
        });
        format!("data: {chunk}\n\n")
    };
    let mut events = vec![chunk(json!({ "role": "assistant", "content": "" }), Value::Null)];
    events.extend((0..words).map(|n| chunk(json!({ "content": word(n) }), Value::Null)));
    let mut last = chunk(json!({}), json!("stop"));
    if call.body["stream_options"]["include_usage"] == true {
        let usage = json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_767_225_600, "model": call.model,
            "choices": [], "usage": usage(Wire::OpenaiChat, call, words)
        });
        last += &format!("data: {usage}\n\n");
    }
    events.push(last + "data: [DONE]\n\n");
    events
}

fn anthropic(call: &Call, words: u32) -> Vec<String> {
    let event =
        |value: Value| format!("event: {}\ndata: {value}\n\n", value["type"].as_str().unwrap_or_default());
    let mut usage = usage(Wire::Anthropic, call, words);
    let output = usage["output_tokens"].take();
    usage["output_tokens"] = json!(1);
    let start = json!({ "type": "message_start", "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": call.model, "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": usage } });
    let block =
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } });
    let mut events = vec![event(start) + &event(block) + &event(json!({ "type": "ping" }))];
    events.extend((0..words).map(|n| {
        let delta = json!({ "type": "text_delta", "text": word(n) });
        event(json!({ "type": "content_block_delta", "index": 0, "delta": delta }))
    }));
    let stop = json!({ "type": "content_block_stop", "index": 0 });
    let delta = json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn", "stop_sequence": null },
        "usage": { "output_tokens": output } });
    events.push(event(stop) + &event(delta) + &event(json!({ "type": "message_stop" })));
    events
}

fn gemini(call: &Call, words: u32) -> Vec<String> {
    let chunk = |text: &str, finish: Option<&str>, shown: u32| {
        let mut candidate =
            json!({ "content": { "role": "model", "parts": [{ "text": text }] }, "index": 0 });
        if let Some(finish) = finish {
            candidate["finishReason"] = json!(finish);
        }
        let chunk = json!({ "candidates": [candidate], "usageMetadata": usage(Wire::Gemini, call, shown),
            "modelVersion": call.model, "responseId": "r1" });
        format!("data: {chunk}\r\n\r\n")
    };
    let mut events = vec![String::from(": open\r\n\r\n")];
    events.extend((0..words).map(|n| chunk(&word(n), None, n + 1)));
    events.push(chunk("", Some("STOP"), words));
    events
}

/// An error body.
pub(super) fn error(wire: Wire, status: u16, message: &str) -> String {
    let kind = match status {
        400 => "invalid_request_error",
        429 => "rate_limit_error",
        _ => "api_error",
    };
    let body = match wire {
        Wire::OpenaiChat => json!({ "error": { "message": message, "type": kind, "param": null,
            "code": if status == 429 { json!("rate_limit_exceeded") } else { Value::Null } } }),
        Wire::Anthropic => json!({ "type": "error", "error": { "type": kind, "message": message } }),
        Wire::Gemini => json!({ "error": { "code": status, "message": message, "status": match status {
            400 => "INVALID_ARGUMENT", 429 => "RESOURCE_EXHAUSTED", _ => "INTERNAL" } } }),
    };
    body.to_string()
}

/// The two calls a scripted model makes at once: id, function, arguments.
const CALLS: [(&str, &str, &str); 2] =
    [("call_a", "get_weather", r#"{"city":"Paris"}"#), ("call_b", "get_time", r#"{"zone":"Europe/Paris"}"#)];

fn parsed(arguments: &str) -> Value {
    serde_json::from_str(arguments).unwrap_or_default()
}

/// An answer that consists of two calls.
pub(super) fn whole_calls(wire: Wire, call: &Call, tokens: u32) -> String {
    let mut answer: Value = serde_json::from_str(&whole(wire, call, tokens)).unwrap_or_default();
    match wire {
        Wire::OpenaiChat => {
            let calls: Vec<_> = CALLS
                .iter()
                .map(|(id, name, arguments)| {
                    json!({ "id": id, "type": "function",
                "function": { "name": name, "arguments": arguments } })
                })
                .collect();
            answer["choices"][0]["message"] =
                json!({ "role": "assistant", "content": null, "tool_calls": calls });
            answer["choices"][0]["finish_reason"] = json!("tool_calls");
        }
        Wire::Anthropic => {
            let calls = CALLS.iter().map(|(id, name, arguments)| {
                json!({ "type": "tool_use", "id": id, "name": name, "input": parsed(arguments) })
            });
            answer["content"] = calls.collect();
            answer["stop_reason"] = json!("tool_use");
        }
        Wire::Gemini => {
            let calls = CALLS.iter().map(
                |(_, name, arguments)| json!({ "functionCall": { "name": name, "args": parsed(arguments) } }),
            );
            answer["candidates"][0]["content"]["parts"] = calls.collect();
        }
    }
    answer.to_string()
}

/// The events of a stream that consists of two calls, their arguments in pieces where the wire format has pieces.
pub(super) fn call_events(wire: Wire, call: &Call, tokens: u32) -> Vec<String> {
    // The frame is that of an answer in words: its opening, and its end, with the reason changed.
    let mut events = events(wire, call, tokens);
    let (end, opening) = (events.pop().unwrap_or_default(), events.swap_remove(0));
    let anthropic =
        |value: Value| format!("event: {}\ndata: {value}\n\n", value["type"].as_str().unwrap_or_default());
    match wire {
        Wire::OpenaiChat => {
            let chunk = |delta: Value| {
                let choice = json!({ "index": 0, "delta": delta, "finish_reason": null });
                format!(
                    "data: {}\n\n",
                    json!({ "id": "chatcmpl-1", "object": "chat.completion.chunk",
                    "created": 1_767_225_600, "model": call.model, "choices": [choice] })
                )
            };
            let mut events = vec![opening];
            for (at, (id, name, arguments)) in CALLS.iter().enumerate() {
                events.push(chunk(json!({ "tool_calls": [{ "index": at, "id": id, "type": "function",
                    "function": { "name": name, "arguments": "" } }] })));
                let (head, tail) = arguments.split_at(4);
                events.extend([head, tail].map(|piece| {
                    chunk(json!({ "tool_calls": [{ "index": at, "function": { "arguments": piece } }] }))
                }));
            }
            events.push(end.replacen(r#""finish_reason":"stop""#, r#""finish_reason":"tool_calls""#, 1));
            events
        }
        Wire::Anthropic => {
            // Without the empty text block that an answer in words opens with.
            let start = opening.split("event: content_block_start").next().unwrap_or_default().to_owned();
            let mut events = vec![start];
            for (at, (id, name, arguments)) in CALLS.iter().enumerate() {
                let block = json!({ "type": "tool_use", "id": id, "name": name, "input": {} });
                events.push(anthropic(
                    json!({ "type": "content_block_start", "index": at, "content_block": block }),
                ));
                let (head, tail) = arguments.split_at(4);
                events.extend([head, tail].map(|piece| {
                    let delta = json!({ "type": "input_json_delta", "partial_json": piece });
                    anthropic(json!({ "type": "content_block_delta", "index": at, "delta": delta }))
                }));
                events.push(anthropic(json!({ "type": "content_block_stop", "index": at })));
            }
            let end =
                end.split_once("event: message_delta").map(|(_, rest)| format!("event: message_delta{rest}"));
            events.push(end.unwrap_or_default().replacen("end_turn", "tool_use", 1));
            events
        }
        Wire::Gemini => {
            let parts: Value = CALLS.iter().map(|(_, name, arguments)| {
                json!({ "functionCall": { "name": name, "args": parsed(arguments) } })
            }).collect();
            let chunk = json!({ "candidates": [{ "content": { "role": "model", "parts": parts }, "index": 0 }],
                "usageMetadata": usage(Wire::Gemini, call, tokens), "modelVersion": call.model, "responseId": "r1" });
            vec![opening, format!("data: {chunk}\r\n\r\n"), end]
        }
    }
}
