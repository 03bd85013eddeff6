//! The request that goes on from a cut: the conversation, what the client has seen as the model's own words, and, where the
//! model does not go on from those by itself, a short message that asks it to.

use router_core::capability::Capabilities;
use router_core::chat::{Conversation, FinishReason, Message, Part, ResponseFormat, Role};
use router_core::tokens::TextStats;

use super::splice::Join;
use super::{Cut, Target};
use crate::json::prefix::Prefix;
use crate::json::quoted;
use crate::provider::Prefill;

/// Characters of the end of what was shown that the model is told to go on from: enough to find the place by.
const TAIL_CHARS: usize = 60;

/// How a deployment is asked to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Nothing but white space or reasoning was shown: the request as it is.
    Anew,
    /// What was shown is the last message, by the assistant, and the model goes on with it.
    Prefill(Prefill),
    /// A message after it asks for the rest.
    Instruct,
}

impl Way {
    /// How this deployment is asked. `passes`: in the client's own bytes, which have no place for the schema of structured
    /// output once it is no member any more, but in a message.
    pub(super) fn of(cut: &Cut, target: &Target, passes: bool) -> Self {
        let schema = cut.request.envelope().needs.contains(Capabilities::JSON_SCHEMA);
        match target.prefill {
            _ if cut.shown.text().trim().is_empty() => Self::Anew,
            Some(prefill) if !(passes && schema) => Self::Prefill(prefill),
            _ => Self::Instruct,
        }
    }

    /// What is to be expected of the answer.
    pub(super) const fn join(self) -> Join {
        match self {
            Self::Anew | Self::Instruct => Join::Instruct,
            Self::Prefill(prefill) => Join::Prefill { echoes: prefill.echoes },
        }
    }

    /// The prefill, if it is one.
    pub(super) const fn prefill(self) -> Option<Prefill> {
        match self {
            Self::Prefill(prefill) => Some(prefill),
            Self::Anew | Self::Instruct => None,
        }
    }
}

/// The request asks for JSON.
pub(super) fn is_structured(cut: &Cut) -> bool {
    cut.request.envelope().needs.intersects(Capabilities::JSON_OBJECT | Capabilities::JSON_SCHEMA)
}

/// What is left of the client's output limit after what it has seen, which is estimated (within 7 % on average); `None`: it
/// set none.
pub(super) fn tokens_left(cut: &Cut) -> Option<u64> {
    let given = cut.request.envelope().max_tokens.as_ref()?.value;
    Some(given.saturating_sub(TextStats::of(cut.shown.text()).estimate()))
}

/// Why there is nothing to ask for any more, if there is not: the client's limit leaves nothing, or what was shown is a
/// whole JSON value, after which nothing can come.
pub(super) fn nothing_left(cut: &Cut) -> Option<FinishReason> {
    let text = cut.shown.text().trim_end();
    let ended = || {
        let mut value = Prefix::new();
        text.ends_with(['}', ']']) && value.push(text).is_ok() && value.is_whole()
    };
    match tokens_left(cut) {
        Some(0) => Some(FinishReason::Length),
        _ => {
            (is_structured(cut) && cut.request.envelope().tools == 0 && ended()).then_some(FinishReason::Stop)
        }
    }
}

/// The text given to the model as its own: white space at its end would cost the model its next token, which mostly begins
/// with a space, and some refuse it.
fn own_words(cut: &Cut, way: Way) -> &str {
    match way {
        Way::Prefill(_) => cut.shown.text().trim_end(),
        Way::Anew | Way::Instruct => cut.shown.text(),
    }
}

/// What the model is told. `format`: the form of structured output, as JSON text, which the request does not state itself
/// any more: a provider that held the rest to it could not write the rest.
fn instruction(cut: &Cut, format: Option<&str>) -> String {
    let text = cut.shown.text();
    let start = text.char_indices().rev().nth(TAIL_CHARS - 1).map_or(0, |(at, _)| at);
    let tail = quoted(text.get(start..).unwrap_or_default());
    if !is_structured(cut) {
        return format!(
            "Your last message was cut off by a connection error. Continue it exactly after its last characters, \
             {tail}, in the middle of a sentence or word if it ends there. Do not begin again, do not repeat what is \
             there, and do not comment on the interruption: your reply is appended to it as it is."
        );
    }
    let form = format.map_or_else(String::new, |format| format!(" of this form: {format}"));
    format!(
        "Your last message was cut off by a connection error. It is the beginning of one JSON value{form}. Reply with \
         the remaining characters of that value only, exactly after its last characters, {tail}: no beginning again, \
         no code fence, no comment. Your reply is appended to it as it is, and both together must be valid JSON."
    )
}

/// The full request that goes on.
pub(super) fn conversation(cut: &Cut, base: &Conversation, way: Way) -> Conversation {
    let mut all = base.clone();
    if way == Way::Anew {
        return all;
    }
    let format = match std::mem::take(&mut all.response_format) {
        ResponseFormat::JsonSchema { schema, .. } => Some(schema),
        ResponseFormat::Text | ResponseFormat::JsonObject => None,
    };
    let schema = format.as_ref().map(|schema| schema.get());
    let shown = own_words(cut, way);
    match all
        .messages
        .last_mut()
        .filter(|last| last.role == Role::Assistant)
        .map(|last| last.parts.last_mut())
    {
        // The client's own prefill: its words and those shown are one text.
        Some(Some(Part::Text(text))) => text.push_str(shown),
        _ => all.messages.push(Message { role: Role::Assistant, parts: vec![Part::Text(shown.to_owned())] }),
    }
    match way {
        Way::Instruct => {
            let asks = Part::Text(instruction(cut, schema));
            all.messages.push(Message { role: Role::User, parts: vec![asks] });
        }
        Way::Prefill(_) | Way::Anew => {
            all.system
                .extend(schema.map(|schema| format!("The answer is one JSON value of this form: {schema}")));
        }
    }
    all
}

/// The messages that are appended to the client's own, as JSON; `format` as for [`instruction`].
pub(super) fn messages(cut: &Cut, way: Way, format: Option<&str>) -> String {
    let shown = quoted(own_words(cut, way));
    match way {
        Way::Anew => String::new(),
        Way::Prefill(Prefill { mark: "", .. }) => format!(r#"{{"role":"assistant","content":{shown}}}"#),
        Way::Prefill(Prefill { mark, .. }) => {
            format!(r#"{{"role":"assistant","content":{shown},"{mark}":true}}"#)
        }
        Way::Instruct => {
            let asks = quoted(&instruction(cut, format));
            format!(r#"{{"role":"assistant","content":{shown}}},{{"role":"user","content":{asks}}}"#)
        }
    }
}
