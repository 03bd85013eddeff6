//! What one request holds of the server and of its key, from its head to the end of its answer.

use std::sync::Arc;
use std::time::Duration;

use router_core::admission::{Claimant, Crowded};
use router_core::time::Timestamp;

use super::Key;
use crate::error::ApiError;
use crate::worker::Shared;

/// When to come back to a full server: most answers take seconds, and the SDKs add a jitter of their own.
const FULL_WAIT: Duration = Duration::from_secs(1);

/// A request's place. Whatever ends the request, a client that leaves while it sends its body included, ends it, so it
/// gives back when it is dropped. Money is not kept here.
pub(crate) struct Place {
    shared: Arc<Shared>,
    key: Option<Arc<Key>>,
    claimant: Option<Claimant>,
    /// Of its body, taken from the memory for bodies.
    bytes: u64,
    /// It counts on its key's limits.
    entered: bool,
    booked_tokens: Option<u64>,
    used_tokens: Option<u64>,
}

impl Place {
    /// Takes a place at the server, and memory for what the body is announced to have, before any of it is read.
    ///
    /// # Errors
    /// 503 with when to come back.
    pub(crate) fn take(
        shared: &Arc<Shared>,
        key: Option<&Arc<Key>>,
        body_bytes: u64,
    ) -> Result<Self, ApiError> {
        let claimant = key.map(|key| key.claimant());
        shared.admission(|admission| admission.enter(claimant, body_bytes)).map_err(overloaded)?;
        Ok(Self {
            shared: Arc::clone(shared),
            key: key.map(Arc::clone),
            claimant,
            bytes: body_bytes,
            entered: false,
            booked_tokens: None,
            used_tokens: None,
        })
    }

    /// Counts it on its key's requests.
    ///
    /// # Errors
    /// 429 with when to come back.
    pub(crate) fn count(&mut self, now: Timestamp) -> Result<(), ApiError> {
        if let Some(key) = &self.key {
            key.enter(now)?;
            self.entered = true;
        }
        Ok(())
    }

    /// Counts it on its key's tokens.
    ///
    /// # Errors
    /// 429 with when to come back.
    pub(crate) fn book(&mut self, now: Timestamp, tokens: u64) -> Result<(), ApiError> {
        if let Some(key) = &self.key {
            key.book(now, tokens)?;
            self.booked_tokens = key.spec.limits.tpm.map(|_| tokens);
        }
        Ok(())
    }

    /// Its body has come to so many bytes.
    ///
    /// # Errors
    /// 503 when there is no memory left for it.
    pub(crate) fn hold_body(&mut self, bytes: u64) -> Result<(), ApiError> {
        let more = bytes.saturating_sub(self.bytes);
        if more > 0 {
            let claimant = self.claimant;
            self.shared.admission(|admission| admission.grow(claimant, more)).map_err(overloaded)?;
            self.bytes = bytes;
        }
        Ok(())
    }

    /// What it has used, all attempts together: said once, when it is known.
    pub(crate) fn used(&mut self, tokens: u64) {
        self.used_tokens = Some(tokens);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (claimant, bytes) = (self.claimant, self.bytes);
        self.shared.admission(|admission| admission.leave(claimant, bytes));
        if let Some(key) = self.key.as_ref().filter(|_| self.entered) {
            // One that never came so far as to be told what it used has used nothing.
            key.leave(self.shared.clock.now(), self.booked_tokens, self.used_tokens.unwrap_or(0));
        }
    }
}

fn overloaded(why: Crowded) -> ApiError {
    let text = match why {
        Crowded::Places => "the server is full: server.max_in_flight requests are in flight",
        Crowded::Memory => "the server is full: the bodies of requests fill server.max_body_memory_bytes",
        Crowded::Share => "the server is nearly full, and this key holds its share of it",
        Crowded::Priority => "the server is nearly full, and keys of higher priority are at work",
    };
    ApiError::new("overloaded", text).retry_after(FULL_WAIT)
}
