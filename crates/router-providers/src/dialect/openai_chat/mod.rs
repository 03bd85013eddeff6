//! OpenAI chat completions: spoken to applications and to every provider that is compatible with it.

mod encode;
pub(crate) mod passthrough;
mod request;
pub(crate) mod response;
mod scan;
pub(crate) mod stream;
mod wire;

use bytes::Bytes;
use router_core::chat::{Answer, Conversation, DialectId, Envelope, Shown};
use router_core::money::Usd;

use super::{
    Client, ClientError, Decoder, Encoder, Inexpressible, Outgoing, ReplyFault, ReplyMeta, RequestProblem,
    ScanLimits, Upstream, WriteFor,
};

/// Below the base URL.
const PATH: &str = "/chat/completions";

/// The dialect, both sides.
#[derive(Clone, Copy, Debug)]
pub struct OpenaiChat;

impl Upstream for OpenaiChat {
    fn id(&self) -> DialectId {
        DialectId::OpenaiChat
    }

    fn gate(&self, envelope: &Envelope) -> Result<(), Inexpressible> {
        // Its own requests pass through whole; of others, everything core's conversation holds has a place here.
        match envelope.unmapped.first().filter(|_| envelope.dialect != DialectId::OpenaiChat) {
            None => Ok(()),
            Some(what) => Err(Inexpressible { dialect: DialectId::OpenaiChat, what: what.clone() }),
        }
    }

    fn path(&self, _model: &str, _stream: bool) -> String {
        PATH.to_owned()
    }

    fn request(&self, conversation: &Conversation, to: &WriteFor<'_>) -> Result<Outgoing, Inexpressible> {
        match conversation.unmapped.first() {
            None => Ok(request::write(conversation, to)),
            Some(what) => Err(Inexpressible { dialect: DialectId::OpenaiChat, what: what.clone() }),
        }
    }

    fn answer(&self, body: &[u8]) -> Result<Answer, ReplyFault> {
        response::read_answer(body)
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(stream::ChatDecoder::default())
    }

    fn error(&self, status: u16, body: &[u8]) -> ReplyFault {
        crate::error::read(status, body)
    }
}

impl Client for OpenaiChat {
    fn id(&self) -> DialectId {
        DialectId::OpenaiChat
    }

    fn scan(&self, body: Bytes, limits: ScanLimits) -> Result<Envelope, RequestProblem> {
        scan::scan(&body, limits)
    }

    fn conversation(&self, envelope: &Envelope) -> Result<Conversation, RequestProblem> {
        request::conversation(envelope)
    }

    fn answer(&self, answer: &Answer, meta: &ReplyMeta, cost: Option<Usd>) -> Vec<u8> {
        response::write_answer(answer, meta, cost)
    }

    fn encoder(&self, meta: ReplyMeta) -> Box<dyn Encoder> {
        Box::new(encode::ChatEncoder::new(&meta))
    }

    fn resumed(&self, meta: ReplyMeta, _shown: &Shown) -> Box<dyn Encoder> {
        Box::new(encode::ChatEncoder::resumed(&meta))
    }

    fn error(&self, error: &ClientError<'_>) -> Vec<u8> {
        encode::error_body(error)
    }

    fn error_event(&self, error: &ClientError<'_>) -> Vec<u8> {
        encode::error_event(error)
    }
}

#[cfg(test)]
mod tests;
