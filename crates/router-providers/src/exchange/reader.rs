//! How a stream is read: passed through or translated, and what has been learned from it so far.

use router_core::chat::{FinishReason, Usage};
use router_core::money::Usd;
use router_core::price::ServiceTier;

use super::Call;
use super::outbound::passes;
use super::resume::Way;
use super::translation::Translation;
use crate::dialect::openai_chat::stream::PassReader;
use crate::dialect::{Decoder, client};

/// A stream's reader.
pub(super) enum Reader {
    Pass(Box<PassReader>),
    Translate(Box<Translation>),
    /// The client's dialect is not built; cannot be, since it scanned the request.
    None,
}

impl Reader {
    pub(super) fn of(call: &Call, decoder: Box<dyn Decoder>) -> Self {
        let envelope = call.request.envelope();
        // Only what is new of a continuation is for the client, so it is never passed through.
        if call.goes_on.is_none() && passes(call) {
            return Self::Pass(Box::new(PassReader::new(envelope.n)));
        }
        Self::translating(call, decoder)
    }

    pub(super) fn translating(call: &Call, decoder: Box<dyn Decoder>) -> Self {
        let dialect = call.request.envelope().dialect;
        let Some(client) = client(dialect) else { return Self::None };
        Self::Translate(Box::new(match &call.goes_on {
            None => Translation::new(decoder, client.encoder(call.meta.clone())),
            Some(cut) => {
                let join = Way::of(cut, &call.target, passes(call)).join();
                let encoder = client.resumed(cut.meta.clone(), cut.shown());
                Translation::new(decoder, encoder).going_on(cut, join)
            }
        }))
    }

    /// The answer has said why it ended, although its terminal event may not have come.
    pub(super) fn is_whole(&self) -> bool {
        match self {
            Self::Pass(reader) => reader.is_whole(),
            Self::Translate(translation) => translation.is_whole(),
            Self::None => false,
        }
    }

    pub(super) fn usage(&self) -> Option<Usage> {
        match self {
            Self::Pass(reader) => reader.usage,
            Self::Translate(translation) => translation.usage,
            Self::None => None,
        }
    }

    pub(super) fn finish(&self) -> Option<FinishReason> {
        match self {
            Self::Pass(reader) => reader.finish,
            Self::Translate(translation) => translation.finish,
            Self::None => None,
        }
    }

    pub(super) fn provider_cost(&self) -> Option<Usd> {
        match self {
            Self::Pass(reader) => reader.provider_cost,
            Self::Translate(translation) => translation.provider_cost(),
            Self::None => None,
        }
    }

    pub(super) fn service_tier(&self) -> ServiceTier {
        match self {
            Self::Pass(reader) => reader.service_tier.as_deref().map(ServiceTier::named).unwrap_or_default(),
            Self::Translate(translation) => translation.service_tier(),
            Self::None => ServiceTier::default(),
        }
    }
}
