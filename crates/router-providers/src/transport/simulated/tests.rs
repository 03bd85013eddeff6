//! The simulated provider through the same exchange that real ones go through.

use std::sync::Arc;

use futures_util::StreamExt;
use hyper::HeaderMap;
use router_core::attempt::FailureKind;
use serde_json::Value;

use super::*;

const AT_ONCE: Simulation = Simulation {
    first_byte: Duration::ZERO,
    tokens_per_sec: 0,
    output_tokens: 20,
    faults: Faults { error_rate: 0.0, rate_limit_rate: 0.0, cut_rate: 0.0 },
    seed: 7,
};

async fn ask(transport: &SimulatedTransport, body: &str) -> (StatusCode, Result<String, FailureKind>) {
    let request = Outbound {
        url: hyper::Uri::from_static("http://simulated.invalid/v1"),
        headers: HeaderMap::new(),
        body: [Bytes::copy_from_slice(body.as_bytes())].into_iter().collect(),
        connect: Duration::ZERO,
    };
    let mut inbound = transport.send(request).await.unwrap();
    let mut all = Vec::new();
    while let Some(chunk) = inbound.body.next().await {
        match chunk {
            Ok(chunk) => all.extend_from_slice(&chunk),
            Err(error) => return (inbound.status, Err(error.kind)),
        }
    }
    (inbound.status, Ok(String::from_utf8(all).unwrap()))
}

#[tokio::test]
async fn it_says_that_it_is_simulated_and_counts() {
    let transport = SimulatedTransport::new(AT_ONCE);
    let (_, body) = ask(&transport, r#"{"model":"simulated/x","messages":[]}"#).await;
    let value: Value = serde_json::from_str(&body.unwrap()).unwrap();
    assert!(
        value["choices"][0]["message"]["content"].as_str().unwrap().starts_with("This is a simulated answer")
    );
    assert_eq!(value["choices"][0]["finish_reason"], "stop");
    assert_eq!(
        (&value["usage"]["completion_tokens"], &value["usage"]["prompt_tokens"]),
        (&20.into(), &10.into())
    );
    let (_, body) = ask(&transport, r#"{"model":"x","max_completion_tokens":4}"#).await;
    let value: Value = serde_json::from_str(&body.unwrap()).unwrap();
    assert_eq!(value["choices"][0]["message"]["content"], "This is a simulated ");
    assert_eq!(value["choices"][0]["finish_reason"], "length");
    let (_, body) = ask(&transport, r#"{"model":"x","response_format":{"type":"json_object"}}"#).await;
    let value: Value = serde_json::from_str(&body.unwrap()).unwrap();
    let content: Value =
        serde_json::from_str(value["choices"][0]["message"]["content"].as_str().unwrap()).unwrap();
    assert!(content["simulated"].is_string());
    let nothing =
        r#"{"model":"x","stream":null,"stream_options":null,"max_tokens":null,"response_format":null}"#;
    assert_eq!(ask(&transport, nothing).await.0, 200, "null is as good as absent");
    assert_eq!(ask(&transport, "no").await.0, 400);
}

#[tokio::test]
async fn its_streams_are_whole() {
    let transport = SimulatedTransport::new(AT_ONCE);
    let (_, plain) = ask(&transport, r#"{"model":"x","stream":true}"#).await;
    let plain = plain.unwrap();
    assert_eq!(plain.matches("data: ").count(), 20 + 3, "role, tokens, finish, [DONE]");
    assert!(plain.ends_with("data: [DONE]\n\n") && !plain.contains("usage"));
    let (_, counted) =
        ask(&transport, r#"{"model":"x","stream":true,"stream_options":{"include_usage":true}}"#).await;
    assert!(counted.unwrap().contains(r#""choices":[],"usage":{"prompt_tokens""#));
    // A pace changes when tokens come, not which.
    let paced = SimulatedTransport::new(Simulation { tokens_per_sec: 1_000_000, ..AT_ONCE });
    assert_eq!(ask(&paced, r#"{"model":"x","stream":true}"#).await.1.unwrap(), plain);
}

#[tokio::test]
async fn its_faults_come_as_often_as_asked_and_on_the_same_calls() {
    let faults = Faults { error_rate: 0.2, rate_limit_rate: 0.1, cut_rate: 0.1 };
    let mut runs = Vec::new();
    for _ in 0..2 {
        let transport = Arc::new(SimulatedTransport::new(Simulation { faults, ..AT_ONCE }));
        let mut outcomes = Vec::new();
        for _ in 0..500 {
            let (status, body) = ask(&transport, r#"{"model":"x","stream":true}"#).await;
            outcomes.push((status.as_u16(), body.err().map(FailureKind::name)));
        }
        runs.push(outcomes);
    }
    assert_eq!(runs[0], runs[1]);
    let count = |outcome| runs[0].iter().filter(|o| **o == outcome).count();
    assert!((70..130).contains(&count((500, None))), "{}", count((500, None)));
    assert!((25..75).contains(&count((429, None))), "{}", count((429, None)));
    assert!((25..75).contains(&count((200, Some("truncated")))), "{}", count((200, Some("truncated"))));
}
