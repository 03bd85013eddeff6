//! A server at its own limits: places, memory for bodies, connections, the spool's disk, and its end. Whoever is refused
//! is told at once; whoever is modest is served.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use router_tests::client::{Answer, Reply, Request};
use router_tests::eventually;
use router_tests::plan::{self, Place};
use router_tests::prices::Price;
use router_tests::server::{self, Process, Server, binary, merged};
use router_tests::upstream::Wire;
use serde_json::{Value, json};

const GREEDY: &str = "sk-greedy-0123456789abcdef";
const MODEST: &str = "sk-modest-0123456789abcdef";
const LOW: &str = "sk-low-0123456789abcdef";
const ONE: &str = "sk-one-0123456789abcdef";

/// A provider whose streams last until they are left.
fn endless() -> Vec<Place> {
    let price = Price { input: 1_000_000, cached: 100_000, output: 4_000_000 };
    vec![Place::new("one", "economy", Wire::OpenaiChat, price).with(|script| {
        script.words = 3_000;
        script.word_gap = Duration::from_millis(100);
    })]
}

fn start(places: &[Place], server: &Value) -> Server {
    let keys = json!({ "server": server, "keys": [
        { "name": "greedy", "secret": GREEDY },
        { "name": "modest", "secret": MODEST },
        { "name": "low", "secret": LOW, "priority": -1 },
        { "name": "one", "secret": ONE, "concurrency": 1 },
    ] });
    Server::start(merged(plan::config(places), keys))
}

/// A streamed request whose text has so many bytes.
fn streamed(secret: &str, bytes: usize) -> Request {
    let text = "go on ".repeat(bytes / 6);
    let body = json!({ "model": "one/m", "stream": true, "messages": [{ "role": "user", "content": text }] });
    Request::chat(&body).with("x-api-key", secret)
}

/// Opens a stream and waits for its first event; `None` when it is refused.
fn hold(secret: &str, bytes: usize, at: SocketAddr) -> Option<Reply> {
    let mut reply = streamed(secret, bytes).open(at).unwrap();
    (reply.status == 200).then(|| {
        assert!(reply.event().unwrap().is_some());
        reply
    })
}

fn refused(answer: &Answer, status: u16, code: &str, text: &str) {
    let error = &answer.json()["error"];
    assert_eq!((answer.status, error["code"].as_str()), (status, Some(code)), "{error}");
    assert!(error["message"].as_str().unwrap().contains(text), "{error}");
    assert!(!answer.header("retry-after").is_empty());
}

#[test]
fn a_greedy_key_gets_its_share_and_a_modest_one_is_served() {
    let places = endless();
    let server = start(&places, &json!({ "max_in_flight": 10 }));
    let held: Vec<_> = (0..8).map(|_| hold(GREEDY, 60, server.data()).unwrap()).collect();
    let answer = streamed(GREEDY, 60).send(server.data());
    refused(&answer, 503, "overloaded", "its share");
    let modest = hold(MODEST, 60, server.data());
    assert!(modest.is_some(), "there is always a place for who holds none");
    // Lower priority sees four fifths of the places while a higher one is at work.
    refused(&streamed(LOW, 60).send(server.data()), 503, "overloaded", "higher priority");
    for path in ["/healthz", "/readyz", "/v1/models"] {
        let answer = Request::get(path).with("x-api-key", GREEDY).send(server.data());
        assert_eq!(answer.status, 200, "{path}");
    }
    assert_eq!(Request::get("/healthz").send(server.admin()).status, 200);
    drop((held, modest));
    eventually("places come back", || hold(LOW, 60, server.data()));
    assert!(server.metrics().contains("router_refusals_total{code=\"overloaded\"}"));
}

#[test]
fn bodies_have_so_much_memory_and_no_more() {
    let places = endless();
    let server = start(&places, &json!({ "max_body_bytes": 1_000_000, "max_body_memory_bytes": 1_000_000 }));
    let held = hold(GREEDY, 700_000, server.data()).unwrap();
    // Announced, and not a byte of it sent: it is refused by what it would be.
    let mut stream = TcpStream::connect(server.data()).unwrap();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nx-api-key: {MODEST}\r\n\
         content-type: application/json\r\ncontent-length: 400000\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 503");
    // One that does not say how long it is, is refused when there is no room for more.
    let mut stream = TcpStream::connect(server.data()).unwrap();
    let head = head.replace("content-length: 400000", "transfer-encoding: chunked");
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = [b"186a0\r\n".as_slice(), &[b' '; 100_000], b"\r\n"].concat();
    (0..4).for_each(|_| stream.write_all(&chunk).unwrap());
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 503");
    assert!(hold(MODEST, 6_000, server.data()).is_some(), "an ordinary one has room");
    drop(held);
    eventually("memory comes back", || hold(MODEST, 700_000, server.data()));
}

#[test]
fn a_keys_own_places_are_its_own() {
    let places = endless();
    let server = start(&places, &json!({}));
    let held = hold(ONE, 60, server.data()).unwrap();
    refused(&streamed(ONE, 60).send(server.data()), 429, "rate_limit_exceeded", "1 requests in flight");
    assert!(hold(MODEST, 60, server.data()).is_some());
    drop(held);
    eventually("its place comes back", || hold(ONE, 60, server.data()));
    // A client that leaves while it sends its body takes nothing with it.
    for _ in 0..3 {
        let mut stream = TcpStream::connect(server.data()).unwrap();
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nx-api-key: {ONE}\r\n\
             content-type: application/json\r\ncontent-length: 400000\r\n\r\n{{"
        );
        stream.write_all(head.as_bytes()).unwrap();
        drop(stream);
        eventually("its place comes back", || hold(ONE, 60, server.data()));
    }
}

/// Sends a request for the models on an open connection and reads as far as the end of the answer's head.
fn models(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
    let mut answer = Vec::new();
    while !answer.ends_with(br#"{"status":"ok"}"#) {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        answer.push(byte[0]);
    }
    Ok(())
}

#[test]
fn idle_connections_outlive_the_header_timer_and_dripping_ones_do_not() {
    let server = start(&endless(), &json!({ "header_timeout_ms": 300 }));
    let connect = || TcpStream::connect(server.data()).unwrap();
    let mut idle = connect();
    models(&mut idle).unwrap();
    // A connection on which nothing comes, and one on which a request drips: both are closed.
    let (mut silent, mut dripping) = (connect(), connect());
    dripping.write_all(b"GET /healthz HTTP/1.1\r\n").unwrap();
    eventually("what drips is cut off", || dripping.write_all(b"a: b\r\n").is_err().then_some(()));
    assert_eq!(silent.read(&mut [0]).unwrap_or(0), 0);
    // The same on one that was idle.
    let mut second = connect();
    models(&mut second).unwrap();
    second.write_all(b"GET /hea").unwrap();
    assert_eq!(second.read(&mut [0]).unwrap_or(0), 0);
    models(&mut idle).unwrap();
}

#[test]
fn an_idle_connection_is_closed_after_its_own_time() {
    let server = start(&endless(), &json!({ "idle_timeout_secs": 1 }));
    let mut idle = TcpStream::connect(server.data()).unwrap();
    models(&mut idle).unwrap();
    assert_eq!(idle.read(&mut [0]).unwrap_or(0), 0);
}

/// A client that stops reading leaves what was made for it in sockets, until they are full. Its place is not its own
/// for ever, nor does it see an end that was none.
#[test]
fn who_stops_reading_loses_its_place() {
    let flood = |place: Place| {
        place.with(|script| {
            script.words = 200_000;
            script.word_gap = Duration::ZERO;
        })
    };
    let places: Vec<_> = endless().into_iter().map(flood).collect();
    let server = start(&places, &json!({ "idle_timeout_secs": 1 }));
    let mut stuck = hold(ONE, 60, server.data()).unwrap();
    let _next = eventually("its place is free", || hold(ONE, 60, server.data()));
    let mut last = String::new();
    while let Ok(Some(event)) = stuck.event() {
        last = event;
    }
    assert!(!last.contains("[DONE]"), "{last}");
}

fn process(places: &[Place], more: Value) -> (tempfile::TempDir, Process) {
    let directory = server::directory();
    let path = directory.path().join("router.yaml");
    let config = merged(merged(server::base(), plan::config(places)), more);
    std::fs::write(&path, config.to_string()).unwrap();
    let process = Process::serve(&path);
    (directory, process)
}

#[test]
fn a_draining_server_says_so_closes_what_is_idle_and_hurries_when_told_twice() {
    let places = endless();
    let (_directory, mut process) = process(&places, json!({ "server": { "drain_secs": 600 } }));
    let mut idle = TcpStream::connect(process.data()).unwrap();
    models(&mut idle).unwrap();
    let _fresh = TcpStream::connect(process.data()).unwrap();
    let mut held = hold("", 60, process.data()).unwrap();
    process.signal("TERM");
    assert_eq!(idle.read(&mut [0]).unwrap_or(0), 0, "closed at once");
    let ready = eventually("it is not ready", || {
        let answer = Request::get("/readyz").send(process.admin());
        (answer.status == 503).then_some(answer)
    });
    assert_eq!(ready.json()["status"], "draining");
    assert!(held.event().unwrap().is_some(), "what runs goes on");
    process.signal("TERM");
    let mut last = String::new();
    while let Ok(Some(event)) = held.event() {
        last = event;
    }
    assert!(last.contains("shutting_down"), "{last}");
    assert!(process.wait().success(), "{}", process.log());
}

/// A server whose files may not grow beyond 8 KiB, as on a full disk; its database is in memory.
fn on_a_full_disk(places: &[Place], on_full: &str) -> (tempfile::TempDir, Process) {
    let directory = server::directory();
    let path = directory.path().join("router.yaml");
    let ledger = json!({ "ledger": { "url": "sqlite::memory:", "on_full": on_full } });
    std::fs::write(&path, merged(merged(server::base(), plan::config(places)), ledger).to_string()).unwrap();
    // In blocks of 512 bytes; without the trap the signal of a file that is too long would end the process.
    let script = r#"trap "" XFSZ; ulimit -f 16; exec "$0" serve --config "$1""#;
    let mut command = std::process::Command::new("sh");
    command.args(["-c", script]).arg(binary()).arg(&path).current_dir(directory.path()).env_clear();
    (directory, Process::start(command))
}

#[test]
fn what_a_full_disk_means_is_configured() {
    let price = Price { input: 1_000_000, cached: 100_000, output: 4_000_000 };
    let places = vec![Place::new("one", "economy", Wire::OpenaiChat, price)];
    let body = json!({ "model": "one/m", "messages": [{ "role": "user", "content": "hello" }] });
    let (_directory, refusing) = on_a_full_disk(&places, "refuse");
    let before = eventually("the disk is full", || {
        let calls = places[0].upstream.calls().len();
        let answer = Request::chat(&body).send(refusing.data());
        assert!(
            answer.status == 200 || answer.json()["error"]["code"] == "ledger_unavailable",
            "{}",
            answer.text()
        );
        (answer.status == 503).then_some(calls)
    });
    assert_eq!(places[0].upstream.calls().len(), before, "refused before anything is sent");
    assert_eq!(Request::get("/readyz").send(refusing.data()).status, 503);
    refusing.stop();
    let (_directory, serving) = on_a_full_disk(&places, "serve");
    eventually("the disk is full", || {
        assert_eq!(Request::chat(&body).send(serving.data()).status, 200);
        serving.log().contains("spool cannot be written").then_some(())
    });
    assert_eq!(Request::chat(&body).send(serving.data()).status, 200);
    assert_eq!(Request::get("/readyz").send(serving.data()).status, 200);
}
