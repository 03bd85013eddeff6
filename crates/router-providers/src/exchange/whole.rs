//! A JSON answer: read whole and bounded, judged, and given to the client with its cost.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use hyper::header::{CONTENT_LENGTH, HeaderMap};
use router_core::attempt::FailureKind;
use router_core::chat::{Answer, DialectId, FinishReason, Span, Usage};
use router_core::money::Usd;
use router_core::price::ServiceTier;
use tokio::time::{Instant, timeout_at};

use super::{Call, Fault, ReplyHeaders, empty, is_empty};
use crate::dialect::openai_chat::response::{read_whole, with_cost};
use crate::dialect::{ReplyMeta, client};
use crate::transport::{ByteStream, Pieces};

/// Longest JSON answer taken: far above any text, enough for several images. The most memory that one answer can cost, but
/// for what growing takes; one that says that it is longer costs none.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// A whole answer for the client, but for its cost.
#[derive(Debug)]
pub struct JsonReply {
    text: Text,
    /// Tokens, when reported.
    pub usage: Option<Usage>,
    /// Why it ended.
    pub finish: Option<FinishReason>,
    /// The provider's own cost, when it gave one.
    pub provider_cost: Option<Usd>,
    /// The processing tier the provider used.
    pub service_tier: ServiceTier,
    /// What the headers said.
    pub headers: ReplyHeaders,
}

/// What an answer is written from.
#[derive(Debug)]
enum Text {
    /// The provider's own bytes, and where its usage is.
    Passed(Bytes, Option<Span>),
    /// What it said in another dialect, which took so many bytes.
    Translated(Box<Translated>, usize),
}

#[derive(Debug)]
struct Translated {
    answer: Answer,
    meta: ReplyMeta,
    dialect: DialectId,
}

impl JsonReply {
    /// Its length as the provider sent it.
    pub fn size_bytes(&self) -> u64 {
        match &self.text {
            Text::Passed(body, _) => body.len() as u64,
            Text::Translated(_, length) => *length as u64,
        }
    }

    /// The client's bytes, in pieces, with this cost in its usage if it has one: that of all attempts of the request,
    /// which is known only when the last of them has ended.
    pub fn into_body(self, cost: Option<Usd>) -> Pieces {
        match self.text {
            Text::Passed(body, usage) => with_cost(&body, usage.as_ref(), cost),
            Text::Translated(said, _) => {
                let Translated { answer, meta, dialect } = &*said;
                // It is there: its absence was the answer's fault before.
                let body = client(*dialect).map(|client| client.answer(answer, meta, cost));
                Pieces::from_iter([Bytes::from(body.unwrap_or_default())])
            }
        }
    }
}

/// Refuses an answer that says that it is too long, before any of it is read.
pub(super) fn check_length(headers: &HeaderMap) -> Result<(), Fault> {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match length.is_some_and(|length| length > MAX_ANSWER_BYTES as u64) {
        true => Err(too_long()),
        false => Ok(()),
    }
}

fn too_long() -> Fault {
    Fault::new(FailureKind::BadReply, format!("the answer is longer than {MAX_ANSWER_BYTES} bytes"))
}

/// Reads a body to its end.
pub(super) async fn read(mut body: ByteStream, deadline: Instant) -> Result<Bytes, Fault> {
    let mut first: Option<Bytes> = None;
    let mut all = BytesMut::new();
    loop {
        let next = timeout_at(deadline, body.next()).await.map_err(|_| super::late(false))?;
        let Some(chunk) = next.transpose()? else { break };
        if first.as_ref().map_or(all.len(), Bytes::len) + chunk.len() > MAX_ANSWER_BYTES {
            return Err(too_long());
        }
        // Most answers come in one chunk, which needs no copy.
        match first.take() {
            None if all.is_empty() => first = Some(chunk),
            held => {
                all.extend_from_slice(&held.unwrap_or_default());
                all.extend_from_slice(&chunk);
            }
        }
    }
    Ok(first.unwrap_or_else(|| all.freeze()))
}

/// Judges an answer and makes the client's from it.
pub(super) fn reply(call: &Call, body: &Bytes, headers: ReplyHeaders) -> Result<JsonReply, Fault> {
    let envelope = call.request.envelope();
    if body.trim_ascii().is_empty() {
        return Err(empty());
    }
    let of_reply = |fault| Fault::of_reply(fault, 200, &call.target);
    if call.target.dialect == envelope.dialect {
        let whole = read_whole(body).map_err(of_reply)?;
        if is_empty(envelope, whole.visible, whole.usage.as_ref(), whole.finish) {
            return Err(empty());
        }
        let service_tier = whole.service_tier.as_deref().map(ServiceTier::named).unwrap_or_default();
        return Ok(JsonReply {
            text: Text::Passed(body.clone(), whole.usage_span),
            usage: whole.usage,
            finish: whole.finish,
            provider_cost: whole.provider_cost,
            service_tier,
            headers,
        });
    }
    let answer = call.target.upstream.answer(body).map_err(of_reply)?;
    let visible = !answer.parts.is_empty() || answer.reasoning.is_some();
    if is_empty(envelope, visible, answer.usage.as_ref(), answer.finish) {
        return Err(empty());
    }
    if client(envelope.dialect).is_none() {
        return Err(Fault::new(FailureKind::BadReply, "the client's dialect cannot be written"));
    }
    let (usage, finish) = (answer.usage, answer.finish);
    let said = Translated { answer, meta: call.meta.clone(), dialect: envelope.dialect };
    Ok(JsonReply {
        text: Text::Translated(Box::new(said), body.len()),
        usage,
        finish,
        provider_cost: None,
        service_tier: ServiceTier::default(),
        headers,
    })
}
