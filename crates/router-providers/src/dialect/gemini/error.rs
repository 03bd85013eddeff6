//! What Gemini's errors mean: by reason and quota first, then by text where they share a status, then by status.

use router_core::attempt::FailureKind as K;

use super::wire::{Chunk, Detail, Problem};
use crate::dialect::ReplyFault;
use crate::dialect::common::{Text, clean, fault, kind_of_status};

/// `google.rpc.Code` names (Gemini API documentation, "Troubleshooting").
const STATUSES: [(&str, K); 12] = [
    ("INVALID_ARGUMENT", K::BadRequest),
    ("OUT_OF_RANGE", K::BadRequest),
    ("UNIMPLEMENTED", K::BadRequest),
    // The free tier is not offered in this country, or billing is off: nothing the request could change.
    ("FAILED_PRECONDITION", K::Auth),
    ("PERMISSION_DENIED", K::Auth),
    ("UNAUTHENTICATED", K::Auth),
    // The model or path is unknown there: another deployment may answer.
    ("NOT_FOUND", K::Unavailable),
    ("RESOURCE_EXHAUSTED", K::RateLimited),
    ("INTERNAL", K::Unavailable),
    ("UNAVAILABLE", K::Overloaded),
    ("DEADLINE_EXCEEDED", K::Timeout),
    ("CANCELLED", K::Unavailable),
];

/// `ErrorInfo.reason`.
const REASONS: [(&str, K); 5] = [
    ("API_KEY_INVALID", K::Auth),
    ("API_KEY_EXPIRED", K::Auth),
    ("CONSUMER_SUSPENDED", K::Auth),
    ("BILLING_DISABLED", K::OutOfCredit),
    ("SERVICE_DISABLED", K::Auth),
];

/// Causes that share a status with others: the status, a part of the text in lower case, the kind.
const TEXTS: [(&str, &str, K); 10] = [
    ("INVALID_ARGUMENT", "exceeds the maximum number of tokens", K::TooLong),
    ("INVALID_ARGUMENT", "request payload size exceeds", K::TooLong),
    ("INVALID_ARGUMENT", "api key not valid", K::Auth),
    ("INVALID_ARGUMENT", "api key expired", K::Auth),
    ("FAILED_PRECONDITION", "billing", K::OutOfCredit),
    ("RESOURCE_EXHAUSTED", "credits are depleted", K::OutOfCredit),
    ("RESOURCE_EXHAUSTED", "spending cap", K::OutOfCredit),
    ("RESOURCE_EXHAUSTED", "per day", K::OutOfCredit),
    // A quota of zero: this model is not in the account's plan.
    ("RESOURCE_EXHAUSTED", "limit: 0,", K::OutOfCredit),
    ("RESOURCE_EXHAUSTED", "limit: 0\n", K::OutOfCredit),
];

/// The error of a body: an object, or an array of one where a stream was asked for without SSE.
fn with_problem<T>(body: &[u8], read: impl FnOnce(&Problem<'_>) -> T) -> Option<T> {
    if body.trim_ascii_start().starts_with(b"[") {
        let chunks = serde_json::from_slice::<Vec<Chunk<'_>>>(body).ok()?;
        return chunks.iter().find_map(|chunk| chunk.error.as_ref()).map(read);
    }
    serde_json::from_slice::<Chunk<'_>>(body).ok()?.error.as_ref().map(read)
}

/// Reads an error answer.
pub(super) fn read(status: u16, body: &[u8]) -> ReplyFault {
    with_problem(body, |problem| meaning(problem, status)).unwrap_or_else(|| {
        fault(kind_of_status(status), format!("status {status} without an error the dialect knows"))
    })
}

/// When the provider says that asking again makes sense, in milliseconds: `RetryInfo.retryDelay`, as in `"17.5s"`. Gemini
/// says it nowhere else.
pub(super) fn retry_after_ms(body: &[u8]) -> Option<u64> {
    let delay = |detail: &Detail<'_>| {
        let text = Text::of(detail.retry_delay.as_ref())?.strip_suffix('s')?.to_owned();
        let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
        let milli = part.bytes().chain(*b"000").take(3).try_fold(0_u64, |sum, digit| {
            digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0'))
        })?;
        whole.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(milli)
    };
    with_problem(body, |problem| problem.details.as_deref()?.iter().find_map(delay)).flatten()
}

/// What an error object means.
pub(super) fn meaning(problem: &Problem<'_>, status: u16) -> ReplyFault {
    let name = Text::of(problem.status.as_ref()).unwrap_or_default();
    let message = Text::of(problem.message.as_ref()).unwrap_or_default();
    let details = problem.details.as_deref().unwrap_or_default();
    let reason = details.iter().find_map(|detail| Text::of(detail.reason.as_ref()));
    let by_reason = REASONS.iter().find(|(known, _)| reason == Some(*known)).map(|(_, kind)| *kind);
    let lower = message.to_ascii_lowercase();
    let by_text = TEXTS.iter().find(|(status, part, _)| *status == name && lower.contains(part));
    let by_status = STATUSES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
    let kind = by_reason
        .or_else(|| spent_for_the_day(details).then_some(K::OutOfCredit))
        .or_else(|| by_text.map(|(_, _, kind)| *kind))
        .or(by_status)
        .unwrap_or_else(|| kind_of_status(problem.code.unwrap_or(status)));
    ReplyFault {
        kind,
        message: clean(if message.is_empty() { name } else { message }),
        code: reason.or(Some(name)).map(clean).filter(|code| !code.is_empty()),
    }
}

/// A quota that comes back tomorrow is no rate limit.
fn spent_for_the_day(details: &[Detail<'_>]) -> bool {
    let violations = details.iter().flat_map(|detail| detail.violations.as_deref().unwrap_or_default());
    let mut ids = violations.filter_map(|violation| Text::of(violation.quota_id.as_ref()));
    ids.any(|id| id.contains("PerDay"))
}
