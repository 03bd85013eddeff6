//! The term tables: data only. A row is what the terms speak for, how much each says, and the terms, separated by `|`
//! and written as folded text (lower case, no accents). `^term`: only where a sentence begins; `term*` and `*term`:
//! also inside a longer word. Weights are judgements, checked by the table of requests in `testdata`.

mod cue;
mod task;
mod topic;

pub(super) use cue::CUES;
pub use cue::Cue;
pub(super) use task::TASKS;
pub(super) use topic::TOPICS;
