//! What a failure leads to: who is left for this request, when, and how it ends when nobody is.

use std::time::Duration;

use super::live::{Live, Stage};
use super::options::{Bar, Wait, limits_end};
use super::retry::backoff;
use super::{Actions, Another, BoardView, Failover, Failure, Finish};
use crate::attempt::{FailureKind, Next};
use crate::time::Timestamp;

impl Failover {
    pub(super) fn failed(
        &mut self,
        live: Live,
        failure: Failure,
        now: Timestamp,
        view: BoardView<'_>,
    ) -> Actions {
        let kind = failure.kind;
        let another = failure.another.filter(|another| {
            let changes = self.options.get(live.option).map_or(0, |option| option.changes);
            // Each gives way once, whatever time brings back.
            let at_once = changes.saturating_add(1) < another.credentials;
            kind.is_of_one_credential() && (at_once || !another.ready_in.is_zero())
        });
        if kind == FailureKind::Inexpressible {
            // Nothing was sent: as if it had not been made.
            self.calls -= 1;
            self.paid -= u32::from(live.paid);
        } else {
            // A credential that is refused beside another is no word of the deployment.
            self.only_limits &= kind == FailureKind::RateLimited || another.is_some();
        }
        if kind != FailureKind::Inexpressible || self.last_failure.is_none() {
            self.last_failure = Some(kind);
        }
        if live.stage == Stage::Committed {
            self.broken = Some((live.no, kind));
            if !(self.rescue && failure.can_go_on) {
                return self.stop(Finish::Broken(live.no, kind));
            }
        }
        match (self.way(kind, &live), another) {
            (Next::Anywhere | Next::Elsewhere, Some(another)) => {
                self.change(live.option, another, failure.retry_after, now);
            }
            (Next::Nowhere, _) => return self.stop(Finish::Failed(Some(kind))),
            (Next::Elsewhere, _) => self.bar(live.option, Bar::Useless),
            (Next::LongerWindow, _) => self.bar_all_but_longer_than(live.option),
            (Next::Anywhere, _) => self.delay(live.option, failure.retry_after, now),
        }
        if self.live.is_empty() { self.go_on(now, view) } else { Actions::new() }
    }

    /// Where to go: by the kind, but what a provider says against a request that is being answered elsewhere, or against
    /// one that we wrote so as to go on, is no word against the client's.
    fn way(&mut self, kind: FailureKind, live: &Live) -> Next {
        match kind.policy().next {
            Next::Nowhere if kind == FailureKind::Filtered && self.open_kept(kind) => {
                for option in self.options.iter_mut().filter(|o| !o.is_kept_for(kind)) {
                    option.bar = Some(Bar::Useless);
                }
                Next::Elsewhere
            }
            // It had taken the request for good, and answered.
            Next::Nowhere if live.stage == Stage::Committed && kind == FailureKind::BadRequest => {
                Next::Elsewhere
            }
            Next::Nowhere if live.stage == Stage::Committed => Next::Nowhere,
            Next::Nowhere if self.broken.is_some() || (live.hedge && !self.live.is_empty()) => {
                Next::Elsewhere
            }
            next => next,
        }
    }

    /// Opens the options that were kept for this kind of failure. Whether there are any.
    fn open_kept(&mut self, kind: FailureKind) -> bool {
        let kept = self.options.iter_mut().filter(|o| o.is_kept_for(kind) && o.bar.is_none());
        kept.map(|option| option.opened = true).count() > 0
    }

    pub(super) fn bar(&mut self, option: usize, why: Bar) {
        if let Some(option) = self.options.get_mut(option) {
            option.bar = Some(why);
        }
    }

    /// A window that is not known is not known to be longer; any known one may be longer than an unknown one. A deployment
    /// that the operator keeps for requests that are too long is taken at his word, unless it is known to be no longer.
    fn bar_all_but_longer_than(&mut self, failed: usize) {
        self.open_kept(FailureKind::TooLong);
        let window = self.options.get(failed).and_then(|o| o.terms.max_input_tokens);
        for (at, option) in self.options.iter_mut().enumerate() {
            let longer = match (option.terms.max_input_tokens, window) {
                (Some(tokens), Some(window)) => tokens > window,
                (Some(_), None) => true,
                (None, _) => option.is_kept_for(FailureKind::TooLong),
            };
            if at == failed || !longer {
                option.bar = Some(Bar::Useless);
            }
        }
    }

    /// The same deployment with another credential: at once, and as nobody's repeat; when none has room, as soon as one
    /// has.
    fn change(&mut self, at: usize, another: Another, retry_after: Option<Duration>, now: Timestamp) {
        let Some(option) = self.options.get_mut(at) else { return };
        if another.ready_in.is_zero() {
            (option.changes, option.changed) = (option.changes + 1, true);
            (option.ready_at, option.wait) = (now, Wait::Short);
            return;
        }
        let wait = retry_after.map_or(another.ready_in, |after| after.min(another.ready_in));
        self.delay(at, Some(wait), now);
    }

    /// The same deployment not before its backoff, and not before the time it named. The jitter comes on top of that time:
    /// others were told the same.
    fn delay(&mut self, option: usize, retry_after: Option<Duration>, now: Timestamp) {
        let Some(option) = self.options.get_mut(option) else { return };
        let jitter = backoff(&self.policy, option.failures, &mut self.rng);
        option.failures += 1;
        option.ready_at = now + retry_after.unwrap_or_default() + jitter;
        option.wait = if retry_after.is_some() { Wait::Told } else { Wait::Short };
    }

    /// Why the request ends when nobody is left to call.
    pub(super) fn nobody_left(&self, now: Timestamp) -> Finish {
        let barred = |why: Bar| self.options.iter().any(|o| o.bar == Some(why));
        match (self.last_failure, limits_end(&self.options, now)) {
            (_, Some(at)) if self.only_limits => Finish::Busy(at),
            (last, _) if barred(Bar::Ceiling) => Finish::OverCostCeiling(last),
            (Some(kind), _) => Finish::Failed(Some(kind)),
            (None, _) if barred(Bar::Money) => Finish::NoMoney,
            (None, _) => Finish::Failed(None),
        }
    }

    /// The end, in the light of what the client has seen: half an answer can only be said to be broken.
    pub(super) fn as_seen(&self, finish: Finish) -> Finish {
        match (self.broken, finish) {
            (None, _) | (_, Finish::Answered(_) | Finish::ClientGone | Finish::Broken(..)) => finish,
            (Some((no, _)), Finish::DeadlineExceeded) => Finish::Broken(no, FailureKind::Timeout),
            (Some((no, kind)), _) => Finish::Broken(no, kind),
        }
    }
}
