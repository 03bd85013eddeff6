//! Attempts against scripted upstreams: what a caller sees of every way an answer can come or fail to.

use std::sync::Mutex;

use futures_util::stream;
use hyper::StatusCode;
use hyper::header::{HeaderValue, RETRY_AFTER};
use router_core::capability::Capabilities;
use router_core::chat::{DialectId, FinishReason};
use router_core::config::Secret;
use router_core::money::Usd;

use super::*;
use crate::dialect::{Client, ScanLimits, openai_chat::OpenaiChat};
use crate::transport::Outbound;
use crate::transport::Sending;

mod hostile;
mod rescue;

/// An upstream that answers as written and remembers what it was sent.
struct Scripted {
    status: u16,
    content_type: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    chunks: Vec<Bytes>,
    /// After the chunks nothing more comes, and the body does not end.
    hangs: bool,
    /// After the chunks the connection breaks.
    breaks: bool,
    seen: Mutex<Vec<(String, HeaderMap, String)>>,
}

impl Scripted {
    fn new(content_type: &'static str, body: &str) -> Self {
        Self {
            status: 200,
            content_type,
            headers: Vec::new(),
            chunks: vec![Bytes::copy_from_slice(body.as_bytes())],
            hangs: false,
            breaks: false,
            seen: Mutex::default(),
        }
    }

    fn sse(body: &str) -> Self {
        Self::new("text/event-stream; charset=utf-8", body)
    }

    fn json(body: &str) -> Self {
        Self::new("application/json", body)
    }

    fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    fn hanging(self) -> Self {
        Self { hangs: true, ..self }
    }

    fn bytewise(mut self) -> Self {
        self.chunks = self.chunks.concat().iter().map(|byte| Bytes::copy_from_slice(&[*byte])).collect();
        self
    }
}

impl Transport for Scripted {
    fn send(&self, request: Outbound) -> Sending<'_> {
        let body = String::from_utf8(request.body.concat()).unwrap();
        self.seen.lock().unwrap().push((request.url.to_string(), request.headers, body));
        let mut headers: HeaderMap = self
            .headers
            .iter()
            .map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)))
            .collect();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        let chunks = stream::iter(self.chunks.clone().into_iter().map(Ok));
        let broken = || TransportError {
            kind: FailureKind::Truncated,
            message: "the answer broke off: reset".into(),
            sent: true,
        };
        let breaks = stream::iter(self.breaks.then(|| Err(broken())));
        let chunks = chunks.chain(breaks);
        let body: ByteStream =
            if self.hangs { Box::pin(chunks.chain(stream::pending())) } else { Box::pin(chunks) };
        let status = StatusCode::from_u16(self.status).unwrap();
        Box::pin(std::future::ready(Ok(Inbound { status, headers, body })))
    }
}

const SECRET: &str = "credential-of-the-test";

fn call(request: &str, idle: Duration) -> Call {
    let envelope =
        OpenaiChat.scan(Bytes::copy_from_slice(request.as_bytes()), ScanLimits { max_depth: 64 }).unwrap();
    let target = Target::new(&TargetSpec {
        host: None,
        dialect: DialectId::OpenaiChat,
        base_url: "https://host.test/v1",
        credential: Some(Secret::new(SECRET.into())),
        upstream_model: "up",
        capabilities: Capabilities::empty(),
        max_output_tokens: Some(1000),
    })
    .unwrap();
    Call {
        request: Arc::new(Request::new(envelope)),
        target: Arc::new(target),
        max_tokens: None,
        limits: Limits { connect: Duration::from_secs(9), first_byte: idle, answer: idle, show: LONG, idle },
        meta: ReplyMeta { id: "id".into(), model: "m".into(), created: 1, include_usage: false },
        tag: "request/1".parse().unwrap(),
        goes_on: None,
    }
}

const LONG: Duration = Duration::from_secs(60);
const ASK: &str = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
const ASK_STREAM: &str = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true}"#;
const ASK_USAGE: &str = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true,"stream_options":{"include_usage":true}}"#;

async fn json(upstream: &Scripted, request: &str) -> Result<JsonReply, Fault> {
    match send(upstream, call(request, LONG)).await? {
        Reply::Json(reply) => Ok(*reply),
        Reply::Stream(_) => panic!("a stream"),
    }
}

/// All items with something in them, and the end; or the fault and what came before it.
async fn streamed(upstream: &Scripted, request: &str) -> (Vec<Item>, Result<String, Fault>) {
    let mut reply = match send(upstream, call(request, LONG)).await {
        Ok(Reply::Stream(reply)) => reply,
        Ok(Reply::Json(_)) => panic!("not a stream"),
        Err(fault) => return (Vec::new(), Err(fault)),
    };
    let mut items = Vec::new();
    loop {
        match reply.next().await {
            Ok(Some(item)) if item == Item::default() => {}
            Ok(Some(item)) => items.push(item),
            Ok(None) => {
                let end = reply.take_end(Some(Usd::from_nano(5)), None);
                return (items, Ok(String::from_utf8(end.to_vec()).unwrap()));
            }
            Err(fault) => return (items, Err(fault)),
        }
    }
}

fn bytes(items: &[Item]) -> String {
    items.iter().map(|item| String::from_utf8(item.bytes.to_vec()).unwrap()).collect()
}

fn chunk(delta: &str, finish: &str) -> String {
    format!(
        "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":3,\"model\":\"x\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
    )
}

fn hello() -> String {
    chunk(r#"{"role":"assistant","content":""}"#, "null") + &chunk(r#"{"content":"hello"}"#, "null")
}

const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

#[tokio::test]
async fn a_json_answer_is_priced_and_otherwise_untouched() {
    let mut upstream = Scripted::json(
        r#"{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}],"usage":{"completion_tokens":7},"future":1}"#,
    );
    upstream.headers =
        vec![("x-ratelimit-remaining-requests", "9"), ("x-request-id", "r1"), ("set-cookie", "no")];
    let reply = json(&upstream, ASK).await.unwrap();
    assert_eq!(reply.headers.rate_limits.len(), 1);
    assert_eq!(reply.headers.upstream_request_id.as_deref(), Some("r1"));
    assert_eq!(
        (reply.finish, reply.usage.map(|usage| usage.output_tokens)),
        (Some(FinishReason::Stop), Some(7))
    );
    assert_eq!(
        String::from_utf8(reply.into_body(Some(Usd::from_nano(7))).concat()).unwrap(),
        r#"{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}],"usage":{"completion_tokens":7,"cost":0.000000007,"cost_details":{"upstream_inference_cost":0.000000007}},"future":1}"#
    );
    let seen = upstream.seen.lock().unwrap();
    let (url, headers, body) = &seen[0];
    assert_eq!(url, "https://host.test/v1/chat/completions");
    assert_eq!(headers["authorization"], format!("Bearer {SECRET}"));
    assert!(headers["authorization"].is_sensitive());
    assert_eq!(headers["accept-encoding"], "identity");
    assert_eq!(body, &ASK.replace("\"m\"", "\"up\""));
}

#[tokio::test]
async fn a_stream_is_forwarded_unchanged_and_its_end_held_back() {
    let events = hello() + ": ping\n\n" + &chunk("{}", "\"stop\"");
    for upstream in [
        Scripted::sse(&(events.clone() + USAGE + DONE)),
        Scripted::sse(&(events.clone() + USAGE + DONE)).bytewise(),
    ] {
        let (items, end) = streamed(&upstream, ASK_STREAM).await;
        assert_eq!(bytes(&items), events, "the usage event was not asked for");
        assert_eq!(end.unwrap(), DONE);
        let seen: Vec<_> = items.iter().filter_map(|item| item.seen).collect();
        assert_eq!(seen, [router_core::failover::Seen::Text], "said once");
        assert_eq!(items.iter().map(|item| item.tokens).sum::<u64>(), 2);
        assert!(
            items[0].bytes.starts_with(b"data: {\"id\":\"c\""),
            "nothing before the first visible event is lost"
        );
    }
    let (_, end) = streamed(&Scripted::sse(&(events + USAGE + DONE)), ASK_USAGE).await;
    assert_eq!(
        end.unwrap(),
        format!(
            "data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":1,\"completion_tokens\":2,\"cost\":0.000000005,\"cost_details\":{{\"upstream_inference_cost\":0.000000005}}}}}}\n\n{DONE}"
        )
    );
}

#[track_caller]
fn faulted<T: std::fmt::Debug>(result: Result<T, Fault>, kind: FailureKind) {
    assert_eq!(result.unwrap_err().kind, kind);
}

#[tokio::test]
async fn streams_that_fail() {
    use FailureKind as F;
    let before = |kind: F, upstream: Scripted| async move {
        let (items, end) = streamed(&upstream, ASK_STREAM).await;
        assert_eq!(items, [], "nothing visible, nothing handed over");
        faulted(end, kind);
    };
    before(F::Truncated, Scripted::sse(&chunk(r#"{"role":"assistant","content":""}"#, "null"))).await;
    before(F::Truncated, Scripted::sse("")).await;
    before(F::Empty, Scripted::sse(&(chunk("{}", "\"stop\"") + DONE))).await;
    before(F::Empty, Scripted::sse(DONE)).await;
    before(F::BadReply, Scripted::sse("data: <html></html>\n\n")).await;
    before(F::BadReply, Scripted::new("text/html", "<html></html>")).await;
    before(F::BadReply, Scripted::json(r#"{"choices":[{"message":{"content":"x"}}]}"#)).await;
    before(F::OutOfCredit, Scripted::json(r#"{"error":{"message":"no","code":"insufficient_quota"}}"#)).await;
    before(F::Unavailable, Scripted::sse("data: {\"error\":{\"message\":\"no\"}}\n\n")).await;
    before(F::BadReply, Scripted::sse(&format!("data: \"{}\"\n\n", "x".repeat(2 << 20)))).await;
    for upstream in
        [Scripted::sse(&hello()), Scripted::sse(&(hello() + "data: {\"error\":{\"message\":\"no\"}}\n\n"))]
    {
        let (items, end) = streamed(&upstream, ASK_STREAM).await;
        assert_eq!(
            bytes(&items),
            if upstream.chunks[0].ends_with(b"}}\n\n") { String::new() } else { hello() }
        );
        assert!(end.is_err());
    }
}

#[tokio::test]
async fn silence_is_a_fault_unless_the_answer_is_whole() {
    let next = |body: String| async move {
        let upstream = Scripted::sse(&body).hanging();
        let Reply::Stream(mut reply) =
            send(&upstream, call(ASK_STREAM, Duration::from_millis(1))).await.unwrap()
        else {
            panic!("not a stream")
        };
        loop {
            match reply.next().await {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(reply.take_end(None, None)),
                Err(fault) => return Err(fault.kind),
            }
        }
    };
    assert_eq!(next(hello()).await, Err(FailureKind::Stalled));
    assert_eq!(
        next(String::new()).await.map_err(FailureKind::name),
        Err("stalled"),
        "an empty chunk is a byte read"
    );
    assert_eq!(next(hello() + &chunk("{}", "\"stop\"")).await, Ok(Bytes::from_static(DONE.as_bytes())));
}

#[tokio::test]
async fn an_empty_answer_is_a_fault_unless_it_is_owed_nothing() {
    let nothing = r#"{"choices":[{"message":{"content":""},"finish_reason":"F"}],"usage":{"prompt_tokens":1,"completion_tokens":N}}"#;
    let answer =
        |finish: &str, tokens: &str| Scripted::json(&nothing.replace('F', finish).replace('N', tokens));
    let after_tool = r#"{"model":"m","messages":[{"role":"tool","tool_call_id":"c","content":"r"}]}"#;
    let capped = r#"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"hi"}]}"#;
    faulted(json(&answer("stop", "0"), ASK).await, FailureKind::Empty);
    faulted(json(&answer("length", "0"), ASK).await, FailureKind::Empty);
    faulted(json(&answer("tool_calls", "0"), after_tool).await, FailureKind::Empty);
    assert!(json(&answer("stop", "9"), ASK).await.is_ok(), "hidden reasoning was paid for");
    assert!(json(&answer("stop", "0"), after_tool).await.is_ok());
    assert!(json(&answer("length", "0"), capped).await.is_ok());
    assert!(json(&answer("content_filter", "0"), ASK).await.is_ok());
}

#[tokio::test]
async fn refusals_say_when_to_come_back_and_never_the_secret() {
    let mut upstream =
        Scripted::json(&format!(r#"{{"error":{{"message":"no {SECRET}","code":"rate_limit_exceeded"}}}}"#))
            .status(429);
    upstream.headers = vec![(RETRY_AFTER.as_str(), "3")].into_iter().map(|_| ("retry-after", "3")).collect();
    let fault = json(&upstream, ASK).await.unwrap_err();
    assert_eq!(
        (fault.kind, fault.status, fault.retry_after),
        (FailureKind::RateLimited, Some(429), Some(Duration::from_secs(3)))
    );
    assert_eq!(fault.message, "the provider answered 429: no [redacted]");
    assert_eq!(fault.code.as_deref(), Some("rate_limit_exceeded"));
    faulted(json(&Scripted::json("{}").status(500), ASK).await, FailureKind::Unavailable);
    faulted(json(&Scripted::json("").status(204), ASK).await, FailureKind::BadReply);
    faulted(json(&Scripted::new("text/html", "<html>"), ASK).await, FailureKind::BadReply);
    faulted(json(&Scripted::json(r#"{"choices":"#), ASK).await, FailureKind::Truncated);
}

#[tokio::test]
async fn an_endless_json_answer_is_not_buffered() {
    let mut upstream = Scripted::json("");
    upstream.chunks = vec![Bytes::from(vec![b' '; 1 << 20]); 33];
    faulted(json(&upstream.hanging(), ASK).await, FailureKind::BadReply);
}

#[test]
fn targets_that_cannot_be_called_are_refused() {
    let spec = |base_url, model, credential: &str| TargetSpec {
        host: Some("openai"),
        dialect: DialectId::OpenaiChat,
        base_url,
        credential: Some(Secret::new(credential.into())),
        upstream_model: model,
        capabilities: Capabilities::empty(),
        max_output_tokens: None,
    };
    let error = |spec: TargetSpec<'_>| Target::new(&spec).unwrap_err();
    assert_eq!(error(spec("ftp://x", "m", "k")), TargetError::Address("ftp://x".into()));
    assert_eq!(error(spec("https://user@x", "m", "k")), TargetError::Address("https://user@x".into()));
    assert_eq!(error(spec("https://x", "a\nb", "k")), TargetError::Model("a\\nb".into()));
    assert_eq!(error(spec("https://x", "m", "k\n")), TargetError::Credential);
    let bedrock = TargetSpec { dialect: DialectId::Bedrock, ..spec("https://x", "m", "k") };
    assert_eq!(error(bedrock), TargetError::Dialect("bedrock"));
    let target = Target::new(&spec("https://x", "m", "top-secret")).unwrap();
    assert!(!format!("{target:?}").contains("top-secret"));
}

fn anthropic(request: &str) -> Call {
    let target = Target::new(&TargetSpec {
        host: Some("anthropic"),
        dialect: DialectId::Anthropic,
        base_url: "https://host.test/v1",
        credential: Some(Secret::new(SECRET.into())),
        upstream_model: "up",
        capabilities: Capabilities::TOOLS,
        max_output_tokens: Some(1000),
    });
    let call = call(request, LONG);
    let meta = ReplyMeta { include_usage: call.request.envelope().include_usage, ..call.meta.clone() };
    Call { target: Arc::new(target.unwrap()), meta, ..call }
}

#[tokio::test]
async fn a_stream_of_another_dialect_is_written_in_the_clients() {
    let events = [
        r#"{"type":"message_start","message":{"id":"msg","type":"message","role":"assistant","model":"up","content":[],"stop_reason":null,"usage":{"input_tokens":5,"output_tokens":1}}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hello"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}"#,
        r#"{"type":"message_stop"}"#,
    ];
    let body: String = events
        .iter()
        .map(|data| {
            let name = data.split('"').nth(3).unwrap();
            format!("event: {name}\ndata: {data}\n\n")
        })
        .collect();
    let upstream = Scripted::sse(&body).bytewise();
    let Reply::Stream(mut reply) = send(&upstream, anthropic(ASK_USAGE)).await.unwrap() else {
        panic!("not a stream")
    };
    let mut items = Vec::new();
    while let Some(item) = reply.next().await.unwrap() {
        items.push(item);
    }
    let text = bytes(&items);
    let (role, rest) = text.split_once("\n\n").unwrap();
    assert!(role.contains(r#""delta":{"role":"assistant""#), "{text}");
    assert!(
        rest.contains(r#""delta":{"content":"hello"}"#) && rest.contains(r#""finish_reason":"stop""#),
        "{text}"
    );
    assert_eq!(reply.shown().text(), "hello");
    let usage = reply.usage().unwrap();
    assert_eq!((usage.input_tokens, usage.output_tokens), (5, 2));
    let end = String::from_utf8(reply.take_end(Some(Usd::from_nano(5)), None).to_vec()).unwrap();
    assert!(end.contains(r#""completion_tokens":2"#) && end.contains(r#""cost":0.000000005"#), "{end}");
    assert!(end.ends_with(DONE));
    let seen = upstream.seen.lock().unwrap();
    let (url, headers, sent) = &seen[0];
    assert_eq!(url, "https://host.test/v1/messages");
    assert_eq!(
        (headers["x-api-key"].to_str().unwrap(), &headers["anthropic-version"]),
        (SECRET, &HeaderValue::from_static("2023-06-01"))
    );
    assert!(sent.contains(r#""max_tokens":1000"#), "{sent}");
}

#[tokio::test]
async fn a_stream_of_another_dialect_that_is_cut_is_truncated() {
    let start = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"up\",\"content\":[],\"usage\":{\"input_tokens\":5,\"output_tokens\":1}}}\n\n";
    let Reply::Stream(mut reply) = send(&Scripted::sse(start), anthropic(ASK_STREAM)).await.unwrap() else {
        panic!("not a stream")
    };
    let fault = loop {
        match reply.next().await {
            Ok(item) => assert_eq!(item, Some(Item::default())),
            Err(fault) => break fault,
        }
    };
    assert_eq!(fault.kind, FailureKind::Truncated);
}

#[tokio::test]
async fn what_cannot_be_expressed_is_never_sent() {
    let upstream = Scripted::json("{}");
    let request = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"store":true}"#;
    let fault = send(&upstream, anthropic(request)).await.unwrap_err();
    assert!(
        fault.kind == FailureKind::Inexpressible && !fault.sent && fault.message.contains("/store"),
        "{fault:?}"
    );
    assert!(upstream.seen.lock().unwrap().is_empty());
    let barred = |body: &str| {
        let call = call(body, LONG);
        barred_dialects(&call.request, &[DialectId::Anthropic, DialectId::Gemini, DialectId::OpenaiChat])
    };
    assert_eq!(barred(ASK), []);
    assert_eq!(barred(request), [DialectId::Anthropic, DialectId::Gemini]);
    let seed = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"seed":7,"presence_penalty":0.5}"#;
    assert_eq!(barred(seed), [DialectId::Anthropic]);
}

#[test]
fn its_own_dialect_is_never_barred() {
    let envelope = OpenaiChat
        .scan(
            Bytes::from_static(br#"{"model":"m","messages":[{"role":"user","content":"a"}],"store":true}"#),
            ScanLimits { max_depth: 9 },
        )
        .unwrap();
    let request = Request::new(envelope);
    assert_eq!(barred_dialects(&request, &[DialectId::OpenaiChat, DialectId::Bedrock]), [DialectId::Bedrock]);
}
