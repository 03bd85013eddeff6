//! The ledger that a configuration names: where it is, how it is opened, and whether it may have client keys.

use std::sync::Arc;
use std::time::Duration;

use router_core::config::Database;
use router_core::config::file::Runtime;
use router_ledger::Ledger;

use crate::config::{Loaded, Source, Unusable};
use crate::control::keys_where_needed;
use crate::keys::SnapshotFile;
use crate::running::{StartError, runtime};

/// At a start the ledger gets this long to say who may ask, before the local snapshot does.
pub(crate) const FIRST_LOOK: Duration = Duration::from_secs(3);

/// A file is there or it is not; a database elsewhere may be away for a while, and requests are served meanwhile.
///
/// # Errors
/// It cannot be opened, or its URL is not understood.
pub(crate) fn open(loaded: &Loaded) -> Result<Arc<dyn Ledger>, StartError> {
    let url = url(loaded);
    if let Database::Postgres(_) = loaded.checked.ledger.database {
        return Ok(router_ledger::connect_lazily(&url)?);
    }
    let what = "start a runtime".to_owned();
    let connecting = runtime(Runtime::PerCore, 1).map_err(|source| StartError::Io { what, source })?;
    Ok(connecting.block_on(router_ledger::connect(&url))?)
}

/// The ledger's URL, usable from the working directory.
pub(crate) fn url(loaded: &Loaded) -> String {
    let written = match &loaded.checked.ledger.database {
        Database::Memory => "sqlite::memory:".to_owned(),
        Database::File(path) => format!("sqlite://{path}"),
        Database::Postgres(url) => url.expose().to_owned(),
    };
    router_ledger::resolve_url(&written, &loaded.base)
}

/// On an address others can connect to, the keys may all be in the ledger: it is asked only then. A database that is away
/// may have some; until they are read, nobody is let in without one.
///
/// # Errors
/// There are no keys anywhere, and never were.
pub(crate) fn keys_somewhere(source: &Source, loaded: &Loaded) -> Result<(), Unusable> {
    let (checked, listen) = (&loaded.checked, loaded.checked.server.listen);
    if keys_where_needed(checked, listen, false).is_ok() {
        return Ok(());
    }
    let url = url(loaded);
    let asked = runtime(Runtime::PerCore, 1).ok().and_then(|runtime| {
        let version = async { router_ledger::connect_existing(&url).await?.keys_version().await };
        runtime.block_on(async { tokio::time::timeout(FIRST_LOOK, version).await }).ok()?.ok()
    });
    let version = match checked.ledger.database {
        Database::Postgres(_) => asked,
        Database::File(_) | Database::Memory => Some(asked.unwrap_or(0)),
    };
    keys_where_needed(checked, listen, version != Some(0))
        .map_err(|problem| Unusable { source: source.clone(), problems: vec![problem] })
}

/// Where the ledger's keys are kept for a start without it; a ledger in memory starts with the process.
pub(crate) fn snapshot_file(loaded: &Loaded) -> Option<SnapshotFile> {
    let ledger = &loaded.checked.ledger;
    let kept = ledger.database != Database::Memory;
    kept.then(|| SnapshotFile::new(&loaded.path(&ledger.spool_dir), &url(loaded)))
}
