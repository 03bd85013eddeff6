//! The one public error of this crate: a small kind, what happened to which thing, and the cause.

use std::fmt;
use std::path::Path;

/// What a caller can act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The spool has reached its size limit: `ledger.on_full` decides.
    Full,
    /// The spool was closed by a clean stop: nothing can be appended any more.
    Closed,
    /// A file or directory of the spool.
    Io,
    /// The database: absent, locked, damaged or full.
    Database,
    /// The ledger's URL.
    Url,
    /// A value given by the caller: an instance name, a record that is too long.
    Invalid,
    /// A key of this name lives already.
    NameTaken,
    /// This secret, or this id, belongs or belonged to a key.
    HashKnown,
    /// No such key lives.
    NoSuchKey,
}

/// What went wrong in the ledger. Its text names the file or the scheme, never credentials or what a record holds.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    text: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), source: None }
    }

    pub(crate) fn io(doing: &str, path: &Path, source: std::io::Error) -> Self {
        let text = format!("cannot {doing} {}", path.display());
        Self { kind: ErrorKind::Io, text, source: Some(Box::new(source)) }
    }

    pub(crate) fn database(doing: &str, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { kind: ErrorKind::Database, text: format!("cannot {doing}"), source: Some(Box::new(source)) }
    }

    /// What a caller can act on.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => write!(f, "{}: {source}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.source {
            Some(source) => Some(&**source),
            None => None,
        }
    }
}
