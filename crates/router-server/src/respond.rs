//! Answers put together: status, headers, body.

use std::sync::atomic::Ordering;

use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use router_providers::dialect::{Client, ClientError};

use crate::engine::Engine;
use crate::error::ApiError;
use crate::stream::Body;
use crate::worker::Shared;

/// Our id of the request.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
/// JSON's content type.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A JSON answer.
pub(crate) fn json(status: StatusCode, text: impl Into<bytes::Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::whole(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A header value from text that is ours; anything else is left out rather than sent wrong.
pub(crate) fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// An error in the client's dialect.
pub(crate) fn error(client: &dyn Client, error: &ApiError) -> Response<Body> {
    let body = client.error(&client_error(error));
    let mut response = json(error.status, body);
    let headers = response.headers_mut();
    if let Some(span) = error.retry_after {
        // Whole seconds, rounded up, as HTTP has it: coming back too early is refused again.
        let seconds = span.as_secs() + u64::from(span.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    if error.retried {
        headers.insert(X_SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    response
}

/// The same, as a dialect takes it.
pub(crate) fn client_error(error: &ApiError) -> ClientError<'_> {
    ClientError {
        status: error.status.as_u16(),
        code: error.code,
        message: &error.message,
        param: error.pointer.as_deref().filter(|pointer| !pointer.is_empty()),
    }
}

/// Whether requests can be served: a configuration with deployments, and a ledger that is being written.
pub(crate) fn ready(shared: &Shared, engine: &Engine) -> Response<Body> {
    let ledger_ok = shared.state.spool_is_well() && shared.writer_status.status().failing.is_none();
    let deployments = engine.compiled.deployments.len();
    let draining = shared.draining.load(Ordering::Acquire);
    let ready = !draining && deployments > 0 && (ledger_ok || !shared.refuse_without_ledger);
    let text = serde_json::json!({
        "status": if ready { "ready" } else if draining { "draining" } else { "not ready" },
        "deployments": deployments,
        "ledger": if ledger_ok { "ok" } else { "behind" },
        "keys": shared.keys.origin(),
        "config": &*engine.compiled.config_hash,
    });
    json(if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, text.to_string())
}
