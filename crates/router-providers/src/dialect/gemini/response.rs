//! Reads Gemini's answers. A whole reply is a stream of one chunk, so one decoder reads both.

use router_core::attempt::FailureKind;
use router_core::chat::{Answer, Delta, FinishReason, Usage};

use super::error;
use super::wire::{Candidate, Chunk, FunctionCall, Part};
use crate::dialect::common::{Text, bad_reply, clean, fault, fingerprint, gather, parse, unreadable};
use crate::dialect::{Decoder, ReplyFault};

/// Most characters of a response id that go into a call's id: OpenAI refuses ids above 40.
const RESPONSE_ID_CHARS_MAX: usize = 24;

/// Reads a whole reply.
pub(super) fn read(body: &[u8]) -> Result<Answer, ReplyFault> {
    let (mut decoder, mut deltas) = (ChunkDecoder::default(), Vec::new());
    decoder.chunk(parse(body)?, &mut deltas)?;
    let answer = gather(deltas);
    match answer.finish {
        Some(_) => Ok(answer),
        None if !decoder.known => Err(bad_reply("the reply is not of generateContent")),
        None if answer.parts.is_empty() => Err(fault(FailureKind::Empty, "a reply without an answer in it")),
        None => Err(bad_reply("a reply without finishReason")),
    }
}

/// A stream being read.
#[derive(Default)]
pub(super) struct ChunkDecoder {
    started: bool,
    /// Some member of the dialect was there.
    known: bool,
    visible: bool,
    calls: u32,
    response_id: Option<String>,
    usage: Option<Usage>,
    finish: Option<FinishReason>,
    /// The usage came with the end or after it: the last that is to come.
    counted: bool,
}

impl Decoder for ChunkDecoder {
    fn event(&mut self, _name: Option<&str>, data: &[u8], out: &mut Vec<Delta>) -> Result<(), ReplyFault> {
        let chunk = serde_json::from_slice(data).map_err(|problem| unreadable(&problem))?;
        self.chunk(chunk, out)
    }

    fn is_done(&self) -> bool {
        self.counted
    }

    fn end(&mut self, _out: &mut Vec<Delta>) -> Result<(), ReplyFault> {
        match self.finish {
            Some(_) => Ok(()),
            None => Err(fault(FailureKind::Truncated, "the stream ended without finishReason")),
        }
    }
}

impl ChunkDecoder {
    fn chunk(&mut self, chunk: Chunk<'_>, out: &mut Vec<Delta>) -> Result<(), ReplyFault> {
        if let Some(problem) = &chunk.error {
            return Err(error::meaning(problem, 500));
        }
        self.known |= chunk.is_known();
        self.start(chunk.response_id, chunk.model_version, out);
        let candidates = chunk.candidates.unwrap_or_default();
        // One answer was asked for.
        let answer = candidates.into_iter().find(|candidate| candidate.index == 0);
        let (parts, reason) = match answer {
            Some(Candidate { content, finish_reason, finish_message, .. }) => (
                content.and_then(|content| content.parts),
                finish_reason.map(|reason| (reason, finish_message)),
            ),
            None => (None, None),
        };
        for part in parts.unwrap_or_default() {
            self.part(part, out)?;
        }
        let counted = chunk.usage_metadata.is_some();
        if let Some(usage) =
            chunk.usage_metadata.map(|tokens| tokens.usage()).filter(|now| self.usage != Some(*now))
        {
            self.usage = Some(usage);
            out.push(Delta::Usage(usage));
        }
        if let Some(feedback) = chunk.prompt_feedback
            && let Some(reason) = Text::of(feedback.block_reason.as_ref()).filter(|reason| is_given(reason))
        {
            let said = Text::of(feedback.block_reason_message.as_ref());
            return Err(filtered(reason, said.unwrap_or("the provider blocked the prompt")));
        }
        if let Some((reason, said)) = reason {
            self.end_by(&reason.0, Text::of(said.as_ref()), out)?;
        }
        self.counted |= counted && self.finish.is_some();
        Ok(())
    }

    fn start(&mut self, id: Option<String>, model: Option<String>, out: &mut Vec<Delta>) {
        if !std::mem::replace(&mut self.started, true) {
            self.response_id.clone_from(&id);
            out.push(Delta::Start { id, model });
        }
    }

    fn part(&mut self, part: Part<'_>, out: &mut Vec<Delta>) -> Result<(), ReplyFault> {
        let text = part.text.filter(|text| !text.is_empty());
        if text.is_none() && part.function_call.is_none() {
            return Ok(());
        }
        if self.finish.is_some() {
            return Err(bad_reply("content after finishReason"));
        }
        self.visible = true;
        if let Some(call) = part.function_call {
            return self.call(call, out);
        }
        let step = if part.thought == Some(true) { Delta::Reasoning } else { Delta::Text };
        out.extend(text.map(step));
        Ok(())
    }

    fn call(&mut self, call: FunctionCall<'_>, out: &mut Vec<Delta>) -> Result<(), ReplyFault> {
        let name = call
            .name
            .filter(|name| !name.is_empty())
            .ok_or_else(|| bad_reply("a functionCall without name"))?;
        let json = call.args.map_or("{}", |raw| raw.get());
        let json = if json == "null" { "{}" } else { json };
        if !json.starts_with('{') {
            return Err(bad_reply("a functionCall whose args are not an object"));
        }
        let index = self.calls;
        self.calls = index.saturating_add(1);
        let id = call.id.filter(|id| !id.is_empty());
        let id = id.unwrap_or_else(|| made_up_id(self.response_id.as_deref(), index, [&name, json]));
        out.push(Delta::ToolStart { index, id, name });
        out.push(Delta::ToolArguments { index, json: json.to_owned() });
        Ok(())
    }

    fn end_by(&mut self, reason: &str, said: Option<&str>, out: &mut Vec<Delta>) -> Result<(), ReplyFault> {
        if !is_given(reason) {
            return Ok(());
        }
        let finish = match reason {
            "STOP" if self.calls > 0 => FinishReason::ToolCalls,
            "STOP" => FinishReason::Stop,
            "MAX_TOKENS" | "CONTINUATION" => FinishReason::Length,
            "SAFETY"
            | "RECITATION"
            | "LANGUAGE"
            | "BLOCKLIST"
            | "PROHIBITED_CONTENT"
            | "SPII"
            | "IMAGE_SAFETY"
            | "IMAGE_PROHIBITED_CONTENT"
            | "IMAGE_RECITATION"
            | "ESCALATION"
            | "PUP_LIMITED_DISABLED"
            | "MODEL_ARMOR" => {
                if !self.visible {
                    return Err(filtered(reason, said.unwrap_or("the provider's filter stopped the answer")));
                }
                FinishReason::ContentFilter
            }
            // MALFORMED_FUNCTION_CALL, UNEXPECTED_TOOL_CALL, OTHER and whatever comes next: not a whole answer.
            _ => {
                let said = said.map_or_else(String::new, |said| format!(": {said}"));
                let broken = bad_reply(format!("the model's answer broke off, {reason}{said}"));
                return Err(ReplyFault { code: Some(clean(reason)), ..broken });
            }
        };
        if self.finish.is_none() {
            self.finish = Some(finish);
            out.push(Delta::Finish(finish));
        }
        Ok(())
    }
}

/// Enumerations say "nothing" by their first value.
fn is_given(reason: &str) -> bool {
    !reason.is_empty() && !reason.ends_with("_UNSPECIFIED")
}

fn filtered(reason: &str, message: &str) -> ReplyFault {
    ReplyFault { code: Some(clean(reason)), ..fault(FailureKind::Filtered, clean(message)) }
}

/// An id for a call that came without one: the same whenever the same reply is read, another one for each call and reply,
/// and of a form that every dialect takes.
fn made_up_id(response_id: Option<&str>, index: u32, call: [&str; 2]) -> String {
    let fits = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let reply: String =
        response_id.unwrap_or_default().chars().filter(fits).take(RESPONSE_ID_CHARS_MAX).collect();
    if reply.is_empty() {
        return format!("call_{:016x}_{index}", fingerprint(&call));
    }
    format!("call_{reply}_{index}")
}
