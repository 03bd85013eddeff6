//! What a scripted upstream says, in each wire format: numbered words, so that a mixed-up or cut answer shows.

use serde_json::{Value, json};

use super::{Call, Wire};

/// The n-th word of an answer.
pub fn word(n: u32) -> String {
    format!("w{n} ")
}

/// The text of an answer of so many words.
pub fn text(words: u32) -> String {
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
