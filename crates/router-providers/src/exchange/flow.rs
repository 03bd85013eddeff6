//! Bytes and time of a stream: what is on its way to the client, and how long nothing has come.

use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes on their way to the client: one slice uncopied, several joined.
#[derive(Default)]
pub(super) struct Outgoing {
    one: Bytes,
    joined: BytesMut,
}

impl Outgoing {
    pub(super) fn len(&self) -> usize {
        self.one.len() + self.joined.len()
    }

    pub(super) fn push(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        if self.len() == 0 {
            self.one = bytes;
            return;
        }
        self.joined.extend_from_slice(&std::mem::take(&mut self.one));
        self.joined.extend_from_slice(&bytes);
    }

    pub(super) fn take(&mut self) -> Bytes {
        if self.joined.is_empty() { std::mem::take(&mut self.one) } else { self.joined.split().freeze() }
    }
}

/// Silence, measured with one timer that is set again only when it rings: noting a chunk costs one reading of the clock.
pub(super) struct Silence {
    timer: Pin<Box<Sleep>>,
    deadline: Instant,
    idle: Duration,
    heard: bool,
}

impl Silence {
    pub(super) fn new(first: Instant, idle: Duration) -> Self {
        Self { timer: Box::pin(sleep_until(first)), deadline: first, idle, heard: false }
    }

    pub(super) fn heard(&mut self) {
        self.deadline = Instant::now() + self.idle;
        // A timer that rings later than the deadline must be set at once: only the first byte's limit can be longer.
        if !std::mem::replace(&mut self.heard, true) && self.timer.deadline() > self.deadline {
            self.timer.as_mut().reset(self.deadline);
        }
    }

    pub(super) fn heard_once(&self) -> bool {
        self.heard
    }

    pub(super) async fn passed(&mut self) {
        loop {
            self.timer.as_mut().await;
            if Instant::now() >= self.deadline {
                return;
            }
            self.timer.as_mut().reset(self.deadline);
        }
    }
}
