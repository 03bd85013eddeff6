//! Sockets that hold a server's places and do nothing, while streams run: no answer is mixed up with another, and the server
//! says that it is well. `ROUTER_TESTS_CROWD_SECS=600` runs it in full: 10,000 idle connections, 1,000 streams, so long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use router_tests::plan::{self, Place};
use router_tests::prices::Price;
use router_tests::server::{self, Process, merged};
use router_tests::swarm;
use router_tests::upstream::{Wire, said_with};
use serde_json::json;

/// How many of each.
struct Crowd {
    idle: u32,
    slowloris: u32,
    streams: u32,
    span: Duration,
    /// Between two words of a stream.
    word_gap: Duration,
    /// Headers that take longer are given up.
    header_timeout_ms: u64,
}

/// Words of a stream.
const WORDS: u32 = 20;

fn crowd() -> Crowd {
    match std::env::var("ROUTER_TESTS_CROWD_SECS").ok().and_then(|secs| secs.parse().ok()) {
        Some(secs) => {
            let (span, word_gap) = (Duration::from_secs(secs), Duration::from_millis(250));
            // A machine that is this busy may take seconds between a client's connection and its first byte.
            Crowd {
                idle: 10_000,
                slowloris: 1_000,
                streams: 1_000,
                span,
                word_gap,
                header_timeout_ms: 10_000,
            }
        }
        None => {
            let (span, word_gap) = (Duration::from_secs(5), Duration::from_millis(100));
            Crowd { idle: 2_000, slowloris: 1_000, streams: 200, span, word_gap, header_timeout_ms: 4_000 }
        }
    }
}

#[test]
fn streams_keep_their_own_words_among_sockets_that_do_nothing() {
    let crowd = crowd();
    let price = Price { input: 1_000_000, cached: 100_000, output: 4_000_000 };
    let places =
        [("o", Wire::OpenaiChat), ("a", Wire::Anthropic), ("g", Wire::Gemini)].map(|(name, wire)| {
            Place::new(name, "economy", wire, price).with(|script| {
                script.words = WORDS;
                script.word_gap = crowd.word_gap;
                script.echo = true;
            })
        });
    let more = json!({
        "server": { "max_connections": 16_000, "header_timeout_ms": crowd.header_timeout_ms },
        "selection": { "default_tier": "economy", "near_equal_percent": 100 }
    });
    let directory = server::directory();
    let path = directory.path().join("router.yaml");
    std::fs::write(&path, merged(merged(server::base(), plan::config(&places)), more).to_string()).unwrap();
    let process = Process::serve(&path);
    let (mixed, streams, health, memory) = swarm::block_on(run(&crowd, &process));
    assert_eq!(mixed, Vec::<String>::new(), "each answer has its own words, all of them");
    assert!(streams as u32 >= crowd.streams);
    assert!(health.iter().all(Option::is_some), "the server said that it is well, each time");
    let health: Vec<_> = health.into_iter().flatten().collect();
    println!(
        "{} idle, {} slowloris, {} streams at once: {streams} streams whole, none mixed; health p50 {:?}, p99 {:?}, most {:?}; memory {memory:?} KiB",
        crowd.idle,
        crowd.slowloris,
        crowd.streams,
        swarm::percentile(health.clone(), 50),
        swarm::percentile(health.clone(), 99),
        swarm::percentile(health, 100),
    );
    if let [.., early, late] = memory[..] {
        assert!(late < early + early / 4 + 32 * 1024, "memory grows: {memory:?} KiB");
    }
    process.stop();
}

/// Streams that were not as they must be, how many were, how long the health endpoint took, and memory at the start, after
/// a quarter of the time, and at the end.
async fn run(crowd: &Crowd, process: &Process) -> (Vec<String>, usize, Vec<Option<Duration>>, Vec<u64>) {
    let address = process.data();
    let mut memory: Vec<_> = process.memory_kib().into_iter().collect();
    let mut idlers = tokio::task::JoinSet::new();
    for _ in 0..crowd.idle {
        idlers.spawn(swarm::idle(address));
    }
    for _ in 0..crowd.slowloris {
        idlers.spawn(swarm::slowloris(address, Duration::from_millis(500)));
    }
    let (end, tokens) = (Instant::now() + crowd.span, Arc::new(AtomicU32::new(0)));
    let over = move || Instant::now() >= end;
    let clients = (0..crowd.streams).map(|_| {
        let tokens = Arc::clone(&tokens);
        async move {
            let (mut wrong, mut whole) = (Vec::new(), 0);
            // Each at least once, however busy the machine is.
            while whole == 0 || !over() {
                let token = tokens.fetch_add(1, Ordering::Relaxed);
                let body = json!({ "model": "auto", "stream": true,
                    "messages": [{ "role": "user", "content": format!("token {token}") }] });
                let shot = swarm::shoot(address, &body.to_string()).await;
                if shot.streamed_text().as_deref() == Some(&said_with(WORDS, token)) {
                    whole += 1;
                } else {
                    wrong.push(format!("{token}: {} {}", shot.status, String::from_utf8_lossy(&shot.body)));
                    return (wrong, whole);
                }
            }
            (wrong, whole)
        }
    });
    let quarter = async {
        tokio::time::sleep(crowd.span / 4).await;
        process.memory_kib()
    };
    let (streams, health, early) = tokio::join!(
        futures_util::future::join_all(clients.map(tokio::spawn)),
        swarm::health(address, Duration::from_millis(50), over),
        quarter
    );
    memory.extend(early);
    memory.extend(process.memory_kib());
    let (wrong, whole): (Vec<_>, Vec<_>) = streams.into_iter().map(Result::unwrap).unzip();
    (wrong.into_iter().flatten().collect(), whole.into_iter().sum(), health, memory)
}
