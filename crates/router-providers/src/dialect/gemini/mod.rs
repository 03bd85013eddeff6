//! Gemini `generateContent` and `streamGenerateContent?alt=sse` of the Gemini API (v1beta), as spoken to providers.
//!
//! Carried: text, system, tools with parallel calls and results, `tool_choice`, `stop`, sampling, seed, penalties, output
//! limit, `response_format` without tools, usage with every token class. Not sent: `user`, which the router itself reads
//! and for which the API has no place. Refused: what the conversation cannot hold, `parallel_tool_calls: false`,
//! `response_format` together with tools.

mod error;
mod request;
mod response;
mod wire;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use router_core::capability::Capabilities;
use router_core::chat::{Answer, Conversation, DialectId, Envelope};

use super::{Decoder, Inexpressible, Outgoing, ReplyFault, Upstream, WriteFor, common};

/// What stands for itself in a path segment (RFC 3986, unreserved); all else is encoded, so that no model name leaves it.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Gemini as an upstream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gemini;

impl Upstream for Gemini {
    fn id(&self) -> DialectId {
        DialectId::Gemini
    }

    fn gate(&self, envelope: &Envelope) -> Result<(), Inexpressible> {
        common::gate(DialectId::Gemini, envelope)?;
        let json = Capabilities::JSON_OBJECT | Capabilities::JSON_SCHEMA;
        match envelope.tools > 0 && envelope.needs.intersects(json) {
            true => Err(refused("/response_format: JSON together with tools")),
            false => Ok(()),
        }
    }

    fn path(&self, model: &str, stream: bool) -> String {
        let model = model.strip_prefix("models/").unwrap_or(model);
        let call = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
        format!("/models/{}:{call}", utf8_percent_encode(model, ENCODED))
    }

    fn request(&self, conversation: &Conversation, to: &WriteFor<'_>) -> Result<Outgoing, Inexpressible> {
        let body = request::write(conversation, to)?;
        Ok(Outgoing {
            path: self.path(to.model, conversation.stream),
            headers: Vec::new(),
            body: vec![body.into()],
        })
    }

    fn answer(&self, body: &[u8]) -> Result<Answer, ReplyFault> {
        response::read(body)
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::<response::ChunkDecoder>::default()
    }

    fn error(&self, status: u16, body: &[u8]) -> ReplyFault {
        error::read(status, body)
    }

    fn retry_after_ms(&self, body: &[u8]) -> Option<u64> {
        error::retry_after_ms(body)
    }
}

fn refused(what: impl Into<String>) -> Inexpressible {
    Inexpressible { dialect: DialectId::Gemini, what: what.into() }
}

#[cfg(test)]
mod tests;
