//! Client keys as the ledger keeps them. Secrets never come here: a key is known by the SHA-256 of its secret.

use std::fmt;

use router_core::budget::Period;
use router_core::money::Usd;
use router_core::time::Timestamp;

/// The SHA-256 of a key's secret, and until when it is accepted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyHash {
    /// Of the secret.
    pub sha256: [u8; 32],
    /// Not accepted from then on; `None`: as long as the key lives. Set by a rotation.
    pub until: Option<Timestamp>,
}

/// Without the hash: nobody needs it in a log.
impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyHash").field("until", &self.until).finish_non_exhaustive()
    }
}

/// A key that is not revoked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRow {
    /// Its id: given at its making, never used again.
    pub id: String,
    /// Its name, as in reports; unique among keys that are not revoked.
    pub name: String,
    /// Who owns it.
    pub owner: Option<String>,
    /// Tags bound to it.
    pub tags: Vec<String>,
    /// Models it may ask for and be answered by; empty: all.
    pub models: Vec<String>,
    /// Providers it may be answered by; empty: all.
    pub providers: Vec<String>,
    /// Regions it may be answered from; empty: all.
    pub regions: Vec<String>,
    /// Requests per minute.
    pub rpm: Option<u64>,
    /// Tokens per minute.
    pub tpm: Option<u64>,
    /// Requests in flight.
    pub concurrency: Option<u32>,
    /// Who goes first when the server is full: higher before lower.
    pub priority: i8,
    /// Its own budget: the limit of one period, and the period.
    pub budget: Option<(Usd, Period)>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Not accepted from then on.
    pub expires_at: Option<Timestamp>,
    /// Of its secrets, the newest last.
    pub hashes: Vec<KeyHash>,
}

/// A key to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewKey {
    /// The key; its `hashes` are the ones it begins with, at least one.
    pub key: KeyRow,
}

impl NewKey {
    /// A key with one secret.
    pub fn new(mut key: KeyRow, sha256: [u8; 32]) -> Self {
        key.hashes = vec![KeyHash { sha256, until: None }];
        Self { key }
    }
}

/// What of a key becomes different; `None`: stays as it is. For what may be absent, `Some(None)` takes it away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyChange {
    /// Its name.
    pub name: Option<String>,
    /// Who owns it.
    pub owner: Option<Option<String>>,
    /// Tags bound to it.
    pub tags: Option<Vec<String>>,
    /// Models it may ask for and be answered by.
    pub models: Option<Vec<String>>,
    /// Providers it may be answered by.
    pub providers: Option<Vec<String>>,
    /// Regions it may be answered from.
    pub regions: Option<Vec<String>>,
    /// Requests per minute.
    pub rpm: Option<Option<u64>>,
    /// Tokens per minute.
    pub tpm: Option<Option<u64>>,
    /// Requests in flight.
    pub concurrency: Option<Option<u32>>,
    /// Who goes first when the server is full.
    pub priority: Option<i8>,
    /// Its own budget.
    pub budget: Option<Option<(Usd, Period)>>,
    /// Not accepted from then on.
    pub expires_at: Option<Option<Timestamp>>,
}

impl KeyChange {
    /// The key, changed.
    pub fn of(&self, mut key: KeyRow) -> KeyRow {
        fn set<T: Clone>(place: &mut T, value: Option<&T>) {
            if let Some(value) = value {
                place.clone_from(value);
            }
        }
        set(&mut key.name, self.name.as_ref());
        set(&mut key.owner, self.owner.as_ref());
        set(&mut key.tags, self.tags.as_ref());
        set(&mut key.models, self.models.as_ref());
        set(&mut key.providers, self.providers.as_ref());
        set(&mut key.regions, self.regions.as_ref());
        set(&mut key.rpm, self.rpm.as_ref());
        set(&mut key.tpm, self.tpm.as_ref());
        set(&mut key.concurrency, self.concurrency.as_ref());
        set(&mut key.priority, self.priority.as_ref());
        set(&mut key.budget, self.budget.as_ref());
        set(&mut key.expires_at, self.expires_at.as_ref());
        key
    }
}
