//! Small values that outlive a process: a kind, an id, a text.

use router_core::time::Timestamp;

use super::tx::{Row, Tx};
use super::{Answered, Backend, rows};

pub(super) async fn put(backend: &impl Backend, [kind, id, value]: [&str; 3], at: Timestamp) -> Answered<()> {
    let mut tx = backend.write().await?;
    let text = "INSERT INTO states (kind, id, value, at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (kind, id) DO UPDATE SET value = excluded.value, at = excluded.at";
    tx.run(text, &[kind.into(), id.into(), value.into(), rows::micros(at).into()]).await?;
    tx.commit().await
}

pub(super) async fn delete(backend: &impl Backend, kind: &str, id: &str) -> Answered<()> {
    let mut tx = backend.write().await?;
    tx.run("DELETE FROM states WHERE kind = $1 AND id = $2", &[kind.into(), id.into()]).await?;
    tx.commit().await
}

pub(super) async fn all(backend: &impl Backend, kind: &str) -> Answered<Vec<(String, String, Timestamp)>> {
    let mut tx = backend.read().await?;
    let text = "SELECT id, value, at FROM states WHERE kind = $1 ORDER BY id";
    let rows = tx.rows(text, &[kind.into()]).await?;
    tx.commit().await?;
    let state = |row: &_| {
        let mut cells = Row::cells(row);
        Ok((cells.text()?.to_owned(), cells.text()?.to_owned(), cells.time()?))
    };
    rows.iter().map(state).collect()
}
