//! What a provider can do wrong, or rightly but oddly, as steps on a socket: values, so that a new one is one arm.

use std::time::Duration;

use super::answer::{self, Problem, Speech};
use super::raw::{Framing, Step, head};
use super::{Call, Wire};

/// Words before a stream goes wrong in its middle.
const SAID_BEFORE: u32 = 8;
/// Between two bytes of a trickle: less than any limit on silence.
const DRIP: Duration = Duration::from_millis(40);
/// Longer than the longest event that the router takes.
const OVERSIZE_MIB: usize = 17;
/// A body as the worst seen in the wild.
const HUGE_MIB: usize = 48;
/// Longer than the longest head that the router takes.
const OVERSIZE_HEAD_BYTES: usize = 300 * 1024;

/// How a deployment behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Well.
    None,
    /// Nobody listens.
    Refused,
    /// Its name is not known.
    NoSuchName,
    /// It breaks off the TLS handshake.
    Tls,
    /// It takes the request and says nothing.
    Silence,
    /// It takes the request and resets the connection.
    Reset,
    /// It answers with this status and the error that belongs to it.
    Status(u16),
    /// A 429 that says when to come back, in seconds.
    Limited(u32),
    /// A 429 that means an empty account.
    OutOfCredit,
    /// A web page with 200.
    Html,
    /// 200 and no body.
    NoBody,
    /// An answer in the right form with nothing in it.
    Nothing,
    /// An error with 200.
    ErrorInside,
    /// The connection ends in the middle.
    Cut,
    /// The connection ends in the middle of a call of a function.
    CutInCall,
    /// The body ends in the middle, as if it were whole.
    EarlyEnd,
    /// Silence in the middle.
    Stall,
    /// A byte now and then, in the middle.
    Trickle,
    /// Something else than the wire format.
    Garbage,
    /// An event (of a JSON answer, a head) without end.
    Oversize,
    /// Nonsense by the megabyte.
    Huge,
    /// Well, after so many milliseconds of silence.
    SlowStart(u64),
}

/// The steps of an answer. `speech` is what a healthy one would say.
pub(super) fn steps(fault: Fault, wire: Wire, call: &Call, speech: &Speech) -> Vec<Step> {
    let answer = Answer { wire, call, speech };
    match fault {
        Fault::None | Fault::Refused | Fault::NoSuchName | Fault::Tls | Fault::Nothing => answer.healthy(),
        Fault::SlowStart(ms) => {
            let mut steps = vec![Step::Wait(Duration::from_millis(ms))];
            steps.extend(answer.healthy());
            steps
        }
        Fault::Silence => vec![Step::Hold],
        Fault::Reset => vec![Step::Reset],
        Fault::Status(_) | Fault::Limited(_) | Fault::OutOfCredit => refusal(fault, wire),
        Fault::Html => {
            let page = "<!DOCTYPE html><html><body><h1>Welcome to the proxy</h1></body></html>";
            whole(200, "text/html", "", page)
        }
        Fault::NoBody => whole(200, answer.content_type(), "", ""),
        Fault::ErrorInside => answer.error_inside(),
        Fault::Cut => answer.broken(&[Step::Close]),
        Fault::CutInCall => answer.first_of_call(),
        Fault::EarlyEnd => answer.early_end(),
        Fault::Stall => answer.broken(&[Step::Hold]),
        Fault::Trickle => answer.broken(&[Step::Drip(DRIP)]),
        Fault::Garbage => answer.garbage(),
        Fault::Oversize => answer.oversize(),
        Fault::Huge => answer.huge(),
    }
}

/// The status, body and seconds to stay away of a refusal; `None`: this fault is none.
pub(super) fn refused(fault: Fault, wire: Wire) -> Option<(u16, String, Option<u32>)> {
    let (problem, again) = match fault {
        Fault::Status(status) => (Problem::of(status, "scripted failure"), None),
        Fault::Limited(seconds) => (Problem::of(429, "scripted rate limit"), Some(seconds)),
        Fault::OutOfCredit => (out_of_credit(wire), None),
        _ => return None,
    };
    Some((problem.status, problem.body(wire), again))
}

/// A body of known length, and its connection stays.
fn whole(status: u16, content_type: &str, more: &str, body: &str) -> Vec<Step> {
    let mut bytes = head(status, content_type, more, Framing::Length(body.len()));
    bytes.extend_from_slice(body.as_bytes());
    vec![Step::Send(bytes)]
}

fn refusal(fault: Fault, wire: Wire) -> Vec<Step> {
    let Some((status, body, again)) = refused(fault, wire) else { return Vec::new() };
    let again = again.map(|seconds| format!("retry-after: {seconds}\r\n")).unwrap_or_default();
    whole(status, "application/json", &again, &body)
}

/// A 429 that is no rate limit, as each provider says it (their error pages; OpenAI by code, the others by text).
fn out_of_credit(wire: Wire) -> Problem<'static> {
    let problem = Problem::of(429, "");
    match wire {
        Wire::OpenaiChat => Problem {
            kind: "insufficient_quota",
            code: Some("insufficient_quota"),
            message: "You exceeded your current quota, please check your plan and billing details.",
            ..problem
        },
        Wire::Anthropic => Problem { message: "Your organization has reached its spend limit.", ..problem },
        Wire::Gemini => Problem { message: "Your prepayment credits are depleted.", ..problem },
    }
}

/// One answer to one call.
struct Answer<'a> {
    wire: Wire,
    call: &'a Call,
    speech: &'a Speech,
}

impl Answer<'_> {
    const fn content_type(&self) -> &'static str {
        if self.call.stream { "text/event-stream" } else { "application/json" }
    }

    fn opened(&self) -> Step {
        Step::Send(head(200, self.content_type(), "", Framing::Chunked))
    }

    fn json(&self) -> String {
        answer::whole(self.wire, self.call, self.speech)
    }

    fn events(&self) -> Vec<String> {
        answer::events(self.wire, self.call, self.speech)
    }

    fn healthy(&self) -> Vec<Step> {
        if !self.call.stream {
            return whole(200, self.content_type(), "", &self.json());
        }
        let mut steps = vec![self.opened()];
        steps.extend(self.events().into_iter().map(|event| Step::chunk(&event)));
        steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
        steps
    }

    /// The first words, or the first half of a JSON answer, and then this.
    fn broken(&self, then: &[Step]) -> Vec<Step> {
        let mut steps = if self.call.stream {
            let mut steps = vec![self.opened()];
            steps.extend(self.events().into_iter().take(1 + self.before()).map(|event| Step::chunk(&event)));
            steps
        } else {
            let body = self.json();
            let mut bytes = head(200, self.content_type(), "", Framing::Length(body.len()));
            bytes.extend_from_slice(body.get(..body.len() / 2).unwrap_or_default().as_bytes());
            vec![Step::Send(bytes)]
        };
        steps.extend_from_slice(then);
        steps
    }

    /// Words until it goes wrong: a continuation that is past that point goes wrong at once.
    fn before(&self) -> usize {
        SAID_BEFORE.saturating_sub(self.speech.from) as usize
    }

    fn first_of_call(&self) -> Vec<Step> {
        let words = (self.speech.to - self.speech.from) as usize;
        let mut steps = vec![self.opened()];
        // The opening, the words, the call's name and the first half of its arguments; Gemini has no halves.
        let calls = if self.wire == Wire::Gemini { 1 } else { 2 };
        steps.extend(self.events().into_iter().take(1 + words + calls).map(|event| Step::chunk(&event)));
        steps.push(Step::Close);
        steps
    }

    fn early_end(&self) -> Vec<Step> {
        if self.call.stream {
            return self.broken(&[Step::Send(b"0\r\n\r\n".to_vec())]);
        }
        let body = self.json();
        whole(200, self.content_type(), "", body.get(..body.len() / 2).unwrap_or_default())
    }

    fn error_inside(&self) -> Vec<Step> {
        let problem = Problem::of(500, "something went wrong inside").body(self.wire);
        if !self.call.stream {
            return whole(200, self.content_type(), "", &problem);
        }
        let name = if self.wire == Wire::Anthropic { "event: error\n" } else { "" };
        let mut steps = vec![self.opened()];
        steps.extend(self.events().into_iter().take(1).map(|event| Step::chunk(&event)));
        steps.push(Step::chunk(&format!("{name}data: {problem}\n\n")));
        steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
        steps
    }

    fn garbage(&self) -> Vec<Step> {
        let nonsense = "\u{0}\u{1}}{%%% \u{fffd}\n\nevent: what\ndata: }{ not json\n\ndata: [1,2\n\n";
        if !self.call.stream {
            return whole(200, self.content_type(), "", nonsense);
        }
        vec![self.opened(), Step::chunk(nonsense), Step::Send(b"0\r\n\r\n".to_vec())]
    }

    fn oversize(&self) -> Vec<Step> {
        if !self.call.stream {
            let header = format!("x-long: {}\r\n", "x".repeat(OVERSIZE_HEAD_BYTES));
            return whole(200, self.content_type(), &header, "{}");
        }
        vec![self.opened(), Step::chunk("data: "), Step::Flood(OVERSIZE_MIB), Step::Hold]
    }

    fn huge(&self) -> Vec<Step> {
        let framing = if self.call.stream { Framing::Chunked } else { Framing::Length(HUGE_MIB << 20) };
        let head = Step::Send(head(200, self.content_type(), "", framing));
        let flood = if self.call.stream { Step::Flood(HUGE_MIB) } else { Step::FloodBare(HUGE_MIB) };
        vec![head, flood, Step::Close]
    }
}
