//! Reads Anthropic's streams: typed events around content blocks that open, grow and close one after the other.

use router_core::attempt::FailureKind;
use router_core::chat::{Delta, FinishReason};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::wire::{Block, Change, Event, Opening, Tokens};
use super::{error, response};
use crate::dialect::common::{Text, bad_reply, fault, unreadable};
use crate::dialect::{Decoder, ReplyFault};

/// Event types that carry the answer; all others are ignored, whatever is in them.
const TYPES: [&str; 7] = [
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "error",
];

/// The block that is open.
struct Open {
    index: u32,
    content: Content,
}

enum Content {
    Text,
    Thinking,
    /// `whole`: arguments given when the block opened, for servers that send no deltas.
    Tool {
        call: u32,
        grown: bool,
        whole: Option<String>,
    },
    /// Redacted thinking and kinds we do not know.
    Ignored,
}

/// A stream being read.
#[derive(Default)]
pub(super) struct MessageDecoder {
    started: bool,
    done: bool,
    visible: bool,
    calls: u32,
    open: Option<Open>,
    tokens: Option<Tokens>,
    finish: Option<FinishReason>,
}

impl Decoder for MessageDecoder {
    fn event(&mut self, name: Option<&str>, data: &[u8], out: &mut Vec<Delta>) -> Result<(), ReplyFault> {
        if self.done {
            return Ok(());
        }
        let event = match serde_json::from_slice::<Event<'_>>(data) {
            Ok(event) => event,
            Err(problem) => return ignored(name, data, &problem),
        };
        let kind =
            Text::of(event.kind.as_ref()).or(name).ok_or_else(|| bad_reply("an event without a type"))?;
        if !self.started
            && matches!(
                kind,
                "content_block_start" | "content_block_delta" | "message_delta" | "message_stop"
            )
        {
            return Err(bad_reply(format!("{kind} before message_start")));
        }
        match kind {
            "message_start" => self.start(event.message, out),
            "content_block_start" => self.open(event.index, event.content_block, out),
            "content_block_delta" => self.grow(event.index, event.delta, out),
            "content_block_stop" => self.close(event.index, out),
            "message_delta" => self.message(event.delta, event.usage, out),
            "message_stop" => self.stop(out),
            "error" => Err(match &event.error {
                Some(problem) => error::meaning(problem, FailureKind::Unavailable),
                None => fault(FailureKind::Unavailable, "the provider broke the stream off"),
            }),
            _ => Ok(()),
        }
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn end(&mut self, _out: &mut Vec<Delta>) -> Result<(), ReplyFault> {
        match self.done {
            true => Ok(()),
            false => Err(fault(FailureKind::Truncated, "the stream ended without message_stop")),
        }
    }
}

/// An event that does not parse is ignored when its type is not one that carries the answer.
fn ignored(name: Option<&str>, data: &[u8], problem: &serde_json::Error) -> Result<(), ReplyFault> {
    #[derive(Deserialize)]
    struct Peek<'a> {
        #[serde(borrow, rename = "type")]
        kind: Option<Text<'a>>,
    }
    let peek = serde_json::from_slice::<Peek<'_>>(data).map_err(|problem| unreadable(&problem))?;
    match Text::of(peek.kind.as_ref()).or(name) {
        Some(kind) if !TYPES.contains(&kind) => Ok(()),
        _ => Err(unreadable(problem)),
    }
}

impl MessageDecoder {
    fn start(&mut self, message: Option<Opening>, out: &mut Vec<Delta>) -> Result<(), ReplyFault> {
        let message = message.ok_or_else(|| bad_reply("message_start without message"))?;
        if std::mem::replace(&mut self.started, true) {
            return Err(bad_reply("a second message_start"));
        }
        out.push(Delta::Start { id: message.id, model: message.model });
        self.count(message.usage, out);
        Ok(())
    }

    fn open(
        &mut self,
        index: Option<u32>,
        block: Option<Block<'_>>,
        out: &mut Vec<Delta>,
    ) -> Result<(), ReplyFault> {
        let (Some(index), Some(block)) = (index, block) else {
            return Err(bad_reply("content_block_start without index or content_block"));
        };
        if self.open.is_some() {
            return Err(bad_reply("a content block inside another"));
        }
        let content = match block.kind.0.as_ref() {
            "text" => {
                self.show(block.text.map(Delta::Text), out);
                Content::Text
            }
            "thinking" => {
                self.show(block.thinking.map(Delta::Reasoning), out);
                Content::Thinking
            }
            "tool_use" => self.open_tool(block, out)?,
            _ => Content::Ignored,
        };
        self.open = Some(Open { index, content });
        Ok(())
    }

    fn open_tool(&mut self, block: Block<'_>, out: &mut Vec<Delta>) -> Result<Content, ReplyFault> {
        let (Some(id), Some(name)) = (block.id, block.name) else {
            return Err(bad_reply("a tool_use without id or name"));
        };
        let call = self.calls;
        self.calls = call.saturating_add(1);
        self.visible = true;
        out.push(Delta::ToolStart { index: call, id, name });
        let whole = block.input.map(RawValue::get).filter(|text| !is_empty_object(text)).map(str::to_owned);
        Ok(Content::Tool { call, grown: false, whole })
    }

    fn grow(
        &mut self,
        index: Option<u32>,
        delta: Option<Change<'_>>,
        out: &mut Vec<Delta>,
    ) -> Result<(), ReplyFault> {
        let delta = delta.ok_or_else(|| bad_reply("content_block_delta without delta"))?;
        let open = self.open.as_mut().filter(|open| Some(open.index) == index);
        let open = open.ok_or_else(|| bad_reply("a delta for a content block that is not open"))?;
        let more = match (Text::of(delta.kind.as_ref()).unwrap_or_default(), &mut open.content) {
            ("text_delta", Content::Text) => delta.text.map(Delta::Text),
            ("thinking_delta", Content::Thinking) => delta.thinking.map(Delta::Reasoning),
            ("input_json_delta", Content::Tool { call, grown, .. }) => {
                let json = delta.partial_json.filter(|json| !json.is_empty());
                *grown |= json.is_some();
                json.map(|json| Delta::ToolArguments { index: *call, json })
            }
            ("text_delta" | "thinking_delta" | "input_json_delta", Content::Ignored) => None,
            (kind @ ("text_delta" | "thinking_delta" | "input_json_delta"), _) => {
                return Err(bad_reply(format!("{kind} in a content block of another type")));
            }
            // Signatures and citations.
            _ => None,
        };
        self.show(more, out);
        Ok(())
    }

    fn close(&mut self, index: Option<u32>, out: &mut Vec<Delta>) -> Result<(), ReplyFault> {
        if self.open.as_ref().is_some_and(|open| index.is_some_and(|index| index != open.index)) {
            return Err(bad_reply("the end of a content block that is not open"));
        }
        self.close_open(out);
        Ok(())
    }

    /// A call whose arguments never came has none: the client must see an object all the same.
    fn close_open(&mut self, out: &mut Vec<Delta>) {
        if let Some(Open { content: Content::Tool { call, grown: false, whole }, .. }) = self.open.take() {
            let json = whole.unwrap_or_else(|| "{}".to_owned());
            out.push(Delta::ToolArguments { index: call, json });
        }
    }

    fn message(
        &mut self,
        delta: Option<Change<'_>>,
        usage: Option<Tokens>,
        out: &mut Vec<Delta>,
    ) -> Result<(), ReplyFault> {
        self.count(usage, out);
        let Some(delta) = delta else { return Ok(()) };
        if let Some(reason) = Text::of(delta.stop_reason.as_ref()) {
            self.finish = Some(response::finish(reason, self.visible, delta.stop_details.as_ref())?);
        }
        Ok(())
    }

    fn stop(&mut self, out: &mut Vec<Delta>) -> Result<(), ReplyFault> {
        let finish = self.finish.ok_or_else(|| bad_reply("message_stop without a stop_reason"))?;
        self.close_open(out);
        self.done = true;
        out.push(Delta::Finish(finish));
        Ok(())
    }

    fn count(&mut self, later: Option<Tokens>, out: &mut Vec<Delta>) {
        let Some(later) = later else { return };
        let tokens = self.tokens.get_or_insert_default();
        tokens.update(&later);
        out.push(Delta::Usage(tokens.usage()));
    }

    fn show(&mut self, delta: Option<Delta>, out: &mut Vec<Delta>) {
        let empty =
            |delta: &Delta| matches!(delta, Delta::Text(text) | Delta::Reasoning(text) if text.is_empty());
        if let Some(delta) = delta.filter(|delta| !empty(delta)) {
            self.visible = true;
            out.push(delta);
        }
    }
}

fn is_empty_object(json: &str) -> bool {
    json.strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .is_none_or(|inside| inside.trim().is_empty())
}
