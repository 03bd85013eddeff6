//! The request as an upstream gets it: the client's own bytes where both sides speak the same dialect, else written anew;
//! as it was asked, or for the rest of an answer that broke off.

use bytes::Bytes;
use router_core::attempt::FailureKind;
use router_core::chat::{Conversation, DialectId};

use super::resume::{self, Way};
use super::{Call, Fault};
use crate::dialect::WriteFor;
use crate::dialect::openai_chat::passthrough::{self, Changes, Tail, member};
use crate::transport::{Outbound, Pieces};

/// The request to send.
///
/// # Errors
/// `Inexpressible`, which the gate could not see; nothing was sent.
pub(super) fn outbound(call: &Call) -> Result<Outbound, Fault> {
    let target = &call.target;
    if passes(call) {
        return passed(call);
    }
    let conversation = call.request.conversation().map_err(|problem| inexpressible(problem.to_string()))?;
    match &call.goes_on {
        None => written(call, conversation, Way::Anew),
        Some(cut) => {
            let way = Way::of(cut, target, false);
            written(call, &resume::conversation(cut, conversation, way), way)
        }
    }
}

/// Whether the client's own bytes go upstream.
pub(super) fn passes(call: &Call) -> bool {
    let dialect = call.request.envelope().dialect;
    dialect == DialectId::OpenaiChat && call.target.dialect == dialect
}

fn inexpressible(message: String) -> Fault {
    Fault {
        code: Some("inexpressible".to_owned()),
        sent: false,
        ..Fault::new(FailureKind::Inexpressible, message)
    }
}

/// What is left of the client's own output limit, should some of it be used up.
fn left(call: &Call) -> Option<u64> {
    // A limit of nothing is never written: whoever has nothing left is not asked.
    call.goes_on.as_ref().and_then(|cut| resume::tokens_left(cut)).map(|left| left.max(1))
}

/// The client's own bytes, changed where needed.
fn passed(call: &Call) -> Result<Outbound, Fault> {
    let (envelope, target) = (call.request.envelope(), &call.target);
    let longest = target.max_output_tokens.filter(|_| envelope.max_tokens.is_some());
    let way = call.goes_on.as_ref().map(|cut| (cut, Way::of(cut, target, true)));
    let tail = way.filter(|(_, way)| *way != Way::Anew).map(|(cut, way)| {
        let format = resume::is_structured(cut).then(|| member(&envelope.body, "response_format")).flatten();
        Tail {
            messages: resume::messages(cut, way, format),
            members: way.prefill().map_or(&[], |prefill| prefill.members),
            without_format: format.is_some(),
        }
    });
    let cap = [call.max_tokens, longest, left(call)].into_iter().flatten().min();
    let changes = Changes { model: &target.model, cap, quirks: target.quirks, tail: tail.as_ref() };
    let url = match way.and_then(|(_, way)| way.prefill()).map(|prefill| prefill.path) {
        None | Some("") => target.known_url(envelope.stream),
        Some(before) => {
            let path = format!("{before}{}", target.upstream.path(&target.model, envelope.stream));
            target.url(&path).map_err(|error| inexpressible(error.to_string()))?
        }
    };
    let body = passthrough::body(envelope, &changes);
    Ok(Outbound { url, headers: target.headers(&[]), body, connect: call.limits.connect })
}

/// The request in the upstream's dialect.
fn written(call: &Call, conversation: &Conversation, way: Way) -> Result<Outbound, Fault> {
    let target = &call.target;
    let given = [call.max_tokens, conversation.max_tokens, left(call)].into_iter().flatten().min();
    let prefill = way.prefill();
    let to = WriteFor {
        model: &target.model,
        max_tokens: given.map(|given| target.max_output_tokens.map_or(given, |longest| longest.min(given))),
        max_output_tokens: target.max_output_tokens,
        capabilities: target.capabilities,
        prefill: target.prefill,
    };
    let outgoing =
        target.upstream.request(conversation, &to).map_err(|error| inexpressible(error.to_string()))?;
    let before = prefill.map_or("", |prefill| prefill.path);
    let url = match before {
        "" => target.url(&outgoing.path),
        before => target.url(&format!("{before}{}", outgoing.path)),
    };
    let url = url.map_err(|error| inexpressible(error.to_string()))?;
    let body: Vec<Bytes> = outgoing.body;
    Ok(Outbound {
        url,
        headers: target.headers(&outgoing.headers),
        body: Pieces::from_vec(body),
        connect: call.limits.connect,
    })
}
