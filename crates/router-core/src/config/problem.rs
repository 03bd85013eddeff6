//! What is wrong with a configuration, and what is worth saying about a good one; always with the path.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the text of a problem begins that says that a provider must be on and is off.
pub const REQUIRED: &str = "is required";

/// One thing that is wrong. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// Where, such as `rules[2].when.task.enum[0]`; empty: the whole file.
    pub path: String,
    /// What, in lower case, with the value where it is not secret.
    pub text: String,
}

impl Problem {
    /// A problem at a path.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.text) } else { write!(f, "{}: {}", self.path, self.text) }
    }
}

/// What a note is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoteKind {
    /// A provider is off. `serve --strict` refuses to start.
    ProviderOff,
    /// Answers are simulated. `serve --strict` refuses to start.
    Simulated,
    /// Something is left out because it needs a provider that is off, or a tier is empty for that reason.
    LeftOut,
    /// Allowed, and probably not meant.
    Suspicious,
}

/// Something worth saying about a configuration that is good.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Note {
    /// What it is about.
    pub kind: NoteKind,
    /// Where, as in [`Problem::path`].
    pub path: String,
    /// What, in lower case.
    pub text: String,
}

impl Note {
    /// A note at a path.
    pub fn new(kind: NoteKind, path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { kind, path: path.into(), text: text.into() }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.text) } else { write!(f, "{}: {}", self.path, self.text) }
    }
}
