//! Killed in the middle of streams on a budget, again and again, also while an older process still drains: every call that
//! an upstream saw is booked once, and what was not spent can be. `ROUTER_TESTS_KILLS=200` kills so many times; CI five.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use router_tests::eventually;
use router_tests::ledger::{Database, Rows, plain};
use router_tests::plan::{self, Place};
use router_tests::prices::{Price, usd};
use router_tests::server::{self, Process, merged};
use router_tests::spender::{self, DOLLAR, Kind};
use router_tests::upstream::{Call, Ending, Wire};
use serde_json::json;

const KEY: &str = "sk-budget-0123456789abcdef";
const PRICE: Price = Price { input: 3_000_000, cached: 300_000, output: 10_000_000 };

/// Clients at work while servers are killed.
const CLIENTS: usize = 12;

/// Money per kill, in nano-USD: what a dozen answers of some hundred tokens may cost at most.
const PER_KILL: i128 = DOLLAR / 4;

/// Answers that take a while, and answers that do not.
fn places() -> Vec<Place> {
    let place = |name, wire, words, gap_ms| {
        Place::new(name, "economy", wire, PRICE).with(|script| {
            script.words = words;
            script.word_gap = Duration::from_millis(gap_ms);
        })
    };
    vec![place("quick", Wire::Anthropic, 20, 3), place("slow", Wire::OpenaiChat, 600, 1)]
}

/// How a round ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The only process is killed.
    Alone,
    /// A new one is killed while the old one drains; that ends whole.
    New,
    /// The old one is killed while it drains; the new one ends whole.
    Draining,
}

/// Load on whatever serves now; the requests answered in full.
struct Load<'a> {
    places: &'a [Place],
    at: Mutex<SocketAddr>,
    over: AtomicBool,
    received: Mutex<Vec<String>>,
}

impl Load<'_> {
    fn client(&self, number: usize) {
        let model = ["slow/m", "quick/m"][number % 2];
        for turn in 0.. {
            if self.over.load(Ordering::SeqCst) {
                return;
            }
            let at = *self.at.lock().unwrap();
            let request = spender::ask(KEY, json!({ "model": model, "stream": true }));
            let Ok(mut reply) = request.open(at) else { continue };
            assert!([200, 503].contains(&reply.status), "{}", reply.status);
            let id = plain(reply.header("x-request-id"));
            if (number + turn).is_multiple_of(5) {
                let _ = reply.event();
                continue;
            }
            let mut last = String::new();
            while let Ok(Some(event)) = reply.event() {
                last = event;
            }
            if last == "data: [DONE]\n\n" {
                self.received.lock().unwrap().push(id);
            }
        }
    }

    /// Waits until so many more calls were made, and several streams are under way.
    fn grown(&self, calls: usize) {
        let count = || self.places.iter().map(|place| place.upstream.count()).sum::<usize>();
        let open = || self.places.iter().map(|place| place.upstream.open()).sum::<usize>();
        let before = count();
        eventually("there is load", || (count() >= before + calls && open() >= 4).then_some(()));
    }

    fn end(&self, process: Process) {
        self.over.store(true, Ordering::SeqCst);
        process.kill();
    }
}

/// One round; the requests that were answered in full.
fn round(config: &Path, places: &[Place], end: End, calls: usize) -> Vec<String> {
    let mut first = Process::serve(config);
    let load = Load {
        places,
        at: Mutex::new(first.data()),
        over: AtomicBool::new(false),
        received: Mutex::default(),
    };
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let load = &load;
            scope.spawn(move || load.client(number));
        }
        load.grown(calls);
        if let End::Alone = end {
            return load.end(first);
        }
        let second = Process::serve(config);
        *load.at.lock().unwrap() = second.data();
        first.signal("TERM");
        load.grown(calls / 2);
        match end {
            End::New => {
                load.end(second);
                assert!(first.wait().success(), "{}", first.log());
            }
            _ => {
                first.kill();
                load.grown(calls / 2);
                load.over.store(true, Ordering::SeqCst);
                second.stop();
            }
        }
    });
    load.received.into_inner().unwrap()
}

/// At most so much did the provider charge for what it has sent.
fn sent(call: &Call) -> i128 {
    // A stream has a few events around its words.
    let words = call.sent_events.saturating_sub(5) as u64;
    PRICE.cost_nanousd(call.input_tokens, call.cached_tokens, words)
}

/// Every call has one row, which books what it cost or as much as it may have cost; how many ended how.
fn assert_booked(rows: &Rows, places: &[Place]) -> BTreeMap<String, usize> {
    let by_call = rows.by_call();
    assert_eq!(by_call.len(), rows.attempts.len(), "no attempt twice");
    let mut endings = BTreeMap::new();
    for (place, call) in plan::calls(places) {
        let row = by_call.get(&plain(&call.id)).unwrap_or_else(|| panic!("a call without a row: {call:?}"));
        assert_eq!(row.deployment, place.id());
        let outcome = row.outcome.clone().unwrap_or_else(|| panic!("not ended after a restart: {row:?}"));
        let cost = i128::from(row.cost_nanousd);
        match outcome.as_str() {
            "success" if !row.estimated => {
                assert_eq!((call.ending, cost), (Ending::Whole, place.price.of_call(&call)), "{row:?}");
            }
            "lost" => {
                assert_eq!((row.cost_nanousd, row.estimated), (row.ceiling_nanousd, true), "{row:?}");
                assert!(cost >= sent(&call), "{row:?} {call:?}");
            }
            "success" | "cancelled" => assert!(row.estimated && row.cost_nanousd > 0, "{row:?}"),
            other => panic!("{other}: {row:?}"),
        }
        *endings.entry(outcome).or_default() += 1;
    }
    // What was written down and never sent was lost with its process.
    let called = endings.values().sum::<usize>();
    let lost = rows.attempts.iter().filter(|row| row.outcome.as_deref() == Some("lost")).count();
    assert!(rows.attempts.len() - called <= lost, "{called} calls, {} rows", rows.attempts.len());
    endings
}

#[test]
fn no_money_is_forgotten_or_booked_twice_after_kill_9() {
    let kills: usize = std::env::var("ROUTER_TESTS_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(5);
    let limit = PER_KILL * (kills as i128 + 2);
    let key = json!({ "name": "k", "secret": KEY, "budget_usd": usd(limit), "period": "total" });
    let places = places();
    let directory = server::directory();
    let config = directory.path().join("router.yaml");
    let text =
        merged(plan::config(&places), json!({ "keys": [key], "selection": { "default_tier": "economy" } }));
    std::fs::write(&config, merged(server::base(), text).to_string()).unwrap();

    let mut received = Vec::new();
    for kill in 0..kills {
        let end = [End::Alone, End::New, End::Draining][kill % 3];
        received.extend(round(&config, &places, end, 16 + kill * 7 % 24));
    }
    let database = Database::at(&format!("sqlite://{}", directory.path().join("router.db").display()));
    // What is left can be spent, to the end; a long answer is cut when there is no money to go on.
    for place in &places {
        place.upstream.script(|script| (script.words, script.word_gap) = (3_000, Duration::ZERO));
    }
    let last = Process::serve(&config);
    let (before, ..) = spender::usage(KEY, last.data()).unwrap();
    let at = |_, turn| (turn == 0).then_some(last.data());
    eventually("everything is spent", || {
        spender::spend((8, KEY), &[Kind::Stream], &at);
        let (_, _, left) = spender::usage(KEY, last.data())?;
        (left < limit * 2 / 100).then_some(())
    });
    last.stop();

    let rows = database.rows();
    let by_request = rows.by_request();
    assert_eq!(by_request.len(), rows.requests.len(), "no request twice");
    for id in &received {
        let row = by_request.get(id).unwrap_or_else(|| panic!("an answer that is not in the ledger: {id}"));
        assert_eq!(row.outcome, "success", "{row:?}");
    }
    let endings = assert_booked(&rows, &places);
    spender::assert_spent(&rows, limit);
    let budgets = database.budgets().unwrap();
    let spent = i64::try_from(rows.cost_nanousd()).unwrap();
    assert_eq!(budgets.len(), 1, "{budgets:?}");
    let budget = &budgets[0];
    assert_eq!((budget.allotted, budget.settled, budget.drawers), (spent, spent, 0), "{budget:?}");
    println!(
        "{kills} kills: {} streams received in full, {endings:?}; {} USD of {} spent, {} of it before the last start",
        received.len(),
        usd(spent.into()),
        usd(limit),
        usd(before)
    );
}
