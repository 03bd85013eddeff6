//! What a connection is doing, and until when it may: a request's headers have a time from their first byte, and the time
//! between two requests is another one. hyper has one timer for both.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use router_core::time::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::clock::Clock;
use crate::stream::{Body, Cut};

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// Nothing has come yet.
    Fresh,
    /// Some of a request's headers have come.
    Head,
    /// A request is being served: it has limits of its own, but for a client that takes nothing of its answer.
    Request,
    /// It waits for the next request.
    Idle,
}

/// Shared by a connection, its socket and the body it sends; all of them live in one task.
#[derive(Debug)]
pub(super) struct Activity {
    clock: Clock,
    /// What, in the two lowest bits, and since when, in microseconds, above them.
    state: AtomicU64,
    /// Since when the client has taken nothing of what waits for it, in microseconds; 0: it takes what there is.
    stuck_since: AtomicU64,
}

/// How long a client may take nothing of an answer that waits for it: nginx's `send_timeout`. Without an end to that, one
/// that is gone without a word holds its answer, its task and its connection for ever.
const TAKE_PATIENCE: Duration = Duration::from_secs(60);

impl Activity {
    /// Of a connection just accepted.
    pub(super) fn new(clock: Clock) -> Arc<Self> {
        let activity = Self { clock, state: AtomicU64::new(0), stuck_since: AtomicU64::new(0) };
        activity.set(Doing::Fresh, clock.now());
        Arc::new(activity)
    }

    fn set(&self, doing: Doing, since: Timestamp) {
        self.state.store((since.as_micros() << 2) | doing as u64, Ordering::Relaxed);
    }

    fn get(&self) -> (Doing, Timestamp) {
        let state = self.state.load(Ordering::Relaxed);
        let doing = match state & 3 {
            0 => Doing::Fresh,
            1 => Doing::Head,
            2 => Doing::Request,
            _ => Doing::Idle,
        };
        (doing, Timestamp::from_micros(state >> 2))
    }

    /// Bytes came. What drips does not make the time for headers longer, nor does what comes late after connecting.
    fn read(&self) {
        match self.get() {
            (Doing::Fresh, since) => self.set(Doing::Head, since),
            (Doing::Idle, _) => self.set(Doing::Head, self.clock.now()),
            (Doing::Head | Doing::Request, _) => {}
        }
    }

    /// Bytes went out: of an answer that has been handed over whole, while its client takes it slowly.
    fn written(&self) {
        if self.get().0 == Doing::Idle {
            self.set(Doing::Idle, self.clock.now());
        }
    }

    /// Whether the socket took what it was offered.
    fn offered(&self, taken: bool) {
        let since = self.stuck_since.load(Ordering::Relaxed);
        match (taken, since) {
            (true, 0) => {}
            (true, _) => self.stuck_since.store(0, Ordering::Relaxed),
            (false, 0) => self.stuck_since.store(self.clock.now().as_micros().max(1), Ordering::Relaxed),
            (false, _) => {}
        }
        if taken {
            self.written();
        }
    }

    /// Headers are complete.
    pub(super) fn request(&self) {
        self.set(Doing::Request, self.clock.now());
    }

    /// Nobody has begun to ask anything.
    pub(super) fn is_fresh(&self) -> bool {
        self.get().0 == Doing::Fresh
    }

    /// When it must have got on; `None`: others watch over it.
    pub(super) fn due(&self, times: Times) -> Option<Timestamp> {
        let stuck = match self.stuck_since.load(Ordering::Relaxed) {
            0 => None,
            since => Some(Timestamp::from_micros(since) + TAKE_PATIENCE),
        };
        due(self.get(), times).or(stuck)
    }
}

/// How long a connection may stay as it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// For a request's headers.
    pub(super) header: Duration,
    /// Between two requests.
    pub(super) idle: Duration,
}

fn due((doing, since): (Doing, Timestamp), times: Times) -> Option<Timestamp> {
    match doing {
        Doing::Fresh | Doing::Head => Some(since + times.header),
        Doing::Idle => Some(since + times.idle),
        Doing::Request => None,
    }
}

/// A socket that says when bytes come.
#[derive(Debug)]
pub(super) struct Watched {
    stream: TcpStream,
    activity: Arc<Activity>,
}

impl Watched {
    pub(super) fn new(stream: TcpStream, activity: Arc<Activity>) -> Self {
        Self { stream, activity }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.read();
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.activity.offered(written.is_ready());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.activity.offered(written.is_ready());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A body with whose end its connection is idle.
pub(super) struct Answering {
    body: Body,
    activity: Arc<Activity>,
}

impl Answering {
    pub(super) fn new(body: Body, activity: Arc<Activity>) -> Self {
        Self { body, activity }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.activity.set(Doing::Idle, self.activity.clock.now());
    }
}

impl hyper::body::Body for Answering {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Script: `b` bytes come, `r` headers are complete, `a` the answer has been handed over. Expected: what it is then.
    fn check(script: &str, expected: Doing) {
        let activity = Activity::new(Clock::new());
        for step in script.chars() {
            match step {
                'b' => activity.read(),
                'r' => activity.request(),
                _ => drop(Answering::new(Body::whole(""), Arc::clone(&activity))),
            }
        }
        assert_eq!(activity.get().0, expected, "{script}");
    }

    #[test]
    fn a_connection_is_between_requests_or_in_one() {
        check("", Doing::Fresh);
        check("b", Doing::Head);
        check("bbb", Doing::Head);
        check("br", Doing::Request);
        check("brbb", Doing::Request);
        check("bra", Doing::Idle);
        check("brab", Doing::Head);
        check("brabr", Doing::Request);
        // One request behind another in the same bytes.
        check("brar", Doing::Request);
    }

    #[test]
    fn a_client_that_takes_nothing_of_its_answer_is_not_waited_for_for_ever() {
        let activity = Activity::new(Clock::new());
        let times = Times { header: Duration::from_secs(10), idle: Duration::from_secs(300) };
        activity.request();
        assert_eq!(activity.due(times), None);
        activity.offered(true);
        assert_eq!(activity.due(times), None);
        activity.offered(false);
        let due = activity.due(times).unwrap();
        assert!(due >= activity.get().1 + TAKE_PATIENCE);
        // Offered again, it has still taken nothing.
        activity.offered(false);
        assert_eq!(activity.due(times), Some(due));
        activity.offered(true);
        assert_eq!(activity.due(times), None);
    }

    #[test]
    fn dripping_makes_no_time_longer() {
        let activity = Activity::new(Clock::new());
        let (_, accepted) = activity.get();
        (0..3).for_each(|_| activity.read());
        assert_eq!(activity.get(), (Doing::Head, accepted));
        let times = Times { header: Duration::from_secs(10), idle: Duration::from_secs(300) };
        let at = Timestamp::from_millis(1_000);
        assert_eq!(due((Doing::Fresh, at), times), Some(at + times.header));
        assert_eq!(due((Doing::Head, at), times), Some(at + times.header));
        assert_eq!(due((Doing::Idle, at), times), Some(at + times.idle));
        assert_eq!(due((Doing::Request, at), times), None);
    }
}
