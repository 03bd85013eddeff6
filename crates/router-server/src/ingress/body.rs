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
    mut body: Incoming,
    headers: &HeaderMap,
    limit_bytes: usize,
    within: Duration,
) -> Result<Bytes, ApiError> {
    let too_large =
        || ApiError::new("request_too_large", format!("the body is larger than {limit_bytes} bytes"));
    let announced = body.size_hint().lower() > limit_bytes as u64;
    // Who asks first has sent nothing yet.
    if announced && headers.contains_key(EXPECT) {
        return Err(too_large());
    }
    let read = async {
        let gathered = if announced { None } else { gather(&mut body, limit_bytes).await? };
        if gathered.is_none() {
            discard(&mut body, limit_bytes.saturating_mul(DISCARDED)).await;
        }
        Ok::<_, hyper::Error>(gathered)
    };
    match tokio::time::timeout(within, read).await {
        Ok(Ok(Some(bytes))) => Ok(bytes),
        Ok(Ok(None)) => Err(too_large()),
        Err(_) if announced => Err(too_large()),
        Ok(Err(error)) => Err(ApiError::new("invalid_request", format!("the body broke off: {error}"))),
        Err(_) => Err(ApiError::new(
            "request_timeout",
            format!("the body did not arrive within {} s", within.as_secs()),
        )),
    }
}

/// How many times the limit of a body that is too large is read on, so that its sender comes to read the answer: most
/// clients send all of a body before they look for one, and would only see a broken connection.
const DISCARDED: usize = 4;

/// Reads on and forgets. What goes wrong meanwhile changes nothing.
async fn discard(body: &mut Incoming, most_bytes: usize) {
    let mut seen = 0_usize;
    while let Some(Ok(frame)) = body.frame().await {
        seen = seen.saturating_add(frame.data_ref().map_or(0, Bytes::len));
        if seen > most_bytes {
            return;
        }
    }
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
