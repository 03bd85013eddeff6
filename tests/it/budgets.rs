//! Budgets: never exceeded at any concurrency, through crashes and clients that leave, and nearly all of their money can be
//! spent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use router_tests::client::{Request, data};
use router_tests::eventually;
use router_tests::ledger::{self, Rows};
use router_tests::plan::{self, Place};
use router_tests::prices::{Price, nanousd, usd};
use router_tests::server::{self, Process, Server, merged};
use router_tests::spender::{self, DOLLAR, Kind};
use router_tests::upstream::{Ending, Wire};
use serde_json::{Value, json};

const KEY: &str = "sk-budget-0123456789abcdef";
const PRICE: Price = Price { input: 3_000_000, cached: 300_000, output: 10_000_000 };

fn place(words: u32) -> Place {
    Place::new("a", "economy", Wire::OpenaiChat, PRICE).with(|script| {
        script.words = words;
        script.latency = Duration::from_millis(2);
    })
}

fn config(places: &[Place], key: &Value) -> Value {
    let key = merged(json!({ "name": "k", "secret": KEY, "tags": ["labs"], "owner": "eve" }), key.clone());
    merged(plan::config(places), json!({ "selection": { "default_tier": "economy" }, "keys": [key] }))
}

fn one_dollar(places: &[Place]) -> Value {
    config(places, &json!({ "budget_usd": "1.00", "period": "total" }))
}

/// A question, with members of its own.
fn ask(members: Value) -> Request {
    spender::ask(KEY, members)
}

/// So many clients ask until there is no money, or their server is gone; how many streams were cut for want of it.
fn spend(clients: usize, addresses: &[SocketAddr]) -> usize {
    let at = |number: usize, turn| (turn == 0).then(|| addresses[number % addresses.len()]);
    spender::spend((clients, KEY), &Kind::ALL, &at).cut.into_inner()
}

fn assert_spent(rows: &Rows, limit: i128) {
    println!("{} of {} USD spent by {} attempts", usd(rows.cost_nanousd()), usd(limit), rows.attempts.len());
    spender::assert_spent(rows, limit);
}

#[test]
fn a_thousand_clients_spend_a_dollar_and_no_more() {
    let places = [place(200)];
    let directory = server::directory();
    let path = directory.path().join("router.yaml");
    std::fs::write(&path, merged(server::base(), one_dollar(&places)).to_string()).unwrap();
    let process = Process::serve(&path);
    let cut = spend(1_000, &[process.data()]);
    process.stop();
    println!("{cut} streams cut");
    let rows = ledger::read(&directory.path().join("router.db"));
    assert_spent(&rows, DOLLAR);
    // Every call is booked, and nothing else.
    let (by_call, calls) = (rows.by_call(), plan::calls(&places));
    let booked = |call: &str| by_call.contains_key(&ledger::plain(call));
    assert!(calls.iter().all(|(_, call)| booked(&call.id)));
}

/// A server of its own on the same ledger and spool.
fn serve(directory: &Path) -> Process {
    Process::serve(&directory.join("router.yaml"))
}

#[test]
fn three_processes_share_a_dollar_and_one_of_them_is_killed() {
    let places = [place(200)];
    let directory = server::directory();
    let path = directory.path();
    std::fs::write(path.join("router.yaml"), merged(server::base(), one_dollar(&places)).to_string())
        .unwrap();
    let (one, two, three) = (serve(path), serve(path), serve(path));
    let all = [one.data(), two.data(), three.data()];
    std::thread::scope(|scope| {
        let clients = scope.spawn(|| spend(120, &all));
        eventually("there is load", || (places[0].upstream.count() >= 60).then_some(()));
        three.kill();
        clients.join().unwrap();
    });
    // Whoever starts next finds what the killed one had drawn and not spent.
    let four = serve(path);
    let four_at = [four.data()];
    eventually("its money comes back and is spent", || {
        spend(4, &four_at);
        let usage = Request::get("/v1/router/usage").with("x-api-key", KEY).send(four.data()).json();
        let left = nanousd(usage["budgets"][0]["left_usd"].as_str().unwrap());
        (left < DOLLAR * 2 / 100).then_some(())
    });
    for process in [one, two, four] {
        process.stop();
    }
    let rows = ledger::read(&path.join("router.db"));
    assert_spent(&rows, DOLLAR);
    assert!(rows.attempts.iter().all(|row| row.outcome.is_some()), "everything has ended");
}

#[test]
fn what_a_dishonest_upstream_charges_too_much_is_reported_exactly() {
    let places = [place(5_000)];
    let server = Server::start(one_dollar(&places));
    let mut answers = 0;
    while ask(json!({ "max_tokens": 100 })).send(server.data()).status == 200 {
        answers += 1;
    }
    // Five cents each, a tenth of a cent held.
    assert_eq!(answers, 20);
    let metrics = server.metrics();
    let value = |name: &str| {
        let line = metrics.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{metrics}"));
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    let (overruns, overrun) =
        (value("router_budget_overruns_total"), value("router_budget_overrun_usd_total"));
    let rows = server.stop().rows();
    let excess: i128 =
        rows.attempts.iter().map(|row| i128::from(row.cost_nanousd - row.ceiling_nanousd).max(0)).sum();
    assert_eq!(overruns, 20.0);
    assert_eq!((overrun * 1e9).round() as i128, excess);
    let spent = rows.cost_nanousd();
    println!("{} USD spent of {}; {overruns} overruns, {} USD", usd(spent), usd(DOLLAR), usd(excess));
    assert!(spent <= DOLLAR + excess && spent > DOLLAR, "{}", usd(spent));
}

/// Members of which nothing is known here go upstream as they are, and may be read by the model.
#[test]
fn what_is_passed_through_unread_is_held_for() {
    const UNREAD: usize = 50_000;
    let places = [place(5)];
    let server = Server::start(one_dollar(&places));
    let thought = "y".repeat(UNREAD);
    let messages = json!([{ "role": "assistant", "content": "a", "reasoning_content": thought }, { "role": "user", "content": "go on" }]);
    let answer = ask(json!({ "messages": messages, "max_tokens": 5 })).send(server.data());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let row = &server.stop().rows().attempts[0];
    // A micro-USD per million tokens is a thousandth of a nano-USD per token.
    let least = UNREAD as i64 * i64::from(PRICE.input) / 1_000;
    assert!(row.ceiling_nanousd >= least, "{row:?}");
}

#[test]
fn a_cap_is_set_and_said_and_what_cannot_be_paid_is_refused() {
    let places = [place(10)];
    let budgets = json!({ "budgets": [
        { "name": "labs", "match": { "tag": "labs" }, "limit_usd": "0.02", "period": "day" },
        { "name": "strict", "match": { "owner": "eve", "model": "a/m" }, "limit_usd": "0.05", "when_low": "refuse" },
        { "name": "others", "match": { "tag": "others" }, "limit_usd": "0.000001" }
    ] });
    let server = Server::start(merged(config(&places, &json!({})), budgets));
    // 8,192 tokens would cost 8 cents, of which there are two: an eighth is less than an answer may need.
    let answer = ask(json!({})).send(server.data());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let cap: u64 = answer.header("x-router-clamped").strip_prefix("max_tokens=").unwrap().parse().unwrap();
    assert!((256..2_000).contains(&cap), "{cap}");
    let left = nanousd(answer.header("x-router-budget-left-usd"));
    assert!((19_000_000..20_000_000).contains(&left), "{left}");
    let sent = |at: usize| places[0].upstream.calls()[at].body.clone();
    assert_eq!(sent(0)["max_completion_tokens"].as_u64().or(sent(0)["max_tokens"].as_u64()), Some(cap));
    // What a client claims counts for nothing.
    let claimed = ask(json!({ "router": { "tags": ["others"] }, "max_tokens": 50 })).send(server.data());
    assert_eq!((claimed.status, claimed.header("x-router-clamped")), (200, ""));
    // One of its budgets never clamps, so nothing is: 8,192 tokens cost eight cents, and the tightest has two.
    let whole = ask(json!({ "model": "a/m" })).send(server.data());
    assert_eq!(whole.status, 402, "{}", whole.text());
    let error = &whole.json()["error"];
    assert_eq!(error["code"], "budget_exceeded");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("\"labs\" (0.02 USD, day)") && message.contains("begins anew at"), "{message}");
    assert_eq!(ask(json!({ "model": "a/m", "max_tokens": 50 })).send(server.data()).status, 200);

    let usage = Request::get("/v1/router/usage").with("x-api-key", KEY).send(server.data()).json();
    let names: Vec<_> = usage["budgets"].as_array().unwrap().iter().map(|b| b["name"].clone()).collect();
    assert_eq!(names, ["labs", "strict"], "{usage}");
    let (labs, metrics) = (&usage["budgets"][0], server.metrics());
    assert_eq!(
        (&labs["period"], &labs["limit_usd"], &labs["held_usd"]),
        (&json!("day"), &json!("0.02"), &json!("0"))
    );
    assert!(labs["resets_at"].as_str().unwrap().ends_with("T00:00:00.000000Z"), "{labs}");
    assert!(metrics.contains(r#"router_budget_left_usd{budget="labs"} 0.01"#), "{metrics}");
    let settled = nanousd(labs["settled_usd"].as_str().unwrap());
    assert_eq!(settled + nanousd(labs["left_usd"].as_str().unwrap()), 20_000_000);
    assert_eq!(settled, server.stop().rows().cost_nanousd());
}

#[test]
fn a_stream_that_comes_faster_than_money_is_drawn_is_not_cut() {
    let event = |choices: Value, usage: Value| {
        let event = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": choices, "usage": usage });
        format!("data: {event}\n\n")
    };
    // Pieces as long as some providers send, each more than the first slice pays for.
    let piece = |_| {
        let delta = json!({ "role": "assistant", "content": "word ".repeat(800) });
        event(json!([{ "index": 0, "delta": delta, "finish_reason": null }]), Value::Null)
    };
    let mut text: String = (0..4).map(piece).collect();
    text += &event(json!([{ "index": 0, "delta": {}, "finish_reason": "stop" }]), Value::Null);
    text +=
        &event(json!([]), json!({ "prompt_tokens": 40, "completion_tokens": 3_200, "total_tokens": 3_240 }));
    text += "data: [DONE]\n\n";
    let text: &'static str = text.leak();
    let places = [place(0).with(|script| script.raw = Some(text.as_bytes()))];
    let server = Server::start(one_dollar(&places));
    let answer = ask(json!({ "stream": true })).send(server.data()).text();
    assert!(answer.contains(r#""finish_reason":"stop""#), "{}", &answer[answer.len().saturating_sub(500)..]);
    assert_eq!(answer.matches("word ").count(), 3_200);
    let rows = server.stop().rows();
    assert_eq!((rows.attempts[0].output_tokens, rows.attempts[0].estimated), (3_200, false));
}

#[test]
fn a_stream_without_money_ends_cleanly_and_is_booked_as_far_as_it_came() {
    let places = [place(4_000)];
    let config = config(&places, &json!({ "budget_usd": "0.02", "period": "total" }));
    let server = Server::start(config);
    let answer =
        ask(json!({ "stream": true, "stream_options": { "include_usage": true } })).send(server.data());
    let events = answer.events();
    assert_eq!(answer.status, 200);
    let finish =
        events.iter().filter_map(|e| data(e)?["choices"][0]["finish_reason"].as_str().map(str::to_owned));
    assert_eq!(finish.collect::<Vec<_>>(), ["length"]);
    let usage =
        events.iter().filter_map(|e| data(e)).find(|d| d["usage"]["completion_tokens"].is_u64()).unwrap();
    let left = server.stop();
    let rows = left.rows();
    assert_eq!(rows.attempts.len(), 1);
    let row = &rows.attempts[0];
    assert_eq!((row.outcome.as_deref(), row.estimated), (Some("success"), true));
    assert_eq!(usage["usage"]["completion_tokens"].as_i64(), Some(row.output_tokens));
    assert!(row.cost_nanousd <= row.ceiling_nanousd && row.ceiling_nanousd <= 20_000_000, "{row:?}");
    assert!(plan::calls(&places).iter().all(|(_, call)| call.ending != Ending::Open));
}

/// A webhook's side: the bodies of the POSTs that come, each answered with this status.
fn hook(statuses: &'static [&'static str]) -> (String, std::sync::Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/budgets", listener.local_addr().unwrap());
    let bodies = std::sync::Arc::new(Mutex::new(Vec::new()));
    let into = std::sync::Arc::clone(&bodies);
    std::thread::spawn(move || {
        for (at, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut length = 0;
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line == "\r\n" {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let status = statuses[at.min(statuses.len() - 1)];
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
            if status.starts_with("200") {
                into.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
            }
        }
    });
    (url, bodies)
}

#[test]
fn alerts_are_told_once_and_again_until_they_arrive() {
    let places = [place(100)];
    let (url, told) = hook(&["500 No", "200 OK"]);
    let config = merged(
        config(&places, &json!({})),
        json!({ "webhooks": [{ "url": url }], "budgets": [
            { "name": "all", "limit_usd": "0.01", "period": "total", "alert_at": [0.5, 0.2] }] }),
    );
    let server = Server::start(config);
    // A tenth of the money each.
    let mut answers = 0;
    while ask(json!({ "max_tokens": 100 })).send(server.data()).status == 200 {
        answers += 1;
    }
    assert!((7..=9).contains(&answers), "{answers}");
    let all = eventually("all is told", || {
        let told = told.lock().unwrap();
        (told.len() >= 3).then(|| told.clone())
    });
    assert_eq!(ask(json!({ "max_tokens": 100 })).send(server.data()).status, 402);
    server.stop();
    let mut said: Vec<_> = all.iter().map(|t| (t["event"].as_str().unwrap(), t["share"].as_f64())).collect();
    said.sort_by(|a, b| a.partial_cmp(b).unwrap());
    assert_eq!(said, [("budget_alert", Some(0.2)), ("budget_alert", Some(0.5)), ("budget_exceeded", None)]);
    assert!(all.iter().all(|t| t["budget"] == "all" && t["limit_usd"] == "0.01"), "{all:?}");
}
