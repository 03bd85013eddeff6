//! What Anthropic's errors mean, by type, by code, and by text only where neither tells them apart.

use router_core::attempt::FailureKind as K;

use super::wire::{Problem, Reply};
use crate::dialect::ReplyFault;
use crate::dialect::common::{Text, clean, fault, kind_of_status};

/// Error types (Claude API documentation, "Errors").
const TYPES: [(&str, K); 12] = [
    ("invalid_request_error", K::BadRequest),
    ("authentication_error", K::Auth),
    ("permission_error", K::Auth),
    ("billing_error", K::OutOfCredit),
    // The model or path is unknown there: another deployment may answer.
    ("not_found_error", K::Unavailable),
    ("conflict_error", K::Unavailable),
    ("request_too_large", K::TooLong),
    ("rate_limit_error", K::RateLimited),
    ("api_error", K::Unavailable),
    ("timeout_error", K::Timeout),
    ("gateway_timeout_error", K::Timeout),
    ("overloaded_error", K::Overloaded),
];

/// Exact causes, in `details.error_code`; they go before the type.
const CODES: [(&str, K); 9] = [
    ("contract_spend_limit_reached", K::OutOfCredit),
    ("enforced_spend_limit_reached", K::OutOfCredit),
    ("linked_organization_spend_limit_reached", K::OutOfCredit),
    ("linked_organization_billing_unavailable", K::OutOfCredit),
    ("organization_on_hold", K::Auth),
    ("cmek_key_disabled", K::Auth),
    ("cmek_key_network_blocked", K::Unavailable),
    ("cmek_key_unreachable", K::Unavailable),
    ("cmek_context_unavailable", K::Unavailable),
];

/// Causes that share a type with others and have no code: told by their text, in lower case.
const TEXTS: [(&str, K); 8] = [
    ("prompt is too long", K::TooLong),
    ("exceed context limit", K::TooLong),
    ("exceeds the context window", K::TooLong),
    ("credit balance is too low", K::OutOfCredit),
    ("specified api usage limits", K::OutOfCredit),
    ("spend limit", K::OutOfCredit),
    ("blocked by content filtering policy", K::Filtered),
    ("organization has been disabled", K::Auth),
];

/// Types whose text may tell more than the type.
const VAGUE: [&str; 3] = ["invalid_request_error", "rate_limit_error", "permission_error"];

fn look_up(table: &[(&str, K)], name: &str) -> Option<K> {
    table.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
}

/// Reads an error answer.
pub(super) fn read(status: u16, body: &[u8]) -> ReplyFault {
    let problem = serde_json::from_slice::<Reply<'_>>(body).ok().and_then(|reply| reply.error);
    match problem {
        Some(problem) => meaning(&problem, kind_of_status(status)),
        None => fault(kind_of_status(status), format!("status {status} without an error the dialect knows")),
    }
}

/// What an error object means; `otherwise` when its type is unknown.
pub(super) fn meaning(problem: &Problem<'_>, otherwise: K) -> ReplyFault {
    let kind = Text::of(problem.kind.as_ref()).unwrap_or_default();
    let code = problem.details.as_ref().and_then(|details| Text::of(details.error_code.as_ref()));
    let message = Text::of(problem.message.as_ref()).unwrap_or_default();
    let by_text = || {
        let lower = message.to_ascii_lowercase();
        TEXTS.iter().find(|(part, _)| lower.contains(part)).map(|(_, kind)| *kind)
    };
    let known = code
        .and_then(|code| look_up(&CODES, code))
        .or_else(|| VAGUE.contains(&kind).then(by_text).flatten())
        .or_else(|| look_up(&TYPES, kind));
    ReplyFault {
        kind: known.unwrap_or(otherwise),
        message: clean(if message.is_empty() { kind } else { message }),
        code: Some(clean(code.unwrap_or(kind))).filter(|code| !code.is_empty()),
    }
}
