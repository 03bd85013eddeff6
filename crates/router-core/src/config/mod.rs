//! Configuration: as written (`file`), how it is read (`parse`), and as checked (`check`). No files, no environment and
//! no YAML: the server reads those and hands in a JSON value.

pub mod problem;

pub use problem::{Note, NoteKind, Problem};
