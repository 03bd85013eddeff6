//! Waiting, for whatever comes first: the client leaves or has room again, an attempt moves, the time asked for, the
//! server's end.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use router_core::failover::{AttemptNo, Event, Seen};
use router_providers::exchange::Item;
use smallvec::smallvec;

use super::answer::Gone;
use super::attempt::{Live, Step};
use super::money::granted;
use super::run::{Events, Run};
use super::spent::Spent;
use crate::treasury::Paid;

/// So long an answer that comes faster than money is drawn waits for it; then it is cut.
const CATCH_UP: Duration = Duration::from_secs(1);

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
                money = granted(self.admission.as_mut().and_then(|a| a.waits.as_deref_mut())) => {
                    return smallvec![self.waited(money)];
                }
                moved = self.answer.moved() => match moved {
                    Ok(()) => continue,
                    Err(Gone) => return smallvec![Event::ClientGone],
                },
                _ = aborted.as_mut() => {
                    self.aborted = true;
                    return smallvec![Event::ClientGone];
                }
            };
            let paid = match &step {
                Step::Item(item) => match self.books.metered(attempt, item.written_bytes) {
                    Paid::Soon => self.catch_up(attempt).await,
                    paid => paid == Paid::Yes,
                },
                _ => true,
            };
            if let Some(events) = self.moved(attempt, step, paid) {
                return events;
            }
        }
    }

    /// An answer came faster than money for it is drawn: waits for that, unless the client goes. Whether it came.
    async fn catch_up(&mut self, attempt: AttemptNo) -> bool {
        let treasury = Arc::clone(&self.worker.shared.treasury);
        let until = tokio::time::Instant::now() + CATCH_UP;
        loop {
            let mut news = pin!(treasury.news());
            // Before it is asked for: the answer may be quick.
            news.as_mut().enable();
            match self.books.metered(attempt, 0) {
                Paid::Soon => {}
                paid => return paid == Paid::Yes,
            }
            tokio::select! {
                () = news => {}
                moved = self.answer.moved() => if moved.is_err() {
                    // Found gone when it is sent to.
                    return true;
                },
                () = tokio::time::sleep_until(until) => return false,
            }
        }
    }

    /// What an attempt's step means for the machine; `None`: nothing, as of all but the first bytes of a stream. Of an
    /// item that is not `paid` for, it is the end.
    fn moved(&mut self, attempt: AttemptNo, step: Step, paid: bool) -> Option<Events> {
        match step {
            Step::Item(item) if self.committed == Some(attempt) => {
                let (bytes, ended) = self.metered(attempt, &item, paid);
                match self.answer.send(bytes) {
                    Err(Gone) => Some(smallvec![Event::ClientGone]),
                    Ok(()) => ended.then(|| smallvec![Event::Ended(attempt)]),
                }
            }
            Step::Item(mut item) => {
                let rate = self.find(attempt).and_then(Live::stream).map(|stream| stream.headers().rate);
                self.books.first_byte(attempt, rate.as_ref());
                let (bytes, ended) = self.metered(attempt, &item, paid);
                item.bytes = bytes;
                let seen = item.seen;
                // Without anything visible, bytes come only with the end of a stream that is whole without it.
                if let Some(live) = self.find(attempt).filter(|_| !item.bytes.is_empty()) {
                    live.held = Some(item);
                }
                if ended {
                    let seen = seen.unwrap_or(Seen::Text);
                    return Some(smallvec![Event::Visible(attempt, seen), Event::Ended(attempt)]);
                }
                seen.map(|seen| smallvec![Event::Visible(attempt, seen)])
            }
            Step::Done => Some(smallvec![Event::Ended(attempt)]),
            Step::Whole(reply) => {
                self.books.first_byte(attempt, Some(&reply.headers.rate));
                self.whole = Some(reply);
                Some(smallvec![Event::Visible(attempt, Seen::Text), Event::Ended(attempt)])
            }
            Step::Failed(fault) => Some(smallvec![self.failed(attempt, fault)]),
        }
    }

    /// What of an item is for the client, and whether the answer ends with it, because there is no money for more.
    fn metered(&mut self, attempt: AttemptNo, item: &Item, paid: bool) -> (Bytes, bool) {
        if paid {
            return (item.bytes.clone(), false);
        }
        let Some(live) = self.find(attempt) else { return (item.bytes.clone(), false) };
        let spent = Spent::so_far(live);
        let usage = self.books.so_far(attempt, spent).usage;
        let Some(live) = self.find(attempt) else { return (item.bytes.clone(), false) };
        let end = live.cut_short(usage);
        tracing::info!(request = %self.asked.arrival.id, cut = "budget", "an answer was ended because the money was");
        self.worker.shared.metrics.cut_short();
        ([&item.bytes[..], &end].concat().into(), true)
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
