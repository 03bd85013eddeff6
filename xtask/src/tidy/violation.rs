//! One thing to mend, with its place.

use std::fmt;

/// A rule that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Violation {
    /// The file, relative to the workspace.
    path: String,
    /// The line, from 1.
    line: usize,
    /// What is wrong.
    text: String,
}

impl Violation {
    /// A violation at a place.
    pub(super) fn new(path: impl Into<String>, line: usize, text: impl Into<String>) -> Self {
        Self { path: path.into(), line, text: text.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.text)
    }
}
