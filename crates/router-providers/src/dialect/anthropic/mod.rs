//! Anthropic Messages, as spoken to providers: `POST /messages`, API version 2023-06-01.
//!
//! Carried: text, system, tools with parallel calls and results, `tool_choice`, `parallel_tool_calls`, `stop`,
//! `temperature` up to 1, `top_p`, output limit, `user`, `response_format: json_schema`, usage with every token class.
//! Refused: what the conversation cannot hold, `json_object`, `seed`, penalties, `temperature` above 1.

mod error;
mod request;
mod response;
mod schema;
mod stream;
mod wire;

use router_core::capability::Capabilities;
use router_core::chat::{Answer, Conversation, DialectId, Envelope};

use super::{Decoder, Inexpressible, Outgoing, ReplyFault, Upstream, WriteFor, common};

/// The API version asked for. Newer ones refuse sampling parameters and change errors.
const API_VERSION: &str = "2023-06-01";

/// Hottest temperature the API takes; OpenAI's goes to 2.
const TEMPERATURE_MAX: f64 = 1.0;

/// Longest `metadata.user_id` the API takes, in characters.
const USER_ID_CHARS_MAX: usize = 256;

/// Anthropic Messages as an upstream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Anthropic;

impl Upstream for Anthropic {
    fn id(&self) -> DialectId {
        DialectId::Anthropic
    }

    fn gate(&self, envelope: &Envelope) -> Result<(), Inexpressible> {
        common::gate(DialectId::Anthropic, envelope)?;
        if envelope.needs.contains(Capabilities::JSON_OBJECT) {
            return Err(refused("/response_format: json_object (json_schema is carried)"));
        }
        if envelope.needs.contains(Capabilities::SEED) {
            return Err(refused("/seed: a sampling seed"));
        }
        check_user(envelope.user.as_deref())?;
        check_temperature(envelope.temperature)
    }

    fn path(&self, _model: &str, _stream: bool) -> String {
        "/messages".to_owned()
    }

    fn request(&self, conversation: &Conversation, to: &WriteFor<'_>) -> Result<Outgoing, Inexpressible> {
        let body = request::write(conversation, to)?;
        Ok(Outgoing {
            path: self.path(to.model, conversation.stream),
            headers: vec![("anthropic-version", API_VERSION.to_owned())],
            body: vec![body.into()],
        })
    }

    fn answer(&self, body: &[u8]) -> Result<Answer, ReplyFault> {
        response::read(body)
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::<stream::MessageDecoder>::default()
    }

    fn error(&self, status: u16, body: &[u8]) -> ReplyFault {
        error::read(status, body)
    }
}

fn refused(what: impl Into<String>) -> Inexpressible {
    Inexpressible { dialect: DialectId::Anthropic, what: what.into() }
}

fn check_temperature(temperature: Option<f64>) -> Result<(), Inexpressible> {
    match temperature.filter(|value| *value > TEMPERATURE_MAX) {
        Some(value) => Err(refused(format!("/temperature: {value} is above {TEMPERATURE_MAX}"))),
        None => Ok(()),
    }
}

fn check_user(user: Option<&str>) -> Result<(), Inexpressible> {
    match user.filter(|user| user.chars().count() > USER_ID_CHARS_MAX) {
        Some(_) => Err(refused(format!("/user: an id of more than {USER_ID_CHARS_MAX} characters"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
