//! Many clients at once, as tasks: requests at a rate or by so many clients in turn, connections that do nothing, and such
//! that never end their headers. Times are taken, nothing is judged.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// One request and its end.
#[derive(Clone, Debug)]
pub struct Shot {
    /// When it was sent.
    pub at: Instant,
    /// Until all of its answer was there.
    pub took: Duration,
    /// HTTP status; 0: the connection failed.
    pub status: u16,
    /// Body; of a failed connection, why.
    pub body: Vec<u8>,
}

impl Shot {
    /// The text of a streamed chat answer; `None`: not a whole one.
    pub fn streamed_text(&self) -> Option<String> {
        let text = std::str::from_utf8(&self.body).ok()?;
        let whole = self.status == 200 && text.ends_with("data: [DONE]\n\n");
        let delta = |event: &str| {
            Some(crate::client::data(event)?["choices"][0]["delta"]["content"].as_str()?.to_owned())
        };
        whole.then(|| text.split("\n\n").filter_map(delta).collect())
    }
}

/// Sends a chat request on a connection of its own and reads its whole answer.
pub async fn shoot(address: SocketAddr, body: &str) -> Shot {
    let at = Instant::now();
    let ended = send(address, body).await;
    let took = at.elapsed();
    match ended {
        Ok((status, body)) => Shot { at, took, status, body },
        Err(error) => Shot { at, took, status: 0, body: error.to_string().into_bytes() },
    }
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

async fn send(address: SocketAddr, body: &str) -> Result<(u16, Vec<u8>), AnyError> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = hyper::Request::post("/v1/chat/completions")
        .header("host", address.to_string())
        .header("content-type", "application/json")
        .header("connection", "close")
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))?;
    let answer = sender.send_request(request).await?;
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await?.to_bytes().to_vec();
    connection.abort();
    Ok((status, body))
}

/// Runs on a runtime with threads of its own, to the end.
///
/// # Panics
/// When there is no runtime to be had.
pub fn block_on<T>(all: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(all)
}

/// As [`crate::eventually`], beside other work of the same thread.
///
/// # Panics
/// With `what`, when it does not come within a minute.
pub async fn eventually(what: &str, mut look: impl FnMut() -> bool) {
    let end = Instant::now() + crate::PATIENCE;
    while !look() {
        assert!(Instant::now() < end, "never came to hold: {what}");
        tokio::time::sleep(crate::LOOK_EVERY).await;
    }
}

/// So many requests per second for so many whole seconds, whatever becomes of the earlier ones; waits for all of them.
///
/// # Panics
/// When a task does.
pub async fn at_rate(
    address: SocketAddr,
    per_sec: u32,
    span: Duration,
    body: impl Fn(u32) -> String,
) -> Vec<Shot> {
    let (start, every) = (tokio::time::Instant::now(), Duration::from_secs(1) / per_sec);
    let mut all = JoinSet::new();
    for number in 0..per_sec * u32::try_from(span.as_secs()).unwrap_or(u32::MAX) {
        tokio::time::sleep_until(start + every * number).await;
        let body = body(number);
        all.spawn(async move { shoot(address, &body).await });
    }
    all.join_all().await
}

/// So many clients, each with one request after the other and a pause between, until told to end.
///
/// # Panics
/// When a task does.
pub async fn in_turn(
    address: SocketAddr,
    clients: u32,
    pause: Duration,
    until: impl Fn() -> bool + Send + Sync + 'static,
    body: impl Fn(u32) -> String + Send + Sync + 'static,
) -> Vec<Shot> {
    let (until, body, shots) = (Arc::new(until), Arc::new(body), Arc::new(Mutex::new(Vec::new())));
    let mut all = JoinSet::new();
    for client in 0..clients {
        let (until, body, shots) = (Arc::clone(&until), Arc::clone(&body), Arc::clone(&shots));
        all.spawn(async move {
            // They do not all ask in the same moment.
            tokio::time::sleep(pause * client / clients).await;
            while !until() {
                let shot = shoot(address, &body(client)).await;
                shots.lock().unwrap_or_else(PoisonError::into_inner).push(shot);
                tokio::time::sleep(pause).await;
            }
        });
    }
    all.join_all().await;
    let mut shots = shots.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::take(&mut *shots)
}

/// A connection that has asked once whether the server is well and then says nothing; it is opened again when it is closed.
/// Never ends.
pub async fn idle(address: SocketAddr) {
    loop {
        let Ok(mut stream) = TcpStream::connect(address).await else {
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        };
        let asked = stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        let mut bytes = [0; 1024];
        while asked.is_ok() && matches!(stream.read(&mut bytes).await, Ok(1..)) {}
    }
}

/// A connection that sends its headers byte by byte and never ends them; it is opened again when it is closed. Never ends.
pub async fn slowloris(address: SocketAddr, every: Duration) {
    loop {
        let Ok(mut stream) = TcpStream::connect(address).await else {
            tokio::time::sleep(every).await;
            continue;
        };
        let mut alive =
            stream.write_all(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nx-slow: ").await;
        let mut byte = [0; 1];
        while alive.is_ok() {
            tokio::select! {
                () = tokio::time::sleep(every) => alive = stream.write_all(b"x").await,
                // Whatever the server says, and be it that it closes the connection: here it is over.
                _ = stream.read(&mut byte) => break,
            }
        }
    }
}

/// Asks whether the server is well, on a new connection each time, so often; how long each answer took, or `None` for one
/// that did not come or was another.
pub async fn health(address: SocketAddr, every: Duration, until: impl Fn() -> bool) -> Vec<Option<Duration>> {
    let mut all = Vec::new();
    while !until() {
        let at = Instant::now();
        let asked = async {
            let mut stream = TcpStream::connect(address).await.ok()?;
            let question = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
            stream.write_all(question).await.ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.ok()?;
            answer.starts_with("HTTP/1.1 200").then(|| at.elapsed())
        };
        all.push(tokio::time::timeout(Duration::from_secs(30), asked).await.ok().flatten());
        tokio::time::sleep(every).await;
    }
    all
}

/// The value below which so many of a hundred lie.
pub fn percentile(mut all: Vec<Duration>, percent: usize) -> Duration {
    all.sort_unstable();
    let at = (all.len() * percent / 100).min(all.len().saturating_sub(1));
    all.get(at).copied().unwrap_or_default()
}
