//! What must have come of a cell: one clean answer, or one clear error; the calls, health and money that belong to it.

use router_tests::prices::nanousd;
use router_tests::upstream::{Ending, Fault};

use super::cells::{ATTEMPTS, Came, PRICE, SILENT_MS};
use super::rows::{Health, Mode};

/// Far longer than a busy machine needs beyond the limits.
const SLACK_MS: u128 = 20_000;

/// What may end a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The faulty deployment's own answer, which is none of a fault.
    Own,
    /// Another one's answer, or its end.
    Other,
    /// An error.
    Error,
}

/// What must end this one.
pub(super) fn fate(came: &Came) -> Fate {
    let (row, mode) = (came.cell.row, came.cell.mode);
    // A part of a call that was shown cannot be taken back.
    let hopeless = row.fault == Fault::CutInCall;
    match row.kind(mode) {
        None => Fate::Own,
        Some(_) if came.cell.alternative.may_answer() && !hopeless => Fate::Other,
        Some(_) => Fate::Error,
    }
}

/// Everything that is not as it must be, a line each.
pub(super) fn wrongs(came: &Came) -> Vec<String> {
    let fate = fate(came);
    let mut wrongs = Vec::new();
    let mut expect = |holds: bool, what: String| {
        if !holds {
            wrongs.push(format!("{}: {what}", came.cell.place()));
        }
    };
    match fate {
        Fate::Error => error(came, &mut expect),
        Fate::Own | Fate::Other => answer(came, &mut expect),
    }
    calls(came, fate, &mut expect);
    health(came, &mut expect);
    money(came, fate, &mut expect);
    let most = u128::from(SILENT_MS) * ATTEMPTS as u128 + SLACK_MS;
    expect(came.took.as_millis() < most, format!("took {:?}", came.took));
    wrongs
}

type Expect<'a> = &'a mut dyn FnMut(bool, String);

/// The whole answer, once, with its end.
fn answer(came: &Came, expect: Expect<'_>) {
    let (saw, speech) = (&came.saw, came.cell.row.speech(came.cell.mode));
    let clean = came.answer.status == 200 && saw.error.is_none() && saw.ended;
    expect(clean, format!("no clean answer: {} {:.600}", came.answer.status, came.answer.text()));
    expect(saw.text == speech.text(), format!("the text is {:?}", saw.text));
    let called = if speech.calls { vec!["get_weather", "get_time"] } else { Vec::new() };
    expect(saw.calls == called, format!("calls {:?}", saw.calls));
    let reason = match (speech.capped, speech.calls) {
        (true, _) => "length",
        (_, true) => "tool_calls",
        _ => "stop",
    };
    expect(saw.finish.as_deref() == Some(reason), format!("finish {:?}", saw.finish));
}

/// One clear error, and nothing that looks like an end.
fn error(came: &Came, expect: Expect<'_>) {
    let (saw, row, answer) = (&came.saw, came.cell.row, &came.answer);
    expect(saw.error.as_deref() == Some(row.code), format!("error {:?}: {:.600}", saw.error, answer.text()));
    expect(!saw.ended && saw.finish.is_none(), "an error that looks like an end".into());
    let visible = row.breaks_visibly(came.cell.mode);
    let status = match row.code {
        _ if visible => 200,
        "rate_limit_exceeded" => 429,
        _ => 502,
    };
    expect(answer.status == status, format!("status {}", answer.status));
    let retry = answer.header("x-should-retry");
    expect(retry == if visible { "" } else { "false" }, format!("x-should-retry {retry:?}"));
    if let Fault::Limited(seconds) = row.fault {
        let again: u32 = answer.header("retry-after").parse().unwrap_or_default();
        expect((seconds - 5..=seconds + 1).contains(&again), format!("retry-after {again}"));
    }
}

/// Who was called, as the deployments and the ledger have it.
fn calls(came: &Came, fate: Fate, expect: Expect<'_>) {
    let (row, mode) = (came.cell.row, came.cell.mode);
    for call in came.calls.iter().flatten() {
        expect(call.invalid.is_none(), format!("a call that no provider takes: {:?}", call.invalid));
    }
    let attempts: Vec<_> = came
        .attempts
        .iter()
        .map(|row| {
            let primary = row.deployment.starts_with(&format!("{}/", came.cell.primary()));
            let how = row.failure.as_deref().or(row.outcome.as_deref()).unwrap_or("open");
            (primary, how)
        })
        .collect();
    let kind = row.kind(mode).unwrap_or_default();
    let as_must_be = match fate {
        Fate::Own => attempts == [(true, "success")],
        Fate::Other => attempts == [(true, kind), (false, "success")],
        Fate::Error if !row.again => attempts == [(true, kind)],
        // What was shown cannot be shown again: how often a rescue by the same deployment is tried is not of interest.
        Fate::Error if row.breaks_visibly(mode) => {
            (1..=ATTEMPTS).contains(&attempts.len()) && attempts.iter().all(|(primary, _)| *primary)
        }
        Fate::Error => attempts == [(true, kind); ATTEMPTS],
    };
    expect(as_must_be, format!("attempts {attempts:?}"));
    let unseen = matches!(row.fault, Fault::Refused | Fault::NoSuchName | Fault::Tls);
    let tried = attempts.iter().filter(|(primary, _)| *primary).count();
    let seen = [came.calls[0].len(), came.calls[1].len()];
    let due = [if unseen { 0 } else { tried }, usize::from(fate == Fate::Other)];
    expect(seen == due, format!("calls received {seen:?}, due {due:?}"));
}

/// What is recorded of the health of both.
fn health(came: &Came, expect: Expect<'_>) {
    let [primary, other] = &came.health;
    let tried = came.attempts.iter().filter(|row| row.failure.is_some()).count();
    let failures = primary["window_failures"].as_u64().unwrap_or(u64::MAX);
    let (open, due) = match came.cell.row.health {
        Health::Counted => ("closed", Some(tried as u64)),
        Health::Opens => ("open", None),
        Health::Nothing => ("closed", Some(0)),
    };
    expect(primary["breaker"] == open, format!("breaker {}", primary["breaker"]));
    expect(due.is_none_or(|due| due == failures), format!("{failures} failures recorded, due {due:?}"));
    let untouched = other.is_null() || (other["breaker"] == "closed" && other["window_failures"] == 0);
    expect(untouched, format!("the healthy one's health: {other}"));
}

/// What is booked: exact for what was answered, an estimate for what may be billed, nothing for the rest.
fn money(came: &Came, fate: Fate, expect: Expect<'_>) {
    let answered = &came.calls[usize::from(fate == Fate::Other)];
    let mut due = answered.iter().filter(|call| call.ending == Ending::Whole).map(|call| PRICE.of_call(call));
    for row in &came.attempts {
        let cost = i128::from(row.cost_nanousd);
        let right = match row.failure {
            None => Some(cost) == due.next() && !row.estimated,
            Some(_) if came.cell.row.billed => {
                cost > 0 && cost <= row.ceiling_nanousd.into() && row.estimated
            }
            Some(_) => cost == 0 && !row.estimated,
        };
        expect(right, format!("booked {row:?}"));
    }
    let sum: i128 = came.attempts.iter().map(|row| i128::from(row.cost_nanousd)).sum();
    let booked = came.request.as_ref().map(|row| (row.outcome.as_str(), i128::from(row.cost_nanousd)));
    let outcome = if fate == Fate::Error { came.cell.row.code } else { "success" };
    expect(booked == Some((outcome, sum)), format!("the request's row {booked:?}, due {outcome} {sum}"));
    let said = came.answer.header("x-router-cost-usd");
    if came.cell.mode == Mode::Json && fate != Fate::Error {
        expect(!said.is_empty() && nanousd(said) == sum, format!("the cost said is {said:?}, due {sum}"));
    }
}
