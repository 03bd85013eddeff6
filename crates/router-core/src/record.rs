//! What is remembered: ledger records and decision-log events (`log`), as values. Made from (Decision, Outcome), never on the way.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::attempt::Outcome;
use crate::budget::BudgetUse;
use crate::chat::Usage;
use crate::money::Usd;
use crate::time::Timestamp;

pub mod explained;
pub mod log;

/// Our own id of a request: a UUIDv7. The client's own is stored beside it and is never a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub u128);

impl RequestId {
    /// Its canonical form, in a buffer on the stack: it stands in three headers and three log lines of every request.
    pub fn text(self, buffer: &mut [u8; 36]) -> &str {
        *buffer = [b'-'; 36];
        let places = buffer.iter_mut().enumerate().filter(|(at, _)| !matches!(at, 8 | 13 | 18 | 23));
        for (digit, (_, place)) in places.enumerate() {
            let nibble = (self.0 >> (124 - 4 * digit)) & 0xf;
            *place = b"0123456789abcdef"[nibble as usize];
        }
        std::str::from_utf8(buffer).unwrap_or_default()
    }
}

/// The canonical hyphenated form of a UUID.
impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text(&mut [0; 36]))
    }
}

/// The rule of the router's own calls that look whether a deployment is well again. They have no key, the deployment for a
/// model, and no request: nobody asked.
pub const PROBE: &str = "probe";

/// Written before an attempt's first byte goes upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRecord {
    /// The request.
    pub request: RequestId,
    /// Which attempt of it, from 1.
    pub attempt: u32,
    /// When.
    pub at: Timestamp,
    /// Deployment id.
    pub deployment: Arc<str>,
    /// Provider name.
    pub provider: Arc<str>,
    /// The model asked for.
    pub model: Arc<str>,
    /// The client key's name, if any.
    pub key: Option<Arc<str>>,
    /// The key's tags.
    pub tags: Vec<Arc<str>>,
    /// Budgets it counts on; what it costs is taken from each of them.
    pub budgets: Vec<BudgetUse>,
    /// The rule that matched, if any.
    pub rule: Option<Arc<str>>,
    /// The most this attempt can cost; what is booked if no close follows. Zero when unpriced.
    pub ceiling: Usd,
    /// Price version.
    pub price_version: Arc<str>,
    /// The answer is simulated.
    pub simulated: bool,
}

/// Written when an attempt has ended, before the client sees the end of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseRecord {
    /// The request.
    pub request: RequestId,
    /// Which attempt of it.
    pub attempt: u32,
    /// When.
    pub at: Timestamp,
    /// How it ended.
    pub outcome: Outcome,
    /// Tokens, reported or estimated.
    pub usage: Usage,
    /// What it cost.
    pub cost: Usd,
    /// No usage was reported: tokens and cost are our bound or estimate.
    pub estimated: bool,
    /// Milliseconds from sending to the first byte, if one came.
    pub first_byte_ms: Option<u32>,
    /// Milliseconds from sending to the end.
    pub total_ms: u32,
    /// The provider's own figure, if it reports one.
    pub provider_cost: Option<Usd>,
}

/// How a whole request ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// The request.
    pub request: RequestId,
    /// When it began.
    pub at: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// The model asked for.
    pub model: Arc<str>,
    /// The client key's name, if any.
    pub key: Option<Arc<str>>,
    /// The client's own request id, if it sent one.
    pub client_request_id: Option<Arc<str>>,
    /// The rule that matched, if any.
    pub rule: Option<Arc<str>>,
    /// The deployment that answered, if one did.
    pub deployment: Option<Arc<str>>,
    /// `success`, or the error code the client saw, or `cancelled`.
    pub outcome: Arc<str>,
    /// Attempts made.
    pub attempts: u32,
    /// Tokens over all attempts.
    pub usage: Usage,
    /// Cost of all attempts.
    pub cost: Usd,
    /// What the dearest deployment considered would have cost for the same tokens: the base of `saved_usd`.
    pub reference_cost: Usd,
    /// Milliseconds to the first byte for the client, if there was one.
    pub first_byte_ms: Option<u32>,
    /// Microseconds of our own.
    pub overhead_us: u32,
    /// The answer is simulated.
    pub simulated: bool,
}

/// One frame of the spool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LedgerRecord {
    /// An attempt begins.
    Open(OpenRecord),
    /// An attempt ended.
    Close(CloseRecord),
    /// A request ended.
    Request(RequestRecord),
}
