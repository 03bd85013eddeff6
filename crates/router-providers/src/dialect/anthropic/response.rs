//! Reads Anthropic's whole answers, and what its stop reasons mean.

use router_core::attempt::FailureKind;
use router_core::chat::{Answer, FinishReason, Part};

use super::error;
use super::wire::{Block, Reply, StopDetails};
use crate::dialect::ReplyFault;
use crate::dialect::common::{Text, bad_reply, clean, fault, parse};

/// Reads a `message`.
pub(super) fn read(body: &[u8]) -> Result<Answer, ReplyFault> {
    let reply: Reply<'_> = parse(body)?;
    if let Some(problem) = &reply.error {
        return Err(error::meaning(problem, FailureKind::BadReply));
    }
    if Text::of(reply.kind.as_ref()) != Some("message") {
        return Err(bad_reply("the reply is not a message"));
    }
    let mut answer = Answer { id: reply.id, model: reply.model, ..Answer::default() };
    answer.usage = reply.usage.map(|tokens| tokens.usage());
    for block in reply.content.ok_or_else(|| bad_reply("a message without content"))? {
        add(&mut answer, block)?;
    }
    let reason =
        Text::of(reply.stop_reason.as_ref()).ok_or_else(|| bad_reply("a message without stop_reason"))?;
    let visible = !answer.parts.is_empty() || answer.reasoning.is_some();
    answer.finish = Some(finish(reason, visible, reply.stop_details.as_ref())?);
    Ok(answer)
}

fn add(answer: &mut Answer, block: Block<'_>) -> Result<(), ReplyFault> {
    match block.kind.0.as_ref() {
        "text" => {
            if let Some(text) = block.text.filter(|text| !text.is_empty()) {
                answer.parts.push(Part::Text(text));
            }
        }
        "thinking" => {
            if let Some(thinking) = block.thinking.filter(|text| !text.is_empty()) {
                answer.reasoning.get_or_insert_default().push_str(&thinking);
            }
        }
        "tool_use" => {
            let (Some(id), Some(name)) = (block.id, block.name) else {
                return Err(bad_reply("a tool_use without id or name"));
            };
            let arguments = block.input.map_or("{}", |raw| raw.get()).to_owned();
            answer.parts.push(Part::ToolCall { id, name, arguments });
        }
        // Redacted thinking and blocks of server tools, which we never ask for.
        _ => {}
    }
    Ok(())
}

/// What a stop reason means. A refusal of which nothing is visible is no answer; one that came after text ends it.
pub(super) fn finish(
    reason: &str,
    visible: bool,
    details: Option<&StopDetails<'_>>,
) -> Result<FinishReason, ReplyFault> {
    match reason {
        "end_turn" | "stop_sequence" => Ok(FinishReason::Stop),
        "tool_use" => Ok(FinishReason::ToolCalls),
        // `pause_turn`: the provider stopped in the middle and would go on if asked.
        "max_tokens" | "model_context_window_exceeded" | "pause_turn" => Ok(FinishReason::Length),
        "refusal" if visible => Ok(FinishReason::ContentFilter),
        "refusal" => {
            let said = details.and_then(|details| Text::of(details.explanation.as_ref()));
            let category = details.and_then(|details| Text::of(details.category.as_ref()));
            let message = said.map_or_else(|| "the provider refused the request".to_owned(), clean);
            Err(ReplyFault { code: category.map(clean), ..fault(FailureKind::Filtered, message) })
        }
        other => Err(bad_reply(format!("stop_reason \"{other}\" says nothing this router knows"))),
    }
}
