//! Client keys in the form that serves: found by the hash of their secret, each with its own request rate. How a request
//! carries its key is not here.

use std::sync::{Arc, Mutex, PoisonError};

use router_core::compiled::{ClientKey, Limits};
use router_core::failover::Place;
use router_core::limit::Limiter;
use router_core::time::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::error::ApiError;

/// One client key; its rate is carried over a reload.
#[derive(Debug)]
pub(crate) struct Key {
    /// What it is and may.
    pub(crate) spec: Arc<ClientKey>,
    rate: Arc<Mutex<Limiter>>,
}

impl Key {
    fn new(spec: &Arc<ClientKey>, old: Option<&Arc<Self>>) -> Self {
        let rate = match old {
            Some(old) => {
                old.limiter().reconfigure(requests(spec));
                Arc::clone(&old.rate)
            }
            None => Arc::new(Mutex::new(Limiter::new(requests(spec)))),
        };
        Self { spec: Arc::clone(spec), rate }
    }

    /// Takes one request.
    ///
    /// # Errors
    /// 429 with when to come back.
    pub(crate) fn admit(&self, now: Timestamp) -> Result<(), ApiError> {
        let mut limiter = self.limiter();
        match limiter.enter(now, 0, Place::Now) {
            Ok(()) => {
                limiter.leave(now, 0, 0);
                Ok(())
            }
            Err(_) => {
                let wait = limiter.free_at(now, 0).since(now);
                Err(ApiError::new("rate_limit_exceeded", "this key's requests per minute are spent")
                    .retry_after(wait))
            }
        }
    }

    /// A lock whose holder panicked is still good: every change under it is a single step of core's.
    fn limiter(&self) -> std::sync::MutexGuard<'_, Limiter> {
        self.rate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn requests(spec: &ClientKey) -> Limits {
    Limits { rpm: spec.limits.rpm, ..Limits::default() }
}

/// Client keys, sorted by hash: found by its first bytes, accepted by comparing all of it in constant time.
#[derive(Debug, Default)]
pub(crate) struct KeyTable {
    by_hash: Vec<([u8; 32], Arc<Key>)>,
}

impl KeyTable {
    /// From the keys of a configuration; the rates of those that were there before are carried over.
    pub(crate) fn new(keys: &[([u8; 32], Arc<ClientKey>)], old: Option<&Self>) -> Self {
        let key = |(hash, spec): &([u8; 32], Arc<ClientKey>)| {
            let before = old.and_then(|old| old.find_hash(hash));
            (*hash, Arc::new(Key::new(spec, before)))
        };
        let mut by_hash: Vec<_> = keys.iter().map(key).collect();
        by_hash.sort_unstable_by_key(|(hash, _)| *hash);
        Self { by_hash }
    }

    /// No keys: whoever is on this machine may ask.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    /// The key with this secret.
    pub(crate) fn find(&self, secret: &str) -> Option<&Arc<Key>> {
        self.find_hash(&Sha256::digest(secret.as_bytes()).into())
    }

    fn find_hash(&self, hash: &[u8; 32]) -> Option<&Arc<Key>> {
        let from = self.by_hash.partition_point(|(known, _)| known[..8] < hash[..8]);
        let same_start = self.by_hash[from..].iter().take_while(|(known, _)| known[..8] == hash[..8]);
        same_start.filter(|(known, _)| known.ct_eq(hash).into()).map(|(_, key)| key).next()
    }
}
