//! Chat completions in both directions: requests passed through and translated, answers and streams read and written.

mod passing;
mod walk;
mod writing;

use bytes::Bytes;
use router_core::chat::Envelope;

use super::*;

pub(super) fn scanned(body: &str) -> Envelope {
    OpenaiChat.scan(Bytes::copy_from_slice(body.as_bytes()), ScanLimits { max_depth: 64 }).expect(body)
}

pub(super) fn meta(include_usage: bool) -> ReplyMeta {
    ReplyMeta { id: "chatcmpl-1".into(), model: "m\"1".into(), created: 7, include_usage }
}
