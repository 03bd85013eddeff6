//! The cases under `testdata/gemini`, what is refused, what errors mean, and that no event makes the decoder panic.

use proptest::prelude::*;
use router_core::attempt::FailureKind as K;
use router_core::capability::Capabilities as C;
use router_core::chat::{Delta, Envelope};

use super::Gemini;
use crate::dialect::Upstream;
use crate::dialect::testkit::{decode, deltas_text, envelope, folder, sse, walk, write_to};

#[test]
fn every_case_of_the_testdata() {
    walk(&Gemini, 20);
}

/// Gated when `expected` is a part of the refusal; passed when it is empty.
fn gated(change: impl FnOnce(&mut Envelope), expected: &str) {
    let mut envelope = envelope();
    change(&mut envelope);
    let refusal = Gemini.gate(&envelope).err().map(|refusal| refusal.to_string()).unwrap_or_default();
    assert!(
        refusal.contains(expected) && refusal.is_empty() == expected.is_empty(),
        "{refusal:?} for {expected:?}"
    );
}

#[test]
fn the_gate_refuses_by_name_what_is_not_carried() {
    gated(|_| (), "");
    gated(|e| e.needs = C::TOOLS | C::PARALLEL_TOOLS | C::SEED | C::REASONING, "");
    gated(|e| e.needs = C::JSON_OBJECT, "");
    gated(|e| e.temperature = Some(2.0), "");
    gated(
        |e| (e.tools, e.needs) = (1, C::TOOLS | C::JSON_SCHEMA),
        "/response_format: JSON together with tools",
    );
    gated(|e| e.n = 3, "/n: 3 answers");
    gated(|e| e.needs = C::VISION, "/messages: images");
    gated(|e| e.needs = C::VIDEO_IN, "/messages: video");
    gated(|e| e.needs = C::LOGPROBS, "/logprobs");
    gated(|e| e.service_tier = Some("priority".into()), "/service_tier: \"priority\"");
    gated(|e| e.unmapped = vec!["/logit_bias".into()], "gemini upstreams cannot express /logit_bias");
}

fn refuses(members: &str, expected: &str) {
    let refusal = write_to(&Gemini, r#"{"model":"m","max_tokens":9}"#, members).unwrap_err();
    assert!(refusal.contains(expected), "{refusal:?} for {expected:?}");
}

#[test]
fn a_request_that_cannot_be_expressed_is_refused_by_name() {
    let user = r#""messages":[{"user":["Hi"]}]"#;
    let with = |members: &str| format!("{user},{members}");
    refuses(r#""messages":[{"user":[""]}]"#, "/messages: a request without a turn");
    refuses(
        r#""messages":[{"user":["Hi"]},{"assistant":["So"]}]"#,
        "/messages: a last turn by the assistant",
    );
    refuses(
        r#""messages":[{"assistant":[{"call":["a","f","nope"]}]}]"#,
        "/messages/0: arguments of call \"a\"",
    );
    refuses(r#""messages":[{"tool":[{"result":["a","x"]}]}]"#, "/messages/0: the result of call \"a\"");
    refuses(&with(r#""seed":4294967296"#), "/seed");
    refuses(&with(r#""stop":["1","2","3","4","5","6"]"#), "/stop");
    refuses(&with(r#""tool_choice":{"named":"f"}"#), "/tool_choice");
    refuses(&with(r#""tools":[{"name":"f"}],"parallel_tool_calls":false"#), "/parallel_tool_calls");
    refuses(&with(r#""tools":[{"name":"f"}],"response_format":"json_object""#), "/response_format");
    refuses(&with(r#""tools":[{"name":"2f"}]"#), "/tools/0/function/name");
    refuses(
        &with(r#""tools":[{"name":"f","parameters":{"type":"string"}}]"#),
        "/tools/0/function/parameters",
    );
}

#[test]
fn signatures_stand_in_only_where_they_are_asked_for() {
    let turns = r#""messages":[{"assistant":[{"call":["a","f",""]},{"call":["b","f",""]}]},{"tool":[{"result":["a","1"]},{"result":["b","2"]}]}]"#;
    let signed = |model: &str| {
        let body = write_to(&Gemini, &format!(r#"{{"model":"{model}"}}"#), turns).unwrap();
        [0, 1].map(|place| body["contents"][0]["parts"][place]["thoughtSignature"].is_string())
    };
    assert_eq!(signed("gemini-3-pro-preview"), [true, false]);
    assert_eq!(signed("models/gemini-4-argon"), [true, false]);
    assert_eq!(signed("gemini-flash-latest"), [true, false]);
    assert_eq!(signed("gemini-2.5-pro"), [false, false]);
    assert_eq!(signed("gemma-3-27b-it"), [false, false]);
}

#[test]
fn errors_by_reason_quota_text_and_status() {
    let check = |status: u16, body: &str, kind: K| {
        let fault = Gemini.error(status, body.as_bytes());
        assert_eq!(fault.kind, kind, "{status} {body}");
        assert!(!fault.message.is_empty() && !fault.message.contains('<'), "{}", fault.message);
    };
    let named = |code: u16, status: &str, message: &str, kind| {
        let body = format!(r#"{{"error":{{"code":{code},"message":"{message}","status":"{status}"}}}}"#);
        check(code, &body, kind);
        check(code, &format!("[{body}]"), kind);
    };
    named(400, "INVALID_ARGUMENT", "Invalid JSON payload received.", K::BadRequest);
    named(
        400,
        "INVALID_ARGUMENT",
        "The input token count (2) exceeds the maximum number of tokens allowed (1).",
        K::TooLong,
    );
    named(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", K::Auth);
    named(400, "FAILED_PRECONDITION", "User location is not supported for the API use.", K::Auth);
    named(400, "FAILED_PRECONDITION", "Please enable billing on project 1.", K::OutOfCredit);
    named(403, "PERMISSION_DENIED", "Consumer suspended", K::Auth);
    named(401, "UNAUTHENTICATED", "no", K::Auth);
    named(404, "NOT_FOUND", "models/x is not found", K::Unavailable);
    named(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota).", K::RateLimited);
    named(429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted.", K::OutOfCredit);
    named(
        429,
        "RESOURCE_EXHAUSTED",
        "Quota exceeded for metric: x, limit: 0, model: gemini-3-pro",
        K::OutOfCredit,
    );
    named(500, "INTERNAL", "An internal error has occurred.", K::Unavailable);
    named(503, "UNAVAILABLE", "The model is overloaded.", K::Overloaded);
    named(504, "DEADLINE_EXCEEDED", "slow", K::Timeout);
    named(418, "TEAPOT", "short and stout", K::BadRequest);
    let reason = r#"{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT","details":[{"@type":"google.rpc.ErrorInfo","reason":"API_KEY_INVALID","metadata":{"service":"s"}}]}}"#;
    check(400, reason, K::Auth);
    assert_eq!(Gemini.error(400, reason.as_bytes()).code.as_deref(), Some("API_KEY_INVALID"));
    let quota = |id: &str| {
        format!(
            r#"{{"error":{{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.","status":"RESOURCE_EXHAUSTED","details":[{{"@type":"google.rpc.QuotaFailure","violations":[{{"quotaMetric":"m","quotaId":"{id}","quotaDimensions":{{"model":"x"}}}}]}},{{"@type":"google.rpc.RetryInfo","retryDelay":"38.5s"}}]}}}}"#
        )
    };
    check(429, &quota("GenerateRequestsPerMinutePerProjectPerModel"), K::RateLimited);
    check(429, &quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier"), K::OutOfCredit);
    check(429, "", K::RateLimited);
    check(502, "<html>Bad gateway</html>", K::Unavailable);
}

#[test]
fn the_delay_to_ask_again_is_read_from_the_body() {
    let delay = |text: &str| {
        let body = format!(r#"{{"error":{{"details":[{{"@type":"x"}},{{"retryDelay":"{text}"}}]}}}}"#);
        Gemini.retry_after_ms(body.as_bytes())
    };
    let cases = [
        ("38s", Some(38_000)),
        ("45.578569677s", Some(45_578)),
        ("0.5s", Some(500)),
        ("1.s", Some(1_000)),
        ("-1s", None),
        ("s", None),
        ("1.x5s", None),
        ("99999999999999999999s", None),
        ("5", None),
    ];
    for (text, expected) in cases {
        assert_eq!(delay(text), expected, "{text}");
    }
    assert_eq!(Gemini.retry_after_ms(b"<html>"), None);
}

#[test]
fn ids_made_up_are_short_stable_and_different() {
    let ids = |response_id: &str| {
        let call = r#"{"functionCall":{"name":"f","args":{}}}"#;
        let chunk = format!(
            r#"{{"responseId":"{response_id}","candidates":[{{"content":{{"parts":[{call},{call}]}},"finishReason":"STOP"}}]}}"#
        );
        let (deltas, fault) = decode(&Gemini, &sse(&[&chunk]), usize::MAX);
        assert!(fault.is_none());
        let id = |delta: Delta| if let Delta::ToolStart { id, .. } = delta { Some(id) } else { None };
        deltas.into_iter().filter_map(id).collect::<Vec<_>>()
    };
    assert_eq!(ids("a/b=c"), ["call_abc_0", "call_abc_1"]);
    let without = ids("");
    assert_eq!(without, ids("=="));
    assert_ne!(without[0], without[1]);
    let long = ids(&"x".repeat(100));
    assert!(long.iter().all(|id| id.len() <= 40), "{long:?}");
}

#[test]
fn a_stream_is_done_when_nothing_that_matters_can_follow() {
    let (mut decoder, mut deltas) = (Gemini.decoder(), Vec::new());
    let finish = r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}]},"finishReason":"STOP"}]}"#;
    decoder.event(None, finish.as_bytes(), &mut deltas).unwrap();
    assert!(!decoder.is_done(), "the usage may still come");
    decoder.event(None, br#"{"usageMetadata":{"promptTokenCount":1}}"#, &mut deltas).unwrap();
    assert!(decoder.is_done() && decoder.end(&mut deltas).is_ok());
}

#[test]
fn replies_that_break_the_promise_are_bad_replies() {
    let parts = |parts: &str| {
        format!(r#"{{"candidates":[{{"content":{{"parts":[{parts}]}},"finishReason":"STOP"}}]}}"#)
    };
    let bodies = [
        "null".to_owned(),
        "[]".to_owned(),
        parts(r#"{"functionCall":{"args":{}}}"#),
        parts(r#"{"functionCall":{"name":"f","args":[1]}}"#),
        parts(r#"{"text":7}"#),
        r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}]}}]}"#.to_owned(),
        r#"{"candidates":[{"content":{"parts":[{"text":"Hi"}]},"finishReason":"OTHER"}]}"#.to_owned(),
        r#"{"candidates":[{"finishReason":"UNHEARD_OF"}]}"#.to_owned(),
    ];
    for body in bodies {
        let kind = Gemini.answer(body.as_bytes()).map_err(|fault| fault.kind).map(|_| ());
        assert_eq!(kind, Err(K::BadReply), "{body}");
    }
}

fn real_stream() -> Vec<u8> {
    std::fs::read(folder("gemini").join("tools/stream.sse")).unwrap()
}

proptest! {
    #[test]
    fn no_event_makes_the_decoder_panic(events in prop::collection::vec(any::<Vec<u8>>(), 0..8)) {
        let (mut decoder, mut deltas) = (Gemini.decoder(), Vec::new());
        for event in &events {
            let _ = decoder.event(None, event, &mut deltas);
        }
        let _ = decoder.end(&mut deltas);
        let _ = Gemini.answer(&events.concat());
        let _ = Gemini.error(400, &events.concat());
        let _ = Gemini.retry_after_ms(&events.concat());
    }

    #[test]
    fn a_mutated_stream_reads_the_same_in_any_chunks(at in any::<prop::sample::Index>(), byte in any::<u8>(), chunk in 1_usize..200) {
        let mut stream = real_stream();
        let at = at.index(stream.len());
        stream[at] = byte;
        let whole = decode(&Gemini, &stream, usize::MAX);
        let pieces = decode(&Gemini, &stream, chunk);
        prop_assert_eq!(deltas_text(&whole.0, whole.1.as_ref()), deltas_text(&pieces.0, pieces.1.as_ref()));
    }

    #[test]
    fn model_names_never_leave_their_segment(model in ".*") {
        let path = Gemini.path(&model, false);
        let inside = path.strip_prefix("/models/").and_then(|path| path.strip_suffix(":generateContent")).unwrap();
        prop_assert!(inside.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)), "{path}");
    }
}
