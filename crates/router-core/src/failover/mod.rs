//! Failover as a state machine without IO: events in, actions out (DESIGN D6). It holds no payload.

mod failure;
mod hedge;
mod live;
mod machine;
mod options;
mod retry;
mod window;

use std::time::Duration;

use smallvec::SmallVec;

use crate::attempt::FailureKind;
use crate::compiled::DeploymentIdx;
use crate::select::DeploymentView;
use crate::time::Timestamp;

pub use hedge::HedgeCredit;
pub use machine::{Failover, FailoverInput};
pub use options::CallTerms;
pub use retry::RetryBudget;

/// Number of an attempt, from 1. One that is not admitted leaves its number to the next.
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

/// How an attempt comes by its place under the deployment's rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Taken if it is free at once.
    Now,
    /// As `Now`; when it is not free, the next one in line is booked if it comes before this time, and answered with
    /// [`NotAdmitted::Booked`]. Every waiting request so has a time of its own, and nobody polls.
    Book {
        /// Too late from then on.
        by: Timestamp,
    },
    /// Booked before; its time has come. Used up, or given back when the attempt is not admitted for another reason.
    Booked,
}

/// Why an attempt was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAdmitted {
    /// The half-open ticket went to somebody else, or the breaker opened or the deployment fell silent meanwhile. Never
    /// said to a last resort.
    Ticket,
    /// It was taken out by hand meanwhile. Said to a last resort too.
    Disabled,
    /// Rate limit spent until then.
    Rate(Timestamp),
    /// A place under the rate limit is booked for then (asked for with [`Place::Book`]).
    Booked(Timestamp),
    /// No place free.
    Concurrency,
    /// So many wait already that this one may not: come back then. It is not asked again for this request.
    QueueFull(Timestamp),
    /// The ceiling does not fit the money left.
    Budget,
    /// The retry budget is spent (asked for with `Admit { draws: true }`).
    RetryBudget,
    /// What was spent on this request, with what this attempt is expected to cost, is over the request's cost ceiling.
    CostCeiling,
    /// A hedge would cost more than hedging may (asked for with `Admit { hedge: true }`).
    HedgeCredit,
    /// What the client has seen cannot be gone on with there.
    CannotGoOn,
}

/// Another credential of the deployment that an attempt was refused by: it may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Another {
    /// It has room after so long; zero: now, and then the next call there is made with it or its like.
    pub ready_in: Duration,
    /// Credentials that the deployment has in all.
    pub credentials: u16,
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub kind: FailureKind,
    /// When the provider said to come back.
    pub retry_after: Option<Duration>,
    /// Another attempt can go on with what the client has seen of this one. Read of a committed attempt alone: of others
    /// it has seen nothing.
    pub can_go_on: bool,
    /// Of a failure that is its credential's (`FailureKind::is_of_one_credential`): whether there is another.
    pub another: Option<Another>,
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
    /// The attempt failed.
    Failed(AttemptNo, Failure),
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
    /// Whoever is left would bring the request over its cost ceiling. The last failure, if there was an attempt.
    OverCostCeiling(Option<FailureKind>),
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Take ticket, rate, concurrency, retry budget and hold, all or none; answer with `Admitted` or `NotAdmitted`.
    Admit {
        /// The attempt.
        attempt: AttemptNo,
        /// Where.
        deployment: DeploymentIdx,
        /// It draws on the retry budget.
        draws: bool,
        /// Nobody else is left: breaker, ramp and silence do not count.
        last_resort: bool,
        /// How it comes by its place under the rate limit.
        place: Place,
        /// It races with the one under way: it is made only if hedging may still cost so much.
        hedge: bool,
    },
    /// Its booking is not wanted any more.
    Unbook(AttemptNo),
    /// Send it.
    Send(AttemptNo, AttemptLimits),
    /// Its bytes are the client's from now on. Said again, of another attempt, when that one goes on with what a committed
    /// one left behind when it failed.
    Commit(AttemptNo),
    /// Stop it, or its admission if that is still under way; its outcome is `cancelled`, or the failure given.
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

#[cfg(test)]
mod tests;
