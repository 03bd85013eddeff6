//! Answers that break off and are gone on from: every dialect after every other, cut at every byte.

use std::fmt::Write as _;

use serde_json::Value;

use super::*;
use crate::dialect::Rescued;

const PIECES: [&str; 9] =
    ["The heron", " stands", " in", " the", " Rh\u{f4}ne,", " mo", "tionless", " \u{1f426} and", " waits.\n"];

fn text() -> String {
    PIECES.concat()
}

fn quote(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// A stream of this dialect: some reasoning, the pieces, why it ended, usage of 7 and 11.
pub(super) fn stream_of(dialect: DialectId, pieces: &[&str], finish: &str) -> String {
    let mut out = String::new();
    match dialect {
        DialectId::OpenaiChat => {
            let mut chunk = |choices: String| {
                let _ = writeln!(
                    out,
                    r#"data: {{"id":"c-1","object":"chat.completion.chunk","created":3,"model":"gpt-x","choices":[{choices}]}}"#
                );
                out.push('\n');
            };
            let mut delta =
                |delta: String| chunk(format!(r#"{{"index":0,"delta":{delta},"finish_reason":null}}"#));
            delta(r#"{"role":"assistant","content":""}"#.into());
            delta(r#"{"reasoning_content":"hm"}"#.into());
            for piece in pieces {
                delta(format!(r#"{{"content":{}}}"#, quote(piece)));
            }
            chunk(format!(r#"{{"index":0,"delta":{{}},"finish_reason":"{finish}"}}"#));
            out += "data: {\"id\":\"c-1\",\"object\":\"chat.completion.chunk\",\"created\":3,\"model\":\"gpt-x\",\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":11}}\n\n";
            out += "data: [DONE]\n\n";
        }
        DialectId::Anthropic => {
            let finish = if finish == "length" { "max_tokens" } else { "end_turn" };
            let mut event = |data: String| {
                let name = data.split('"').nth(3).unwrap().to_owned();
                let _ = write!(out, "event: {name}\ndata: {data}\n\n");
            };
            event(r#"{"type":"message_start","message":{"id":"msg","model":"claude","content":[],"usage":{"input_tokens":7,"output_tokens":1}}}"#.into());
            event(r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}"#.into());
            event(r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#.into());
            event(r#"{"type":"content_block_stop","index":0}"#.into());
            event(
                r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#
                    .into(),
            );
            event(r#"{"type":"ping"}"#.into());
            for piece in pieces {
                event(format!(
                    r#"{{"type":"content_block_delta","index":1,"delta":{{"type":"text_delta","text":{}}}}}"#,
                    quote(piece)
                ));
            }
            event(r#"{"type":"content_block_stop","index":1}"#.into());
            event(format!(
                r#"{{"type":"message_delta","delta":{{"stop_reason":"{finish}"}},"usage":{{"output_tokens":11}}}}"#
            ));
            event(r#"{"type":"message_stop"}"#.into());
        }
        _ => {
            let finish = if finish == "length" { "MAX_TOKENS" } else { "STOP" };
            let mut chunk = |parts: String, rest: &str| {
                let _ = write!(
                    out,
                    "data: {{\"candidates\":[{{\"index\":0,\"content\":{{\"role\":\"model\",\"parts\":[{parts}]}}{rest}}}],\"responseId\":\"r\",\"modelVersion\":\"gemini\",\"usageMetadata\":{{\"promptTokenCount\":7,\"candidatesTokenCount\":11}}}}\r\n\r\n"
                );
            };
            chunk(r#"{"text":"hm","thought":true}"#.into(), "");
            for piece in pieces {
                chunk(format!(r#"{{"text":{}}}"#, quote(piece)), "");
            }
            chunk(r#"{"text":""}"#.into(), &format!(r#","finishReason":"{finish}""#));
        }
    }
    out
}

pub(super) fn target(dialect: DialectId, prefill: bool) -> Arc<Target> {
    target_at(None, dialect, if prefill { Capabilities::PREFILL } else { Capabilities::empty() })
}

fn target_at(host: Option<&str>, dialect: DialectId, capabilities: Capabilities) -> Arc<Target> {
    let base = host.and_then(crate::provider::host).map_or("https://host.test/v1", |row| row.base_url);
    let target = Target::new(&TargetSpec {
        host,
        dialect,
        base_url: base,
        credential: None,
        upstream_model: "up",
        capabilities,
        max_output_tokens: None,
    });
    Arc::new(target.unwrap())
}

fn at(target: &Arc<Target>, request: &str, goes_on: Option<Cut>) -> Call {
    let call = call(request, LONG);
    let include_usage = call.request.envelope().include_usage;
    let meta = ReplyMeta { id: "ours".into(), model: "m".into(), created: 5, include_usage };
    Call { target: Arc::clone(target), meta, goes_on: goes_on.map(Arc::new), ..call }
}

/// As the end of every answer here is told.
const RESCUED: Option<Rescued<'_>> = Some(Rescued { times: 1, deployment: "up/second" });

/// What a client got of one attempt, and what is left behind if it broke off.
struct Got {
    bytes: String,
    failed: Option<(Fault, Result<Cut, NoRescue>)>,
    usage: Option<Usage>,
}

async fn attempt(upstream: &Scripted, call: Call) -> Got {
    let mut reply = match send(upstream, call).await {
        Ok(Reply::Stream(reply)) => reply,
        Ok(Reply::Json(_)) => panic!("not a stream"),
        Err(fault) => panic!("refused: {fault}"),
    };
    let mut bytes = String::new();
    loop {
        match reply.next().await {
            Ok(Some(item)) => bytes += std::str::from_utf8(&item.bytes).unwrap(),
            Ok(None) => {
                bytes += std::str::from_utf8(&reply.take_end(Some(Usd::from_nano(5)), RESCUED)).unwrap();
                return Got { bytes, failed: None, usage: reply.usage() };
            }
            Err(fault) => {
                let cut = reply.cut();
                return Got { bytes, failed: Some((fault, cut)), usage: reply.usage() };
            }
        }
    }
}

/// What an OpenAI SDK makes of a stream: text and usage; panics on anything it would stumble over.
#[track_caller]
fn read(stream: &str) -> (String, Vec<String>, Option<Value>) {
    let body = stream.strip_suffix("data: [DONE]\n\n").expect("a clean end");
    let (mut text, mut finishes, mut roles, mut usage, mut identity) =
        (String::new(), Vec::new(), 0, None, None);
    let lines = body.split("\n\n").flat_map(|event| event.lines()).filter(|line| line.starts_with("data: "));
    for line in lines {
        let chunk: Value = serde_json::from_str(&line[6..]).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert_eq!(chunk["object"], "chat.completion.chunk");
        let mine = (chunk["id"].clone(), chunk["model"].clone(), chunk["created"].clone());
        assert_eq!(*identity.get_or_insert_with(|| mine.clone()), mine, "one identity: {line}");
        for choice in chunk["choices"].as_array().unwrap() {
            assert!(finishes.is_empty(), "something after the finish: {line}");
            assert_eq!(choice["index"], 0);
            let delta = choice["delta"].as_object().unwrap();
            roles += usize::from(delta.contains_key("role"));
            text += delta.get("content").and_then(Value::as_str).unwrap_or_default();
            finishes.extend(choice["finish_reason"].as_str().map(str::to_owned));
        }
        if !chunk["usage"].is_null() {
            assert!(usage.replace(chunk["usage"].clone()).is_none(), "one usage");
            let rescued = serde_json::json!({ "rescued": 1, "deployment": "up/second" });
            assert!(chunk["router"].is_null() || chunk["router"] == rescued, "{line}");
        }
    }
    assert_eq!(roles, 1, "one role: {stream}");
    (text, finishes, usage)
}

/// What the next model writes, for what it was given: the rest, or a repetition and the rest.
fn continuation(cut: &Cut, prefill: bool, variant: usize) -> String {
    let (text, shown) = (text(), cut.shown().text());
    let own = shown.trim_end();
    let from = match variant % 3 {
        _ if own.is_empty() => 0,
        _ if prefill => own.len(),
        0 => shown.len(),
        1 => 0,
        // The last words, if they are long enough to be known again.
        _ => own.char_indices().rev().nth(19).map_or(shown.len(), |(at, _)| at),
    };
    text[from..].to_owned()
}

pub(super) const DIALECTS: [DialectId; 3] = [DialectId::OpenaiChat, DialectId::Anthropic, DialectId::Gemini];

#[tokio::test]
async fn a_stream_cut_at_any_byte_is_one_answer() {
    let mut rescued = 0;
    for first in DIALECTS {
        let whole = stream_of(first, &PIECES, "stop").into_bytes();
        let to = target(first, false);
        for cut_at in 0..whole.len() {
            let mut upstream = Scripted::sse("");
            upstream.chunks = vec![Bytes::copy_from_slice(&whole[..cut_at])];
            // A reset or a clean end of the bytes; in one piece or in many.
            upstream.breaks = cut_at % 2 == 0;
            if cut_at % 11 == 0 {
                upstream = upstream.bytewise();
            }
            let got = attempt(&upstream, at(&to, ASK_USAGE, None)).await;
            let Some((fault, cut)) = got.failed else {
                let (seen, finishes, _) = read(&got.bytes);
                assert_eq!((seen, finishes.len()), (text(), 1), "whole without its end, at {cut_at}");
                continue;
            };
            assert_eq!(fault.kind, FailureKind::Truncated, "{first:?} at {cut_at}");
            let mut cut = match cut {
                Ok(cut) => cut,
                Err(why) => {
                    assert_eq!(
                        (why, got.bytes.as_str()),
                        (NoRescue::NothingShown, ""),
                        "{first:?} at {cut_at}"
                    );
                    continue;
                }
            };
            cut.add_usage(&Usage { input_tokens: 7, output_tokens: 2, ..Usage::default() });
            // Every way of every dialect, by turns.
            let (second, prefill) = (DIALECTS[cut_at / 6 % 3], cut_at / 18 % 2 == 1);
            let more = continuation(&cut, prefill, cut_at / 36);
            let mut next = Scripted::sse(&stream_of(second, &[&more], "stop"));
            if cut_at % 5 == 0 {
                next = next.bytewise();
            }
            let went_on = attempt(&next, at(&target(second, prefill), ASK_USAGE, Some(cut))).await;
            assert!(
                went_on.failed.is_none(),
                "{:?}: {first:?} then {second:?} at {cut_at}",
                went_on.failed.map(|f| f.0)
            );
            let stream = got.bytes + &went_on.bytes;
            let (seen, finishes, usage) = read(&stream);
            assert_eq!(seen, text(), "{first:?} then {second:?}, prefill {prefill}, at {cut_at}: {more:?}");
            assert_eq!(finishes, ["stop"]);
            let usage = usage.expect("usage");
            assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&14.into(), &13.into()));
            assert_eq!(stream.matches("\"reasoning_content\":\"").count(), 1, "reasoning is shown once");
            rescued += 1;
        }
    }
    assert!(rescued > 1000, "{rescued} streams were gone on from");
}

/// The cut of an answer of which so much was shown.
async fn cut_after(request: &str, shown: &[&str]) -> Result<Cut, NoRescue> {
    let body: String =
        shown.iter().map(|text| chunk(&format!("{{\"content\":{}}}", quote(text)), "null")).collect();
    attempt(&Scripted::sse(&body), at(&target(DialectId::OpenaiChat, false), request, None))
        .await
        .failed
        .unwrap()
        .1
}

#[tokio::test]
async fn an_answer_may_break_off_again_and_again() {
    let to = target(DialectId::Gemini, false);
    let mut cut = cut_after(ASK_USAGE, &["The heron"]).await.unwrap();
    let mut shown = chunk(r#"{"role":"assistant","content":"The heron"}"#, "null");
    for piece in &PIECES[1..] {
        cut.add_usage(&Usage { output_tokens: 1, ..Usage::default() });
        let whole = stream_of(DialectId::Gemini, &[piece], "stop");
        let events: Vec<&str> = whole.split_inclusive("\r\n\r\n").collect();
        let upstream = Scripted::sse(&events[..2].concat());
        let got = attempt(&upstream, at(&to, ASK_USAGE, Some(cut))).await;
        shown += &got.bytes;
        cut = got.failed.unwrap().1.unwrap();
    }
    assert_eq!(cut.shown().text(), text());
    // Nothing new at all: what was left behind before is left behind.
    let got = attempt(&Scripted::sse(""), at(&to, ASK_USAGE, Some(cut))).await;
    let (fault, cut) = got.failed.unwrap();
    assert_eq!((fault.kind, got.bytes.as_str()), (FailureKind::Truncated, ""));
    let end = Scripted::sse(&stream_of(DialectId::Gemini, &[], "stop"));
    let got = attempt(&end, at(&to, ASK_USAGE, Some(cut.unwrap()))).await;
    let (seen, finishes, usage) = read(&(shown + &got.bytes));
    assert_eq!((seen, finishes), (text(), vec!["stop".to_owned()]));
    assert_eq!(usage.unwrap()["completion_tokens"], 8 + 11);
}

fn ask(members: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}],"stream":true,{members}}}"#)
}

#[tokio::test]
async fn what_cannot_be_gone_on_from_says_why() {
    let check = |members: &'static str, deltas: &'static str, expected: NoRescue| async move {
        let body: String = deltas.split(';').map(|delta| chunk(delta, "null")).collect();
        let to = target(DialectId::OpenaiChat, false);
        let got = attempt(&Scripted::sse(&body), at(&to, &ask(members), None)).await;
        assert_eq!(got.failed.unwrap().1.unwrap_err(), expected, "{members} {deltas}");
    };
    use NoRescue as N;
    check(r#""n":2"#, r#"{"content":"a"}"#, N::SeveralAnswers).await;
    check(r#""logprobs":true"#, r#"{"content":"a"}"#, N::Logprobs).await;
    check(r#""functions":[{"name":"f"}]"#, r#"{"content":"a"}"#, N::Form).await;
    check(r#""modalities":["text","audio"]"#, r#"{"content":"a"}"#, N::Form).await;
    check(
        r#""seed":1"#,
        r#"{"content":"a"};{"tool_calls":[{"index":0,"function":{"name":"f"}}]}"#,
        N::ToolCall,
    )
    .await;
    check(r#""seed":1"#, r#"{"refusal":"no"}"#, N::Refusal).await;
    check(r#""seed":1"#, r#"{"content":"a","images":[{}]}"#, N::Media).await;
    check(r#""seed":1"#, r#"{"role":"assistant","content":""}"#, N::NothingShown).await;
    check(r#""response_format":{"type":"json_object"}"#, r#"{"content":"Sure: {"}"#, N::NotJson).await;
    let long = "x".repeat(300_000);
    assert_eq!(cut_after(ASK_STREAM, &[&long]).await.unwrap_err(), N::TooLong);
}

#[tokio::test]
async fn a_deployment_that_cannot_write_the_request_cannot_go_on() {
    let cut = cut_after(&ask(r#""store":true"#), &["a"]).await.unwrap();
    assert!(can_go_on(&cut, &target(DialectId::OpenaiChat, false)));
    assert!(!can_go_on(&cut, &target(DialectId::Anthropic, true)));
}

/// What goes upstream, its address and its body, to go on after "Hello there, ".
async fn asked(to: &Arc<Target>, members: &str) -> (String, Value) {
    let cut = cut_after(&ask(members), &["Hello there, "]).await.unwrap();
    let upstream = Scripted::sse(&stream_of(to.dialect, &["friend"], "stop"));
    let got = attempt(&upstream, at(to, &ask(members), Some(cut))).await;
    assert!(got.failed.is_none(), "{:?}", got.failed.map(|f| f.0));
    let (url, _, body) = upstream.seen.lock().unwrap().remove(0);
    (url, serde_json::from_str(&body).unwrap())
}

#[tokio::test]
async fn each_host_is_asked_in_its_own_way() {
    use Capabilities as C;
    let own = "Hello there,";
    let check = |host: &'static str, url: &'static str, last: Value, more: &'static [(&str, bool)]| async move {
        let to = target_at(Some(host), DialectId::OpenaiChat, C::PREFILL);
        let (seen, body) = asked(&to, r#""seed":1"#).await;
        let messages = body["messages"].as_array().unwrap();
        assert_eq!((seen.as_str(), messages.len(), &messages[1]), (url, 2, &last), "{host}");
        for (name, value) in more {
            assert_eq!(body[name], *value, "{host}");
        }
    };
    let plain = serde_json::json!({ "role": "assistant", "content": own });
    let marked = |mark: &str| serde_json::json!({ "role": "assistant", "content": own, mark: true });
    check("deepseek", "https://api.deepseek.com/beta/chat/completions", marked("prefix"), &[]).await;
    check("mistral", "https://api.mistral.ai/v1/chat/completions", marked("prefix"), &[]).await;
    let qwen = "https://dashscope-intl.aliyuncs.com/compatible-mode/v1/chat/completions";
    check("dashscope", qwen, marked("partial"), &[]).await;
    check("groq", "https://api.groq.com/openai/v1/chat/completions", plain.clone(), &[]).await;
    let members = &[("continue_final_message", true), ("add_generation_prompt", false)];
    check("vllm", "http://127.0.0.1:8000/v1/chat/completions", plain, members).await;

    // Without the capability, or where no model goes on: told to.
    for to in
        [target(DialectId::OpenaiChat, false), target_at(Some("openai"), DialectId::OpenaiChat, C::PREFILL)]
    {
        let (_, body) = asked(&to, r#""seed":1"#).await;
        let messages = body["messages"].as_array().unwrap();
        assert_eq!(messages[1], serde_json::json!({ "role": "assistant", "content": "Hello there, " }));
        assert_eq!(messages[2]["role"], "user");
        assert!(messages[2]["content"].as_str().unwrap().contains(r#""Hello there, ""#));
    }
    let (_, body) = asked(&target(DialectId::Anthropic, true), r#""top_p":0.5"#).await;
    assert_eq!(body["messages"][1]["role"], "assistant");
    assert_eq!(body["messages"][1]["content"][0]["text"], own);
    let (_, body) = asked(&target(DialectId::Anthropic, false), r#""top_p":0.5"#).await;
    assert_eq!(body["messages"][2]["role"], "user");
    let (_, body) = asked(&target(DialectId::Gemini, true), r#""top_p":0.5"#).await;
    assert_eq!(
        (&body["contents"][1]["role"], &body["contents"][1]["parts"][0]["text"]),
        (&"model".into(), &own.into())
    );
}

#[tokio::test]
async fn the_clients_limit_holds_over_all_attempts() {
    let to = target(DialectId::OpenaiChat, false);
    let (_, body) = asked(&to, r#""max_tokens":100"#).await;
    let left = body["max_tokens"].as_u64().unwrap();
    assert!((94..100).contains(&left), "{left}");
    let (_, body) = asked(&target(DialectId::Anthropic, false), r#""max_tokens":100"#).await;
    assert_eq!(body["max_tokens"], left);

    let limited = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true,"max_tokens":4,"stream_options":{"include_usage":true}}"#;
    let mut cut = cut_after(limited, &["one two three four five six"]).await.unwrap();
    cut.add_usage(&Usage { input_tokens: 3, output_tokens: 4, ..Usage::default() });
    let nobody = Scripted::sse("");
    let got = attempt(&nobody, at(&to, limited, Some(cut))).await;
    assert!(got.failed.is_none() && nobody.seen.lock().unwrap().is_empty(), "nothing is left to ask for");
    assert!(
        got.bytes.contains(r#""finish_reason":"length""#) && got.bytes.contains(r#""completion_tokens":4"#)
    );
    assert_eq!(got.usage, Some(Usage::default()));
}

#[tokio::test]
async fn structured_output_is_json_in_the_end_or_fails() {
    let format = r#""response_format":{"type":"json_schema","json_schema":{"name":"s","schema":{"type":"object","properties":{"a":{},"b":{}},"required":["a","b"],"additionalProperties":false}}}"#;
    let object = r#""response_format":{"type":"json_object"}"#;
    let check = |format: &'static str, dialect, more: &'static str, expected: Result<&'static str, bool>| async move {
        let cut = cut_after(&ask(format), &[r#"{"a":"hel"#]).await.unwrap();
        let upstream = Scripted::sse(&stream_of(dialect, &[more], "stop"));
        let got = attempt(&upstream, at(&target(dialect, true), &ask(format), Some(cut))).await;
        let body = upstream.seen.lock().unwrap().remove(0).2;
        assert!(!body.contains("\"response_format\"") && !body.contains("output_config"), "{body}");
        assert!(!body.contains("responseMimeType"), "{body}");
        assert_eq!(
            body.contains("additionalProperties"),
            format.contains("schema"),
            "the model knows the form: {body}"
        );
        match (got.failed, expected) {
            (None, Ok(text)) => assert!(got.bytes.contains(&quote(text)), "{}", got.bytes),
            (Some((fault, cut)), Err(rescuable)) => {
                assert_eq!((fault.kind, cut.is_ok()), (FailureKind::BadReply, rescuable), "{more}");
            }
            (failed, _) => panic!("{more}: {:?} {}", failed.map(|f| f.0), got.bytes),
        }
    };
    for dialect in DIALECTS {
        check(format, dialect, r#"lo","b":1}"#, Ok(r#"lo","b":1}"#)).await;
        check(format, dialect, r#"lo"}"#, Err(true)).await;
        check(format, dialect, r#"lo","b":"#, Err(true)).await;
        check(format, dialect, "lo\"\"", Err(true)).await;
    }
    check(object, DialectId::OpenaiChat, r#"lo"}"#, Ok(r#"lo"}"#)).await;
    check(object, DialectId::Gemini, "lo\"} and so on", Ok("lo\"}")).await;
}

#[tokio::test]
async fn a_tool_call_comes_whole_from_the_one_who_goes_on() {
    let call = r#"{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"x\":"}}]}"#;
    let rest = r#"{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}"#;
    let upstream =
        Scripted::sse(&(chunk(call, "null") + &chunk(rest, "null") + &chunk("{}", "\"tool_calls\"") + DONE));
    let cut = cut_after(ASK_STREAM, &["I will look."]).await.unwrap();
    let got = attempt(&upstream, at(&target(DialectId::OpenaiChat, false), ASK_STREAM, Some(cut))).await;
    assert!(got.failed.is_none());
    assert!(
        got.bytes.contains(r#""id":"call_1""#) && got.bytes.contains(r#""finish_reason":"tool_calls""#),
        "{}",
        got.bytes
    );
    assert!(!got.bytes.contains("\"role\""));
}

#[tokio::test]
async fn who_has_nothing_to_say_or_refuses_does_not_go_on() {
    let check = |body: String, kind| async move {
        let cut = cut_after(ASK_STREAM, &["A begun answer"]).await.unwrap();
        let got =
            attempt(&Scripted::sse(&body), at(&target(DialectId::OpenaiChat, false), ASK_STREAM, Some(cut)))
                .await;
        let (fault, cut) = got.failed.unwrap();
        assert_eq!((fault.kind, got.bytes.as_str(), cut.is_ok()), (kind, "", true));
    };
    check(chunk("{}", "\"stop\"") + DONE, FailureKind::Empty).await;
    check(DONE.to_owned(), FailureKind::Empty).await;
    check(chunk(r#"{"refusal":"no"}"#, "null"), FailureKind::BadReply).await;
    check("data: {\"error\":{\"message\":\"no\"}}\n\n".to_owned(), FailureKind::Unavailable).await;
}

#[tokio::test]
async fn what_came_before_a_fault_is_the_clients() {
    // In one read: the first visible bytes and the fault. Nothing was handed over, so it can be asked for anew.
    let fault = "data: {\"error\":{\"message\":\"no\"}}\n\n";
    let to = target(DialectId::OpenaiChat, false);
    let got = attempt(&Scripted::sse(&(hello() + fault)), at(&to, ASK_STREAM, None)).await;
    assert_eq!((got.bytes.as_str(), got.failed.unwrap().1.unwrap_err()), ("", NoRescue::NothingShown));
    // Later: everything before the fault is handed over first, and is what is gone on from.
    let mut upstream = Scripted::sse(&hello());
    let more = chunk(r#"{"content":" world"}"#, "null");
    upstream.chunks.push(Bytes::from(more.clone() + fault));
    let got = attempt(&upstream, at(&to, ASK_STREAM, None)).await;
    assert_eq!(got.bytes, hello() + &more);
    assert_eq!(got.failed.unwrap().1.unwrap().shown().text(), "hello world");
    // After the answer has said why it ended, nothing can break it any more.
    let upstream = Scripted::sse(&(hello() + &chunk("{}", "\"stop\"") + fault));
    assert!(attempt(&upstream, at(&to, ASK_STREAM, None)).await.failed.is_none());
}

#[tokio::test]
async fn an_answer_that_its_host_gave_up_has_not_ended() {
    let to = target(DialectId::OpenaiChat, false);
    for reason in ["abort", "network_error", "error"] {
        let mut upstream = Scripted::sse(&hello());
        upstream.chunks.push(Bytes::from(chunk("{}", &format!("\"{reason}\"")) + DONE));
        let got = attempt(&upstream, at(&to, ASK_STREAM, None)).await;
        assert_eq!(got.bytes, hello(), "{reason}");
        let (fault, cut) = got.failed.unwrap();
        assert_eq!(
            (fault.kind, cut.unwrap().shown().text()),
            (FailureKind::Unavailable, "hello"),
            "{reason}"
        );
    }
}

#[tokio::test]
async fn an_error_inside_a_stream_says_when_to_come_back() {
    let error = |status: &str| {
        let details = r#"[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"17.5s"}]"#;
        format!(
            "data: {{\"error\":{{\"message\":\"no\",\"status\":\"{status}\",\"details\":{details}}}}}\r\n\r\n"
        )
    };
    let to = target(DialectId::Gemini, false);
    for (status, kind, wait) in [
        ("RESOURCE_EXHAUSTED", FailureKind::RateLimited, Some(Duration::from_millis(17_500))),
        ("INVALID_ARGUMENT", FailureKind::BadRequest, None),
    ] {
        let (fault, _) =
            attempt(&Scripted::sse(&error(status)), at(&to, ASK_STREAM, None)).await.failed.unwrap();
        assert_eq!((fault.kind, fault.retry_after), (kind, wait));
    }
}

#[tokio::test]
async fn a_whole_json_value_is_a_whole_answer() {
    let object = r#""response_format":{"type":"json_object"}"#;
    let to = target(DialectId::OpenaiChat, false);
    let nobody = Scripted::sse("");
    let cut = cut_after(&ask(object), &["{\"a\":", "1}\n"]).await.unwrap();
    let got = attempt(&nobody, at(&to, &ask(object), Some(cut))).await;
    assert!(got.failed.is_none() && nobody.seen.lock().unwrap().is_empty(), "nobody is asked");
    assert!(got.bytes.contains(r#""finish_reason":"stop""#) && got.bytes.ends_with(DONE), "{}", got.bytes);
    // A half one is not, nor one that may be followed by a call.
    for (members, shown) in [
        (object.to_owned(), "{\"a\":[1]"),
        (object.to_owned() + r#","tools":[{"type":"function","function":{"name":"f"}}]"#, "{\"a\":1}"),
    ] {
        let cut = cut_after(&ask(&members), &[shown]).await.unwrap();
        let got = attempt(&Scripted::sse(""), at(&to, &ask(&members), Some(cut))).await;
        assert_eq!(got.failed.unwrap().0.kind, FailureKind::Truncated);
    }
}
