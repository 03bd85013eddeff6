//! Remembers: the open/close spool, the writer that empties it, the SQL store and its reports. It decides nothing, and
//! knows no clock but its own patience: times come with the records.
//!
//! A record is safe once [`Segment::append`] returns; the [`Writer`] brings it into the [`Ledger`] soon after, exactly
//! once, whatever dies in between. Beside it the ledger keeps client keys, what processes have drawn from budgets, and
//! small values that outlive a process.

mod batch;
mod budgets;
mod codec;
mod error;
mod keys;
mod lazy;
mod ledger;
mod postgres;
mod report;
mod spool;
mod sqlite;
mod store;
#[cfg(test)]
mod suite;
mod writer;

use std::path::Path;
use std::sync::Arc;

pub use batch::Batch;
pub use budgets::{BudgetFigures, Draw};
pub use error::{Error, ErrorKind};
pub use keys::{KeyChange, KeyHash, KeyRow, NewKey};
pub use ledger::{Answer, Attached, AttemptRow, Cursor, DeploymentStats, InstanceId, Ledger, Position};
pub use report::{By, Figures, Percentiles, Report, ReportQuery, ReportRow};
pub use spool::{Durability, Segment, Spool, SpoolOptions};
pub use writer::{Writer, WriterStatus, WriterWatch};

use store::Store;

/// Opens the ledger at `url`, making and migrating it where needed: `sqlite://FILE`, `sqlite::memory:` for one that ends
/// with the process, or `postgres://USER@HOST/DATABASE`, which several processes may share. A relative file is relative to
/// the working directory; see [`resolve_url`].
///
/// # Errors
/// `Url` for one that is not understood, `Database` when it cannot be opened. No text holds what the URL says of a password.
pub async fn connect(url: &str) -> Result<Arc<dyn Ledger>, Error> {
    open(url, true).await
}

/// The same for one who only asks: a file that does not exist, or a database without a ledger, is an error, not a new
/// ledger.
///
/// # Errors
/// As [`connect`].
pub async fn connect_existing(url: &str) -> Result<Arc<dyn Ledger>, Error> {
    open(url, false).await
}

/// The same, but at once: the ledger is opened when it is first asked, and again after that failed, so that a process can
/// start while its database is away. Until then every question is answered with why it cannot be opened.
///
/// # Errors
/// `Url` for one that is not understood.
pub fn connect_lazily(url: &str) -> Result<Arc<dyn Ledger>, Error> {
    check_url(url)?;
    Ok(Arc::new(lazy::Lazy::new(url)))
}

async fn open(url: &str, create: bool) -> Result<Arc<dyn Ledger>, Error> {
    check_url(url)?;
    if url.starts_with("sqlite:") {
        return Ok(Arc::new(Store(sqlite::Sqlite::connect(url, create).await?)));
    }
    Ok(Arc::new(Store(postgres::Postgres::connect(url, create).await?)))
}

/// Whether there is a backend for this URL and it can be read; touches nothing.
///
/// # Errors
/// `Url` if not. The text names the scheme alone: what follows it may be a password.
pub fn check_url(url: &str) -> Result<(), Error> {
    match url.split_once(':').map_or(url, |(scheme, _)| scheme) {
        "sqlite" => Ok(()),
        "postgres" | "postgresql" => postgres::options(url).map(drop),
        _ => Err(Error::new(ErrorKind::Url, "ledger url: it must begin with sqlite:// or postgres://")),
    }
}

/// The URL with a relative SQLite file made relative to `base` (the configuration file's directory).
pub fn resolve_url(url: &str, base: &Path) -> String {
    let Some(file) = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")) else {
        return url.to_owned();
    };
    if file == ":memory:" || file.starts_with('/') || base.as_os_str().is_empty() {
        return url.to_owned();
    }
    // In a URL these would end the path, or be decoded.
    let base = base.display().to_string().replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    format!("sqlite://{base}/{file}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(url: &str) -> Option<ErrorKind> {
        check_url(url).err().map(|e| e.kind())
    }

    #[test]
    fn both_backends_are_there_and_no_password_is_shown() {
        assert_eq!(kind("sqlite://router.db"), None);
        assert_eq!(kind("sqlite::memory:"), None);
        assert_eq!(kind("mysql://x"), Some(ErrorKind::Url));
        assert_eq!(kind("router.db"), Some(ErrorKind::Url));
        assert_eq!(kind("postgres://ledger:hunter2@db/router?sslmode=require"), None);
        assert_eq!(kind("postgresql:///router?host=/run/postgresql"), None);
        for wrong in
            ["postgres://ledger:hunter2@db:x/router", "postgres://ledger:hunter2@db/router?sslmode=x"]
        {
            let error = check_url(wrong).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Url);
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn relative_files_are_relative_to_the_base() {
        let check = |url: &str, base: &str, expected: &str| {
            assert_eq!(resolve_url(url, Path::new(base)), expected);
        };
        check("sqlite://router.db", "/etc/router", "sqlite:///etc/router/router.db");
        check("sqlite:router.db", "conf", "sqlite://conf/router.db");
        check("sqlite://router.db", "/50%", "sqlite:///50%25/router.db");
        check("sqlite://router.db", "", "sqlite://router.db");
        check("sqlite:///var/router.db", "/etc", "sqlite:///var/router.db");
        check("sqlite::memory:", "/etc", "sqlite::memory:");
    }
}
