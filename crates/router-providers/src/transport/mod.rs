//! The one door to the network: a request goes out in pieces, an answer comes back as a stream of bytes. What the bytes
//! mean is not known here.

mod http;
mod pieces;
mod simulated;

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use hyper::{HeaderMap, StatusCode, Uri};
use router_core::attempt::FailureKind;

pub use http::{HttpTransport, NoRoots};
pub use pieces::{Body, Pieces, joined};
pub use simulated::{SimulatedTransport, Simulation};

/// A request for an upstream: always a POST.
#[derive(Debug)]
pub struct Outbound {
    /// Where.
    pub url: Uri,
    /// Everything but `host` and `content-length`.
    pub headers: HeaderMap,
    /// The body, in pieces that are sent one after the other without being joined.
    pub body: Pieces,
    /// Longest time to connect, TLS included, should a new connection be needed.
    pub connect: Duration,
}

/// Bytes of an answer as they come. Dropping it closes the upstream connection, which stops the provider's work.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, TransportError>> + Send>>;

/// An answer whose headers have come.
pub struct Inbound {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: ByteStream,
}

/// Why nothing, or nothing more, came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TransportError {
    /// `Timeout` when connecting took too long, `Truncated` when the body broke off, else `Unavailable`.
    pub kind: FailureKind,
    /// What, lower case, without addresses' secrets.
    pub message: String,
    /// There was a connection: the request may have arrived.
    pub sent: bool,
}

impl TransportError {
    /// The last cause of an error, which is the one that says something ("connection refused").
    fn new(kind: FailureKind, what: &str, error: &dyn std::error::Error) -> Self {
        let mut cause = error.source();
        while let Some(next) = cause.and_then(|cause| cause.source()) {
            cause = Some(next);
        }
        let cause = cause.map_or_else(|| error.to_string(), ToString::to_string);
        Self { kind, message: format!("{what}: {cause}"), sent: true }
    }
}

/// What is awaited for an answer's headers.
pub type Sending<'a> = Pin<Box<dyn Future<Output = Result<Inbound, TransportError>> + Send + 'a>>;

/// Sends requests. The one thing tests replace.
pub trait Transport: Send + Sync {
    /// Sends one request; resolves when its answer's headers have come. Dropping the future cancels the request.
    fn send(&self, request: Outbound) -> Sending<'_>;
}
