//! A live attempt: asked for, booked, under way or committed.

use super::{Action, AttemptNo};
use crate::time::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Asked for; `last_resort` as asked.
    Admitting { draws: bool, last_resort: bool },
    /// A place is booked for then.
    Booked(Timestamp),
    /// Under way, nothing shown.
    Sent,
    /// Its bytes are the client's.
    Committed,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Live {
    pub(super) no: AttemptNo,
    pub(super) option: usize,
    pub(super) stage: Stage,
    /// It is one of the paid attempts.
    pub(super) paid: bool,
    /// It races with one that was under way before it.
    pub(super) hedge: bool,
}

impl Live {
    pub(super) const fn new(no: AttemptNo, option: usize, stage: Stage) -> Self {
        Self { no, option, stage, paid: false, hedge: false }
    }
}

pub(super) const fn is_under_way(stage: Stage) -> bool {
    matches!(stage, Stage::Sent | Stage::Committed)
}

/// How it is stopped before its end.
pub(super) fn let_go(live: &Live) -> Action {
    match live.stage {
        Stage::Booked(_) => Action::Unbook(live.no),
        _ => Action::Cancel(live.no, None),
    }
}
