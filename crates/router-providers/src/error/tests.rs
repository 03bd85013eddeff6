//! Errors as providers send them, and what becomes of them.

use std::time::{Duration, SystemTime};

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use router_core::attempt::FailureKind as F;

use super::*;

#[track_caller]
fn check(status: u16, body: &str, kind: F) {
    let fault = read(status, body.as_bytes());
    assert_eq!(fault.kind, kind, "{status} {body}: {fault:?}");
}

#[test]
fn kinds() {
    check(
        429,
        r#"{"error":{"message":"Rate limit reached","type":"requests","code":"rate_limit_exceeded"}}"#,
        F::RateLimited,
    );
    check(
        429,
        r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#,
        F::OutOfCredit,
    );
    check(
        429,
        r#"{"error":{"message":"no credit","type":"insufficient_quota","code":"credit_balance_exhausted"}}"#,
        F::OutOfCredit,
    );
    check(
        429,
        r#"{"error":{"message":"Billing hard limit has been reached","type":null,"code":null}}"#,
        F::OutOfCredit,
    );
    check(400, r#"{"error":{"message":"Your credit balance is too low to access the API"}}"#, F::OutOfCredit);
    check(429, r#"{"error":{"message":"You have reached your monthly spending limit"}}"#, F::OutOfCredit);
    check(503, r#"{"error":{"message":"slow","code":"slow_down"}}"#, F::RateLimited);
    check(503, r#"{"error":{"message":"busy"}}"#, F::Overloaded);
    check(429, "", F::RateLimited);
    check(401, r#"{"error":{"message":"Incorrect API key","code":"invalid_api_key"}}"#, F::Auth);
    check(
        402,
        r#"{"error":{"message":"Insufficient Balance","type":"unknown_error","code":"invalid_request_error"}}"#,
        F::OutOfCredit,
    );
    check(
        403,
        r#"{"error":{"code":403,"message":"Your chosen model requires moderation and your input was flagged"}}"#,
        F::Filtered,
    );
    check(
        404,
        r#"{"error":{"message":"The model `x` does not exist","code":"model_not_found"}}"#,
        F::Unavailable,
    );
    check(400, r#"{"error":{"message":"too long","code":"context_length_exceeded"}}"#, F::TooLong);
    check(
        400,
        r#"{"object":"error","message":"This model's maximum context length is 4096 tokens.","type":"BadRequestError","code":400}"#,
        F::TooLong,
    );
    check(
        400,
        r#"{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}"#,
        F::TooLong,
    );
    check(
        400,
        r#"{"error":{"message":"bad","type":"invalid_request_error","param":"temperature","code":null}}"#,
        F::BadRequest,
    );
    check(
        422,
        r#"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","x"]}]},"type":"invalid_request_error","code":null}"#,
        F::BadRequest,
    );
    check(413, "<html>too large</html>", F::TooLong);
    check(
        500,
        r#"{"error":{"message":"maximum context length of our patience","type":"server_error"}}"#,
        F::Unavailable,
    );
    check(502, "<html>bad gateway</html>", F::Unavailable);
    check(529, "", F::Overloaded);
    check(408, "", F::Timeout);
    check(302, "", F::Unavailable);
    check(200, r#"{"error":{"code":502,"message":"upstream died"}}"#, F::Unavailable);
    check(200, r#"{"error":{"code":429,"message":"slow"}}"#, F::RateLimited);
    check(200, r#"{"error":"it broke"}"#, F::Unavailable);
    check(400, r#"{"error":{"message":"blocked","code":"content_filter"}}"#, F::Filtered);
}

#[test]
fn kinds_by_what_each_provider_says() {
    // xAI: a wrong key is a 400, what its policy forbids a 403.
    let xai = |text: &str| format!(r#"{{"code":"Client specified an invalid argument","error":"{text}"}}"#);
    check(
        400,
        &xai("Incorrect API key provided: ab***yz. You can obtain an API key from the console."),
        F::Auth,
    );
    check(403, &xai("Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO"), F::Filtered);
    check(403, &xai("Your newly created teams doesn't have any credits yet."), F::OutOfCredit);
    check(
        400,
        &xai("This model's maximum prompt length is 131072 but the request contains 537812 tokens."),
        F::TooLong,
    );
    // Google's OpenAI-compatible API.
    let google = |code: u16, text: &str, status: &str| {
        format!(r#"[{{"error":{{"code":{code},"message":"{text}","status":"{status}"}}}}]"#)
    };
    check(400, &google(400, "API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT"), F::Auth);
    let quota = "You exceeded your current quota, please check your plan and billing details.";
    check(429, &google(429, quota, "RESOURCE_EXHAUSTED"), F::RateLimited);
    let long = "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575).";
    check(400, &google(400, long, "INVALID_ARGUMENT"), F::TooLong);
    check(400, "[]", F::BadRequest);
    // OpenRouter passes on what the provider behind it said.
    let raw = |text: &str| {
        format!(
            r#"{{"error":{{"message":"Provider returned error","code":400,"metadata":{{"raw":"{{\"error\":{{\"message\":\"{text}\"}}}}","provider_name":"X"}}}}}}"#
        )
    };
    check(400, &raw("This model's maximum context length is 8192 tokens."), F::TooLong);
    check(400, &raw("supports at most 1 image per prompt"), F::BadRequest);
    check(200, r#"{"error":{"message":"Capacity exceeded","code":"3505"}}"#, F::Unavailable);
    // One text each.
    let says = |text: &str, kind| check(400, &format!(r#"{{"error":{{"message":"{text}"}}}}"#), kind);
    says("Content Exists Risk", F::Filtered);
    says("The decoder prompt (length 10000) is longer than the maximum model length of 4096.", F::TooLong);
    says("The input (5000 tokens) is longer than the model's context length (4096 tokens).", F::TooLong);
    says(
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. Given: 9000",
        F::TooLong,
    );
    says("Please reduce the length of the messages or completion.", F::TooLong);
    says("Range of input length should be [1, 30720]", F::TooLong);
    says("Invalid request: Your request exceeded model token limit: 8192", F::TooLong);
    // What the model did wrong is no fault of the request.
    let failed = |code: &str| {
        format!(r#"{{"error":{{"message":"Failed","type":"invalid_request_error","code":"{code}"}}}}"#)
    };
    check(400, &failed("tool_use_failed"), F::BadReply);
    check(400, &failed("json_validate_failed"), F::BadReply);
    check(400, &failed("invalid_prompt"), F::Filtered);
}

#[test]
fn texts_show_neither_pages_nor_secrets() {
    let text = |status, body: &str| read(status, body.as_bytes()).message;
    assert_eq!(text(502, "<html><body>nginx</body></html>"), "the provider answered 502");
    assert_eq!(
        text(
            401,
            r#"{"error":{"message":"Incorrect API key provided: sk-proj-abcdef1234. See https://example.test/keys."}}"#
        ),
        "the provider answered 401: Incorrect API key provided: [redacted] See https://example.test/keys."
    );
    assert_eq!(clean("Authorization: Bearer abc"), "Authorization: Bearer [redacted]");
    assert_eq!(clean("two\n\u{7}lines"), "two lines");
    assert_eq!(clean("<!DOCTYPE html><p>"), "(a web page)");
    assert_eq!(clean(&"wörd ".repeat(1000)).len(), 403, "cut at a character, with an ellipsis");
}

#[track_caller]
fn wait(headers: &[(&str, &str)], expected: Option<f64>) {
    let map: HeaderMap = headers
        .iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap()))
        .collect();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let seen = retry_after(&map, now).map(|wait| wait.as_secs_f64());
    assert_eq!(seen, expected, "{headers:?}");
}

#[test]
fn waits() {
    wait(&[], None);
    wait(&[("retry-after", "7")], Some(7.0));
    wait(&[("retry-after", "1.5")], Some(1.5));
    wait(&[("retry-after", "7"), ("retry-after-ms", "250")], Some(0.25));
    wait(&[("retry-after", "Fri, 15 Jan 2027 08:00:10 GMT")], Some(10.0));
    wait(&[("retry-after", "Wed, 15 Jan 2020 08:00:10 GMT")], Some(0.0));
    wait(&[("retry-after", "soon")], None);
    wait(&[("retry-after", "-1")], None);
    wait(&[("retry-after", "99999999999999999999")], Some(86_400.0));
    wait(&[("x-ratelimit-reset-requests", "6m0s")], Some(360.0));
    wait(&[("x-ratelimit-reset-requests", "6m0s"), ("x-ratelimit-reset-tokens", "20ms")], Some(0.02));
    wait(
        &[
            ("x-ratelimit-reset-requests", "1h2m3.5s"),
            ("x-ratelimit-reset-tokens", "1s"),
            ("x-ratelimit-remaining-requests", "0"),
        ],
        Some(3723.5),
    );
    wait(&[("x-ratelimit-reset", "1800000030")], Some(30.0));
    wait(&[("x-ratelimit-reset", "1800000030000")], Some(30.0));
    wait(&[("x-ratelimit-reset", "12")], Some(12.0));
    wait(&[("x-ratelimit-reset-tokens", "12parsecs")], None);
}

proptest! {
    #[test]
    fn no_bytes_of_the_network_break_the_reader(status in any::<u16>(), body in prop::collection::vec(any::<u8>(), 0..300)) {
        let fault = read(status, &body);
        prop_assert!(fault.message.len() < 600);
    }

    #[test]
    fn a_wait_is_bounded(value in "[0-9a-z.:, ]{0,30}") {
        let mut map = HeaderMap::new();
        for name in ["retry-after", "x-ratelimit-reset-tokens", "x-ratelimit-reset"] {
            map.insert(name, value.parse().unwrap());
            prop_assert!(retry_after(&map, SystemTime::UNIX_EPOCH).is_none_or(|wait| wait.as_secs() <= 86_400));
        }
    }
}
