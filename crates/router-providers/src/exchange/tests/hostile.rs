//! What upstreams send that they should not, in each dialect: the kind of failure, and what never reaches a client.

use super::rescue::{DIALECTS, stream_of, target};
use super::*;

use FailureKind as F;

fn at(dialect: DialectId, request: &str) -> Call {
    Call { target: target(dialect, false), ..call(request, LONG) }
}

async fn whole(dialect: DialectId, upstream: &Scripted) -> Result<JsonReply, Fault> {
    match send(upstream, at(dialect, ASK)).await? {
        Reply::Json(reply) => Ok(*reply),
        Reply::Stream(_) => panic!("a stream"),
    }
}

/// What the client got of a stream, and how it failed.
async fn streamed(dialect: DialectId, upstream: &Scripted) -> (String, Option<F>) {
    let mut reply = match send(upstream, at(dialect, ASK_STREAM)).await {
        Ok(Reply::Stream(reply)) => reply,
        Ok(Reply::Json(_)) => panic!("not a stream"),
        Err(fault) => return (String::new(), Some(fault.kind)),
    };
    let mut got = String::new();
    loop {
        match reply.next().await {
            Ok(Some(item)) => got += std::str::from_utf8(&item.bytes).unwrap(),
            Ok(None) => return (got, None),
            Err(fault) => return (got, Some(fault.kind)),
        }
    }
}

/// The dialect's error object for an overload.
const fn overloaded(dialect: DialectId) -> &'static str {
    match dialect {
        DialectId::OpenaiChat => r#"{"error":{"message":"busy","code":"server_is_overloaded"}}"#,
        DialectId::Anthropic => r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#,
        _ => r#"{"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}}"#,
    }
}

#[tokio::test]
async fn json_answers() {
    for dialect in DIALECTS {
        let check = |upstream: Scripted, kind: F| async move {
            let fault = whole(dialect, &upstream).await.unwrap_err();
            assert_eq!(fault.kind, kind, "{dialect:?}: {fault}");
            assert!(!fault.message.contains('<'), "{fault}");
        };
        check(Scripted::new("text/html", "<html><body>busy</body></html>"), F::BadReply).await;
        check(Scripted::json("<html><body>busy</body></html>"), F::BadReply).await;
        check(Scripted::json(""), F::Empty).await;
        check(Scripted::json(" \n"), F::Empty).await;
        check(Scripted::json("null"), F::BadReply).await;
        check(Scripted::json("[]"), F::BadReply).await;
        check(Scripted::json("{}"), F::BadReply).await;
        check(Scripted::json("{\"choices\":"), F::Truncated).await;
        check(Scripted::json("\u{0}\u{1}garbage"), F::BadReply).await;
        check(Scripted::json(overloaded(dialect)), F::Overloaded).await;
        check(Scripted::json(overloaded(dialect)).status(529), F::Overloaded).await;
        check(Scripted::json("").status(529), F::Overloaded).await;
        check(Scripted::json("").status(429), F::RateLimited).await;
        check(Scripted::new("text/html", "<html>").status(502), F::Unavailable).await;
    }
}

#[tokio::test]
async fn a_body_of_48_mb_is_refused_before_it_is_read() {
    for dialect in DIALECTS {
        // As it says itself, of which nothing is read.
        let mut upstream = Scripted::json("").hanging();
        upstream.headers = vec![("content-length", "50331648")];
        assert_eq!(whole(dialect, &upstream).await.unwrap_err().kind, F::BadReply);
        // Unsaid: as soon as it is too long.
        let mut upstream = Scripted::json("");
        upstream.chunks = vec![Bytes::from(vec![b'x'; 1 << 20]); 33];
        assert_eq!(whole(dialect, &upstream.hanging()).await.unwrap_err().kind, F::BadReply);
    }
}

#[tokio::test]
async fn streams() {
    for dialect in DIALECTS {
        let check = |upstream: Scripted, kind: F| async move {
            let (got, failed) = streamed(dialect, &upstream).await;
            assert_eq!((got.as_str(), failed), ("", Some(kind)), "{dialect:?}");
        };
        check(Scripted::new("text/html", "<html><body>busy</body></html>"), F::BadReply).await;
        check(Scripted::sse("<html><body>busy</body></html>"), F::Truncated).await;
        check(Scripted::sse(""), F::Truncated).await;
        check(Scripted::sse("data: <html>\n\n"), F::BadReply).await;
        check(Scripted::sse("data: \u{1}\u{2}garbage\n\ndata: {\n\n"), F::BadReply).await;
        check(Scripted::sse(&format!("data: {}\n\n", overloaded(dialect))), F::Overloaded).await;
        check(Scripted::json(overloaded(dialect)), F::Overloaded).await;
        check(Scripted::sse(&": ping\n\n".repeat(200_000)), F::Truncated).await;
        let mut upstream = Scripted::sse("data: ");
        upstream.chunks.extend(vec![Bytes::from(vec![b'x'; 1 << 20]); 17]);
        check(upstream.hanging(), F::BadReply).await;
    }
}

#[tokio::test]
async fn a_stream_that_ends_without_saying_why_is_truncated_and_never_clean() {
    for dialect in DIALECTS {
        let stream = stream_of(dialect, &["a", "b"], "stop");
        let events: Vec<&str> =
            stream.split_inclusive("\n\n").flat_map(|e| e.split_inclusive("\r\n\r\n")).collect();
        let last = events.iter().rposition(|event| event.contains("\"b\"")).unwrap();
        let mut upstream = Scripted::sse("");
        upstream.chunks =
            events[..=last].iter().map(|event| Bytes::copy_from_slice(event.as_bytes())).collect();
        let (got, failed) = streamed(dialect, &upstream).await;
        assert_eq!(failed, Some(F::Truncated), "{dialect:?}");
        assert!(
            got.contains("\"b\"") && !got.contains("finish_reason\":\"") && !got.contains("[DONE]"),
            "{got}"
        );
    }
}

#[tokio::test]
async fn separators_of_unicode_are_text() {
    let odd = "a\u{2028}b\u{2029}c\u{85}d";
    for dialect in DIALECTS {
        let upstream = Scripted::sse(&stream_of(dialect, &[odd], "stop")).bytewise();
        let (got, failed) = streamed(dialect, &upstream).await;
        assert_eq!(failed, None);
        assert!(got.contains(odd), "{dialect:?}: {got}");
    }
}

#[tokio::test]
async fn a_model_that_reasons_unseen_for_long_is_no_failure() {
    let empty = chunk(r#"{"content":""}"#, "null");
    let body = chunk(r#"{"role":"assistant","content":""}"#, "null")
        + &empty.repeat(20_000)
        + &chunk(r#"{"content":"42"}"#, "null")
        + &chunk("{}", "\"stop\"")
        + DONE;
    let (got, failed) = streamed(DialectId::OpenaiChat, &Scripted::sse(&body)).await;
    assert_eq!(failed, None);
    assert!(
        got.starts_with(&chunk(r#"{"role":"assistant","content":""}"#, "null")) && got.contains("\"42\"")
    );
    assert!(got.len() < 2 << 20, "held: {}", got.len());
}
