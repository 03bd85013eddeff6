//! Which dialects can express a request, before anything is decided or sent.

use router_core::capability::Capabilities;
use router_core::chat::{DialectId, Envelope};

use super::Request;
use crate::dialect::{Inexpressible, WriteFor, upstream};

/// Members of which an envelope says nothing and which some dialect lacks: a request that may hold one is written once to
/// see. Plain conversations hold none, so they pay only for the search.
const RARE: [&[u8]; 7] = [
    b"\"seed\"",
    b"_penalty\"",
    b"\"stop\"",
    b"\"tool_choice\"",
    b"\"parallel_tool_calls\"",
    b"\"strict\"",
    b"\"response_format\"",
];

/// Whether a request can be expressed in a dialect.
///
/// # Errors
/// What cannot.
pub fn gate(request: &Request, dialect: DialectId) -> Result<(), Inexpressible> {
    let envelope = request.envelope();
    if dialect == envelope.dialect {
        return Ok(());
    }
    let Some(upstream) = upstream(dialect) else {
        return Err(Inexpressible { dialect, what: "anything: it is not available".to_owned() });
    };
    upstream.gate(envelope)?;
    if !may_hold_rare(envelope) {
        return Ok(());
    }
    let conversation =
        request.conversation().map_err(|problem| Inexpressible { dialect, what: problem.to_string() })?;
    let to = WriteFor {
        model: "m",
        max_tokens: None,
        max_output_tokens: None,
        capabilities: Capabilities::all(),
        prefill: None,
    };
    upstream.request(conversation, &to).map(drop)
}

fn may_hold_rare(envelope: &Envelope) -> bool {
    RARE.iter().any(|member| memchr::memmem::find(&envelope.body, member).is_some())
}

/// Those of the dialects that cannot express a request: for `DecisionInput::barred_dialects`. Pass the dialects that some
/// deployment speaks.
pub fn barred_dialects(request: &Request, dialects: &[DialectId]) -> Vec<DialectId> {
    dialects.iter().copied().filter(|dialect| gate(request, *dialect).is_err()).collect()
}
