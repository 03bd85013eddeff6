//! Strict checks of what a scripted upstream receives: a wrong translation fails here, not in a provider's account.

use hyper::http::request::Parts;
use serde_json::Value;

use super::{Call, Ending, Wire};

/// Reads a request; what is wrong with it is noted in the call.
pub(super) fn request(wire: Wire, head: &Parts, body: &[u8]) -> Call {
    let header =
        |name: &str| head.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let path = head.uri.path();
    let parsed: Result<Value, _> = serde_json::from_slice(body);
    let value = parsed.as_ref().cloned().unwrap_or_default();
    let (model, stream) = match wire {
        Wire::Gemini => {
            let tail = path.rsplit('/').next().unwrap_or_default();
            let (model, method) = tail.split_once(':').unwrap_or((tail, ""));
            (model.to_owned(), method == "streamGenerateContent")
        }
        _ => (value["model"].as_str().unwrap_or_default().to_owned(), value["stream"] == true),
    };
    let checked = match (&parsed, wire) {
        (Err(error), _) => Err(format!("not JSON: {error}")),
        (Ok(value), Wire::OpenaiChat) => openai(path, &header("authorization"), value),
        (Ok(value), Wire::Anthropic) => {
            anthropic(path, &header("x-api-key"), &header("anthropic-version"), value)
        }
        (Ok(value), Wire::Gemini) => gemini(path, head.uri.query(), &header("x-goog-api-key"), value),
    };
    let key = match wire {
        Wire::OpenaiChat => header("authorization").trim_start_matches("Bearer ").to_owned(),
        Wire::Anthropic => header("x-api-key"),
        Wire::Gemini => header("x-goog-api-key"),
    };
    let input_tokens = body.len() as u64 / 4 + 1;
    Call {
        id: header("x-client-request-id"),
        key,
        model,
        stream,
        input_tokens,
        cached_tokens: input_tokens / 3,
        output_tokens: 0,
        sent_events: 0,
        ending: if checked.is_err() { Ending::Invalid } else { Ending::Open },
        invalid: checked.err(),
        body: value,
        text: String::from_utf8_lossy(body).into_owned(),
    }
}

fn ensure(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

fn openai(path: &str, authorization: &str, body: &Value) -> Result<(), String> {
    ensure(path == "/v1/chat/completions", "path")?;
    ensure(authorization.starts_with("Bearer sk-"), "authorization")?;
    ensure(body["model"].is_string(), "model")?;
    ensure(body.get("router").is_none(), "the router object must not go upstream")?;
    let messages = body["messages"].as_array().ok_or("messages")?;
    ensure(!messages.is_empty(), "messages is empty")?;
    for message in messages {
        let role = message["role"].as_str().unwrap_or_default();
        ensure(["system", "developer", "user", "assistant", "tool"].contains(&role), "role")?;
        ensure(role != "tool" || message["tool_call_id"].is_string(), "tool_call_id")?;
    }
    ensure(
        body["stream"] != true || body["stream_options"]["include_usage"] == true,
        "usage is not asked for",
    )
}

fn anthropic(path: &str, key: &str, version: &str, body: &Value) -> Result<(), String> {
    ensure(path == "/v1/messages", "path")?;
    ensure(key.starts_with("sk-"), "x-api-key")?;
    ensure(version == "2023-06-01", "anthropic-version")?;
    ensure(body["model"].is_string(), "model")?;
    ensure(body["max_tokens"].as_u64().is_some_and(|n| n > 0), "max_tokens is required")?;
    ensure(
        body.get("router").is_none() && body.get("stream_options").is_none(),
        "a member of another dialect",
    )?;
    let messages = body["messages"].as_array().ok_or("messages")?;
    let roles: Vec<_> = messages.iter().map(|m| m["role"].as_str().unwrap_or_default()).collect();
    ensure(roles.first() == Some(&"user"), "the first message must be the user's")?;
    ensure(roles.iter().all(|r| ["user", "assistant"].contains(r)), "role")?;
    ensure(roles.windows(2).all(|pair| pair[0] != pair[1]), "roles must alternate")?;
    let ids = |message: &Value, kind: &str, id: &str| -> Vec<String> {
        let blocks = message["content"].as_array().into_iter().flatten().filter(|b| b["type"] == kind);
        blocks.map(|b| b[id].as_str().unwrap_or_default().to_owned()).collect()
    };
    for pair in messages.windows(2) {
        let (asked, given) = (ids(&pair[0], "tool_use", "id"), ids(&pair[1], "tool_result", "tool_use_id"));
        ensure(asked == given, "every tool_use needs its tool_result in the next message")?;
    }
    Ok(())
}

fn gemini(path: &str, query: Option<&str>, key: &str, body: &Value) -> Result<(), String> {
    ensure(path.starts_with("/v1beta/models/"), "path")?;
    ensure(!path.ends_with(":streamGenerateContent") || query == Some("alt=sse"), "alt=sse")?;
    ensure(key.starts_with("sk-"), "x-goog-api-key")?;
    ensure(body.get("model").is_none() && body.get("messages").is_none(), "a member of another dialect")?;
    let contents = body["contents"].as_array().ok_or("contents")?;
    ensure(!contents.is_empty(), "contents is empty")?;
    for content in contents {
        let role = content["role"].as_str().unwrap_or_default();
        ensure(["user", "model"].contains(&role), "role")?;
        ensure(content["parts"].as_array().is_some_and(|p| !p.is_empty()), "parts")?;
    }
    let names = |content: &Value, kind: &str| -> Vec<String> {
        let parts = content["parts"].as_array().into_iter().flatten().filter(|p| p.get(kind).is_some());
        parts.map(|p| p[kind]["name"].as_str().unwrap_or_default().to_owned()).collect()
    };
    for pair in contents.windows(2) {
        let (asked, given) = (names(&pair[0], "functionCall"), names(&pair[1], "functionResponse"));
        ensure(asked == given, "every functionCall needs its functionResponse in the next content")?;
    }
    Ok(())
}

/// Whether a conversation's request offers tools and holds no result of one yet.
pub(super) fn wants_calls(wire: Wire, body: &Value) -> bool {
    let offered = body["tools"].as_array().is_some_and(|tools| !tools.is_empty());
    let answered = match wire {
        Wire::OpenaiChat => {
            body["messages"].as_array().is_some_and(|m| m.iter().any(|m| m["role"] == "tool"))
        }
        Wire::Anthropic => body["messages"].to_string().contains("\"tool_result\""),
        Wire::Gemini => body["contents"].to_string().contains("\"functionResponse\""),
    };
    offered && !answered
}
