//! What goes wrong, as the client sees it: the only place that chooses HTTP statuses and codes.

use std::time::Duration;

use hyper::StatusCode;
use router_core::attempt::FailureKind;
use router_core::select::Reason;

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    /// HTTP status.
    pub(crate) status: StatusCode,
    /// Stable code.
    pub(crate) code: &'static str,
    /// For people, lower case, with the value.
    pub(crate) message: String,
    /// JSON pointer, when a member is to blame.
    pub(crate) pointer: Option<String>,
    /// When to come back.
    pub(crate) retry_after: Option<Duration>,
    /// Providers were called: the SDK's own retries would multiply with ours.
    pub(crate) retried: bool,
}

/// Code and status of every error that is ours to name.
const STATUS: [(&str, StatusCode); 23] = [
    ("invalid_request", StatusCode::BAD_REQUEST),
    ("invalid_json", StatusCode::BAD_REQUEST),
    ("capability_missing", StatusCode::BAD_REQUEST),
    ("context_length_exceeded", StatusCode::BAD_REQUEST),
    ("content_filter", StatusCode::BAD_REQUEST),
    ("invalid_api_key", StatusCode::UNAUTHORIZED),
    ("budget_exceeded", StatusCode::PAYMENT_REQUIRED),
    ("model_not_allowed", StatusCode::FORBIDDEN),
    ("request_not_allowed", StatusCode::FORBIDDEN),
    ("model_not_found", StatusCode::NOT_FOUND),
    ("not_found", StatusCode::NOT_FOUND),
    ("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED),
    ("conflict", StatusCode::CONFLICT),
    ("request_timeout", StatusCode::REQUEST_TIMEOUT),
    ("request_too_large", StatusCode::PAYLOAD_TOO_LARGE),
    ("unsupported_media_type", StatusCode::UNSUPPORTED_MEDIA_TYPE),
    ("rate_limit_exceeded", StatusCode::TOO_MANY_REQUESTS),
    ("all_attempts_failed", StatusCode::BAD_GATEWAY),
    ("no_eligible_deployment", StatusCode::SERVICE_UNAVAILABLE),
    ("overloaded", StatusCode::SERVICE_UNAVAILABLE),
    ("ledger_unavailable", StatusCode::SERVICE_UNAVAILABLE),
    ("shutting_down", StatusCode::SERVICE_UNAVAILABLE),
    ("deadline_exceeded", StatusCode::GATEWAY_TIMEOUT),
];

impl ApiError {
    /// An error by its code; the status comes from the table.
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        let status =
            STATUS.iter().find(|(c, _)| *c == code).map_or(StatusCode::INTERNAL_SERVER_ERROR, |(_, s)| *s);
        Self { status, code, message: message.into(), pointer: None, retry_after: None, retried: false }
    }

    /// The same, with the member to blame.
    pub(crate) fn at(mut self, pointer: impl Into<String>) -> Self {
        self.pointer = Some(pointer.into());
        self
    }

    /// The same, with when to come back.
    pub(crate) fn retry_after(mut self, span: Duration) -> Self {
        self.retry_after = Some(span);
        self
    }

    /// The provider's refusal of the request itself, passed on in its own words (cleaned by the adapter), or why it cannot
    /// be written for any of them.
    pub(crate) fn refused_upstream(kind: FailureKind, message: &str) -> Option<Self> {
        let code = match kind {
            FailureKind::BadRequest | FailureKind::Inexpressible => "invalid_request",
            FailureKind::TooLong => "context_length_exceeded",
            FailureKind::Filtered => "content_filter",
            _ => return None,
        };
        Some(Self { retried: true, ..Self::new(code, message) })
    }

    /// No deployment may answer: one reason against all of them has its own code, mixed reasons are a 503.
    pub(crate) fn nobody(reasons: &[(String, Reason, Option<String>)]) -> Self {
        let all =
            |wanted: &[Reason]| !reasons.is_empty() && reasons.iter().all(|(_, r, _)| wanted.contains(r));
        let code = if all(&[Reason::CapabilityMissing, Reason::DialectCannotExpress]) {
            "capability_missing"
        } else if all(&[Reason::ContextTooLong]) {
            "context_length_exceeded"
        } else if all(&[Reason::NotAllowed]) {
            "model_not_allowed"
        } else {
            "no_eligible_deployment"
        };
        let list = reasons.iter().map(|(id, reason, detail)| {
            let name = serde_json::to_value(reason)
                .ok()
                .and_then(|v| v.as_str().map(str::to_owned))
                .unwrap_or_default();
            detail.as_ref().map_or_else(|| format!("{id}: {name}"), |d| format!("{id}: {name} ({d})"))
        });
        let list: Vec<_> = list.take(MAX_LISTED).collect();
        let more = reasons.len().saturating_sub(list.len());
        let tail = if more > 0 { format!("; and {more} more") } else { String::new() };
        Self::new(code, format!("no deployment may answer this request: {}{tail}", list.join("; ")))
    }
}

/// Deployments named in one error message.
const MAX_LISTED: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reason_against_all_has_its_own_code_and_mixed_ones_are_503() {
        let check = |reasons: &[Reason], code: &str, status: u16| {
            let list: Vec<_> = reasons.iter().map(|r| ("a/b".to_owned(), *r, None)).collect();
            let error = ApiError::nobody(&list);
            assert_eq!((error.code, error.status.as_u16()), (code, status), "{reasons:?}");
        };
        check(&[Reason::CapabilityMissing, Reason::DialectCannotExpress], "capability_missing", 400);
        check(&[Reason::ContextTooLong; 2], "context_length_exceeded", 400);
        check(&[Reason::ContextTooLong, Reason::CapabilityMissing], "no_eligible_deployment", 503);
        check(&[Reason::NotAllowed], "model_not_allowed", 403);
        check(&[Reason::RegionNotAllowed], "no_eligible_deployment", 503);
        check(&[], "no_eligible_deployment", 503);
    }

    #[test]
    fn every_code_is_listed_once() {
        let mut codes: Vec<_> = STATUS.iter().map(|(c, _)| *c).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), STATUS.len());
    }
}
