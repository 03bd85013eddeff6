//! Wire formats. Each maps its format to and from core's conversation; no dialect knows another.
//!
//! `Upstream` is the side that speaks to providers, `Client` the side that speaks to applications. What a dialect
//! cannot express it refuses by name, before anything is sent.

pub mod anthropic;
mod common;
pub mod gemini;
pub mod openai_chat;
#[cfg(test)]
mod testkit;

use bytes::Bytes;
use router_core::attempt::FailureKind;
use router_core::capability::Capabilities;
use router_core::chat::{Answer, Conversation, Delta, DialectId, Envelope, Shown, Usage};
use router_core::money::Usd;
use router_core::price::ServiceTier;

use crate::provider::Prefill;

/// What a request body is written for.
#[derive(Clone, Copy, Debug)]
pub struct WriteFor<'a> {
    /// The name the upstream knows the model by.
    pub model: &'a str,
    /// Output limit to put on the wire: the smallest of the client's, the router's cap and the deployment's own.
    /// `None` only where the dialect does not require one.
    pub max_tokens: Option<u64>,
    /// The deployment's longest output, for dialects that require a limit.
    pub max_output_tokens: Option<u64>,
    /// The deployment's capabilities.
    pub capabilities: Capabilities,
    /// How the host goes on from a last message by the assistant, for dialects whose hosts differ in it.
    pub prefill: Option<Prefill>,
}

/// A body for an upstream, and where it goes.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Path and query below the provider's base URL, beginning with a slash.
    pub path: String,
    /// Headers beside authentication and content type.
    pub headers: Vec<(&'static str, String)>,
    /// The body, in pieces that are sent one after the other.
    pub body: Vec<Bytes>,
}

/// A request this dialect cannot express; the text names the member by JSON pointer and says why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{dialect} upstreams cannot express {what}", dialect = dialect.name())]
pub struct Inexpressible {
    /// The dialect.
    pub dialect: DialectId,
    /// The member and why, lower case.
    pub what: String,
}

/// A reply that is not what the dialect promises, or says that something went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ReplyFault {
    /// What it means.
    pub kind: FailureKind,
    /// For logs and, cleaned, for the client. Never HTML, never a secret.
    pub message: String,
    /// The provider's own code, when it gave one.
    pub code: Option<String>,
}

/// A wire format spoken to providers.
pub trait Upstream: Send + Sync {
    /// Which.
    fn id(&self) -> DialectId;

    /// Whether a request of another dialect can be expressed, judged from the envelope alone: the capability gate.
    ///
    /// # Errors
    /// The first member that cannot.
    fn gate(&self, envelope: &Envelope) -> Result<(), Inexpressible>;

    /// Path and query of a call, for requests passed through.
    fn path(&self, model: &str, stream: bool) -> String;

    /// Writes a request.
    ///
    /// # Errors
    /// What cannot be expressed; the gate should have said so before.
    fn request(&self, conversation: &Conversation, to: &WriteFor<'_>) -> Result<Outgoing, Inexpressible>;

    /// Reads a whole answer (status 200).
    ///
    /// # Errors
    /// `BadReply` for anything that is not one, the kind the provider names for an error object.
    fn answer(&self, body: &[u8]) -> Result<Answer, ReplyFault>;

    /// Reads a stream, event by event.
    fn decoder(&self) -> Box<dyn Decoder>;

    /// Reads an error answer (status other than 2xx).
    fn error(&self, status: u16, body: &[u8]) -> ReplyFault;

    /// When the body of an error answer says after how long asking again makes sense, in milliseconds: for providers
    /// that say it nowhere else. A header that says so goes before it.
    fn retry_after_ms(&self, _body: &[u8]) -> Option<u64> {
        None
    }
}

/// A stream being read.
pub trait Decoder: Send {
    /// One whole SSE event; its deltas are appended to `out`.
    ///
    /// # Errors
    /// The stream is unusable from here.
    fn event(&mut self, name: Option<&str>, data: &[u8], out: &mut Vec<Delta>) -> Result<(), ReplyFault>;

    /// The answer is whole: its terminal event came, nothing that matters can follow.
    fn is_done(&self) -> bool;

    /// The bytes ended. Appends what only the end makes known.
    ///
    /// # Errors
    /// `Truncated` when the answer was not whole.
    fn end(&mut self, out: &mut Vec<Delta>) -> Result<(), ReplyFault>;

    /// The processing tier the provider says it used, for dialects that say it.
    fn service_tier(&self) -> ServiceTier {
        ServiceTier::default()
    }

    /// The provider's own cost, for dialects that say it.
    fn provider_cost(&self) -> Option<Usd> {
        None
    }
}

/// Limits of a scan.
#[derive(Clone, Copy, Debug)]
pub struct ScanLimits {
    /// Deepest nesting of the body.
    pub max_depth: usize,
}

/// A request that is wrong, for a 400: the text says what, the pointer where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at {pointer:?})")]
pub struct RequestProblem {
    /// JSON pointer to the member; empty for the whole body.
    pub pointer: String,
    /// What is wrong, lower case.
    pub message: String,
}

/// What the answer says of itself beside its content.
#[derive(Clone, Debug)]
pub struct ReplyMeta {
    /// Id of the answer for the client.
    pub id: String,
    /// The model that answered, as `provider/model` deployments name it upstream.
    pub model: String,
    /// Seconds since the Unix epoch.
    pub created: u64,
    /// The client asked for a usage event in its stream.
    pub include_usage: bool,
}

/// A streamed answer that broke off after its client had seen some of it, and is whole all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rescued<'a> {
    /// How often it was gone on with.
    pub times: u32,
    /// The deployment that ended it; the head of the answer names the one that began it.
    pub deployment: &'a str,
}

/// An error as the client sees it.
#[derive(Clone, Debug)]
pub struct ClientError<'a> {
    /// HTTP status.
    pub status: u16,
    /// Stable code (`model_not_found`, ...).
    pub code: &'a str,
    /// For people.
    pub message: &'a str,
    /// JSON pointer or parameter, when one is to blame.
    pub param: Option<&'a str>,
}

/// A wire format spoken to applications.
pub trait Client: Send + Sync {
    /// Which.
    fn id(&self) -> DialectId;

    /// Reads what routing needs, in one pass: depth, duplicate keys, types and UTF-8 are checked on the way.
    ///
    /// # Errors
    /// The first thing wrong, with its pointer.
    fn scan(&self, body: Bytes, limits: ScanLimits) -> Result<Envelope, RequestProblem>;

    /// The whole request in core's form.
    ///
    /// # Errors
    /// As `scan`.
    fn conversation(&self, envelope: &Envelope) -> Result<Conversation, RequestProblem>;

    /// Writes a whole answer.
    fn answer(&self, answer: &Answer, meta: &ReplyMeta, cost: Option<Usd>) -> Vec<u8>;

    /// Writes a stream.
    fn encoder(&self, meta: ReplyMeta) -> Box<dyn Encoder>;

    /// Writes the rest of a stream of which the client has seen a part: nothing of that is opened or said again. All that
    /// a dialect adds for answers that are gone on from after they broke off.
    fn resumed(&self, meta: ReplyMeta, shown: &Shown) -> Box<dyn Encoder>;

    /// Writes an error body.
    fn error(&self, error: &ClientError<'_>) -> Vec<u8>;

    /// Writes an error as the last event of a stream.
    fn error_event(&self, error: &ClientError<'_>) -> Vec<u8>;
}

/// A stream being written: SSE bytes in the client's dialect.
pub trait Encoder: Send {
    /// Appends the events for one delta, if it makes any.
    fn delta(&mut self, delta: &Delta, out: &mut Vec<u8>);

    /// Appends the end: usage when asked for, with the cost and with what became of an answer that broke off; and the
    /// terminal event.
    fn end(
        &mut self,
        usage: Option<&Usage>,
        cost: Option<Usd>,
        rescued: Option<Rescued<'_>>,
        out: &mut Vec<u8>,
    );
}

/// The dialect spoken to providers under this id, if it is built.
pub fn upstream(id: DialectId) -> Option<&'static dyn Upstream> {
    match id {
        DialectId::OpenaiChat => Some(&openai_chat::OpenaiChat),
        DialectId::Anthropic => Some(&anthropic::Anthropic),
        DialectId::Gemini => Some(&gemini::Gemini),
        DialectId::OpenaiResponses | DialectId::Bedrock => None,
    }
}

/// The dialect spoken to applications under this id, if it is built.
pub fn client(id: DialectId) -> Option<&'static dyn Client> {
    match id {
        DialectId::OpenaiChat => Some(&openai_chat::OpenaiChat),
        DialectId::OpenaiResponses | DialectId::Anthropic | DialectId::Gemini | DialectId::Bedrock => None,
    }
}
