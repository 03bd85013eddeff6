//! The ledger's keys in a local file: hashes and settings, never a secret. With it a process that starts while the
//! database is away knows whom to let in.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use router_core::budget::Period;
use router_core::money::Usd;
use router_core::time::Timestamp;
use router_ledger::{KeyHash, KeyRow};
use serde::{Deserialize, Serialize};

use super::LedgerKeys;
use super::secret::{from_hex, hex};

/// Beside the spool: where what this process must not lose is kept.
const FILE: &str = "keys.json";
/// The layout of the file.
const FORMAT: u32 = 1;
/// Only its owner may read it.
const MODE: u32 = 0o600;

/// The snapshot of one ledger.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotFile {
    path: PathBuf,
    /// Which ledger, without its password: another one's keys are not ours.
    ledger: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: u32,
    ledger: String,
    taken_at: Timestamp,
    version: u64,
    keys: Vec<Row>,
}

/// A [`KeyRow`] as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    name: String,
    owner: Option<String>,
    tags: Vec<String>,
    models: Vec<String>,
    providers: Vec<String>,
    regions: Vec<String>,
    rpm: Option<u64>,
    tpm: Option<u64>,
    concurrency: Option<u32>,
    priority: i8,
    budget: Option<(Usd, Period)>,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    hashes: Vec<(String, Option<Timestamp>)>,
}

impl SnapshotFile {
    /// In this directory, of the ledger with this URL.
    pub(crate) fn new(dir: &Path, ledger_url: &str) -> Self {
        Self { path: dir.join(FILE), ledger: hex(&super::secret::hash_text(&without_user(ledger_url))) }
    }

    /// Replaces the file: whoever reads it sees the old one or the new one, whole.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn write(&self, keys: &LedgerKeys, taken_at: Timestamp) -> io::Result<()> {
        let rows = keys.rows.iter().map(Row::of).collect();
        let (format, ledger, version) = (FORMAT, self.ledger.clone(), keys.version);
        let text = serde_json::to_vec(&Written { format, ledger, taken_at, version, keys: rows })?;
        let new = self.path.with_extension(format!("json.{}", std::process::id()));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(MODE).open(&new)?;
        let written = file.write_all(&text).and_then(|()| file.sync_all());
        written.and_then(|()| fs::rename(&new, &self.path)).inspect_err(|_| {
            let _ = fs::remove_file(&new);
        })
    }

    /// The keys of this ledger and when they were read; `None`: there is no file.
    ///
    /// # Errors
    /// The file cannot be used, in one line.
    pub(crate) fn read(&self) -> Result<Option<(LedgerKeys, Timestamp)>, String> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let written: Written = serde_json::from_slice(&text).map_err(|e| format!("is damaged: {e}"))?;
        if written.format != FORMAT {
            return Err(format!("has format {}, and {FORMAT} is known here", written.format));
        }
        if written.ledger != self.ledger {
            return Err("is of another ledger".to_owned());
        }
        let rows = written.keys.into_iter().map(Row::into_key).collect::<Option<_>>();
        let rows = rows.ok_or("is damaged: a hash is not 64 hex digits")?;
        Ok(Some((LedgerKeys { version: written.version, rows }, written.taken_at)))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// A URL without user and password: a new password makes no other ledger.
fn without_user(url: &str) -> String {
    match url.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1))) {
        Some((scheme, host)) => format!("{scheme}://{host}"),
        None => url.to_owned(),
    }
}

impl Row {
    fn of(key: &KeyRow) -> Self {
        let key = key.clone();
        Self {
            id: key.id,
            name: key.name,
            owner: key.owner,
            tags: key.tags,
            models: key.models,
            providers: key.providers,
            regions: key.regions,
            rpm: key.rpm,
            tpm: key.tpm,
            concurrency: key.concurrency,
            priority: key.priority,
            budget: key.budget,
            created_at: key.created_at,
            expires_at: key.expires_at,
            hashes: key.hashes.iter().map(|hash| (hex(&hash.sha256), hash.until)).collect(),
        }
    }

    fn into_key(self) -> Option<KeyRow> {
        let hash = |(sha256, until): (String, _)| Some(KeyHash { sha256: from_hex(&sha256)?, until });
        Some(KeyRow {
            id: self.id,
            name: self.name,
            owner: self.owner,
            tags: self.tags,
            models: self.models,
            providers: self.providers,
            regions: self.regions,
            rpm: self.rpm,
            tpm: self.tpm,
            concurrency: self.concurrency,
            priority: self.priority,
            budget: self.budget,
            created_at: self.created_at,
            expires_at: self.expires_at,
            hashes: self.hashes.into_iter().map(hash).collect::<Option<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn keys(version: u64) -> LedgerKeys {
        let until = Some(Timestamp::from_micros(7));
        let row = KeyRow {
            id: "i".into(),
            name: "n".into(),
            owner: Some("o".into()),
            tags: vec!["t".into()],
            models: vec!["m".into()],
            providers: vec!["p".into()],
            regions: vec!["r".into()],
            rpm: Some(1),
            tpm: Some(2),
            concurrency: Some(3),
            priority: -4,
            budget: Some((Usd::from_nano(5), Period::Week)),
            created_at: Timestamp::from_micros(6),
            expires_at: until,
            hashes: vec![KeyHash { sha256: [8; 32], until }, KeyHash { sha256: [9; 32], until: None }],
        };
        LedgerKeys { version, rows: vec![row, KeyRow::default()] }
    }

    #[test]
    fn what_is_written_is_read_by_its_owner_alone_and_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let file = SnapshotFile::new(dir.path(), "postgres://router:hunter2@db/router");
        assert_eq!(file.read(), Ok(None));
        let at = Timestamp::from_micros(99);
        for version in [1, 2] {
            file.write(&keys(version), at).unwrap();
            assert_eq!(file.read(), Ok(Some((keys(version), at))));
        }
        assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
        assert!(!fs::read_to_string(file.path()).unwrap().contains("hunter2"));
        let other_password = SnapshotFile::new(dir.path(), "postgres://router:new@db/router");
        assert!(matches!(other_password.read(), Ok(Some(_))));
    }

    #[test]
    fn what_cannot_be_trusted_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let file = SnapshotFile::new(dir.path(), "postgres://db/router");
        file.write(&keys(1), Timestamp::ZERO).unwrap();
        let good = fs::read_to_string(file.path()).unwrap();
        let check = |text: &str, expected: &str| {
            fs::write(file.path(), text).unwrap();
            let error = file.read().unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check("", "damaged");
        check(&good[..good.len() / 2], "damaged");
        check(&good.replace("\"format\":1", "\"format\":2"), "format 2");
        check(&good.replace("0808", "08xx"), "hex");
        check(&good.replace("\"name\"", "\"nam\""), "damaged");
        fs::write(file.path(), &good).unwrap();
        assert!(SnapshotFile::new(dir.path(), "postgres://db/other").read().unwrap_err().contains("another"));
    }
}
