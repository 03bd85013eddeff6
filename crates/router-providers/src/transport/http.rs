//! HTTP/1.1 over TCP or TLS with a pool of connections. One transport per runtime thread: a connection's task lives on
//! the runtime that opened it.
//!
//! HTTP/1.1 on purpose: with HTTP/2 the pool keeps one connection per host, and about 100 streams on it. Redirects are
//! not followed, bodies are not decompressed (identity is asked for), proxies of the environment are not used.
//!
//! A request that meets a pooled connection the server has just closed is sent again on another one, but only when none of
//! its bytes were written (hyper's `retry_canceled_requests`): nothing is ever sent twice.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use http_body_util::BodyStream;
use hyper::{Method, Request, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use router_core::attempt::FailureKind;
use rustls::crypto::ring;
use tower_service::Service;

use super::{Body, Inbound, Outbound, Sending, Transport, TransportError};

/// Idle connections are closed after this long: below the 60 s after which common load balancers drop them unasked.
const POOL_IDLE: Duration = Duration::from_secs(50);

/// Idle connections kept per host.
const POOL_MAX_IDLE_PER_HOST: usize = 256;

/// Most bytes buffered while reading response headers. Their number has hyper's own limit, 100: another one would make it
/// take memory from the heap for every answer.
const MAX_BUFFER_BYTES: usize = 128 * 1024;

/// Connect limit for a connection nobody awaits any more.
const CONNECT_DEFAULT: Duration = Duration::from_secs(10);

tokio::task_local! {
    /// Connect limit of the request that opens a connection. The client calls the connector while it polls the request,
    /// so this is how a limit per deployment reaches a connector that sees only the address.
    static CONNECT_LIMIT: Duration;
}

/// No root certificates could be used: neither the system's nor the built-in ones.
#[derive(Debug, thiserror::Error)]
#[error("no root certificates: {0}")]
pub struct NoRoots(String);

/// The transport that talks to real hosts.
#[derive(Clone)]
pub struct HttpTransport {
    client: Client<Bounded<HttpsConnector<HttpConnector>>, Body>,
}

impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTransport").finish_non_exhaustive()
    }
}

impl HttpTransport {
    /// A transport with an empty pool. Trusts the system's root certificates, or, where there are none (bare
    /// containers), Mozilla's, which are built in.
    ///
    /// # Errors
    /// The cryptography provider cannot be used.
    pub fn new() -> Result<Self, NoRoots> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(Duration::from_secs(60)));
        let builder = HttpsConnectorBuilder::new();
        let https = match builder.with_provider_and_native_roots(ring::default_provider()) {
            Ok(builder) => builder.https_or_http().enable_http1().wrap_connector(tcp),
            Err(error) => {
                tracing::info!(%error, "no system root certificates; using the built-in ones");
                HttpsConnectorBuilder::new()
                    .with_provider_and_webpki_roots(ring::default_provider())
                    .map_err(|error| NoRoots(error.to_string()))?
                    .https_or_http()
                    .enable_http1()
                    .wrap_connector(tcp)
            }
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL_MAX_IDLE_PER_HOST)
            .http1_max_buf_size(MAX_BUFFER_BYTES)
            .retry_canceled_requests(true)
            .build(Bounded(https));
        Ok(Self { client })
    }
}

impl Transport for HttpTransport {
    fn send(&self, outbound: Outbound) -> Sending<'_> {
        let Outbound { url, headers, body, connect } = outbound;
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url;
        *request.headers_mut() = headers;
        let answer = CONNECT_LIMIT.scope(connect, self.client.request(request));
        Box::pin(async move {
            let answer = answer.await.map_err(|error| failed(&error))?;
            let (parts, body) = answer.into_parts();
            let body = BodyStream::new(body).filter_map(|frame| {
                std::future::ready(match frame {
                    Ok(frame) => frame.into_data().ok().map(Ok),
                    Err(error) => {
                        Some(Err(TransportError::new(FailureKind::Truncated, "the answer broke off", &error)))
                    }
                })
            });
            Ok(Inbound { status: parts.status, headers: parts.headers, body: Box::pin(body) })
        })
    }
}

/// A request without an answer: connecting took too long, or it failed.
fn failed(error: &hyper_util::client::legacy::Error) -> TransportError {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(this) = cause {
        if this.is::<ConnectTimeout>() {
            return TransportError {
                kind: FailureKind::Timeout,
                message: ConnectTimeout.to_string(),
                sent: false,
            };
        }
        cause = this.source();
    }
    let what = if error.is_connect() { "cannot connect" } else { "no answer" };
    TransportError { sent: !error.is_connect(), ..TransportError::new(FailureKind::Unavailable, what, error) }
}

/// The connect limit passed.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect within the time limit")]
struct ConnectTimeout;

type BoxError = Box<dyn Error + Send + Sync>;

/// A connector that keeps the limit of the request it connects for, name lookup and TLS handshake included.
#[derive(Clone, Debug)]
struct Bounded<C>(C);

impl<C> Service<Uri> for Bounded<C>
where
    C: Service<Uri, Error = BoxError>,
    C::Future: Send + 'static,
    C::Response: 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let limit = CONNECT_LIMIT.try_with(|limit| *limit).unwrap_or(CONNECT_DEFAULT);
        let connecting = self.0.call(address);
        Box::pin(async move {
            match tokio::time::timeout(limit, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(BoxError::from(ConnectTimeout)),
            }
        })
    }
}

#[cfg(test)]
mod tests;
