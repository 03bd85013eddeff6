//! The cases under `testdata/anthropic`, what is refused, what errors mean, and that no event makes the decoder panic.

use proptest::prelude::*;
use router_core::attempt::FailureKind as K;
use router_core::capability::Capabilities as C;
use router_core::chat::Envelope;

use super::Anthropic;
use crate::dialect::testkit::{decode, deltas_text, envelope, folder, sse, walk, write_to};
use crate::dialect::{Upstream, common};

#[test]
fn every_case_of_the_testdata() {
    walk(&Anthropic, 20);
}

/// Gated when `expected` is a part of the refusal; passed when it is empty.
fn gated(change: impl FnOnce(&mut Envelope), expected: &str) {
    let mut envelope = envelope();
    change(&mut envelope);
    let refusal = Anthropic.gate(&envelope).err().map(|refusal| refusal.to_string()).unwrap_or_default();
    assert!(
        refusal.contains(expected) && refusal.is_empty() == expected.is_empty(),
        "{refusal:?} for {expected:?}"
    );
}

#[test]
fn the_gate_refuses_by_name_what_is_not_carried() {
    gated(|_| (), "");
    gated(|e| e.needs = C::TOOLS | C::PARALLEL_TOOLS | C::JSON_SCHEMA | C::REASONING, "");
    gated(|e| e.temperature = Some(1.0), "");
    gated(|e| e.service_tier = Some("auto".into()), "");
    gated(|e| e.n = 2, "/n: 2 answers");
    gated(|e| e.images = 1, "/messages: images");
    gated(|e| e.needs = C::VISION, "/messages: images");
    gated(|e| e.needs = C::PDF, "/messages: files");
    gated(|e| e.needs = C::AUDIO_IN, "/messages: audio");
    gated(|e| e.needs = C::AUDIO_OUT, "/modalities");
    gated(|e| e.needs = C::LOGPROBS, "/logprobs");
    gated(|e| e.needs = C::SEED, "/seed");
    gated(|e| e.needs = C::JSON_OBJECT, "/response_format: json_object");
    gated(|e| e.temperature = Some(1.5), "/temperature: 1.5 is above 1");
    gated(|e| e.service_tier = Some("flex".into()), "/service_tier: \"flex\"");
    gated(|e| e.user = Some("x".repeat(257)), "/user: an id of more than 256");
    gated(|e| e.unmapped = vec!["logit_bias".into()], "anthropic upstreams cannot express /logit_bias");
}

fn refuses(members: &str, expected: &str) {
    let refusal = write_to(&Anthropic, r#"{"model":"m","max_tokens":9}"#, members).unwrap_err();
    assert!(refusal.contains(expected), "{refusal:?} for {expected:?}");
}

#[test]
fn a_request_that_cannot_be_expressed_is_refused_by_name() {
    let user = r#""messages":[{"user":["Hi"]}]"#;
    let with = |members: &str| format!("{user},{members}");
    let emptied = r#""messages":[{"user":["Hi"]},{"assistant":[""]}]"#;
    assert!(write_to(&Anthropic, r#"{"model":"m"}"#, emptied).is_ok());
    refuses(r#""messages":[]"#, "/messages: a request without a turn");
    refuses(r#""messages":[{"user":[""]}]"#, "/messages: a request without a turn");
    refuses(
        r#""messages":[{"user":["Hi"]},{"assistant":["So"]}]"#,
        "/messages: a last turn by the assistant",
    );
    refuses(r#""messages":[{"assistant":[{"call":["a","f","{"]}]}]"#, "/messages/0: arguments of call \"a\"");
    refuses(
        r#""messages":[{"assistant":[{"call":["a","f","[1]"]}]}]"#,
        "/messages/0: arguments of call \"a\"",
    );
    refuses(r#""messages":[{"user":[{"call":["a","f","{}"]}]}]"#, "/messages/0: tool part \"a\"");
    refuses(&with(r#""seed":1"#), "/seed");
    refuses(&with(r#""presence_penalty":0.1"#), "/presence_penalty");
    refuses(&with(r#""frequency_penalty":-0.1"#), "/frequency_penalty");
    refuses(&with(r#""temperature":1.01"#), "/temperature: 1.01");
    refuses(&with(r#""stop":["x"," \n"]"#), "/stop/1");
    refuses(&with(r#""response_format":"json_object""#), "/response_format");
    refuses(&with(r#""tool_choice":"required""#), "/tool_choice");
    refuses(&with(r#""tools":[{"name":"f","parameters":{"type":"array"}}]"#), "/tools/0/function/parameters");
    refuses(&with(r#""tools":[{"name":"f","strict":true}]"#), "/tools/0/function/strict");
    refuses(&with(r#""unmapped":["/verbosity"]"#), "/verbosity");
    refuses(&with(&format!(r#""user":"{}""#, "x".repeat(257))), "/user");
}

#[test]
fn a_schema_beyond_constrained_output_is_refused_at_its_pointer() {
    let check = |schema: &str, expected: &str| {
        let members =
            format!(r#""messages":[{{"user":["Hi"]}}],"response_format":{{"json_schema":{schema}}}"#);
        refuses(&members, &format!("/response_format/json_schema/schema{expected}"));
    };
    check(r#"{"type":"object","properties":{}}"#, ": an object schema without");
    check(r#"{"type":"array","items":{"type":"integer","minimum":1}}"#, "/items/minimum");
    check(r#"{"anyOf":[{"type":"null"},{"type":"string","maxLength":3}]}"#, "/anyOf/1/maxLength");
    check(r##"{"$ref":"#"}"##, "/$ref");
    check(r#"{"$defs":{"a":{"type":"array","minItems":2}},"type":"null"}"#, "/$defs/a/minItems");
}

#[test]
fn limits_come_from_the_narrowest_source_known() {
    let limit = |to: &str| {
        write_to(&Anthropic, to, r#""messages":[{"user":["Hi"]}]"#).unwrap()["max_tokens"].as_u64()
    };
    assert_eq!(limit(r#"{"model":"m","max_tokens":9,"max_output_tokens":64}"#), Some(9));
    assert_eq!(limit(r#"{"model":"m","max_output_tokens":64}"#), Some(64));
    assert_eq!(limit(r#"{"model":"m"}"#), Some(4096));
}

#[test]
fn errors_by_type_code_text_and_status() {
    let check = |status: u16, body: &str, kind: K, code: Option<&str>| {
        let fault = Anthropic.error(status, body.as_bytes());
        assert_eq!((fault.kind, fault.code.as_deref()), (kind, code), "{status} {body}");
        assert!(!fault.message.is_empty() && !fault.message.contains('<'), "{}", fault.message);
    };
    let error = |kind: &str, message: &str| {
        format!(r#"{{"type":"error","error":{{"type":"{kind}","message":"{message}"}}}}"#)
    };
    let typed = |status, kind: &str, message: &str, expected| {
        check(status, &error(kind, message), expected, Some(kind));
    };
    typed(400, "invalid_request_error", "messages: roles must alternate", K::BadRequest);
    typed(400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum", K::TooLong);
    typed(
        400,
        "invalid_request_error",
        "input length and `max_tokens` exceed context limit: 1 + 2 > 3",
        K::TooLong,
    );
    typed(
        400,
        "invalid_request_error",
        "Your credit balance is too low to access the Anthropic API.",
        K::OutOfCredit,
    );
    typed(400, "invalid_request_error", "You have reached your specified API usage limits.", K::OutOfCredit);
    typed(400, "invalid_request_error", "Output blocked by content filtering policy", K::Filtered);
    typed(401, "authentication_error", "invalid x-api-key", K::Auth);
    typed(403, "permission_error", "not allowed", K::Auth);
    typed(402, "billing_error", "unpaid", K::OutOfCredit);
    typed(404, "not_found_error", "model: claude-0", K::Unavailable);
    typed(413, "request_too_large", "32 MB", K::TooLong);
    typed(429, "rate_limit_error", "per minute", K::RateLimited);
    typed(500, "api_error", "Internal server error", K::Unavailable);
    typed(504, "timeout_error", "slow", K::Timeout);
    typed(529, "overloaded_error", "Overloaded", K::Overloaded);
    typed(418, "teapot_error", "short and stout", K::BadRequest);
    let coded = r#"{"error":{"type":"rate_limit_error","message":"m","details":{"error_code":"contract_spend_limit_reached"}}}"#;
    check(429, coded, K::OutOfCredit, Some("contract_spend_limit_reached"));
    check(502, "<html>Bad gateway</html>", K::Unavailable, None);
    check(529, "", K::Overloaded, None);
    check(429, "{}", K::RateLimited, None);
}

#[test]
fn ids_that_do_not_fit_are_replaced_alike_on_both_sides() {
    let turns = r#""messages":[{"assistant":[{"call":["a.b","f",""]},{"call":["a:b","f",""]},{"call":["","f",""]}]},
        {"tool":[{"result":["a:b","2"]},{"result":["a.b","1"]},{"result":["","3"]}]}]"#;
    let body = write_to(&Anthropic, r#"{"model":"m"}"#, turns).unwrap();
    let id = |turn: usize, place: usize, key: &str| {
        body["messages"][turn]["content"][place][key].as_str().unwrap()
    };
    for (call, result) in [(0, 1), (1, 0), (2, 2)] {
        assert_eq!(id(0, call, "id"), id(1, result, "tool_use_id"));
        assert!(id(0, call, "id").bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
    }
    assert_ne!(id(0, 0, "id"), id(0, 1, "id"));
    assert_ne!(common::fingerprint(&["ab", "c"]), common::fingerprint(&["a", "bc"]));
}

#[test]
fn contradictory_streams_are_bad_replies() {
    let start = r#"{"type":"message_start","message":{}}"#;
    let text = r#"{"type":"content_block_start","index":0,"content_block":{"type":"text"}}"#;
    let streams: [&[&str]; 9] = [
        &[start, start],
        &[start, text, text],
        &[start, r#"{"type":"message_stop"}"#],
        &[start, text, r#"{"type":"content_block_stop","index":1}"#],
        &[
            start,
            text,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{"}}"#,
        ],
        &[
            start,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","name":"f"}}"#,
        ],
        &[start, r#"{"type":"message_delta","delta":{"stop_reason":"vibes"}}"#],
        &[start, r#"{"type":"message_delta","usage":{"output_tokens":-1}}"#],
        &[r#"{"index":0}"#],
    ];
    for events in streams {
        let (_, fault) = decode(&Anthropic, &sse(events), usize::MAX);
        assert_eq!(fault.map(|fault| fault.kind), Some(K::BadReply), "{events:?}");
    }
}

fn real_stream() -> Vec<u8> {
    std::fs::read(folder("anthropic").join("tools/stream.sse")).unwrap()
}

proptest! {
    #[test]
    fn no_event_makes_the_decoder_panic(events in prop::collection::vec(any::<Vec<u8>>(), 0..8)) {
        let (mut decoder, mut deltas) = (Anthropic.decoder(), Vec::new());
        for event in &events {
            let _ = decoder.event(Some("message_start"), event, &mut deltas);
        }
        let _ = decoder.end(&mut deltas);
        let _ = Anthropic.answer(&events.concat());
        let _ = Anthropic.error(400, &events.concat());
    }

    #[test]
    fn a_mutated_stream_reads_the_same_in_any_chunks(at in any::<prop::sample::Index>(), byte in any::<u8>(), chunk in 1_usize..200) {
        let mut stream = real_stream();
        let at = at.index(stream.len());
        stream[at] = byte;
        let whole = decode(&Anthropic, &stream, usize::MAX);
        let pieces = decode(&Anthropic, &stream, chunk);
        prop_assert_eq!(deltas_text(&whole.0, whole.1.as_ref()), deltas_text(&pieces.0, pieces.1.as_ref()));
    }

    #[test]
    fn a_stream_cut_anywhere_before_its_last_event_is_no_success(at in any::<prop::sample::Index>()) {
        let stream = real_stream();
        let last = br#"data: {"type":"message_stop"}"#;
        let end = stream.windows(last.len()).position(|window| window == last).unwrap();
        let cut = at.index(end);
        let (_, fault) = decode(&Anthropic, &stream[..cut], usize::MAX);
        let kind = fault.map(|fault| fault.kind);
        prop_assert_eq!(kind, Some(K::Truncated), "cut at {}", cut);
    }
}
