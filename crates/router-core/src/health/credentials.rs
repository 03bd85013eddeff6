//! The credentials a deployment is called with: which are refused, what each has left, whose turn it is.
//!
//! A refused credential (401, no credit) is out at once, whatever its deployment's breaker says: it is the account that is
//! sick, not the machine. After its cooldown one call tries it; one that is not refused puts it back. The deployment is out
//! only when all its credentials are. A deployment that needs no credential has one all the same.

use std::time::Duration;

use smallvec::{SmallVec, smallvec};

use super::board::mix;
use crate::compiled::BreakerPolicy;
use crate::limit::{Learned, Mark};
use crate::select::DeploymentState;
use crate::time::Timestamp;

/// Between two places booked behind a provider's own time: what it will take then is unknown, so not all at once.
const SPACING: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    In,
    Out { until: Timestamp },
    Trial { ticket_out: bool },
}

#[derive(Clone, Debug)]
struct Credential {
    weight: u32,
    standing: Standing,
    /// Goes up with each refusal: results of calls from before it are not for now.
    generation: u32,
    /// Refusals since it was last accepted.
    refusals: u32,
    learned: Learned,
}

impl Credential {
    fn new(weight: u32) -> Self {
        let learned = Learned::default();
        Self { weight: weight.max(1), standing: Standing::In, generation: 0, refusals: 0, learned }
    }

    fn is_usable(&self) -> bool {
        matches!(self.standing, Standing::In | Standing::Trial { ticket_out: false })
    }

    fn put_back(&mut self) {
        (self.standing, self.refusals) = (Standing::In, 0);
    }
}

/// What a call's end says about its credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was accepted.
    Accepted,
    /// It was refused.
    Refused,
    /// Nothing.
    Unknown,
}

/// A call made with a credential, to be brought back with the verdict.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use {
    pub(super) at: u16,
    epoch: u32,
    generation: u32,
    ticket: bool,
    mark: Mark,
}

/// All credentials of one deployment.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    list: SmallVec<[Credential; 1]>,
    /// Goes up with each new list: calls made with those of an old one say nothing about these.
    epoch: u32,
    enabled: bool,
    cooldown: Duration,
    max_cooldown: Duration,
    /// Places booked and not yet come.
    booked: u32,
    /// Calls drawn: the attempts of one request spread over the credentials.
    draws: u64,
}

impl Credentials {
    /// One, in good standing.
    pub(super) fn new(policy: &BreakerPolicy) -> Self {
        let list = smallvec![Credential::new(1)];
        let BreakerPolicy { enabled, cooldown, max_cooldown, .. } = *policy;
        Self { list, epoch: 0, enabled, cooldown, max_cooldown, booked: 0, draws: 0 }
    }

    /// As many as there are weights. Another number of them begins anew.
    pub(super) fn weigh(&mut self, weights: &[u32]) {
        if weights.len().max(1) != self.list.len() {
            self.epoch = self.epoch.wrapping_add(1);
            let weights = if weights.is_empty() { &[1] } else { weights };
            self.list = weights.iter().map(|weight| Credential::new(*weight)).collect();
        }
        for (credential, weight) in self.list.iter_mut().zip(weights) {
            credential.weight = (*weight).max(1);
        }
    }

    /// A change of the configuration may have brought others: all are in again. What each has left is still true if they
    /// are the same, and soon corrected if not.
    pub(super) fn reconfigure(&mut self, policy: &BreakerPolicy) {
        (self.enabled, self.cooldown, self.max_cooldown) =
            (policy.enabled, policy.cooldown, policy.max_cooldown);
        for credential in &mut self.list {
            credential.generation = credential.generation.wrapping_add(1);
            credential.put_back();
        }
    }

    /// Forgets refusals and what was learned.
    pub(super) fn reset(&mut self) {
        for credential in &mut self.list {
            credential.generation = credential.generation.wrapping_add(1);
            credential.put_back();
            credential.learned.clear();
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// How many are refused.
    pub(super) fn refused(&mut self, now: Timestamp) -> usize {
        self.tick(now);
        self.list.iter().filter(|c| c.standing != Standing::In).count()
    }

    /// Where the deployment stands for want of a credential, and for how long; `None`: there is one.
    pub(super) fn lack(&mut self, now: Timestamp) -> Option<(DeploymentState, Duration)> {
        self.tick(now);
        let (mut busy, mut back): (bool, Option<Timestamp>) = (false, None);
        for credential in &self.list {
            match credential.standing {
                Standing::In => return None,
                Standing::Trial { ticket_out } => busy |= ticket_out,
                Standing::Out { until } => back = Some(back.map_or(until, |back| back.min(until))),
            }
        }
        if self.list.iter().any(Credential::is_usable) {
            return Some((DeploymentState::HalfOpen, Duration::ZERO));
        }
        let open = back.filter(|_| !busy).map(|at| (DeploymentState::Open, at.since(now)));
        Some(open.unwrap_or((DeploymentState::HalfOpenBusy, Duration::ZERO)))
    }

    /// When the limits learned have room for a call of `tokens`, as long as there is somewhere else to go.
    pub(super) fn free_at(&self, now: Timestamp, tokens: u64) -> Timestamp {
        self.soonest(|learned| learned.free_at(now, tokens))
    }

    /// When a call that has nowhere else to go may be made, after those that have booked.
    pub(super) fn bookable_at(&self, now: Timestamp, tokens: u64) -> Timestamp {
        let at = self.soonest(|learned| learned.bookable_at(now, tokens));
        if at > now { at + SPACING * self.booked } else { at }
    }

    /// Until when the provider ordered to stay away, with every credential.
    pub(super) fn held_until(&self) -> Timestamp {
        self.soonest(Learned::held_until)
    }

    /// A place behind [`Credentials::bookable_at`] was booked.
    pub(super) const fn book(&mut self) {
        self.booked = self.booked.saturating_add(1);
    }

    /// A booking has come, or is not wanted any more.
    pub(super) const fn unbook(&mut self) {
        self.booked = self.booked.saturating_sub(1);
    }

    /// By credential: until when the provider ordered to stay away; empty: nowhere.
    pub(super) fn holds(&self, now: Timestamp) -> Vec<Timestamp> {
        let holds: Vec<_> = self.list.iter().map(|c| c.learned.held_until()).collect();
        if holds.iter().any(|until| *until > now) { holds } else { Vec::new() }
    }

    /// The same, from a process before this one.
    pub(super) fn restore_holds(&mut self, now: Timestamp, holds: &[Timestamp]) {
        for (credential, until) in self.list.iter_mut().zip(holds) {
            credential.learned.hold(now, until.since(now));
        }
    }

    /// The earliest among those that may be used, or among all when none may.
    fn soonest(&self, when: impl Fn(&Learned) -> Timestamp) -> Timestamp {
        let any = !self.list.iter().any(Credential::is_usable);
        let all = self.list.iter().filter(|c| any || c.is_usable());
        all.map(|c| when(&c.learned)).min().unwrap_or_default()
    }

    /// Another than this one that may be used, if the next call will not be made with this one again: after how long it
    /// has room.
    pub(super) fn another(&mut self, now: Timestamp, but: usize, tokens: u64) -> Option<Duration> {
        self.tick(now);
        let others = self.list.iter().enumerate().filter(|(at, c)| *at != but && c.is_usable());
        let at = others.map(|(_, c)| c.learned.bookable_at(now, tokens)).min()?;
        let this = self.list.get(but);
        let again = this.is_some_and(|c| c.is_usable() && c.learned.free_at(now, tokens) <= now);
        (!again).then(|| at.since(now))
    }

    /// Draws the credential of a call by weight: among those that may be used and have room, else among those that may be
    /// used and that no order keeps away, else among all.
    pub(super) fn draw(&mut self, now: Timestamp, tokens: u64, seed: u64) -> Use {
        self.tick(now);
        self.draws = self.draws.wrapping_add(1);
        let fits = |c: &Credential| c.is_usable() && c.learned.free_at(now, tokens) <= now;
        let may = |c: &Credential| c.is_usable() && c.learned.held_until() <= now;
        let at = if self.list.len() == 1 {
            0
        } else {
            // Golden-ratio multiples of the count: the attempts of one request differ as much as requests do.
            let seed = mix(seed.wrapping_add(self.draws.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            self.by_weight(seed, fits).or_else(|| self.by_weight(seed, may)).unwrap_or_else(|| {
                let any = |_: &Credential| true;
                self.by_weight(seed, any).unwrap_or_default()
            })
        };
        let mut made = Use { at: u16::try_from(at).unwrap_or(0), epoch: self.epoch, ..Use::NONE };
        if let Some(credential) = self.list.get_mut(at) {
            made.generation = credential.generation;
            made.mark = credential.learned.start(tokens);
            if let Standing::Trial { ticket_out: free @ false } = &mut credential.standing {
                (*free, made.ticket) = (true, true);
            }
        }
        made
    }

    fn by_weight(&self, seed: u64, wanted: impl Fn(&Credential) -> bool) -> Option<usize> {
        let among = || self.list.iter().enumerate().filter(|(_, c)| wanted(c));
        let total: u64 = among().map(|(_, c)| u64::from(c.weight)).sum();
        let mut left = seed.checked_rem(total)?;
        for (at, credential) in among() {
            match left.checked_sub(u64::from(credential.weight)) {
                Some(rest) => left = rest,
                None => return Some(at),
            }
        }
        None
    }

    /// A call's end. Whether its credential went out by it.
    pub(super) fn leave(&mut self, now: Timestamp, made: Use, verdict: Verdict) -> bool {
        let (enabled, cooldown, max) = (self.enabled, self.cooldown, self.max_cooldown);
        let Some(credential) = self.current(made) else { return false };
        // One that is out and was used as the last resort is out all the same: only trials lengthen its cooldown.
        let is_out = matches!(credential.standing, Standing::Out { .. });
        match verdict {
            Verdict::Refused if enabled && !is_out => {
                let doubled = cooldown.saturating_mul(1 << credential.refusals.min(20)).min(max);
                credential.standing = Standing::Out { until: now + doubled };
                credential.refusals = credential.refusals.saturating_add(1);
                credential.generation = credential.generation.wrapping_add(1);
                true
            }
            Verdict::Accepted => {
                if credential.standing == (Standing::Trial { ticket_out: true }) && !made.ticket {
                    // Decided without the ticket: whoever has it will say nothing new, and must not have a second beside it.
                    credential.generation = credential.generation.wrapping_add(1);
                }
                credential.put_back();
                false
            }
            Verdict::Refused | Verdict::Unknown => {
                if let (true, Standing::Trial { ticket_out }) = (made.ticket, &mut credential.standing) {
                    *ticket_out = false;
                }
                false
            }
        }
    }

    /// A call was not made after all.
    pub(super) fn retract(&mut self, now: Timestamp, made: Use, tokens: u64) {
        self.leave(now, made, Verdict::Unknown);
        if let Some(learned) = self.learned(made) {
            learned.retract(tokens);
        }
    }

    /// The credential of a call, unless it was refused since.
    fn current(&mut self, made: Use) -> Option<&mut Credential> {
        let same = made.epoch == self.epoch;
        self.list.get_mut(usize::from(made.at)).filter(|c| same && c.generation == made.generation)
    }

    /// What a provider has said about the limit of a call's credential; `None`: that one is not here any more.
    pub(super) fn learned(&mut self, made: Use) -> Option<&mut Learned> {
        let same = made.epoch == self.epoch;
        self.list.get_mut(usize::from(made.at)).filter(|_| same).map(|c| &mut c.learned)
    }

    /// What the answer to a call said is left.
    pub(super) fn learn(&mut self, now: Timestamp, made: Use, said: &crate::limit::RateState) {
        if let Some(learned) = self.learned(made) {
            learned.learn(now, made.mark, said);
        }
    }

    /// The provider refuses it at other deployments: it is tried by one call at a time until one is accepted.
    pub(super) fn doubt(&mut self, at: u16) {
        if let Some(credential) = self.list.get_mut(usize::from(at))
            && self.enabled
            && credential.standing == Standing::In
        {
            credential.standing = Standing::Trial { ticket_out: false };
        }
    }

    /// The provider accepts it again elsewhere: its cooldown is over.
    pub(super) fn hope(&mut self, at: u16) {
        if let Some(credential) = self.list.get_mut(usize::from(at))
            && matches!(credential.standing, Standing::Out { .. })
        {
            credential.standing = Standing::Trial { ticket_out: false };
        }
    }

    /// What time alone changes.
    fn tick(&mut self, now: Timestamp) {
        for credential in &mut self.list {
            if matches!(credential.standing, Standing::Out { until } if now >= until) {
                credential.standing = Standing::Trial { ticket_out: false };
            }
        }
    }
}

impl Use {
    const NONE: Self = Self { at: 0, epoch: 0, generation: 0, ticket: false, mark: Mark::START };
}

#[cfg(test)]
mod tests;
