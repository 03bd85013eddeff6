//! Remembers: the open/close spool, the writer that empties it, the SQL store and its reports. It decides nothing, and
//! knows no clock but its own patience: times come with the records.
//!
//! A record is safe once [`Segment::append`] returns; the [`Writer`] brings it into the [`Ledger`] soon after, exactly
//! once, whatever dies in between. Client keys, budgets and PostgreSQL are not here yet.

mod batch;
mod budgets;
mod codec;
mod error;
mod keys;
mod ledger;
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

/// Opens the ledger at `url`, making and migrating it where needed: `sqlite://FILE`, or `sqlite::memory:` for one that
/// ends with the process. A relative file is relative to the working directory; see [`resolve_url`].
///
/// # Errors
/// `Url` for one that is not understood, `Unsupported` for `postgres://`, `Database` when it cannot be opened.
pub async fn connect(url: &str) -> Result<Arc<dyn Ledger>, Error> {
    open(url, true).await
}

/// The same for one who only asks: a file that does not exist is an error, not a new ledger.
///
/// # Errors
/// As [`connect`].
pub async fn connect_existing(url: &str) -> Result<Arc<dyn Ledger>, Error> {
    open(url, false).await
}

async fn open(url: &str, create: bool) -> Result<Arc<dyn Ledger>, Error> {
    check_url(url)?;
    Ok(Arc::new(store::Store(sqlite::Sqlite::connect(url, create).await?)))
}

/// Whether there is a backend for this URL; touches nothing.
///
/// # Errors
/// `Unsupported` for `postgres://`, `Url` for any other scheme. The text names the scheme alone: what follows it may be
/// a password.
pub fn check_url(url: &str) -> Result<(), Error> {
    match url.split_once(':').map_or(url, |(scheme, _)| scheme) {
        "sqlite" => Ok(()),
        scheme @ ("postgres" | "postgresql") => Err(Error::new(
            ErrorKind::Unsupported,
            format!("ledger url \"{scheme}://...\": PostgreSQL is not there yet; use sqlite://FILE"),
        )),
        _ => Err(Error::new(ErrorKind::Url, "ledger url: it must begin with sqlite://")),
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
    fn only_sqlite_is_there_and_no_password_is_shown() {
        assert_eq!(kind("sqlite://router.db"), None);
        assert_eq!(kind("sqlite::memory:"), None);
        assert_eq!(kind("mysql://x"), Some(ErrorKind::Url));
        assert_eq!(kind("router.db"), Some(ErrorKind::Url));
        let error = check_url("postgres://ledger:hunter2@db/router").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(!error.to_string().contains("hunter2"));
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
