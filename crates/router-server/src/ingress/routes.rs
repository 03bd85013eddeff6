//! Paths: what is served, who may, and in which dialect.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{ALLOW, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use router_core::chat::Envelope;
use router_core::record::RequestId;
use router_core::time::Timestamp;
use router_providers::dialect::openai_chat::OpenaiChat;
use router_providers::dialect::{Client, ScanLimits};
use router_providers::exchange;
use tokio::sync::oneshot;

use super::{auth, body, options};
use crate::dispatch;
use crate::engine::Engine;
use crate::error::ApiError;
use crate::explain;
use crate::keys::{Key, Place};
use crate::respond;
use crate::stream::Body;
use crate::worker::Worker;

/// What a path does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Chat,
    Models,
    Model,
    Explain,
    Usage,
    Live,
    Ready,
}

/// Every path served. A path under `/v1` is also served without it, except the router's own.
const ROUTES: [(&str, &str, Route); 7] = [
    ("POST", "/v1/chat/completions", Route::Chat),
    ("GET", "/v1/models", Route::Models),
    ("GET", "/v1/models/{id}", Route::Model),
    ("POST", "/v1/router/explain", Route::Explain),
    ("GET", "/v1/router/usage", Route::Usage),
    ("GET", "/healthz", Route::Live),
    ("GET", "/readyz", Route::Ready),
];

/// A route, with what stands for `{id}`.
fn find(method: &Method, path: &str) -> Result<(Route, String), ApiError> {
    let mut other_method = false;
    for (verb, pattern, route) in ROUTES {
        let short = pattern.strip_prefix("/v1").filter(|_| !matches!(route, Route::Explain | Route::Usage));
        let Some(id) = matches(pattern, path).or_else(|| matches(short?, path)) else { continue };
        // HEAD is GET without the body, which hyper leaves out.
        if method.as_str() == verb || (method == Method::HEAD && verb == "GET") {
            return Ok((route, id));
        }
        other_method = true;
    }
    if other_method {
        return Err(ApiError::new("method_not_allowed", format!("{path} is not served by {method}")));
    }
    let served: Vec<_> = ROUTES.iter().map(|(verb, pattern, _)| format!("{verb} {pattern}")).collect();
    Err(ApiError::new("not_found", format!("{path} is not served here; served: {}", served.join(", "))))
}

/// The methods a path is served by, for `allow`.
fn allowed(path: &str) -> &'static str {
    if find(&Method::GET, path).is_ok() { "GET, HEAD" } else { "POST" }
}

/// Ids contain slashes, so `{id}` is all the rest.
fn matches(pattern: &str, path: &str) -> Option<String> {
    match pattern.strip_suffix("{id}") {
        Some(stem) => {
            let id = path.strip_prefix(stem).filter(|id| !id.is_empty())?;
            percent_encoding::percent_decode_str(id).decode_utf8().ok().map(std::borrow::Cow::into_owned)
        }
        None => (pattern == path).then(String::new),
    }
}

/// Answers one request, whatever happens.
pub(super) async fn answer(worker: Arc<Worker>, request: Request<Incoming>) -> Response<Body> {
    let received = worker.shared.clock.now();
    let id = worker.ids.next(received);
    let (head, mut body) = request.into_parts();
    let client = &OpenaiChat;
    let mut response = match serve(&worker, Arrival { id, received, client }, &head, &mut body).await {
        Ok(response) => response,
        Err(error) => refused(&worker, &head, body, error).await,
    };
    let headers = response.headers_mut();
    headers.insert(respond::X_REQUEST_ID, respond::value(&id.to_string()));
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed(head.uri.path())));
    }
    response
}

/// An error's answer. A full server answers at once and reads what is left of the body beside it; otherwise the body
/// comes first, for some clients look for an answer only then.
async fn refused(worker: &Worker, head: &Parts, mut body: Incoming, refusal: Refusal) -> Response<Body> {
    let Refusal { error, key } = refusal;
    worker.shared.metrics.refused(error.code);
    if error.code == "overloaded" && !body::is_over(&body, &head.headers) {
        tokio::spawn(async move { body::discard(&mut body).await });
    } else if !body::is_over(&body, &head.headers) {
        body::discard(&mut body).await;
    }
    let mut response = respond::error(&OpenaiChat, &error);
    if let Some(key) = key {
        key.write_limits(worker.shared.clock.now(), response.headers_mut());
    }
    response
}

/// Why a request is not served, and whose it is, if that is known.
struct Refusal {
    error: ApiError,
    key: Option<Arc<Key>>,
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self { error, key: None }
    }
}

/// A request that has arrived: its id, when, and the dialect its path speaks.
#[derive(Clone, Copy)]
pub(crate) struct Arrival {
    /// Our id of it.
    pub(crate) id: RequestId,
    /// When its head had come.
    pub(crate) received: Timestamp,
    /// The client's dialect.
    pub(crate) client: &'static dyn Client,
}

impl Arrival {
    /// The seed of everything that is drawn for this request: from its id, so a replay draws the same.
    pub(crate) fn seed(&self) -> u64 {
        // Truncation is meant: both halves of the id count.
        (self.id.0 as u64) ^ ((self.id.0 >> 64) as u64)
    }
}

async fn serve(
    worker: &Arc<Worker>,
    arrival: Arrival,
    head: &Parts,
    body: &mut Incoming,
) -> Result<Response<Body>, Refusal> {
    let (route, id) = find(&head.method, head.uri.path())?;
    let shared = &worker.shared;
    let engine = shared.engine.load_full();
    match route {
        Route::Live => return Ok(respond::json(StatusCode::OK, r#"{"status":"ok"}"#)),
        Route::Ready => return Ok(respond::ready(shared, &engine)),
        _ => {}
    }
    let carried = (&head.headers, head.uri.query());
    let key = auth::authenticate(&shared.keys.load(), carried, arrival.received)?;
    match route {
        Route::Models => Ok(respond::json(StatusCode::OK, engine.models_json(key.as_deref()))),
        Route::Model => match engine.model_json(key.as_deref(), &id) {
            Some(text) => Ok(respond::json(StatusCode::OK, text)),
            None => Err(ApiError::new("model_not_found", format!("there is no model \"{id}\"")).into()),
        },
        Route::Explain => {
            let mut place = place(worker, key.as_ref(), body)?;
            let (request, _) = scanned(worker, arrival, (head, body), &mut place).await?;
            let text = explain::live(shared, &engine, &request, key.as_deref(), arrival)?;
            Ok(respond::json(StatusCode::OK, text))
        }
        Route::Usage => {
            let payer = key.as_deref().map(|key| &*key.spec);
            let usage = worker.shared.treasury.usage(&engine.compiled, payer).await;
            Ok(respond::json(StatusCode::OK, usage.to_string()))
        }
        Route::Chat => {
            let answered = chat(worker, engine, (arrival, key.clone()), (head, body)).await;
            let Some(key) = key else { return Ok(answered?) };
            let mut response = answered.map_err(|error| Refusal { error, key: Some(Arc::clone(&key)) })?;
            key.write_limits(shared.clock.now(), response.headers_mut());
            Ok(response)
        }
        Route::Live | Route::Ready => Err(ApiError::new("not_found", "served above").into()),
    }
}

/// A place at the server, before any of the body is read.
fn place(worker: &Worker, key: Option<&Arc<Key>>, body: &Incoming) -> Result<Place, ApiError> {
    let announced = body::announced(body);
    body::refuse_longer(announced, worker.shared.limits.max_body_bytes)?;
    Place::take(&worker.shared, key, announced)
}

/// The body, scanned, with the headers' wishes; and how long the client took to send it.
async fn scanned(
    worker: &Worker,
    arrival: Arrival,
    (head, body): (&Parts, &mut Incoming),
    place: &mut Place,
) -> Result<(exchange::Request, Duration), ApiError> {
    auth::require_json(&head.headers)?;
    let limits = worker.shared.limits;
    let clock = worker.shared.clock;
    let from = clock.now();
    let bytes = body::read(body, limits.max_body_bytes, limits.body_timeout, place).await?;
    let body_time = clock.now().since(from);
    let scanned = arrival.client.scan(bytes, ScanLimits { max_depth: limits.max_depth });
    let mut envelope = scanned.map_err(|p| ApiError::new("invalid_request", p.message).at(p.pointer))?;
    envelope.options = options::merge(std::mem::take(&mut envelope.options), &head.headers)?;
    Ok((exchange::Request::new(envelope), body_time))
}

/// The client's own request id: stored beside ours, never a key, so it may be anything short.
fn client_id(head: &Parts) -> Option<Arc<str>> {
    let text = head
        .headers
        .get("x-request-id")
        .or_else(|| head.headers.get("x-client-request-id"))?
        .to_str()
        .ok()?;
    (text.len() <= 200).then(|| Arc::from(text))
}

/// A chat request, ready to be decided.
pub(crate) struct Asked {
    /// Id, time and dialect.
    pub(crate) arrival: Arrival,
    /// The request.
    pub(crate) request: Arc<exchange::Request>,
    /// The client key, if there are keys.
    pub(crate) key: Option<Arc<Key>>,
    /// The client's own id of the request.
    pub(crate) client_request_id: Option<Arc<str>>,
    /// How long the client took to send the body.
    pub(crate) body_time: Duration,
    /// What it holds of the server and of its key.
    pub(crate) place: Place,
}

impl Asked {
    /// The request as scanned.
    pub(crate) fn envelope(&self) -> &Envelope {
        self.request.envelope()
    }
}

/// A chat request: admitted, read, and handed to the one task that owns it from then on. If the client leaves, this
/// future is dropped, the task notices and settles.
async fn chat(
    worker: &Arc<Worker>,
    engine: Arc<Engine>,
    (arrival, key): (Arrival, Option<Arc<Key>>),
    (head, body): (&Parts, &mut Incoming),
) -> Result<Response<Body>, ApiError> {
    let mut place = place(worker, key.as_ref(), body)?;
    place.count(arrival.received)?;
    let (request, body_time) = scanned(worker, arrival, (head, body), &mut place).await?;
    let envelope = request.envelope();
    let output = envelope.max_tokens.as_ref().map_or(0, |max| max.value);
    place.book(worker.shared.clock.now(), envelope.stats.estimate().saturating_add(output))?;
    let (request, client_request_id) = (Arc::new(request), client_id(head));
    let asked = Asked { arrival, request, key, client_request_id, body_time, place };
    let (reply, answer) = oneshot::channel();
    // Boxed: the runtime moves a task's state about when it ends, and this one's is some 5 KB.
    tokio::spawn(Box::pin(dispatch::run(Arc::clone(worker), engine, asked, reply)));
    // The task always answers; it can only vanish when the runtime is shut down under it.
    answer.await.unwrap_or_else(|_| Err(ApiError::new("shutting_down", "the server is shutting down")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_routes() {
        let check = |method: Method, path: &str, expected: Result<(Route, &str), u16>| {
            let got = find(&method, path).map_err(|e| e.status.as_u16());
            assert_eq!(
                got.as_ref().map(|(r, id)| (*r, id.as_str())).map_err(|e| *e),
                expected,
                "{method} {path}"
            );
        };
        check(Method::POST, "/v1/chat/completions", Ok((Route::Chat, "")));
        check(Method::POST, "/chat/completions", Ok((Route::Chat, "")));
        check(Method::GET, "/v1/chat/completions", Err(405));
        check(Method::HEAD, "/healthz", Ok((Route::Live, "")));
        check(Method::HEAD, "/v1/chat/completions", Err(405));
        check(Method::GET, "/v1/models", Ok((Route::Models, "")));
        check(Method::GET, "/v1/models/openai/gpt-4o", Ok((Route::Model, "openai/gpt-4o")));
        check(Method::GET, "/models/meta%2Fllama", Ok((Route::Model, "meta/llama")));
        check(Method::POST, "/router/explain", Err(404));
        check(Method::GET, "/v1/router/usage", Ok((Route::Usage, "")));
        check(Method::GET, "/router/usage", Err(404));
        check(Method::GET, "/", Err(404));
        check(Method::GET, "/v1/models/", Err(404));
    }

    #[test]
    fn a_path_says_by_what_it_is_served() {
        assert_eq!(allowed("/v1/chat/completions"), "POST");
        assert_eq!(allowed("/v1/models"), "GET, HEAD");
    }

    #[test]
    fn an_unknown_path_lists_what_is_served() {
        let error = find(&Method::GET, "/nope").unwrap_err();
        assert!(error.message.contains("POST /v1/chat/completions"), "{}", error.message);
    }
}
