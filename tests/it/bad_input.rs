//! Bad requests: one clear error each, nothing lost, nothing crashed; what is unknown but harmless goes through unchanged.

use std::io::Write;
use std::net::TcpStream;

use router_tests::client::Request;
use router_tests::ledger::plain;
use router_tests::plan::{self, Place};
use router_tests::prices::Price;
use router_tests::python;
use router_tests::server::{Server, merged};
use router_tests::upstream::Wire;
use serde_json::{Value, json};

const PRICE: Price = Price { input: 100_000, cached: 50_000, output: 400_000 };
/// Bodies longer than this are refused.
const MAX_BODY_BYTES: usize = 300_000;

/// A name, a body, and the status, the code and words of the answer.
type Case = (&'static str, Vec<u8>, (u16, &'static str, &'static str));

fn start() -> (Vec<Place>, Server) {
    let places = vec![Place::new("one", "economy", Wire::OpenaiChat, PRICE)];
    let config =
        json!({ "server": { "max_body_bytes": MAX_BODY_BYTES }, "selection": { "default_tier": "economy" } });
    let server = Server::start(merged(plan::config(&places), config));
    (places, server)
}

fn good() -> Value {
    json!({ "model": "auto", "messages": [{ "role": "user", "content": "hello" }] })
}

/// Sends a body; expects this status, this code, and a message or pointer with these words.
fn refused(server: &Server, name: &str, body: impl Into<Vec<u8>>, expected: (u16, &str, &str)) {
    let (status, code, words) = expected;
    let answer = Request::post("/v1/chat/completions", body).send(server.data());
    assert_eq!(answer.status, status, "{name}: {}", answer.text());
    let error = &answer.json()["error"];
    assert_eq!(error["code"], code, "{name}: {error}");
    let said = format!(
        "{} {}",
        error["message"].as_str().unwrap_or_default(),
        error["param"].as_str().unwrap_or_default()
    );
    assert!(said.contains(words), "{name}: {words:?} is not in {error}");
    assert!(
        error["type"].is_string() && !answer.header("x-request-id").is_empty(),
        "{name}: {}",
        answer.text()
    );
    let still = server.chat(&good());
    assert_eq!(still.status, 200, "after {name}: {}", still.text());
}

#[test]
fn bodies_that_are_not_requests_are_refused_with_a_pointer_and_the_server_goes_on() {
    let (places, server) = start();
    let deep = format!("{{\"model\":\"auto\",\"messages\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_member = format!(
        "{{\"model\":\"auto\",\"x\":{}{},\"messages\":[]}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let with = |member: &str| {
        let good = good().to_string();
        format!("{},{member}}}", &good[..good.len() - 1])
    };
    let user =
        |content: &str| format!(r#"{{"model":"auto","messages":[{{"role":"user","content":{content}}}]}}"#);
    let mut invalid_utf8 = user("\"?\"").into_bytes();
    let at = invalid_utf8.iter().position(|byte| *byte == b'?').unwrap();
    invalid_utf8[at] = 0xff;
    let bad = |words| (400, "invalid_request", words);
    let cases: Vec<Case> = vec![
        ("malformed", b"{\"model\":\"auto\",\"messages\":[".to_vec(), bad("at byte 28")),
        ("two values", b"{} {}".to_vec(), bad("at byte 3")),
        ("empty", Vec::new(), bad("")),
        ("not JSON at all", b"hello".to_vec(), bad("JSON")),
        ("a list", b"[]".to_vec(), bad("object")),
        ("null", b"null".to_vec(), bad("object")),
        ("1e400", b"1e400".to_vec(), bad("object")),
        ("an empty object", b"{}".to_vec(), bad("/model")),
        ("1e400 as temperature", with("\"temperature\":1e400").into(), bad("number out of range")),
        ("1e400 as max_tokens", with("\"max_tokens\":1e400").into(), bad("number out of range")),
        ("100,000 deep", deep.into(), bad("/messages/0")),
        ("100,000 deep in a member nobody knows", deep_member.into(), bad("deep")),
        ("invalid UTF-8", invalid_utf8, bad("UTF-8")),
        ("a lone surrogate", user("\"\\ud800\"").into(), bad("at byte")),
        ("a control character in a string", user("\"a\u{1}b\"").into(), bad("")),
        ("duplicate keys", with("\"model\":\"other\"").into(), bad("/model")),
        ("duplicate keys, one escaped", with("\"mode\\u006c\":\"other\"").into(), bad("/model")),
        ("model is a number", br#"{"model":5,"messages":[]}"#.to_vec(), bad("/model")),
        ("model is empty", br#"{"model":"","messages":[]}"#.to_vec(), bad("/model")),
        ("messages is a string", br#"{"model":"auto","messages":"hi"}"#.to_vec(), bad("/messages")),
        ("no messages", br#"{"model":"auto"}"#.to_vec(), bad("/messages")),
        ("empty messages", br#"{"model":"auto","messages":[]}"#.to_vec(), bad("/messages")),
        ("a message is null", br#"{"model":"auto","messages":[null]}"#.to_vec(), bad("/messages/0")),
        ("content is a number", user("7").into(), bad("/messages/0/content")),
        (
            "an unknown role",
            br#"{"model":"auto","messages":[{"role":"boss","content":"x"}]}"#.to_vec(),
            bad("/messages/0/role"),
        ),
        ("stream is text", with("\"stream\":\"yes\"").into(), bad("/stream")),
        ("max_tokens is negative", with("\"max_tokens\":-1").into(), bad("/max_tokens")),
        ("max_tokens is a fraction", with("\"max_tokens\":1.5").into(), bad("/max_tokens")),
        ("temperature is text", with("\"temperature\":\"hot\"").into(), bad("/temperature")),
        ("n is zero", with("\"n\":0").into(), bad("/n")),
        ("tools is an object", with("\"tools\":{}").into(), bad("/tools")),
        ("router is a list", with("\"router\":[]").into(), bad("/router")),
        ("unknown router option", with("\"router\":{\"teir\":\"x\"}").into(), bad("/router/teir")),
        (
            "router option of another type",
            with("\"router\":{\"quality\":\"high\"}").into(),
            bad("/router/quality"),
        ),
        ("router option out of range", with("\"router\":{\"quality\":1.5}").into(), bad("/router/quality")),
        (
            "unknown capability",
            with("\"router\":{\"required_capabilities\":[\"tool\"]}").into(),
            bad("/router/required_capabilities"),
        ),
        ("unknown tier", with("\"router\":{\"tier\":\"gold\"}").into(), bad("gold")),
        (
            "unknown model",
            br#"{"model":"gpt-nobody","messages":[{"role":"user","content":"x"}]}"#.to_vec(),
            (404, "model_not_found", "gpt-nobody"),
        ),
        (
            "a capability nobody has",
            with("\"router\":{\"required_capabilities\":[\"vision\"]}").into(),
            (400, "capability_missing", "vision"),
        ),
        (
            "huge",
            user(&format!("\"{}\"", "x".repeat(MAX_BODY_BYTES))).into(),
            (413, "request_too_large", "300000"),
        ),
    ];
    let count = cases.len();
    for (name, body, expected) in cases {
        refused(&server, name, body, expected);
    }
    let left = server.stop();
    plan::assert_all_valid(&places);
    assert_eq!(places[0].upstream.count(), count, "only good requests went upstream");
    let rows = left.rows();
    let served = rows.requests.iter().filter(|row| row.outcome == "success").count();
    assert_eq!((served, rows.attempts.len()), (count, count));
    assert_eq!(
        rows.requests.iter().filter(|row| row.outcome == "model_not_found").count(),
        1,
        "decided, so recorded"
    );
    assert!(rows.requests.iter().all(|row| row.model != "gpt-nobody"), "free text of a client is no label");
}

#[test]
fn what_is_wrong_with_the_http_around_a_body_is_said() {
    let (_places, server) = start();
    let body = good().to_string();
    let chat =
        |content_type| Request::post("/v1/chat/completions", body.clone()).with("content-type", content_type);
    let cases = [
        (chat("text/plain"), 415, "unsupported_media_type", "application/json"),
        (chat("application/x-www-form-urlencoded"), 415, "unsupported_media_type", "application/json"),
        (Request::post("/v1/nope", body.clone()), 404, "not_found", "POST /v1/chat/completions"),
        (Request::get("/"), 404, "not_found", "GET /v1/models"),
        (Request::get("/v1/chat/completions"), 405, "method_not_allowed", "GET"),
        (Request::get("/v1/models/gpt-nobody"), 404, "model_not_found", "gpt-nobody"),
        (chat("application/json").with("origin", "http://evil.test"), 403, "request_not_allowed", "origin"),
        (
            chat("application/json").with("x-forwarded-for", "10.0.0.1"),
            403,
            "request_not_allowed",
            "forwarded",
        ),
        (
            chat("application/json").with("x-router-deadline-ms", "soon"),
            400,
            "invalid_request",
            "x-router-deadline-ms",
        ),
        (chat("application/json").with("x-router-quality", "7"), 400, "invalid_request", "quality"),
    ];
    for (request, status, code, words) in cases {
        let answer = request.send(server.data());
        assert_eq!(answer.status, status, "{request:?}: {}", answer.text());
        let error = &answer.json()["error"];
        assert!(
            error["code"] == code && error["message"].as_str().is_some_and(|m| m.contains(words)),
            "{request:?}: {error}"
        );
        assert_eq!(server.chat(&good()).status, 200);
    }
    for good_type in ["application/json; charset=utf-8", "application/vnd.openai+json", "APPLICATION/JSON"] {
        assert_eq!(chat(good_type).send(server.data()).status, 200, "{good_type}");
    }
    server.stop();
}

#[test]
fn bytes_that_are_not_http_or_stop_half_way_do_no_harm() {
    let (places, server) = start();
    let half = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n{";
    for bytes in [
        "\0\0\0\0\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        half,
        "POST /v1/chat/completions HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(server.data()).unwrap();
        stream.write_all(bytes.as_bytes()).unwrap();
        drop(stream);
        assert_eq!(server.chat(&good()).status, 200, "after {bytes:?}");
    }
    let left = server.stop();
    assert_eq!((places[0].upstream.count(), left.rows().requests.len()), (4, 4));
}

#[test]
fn unknown_members_reach_the_provider_byte_for_byte_and_ours_do_not() {
    let (places, server) = start();
    let sent = "{ \"model\" : \"auto\",\n  \"messages\": [ {\"role\":\"user\", \"content\":\"caf\\u00e9 \u{2028} \u{1f600}\", \"x_cache\": {\"ttl\": 1e2}} ],\n\
        \"router\": {\"tags\": [\"a\"]}, \"invented_after_our_release\": {\"b\": [1, 2.50, 1e-7, \"\\/\"], \"big\": 12345678901234567890123}, \"seed\":7 }";
    let answer = Request::post("/v1/chat/completions", sent).send(server.data());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let received = places[0].upstream.calls().remove(0).text;
    let expected = sent.replace("\"auto\"", "\"m\"");
    // All that may differ is the model and our own object with one of its commas.
    let (head, tail) = expected.split_once("\"router\"").unwrap();
    let tail = tail.split_once("}, ").unwrap().1;
    let squeezed = |text: &str| text.split_whitespace().collect::<String>();
    assert!(received.contains(tail.trim()), "{received}");
    assert!(received.starts_with(head.trim_end().trim_end_matches(',').trim_end()), "{received}");
    assert_eq!(squeezed(&received), squeezed(&format!("{head}{tail}")));
    plan::assert_all_valid(&places);
    server.stop();
}

#[test]
fn every_served_request_has_its_row_even_when_its_client_sent_nonsense_before() {
    let (_places, server) = start();
    let mut served = Vec::new();
    for n in 0..20 {
        let nonsense = Request::post("/v1/chat/completions", vec![b'{'; n]).send(server.data());
        assert_eq!(nonsense.status, 400);
        served.push(plain(server.chat(&good()).header("x-request-id")));
    }
    let rows = server.stop().rows();
    let mut recorded: Vec<_> = rows.by_request().into_keys().collect();
    served.sort();
    recorded.sort();
    assert_eq!(served, recorded);
}

#[test]
fn the_official_sdk_raises_its_own_classes() {
    let (mut places, server) = start();
    let cases = json!([
        ["unknown model", "sk-x", { "model": "gpt-nobody", "messages": [{ "role": "user", "content": "x" }] }],
        ["bad temperature", "sk-x", merged(good(), json!({ "temperature": "hot" }))],
        ["long", "sk-x", { "model": "auto", "messages": [{ "role": "user", "content": "x".repeat(80_000) }] }]
    ]);
    let said = python::run("errors.py", &[&server.base_url(), &cases.to_string()]);
    assert_eq!(
        (&said[0]["class"], &said[0]["code"]),
        (&json!("NotFoundError"), &json!("model_not_found")),
        "{said:?}"
    );
    assert_eq!(
        (&said[1]["class"], &said[1]["param"]),
        (&json!("BadRequestError"), &json!("/temperature")),
        "{said:?}"
    );
    assert!(said[1]["request_id"].is_string(), "{said:?}");
    assert_eq!(said[2]["class"], Value::Null, "80 KB are no trouble: {said:?}");
    places[0].upstream.kill();
    let said =
        python::run("errors.py", &[&server.base_url(), &json!([["dead", "sk-x", good()]]).to_string()]);
    let dead = &said[0];
    assert_eq!(
        (&dead["class"], &dead["status"], &dead["code"]),
        (&json!("InternalServerError"), &json!(502), &json!("all_attempts_failed")),
        "{dead}"
    );
    assert_eq!(dead["should_retry"], "false", "the SDK's retries would multiply with ours: {dead}");
    assert!(dead["message"].as_str().is_some_and(|m| m.contains("one/m")), "each attempt is listed: {dead}");
    let rows = server.stop().rows();
    assert_eq!(rows.requests.iter().filter(|row| row.outcome == "all_attempts_failed").count(), 1);
}
