//! What kind of request is this: the question in it, its language, task, topic and difficulty. CPU only, no `async`.
//!
//! [`Chain::standard`] is the whole of it for a caller: built once, shared by all threads, asked per request for the
//! attributes that the rules in force read. The work per request is bounded by constants, not by the request's size.

mod chain;
mod features;
mod hash;
mod heuristic;
mod language;
mod text;

pub use chain::{Chain, Classifier, RequestView};
pub use features::{Counts, Cue, Evidence, Features, Reader};
pub use heuristic::Heuristic;
pub use language::LanguageDetector;
pub use text::RequestText;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
