//! Client keys. Every change first moves the version's row on, which makes changes wait for each other: what one looks up
//! before it writes is then still so.

use std::collections::BTreeMap;

use router_core::budget::Period;
use router_core::time::Timestamp;

use super::tx::{Arg, Cells, Row, Tx};
use super::{Answered, Backend, rows};
use crate::error::{Error, ErrorKind};
use crate::keys::{KeyChange, KeyHash, KeyRow, NewKey};

macro_rules! columns {
    () => {
        "id, name, owner, tags, models, providers, regions, rpm, tpm, concurrency, priority, budget_nanousd, \
         budget_period, created_at, expires_at"
    };
}

/// Makes a key, or writes it anew; when it was made stays.
const PUT: &str = concat!(
    "INSERT INTO keys (",
    columns!(),
    ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT (id) DO UPDATE SET \
     name = excluded.name, owner = excluded.owner, tags = excluded.tags, models = excluded.models, \
     providers = excluded.providers, regions = excluded.regions, rpm = excluded.rpm, tpm = excluded.tpm, \
     concurrency = excluded.concurrency, priority = excluded.priority, \
     budget_nanousd = excluded.budget_nanousd, budget_period = excluded.budget_period, \
     expires_at = excluded.expires_at"
);
const ALL: &str = concat!("SELECT ", columns!(), " FROM keys WHERE revoked_at IS NULL ORDER BY name");
const ONE: &str = concat!("SELECT ", columns!(), " FROM keys WHERE revoked_at IS NULL AND id = $1");

/// Why a change did not happen.
enum Failed {
    Database(sqlx::Error),
    Refused(ErrorKind, String),
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl Failed {
    fn no_such(id: &str) -> Self {
        Self::Refused(ErrorKind::NoSuchKey, format!("no key with id {id:?} lives"))
    }

    fn told(self, doing: &str) -> Error {
        match self {
            Self::Database(error) => Error::database(doing, error),
            Self::Refused(kind, text) => Error::new(kind, text),
        }
    }
}

pub(super) async fn version(backend: &impl Backend) -> Answered<u64> {
    let mut tx = backend.read().await?;
    let version = tx.one("SELECT version FROM keys_version", &[]).await?.cells().small()?;
    tx.commit().await?;
    Ok(version)
}

pub(super) async fn all(backend: &impl Backend) -> Answered<Vec<KeyRow>> {
    let mut tx = backend.read().await?;
    let text = "SELECT h.key, h.sha256, h.valid_until FROM key_hashes h JOIN keys k ON k.id = h.key \
         WHERE k.revoked_at IS NULL ORDER BY h.key, h.number";
    let mut hashes: BTreeMap<String, Vec<KeyHash>> = BTreeMap::new();
    for row in tx.rows(text, &[]).await? {
        let mut cells = row.cells();
        hashes.entry(cells.text()?.to_owned()).or_default().push(hash(&mut cells)?);
    }
    let rows = tx.rows(ALL, &[]).await?;
    tx.commit().await?;
    let mut keys = Vec::with_capacity(rows.len());
    for row in &rows {
        let key = key(row)?;
        keys.push(KeyRow { hashes: hashes.remove(&key.id).unwrap_or_default(), ..key });
    }
    Ok(keys)
}

pub(super) async fn create(backend: &impl Backend, new: &NewKey) -> Result<KeyRow, Error> {
    let key = &new.key;
    if key.id.is_empty() || key.name.is_empty() || key.hashes.is_empty() {
        return Err(Error::new(ErrorKind::Invalid, "a key needs an id, a name and a secret"));
    }
    let made = async {
        let mut tx = changing(backend).await?;
        if tx.maybe("SELECT id FROM keys WHERE id = $1", &[key.id.as_str().into()]).await?.is_some() {
            let text = format!("the id {:?} belongs or belonged to a key", key.id);
            return Err(Failed::Refused(ErrorKind::HashKnown, text));
        }
        put(&mut tx, key).await?;
        for hash in &key.hashes {
            add_hash(&mut tx, &key.id, hash).await?;
        }
        tx.commit().await?;
        Ok(key.clone())
    };
    made.await.map_err(|e| e.told("make a key"))
}

pub(super) async fn update(
    backend: &impl Backend,
    id: &str,
    change: &KeyChange,
) -> Result<Option<KeyRow>, Error> {
    let updated = async {
        let mut tx = changing(backend).await?;
        let Some(key) = living(&mut tx, id).await? else { return Ok(None) };
        let key = change.of(key);
        put(&mut tx, &key).await?;
        tx.commit().await?;
        Ok(Some(key))
    };
    updated.await.map_err(|e: Failed| e.told("change a key"))
}

pub(super) async fn rotate(
    backend: &impl Backend,
    id: &str,
    sha256: [u8; 32],
    old_until: Timestamp,
) -> Result<KeyRow, Error> {
    let rotated = async {
        let mut tx = changing(backend).await?;
        let Some(mut key) = living(&mut tx, id).await? else { return Err(Failed::no_such(id)) };
        let text = "UPDATE key_hashes SET valid_until = $2 \
             WHERE key = $1 AND (valid_until IS NULL OR valid_until > $2)";
        tx.run(text, &[id.into(), rows::micros(old_until).into()]).await?;
        for hash in &mut key.hashes {
            hash.until = Some(hash.until.map_or(old_until, |until| until.min(old_until)));
        }
        let new = KeyHash { sha256, until: None };
        add_hash(&mut tx, id, &new).await?;
        tx.commit().await?;
        key.hashes.push(new);
        Ok(key)
    };
    rotated.await.map_err(|e| e.told("give a key a new secret"))
}

pub(super) async fn revoke(backend: &impl Backend, id: &str, at: Timestamp) -> Result<(), Error> {
    let revoked = async {
        let mut tx = changing(backend).await?;
        let text = "UPDATE keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
        if tx.run(text, &[id.into(), rows::micros(at).into()]).await? == 0 {
            return Err(Failed::no_such(id));
        }
        tx.commit().await?;
        Ok(())
    };
    revoked.await.map_err(|e| e.told("revoke a key"))
}

/// A transaction that changes keys; one at a time.
async fn changing<B: Backend>(backend: &B) -> Answered<B::Tx> {
    let mut tx = backend.write().await?;
    tx.run("UPDATE keys_version SET version = version + 1", &[]).await?;
    Ok(tx)
}

/// A key that is not revoked, with its hashes.
async fn living<T: Tx>(tx: &mut T, id: &str) -> Answered<Option<KeyRow>> {
    let Some(row) = tx.maybe(ONE, &[id.into()]).await? else { return Ok(None) };
    let mut key = key(&row)?;
    let text = "SELECT sha256, valid_until FROM key_hashes WHERE key = $1 ORDER BY number";
    for row in tx.rows(text, &[id.into()]).await? {
        key.hashes.push(hash(&mut row.cells())?);
    }
    Ok(Some(key))
}

/// Writes a key, unless another one that lives has its name.
async fn put<T: Tx>(tx: &mut T, key: &KeyRow) -> Result<(), Failed> {
    let text = "SELECT id FROM keys WHERE name = $1 AND id <> $2 AND revoked_at IS NULL";
    if tx.maybe(text, &[key.name.as_str().into(), key.id.as_str().into()]).await?.is_some() {
        return Err(Failed::Refused(
            ErrorKind::NameTaken,
            format!("a key named {:?} lives already", key.name),
        ));
    }
    let lists = [&key.tags, &key.models, &key.providers, &key.regions].map(|list| rows::json(list));
    let [tags, models, providers, regions] = &lists;
    let limit = |n: Option<u64>| Arg::from(n.map(rows::whole));
    let args = [
        key.id.as_str().into(),
        key.name.as_str().into(),
        key.owner.as_deref().into(),
        tags.as_str().into(),
        models.as_str().into(),
        providers.as_str().into(),
        regions.as_str().into(),
        limit(key.rpm),
        limit(key.tpm),
        key.concurrency.map(i64::from).into(),
        i64::from(key.priority).into(),
        key.budget.map(|(limit, _)| limit.nano()).into(),
        key.budget.map(|(_, period)| period.name()).into(),
        rows::micros(key.created_at).into(),
        key.expires_at.map(rows::micros).into(),
    ];
    tx.run(PUT, &args).await?;
    Ok(())
}

async fn add_hash<T: Tx>(tx: &mut T, id: &str, hash: &KeyHash) -> Result<(), Failed> {
    let text = "INSERT INTO key_hashes (sha256, key, number, valid_until) VALUES \
         ($1, $2, (SELECT count(*) FROM key_hashes WHERE key = $2), $3) ON CONFLICT (sha256) DO NOTHING";
    let until = hash.until.map(rows::micros);
    if tx.run(text, &[(&hash.sha256).into(), id.into(), until.into()]).await? == 0 {
        let text = "this secret belongs or belonged to a key".to_owned();
        return Err(Failed::Refused(ErrorKind::HashKnown, text));
    }
    Ok(())
}

fn hash<R: Row>(cells: &mut Cells<'_, R>) -> Answered<KeyHash> {
    Ok(KeyHash { sha256: cells.bytes()?, until: cells.maybe_time()? })
}

/// A key without its hashes.
fn key<R: Row>(row: &R) -> Answered<KeyRow> {
    let mut cells = row.cells();
    let mut key = KeyRow {
        id: cells.text()?.to_owned(),
        name: cells.text()?.to_owned(),
        owner: cells.maybe_text()?.map(str::to_owned),
        tags: list(&mut cells)?,
        models: list(&mut cells)?,
        providers: list(&mut cells)?,
        regions: list(&mut cells)?,
        rpm: cells.maybe_small()?,
        tpm: cells.maybe_small()?,
        concurrency: cells.maybe_small()?,
        priority: cells.small()?,
        ..KeyRow::default()
    };
    let limit = cells.maybe_int()?;
    if let (Some(limit), Some(period)) = (limit, cells.maybe_text()?) {
        let period = Period::named(period).ok_or_else(|| cells.strange("an unknown period"))?;
        key.budget = Some((router_core::money::Usd::from_nano(limit), period));
    }
    (key.created_at, key.expires_at) = (cells.time()?, cells.maybe_time()?);
    Ok(key)
}

fn list<R: Row>(cells: &mut Cells<'_, R>) -> Answered<Vec<String>> {
    let json = cells.text()?;
    serde_json::from_str(json).map_err(|e| cells.strange(e))
}
