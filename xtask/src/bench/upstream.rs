//! The provider both programs are measured against: fixed answers in OpenAI's format, nothing parsed, so that it costs
//! the machine as little as it can.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Result;
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use tokio::time::{Instant, Sleep, sleep_until};

use super::wire;

const COMPLETION: &str = r#"{"id":"chatcmpl-mock0000000000000000000001","object":"chat.completion","created":1767225600,"model":"mock-model","system_fingerprint":"fp_mock","choices":[{"index":0,"message":{"role":"assistant","content":"The quick brown fox jumps over the lazy dog. This is a fixed answer of the mock upstream, long enough to look like a short chat completion and short enough to cost nothing to send.","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":120,"completion_tokens":40,"total_tokens":160}}"#;
const CHUNK_HEAD: &str = r#"data: {"id":"chatcmpl-mock0000000000000000000001","object":"chat.completion.chunk","created":1767225600,"model":"mock-model","choices":["#;
/// Chunks with text in them.
const CHUNKS: u32 = 100;
/// Between two of them; a fast model's pace.
const INTERVAL: Duration = Duration::from_millis(5);

/// The events of a stream, made once.
#[derive(Clone)]
struct Events {
    first: Bytes,
    middle: Bytes,
    last: Bytes,
}

impl Events {
    fn new() -> Self {
        let choice = |delta: &str, finish: &str| {
            format!(r#"{CHUNK_HEAD}{{"index":0,"delta":{delta},"finish_reason":{finish}}}]}}"#) + "\n\n"
        };
        let usage = r#"],"usage":{"prompt_tokens":120,"completion_tokens":100,"total_tokens":220}}"#;
        let last = format!("{}{CHUNK_HEAD}{usage}\n\n", choice("{}", r#""stop""#));
        Self {
            first: choice(r#"{"role":"assistant","content":""}"#, "null").into(),
            middle: choice(r#"{"content":" token"}"#, "null").into(),
            last: [last.as_bytes(), wire::STREAM_END].concat().into(),
        }
    }
}

/// A streamed answer: the role at once, each chunk in its time and its own write, the end right after the last.
struct Stream {
    events: Events,
    sent: u32,
    timer: Pin<Box<Sleep>>,
}

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = match self.sent {
            0 => self.events.first.clone(),
            1..=CHUNKS => {
                std::task::ready!(self.timer.as_mut().poll(cx));
                // The next deadline counts from this one, so that lateness does not add up.
                let next = self.timer.deadline() + INTERVAL;
                self.timer.as_mut().reset(next);
                self.events.middle.clone()
            }
            n if n == CHUNKS + 1 => self.events.last.clone(),
            _ => return Poll::Ready(None),
        };
        self.sent += 1;
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.sent > CHUNKS + 1
    }
}

/// Whether a body asks for a stream, without parsing it: keys stand last as often as first, so it looks from the end. A
/// prompt that holds the same text has it escaped.
fn asks_for_stream(body: &[u8]) -> bool {
    const MEMBER: &[u8] = br#""stream":true"#;
    body.windows(MEMBER.len()).rev().take(512).any(|w| w == MEMBER)
        || body.windows(MEMBER.len()).any(|w| w == MEMBER)
}

async fn answer(events: Events, request: Request<Incoming>) -> Response<Either<Full<Bytes>, Stream>> {
    let body = match request.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            let mut answer = Response::new(Either::Left(Full::new(error.to_string().into())));
            *answer.status_mut() = StatusCode::BAD_REQUEST;
            return answer;
        }
    };
    if !asks_for_stream(&body) {
        let mut answer = Response::new(Either::Left(Full::new(Bytes::from_static(COMPLETION.as_bytes()))));
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        return answer;
    }
    let timer = Box::pin(sleep_until(Instant::now() + INTERVAL));
    let mut answer = Response::new(Either::Right(Stream { events, sent: 0, timer }));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}

/// Serves.
///
/// # Errors
/// It cannot listen.
pub(super) async fn run() -> Result<()> {
    let events = Events::new();
    wire::serve(move |request| answer(events.clone(), request)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_asked_for_by_a_member_and_not_by_a_prompt() {
        assert!(asks_for_stream(br#"{"stream":true,"messages":[]}"#));
        assert!(asks_for_stream(br#"{"messages":[],"stream":true}"#));
        assert!(!asks_for_stream(br#"{"messages":[{"content":"\"stream\":true"}]}"#));
        assert!(!asks_for_stream(br#"{"stream":false}"#));
    }

    #[test]
    fn every_event_is_one_json_object_and_the_usage_is_in_the_last_but_one() {
        let Events { first, middle, last } = Events::new();
        let text = [first, middle, last].map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).concat();
        let data: Vec<_> =
            text.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap()).collect();
        let (end, objects) = data.split_last().unwrap();
        assert_eq!(*end, "[DONE]");
        let objects: Vec<serde_json::Value> =
            objects.iter().map(|o| serde_json::from_str(o).unwrap()).collect();
        assert_eq!(objects.len(), 4);
        assert_eq!(objects[1]["choices"][0]["delta"]["content"], " token");
        assert_eq!(objects[2]["choices"][0]["finish_reason"], "stop");
        assert_eq!(objects[3]["usage"]["completion_tokens"], 100);
    }
}
