//! Streams and errors written for clients that speak chat completions.

use router_core::chat::{Delta, Usage};
use router_core::money::Usd;

use super::response::{head, usage_object};
use super::stream::DONE;
use super::wire::finish_name;
use crate::dialect::{ClientError, Encoder, ReplyMeta, Rescued};
use crate::json::quoted;

/// Writes chunks. What never changes in them is made once.
pub(super) struct ChatEncoder {
    /// `data: {...,`
    head: Vec<u8>,
    /// The end of a chunk that does not finish.
    open: &'static [u8],
    include_usage: bool,
    started: bool,
}

impl ChatEncoder {
    pub(super) fn new(meta: &ReplyMeta) -> Self {
        let mut line = b"data: ".to_vec();
        line.extend_from_slice(&head(meta, "chat.completion.chunk"));
        // With a usage chunk asked for, every other chunk says `"usage": null`, as OpenAI's do.
        let open: &[u8] = if meta.include_usage {
            br#","logprobs":null,"finish_reason":null}],"usage":null}"#
        } else {
            br#","logprobs":null,"finish_reason":null}]}"#
        };
        Self { head: line, open, include_usage: meta.include_usage, started: false }
    }

    /// For the rest of an answer: its first chunk, which names the role, was seen.
    pub(super) fn resumed(meta: &ReplyMeta) -> Self {
        Self { started: true, ..Self::new(meta) }
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.started, true) {
            self.chunk(out, |out| {
                out.extend_from_slice(br#"{"role":"assistant","content":"","refusal":null}"#);
            });
        }
    }

    fn chunk(&self, out: &mut Vec<u8>, delta: impl FnOnce(&mut Vec<u8>)) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(br#""choices":[{"index":0,"delta":"#);
        delta(out);
        out.extend_from_slice(self.open);
        out.extend_from_slice(b"\n\n");
    }

    fn text(&self, out: &mut Vec<u8>, member: &str, text: &str) {
        self.chunk(out, |out| {
            out.extend_from_slice(b"{\"");
            out.extend_from_slice(member.as_bytes());
            out.extend_from_slice(b"\":");
            // Writing a string into memory cannot fail.
            let _ = serde_json::to_writer(&mut *out, text);
            out.push(b'}');
        });
    }
}

impl Encoder for ChatEncoder {
    fn delta(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        if !matches!(delta, Delta::Usage(_)) {
            self.start(out);
        }
        match delta {
            Delta::Start { .. } | Delta::Usage(_) => {}
            Delta::Text(text) => self.text(out, "content", text),
            Delta::Reasoning(text) => self.text(out, "reasoning_content", text),
            Delta::Refusal(text) => self.text(out, "refusal", text),
            Delta::ToolStart { index, id, name } => self.chunk(out, |out| {
                let (id, name) = (quoted(id), quoted(name));
                let call = format!(
                    r#"{{"tool_calls":[{{"index":{index},"id":{id},"type":"function","function":{{"name":{name},"arguments":""}}}}]}}"#
                );
                out.extend_from_slice(call.as_bytes());
            }),
            Delta::ToolArguments { index, json } => self.chunk(out, |out| {
                let arguments = quoted(json);
                let call =
                    format!(r#"{{"tool_calls":[{{"index":{index},"function":{{"arguments":{arguments}}}}}]}}"#);
                out.extend_from_slice(call.as_bytes());
            }),
            Delta::Finish(reason) => {
                out.extend_from_slice(&self.head);
                let usage = if self.include_usage { r#","usage":null"# } else { "" };
                let reason = finish_name(*reason);
                let rest = format!(
                    r#""choices":[{{"index":0,"delta":{{}},"logprobs":null,"finish_reason":"{reason}"}}]{usage}}}"#
                );
                out.extend_from_slice(rest.as_bytes());
                out.extend_from_slice(b"\n\n");
            }
        }
    }

    fn end(
        &mut self,
        usage: Option<&Usage>,
        cost: Option<Usd>,
        rescued: Option<Rescued<'_>>,
        out: &mut Vec<u8>,
    ) {
        if let Some(usage) = usage.filter(|_| self.include_usage) {
            out.extend_from_slice(&self.head);
            out.extend_from_slice(br#""choices":[],"usage":"#);
            out.extend_from_slice(&usage_object(usage, cost));
            if let Some(Rescued { times, deployment }) = rescued {
                // A member of ours, beside those that OpenAI's SDKs know: they keep it and pass over it.
                let deployment = quoted(deployment);
                let ours = format!(r#","router":{{"rescued":{times},"deployment":{deployment}}}"#);
                out.extend_from_slice(ours.as_bytes());
            }
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(DONE);
    }
}

/// `error.type` for a status. The SDKs choose their class by the status; the type is for programs that read bodies.
const fn error_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "insufficient_quota",
        403 => "permission_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

/// An error body.
pub(super) fn error_body(error: &ClientError<'_>) -> Vec<u8> {
    let body = serde_json::json!({
        "error": {
            "message": error.message,
            "type": error_type(error.status),
            "param": error.param,
            "code": error.code,
        }
    });
    body.to_string().into_bytes()
}

/// An error as the last event of a stream. OpenAI's Python SDK raises `APIError` with its message for an event whose
/// JSON has an `error`; no `[DONE]` follows, so that no client takes the answer for whole.
pub(super) fn error_event(error: &ClientError<'_>) -> Vec<u8> {
    [b"data: ", &*error_body(error), b"\n\n"].concat()
}
