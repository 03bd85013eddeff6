//! The decision log: one JSON object per event, made from (input, decision, records). Never a prompt, never a key's secret.
//!
//! Everything is borrowed and written in one pass; who writes the line, and where, is the server's business.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::explained::{Explained, UsdText};
use super::{CloseRecord, OpenRecord, RequestId, RequestRecord};
use crate::attempt::{FailureKind, Outcome};
use crate::chat::Usage;
use crate::compiled::Compiled;
use crate::money::Usd;
use crate::select::{Decision, DecisionInput, Hashes};
use crate::time::{Rfc3339, Timestamp};

/// One line of the decision log, as published in `schemas/decision-log.schema.json`. Money is a decimal string of USD.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "event")]
pub enum LogEvent<'a> {
    /// What was decided for a request, and why.
    #[serde(rename = "router.decision")]
    Decision(DecisionEvent<'a>),
    /// How one attempt ended.
    #[serde(rename = "router.attempt")]
    Attempt(AttemptEvent<'a>),
    /// How the whole request ended.
    #[serde(rename = "router.request")]
    Request(RequestEvent<'a>),
}

impl<'a> LogEvent<'a> {
    /// The event of a decision. Deployments that are not in the request's set at all (`not_in_set`) are left out of
    /// the verdicts: a line names those considered, however long the catalog is.
    pub fn decision(
        request: RequestId,
        compiled: &'a Compiled,
        input: &'a DecisionInput,
        decision: &'a Decision,
    ) -> Self {
        Self::Decision(DecisionEvent {
            stamp: Stamp::new(input.now, request),
            hashes: &input.hashes,
            explained: Explained::new(compiled, input, decision),
        })
    }

    /// The event of an attempt that has ended.
    pub fn attempt(open: &'a OpenRecord, close: &'a CloseRecord) -> Self {
        let (outcome, failure) = AttemptOutcome::of(close.outcome);
        Self::Attempt(AttemptEvent {
            stamp: Stamp::new(close.at, open.request),
            attempt: open.attempt,
            started_us: open.at,
            deployment: &open.deployment,
            provider: &open.provider,
            model: &open.model,
            key: open.key.as_deref(),
            rule: open.rule.as_deref(),
            outcome,
            failure,
            latency_ms: close.total_ms,
            first_byte_ms: close.first_byte_ms,
            usage: &close.usage,
            cost_usd: close.cost,
            ceiling_usd: open.ceiling,
            provider_cost_usd: close.provider_cost,
            estimated: close.estimated,
            price_version: &open.price_version,
            simulated: open.simulated,
        })
    }

    /// The event of a request that has ended. `price_version`: of the deployment that answered.
    pub fn request(record: &'a RequestRecord, price_version: Option<&'a str>) -> Self {
        Self::Request(RequestEvent {
            stamp: Stamp::new(record.ended, record.request),
            started_us: record.at,
            model: &record.model,
            key: record.key.as_deref(),
            client_request_id: record.client_request_id.as_deref(),
            rule: record.rule.as_deref(),
            deployment: record.deployment.as_deref(),
            outcome: &record.outcome,
            attempts: record.attempts,
            latency_ms: u64::try_from(record.ended.since(record.at).as_millis()).unwrap_or(u64::MAX),
            first_byte_ms: record.first_byte_ms,
            overhead_us: record.overhead_us,
            usage: &record.usage,
            cost_usd: record.cost,
            reference_cost_usd: record.reference_cost,
            price_version,
            simulated: record.simulated,
        })
    }
}

/// What every event begins with.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Stamp {
    /// When it happened.
    pub time: Rfc3339,
    /// The same, in microseconds since the Unix epoch.
    #[schemars(with = "u64")]
    pub at_us: Timestamp,
    /// Our id of the request, as in `x-request-id`.
    #[serde(serialize_with = "hyphenated")]
    #[schemars(with = "Uuid")]
    pub request_id: RequestId,
}

impl Stamp {
    fn new(at: Timestamp, request_id: RequestId) -> Self {
        Self { time: at.rfc3339(), at_us: at, request_id }
    }
}

/// `router.decision`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DecisionEvent<'a> {
    /// When, and which request.
    #[serde(flatten)]
    pub stamp: Stamp,
    /// Which configuration, catalog and model decided.
    pub hashes: &'a Hashes,
    /// The decision.
    #[serde(flatten)]
    pub explained: Explained<'a>,
}

/// `router.attempt`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AttemptEvent<'a> {
    /// When it ended, and which request.
    #[serde(flatten)]
    pub stamp: Stamp,
    /// Which attempt of the request, from 1.
    pub attempt: u32,
    /// When it began, in microseconds since the Unix epoch.
    #[schemars(with = "u64")]
    pub started_us: Timestamp,
    /// Deployment id.
    pub deployment: &'a str,
    /// Provider name.
    pub provider: &'a str,
    /// The model asked for.
    pub model: &'a str,
    /// The client key's name, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<&'a str>,
    /// The rule that matched, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<&'a str>,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// Why it failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureKind>,
    /// Milliseconds from sending to the end.
    pub latency_ms: u32,
    /// Milliseconds from sending to the first byte, if one came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte_ms: Option<u32>,
    /// Tokens.
    pub usage: &'a Usage,
    /// What it cost.
    #[schemars(with = "UsdText")]
    pub cost_usd: Usd,
    /// The most it could have cost.
    #[schemars(with = "UsdText")]
    pub ceiling_usd: Usd,
    /// The provider's own figure, if it reports one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<UsdText>")]
    pub provider_cost_usd: Option<Usd>,
    /// Tokens and cost are our bound or estimate, not reported.
    pub estimated: bool,
    /// The price list the cost was made with.
    pub price_version: &'a str,
    /// The answer is simulated.
    pub simulated: bool,
}

/// How an attempt ended, without the kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// A whole answer.
    Success,
    /// A failure; `failure` says which.
    Failure,
    /// We stopped it.
    Cancelled,
    /// The process died before it could say.
    Lost,
}

impl AttemptOutcome {
    const fn of(outcome: Outcome) -> (Self, Option<FailureKind>) {
        match outcome {
            Outcome::Success => (Self::Success, None),
            Outcome::Failure(kind) => (Self::Failure, Some(kind)),
            Outcome::Cancelled => (Self::Cancelled, None),
            Outcome::Lost => (Self::Lost, None),
        }
    }
}

/// `router.request`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RequestEvent<'a> {
    /// When it ended, and which request.
    #[serde(flatten)]
    pub stamp: Stamp,
    /// When it began, in microseconds since the Unix epoch.
    #[schemars(with = "u64")]
    pub started_us: Timestamp,
    /// The model asked for.
    pub model: &'a str,
    /// The client key's name, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<&'a str>,
    /// The client's own request id, if it sent one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_request_id: Option<&'a str>,
    /// The rule that matched, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<&'a str>,
    /// The deployment that answered, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<&'a str>,
    /// `success`, or the error code the client saw, or `cancelled`.
    pub outcome: &'a str,
    /// Attempts made.
    pub attempts: u32,
    /// Milliseconds from the request's arrival to its end.
    pub latency_ms: u64,
    /// Milliseconds to the first byte for the client, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte_ms: Option<u32>,
    /// Microseconds of our own.
    pub overhead_us: u32,
    /// Tokens over all attempts.
    pub usage: &'a Usage,
    /// Cost of all attempts.
    #[schemars(with = "UsdText")]
    pub cost_usd: Usd,
    /// What the dearest deployment considered would have cost for the same tokens.
    #[schemars(with = "UsdText")]
    pub reference_cost_usd: Usd,
    /// The price list of the deployment that answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_version: Option<&'a str>,
    /// The answer is simulated.
    pub simulated: bool,
}

/// Schema of a request id.
struct Uuid;

impl JsonSchema for Uuid {
    fn schema_name() -> Cow<'static, str> {
        "RequestId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "description": "A UUIDv7, hyphenated.", "type": "string", "format": "uuid" })
    }
}

/// The canonical text of a request id, through a buffer on the stack.
fn hyphenated<S: Serializer>(id: &RequestId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(id.text(&mut [0; 36]))
}

#[cfg(test)]
mod tests;
