//! The HTTP side of a scripted upstream.

use std::convert::Infallible;
use std::net::TcpListener as StdListener;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::answer::Speech;
use super::{Call, Ending, Script, State, answer, check, fault};

type Events = StreamBody<futures_util::stream::BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;
type Body = Either<Full<Bytes>, Events>;

/// Bytes of a piece of a raw stream: less than any event, so that events arrive in parts.
const RAW_PIECE_BYTES: usize = 23;

/// Serves until stopped; then everything is dropped where it stands.
pub(super) fn run(state: Arc<State>, listener: StdListener, mut stop: watch::Receiver<bool>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async move {
        let listener = TcpListener::from_std(listener).expect("a listening socket");
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => match accepted { Ok((stream, _)) => stream, Err(_) => continue },
                _ = stop.wait_for(|stop| *stop) => return,
            };
            let _ = stream.set_nodelay(true);
            let state = Arc::clone(&state);
            tokio::spawn(async move {
                let service = service_fn(move |request| respond(Arc::clone(&state), request));
                let mut server = hyper::server::conn::http1::Builder::new();
                let _ = server.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
}

/// One call being answered. Dropped before it has ended, with its connection, it is noted as lost.
struct Answering {
    state: Arc<State>,
    number: usize,
}

impl Answering {
    fn note(&self, change: impl FnOnce(&mut Call)) {
        self.state.with_calls(|calls| change(&mut calls[self.number]));
    }

    fn end(&self, ending: Ending, output_tokens: u32) {
        self.note(|call| {
            call.output_tokens = u64::from(output_tokens);
            call.ending = ending;
        });
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.note(|call| {
            if call.ending == Ending::Open {
                call.ending = Ending::Lost;
            }
        });
    }
}

async fn respond(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Ok(json(StatusCode::BAD_REQUEST, "{}".into())) };
    let script = state.script();
    let call = check::request(state.wire, &head, &body.to_bytes());
    let number = state.with_calls(|calls| {
        calls.push(call.clone());
        calls.len() - 1
    });
    if let Some(why) = &call.invalid {
        return Ok(json(StatusCode::BAD_REQUEST, answer::Problem::of(400, why).body(state.wire)));
    }
    let answering = Answering { state: Arc::clone(&state), number };
    if !script.latency.is_zero() {
        tokio::time::sleep(script.latency).await;
    }
    let key = script.keys.iter().find(|(key, _)| *key == call.key);
    let refused = key.and_then(|(_, how)| fault::refused(*how, state.wire)).map(refused);
    if let Some(refused) = refused.or_else(|| refusal(&state, &script, number)) {
        answering.end(Ending::Refused, 0);
        return Ok(refused);
    }
    if call.stream {
        return Ok(stream(answering, script, &call));
    }
    answering.end(Ending::Whole, script.words);
    let whole = match script.raw {
        Some(raw) => String::from_utf8_lossy(raw).into_owned(),
        None => answer::whole(state.wire, &call, &speech(&state, &script, &call)),
    };
    Ok(json(StatusCode::OK, whole))
}

fn refused((status, body, again): (u16, String, Option<u32>)) -> Response<Body> {
    let mut response = json(StatusCode::from_u16(status).unwrap_or_default(), body);
    if let Some(seconds) = again {
        response.headers_mut().insert("retry-after", seconds.into());
    }
    response
}

/// 500 for the scripted share, spread evenly; 429 over the rate.
fn refusal(state: &State, script: &Script, number: usize) -> Option<Response<Body>> {
    let share = script.fail_percent as usize;
    if (number + 1) * share / 100 > number * share / 100 {
        return Some(json(
            StatusCode::INTERNAL_SERVER_ERROR,
            answer::Problem::of(500, "scripted failure").body(state.wire),
        ));
    }
    let rpm = script.rpm?;
    let mut window = state.window.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    let start = *window.0.get_or_insert(now);
    if now.duration_since(start) >= Duration::from_secs(60) {
        *window = (Some(now), 0);
    }
    window.1 += 1;
    if window.1 <= rpm {
        return None;
    }
    let wait = 60_u64.saturating_sub(now.duration_since(start).as_secs());
    let mut response =
        json(StatusCode::TOO_MANY_REQUESTS, answer::Problem::of(429, "scripted rate limit").body(state.wire));
    response.headers_mut().insert("retry-after", wait.max(1).into());
    Some(response)
}

fn json(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(text.into())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    response
}

/// What is said to a call: words, or in their place calls of functions.
fn speech(state: &State, script: &Script, call: &Call) -> Speech {
    let words = Speech::words(script.words);
    if script.tool_calls && check::wants_calls(state.wire, &call.body) {
        return Speech { to: 0, calls: true, ..words };
    }
    Speech { token: script.echo.then(|| token(&call.text)).flatten(), ..words }
}

/// The number behind `token ` in a request.
fn token(request: &str) -> Option<u32> {
    let (_, rest) = request.split_once("token ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// What a stream consists of.
fn events(state: &State, script: &Script, call: &Call) -> Vec<Bytes> {
    if let Some(raw) = script.raw {
        return raw.chunks(RAW_PIECE_BYTES).map(Bytes::from_static).collect();
    }
    let events = answer::events(state.wire, call, &speech(state, script, call));
    events.into_iter().map(Bytes::from).collect()
}

fn stream(answering: Answering, script: Script, call: &Call) -> Response<Body> {
    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    let events = events(&answering.state, &script, call);
    tokio::spawn(async move {
        let last = events.len();
        for (at, event) in events.into_iter().enumerate() {
            if script.cut_after.is_some_and(|words| at > words as usize) {
                return;
            }
            if !script.word_gap.is_zero() {
                tokio::select! {
                    () = tokio::time::sleep(script.word_gap) => {}
                    () = sender.closed() => return,
                }
            }
            if at + 1 == last {
                answering.end(Ending::Whole, script.words);
            }
            if sender.send(event).await.is_err() {
                return answering.end(Ending::Lost, 0);
            }
            answering.note(|call| call.sent_events += 1);
        }
    });
    let frames = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let bytes = receiver.recv().await?;
        Some((Ok(Frame::data(bytes)), receiver))
    });
    let mut response = Response::new(Either::Right(StreamBody::new(Box::pin(frames) as _)));
    let event_stream = hyper::header::HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert("content-type", event_stream);
    response
}
