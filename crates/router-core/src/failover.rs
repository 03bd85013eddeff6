//! Failover as a state machine without IO: events in, actions out (DESIGN D6). It holds no payload.

use std::time::Duration;

use smallvec::SmallVec;

use crate::attempt::FailureKind;
use crate::compiled::DeploymentIdx;
use crate::select::DeploymentView;
use crate::time::Timestamp;

/// Number of an attempt, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptNo(pub u32);

/// What became visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Text (or a refusal).
    Text,
    /// Reasoning.
    Reasoning,
    /// A part of a tool call.
    Tool,
}

/// Why an attempt was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAdmitted {
    /// The half-open ticket went to somebody else.
    Ticket,
    /// Rate limit spent until then.
    Rate(Timestamp),
    /// No place free.
    Concurrency,
    /// The ceiling does not fit the money left.
    Budget,
    /// The retry budget is spent (asked for with `Admit { paid: true }` on a repeat).
    RetryBudget,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The request begins.
    Start,
    /// Ticket, rate, concurrency and hold are taken.
    Admitted(AttemptNo),
    /// They are not.
    NotAdmitted(AttemptNo, NotAdmitted),
    /// Status and headers came, with a good status.
    Headers(AttemptNo),
    /// Something the client would see came.
    Visible(AttemptNo, Seen),
    /// Bytes came; the stream is alive.
    Progress(AttemptNo, u64),
    /// The answer is whole.
    Ended(AttemptNo),
    /// The attempt failed; the provider may have said when to come back.
    Failed(AttemptNo, FailureKind, Option<Duration>),
    /// The time asked for by `WakeAt` came.
    Timer,
    /// The client left.
    ClientGone,
}

/// Time limits of one attempt, already cut to the request's deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptLimits {
    /// Connect by then.
    pub connect_by: Timestamp,
    /// First body byte (stream) or whole answer (JSON) by then.
    pub answer_by: Timestamp,
    /// Longest silence in a stream.
    pub idle: Duration,
    /// The request's deadline.
    pub deadline: Timestamp,
}

/// How the request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// This attempt's answer is whole.
    Answered(AttemptNo),
    /// Nothing was shown; every way is used up. The last failure, if there was an attempt.
    Failed(Option<FailureKind>),
    /// Nothing was shown; the deadline came first.
    DeadlineExceeded,
    /// Something was shown and cannot be completed: the dialect's error event.
    Broken(AttemptNo, FailureKind),
    /// Nobody listens any more.
    ClientGone,
    /// Only limits stood in the way; come back then.
    Busy(Timestamp),
    /// The money left does not cover any attempt.
    NoMoney,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Take ticket, rate, concurrency and hold. `draws`: it is a repeat that must draw on the retry budget.
    Admit {
        /// The attempt.
        attempt: AttemptNo,
        /// Where.
        deployment: DeploymentIdx,
        /// It draws on the retry budget.
        draws: bool,
    },
    /// Send it.
    Send(AttemptNo, AttemptLimits),
    /// Its bytes are the client's from now on.
    Commit(AttemptNo),
    /// Stop it; its outcome is `cancelled`, or the failure given.
    Cancel(AttemptNo, Option<FailureKind>),
    /// Call back then with `Timer`. Replaces the time asked for before.
    WakeAt(Timestamp),
    /// Over. Comes exactly once, last.
    Finish(Finish),
}

/// Actions, in the order to perform them.
pub type Actions = SmallVec<[Action; 4]>;

/// The board's view by deployment index, as far as failover needs it.
pub type BoardView<'a> = &'a [DeploymentView];
