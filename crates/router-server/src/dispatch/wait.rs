//! Waiting, for whatever comes first: the client leaves or has room again, an attempt moves, the time asked for, the
//! server's end.

use std::pin::pin;

use router_core::failover::{AttemptNo, Event, Seen};
use smallvec::smallvec;

use super::answer::Gone;
use super::attempt::{Live, Step};
use super::run::{Events, Run};

impl Run<'_> {
    /// Waits for the client to leave, an attempt to move, or the time asked for. A committed stream is forwarded here
    /// without asking the machine about every chunk; while a slow client has no room, no more of it is read, but time and
    /// the client are still watched.
    pub(super) async fn wait(&mut self) -> Events {
        let shared = &self.worker.shared;
        let mut abort = shared.abort.clone();
        // Both are set once, not for every chunk.
        let mut aborted = pin!(abort.wait_for(|abort| *abort));
        let mut timer = pin!(at(self.wake.map(|at| shared.clock.instant(at))));
        loop {
            let room = !self.answer.is_full();
            let (attempt, step) = tokio::select! {
                biased;
                // Before the attempt: a deadline that comes with its time limit is not the deployment's failure.
                () = timer.as_mut() => {
                    self.wake = None;
                    return smallvec![Event::Timer];
                }
                moved = next(&mut self.live), if room => moved,
                // Nothing of two that race was shown, so neither is ever ready for long.
                moved = next(&mut self.rival), if self.rival.is_some() => moved,
                moved = self.answer.moved() => match moved {
                    Ok(()) => continue,
                    Err(Gone) => return smallvec![Event::ClientGone],
                },
                _ = aborted.as_mut() => {
                    self.aborted = true;
                    return smallvec![Event::ClientGone];
                }
            };
            match step {
                Step::Item(item) if self.committed == Some(attempt) => {
                    if self.answer.send(item.bytes).is_err() {
                        return smallvec![Event::ClientGone];
                    }
                }
                Step::Item(item) => {
                    self.books.first_byte(attempt);
                    let seen = item.seen;
                    // Without anything visible, bytes come only with the end of a stream that is whole without it.
                    if let Some(live) = self.find(attempt).filter(|_| !item.bytes.is_empty()) {
                        live.held = Some(item);
                    }
                    if let Some(seen) = seen {
                        return smallvec![Event::Visible(attempt, seen)];
                    }
                }
                Step::Done => return smallvec![Event::Ended(attempt)],
                Step::Whole(reply) => {
                    self.books.first_byte(attempt);
                    self.whole = Some(reply);
                    return smallvec![Event::Visible(attempt, Seen::Text), Event::Ended(attempt)];
                }
                Step::Failed(fault) => return smallvec![self.failed(attempt, fault)],
            }
        }
    }

    fn find(&mut self, attempt: AttemptNo) -> Option<&mut Live> {
        [&mut self.live, &mut self.rival].into_iter().flatten().find(|live| live.attempt == attempt)
    }
}

async fn next(live: &mut Option<Live>) -> (AttemptNo, Step) {
    match live {
        Some(live) => (live.attempt, live.step().await),
        None => std::future::pending().await,
    }
}

async fn at(instant: Option<tokio::time::Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
