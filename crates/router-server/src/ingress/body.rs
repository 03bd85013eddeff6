//! A request's body, read whole within a size and a time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::{Body as _, Incoming};
use hyper::header::EXPECT;

use crate::error::ApiError;

/// Reads a body.
///
/// # Errors
/// 413 over `limit_bytes` (announced or met), 408 when it takes longer than `within`, 400 when the client breaks off.
pub(crate) async fn read(
    body: &mut Incoming,
    limit_bytes: usize,
    within: Duration,
) -> Result<Bytes, ApiError> {
    let too_large =
        || ApiError::new("request_too_large", format!("the body is larger than {limit_bytes} bytes"));
    if body.size_hint().lower() > limit_bytes as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(within, gather(body, limit_bytes)).await {
        Ok(Ok(Some(bytes))) => Ok(bytes),
        Ok(Ok(None)) => Err(too_large()),
        Ok(Err(error)) => Err(ApiError::new("invalid_request", format!("the body broke off: {error}"))),
        Err(_) => Err(ApiError::new(
            "request_timeout",
            format!("the body did not arrive within {} s", within.as_secs()),
        )),
    }
}

/// So long a client is listened to that sends a body nobody wants.
const DISCARD: Duration = Duration::from_secs(1);

/// Reads what is left of a body whose request is refused already. A connection that is closed with bytes unread is reset,
/// and a client that is still sending then never sees why. One that asked before sending (`expect`) sends nothing.
pub(crate) async fn discard(body: &mut Incoming, headers: &HeaderMap) {
    if body.is_end_stream() || headers.contains_key(EXPECT) {
        return;
    }
    let rest = async { while let Some(Ok(_)) = body.frame().await {} };
    let _ = tokio::time::timeout(DISCARD, rest).await;
}

/// `None`: over the limit. A body that comes in one piece is not copied.
async fn gather(body: &mut Incoming, limit_bytes: usize) -> Result<Option<Bytes>, hyper::Error> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                let expected = usize::try_from(body.size_hint().lower()).unwrap_or(0).min(limit_bytes);
                rest.reserve(first.len() + data.len() + expected);
                rest.extend_from_slice(&first);
            }
            rest.extend_from_slice(&data);
        }
        if first.len().max(rest.len()) > limit_bytes {
            return Ok(None);
        }
    }
    Ok(Some(if rest.is_empty() { first } else { rest.freeze() }))
}
