//! Configuration: as written (`file`), how it is read (`parse`), and as checked (`check`). No files, no environment and
//! no YAML: the server reads those and hands in a JSON value.

mod check;
mod checked;
pub mod file;
mod parse;
mod problem;
mod secret;
#[cfg(test)]
mod tests;

pub use check::check;
pub use checked::{
    Checked, Credential, Database, DecisionLog, Known, KnownHost, LedgerSettings, ServerSettings,
    SimulatedSettings,
};
pub use file::File;
pub use parse::{parse, parse_catalog};
pub use problem::{Note, NoteKind, Problem, REQUIRED};
pub use secret::Secret;
