//! All client keys in force: those of the configuration and those of the ledger, as one table that is replaced whole.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use router_core::compiled::{ClientKey, KeyBudget, Limits};
use router_core::time::Timestamp;
use router_ledger::KeyRow;

use super::{Access, Entry, Gate, Key, KeyTable};

/// Where keys are from that were not read yet.
pub(super) const UNREAD: &str = "unread";

/// The ledger's keys as they were at some version.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LedgerKeys {
    /// Grows with every change; 0: there never was a key.
    pub(crate) version: u64,
    /// Those not revoked.
    pub(crate) rows: Vec<KeyRow>,
}

/// Where the ledger's keys are from.
#[derive(Clone, Debug, Default, PartialEq)]
enum FromLedger {
    /// Not read yet.
    #[default]
    Unread,
    /// Read from the local snapshot, because the ledger is away.
    Snapshot { keys: LedgerKeys, taken_at: Timestamp },
    /// Read from the ledger.
    Ledger(LedgerKeys),
}

#[derive(Debug, Default)]
struct Sources {
    config: Vec<([u8; 32], Arc<ClientKey>)>,
    ledger: FromLedger,
    /// Keys numbered so far.
    numbers: u64,
}

/// All client keys.
#[derive(Debug)]
pub(crate) struct Keyring {
    table: ArcSwap<KeyTable>,
    sources: Mutex<Sources>,
    /// Without keys, anybody on this machine may ask: only while nobody else can.
    loopback: bool,
}

impl Keyring {
    /// With the keys of a configuration; the ledger's are not read yet.
    pub(crate) fn new(config: &[([u8; 32], Arc<ClientKey>)], loopback: bool) -> Self {
        let ring = Self { table: ArcSwap::default(), sources: Mutex::default(), loopback };
        ring.configure(config);
        ring
    }

    /// The table in force.
    pub(crate) fn load(&self) -> arc_swap::Guard<Arc<KeyTable>> {
        self.table.load()
    }

    /// The same, to keep.
    pub(crate) fn load_full(&self) -> Arc<KeyTable> {
        self.table.load_full()
    }

    /// Other keys in the configuration.
    pub(crate) fn configure(&self, config: &[([u8; 32], Arc<ClientKey>)]) {
        self.change(|sources| sources.config = config.to_vec());
    }

    /// The ledger was read.
    pub(crate) fn read(&self, keys: LedgerKeys) {
        self.change(|sources| sources.ledger = FromLedger::Ledger(keys));
    }

    /// The ledger cannot be read: its keys as they were, unless it was read meanwhile. Whether they are used.
    pub(crate) fn restore(&self, keys: LedgerKeys, taken_at: Timestamp) -> bool {
        self.change(|sources| {
            let unread = sources.ledger == FromLedger::Unread;
            if unread {
                sources.ledger = FromLedger::Snapshot { keys, taken_at };
            }
            unread
        })
    }

    /// Whether there are keys in the ledger, or ever were; unread, there may be.
    pub(crate) fn ledger_may_have_keys(&self) -> bool {
        self.sources().ledger.version() != Some(0)
    }

    /// Where the ledger's keys are from, in words.
    pub(crate) fn origin(&self) -> String {
        match &self.sources().ledger {
            FromLedger::Unread => UNREAD.to_owned(),
            FromLedger::Snapshot { taken_at, .. } => format!("snapshot of {}", taken_at.rfc3339()),
            FromLedger::Ledger(_) => "ledger".to_owned(),
        }
    }

    /// The keys of the configuration, and those of the ledger as they are known here.
    pub(crate) fn listed(&self) -> (Vec<([u8; 32], Arc<ClientKey>)>, Vec<KeyRow>) {
        let sources = self.sources();
        (sources.config.clone(), sources.ledger.keys().map(|keys| keys.rows.clone()).unwrap_or_default())
    }

    fn change<T>(&self, change: impl FnOnce(&mut Sources) -> T) -> T {
        let mut sources = self.sources();
        let done = change(&mut sources);
        let old = self.table.load_full();
        self.table.store(Arc::new(sources.table(&old, self.loopback)));
        done
    }

    /// A lock whose holder panicked is still good: the table is made anew from what is under it.
    fn sources(&self) -> MutexGuard<'_, Sources> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FromLedger {
    fn keys(&self) -> Option<&LedgerKeys> {
        match self {
            Self::Unread => None,
            Self::Snapshot { keys, .. } | Self::Ledger(keys) => Some(keys),
        }
    }

    fn version(&self) -> Option<u64> {
        self.keys().map(|keys| keys.version)
    }
}

impl Sources {
    /// A secret of a key in the configuration is that key's, whatever the ledger says of it.
    fn table(&mut self, old: &KeyTable, loopback: bool) -> KeyTable {
        let mut table = KeyTable { access: self.access(loopback), ..KeyTable::default() };
        let mut seen = BTreeMap::new();
        for (sha256, spec) in self.config.clone() {
            let key = self.key(config_id(&spec.name), spec, old, &mut table);
            seen.insert(sha256, ());
            table.by_hash.push(Entry { sha256, until: None, key });
        }
        let rows = self.ledger.keys().map(|keys| keys.rows.clone()).unwrap_or_default();
        for row in rows {
            let key = self.key(Arc::from(row.id.as_str()), Arc::new(spec(&row)), old, &mut table);
            for hash in row.hashes {
                if seen.insert(hash.sha256, ()).is_none() {
                    let (sha256, until, key) = (hash.sha256, hash.until, Arc::clone(&key));
                    table.by_hash.push(Entry { sha256, until, key });
                }
            }
        }
        table.by_hash.sort_unstable_by_key(|entry| entry.sha256);
        table
    }

    /// What it has used is carried over from the table before.
    fn key(&mut self, id: Arc<str>, spec: Arc<ClientKey>, old: &KeyTable, table: &mut KeyTable) -> Arc<Key> {
        let key = match old.by_id(&id) {
            Some(old) => {
                if old.spec.limits != spec.limits {
                    old.gate.reconfigure(spec.limits);
                }
                Key { number: old.number, gate: Arc::clone(&old.gate), spec }
            }
            None => {
                self.numbers += 1;
                Key { number: self.numbers, gate: Arc::new(Gate::new(spec.limits)), spec }
            }
        };
        let key = Arc::new(key);
        table.by_id.insert(id, Arc::clone(&key));
        key
    }

    /// Once there was a key, one is needed: the end of the last one must not open the server.
    fn access(&self, loopback: bool) -> Access {
        match self.ledger.version() {
            None => Access::Unread,
            Some(0) if self.config.is_empty() && loopback => Access::Open,
            Some(_) => Access::Keys,
        }
    }
}

/// The identity of a key of the configuration: its name. No id of a ledger's key looks like it.
pub(crate) fn config_id(name: &str) -> Arc<str> {
    Arc::from(format!("config:{name}"))
}

/// A key of the ledger as it serves.
fn spec(row: &KeyRow) -> ClientKey {
    ClientKey {
        name: Arc::from(row.name.as_str()),
        owner: row.owner.as_deref().map(Arc::from),
        tags: row.tags.iter().map(|tag| Arc::from(tag.as_str())).collect(),
        models: row.models.clone(),
        providers: row.providers.clone(),
        regions: row.regions.clone(),
        limits: Limits { rpm: row.rpm, tpm: row.tpm, concurrency: row.concurrency, ..Limits::default() },
        priority: row.priority,
        expires: row.expires_at,
        budget: row.budget.map(|(limit, period)| KeyBudget { limit, period }),
    }
}

#[cfg(test)]
mod tests {
    use router_ledger::KeyHash;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::keys::Found;

    const NOW: Timestamp = Timestamp::from_millis(1_795_348_200_000);

    fn row(id: &str, secrets: &[(&str, Option<u64>)], rpm: Option<u64>) -> KeyRow {
        let hash = |(secret, until): &(&str, Option<u64>)| KeyHash {
            sha256: Sha256::digest(secret).into(),
            until: until.map(Timestamp::from_millis),
        };
        let hashes = secrets.iter().map(hash).collect();
        KeyRow { id: id.into(), name: id.into(), rpm, hashes, ..KeyRow::default() }
    }

    fn keys(version: u64, rows: Vec<KeyRow>) -> LedgerKeys {
        LedgerKeys { version, rows }
    }

    fn config(secret: &str, rpm: u64) -> Vec<([u8; 32], Arc<ClientKey>)> {
        let limits = router_core::compiled::Limits { rpm: Some(rpm), ..Default::default() };
        let spec = ClientKey { name: "conf".into(), limits, ..ClientKey::default() };
        vec![(Sha256::digest(secret).into(), Arc::new(spec))]
    }

    /// What a secret stands for: a key's name, `expired` or nothing.
    fn who(ring: &Keyring, secret: &str) -> String {
        match ring.load().find(secret, NOW) {
            Some(Found::Key(key)) => key.spec.name.to_string(),
            Some(Found::Expired) => "expired".to_owned(),
            None => String::new(),
        }
    }

    #[test]
    fn without_keys_only_a_loopback_address_is_open_and_only_while_there_never_were_any() {
        let access = |loopback: bool, config: &[_], ledger: Option<LedgerKeys>| {
            let ring = Keyring::new(config, loopback);
            if let Some(keys) = ledger {
                ring.read(keys);
            }
            ring.load().access
        };
        assert_eq!(access(true, &[], None), Access::Unread);
        assert_eq!(access(true, &[], Some(keys(0, vec![]))), Access::Open);
        assert_eq!(access(false, &[], Some(keys(0, vec![]))), Access::Keys);
        assert_eq!(access(true, &config("s", 1), Some(keys(0, vec![]))), Access::Keys);
        assert_eq!(access(true, &[], Some(keys(1, vec![row("a", &[("s", None)], None)]))), Access::Keys);
        assert_eq!(access(true, &[], Some(keys(2, vec![]))), Access::Keys, "the last one was revoked");
    }

    #[test]
    fn secrets_and_keys_end_by_the_clock() {
        let ring = Keyring::new(&config("c", 1), true);
        let (before, after) = (NOW.as_micros() / 1_000, NOW.as_micros() / 1_000 + 1);
        let mut ended = row("ended", &[("e", None)], None);
        ended.expires_at = Some(NOW);
        let rotated = row("rotated", &[("old", Some(before)), ("grace", Some(after)), ("new", None)], None);
        ring.read(keys(3, vec![ended, rotated]));
        for (secret, expected) in [
            ("c", "conf"),
            ("e", "expired"),
            ("old", "expired"),
            ("grace", "rotated"),
            ("new", "rotated"),
            ("x", ""),
        ] {
            assert_eq!(who(&ring, secret), expected, "{secret}");
        }
    }

    #[test]
    fn the_configurations_secret_is_its_own_and_what_was_used_is_carried_over() {
        let ring = Keyring::new(&config("s", 1), true);
        let enter = |secret: &str| match ring.load().find(secret, NOW) {
            Some(Found::Key(key)) => key.enter(NOW).is_ok(),
            _ => panic!("{secret}"),
        };
        assert!(enter("s"));
        ring.read(keys(1, vec![row("a", &[("s", None), ("t", None)], Some(1))]));
        assert_eq!((who(&ring, "s"), who(&ring, "t")), ("conf".to_owned(), "a".to_owned()));
        assert!(!enter("s"), "its one request is spent");
        assert!(enter("t"));
        // A new secret, a new version: the same key.
        ring.read(keys(2, vec![row("a", &[("u", None)], Some(1))]));
        ring.configure(&config("v", 2));
        assert!(!enter("u"));
        assert!(!enter("v"), "what a minute had is spent, at any rate");
        assert_eq!((who(&ring, "s"), who(&ring, "t")), (String::new(), String::new()));
    }

    #[test]
    fn a_snapshot_counts_only_until_the_ledger_is_read() {
        let ring = Keyring::new(&[], true);
        assert!(ring.ledger_may_have_keys());
        assert!(ring.restore(keys(4, vec![row("a", &[("s", None)], None)]), NOW));
        assert_eq!((who(&ring, "s"), ring.origin()), ("a".into(), format!("snapshot of {}", NOW.rfc3339())));
        ring.read(keys(5, vec![]));
        assert_eq!((who(&ring, "s"), ring.origin()), (String::new(), "ledger".into()));
        assert!(!ring.restore(keys(4, vec![row("a", &[("s", None)], None)]), NOW));
        assert_eq!(who(&ring, "s"), "");
    }
}
