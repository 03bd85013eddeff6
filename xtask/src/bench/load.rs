//! The clients: a closed loop on each of so many connections, which are opened and warm before the measurement begins
//! and are still open when it has ended.

use std::io::BufRead as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use hyper::body::Bytes;
use serde::{Deserialize, Serialize};

use super::wire::Connection;
use super::workload::Workload;

/// What to ask whom, and for how long.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Name of the workload.
    #[arg(long)]
    workload: String,
    /// Port of loopback.
    #[arg(long)]
    port: u16,
    /// Connections.
    #[arg(long)]
    connections: u16,
    /// Milliseconds after which no further request is begun.
    #[arg(long)]
    ms: u64,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// Requests answered whole.
    pub(super) requests: u64,
    /// From the first request to the end of the last answer.
    pub(super) seconds: f64,
    /// Time to the end of an answer.
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
}

/// Connects, warms up, says `ready`, waits for a line, asks until the time is over, and prints what it saw. Then it holds
/// the connections until standard input is closed: closing them is no part of a request's cost.
///
/// # Errors
/// A wrong answer, or a broken connection.
pub(super) async fn run(arguments: &Arguments) -> Result<()> {
    let workload = Workload::named(&arguments.workload)
        .with_context(|| format!("no workload {}", arguments.workload))?;
    let bodies: Vec<Bytes> = workload.bodies().into_iter().map(Bytes::from).collect();
    let warm = (0..arguments.connections).map(|n| warmed(arguments.port, workload, bodies.clone(), n));
    let connections = all(warm).await?;
    println!("ready");
    let mut line = String::new();
    let mut input = std::io::stdin().lock();
    input.read_line(&mut line)?;
    let begun = Instant::now();
    let until = begun + Duration::from_millis(arguments.ms);
    let asking = connections.into_iter().map(|asker| asker.ask(workload.stream, until));
    let asked = all(asking).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let (mut latencies, mut open) = (Vec::new(), Vec::new());
    for (connection, took) in asked {
        open.push(connection);
        latencies.extend(took);
    }
    println!("{}", serde_json::to_string(&seen(latencies, seconds))?);
    while input.read_line(&mut line)? > 0 {}
    drop(open);
    Ok(())
}

/// Runs them all at once, up to the first error.
async fn all<T: 'static>(
    tasks: impl Iterator<Item = impl Future<Output = Result<T>> + 'static>,
) -> Result<Vec<T>> {
    let running: Vec<_> = tasks.map(tokio::task::spawn_local).collect();
    let mut done = Vec::with_capacity(running.len());
    for task in running {
        done.push(task.await.context("a client panicked")??);
    }
    Ok(done)
}

/// One client: its connection, and the bodies it sends in turn.
struct Asker {
    connection: Connection,
    bodies: Vec<Bytes>,
    next: usize,
}

async fn warmed(port: u16, workload: &Workload, bodies: Vec<Bytes>, number: u16) -> Result<Asker> {
    let mut asker = Asker { connection: Connection::open(port).await?, bodies, next: usize::from(number) };
    for _ in 0..workload.warm_up {
        asker.once(workload.stream).await?;
    }
    Ok(asker)
}

impl Asker {
    async fn once(&mut self, stream: bool) -> Result<()> {
        let body = self.bodies[self.next % self.bodies.len()].clone();
        self.next += 1;
        self.connection.chat(body, stream).await
    }

    /// What it saw, and the connection, still open.
    async fn ask(mut self, stream: bool, until: Instant) -> Result<(Connection, Vec<u64>)> {
        let mut took = Vec::new();
        loop {
            let begun = Instant::now();
            if begun >= until {
                return Ok((self.connection, took));
            }
            self.once(stream).await?;
            took.push(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
    }
}

fn seen(mut latencies: Vec<u64>, seconds: f64) -> Seen {
    latencies.sort_unstable();
    // Nearest rank, in whole numbers.
    let at = |percent: usize| {
        let rank = (latencies.len() * percent).div_ceil(100);
        latencies.get(rank.saturating_sub(1)).copied().unwrap_or(0)
    };
    Seen { requests: latencies.len() as u64, seconds, p50_us: at(50), p99_us: at(99) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_the_nearest_rank() {
        let seen = seen((1..=100).rev().collect(), 2.0);
        assert_eq!(seen, Seen { requests: 100, seconds: 2.0, p50_us: 50, p99_us: 99 });
    }

    #[test]
    fn nothing_seen_is_zero() {
        assert_eq!(seen(Vec::new(), 1.0).p99_us, 0);
    }
}
