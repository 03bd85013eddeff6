//! Answers, streams and errors written for chat completions clients, and read back.

use router_core::capability::Capabilities;
use router_core::chat::{
    Answer, Delta, FinishReason, Message, Part, ResponseFormat, Role, ToolChoice, Usage,
};
use serde_json::{Value, json};

use super::*;
use crate::sse::Splitter;

fn usage() -> Usage {
    Usage {
        input_tokens: 9,
        cached_input_tokens: 4,
        output_tokens: 3,
        reasoning_tokens: 1,
        ..Usage::default()
    }
}

#[test]
fn an_answer_comes_back_as_it_was() {
    let answer = Answer {
        parts: vec![
            Part::Text("té\"xt\u{2028}".into()),
            Part::ToolCall { id: "c1".into(), name: "f".into(), arguments: "{\"a\":1}".into() },
            Part::ToolCall { id: "c2".into(), name: "g".into(), arguments: String::new() },
        ],
        reasoning: Some("hm".into()),
        finish: Some(FinishReason::ToolCalls),
        usage: Some(usage()),
        ..Answer::default()
    };
    let bytes = Client::answer(&OpenaiChat, &answer, &meta(false), Some("0.25".parse().unwrap()));
    let value: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(value["object"], "chat.completion");
    assert_eq!(value["model"], "m\"1");
    assert_eq!(value["usage"]["cost"], json!(0.25));
    assert_eq!(value["usage"]["total_tokens"], 12);
    assert_eq!(value["choices"][0]["message"]["tool_calls"][1]["function"]["arguments"], "{}");
    let back = Upstream::answer(&OpenaiChat, &bytes).unwrap();
    assert_eq!(
        (back.finish, back.usage, back.reasoning.as_deref()),
        (answer.finish, answer.usage, Some("hm"))
    );
    assert_eq!(
        format!("{:?}", back.parts[..2].iter().collect::<Vec<_>>()),
        format!("{:?}", answer.parts[..2].iter().collect::<Vec<_>>())
    );
}

fn deltas() -> Vec<Delta> {
    vec![
        Delta::Start { id: Some("x".into()), model: None },
        Delta::Reasoning("so".into()),
        Delta::Text("té\n".into()),
        Delta::ToolStart { index: 0, id: "c1".into(), name: "f".into() },
        Delta::ToolArguments { index: 0, json: "{\"a\"".into() },
        Delta::ToolArguments { index: 0, json: ":1}".into() },
        Delta::ToolStart { index: 1, id: "c2".into(), name: "g".into() },
        Delta::Finish(FinishReason::ToolCalls),
        Delta::Usage(usage()),
    ]
}

fn decoded(stream: &[u8]) -> (Vec<Delta>, bool) {
    let (mut decoder, mut splitter, mut out) = (OpenaiChat.decoder(), Splitter::new(1 << 20), Vec::new());
    splitter.push(Bytes::copy_from_slice(stream));
    while let Some(event) = splitter.next_event().unwrap() {
        decoder.event(event.name(), event.data().unwrap(), &mut out).unwrap();
    }
    let done = decoder.is_done();
    decoder.end(&mut out).unwrap();
    (out, done)
}

#[test]
fn a_stream_comes_back_as_it_was() {
    for include_usage in [true, false] {
        let (mut encoder, mut out) = (OpenaiChat.encoder(meta(include_usage)), Vec::new());
        deltas().iter().for_each(|delta| encoder.delta(delta, &mut out));
        encoder.end(Some(&usage()), Some("0.5".parse().unwrap()), None, &mut out);
        let (back, done) = decoded(&out);
        let mut expected = deltas();
        expected[0] = Delta::Start { id: Some("chatcmpl-1".into()), model: Some("m\"1".into()) };
        if !include_usage {
            expected.pop();
        }
        assert_eq!(format!("{back:?}"), format!("{expected:?}"));
        assert!(done);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.contains("\"usage\":null"), include_usage);
        assert_eq!(text.contains(r#""cost":0.5"#), include_usage);
        assert!(text.starts_with(r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m\"1","choices":[{"index":0,"delta":{"role":"assistant""#), "{text}");
        assert!(text.ends_with("data: [DONE]\n\n"));
    }
}

#[test]
fn errors_fit_the_sdks() {
    let error =
        ClientError { status: 429, code: "rate_limit_exceeded", message: "slow \"down\"", param: None };
    let body: Value = serde_json::from_slice(&Client::error(&OpenaiChat, &error)).unwrap();
    assert_eq!(
        body,
        json!({ "error": { "message": "slow \"down\"", "type": "rate_limit_error", "param": null, "code": "rate_limit_exceeded" } })
    );
    let event = OpenaiChat.error_event(&error);
    assert!(event.starts_with(b"data: {\"error\":{") && event.ends_with(b"}\n\n"));
}

#[test]
fn a_request_keeps_its_meaning_through_core() {
    let request = r#"{"model":"m","messages":[
        {"role":"system","content":"be brief"},{"role":"developer","content":[{"type":"text","text":"and kind"}]},
        {"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
        {"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"c2","type":"function","function":{"name":"g","arguments":"{\"x\":1}"}}]},
        {"role":"tool","tool_call_id":"c1","content":"r1"},{"role":"tool","tool_call_id":"c2","content":"r2"}],
        "tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object","properties":{"z":{},"a":{}}},"strict":true}}],
        "tool_choice":{"type":"function","function":{"name":"f"}},"parallel_tool_calls":true,"stop":"END","seed":3,
        "temperature":0.5,"top_p":0.9,"presence_penalty":0.1,"frequency_penalty":0.2,"max_completion_tokens":77,"user":"u","stream":true,
        "response_format":{"type":"json_schema","json_schema":{"name":"s","schema":{"type":"object"},"strict":true}}}"#;
    let conversation = OpenaiChat.conversation(&scanned(request)).unwrap();
    assert_eq!(conversation.system, ["be brief", "and kind"]);
    assert_eq!(
        conversation.messages.iter().map(|m| m.role).collect::<Vec<_>>(),
        [Role::User, Role::Assistant, Role::Tool, Role::Tool]
    );
    assert_eq!(conversation.tool_choice, ToolChoice::Named("f".into()));
    assert!(
        matches!(&conversation.response_format, ResponseFormat::JsonSchema { name, strict: true, .. } if name == "s")
    );
    let to = WriteFor {
        model: "up",
        max_tokens: Some(50),
        max_output_tokens: None,
        capabilities: Capabilities::all(),
        prefill: None,
    };
    let outgoing = OpenaiChat.request(&conversation, &to).unwrap();
    assert_eq!(outgoing.path, "/chat/completions");
    let written = String::from_utf8(outgoing.body.concat()).unwrap();
    assert!(written.contains(r#""properties":{"z":{},"a":{}}"#), "a schema keeps its order: {written}");
    let again = OpenaiChat.conversation(&scanned(&written)).unwrap();
    assert_eq!(again.max_tokens, Some(50));
    let mut expected = conversation.clone();
    expected.max_tokens = Some(50);
    // Text parts are joined on the way.
    expected.messages[0] = Message { role: Role::User, parts: vec![Part::Text("ab".into())] };
    assert_eq!(format!("{again:?}"), format!("{expected:?}"));
}

#[test]
fn what_cannot_be_translated_is_said() {
    let check = |body: &str, pointer: &str| {
        let problem = OpenaiChat.conversation(&scanned(body)).expect_err(body);
        assert_eq!(problem.pointer, pointer, "{problem}");
    };
    let with =
        |members: &str| format!(r#"{{"model":"m","messages":[{{"role":"user","content":"a"}}],{members}}}"#);
    check(r#"{"model":"m","messages":[{"role":"tool","content":"a"}]}"#, "/messages/0/tool_call_id");
    check(r#"{"model":"m","messages":[{"role":"function","content":"a"}]}"#, "/messages/0/role");
    check(&with(r#""tool_choice":"maybe""#), "/tool_choice");
    check(&with(r#""response_format":{"type":"json_schema"}"#), "/response_format/json_schema/schema");
    let conversation = OpenaiChat.conversation(&scanned(&with(r#""store":true"#))).unwrap();
    let to = WriteFor {
        model: "up",
        max_tokens: None,
        max_output_tokens: None,
        capabilities: Capabilities::all(),
        prefill: None,
    };
    assert_eq!(OpenaiChat.request(&conversation, &to).unwrap_err().what, "/store");
}
