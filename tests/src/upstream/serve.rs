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

use super::{Call, Ending, Script, State, answer, check};

type Events = StreamBody<futures_util::stream::BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;
type Body = Either<Full<Bytes>, Events>;

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

async fn respond(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return Ok(json(StatusCode::BAD_REQUEST, "{}".into())) };
    let script = state.script();
    let seen = check::request(state.wire, &head, &body.to_bytes());
    let number = state.with_calls(|calls| {
        calls.push(seen);
        calls.len() - 1
    });
    let call = state.with_calls(|calls| calls[number].clone());
    if let Some(why) = &call.invalid {
        return Ok(json(StatusCode::BAD_REQUEST, answer::error(state.wire, 400, why)));
    }
    if !script.latency.is_zero() {
        tokio::time::sleep(script.latency).await;
    }
    if let Some(refused) = refusal(&state, &script, number) {
        state.with_calls(|calls| calls[number].ending = Ending::Refused);
        return Ok(refused);
    }
    if call.stream {
        return Ok(stream(&state, script, call, number));
    }
    state.with_calls(|calls| {
        calls[number].output_tokens = u64::from(script.words);
        calls[number].ending = Ending::Whole;
    });
    Ok(json(StatusCode::OK, answer::whole(state.wire, &call, script.words)))
}

/// 500 for the scripted share, spread evenly; 429 over the rate.
fn refusal(state: &State, script: &Script, number: usize) -> Option<Response<Body>> {
    let share = script.fail_percent as usize;
    if (number + 1) * share / 100 > number * share / 100 {
        return Some(json(
            StatusCode::INTERNAL_SERVER_ERROR,
            answer::error(state.wire, 500, "scripted failure"),
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
        json(StatusCode::TOO_MANY_REQUESTS, answer::error(state.wire, 429, "scripted rate limit"));
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

fn stream(state: &Arc<State>, script: Script, call: Call, number: usize) -> Response<Body> {
    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    let state = Arc::clone(state);
    tokio::spawn(async move {
        let events = answer::events(state.wire, &call, script.words);
        let last = events.len();
        for (at, event) in events.into_iter().enumerate() {
            if script.cut_after.is_some_and(|words| at > words as usize) {
                return;
            }
            if !script.word_gap.is_zero() {
                tokio::time::sleep(script.word_gap).await;
            }
            if at + 1 == last {
                state.with_calls(|calls| {
                    calls[number].output_tokens = u64::from(script.words);
                    calls[number].ending = Ending::Whole;
                });
            }
            if sender.send(event.into()).await.is_err() {
                state.with_calls(|calls| calls[number].ending = Ending::Open);
                return;
            }
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
