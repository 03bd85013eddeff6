//! What a streamed answer leaves behind when it breaks off after its client has seen some of it: all that the next attempt
//! needs to go on from there. How it goes on is in `resume` and `splice`.

use std::sync::Arc;

use router_core::capability::Capabilities;
use router_core::chat::{Shown, Usage};

use super::{Request, Target, gate};
use crate::dialect::ReplyMeta;
use crate::json::prefix::Prefix;

/// A streamed answer that broke off. Cloned cheaply enough for once per rescue: it holds the text shown.
#[derive(Clone, Debug)]
pub struct Cut {
    pub(super) request: Arc<Request>,
    /// What the client has seen, of all attempts so far.
    pub(super) shown: Shown,
    /// The id, model and time its chunks carried: those that follow carry the same.
    pub(super) meta: ReplyMeta,
    /// Tokens of the attempts so far, as they were booked.
    pub(super) usage: Usage,
}

/// Why a streamed answer that broke off cannot be gone on from: for the error its client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRescue {
    /// The client has seen nothing of it: it can be asked for anew.
    #[error("nothing of the answer was shown")]
    NothingShown,
    /// It has said why it ended.
    #[error("the answer had ended")]
    Ended,
    /// Several answers were asked for.
    #[error("several answers were asked for")]
    SeveralAnswers,
    /// Log-probabilities cannot come from two models.
    #[error("log-probabilities were asked for")]
    Logprobs,
    /// Sound or functions of the retired form: what comes of them cannot be joined.
    #[error("the request asks for a form of answer that cannot be joined")]
    Form,
    /// A part of a tool call cannot be taken back.
    #[error("a part of a tool call was shown")]
    ToolCall,
    /// A refusal cannot be gone on from.
    #[error("a refusal was shown")]
    Refusal,
    /// Images or sound cannot be gone on from.
    #[error("media was shown")]
    Media,
    /// More was shown than is kept.
    #[error("more text was shown than is kept to go on from")]
    TooLong,
    /// Structured output whose beginning is no beginning of JSON.
    #[error("what was shown is not the beginning of a JSON value")]
    NotJson,
}

impl Cut {
    /// What is left behind, if it can be gone on from.
    pub(super) fn new(request: &Arc<Request>, shown: &Shown, meta: ReplyMeta) -> Result<Self, NoRescue> {
        let envelope = request.envelope();
        let form = envelope.needs.contains(Capabilities::AUDIO_OUT)
            || envelope.unmapped.iter().any(|member| member == "/functions");
        let obstacles = [
            (shown.is_empty(), NoRescue::NothingShown),
            (envelope.n > 1, NoRescue::SeveralAnswers),
            (envelope.needs.contains(Capabilities::LOGPROBS), NoRescue::Logprobs),
            (form, NoRescue::Form),
            (shown.tool, NoRescue::ToolCall),
            (shown.refusal, NoRescue::Refusal),
            (shown.media, NoRescue::Media),
            (shown.is_capped(), NoRescue::TooLong),
        ];
        let json = Capabilities::JSON_OBJECT | Capabilities::JSON_SCHEMA;
        let is_json = || Prefix::new().push(shown.text()).is_ok();
        match obstacles.into_iter().find(|(stands, _)| *stands) {
            Some((_, why)) => Err(why),
            None if envelope.needs.intersects(json) && !is_json() => Err(NoRescue::NotJson),
            None => Ok(Self {
                request: Arc::clone(request),
                shown: shown.clone(),
                meta: ReplyMeta { include_usage: envelope.include_usage, ..meta },
                usage: Usage::default(),
            }),
        }
    }

    /// Adds what an attempt used, as it was booked: the end that the client gets states the sum.
    pub fn add_usage(&mut self, usage: &Usage) {
        self.usage.add(usage);
    }

    /// What the client has seen.
    pub fn shown(&self) -> &Shown {
        &self.shown
    }
}

/// Whether an answer that broke off can be gone on from at this deployment: whether its request can be written in the
/// deployment's dialect. A deployment that lacks a capability the request needs was refused before.
pub fn can_go_on(cut: &Cut, target: &Target) -> bool {
    gate(&cut.request, target.dialect).is_ok()
}
