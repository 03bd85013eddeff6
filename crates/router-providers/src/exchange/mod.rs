//! One attempt, from a scanned request to bytes for the client: hides whether a request passes through or is translated,
//! and whether the network is real.
//!
//! Nothing is retried here and nothing is decided: a fault goes back to whoever sent the call. Dropping what is returned
//! closes the upstream connection.

mod cut;
mod flow;
mod gate;
mod outbound;
mod reader;
mod resume;
mod splice;
mod stream;
mod target;
mod translation;
mod whole;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use router_core::attempt::FailureKind;
use router_core::chat::{Conversation, Envelope, Usage};
use tokio::time::{Instant, timeout_at};

use crate::dialect::{ReplyFault, ReplyMeta, RequestProblem, client};
use crate::error::{MAX_ERROR_BYTES, MAX_WAIT, RateState, clean, retry_after};
use crate::transport::{ByteStream, Inbound, Transport, TransportError};

pub use cut::{Cut, NoRescue, can_go_on};
pub use gate::{barred_dialects, gate};
pub use stream::{Item, StreamReply};
pub use target::{Target, TargetError, TargetSpec};
pub use whole::JsonReply;

/// A request with its full form beside it, which is built when it is first needed, and once.
#[derive(Debug)]
pub struct Request {
    envelope: Envelope,
    conversation: OnceLock<Result<Conversation, RequestProblem>>,
}

impl Request {
    /// A request as scanned.
    pub fn new(envelope: Envelope) -> Self {
        Self { envelope, conversation: OnceLock::new() }
    }

    /// The scanned request.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The request in full.
    ///
    /// # Errors
    /// What the scan let pass and the full form cannot hold.
    pub fn conversation(&self) -> Result<&Conversation, &RequestProblem> {
        let build = || match client(self.envelope.dialect) {
            Some(client) => client.conversation(&self.envelope),
            None => Err(RequestProblem {
                pointer: String::new(),
                message: format!("{} requests cannot be translated", self.envelope.dialect.name()),
            }),
        };
        self.conversation.get_or_init(build).as_ref()
    }
}

/// The header that carries the caller's id of a request; OpenAI documents it, others ignore it.
const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-client-request-id");

/// How long the body of an error is waited for: its status says that there is no answer, and others may have one.
const ERROR_PATIENCE: Duration = Duration::from_secs(2);

/// Time limits of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// To connect.
    pub connect: Duration,
    /// From sending a streamed request to the first byte of its body; a ping counts.
    pub first_byte: Duration,
    /// From sending a JSON request to its whole answer.
    pub answer: Duration,
    /// From sending a streamed request to the first thing its client can see. Bytes alone, as the pings of a model that
    /// reasons unseen, are not enough; so this is as long as a whole answer may take.
    pub show: Duration,
    /// Between two bytes of a stream.
    pub idle: Duration,
}

/// One attempt.
#[derive(Clone)]
pub struct Call {
    /// The request.
    pub request: Arc<Request>,
    /// Where it goes.
    pub target: Arc<Target>,
    /// The router's own limit on output tokens.
    pub max_tokens: Option<u64>,
    /// Time limits.
    pub limits: Limits,
    /// What a translated answer says of itself.
    pub meta: ReplyMeta,
    /// Our id of the attempt, sent as `x-client-request-id`: what to name when asking a provider about it.
    pub tag: HeaderValue,
    /// A streamed answer that broke off, to be gone on from: the reply then yields only what its client has not seen, and
    /// its end states the tokens of all attempts.
    pub goes_on: Option<Arc<Cut>>,
}

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// What it means.
    pub kind: FailureKind,
    /// When the provider says to come back.
    pub retry_after: Option<Duration>,
    /// The status it answered with, if it did.
    pub status: Option<u16>,
    /// For logs and clients: no page, no secret.
    pub message: String,
    /// The provider's own code.
    pub code: Option<String>,
    /// The request may have reached the provider, so that it may be billed.
    pub sent: bool,
    /// What its headers say is left of the rate limits.
    pub rate: Box<RateState>,
}

impl Fault {
    pub(super) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { kind, retry_after: None, status: None, message, code: None, sent: true, rate: Box::default() }
    }

    /// A dialect's fault, in a reply with this status.
    fn of_reply(fault: ReplyFault, status: u16, target: &Target) -> Self {
        Self {
            status: Some(status),
            code: fault.code,
            ..Self::new(fault.kind, target.without_credential(fault.message))
        }
    }

    /// With the time to come back at that the body of the error names, where no header does.
    fn told(self, target: &Target, body: Option<&[u8]>) -> Self {
        let named = || body.and_then(|body| target.upstream.retry_after_ms(body)).map(Duration::from_millis);
        Self { retry_after: self.retry_after.or_else(named), ..self }.timely()
    }

    /// Only these kinds are about time: on a 400, a time to come back at says nothing.
    fn timely(self) -> Self {
        use FailureKind::{Overloaded, RateLimited, Unavailable};
        let timely = matches!(self.kind, RateLimited | Overloaded | Unavailable);
        Self { retry_after: self.retry_after.filter(|_| timely).map(|wait| wait.min(MAX_WAIT)), ..self }
    }
}

impl From<TransportError> for Fault {
    fn from(error: TransportError) -> Self {
        Self { sent: error.sent, ..Self::new(error.kind, error.message) }
    }
}

/// What an answer's headers say.
#[derive(Clone, Debug, Default)]
pub struct ReplyHeaders {
    /// The upstream's rate limit headers (`x-ratelimit-*`), for the client.
    pub rate_limits: HeaderMap,
    /// The upstream's id of the request (`x-request-id` or `request-id`), for logs.
    pub upstream_request_id: Option<String>,
    /// What they say is left of the rate limits.
    pub rate: RateState,
}

/// An answer.
#[derive(Debug)]
pub enum Reply {
    /// Whole.
    Json(Box<JsonReply>),
    /// To be read.
    Stream(Box<StreamReply>),
}

/// Makes one attempt. Resolves when the whole answer is read (JSON), or when status and headers are good (stream).
///
/// # Errors
/// Everything that is not an answer, by kind.
pub async fn send(transport: &dyn Transport, call: Call) -> Result<Reply, Fault> {
    let stream = call.request.envelope.stream;
    if let Some(reason) = call.goes_on.as_deref().and_then(resume::nothing_left) {
        return Ok(Reply::Stream(Box::new(StreamReply::nothing_left(call, reason))));
    }
    let mut outbound = outbound::outbound(&call)?;
    outbound.headers.insert(CLIENT_REQUEST_ID, call.tag.clone());
    let started = Instant::now();
    let limit = if stream { call.limits.first_byte } else { call.limits.answer };
    let inbound = timeout_at(started + limit, transport.send(outbound)).await.map_err(|_| late(stream))??;
    let status = inbound.status.as_u16();
    if status != 200 {
        return Err(refused(inbound, &call.target, started + limit).await);
    }
    let headers = reply_headers(&inbound.headers);
    let content_type = content_type(&inbound.headers);
    if stream {
        if let Some(wrong) = content_type.filter(|kind| kind != "text/event-stream") {
            let kind = wrong.as_str() == "application/json";
            return Err(not_a_stream(inbound, &call.target, started + limit, kind).await);
        }
        return Ok(Reply::Stream(Box::new(StreamReply::new(call, inbound.body, started, headers))));
    }
    if let Some(wrong) = content_type.filter(|kind| kind != "application/json" && !kind.ends_with("+json")) {
        let message = format!("the answer is {}, not JSON", clean(&wrong));
        return Err(Fault { status: Some(status), ..Fault::new(FailureKind::BadReply, message) });
    }
    whole::check_length(&inbound.headers)?;
    let body = whole::read(inbound.body, started + limit).await?;
    whole::reply(&call, &body, headers).map(|reply| Reply::Json(Box::new(reply)))
}

fn late(stream: bool) -> Fault {
    let what = if stream { "no first byte within its time limit" } else { "no answer within its time limit" };
    Fault::new(FailureKind::Timeout, what)
}

/// Reads at most so many bytes, until the deadline; what breaks off counts as far as it came.
async fn read_some(mut body: ByteStream, max_bytes: usize, deadline: Instant) -> Bytes {
    let mut read = BytesMut::new();
    while let Ok(Some(Ok(chunk))) = timeout_at(deadline, body.next()).await {
        let room = max_bytes.saturating_sub(read.len());
        read.extend_from_slice(chunk.get(..room.min(chunk.len())).unwrap_or_default());
        if read.len() >= max_bytes {
            break;
        }
    }
    read.freeze()
}

/// The fault of an answer whose status is not 200.
async fn refused(inbound: Inbound, target: &Target, deadline: Instant) -> Fault {
    let status = inbound.status.as_u16();
    let now = SystemTime::now();
    let (wait, rate) = (retry_after(&inbound.headers, now), RateState::of(&inbound.headers, now));
    let body = read_some(inbound.body, MAX_ERROR_BYTES, deadline.min(Instant::now() + ERROR_PATIENCE)).await;
    let fault = Fault::of_reply(target.upstream.error(status, &body), status, target);
    Fault { retry_after: wait, rate: Box::new(rate), ..fault }.told(target, Some(&body))
}

/// The fault of a 200 that should be a stream: an error in disguise, or something else.
async fn not_a_stream(inbound: Inbound, target: &Target, deadline: Instant, json: bool) -> Fault {
    let deadline = deadline.min(Instant::now() + ERROR_PATIENCE);
    let body = if json { read_some(inbound.body, MAX_ERROR_BYTES, deadline).await } else { Bytes::new() };
    let fault = match target.upstream.answer(&body) {
        Err(fault) if json => fault,
        _ => {
            let message = "asked for a stream, the provider sent something else".to_owned();
            ReplyFault { kind: FailureKind::BadReply, message, code: None }
        }
    };
    Fault::of_reply(fault, 200, target).told(target, Some(&body))
}

/// The media type, lower case, without parameters; `None` when none is given.
fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next()?.trim().to_ascii_lowercase())
}

fn reply_headers(headers: &HeaderMap) -> ReplyHeaders {
    let limits = headers.iter().filter(|(name, _)| name.as_str().starts_with("x-ratelimit-"));
    let id = ["x-request-id", "request-id"]
        .into_iter()
        .find_map(|name| headers.get(HeaderName::from_static(name)));
    ReplyHeaders {
        rate_limits: limits.map(|(name, value)| (name.clone(), value.clone())).collect(),
        upstream_request_id: id.and_then(|id| id.to_str().ok()).map(|id| id.chars().take(128).collect()),
        rate: RateState::of(headers, SystemTime::now()),
    }
}

/// An answer with nothing in it where something was owed (DESIGN D6): nothing visible and no output tokens, and neither
/// the legitimate end of a turn after a tool's result nor a limit that left no room.
fn is_empty(
    envelope: &Envelope,
    visible: bool,
    usage: Option<&Usage>,
    finish: Option<router_core::chat::FinishReason>,
) -> bool {
    use router_core::chat::FinishReason as F;
    let legitimate = match finish {
        Some(F::Stop) | None => envelope.after_tool_result,
        Some(F::Length) => envelope.max_tokens.is_some(),
        // The filter is the provider's last word, and the client is told by the reason.
        Some(F::ContentFilter) => true,
        Some(F::ToolCalls) => false,
    };
    !visible && usage.is_none_or(|usage| usage.output_tokens == 0) && !legitimate
}

fn empty() -> Fault {
    Fault::new(FailureKind::Empty, "the answer is empty")
}

#[cfg(test)]
mod tests;
