//! A request's body, read whole within a size and a time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::{Body as _, Incoming};
use hyper::header::EXPECT;

use crate::error::ApiError;
use crate::keys::Place;

/// What a body is announced to have; 0 when it is not said.
pub(crate) fn announced(body: &Incoming) -> u64 {
    body.size_hint().lower()
}

/// Reads a body, of which the place holds the memory.
///
/// # Errors
/// 413 over `limit_bytes` (announced or met), 503 when there is no memory for it, 408 when it takes longer than `within`,
/// 400 when the client breaks off.
pub(crate) async fn read(
    body: &mut Incoming,
    limit_bytes: usize,
    within: Duration,
    place: &mut Place,
) -> Result<Bytes, ApiError> {
    match tokio::time::timeout(within, gather(body, limit_bytes, place)).await {
        Ok(read) => read,
        Err(_) => Err(ApiError::new(
            "request_timeout",
            format!("the body did not arrive within {} s", within.as_secs()),
        )),
    }
}

/// A body that is too long already by what it is announced to have.
///
/// # Errors
/// 413.
pub(crate) fn refuse_longer(announced: u64, limit_bytes: usize) -> Result<(), ApiError> {
    if announced <= limit_bytes as u64 {
        return Ok(());
    }
    Err(ApiError::new("request_too_large", format!("the body is larger than {limit_bytes} bytes")))
}

/// So long a client is listened to that sends a body nobody wants.
const DISCARD: Duration = Duration::from_secs(1);

/// Whether nothing more of it will come. A client that asked before sending (`expect`) sends nothing.
pub(crate) fn is_over(body: &Incoming, headers: &HeaderMap) -> bool {
    body.is_end_stream() || headers.contains_key(EXPECT)
}

/// Reads what is left of a body whose request is refused already. A connection that is closed with bytes unread is reset,
/// and a client that is still sending then never sees why.
pub(crate) async fn discard(body: &mut Incoming) {
    let rest = async { while let Some(Ok(_)) = body.frame().await {} };
    let _ = tokio::time::timeout(DISCARD, rest).await;
}

/// A body that comes in one piece is not copied.
async fn gather(body: &mut Incoming, limit_bytes: usize, place: &mut Place) -> Result<Bytes, ApiError> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let broken = |error| ApiError::new("invalid_request", format!("the body broke off: {error}"));
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        let length = (first.len().max(rest.len()) + data.len()) as u64;
        refuse_longer(length, limit_bytes)?;
        place.hold_body(length)?;
        if first.is_empty() && rest.is_empty() {
            first = data;
            continue;
        }
        if rest.is_empty() {
            let expected = usize::try_from(body.size_hint().lower()).unwrap_or(0).min(limit_bytes);
            rest.reserve(first.len() + data.len() + expected);
            rest.extend_from_slice(&first);
        }
        rest.extend_from_slice(&data);
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}
