//! What a provider may do, a row each, with what must become of it.

use router_tests::upstream::{Fault, Speech, Wire};

/// How an answer is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Whole.
    Json,
    /// Streamed.
    Stream,
    /// Streamed, words and then calls of functions.
    Tools,
}

pub(super) const MODES: [Mode; 3] = [Mode::Json, Mode::Stream, Mode::Tools];
pub(super) const WIRES: [Wire; 3] = [Wire::OpenaiChat, Wire::Anthropic, Wire::Gemini];

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// A first question.
    First,
    /// What comes after the result of a tool.
    AfterTool,
    /// A first question, one token long at most.
    OneToken,
}

/// Who else there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alternative {
    /// A healthy one.
    Healthy,
    /// A healthy one that speaks another wire format.
    Foreign,
    /// A healthy one that must not answer.
    Forbidden,
    /// Nobody.
    None,
}

pub(super) const ALTERNATIVES: [Alternative; 4] =
    [Alternative::Healthy, Alternative::Foreign, Alternative::Forbidden, Alternative::None];

impl Alternative {
    /// Somebody else may answer.
    pub(super) fn may_answer(self) -> bool {
        matches!(self, Self::Healthy | Self::Foreign)
    }

    /// The wire format it speaks, beside a faulty deployment that speaks this one.
    pub(super) fn wire(self, primary: Wire) -> Wire {
        let next = WIRES.iter().cycle().skip_while(|wire| **wire != primary).nth(1).copied();
        next.filter(|_| self == Self::Foreign).unwrap_or(primary)
    }
}

/// What health records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// Every failure is counted.
    Counted,
    /// The breaker opens at once.
    Opens,
    /// Nothing.
    Nothing,
}

/// One thing a provider does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) fault: Fault,
    pub(super) turn: Turn,
    /// The kind of failure recorded for a JSON answer and for a streamed one; empty: it is none.
    pub(super) fails: [&'static str; 2],
    pub(super) health: Health,
    /// It may be billed, so it is booked, as an estimate.
    pub(super) billed: bool,
    /// Of a stream, something was shown before it failed.
    pub(super) shown: bool,
    /// Where nobody else is, it is tried again.
    pub(super) again: bool,
    /// It is noticed by a time limit.
    pub(super) silent: bool,
    /// The error's code where nobody else may answer.
    pub(super) code: &'static str,
}

/// A failure that is noticed at once, before anything was shown, and cannot be billed.
const FAILS: Row = Row {
    name: "",
    fault: Fault::None,
    turn: Turn::First,
    fails: ["unavailable"; 2],
    health: Health::Counted,
    billed: false,
    shown: false,
    again: true,
    silent: false,
    code: "all_attempts_failed",
};

/// An answer that cannot be used: it may have cost money.
const UNUSABLE: Row = Row { fails: ["bad_reply"; 2], billed: true, ..FAILS };
/// A stream that breaks after something was shown.
const BREAKS: Row = Row { fails: ["truncated"; 2], billed: true, shown: true, ..FAILS };
/// Nothing wrong.
const WELL: Row = Row { fails: [""; 2], health: Health::Nothing, again: false, ..FAILS };
/// A limit, which says nothing of health.
const LIMITED: Row =
    Row { fails: ["rate_limited"; 2], health: Health::Nothing, code: "rate_limit_exceeded", ..FAILS };
/// Credentials or money: no repeat helps.
const SHUT: Row = Row { health: Health::Opens, again: false, ..FAILS };

pub(super) const ROWS: [Row; 30] = [
    Row { name: "healthy", ..WELL },
    Row { name: "refused connect", fault: Fault::Refused, ..FAILS },
    Row { name: "DNS failure", fault: Fault::NoSuchName, ..FAILS },
    Row { name: "TLS failure", fault: Fault::Tls, ..FAILS },
    Row {
        name: "accept and silence",
        fault: Fault::Silence,
        fails: ["timeout"; 2],
        billed: true,
        silent: true,
        ..FAILS
    },
    Row { name: "reset before headers", fault: Fault::Reset, billed: true, ..FAILS },
    Row { name: "500", fault: Fault::Status(500), ..FAILS },
    Row { name: "502", fault: Fault::Status(502), ..FAILS },
    Row { name: "503", fault: Fault::Status(503), fails: ["overloaded"; 2], ..FAILS },
    Row { name: "529", fault: Fault::Status(529), fails: ["overloaded"; 2], ..FAILS },
    Row { name: "429 bare", fault: Fault::Status(429), ..LIMITED },
    Row { name: "429 with retry-after", fault: Fault::Limited(120), again: false, ..LIMITED },
    Row { name: "429 out of money", fault: Fault::OutOfCredit, fails: ["out_of_credit"; 2], ..SHUT },
    Row { name: "401", fault: Fault::Status(401), fails: ["auth"; 2], ..SHUT },
    Row { name: "HTML with 200", fault: Fault::Html, ..UNUSABLE },
    Row { name: "200 without a body", fault: Fault::NoBody, fails: ["empty", "truncated"], ..UNUSABLE },
    Row { name: "empty 200", fault: Fault::Nothing, fails: ["empty"; 2], ..UNUSABLE },
    Row { name: "error in 200", fault: Fault::ErrorInside, ..FAILS },
    Row { name: "cut at word 8", fault: Fault::Cut, ..BREAKS },
    Row { name: "cut in a tool call", fault: Fault::CutInCall, ..BREAKS },
    Row { name: "clean end without finish", fault: Fault::EarlyEnd, ..BREAKS },
    Row { name: "stall", fault: Fault::Stall, fails: ["timeout", "stalled"], silent: true, ..BREAKS },
    Row { name: "trickle", fault: Fault::Trickle, fails: ["timeout", "stalled"], silent: true, ..BREAKS },
    Row { name: "garbage", fault: Fault::Garbage, ..UNUSABLE },
    Row { name: "U+2028 inside data", ..WELL },
    Row { name: "oversize event", fault: Fault::Oversize, fails: ["unavailable", "bad_reply"], ..UNUSABLE },
    Row { name: "48 MB of nonsense", fault: Fault::Huge, ..UNUSABLE },
    Row { name: "empty end of turn after a tool", fault: Fault::Nothing, turn: Turn::AfterTool, ..WELL },
    Row { name: "max_tokens 1", turn: Turn::OneToken, ..WELL },
    Row { name: "long silence, reasoning", fault: Fault::SlowStart(1_500), ..WELL },
];

/// Words of an answer.
const WORDS: u32 = 12;

impl Row {
    /// Whether it can happen in this mode.
    pub(super) fn happens(&self, mode: Mode) -> bool {
        self.fault != Fault::CutInCall || mode == Mode::Tools
    }

    /// What a deployment says in this mode when it is well, and what the client must have got.
    pub(super) fn speech(&self, mode: Mode) -> Speech {
        let words = Speech::words(WORDS);
        match self.turn {
            Turn::AfterTool => Speech { to: 0, tokens: 0, ..words },
            // Nothing of it is visible, as when a model spends its one token on a thought.
            Turn::OneToken => Speech { to: 0, tokens: 0, capped: true, ..words },
            Turn::First if self.name.starts_with("U+2028") => {
                Speech { mark: "\u{2028}", calls: mode == Mode::Tools, ..words }
            }
            Turn::First => Speech { calls: mode == Mode::Tools, ..words },
        }
    }

    /// What the faulty deployment would say: of an empty 200, nothing.
    pub(super) fn faulty_speech(&self, mode: Mode) -> Speech {
        match self.fault {
            Fault::Nothing => Speech { to: 0, tokens: 0, calls: false, ..self.speech(mode) },
            _ => self.speech(mode),
        }
    }

    /// The kind of failure that is recorded, if it is one.
    pub(super) fn kind(&self, mode: Mode) -> Option<&'static str> {
        let kind = if mode == Mode::Json { self.fails[0] } else { self.fails[1] };
        Some(kind).filter(|kind| !kind.is_empty())
    }

    /// A stream of it breaks after the client has seen something.
    pub(super) fn breaks_visibly(&self, mode: Mode) -> bool {
        self.shown && mode != Mode::Json
    }

    /// Megabytes are moved.
    pub(super) fn is_heavy(&self) -> bool {
        matches!(self.fault, Fault::Oversize | Fault::Huge)
    }
}
