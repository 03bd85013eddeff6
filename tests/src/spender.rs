//! Clients that spend a budget: each asks again and again, in its own way, until there is no money.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::client::{Reply, Request};
use crate::ledger::Rows;
use crate::prices::{nanousd, usd};
use crate::server::merged;

/// One dollar, in nano-USD.
pub const DOLLAR: i128 = 1_000_000_000;

/// Stack of a client's thread: a thousand of them fit anywhere.
const STACK_BYTES: usize = 256 * 1024;

/// How a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole answer, without a limit of its own.
    Json,
    /// A whole answer of at most 300 tokens.
    Capped,
    /// A stream, read to its end.
    Stream,
    /// A stream, left after its first event.
    Leaves,
    /// A whole answer of this model.
    Of(&'static str),
}

impl Kind {
    /// The four kinds that ask for any model.
    pub const ALL: [Self; 4] = [Self::Json, Self::Capped, Self::Stream, Self::Leaves];
}

/// What came of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// An answer, in full or left as meant; or others hold the money, and later there may be some.
    Goes,
    /// There is no money, for good.
    Spent,
    /// The ledger cannot be reached, and no more money is at hand.
    Away,
    /// The connection ended or was refused: the server was killed, or drains.
    Gone,
}

/// What many of them were told.
#[derive(Debug, Default)]
pub struct Tally {
    /// Answers.
    pub answers: AtomicUsize,
    /// Streams that ended for want of money.
    pub cut: AtomicUsize,
    /// Errors, because a provider had failed.
    pub failed: AtomicUsize,
}

/// A question of a key, with members of its own.
pub fn ask(key: &str, members: Value) -> Request {
    let body = json!({ "model": "auto", "messages": [{ "role": "user", "content": "go on" }] });
    Request::chat(&merged(body, members)).with("authorization", &format!("Bearer {key}"))
}

/// Asks once.
///
/// # Panics
/// When what comes is none of what may come.
pub fn asked(key: &str, kind: Kind, address: SocketAddr, tally: &Tally) -> Told {
    let request = match kind {
        Kind::Json => ask(key, json!({})),
        Kind::Capped => ask(key, json!({ "max_tokens": 300 })),
        Kind::Stream => ask(key, json!({ "stream": true, "stream_options": { "include_usage": true } })),
        Kind::Leaves => ask(key, json!({ "stream": true })),
        Kind::Of(model) => ask(key, json!({ "model": model })),
    };
    let Ok(mut reply) = request.open(address) else { return Told::Gone };
    match reply.status {
        200 => {}
        402 if reply.header("retry-after").is_empty() => return Told::Spent,
        402 => return Told::Goes,
        502 => {
            // Its provider failed, and for another one there was no money.
            let Some(text) = rest(&mut reply) else { return Told::Gone };
            assert!(text.contains("all_attempts_failed"), "{text}");
            tally.failed.fetch_add(1, Ordering::Relaxed);
            return Told::Goes;
        }
        503 => {
            let Some(text) = rest(&mut reply) else { return Told::Gone };
            let gone = text.contains("shutting_down");
            assert!(gone || text.contains("ledger_unavailable"), "{text}");
            return if gone { Told::Gone } else { Told::Away };
        }
        status => panic!("{kind:?}: {status}: {:?}", rest(&mut reply)),
    }
    if kind == Kind::Leaves {
        let _ = reply.event();
        return Told::Goes;
    }
    let Some(text) = rest(&mut reply) else { return Told::Gone };
    if kind == Kind::Stream {
        assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
        assert!(text.contains(r#""finish_reason":"#) && text.contains(r#""total_tokens":"#), "{text}");
        if text.contains(r#""finish_reason":"length""#) {
            assert!(text.contains(": x-router-cut: budget\n"), "{text}");
            tally.cut.fetch_add(1, Ordering::Relaxed);
        }
    }
    tally.answers.fetch_add(1, Ordering::Relaxed);
    Told::Goes
}

/// The rest of an answer; `None`: it broke off.
fn rest(reply: &mut Reply) -> Option<String> {
    let mut all = Vec::new();
    loop {
        match reply.piece() {
            Ok(Some(piece)) => all.extend(piece),
            Ok(None) => return Some(String::from_utf8_lossy(&all).into_owned()),
            Err(_) => return None,
        }
    }
}

/// So many clients ask, each again and again, until there is no money. Whose server is gone asks another one: `at` says
/// where a client's so many-th request goes, and ends it with `None`.
///
/// # Panics
/// When a client is told what it may not be.
pub fn spend(
    (clients, key): (usize, &str),
    kinds: &[Kind],
    at: &(dyn Fn(usize, usize) -> Option<SocketAddr> + Sync),
) -> Tally {
    let tally = Tally::default();
    let client = |number: usize| {
        let mut turn = 0;
        while let Some(address) = at(number / kinds.len(), turn) {
            match asked(key, kinds[number % kinds.len()], address, &tally) {
                Told::Goes | Told::Away => {}
                Told::Spent => return,
                Told::Gone => turn += 1,
            }
        }
    };
    std::thread::scope(|scope| {
        for number in 0..clients {
            let client = &client;
            let work = move || client(number);
            std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work).expect("a thread");
        }
    });
    tally
}

/// What a server says of its key's only budget: spent, held, left; nothing when it is gone.
pub fn usage(key: &str, address: SocketAddr) -> Option<(i128, i128, i128)> {
    let answer = Request::get("/v1/router/usage").with("x-api-key", key).try_send(address).ok()?;
    let budget = answer.json()["budgets"][0].clone();
    let figure = |name: &str| budget[name].as_str().map(nanousd);
    Some((figure("settled_usd")?, figure("held_usd")?, figure("left_usd")?))
}

/// Not more than the limit was spent, and nearly all of it could be.
///
/// # Panics
/// When that is not so.
pub fn assert_spent(rows: &Rows, limit: i128) {
    let spent = rows.cost_nanousd();
    assert!(spent <= limit, "{} of {}", usd(spent), usd(limit));
    assert!(spent >= limit * 98 / 100, "starved: {} of {}", usd(spent), usd(limit));
    for row in &rows.attempts {
        assert!(row.cost_nanousd <= row.ceiling_nanousd, "{row:?}");
    }
}
